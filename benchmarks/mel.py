"""Spectra as speech models take them."""

import numpy as np
from numpy.typing import NDArray


def frames(samples: NDArray[np.float32], size: int, hop: int) -> NDArray[np.float32]:
    """Return overlapping windows: float32 [N, size]."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)
    return np.ascontiguousarray(windows[::hop])


def mel_filters(count: int, size: int, rate: int) -> NDArray[np.float64]:
    """Return triangles of equal area on Slaney's mel scale, as librosa has them by default.

    Args:
        count: Filters.
        size: Samples of the transform.
        rate: Samples a second.

    Returns:
        float64 [count, size // 2 + 1].
    """
    linear, step = 200 / 3, np.log(6.4) / 27  # below and above 1 kHz: Slaney, Auditory Toolbox
    top = 15 + np.log(rate / 2 / 1000) / step
    mels = np.linspace(0, top, count + 2)
    edges = np.where(mels < 15, mels * linear, 1000 * np.exp((mels - 15) * step))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    filters: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return filters * (2 / (edges[2:] - edges[:-2]))[:, None]


def decibels(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return power in dB below its greatest value, at most 80."""
    values = 10 * np.log10(np.maximum(power, 1e-10))
    below: NDArray[np.float64] = values - values.max()
    return np.maximum(below, -80.0)


def mel_decibels(
    samples: NDArray[np.float32], count: int, size: int, hop: int, rate: int
) -> NDArray[np.float32]:
    """Return a mel spectrogram in dB as DNSMOS and AECMOS take it: float32 [frames, count]."""
    padded = np.pad(samples, size // 2)
    window = np.hanning(size + 1)[:-1]
    spectra = np.fft.rfft(frames(padded, size, hop) * window)
    power = np.abs(spectra) ** 2 @ mel_filters(count, size, rate).T
    return ((decibels(power) + 40) / 40).astype(np.float32)
