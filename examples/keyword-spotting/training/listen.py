"""Listens as the firmware does, to speech of the held-out voices: how many words are found, and how many that nobody said.

    python listen.py SPEECH.npz [--program ../model/keywords.pt2] [--threshold 0.65]
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch

import executorch.kernels.quantized  # noqa: F401  the operators of the quantized program
from features import FRAME_SAMPLES, FRAMES, HOP_SAMPLES, SAMPLE_RATE_HZ, mfcc
from speech import CLASSES, KEYWORDS
from train import Speech

warnings.filterwarnings("ignore")

OTHERS, FRAMES_PER_STEP, SMOOTHED, QUIET_STEPS = 2, 4, 4, 6
HERE = Path(__file__).parent


def scores(module, normalization: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The network's scores every 80 ms, as shares of 1."""
    before = np.zeros(FRAME_SAMPLES - HOP_SAMPLES + (FRAMES - 1) * HOP_SAMPLES, np.float32)
    coefficients = (mfcc(np.concatenate([before, samples])) - normalization[0]) / normalization[1]
    windows = [coefficients[at : at + FRAMES] for at in range(FRAMES_PER_STEP - 1, len(coefficients) - FRAMES + 1, FRAMES_PER_STEP)]
    with torch.no_grad():
        inputs = [torch.from_numpy(it.astype(np.float32))[None, None].to(memory_format=torch.channels_last) for it in windows]
        return torch.cat([torch.softmax(module(it), 1) for it in inputs]).numpy()


def detections(shares: np.ndarray, threshold: float) -> list[tuple[float, str]]:
    """Time in seconds and word; the rule is that of `spotting/src/detector.rs`."""
    found, quiet, present = [], 0, None
    for step in range(len(shares)):
        mean = shares[max(0, step - SMOOTHED + 1) : step + 1].sum(0) / SMOOTHED
        if present is not None and mean[present] < threshold / 2:
            present = None
        quiet = max(quiet - 1, 0)
        best = OTHERS + int(mean[OTHERS:].argmax())
        if mean[best] >= threshold and quiet == 0 and present != best:
            quiet, present = QUIET_STEPS, best
            found.append(((step + 1) * FRAMES_PER_STEP * HOP_SAMPLES / SAMPLE_RATE_HZ, CLASSES[best]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("speech")
    parser.add_argument("--program", type=Path, default=HERE / "../model/keywords.pt2")
    parser.add_argument("--threshold", type=float, default=0.65)
    arguments = parser.parse_args()
    module = torch.export.load(arguments.program).module(check_guards=False)
    normalization = np.loadtxt(arguments.program.parent / "normalization.csv", delimiter=",")
    speech, random = Speech(arguments.speech, "test"), np.random.default_rng(5)

    parts, spoken, length = [], [], 0
    clips = [(word, clip) for word in KEYWORDS for clip in speech.keywords[word][::4]]
    random.shuffle(clips)
    for word, clip in clips:
        pause = np.zeros(random.integers(8_000, 16_000), np.float32)
        spoken.append((word, length / SAMPLE_RATE_HZ, (length + len(clip)) / SAMPLE_RATE_HZ))
        parts += [clip, pause]
        length += len(clip) + len(pause)
    noisy = lambda samples: samples + 0.003 * random.standard_normal(len(samples)).astype(np.float32)  # noqa: E731
    found = detections(scores(module, normalization, noisy(np.concatenate(parts))), arguments.threshold)
    left, hits = list(found), 0
    for word, start, end in spoken:
        match = next((it for it in left if it[1] == word and start < it[0] < end + 1), None)
        if match:
            left.remove(match)
            hits += 1

    text = np.concatenate(speech.text)
    alarms = detections(scores(module, normalization, noisy(text)), arguments.threshold)
    results = {
        "keywords_said": len(spoken),
        "keywords_found": hits,
        "other_detections": len(left),
        "seconds_of_text": round(len(text) / SAMPLE_RATE_HZ),
        "detections_in_text": [f"{word} at {at:.1f}" for at, word in alarms],
    }
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
