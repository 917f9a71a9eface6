"""Makes the clip that the firmware listens to, and what the front end is tested against.

    python make_clip.py

Writes `../clip/clip.wav` and `../clip/words.csv` (what is said when), and `../spotting/tests/reference.npz`: the clip's MFCCs and
those of single hard frames, by `features.py`. The voices are none of those that the model was trained with.
"""

import wave
from pathlib import Path

import numpy as np

from features import FRAME_SAMPLES, HOP_SAMPLES, SAMPLE_RATE_HZ, mfcc
from speech import KEYWORDS, Utterance, speak

HERE = Path(__file__).parent
SPOKEN = [
    Utterance("yes", "en-us", "f5", 150, 50),
    Utterance("guitar", "en-us", "f5", 150, 50),
    Utterance("stop", "en-gb", "m7", 150, 45),
    Utterance("left", "en-gb", "m7", 140, 45),
    Utterance("planet", "en-gb", "m7", 150, 45),
    Utterance("go", "en-gb", "Andrea", 150, 50),
    Utterance("right", "en-gb", "Andrea", 150, 50),
    Utterance("pencil", "en-us", "edward", 150, 50),
    Utterance("no", "en-us", "edward", 150, 50),
]
PAUSE_S = 0.55
NOISE = 0.002


def clip() -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """Samples, and the words with their starts and ends in seconds."""
    parts, words, length = [np.zeros(SAMPLE_RATE_HZ // 2)], [], SAMPLE_RATE_HZ // 2
    for it in SPOKEN:
        samples = speak(it)
        words.append((it.text, length / SAMPLE_RATE_HZ, (length + len(samples)) / SAMPLE_RATE_HZ))
        parts += [samples * (0.3 / np.abs(samples).max()), np.zeros(int(PAUSE_S * SAMPLE_RATE_HZ))]
        length += len(samples) + int(PAUSE_S * SAMPLE_RATE_HZ)
    samples = np.concatenate([*parts, np.zeros(-length % HOP_SAMPLES)])
    noise = np.random.default_rng(7).standard_normal(len(samples)) * NOISE
    return np.round((samples + noise) * 32_767).astype(np.int16), words


def hard_frames() -> np.ndarray:
    """Silence, impulses, full scale, tones and noise."""
    n = np.arange(FRAME_SAMPLES)
    random = np.random.default_rng(8)
    impulses = np.zeros((3, FRAME_SAMPLES))
    impulses[0, 256], impulses[1, 256], impulses[2, 0] = 1, 32_767, -32_768
    tones = [amplitude * np.sin(2 * np.pi * f * n / SAMPLE_RATE_HZ) for f in (50, 1000, 7990) for amplitude in (30, 32_767)]
    frames = [
        np.zeros(FRAME_SAMPLES),
        *impulses,
        np.full(FRAME_SAMPLES, 32_767),
        np.full(FRAME_SAMPLES, -32_768),
        np.where(n % 2 == 0, 32_767, -32_768),
        np.where(n % 32 < 16, 32_767, -32_768),
        *tones,
        *(random.standard_normal((4, FRAME_SAMPLES)) * np.array([[1], [30], [1000], [10_000]])),
        random.integers(-32_768, 32_768, FRAME_SAMPLES),
    ]
    return np.clip(np.round(np.stack(frames)), -32_768, 32_767).astype(np.int16)


def main() -> None:
    samples, words = clip()
    with wave.open(str(HERE / "../clip/clip.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())
    lines = [f"{word},{start:.2f},{end:.2f},{int(word in KEYWORDS)}" for word, start, end in words]
    (HERE / "../clip/words.csv").write_text("word,start_s,end_s,is_keyword\n" + "\n".join(lines) + "\n")

    # On the device silence goes before the stream, so that the first 20 ms complete the first frame.
    before = np.zeros(FRAME_SAMPLES - HOP_SAMPLES, np.int16)
    frames = hard_frames()
    np.savez_compressed(
        HERE / "../spotting/tests/reference.npz",
        clip=mfcc(np.concatenate([before, samples]) / 32_768).astype(np.float32),
        frames=frames,
        frame_coefficients=mfcc(frames / 32_768)[:, 0].astype(np.float32),
    )
    print(f"{len(samples) / SAMPLE_RATE_HZ:.2f} s", *lines, sep="\n")


if __name__ == "__main__":
    main()
