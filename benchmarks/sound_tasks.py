"""Tasks on sound: pitch, quality, wake words, speech."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.models import CACHE

from benchmarks.mel import frames, mel_decibels
from benchmarks.observation import plain_session
from benchmarks.speech import HELD_OUT, RATE, clips, utterances
from benchmarks.tasks import Batch, Run, Task, area_under_curve, rank_correlation
from zeropoint.client.demo.models import Member, Wheel, fetch

SWIFT_F0 = Wheel(
    "swift-f0",
    "0.3.0",
    (
        Member(
            "swift_f0/model.onnx",
            "6385e8c2ebc3872e82c9ff5946228de44cd3be77a750ea53698b7dbfe94b0a22",
        ),
    ),
)
"""Pitch of a voice (MIT): audio [1, N] at 16 kHz -> Hz and confidence every 256 samples."""

SPEECHMOS = Wheel(
    "speechmos",
    "0.0.1.1",
    (
        Member(
            "speechmos/dnsmos_models/sig_bak_ovr.onnx",
            "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        ),
        Member(
            "speechmos/dnsmos_models/model_v8.onnx",
            "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
        ),
        Member(
            "speechmos/plcmos_models/plcmos_v2.onnx",
            "c0ad3fc64ef9682b4749c0e96636b41c73b4b30bd123b9348feea06a96895286",
        ),
        Member(
            "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx",
            "b517d8d9ca2f91ea55d15f605a15917c19be5d832868fe115c7c5bc48986dae1",
        ),
    ),
)
"""How good recordings sound to people (MIT): of waves, of mel spectra, of spectra."""

OPEN_WAKE_WORD = Wheel(
    "openwakeword",
    "0.4.0",
    (
        Member(
            "openwakeword/resources/models/embedding_model.onnx",
            "ba754db3cd768a524c655ea90655ee5e6055a43b8dfd29366a11e93716ae9e51",
        ),
        Member(
            "openwakeword/resources/models/melspectrogram.onnx",
            "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
        ),
        Member(
            "openwakeword/resources/models/hey_jarvis_v0.1.onnx",
            "94a13cfe60075b132f6a472e7e462e8123ee70861bc3fb58434a73712ee0d2cb",
        ),
        Member(
            "openwakeword/resources/models/hey_mycroft_v0.1.onnx",
            "785bdf5655863ae47553b23793aa108c7b0152d4823f7869b41f2d2d765912fc",
        ),
    ),
)
"""Wake words (Apache-2.0): 76 mel frames -> 96 features; 16 of these -> a score."""

SILERO_6 = Wheel(
    "faster-whisper",
    "1.2.1",
    (
        Member(
            "faster_whisper/assets/silero_vad_v6.onnx",
            "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
        ),
    ),
)
"""Silero VAD v6 (MIT), a whole recording at once: input [frames, 576], h, c [1, 1, 128]."""

_HALF_SEMITONE = 2 ** (0.5 / 12)
_JUDGED = 144_160  # samples of DNSMOS


def sound_tasks() -> Iterator[Task]:
    """Yield all of them."""
    yield Task(
        name="Swift-F0",
        metric="frames within half a semitone",
        path=lambda: fetch(SWIFT_F0, CACHE) / SWIFT_F0.members[0].name,
        calibration=lambda count: [batch for batch, _ in _hummed(count, 0)],
        score=lambda count, run, _original: _pitches_found(count // 2, run),
    )
    for name, member, inputs in (
        ("DNSMOS", 0, _waves),
        ("DNSMOS P.808", 1, _mels),
        ("PLCMOS", 2, _spectra),
        ("AECMOS", 3, _triples),
    ):
        yield _judge(name, member, inputs)
    yield Task(
        name="wake word features",
        metric="rank correlation of a float head's scores",
        path=lambda: fetch(OPEN_WAKE_WORD, CACHE) / OPEN_WAKE_WORD.members[0].name,
        calibration=lambda count: [
            {"input_1": window[None]} for window in _windows(0)[: 4 * count]
        ],
        score=lambda _count, run, original: rank_correlation(
            *(_head_scores(side) for side in (run, original))
        ),
    )
    for name, member, given in (("hey jarvis", 2, "x.1"), ("hey mycroft", 3, "input_1")):
        yield _wake_word(name, member, given)
    yield Task(
        name="Silero VAD v6",
        metric="area under the ROC curve",
        path=lambda: fetch(SILERO_6, CACHE) / SILERO_6.members[0].name,
        calibration=lambda count: [batch for batch, _ in _framed(count, 0)],
        score=lambda count, run, _original: _speech_found(count // 2, run),
    )


def _judge(name: str, member: int, inputs: Callable[[int, int], list[Batch]]) -> Task:
    def scores(count: int, run: Run) -> list[float]:
        return [float(np.mean(run(batch)[0])) for batch in inputs(count, HELD_OUT)]

    return Task(
        name=name,
        metric="rank correlation of judgements with float",
        path=lambda: fetch(SPEECHMOS, CACHE) / SPEECHMOS.members[member].name,
        calibration=lambda count: inputs(count, 0),
        score=lambda count, run, original: rank_correlation(
            scores(count, run), scores(count, original)
        ),
    )


def _wake_word(name: str, member: int, given: str) -> Task:
    return Task(
        name=f"wake word {name}",
        metric="rank correlation of scores with float",
        path=lambda: fetch(OPEN_WAKE_WORD, CACHE) / OPEN_WAKE_WORD.members[member].name,
        calibration=lambda count: [{given: rows} for rows in _heard(0)[: 4 * count]],
        score=lambda _count, run, original: rank_correlation(
            *(
                [float(side({given: rows})[0][0, 0]) for rows in _heard(1)]
                for side in (run, original)
            )
        ),
    )


def _hummed(count: int, first: int) -> Iterator[tuple[Batch, NDArray[np.float64]]]:
    """Yield two seconds of gliding tones with overtones and noise, and their pitch by frame."""
    time = np.arange(2 * RATE) / RATE
    for seed in range(first, first + count):
        random = np.random.default_rng([seed, 5])
        bend = random.uniform(-0.5, 0.5) * time + 0.02 * np.sin(2 * np.pi * 5 * time)
        pitch = float(np.exp(random.uniform(np.log(80), np.log(900)))) * 2**bend
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        parts = (random.uniform(0.2, 1) * np.sin(n * phase) / n for n in range(1, 9))
        tone = sum(parts) * np.minimum(1, 8 * np.minimum(time, 2 - time))
        sound = tone / np.abs(tone).max() * random.uniform(0.1, 0.7)
        sound += random.normal(0, sound.std() * 10 ** (-random.uniform(0, 25) / 20), len(sound))
        limits = {"fmin": np.float32(46.875), "fmax": np.float32(2093.75)}
        yield {"audio": sound.astype(np.float32)[None], **_arrays(limits)}, pitch[::256]


def _arrays(values: dict[str, np.float32]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(value) for name, value in values.items()}


def _pitches_found(count: int, run: Run) -> float:
    right = []
    for batch, pitch in _hummed(count, HELD_OUT):
        found = run(batch)[0][0].astype(np.float64)
        size = min(len(found), len(pitch))
        apart = np.abs(np.log(np.maximum(found[4 : size - 4], 1) / pitch[4 : size - 4]))
        right.append(np.mean(apart < np.log(_HALF_SEMITONE)))
    return float(np.mean(right))


def _waves(count: int, first: int) -> list[Batch]:
    recorded = clips(count, first, _JUDGED / RATE)
    return [{"input_1": clip.noisy[None, :_JUDGED]} for clip in recorded]


def _mels(count: int, first: int) -> list[Batch]:
    recorded = clips(count, first, _JUDGED / RATE)
    each = (mel_decibels(clip.noisy[: _JUDGED - 160], 120, 321, 160, RATE) for clip in recorded)
    return [{"input_1": rows[None, :900]} for rows in each]


def _spectra(count: int, first: int) -> list[Batch]:
    """Return spectra in nepers of speech of which parts are lost, and one listener."""
    batches: list[Batch] = []
    for seed, clip in enumerate(clips(count, first, 4.0), first):
        random = np.random.default_rng([seed, 9])
        heard = clip.clean.copy()
        for begin in random.integers(0, len(heard), int(random.integers(0, 12))):
            heard[begin : begin + 640] = 0
        window = np.hamming(513)[:-1]
        power = np.abs(np.fft.rfft(frames(heard, 512, 256) * window))
        logs = np.log(np.maximum(power**2, 1e-6)) / 20
        listener = random.normal(size=(1, 64)).astype(np.float32)
        batches.append(
            {"degraded_audio": logs[None, None].astype(np.float32), "rater_embed": listener}
        )
    return batches


def _triples(count: int, first: int) -> list[Batch]:
    """Return mel spectra of what a loudspeaker, a microphone and an echo canceller gave."""
    batches: list[Batch] = []
    far_ends = clips(count, first + 400, 4.0)
    for seed, (near, far) in enumerate(zip(clips(count, first, 4.0), far_ends, strict=True), first):
        random = np.random.default_rng([seed, 11])
        echo = np.convolve(far.clean, random.normal(0, 0.1, 400) * np.exp(-np.arange(400) / 80))
        microphone = near.noisy + echo[: len(near.noisy)].astype(np.float32)
        rest = random.uniform(0, 1) * echo[: len(near.clean)].astype(np.float32)
        sounds = (far.clean, microphone, near.clean + rest)
        rows = np.stack([mel_decibels(sound, 160, 513, 256, RATE) for sound in sounds])
        batches.append({"input": rows[None], "h0": np.zeros((4, 1, 64), np.float32)})
    return batches


@cache
def _windows(part: int) -> NDArray[np.float32]:
    """Return mel windows of phrases, some of which are wake words: float32 [N, 76, 32, 1]."""
    random = np.random.default_rng([part, 13])
    model = plain_session(fetch(OPEN_WAKE_WORD, CACHE) / "melspectrogram.onnx", threads=1)
    windows = []
    for voice in utterances("phrases")[24 * part : 24 * part + 24]:
        sound = np.pad(voice * random.uniform(0.3, 0.9), (20_000, 6_000))
        sound += random.normal(0, 10 ** random.uniform(-3.5, -1.7), len(sound))
        values = np.round(sound * 32_767).astype(np.float32)[None]
        rows = model.run(None, {"input": values})[0].reshape(-1, 32) / 10 + 2
        windows.append(np.stack([rows[at : at + 76] for at in range(0, len(rows) - 76, 8)]))
    return np.concatenate(windows)[..., None].astype(np.float32)


@cache
def _heard(part: int) -> list[NDArray[np.float32]]:
    """Return features of 16 windows each: float32 [1, 16, 96]."""
    path = fetch(OPEN_WAKE_WORD, CACHE) / "embedding_model.onnx"
    features = plain_session(path, threads=1).run(None, {"input_1": _windows(part)})[0]
    return _sixteens(features.reshape(-1, 96))


def _sixteens(features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    rows = range(len(features) - 16)
    return [np.ascontiguousarray(features[at : at + 16][None]) for at in rows]


def _head_scores(run: Run) -> Sequence[float]:
    head = plain_session(fetch(OPEN_WAKE_WORD, CACHE) / "hey_jarvis_v0.1.onnx", threads=1)
    windows = _windows(1)
    features = [run({"input_1": window[None]})[0].reshape(96) for window in windows]
    rows = _sixteens(np.stack(features))
    return [float(head.run(None, {"x.1": row})[0][0, 0]) for row in rows]


def _framed(count: int, first: int) -> Iterator[tuple[Batch, NDArray[np.bool_]]]:
    """Yield four seconds in frames of 512 samples with 64 before them, and where speech is."""
    for clip in clips(count, first, 4.0):
        rows = frames(np.pad(clip.noisy, (64, 0)), 576, 512)
        state = np.zeros((1, 1, 128), np.float32)
        spoken_in = clip.speaks[: len(rows) * 512].reshape(-1, 512).mean(1) > 0.5
        yield {"input": rows, "h": state, "c": state}, spoken_in


def _speech_found(count: int, run: Run) -> float:
    scores, wanted = [], []
    for batch, spoken_in in _framed(count, HELD_OUT):
        scores.append(run(batch)[0].ravel())
        wanted.append(spoken_in)
    return area_under_curve(np.concatenate(scores), np.concatenate(wanted))
