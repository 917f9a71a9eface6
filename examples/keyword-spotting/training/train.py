"""Trains the keyword spotter, quantizes it and tests both: some minutes on two cores.

    python make_speech.py SPEECH.npz
    python train.py SPEECH.npz OUT [--windows 16000] [--epochs 12]

Writes into OUT: `keywords.pt2`, the quantized program, as PT2E and `torch.export.save` make it; `normalization.csv`, mean and
deviation of each MFCC; `inputs.npz` and `labels.npy`, windows of held-out voices, for `cortado run`; `results.json`.
"""

import argparse
import json
import logging
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer  # noqa: E402
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e  # noqa: E402

from features import WINDOW_SAMPLES, mfcc  # noqa: E402
from speech import CLASSES, KEYWORDS  # noqa: E402

SILENCE, UNKNOWN = CLASSES.index("silence"), CLASSES.index("unknown")
CHANNELS = 32


class DsCnn(nn.Module):
    """The keyword spotting network of MLPerf Tiny, with half the channels."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(1, CHANNELS, (10, 4), stride=2, padding=(5, 1), bias=False)]
        for _ in range(4):
            layers += [nn.BatchNorm2d(CHANNELS), nn.ReLU()]
            layers += [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False)]
            layers += [nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)]
        layers += [nn.BatchNorm2d(CHANNELS), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AvgPool2d((25, 5))
        self.classifier = nn.Linear(CHANNELS, len(CLASSES))

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class Speech:
    """One side of the split: words and running text."""

    def __init__(self, path: str, split: str):
        file = np.load(path)

        def clips(kind):
            samples = file[f"{split}_{kind}_samples"].astype(np.float32) / 32768
            return np.split(samples, np.cumsum(file[f"{split}_{kind}_lengths"])[:-1])

        self.others, self.text = clips("others"), clips("text")
        self.keywords = {word: [] for word in KEYWORDS}
        for clip, word in zip(clips("keywords"), file[f"{split}_keywords_words"]):
            self.keywords[str(word)].append(clip)


class Windows:
    """Makes windows with labels: a word somewhere in it or cut off, its neighbours, noise, and any loudness."""

    def __init__(self, speech: Speech, seed: int):
        self.speech = speech
        self.random = np.random.default_rng(seed)

    def features(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """MFCCs of `count` windows, not normalized, and their labels."""
        shares = [0.1, 0.36] + [0.54 / len(KEYWORDS)] * len(KEYWORDS)
        labels = self.random.choice(len(CLASSES), count, p=shares)
        return np.stack([mfcc(self.window(label)) for label in labels]), labels

    def window(self, label: int) -> np.ndarray:
        random = self.random
        window = np.zeros(WINDOW_SAMPLES, np.float32)
        if label == UNKNOWN:
            kind = random.random()
            if kind < 0.45:
                self.place_with_neighbours(window, self.pick(self.speech.others))
            elif kind < 0.75:
                text = self.pick(self.speech.text)
                start = random.integers(len(text) - WINDOW_SAMPLES)
                window += text[start : start + WINDOW_SAMPLES]
            else:
                self.place_cut_off(window, self.keyword(random.choice(KEYWORDS)))
        elif label != SILENCE:
            self.place_with_neighbours(window, self.keyword(CLASSES[label]))
        return self.degrade(window, label)

    def pick(self, clips: list[np.ndarray]) -> np.ndarray:
        return clips[self.random.integers(len(clips))]

    def keyword(self, word: str) -> np.ndarray:
        return self.pick(self.speech.keywords[word])

    def place_with_neighbours(self, window: np.ndarray, clip: np.ndarray) -> None:
        """All of `clip`, or nearly; half the time with another word before or after it, cut off by the window's end."""
        slack = len(window) - len(clip)
        margin = len(clip) // 10
        start = self.random.integers(-margin, max(slack + margin, 1 - margin))
        add(window, clip, start)
        for side in range(2):
            if self.random.random() < 0.25:
                other = self.pick(self.speech.others)
                gap = self.random.integers(800, 6400)
                add(window, other, start + len(clip) + gap if side else start - gap - len(other))

    def place_cut_off(self, window: np.ndarray, clip: np.ndarray) -> None:
        """At most 40 % of `clip`, at an end of the window."""
        visible = int(len(clip) * self.random.uniform(0.05, 0.4))
        add(window, clip, len(window) - visible if self.random.random() < 0.5 else visible - len(clip))

    def degrade(self, window: np.ndarray, label: int) -> np.ndarray:
        """Noise of some colour and level, and a gain."""
        random = self.random
        level = np.sqrt(np.mean(window**2)) if label != SILENCE else 10 ** random.uniform(-4, -1.5)
        ratio_db = random.uniform(3, 40) if label != SILENCE else 0
        window = window + self.noise() * level * 10 ** (-ratio_db / 20)
        gain = 10 ** (random.uniform(-20, 6) / 20) if label != SILENCE else 1
        return np.clip(window * gain, -1, 1)

    def noise(self) -> np.ndarray:
        """Noise of power 1 that falls by 0 to 2 powers of the frequency, at times with a hum."""
        random = self.random
        spectrum = np.fft.rfft(random.standard_normal(WINDOW_SAMPLES))
        spectrum *= np.maximum(np.arange(len(spectrum)), 20.0) ** -random.uniform(0, 1)
        noise = np.fft.irfft(spectrum, WINDOW_SAMPLES)
        noise /= np.sqrt(np.mean(noise**2))
        if random.random() < 0.2:
            time = np.arange(WINDOW_SAMPLES) / 16_000
            noise = (noise + np.sqrt(2) * np.sin(2 * np.pi * random.uniform(45, 800) * time)) / np.sqrt(2)
        return noise.astype(np.float32)


def add(window: np.ndarray, clip: np.ndarray, start: int) -> None:
    """Adds what of `clip` lies in the window."""
    first, last = max(start, 0), min(start + len(clip), len(window))
    if first < last:
        window[first:last] += clip[first - start : last - start]


def normalized(coefficients: np.ndarray, normalization: np.ndarray) -> torch.Tensor:
    mean, deviation = normalization
    return torch.from_numpy(((coefficients - mean) / deviation).astype(np.float32))[:, None]


def fit(model, inputs: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    batch = 64
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
    steps = epochs * (len(inputs) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps, pct_start=0.25)
    model.train()
    for epoch in range(epochs):
        start, losses = time.time(), []
        for index in torch.randperm(len(inputs)).split(batch):
            if len(index) < batch:
                continue
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs[index]), labels[index], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss))
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}, {time.time() - start:.0f} s", flush=True)
    model.eval()


def accuracy(module, inputs: torch.Tensor, labels: np.ndarray) -> dict:
    with torch.no_grad():
        found = torch.cat([module(it[None]) for it in inputs]).argmax(1).numpy()
    per_class = {name: float(np.mean(found[labels == i] == i)) for i, name in enumerate(CLASSES)}
    return {"all": float(np.mean(found == labels)), **per_class}


def quantize(model, calibration: torch.Tensor):
    """As ExecuTorch's Cortex-M backend expects it: PT2E, and images channels-last."""
    model.to(memory_format=torch.channels_last)
    examples = [(it[None].to(memory_format=torch.channels_last),) for it in calibration]
    prepared = prepare_pt2e(torch.export.export(model, examples[0]).module(check_guards=False), CortexMQuantizer())
    for example in examples:
        prepared(*example)
    program = torch.export.export(convert_pt2e(prepared), examples[0])
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("speech")
    parser.add_argument("out", type=Path)
    parser.add_argument("--windows", type=int, default=16_000)
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    train, test = Windows(Speech(arguments.speech, "train"), 0), Windows(Speech(arguments.speech, "test"), 1)
    start = time.time()
    coefficients, labels = train.features(arguments.windows)
    print(f"{arguments.windows} windows, {time.time() - start:.0f} s", flush=True)
    normalization = np.stack([coefficients.mean((0, 1)), coefficients.std((0, 1))])
    np.savetxt(arguments.out / "normalization.csv", normalization, delimiter=",", fmt="%.6f", header="mean, deviation")
    normalization = np.loadtxt(arguments.out / "normalization.csv", delimiter=",")

    model = DsCnn()
    fit(model, normalized(coefficients, normalization), torch.from_numpy(labels), arguments.epochs)
    torch.save(model.state_dict(), arguments.out / "float.pth")

    coefficients, labels = test.features(2000)
    inputs = normalized(coefficients, normalization)
    results = {"parameters": sum(p.numel() for p in model.parameters()), "test_windows": len(labels)}
    results["float_accuracy"] = accuracy(model, inputs, labels)
    program = quantize(model, normalized(train.features(256)[0], normalization))
    results["int8_accuracy"] = accuracy(
        program.module(check_guards=False), inputs.to(memory_format=torch.channels_last), labels
    )
    torch.export.save(program, arguments.out / "keywords.pt2")
    np.savez_compressed(arguments.out / "inputs.npz", input0=inputs.numpy()[:, None].astype(np.float32))
    np.save(arguments.out / "labels.npy", labels)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
