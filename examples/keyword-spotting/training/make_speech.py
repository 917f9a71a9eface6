"""Speaks all that training and testing needs, and keeps it in one file: some 4 minutes with two cores.

    python make_speech.py SPEECH.npz

Voices and words for testing are others than those for training.
"""

import sys

import numpy as np

import speech


def spoken(prefix, words, voices, per_voice, generator) -> dict[str, np.ndarray]:
    them = speech.utterances(words, voices, per_voice, generator)
    samples = speech.speak_all(them)
    return {
        f"{prefix}_samples": np.concatenate([(s * 32767).round().astype(np.int16) for s in samples]),
        f"{prefix}_lengths": np.array([len(s) for s in samples]),
        f"{prefix}_words": np.array([it.text for it in them]),
    }


def main(path: str) -> None:
    generator = np.random.default_rng(1)
    arrays = {}
    for split, voices, others, text in [
        ("train", speech.VOICES, speech.OTHER_WORDS, speech.TEXT),
        ("test", speech.HELD_OUT_VOICES, speech.HELD_OUT_WORDS, speech.HELD_OUT_TEXT),
    ]:
        arrays |= spoken(f"{split}_keywords", speech.KEYWORDS, voices, 8, generator)
        arrays |= spoken(f"{split}_others", others, voices, 1, generator)
        arrays |= spoken(f"{split}_text", [text], voices, 1, generator)
    np.savez_compressed(path, **arrays)
    for name, array in arrays.items():
        if name.endswith("_lengths"):
            print(name, len(array), f"{array.sum() / 16_000:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1])
