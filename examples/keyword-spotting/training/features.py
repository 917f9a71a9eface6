"""The reference of the front end: MFCCs in float64, from the definition.

`../front-end` computes the same on the device in float32 and is tested against
what this file computes. Training uses this file, so a change here is a change
of the model: train anew, and write the test vectors anew (`make_clip.py`).
"""

import numpy as np
from scipy.fft import dct

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 512  # 32 ms
HOP_SAMPLES = 320  # 20 ms
BANDS = 40
BAND_LOW_HZ, BAND_HIGH_HZ = 20.0, 7_600.0
COEFFICIENTS = 10
FRAMES = 49  # of one window: 0.992 s
WINDOW_SAMPLES = FRAME_SAMPLES + (FRAMES - 1) * HOP_SAMPLES
# Added to each band's energy before the logarithm: a noise some 70 dB below full scale, under which all is silence.
ENERGY_FLOOR = 1e-3


def mel(hertz):
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def hertz(mel):
    return 700.0 * np.expm1(np.asarray(mel) / 1127.0)


def hann() -> np.ndarray:
    """The periodic Hann window."""
    n = np.arange(FRAME_SAMPLES)
    return 0.5 - 0.5 * np.cos(2 * np.pi * n / FRAME_SAMPLES)


def mel_filters() -> np.ndarray:
    """Triangles of height 1, by band and bin of the spectrum: (40, 257)."""
    edges = hertz(np.linspace(mel(BAND_LOW_HZ), mel(BAND_HIGH_HZ), BANDS + 2))
    bins = np.arange(FRAME_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / FRAME_SAMPLES
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0, None)


HANN, MEL_FILTERS = hann(), mel_filters()


def mfcc(samples: np.ndarray) -> np.ndarray:
    """MFCCs of every whole frame, from samples in [-1, 1): (..., samples) to (..., frames, 10)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES, axis=-1)
    frames = frames[..., ::HOP_SAMPLES, :] * HANN
    power = np.abs(np.fft.rfft(frames, axis=-1)) ** 2
    energies = np.log(power @ MEL_FILTERS.T + ENERGY_FLOOR)
    return dct(energies, type=2, norm="ortho", axis=-1)[..., :COEFFICIENTS]
