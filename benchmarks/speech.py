"""Speech that eSpeak NG synthesizes, in many voices, with noise: always the same for a seed."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.models import CACHE

from benchmarks.child import ROOT
from zeropoint.client.demo.models import Member, Wheel, fetch

ESPEAK = Wheel(
    "espeakng-loader",
    "0.2.4",
    tuple(
        Member(f"espeakng_loader/{name}", sha256)
        for name, sha256 in (
            (
                "libespeak-ng.so",
                "b15ce0803b26254e8a0d088c6b9281a2637b2b02613147cc320cfdefaf2c3ccf",
            ),
            (
                "espeak-ng-data/en_dict",
                "1053f74a34af38abb6fbd64b7838dacbc655a687c48ce1bb663d364a127b05de",
            ),
            (
                "espeak-ng-data/intonations",
                "031a105bf6bb2ebcd73a2c579ccfb42469b27266db0078af65ae298fd3588b21",
            ),
            (
                "espeak-ng-data/phondata",
                "a0b643b155cb6b12628d9e7865b57d9fca0d35844614f2594a5e009c80c80bb4",
            ),
            (
                "espeak-ng-data/phonindex",
                "384e5fa6f714ba5356c58008249b78699c31c1ad044b243068d263fb806b7d73",
            ),
            (
                "espeak-ng-data/phontab",
                "1b40690667e1e9aa1ba5e5234773c799e7e72ea751426e5150423d53c3f24fa2",
            ),
            (
                "espeak-ng-data/lang/gmw/en-US",
                "41534c2a22df5dd4f1052ff9e1a33a3ea7bff5a26b5c02bdad5ba8ddb7524704",
            ),
        )
    ),
)
"""eSpeak NG for Linux on x86-64 with one language (GPL-3.0; it makes data, and is not shipped)."""

RATE = 16_000
"""Samples a second."""
HELD_OUT = 900
"""Seed of the first clip that no calibration sees."""
PHRASES = ("hey jarvis", "hey mycroft", "hey jar", "play garnish", "stay my soft", "alexa")
"""Wake words, and what sounds somewhat like them."""

_RETRIEVE, _SPEED, _PITCH, _INTONATION, _UTF8 = 2, 1, 3, 4, 1  # of espeak-ng/speak_lib.h
_SENTENCES, _PHRASES = 240, 72
_WORDS = """
the weather today was cold and bright so we walked along a narrow river until evening
please open seven windows before music starts again she never wrote another letter about
green apples or yellow boats my brother sells old machines every thursday morning under
heavy rain children quickly found their small dog behind that stone church yesterday
"""


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording.

    Attributes:
        clean: Speech alone: float32 [N], below 1.
        noisy: The same with noise.
        speaks: Where somebody speaks: bool [N].
    """

    clean: NDArray[np.float32]
    noisy: NDArray[np.float32]
    speaks: NDArray[np.bool_]


def clips(count: int, first: int, seconds: float) -> Iterator[Clip]:
    """Yield recordings of sentences between pauses.

    Args:
        count: How many.
        first: Seed of the first one; the others follow. Those from `HELD_OUT` on have other
            sentences and voices than those below.
        seconds: Length of each.
    """
    for seed in range(first, first + count):
        sentences = utterances("sentences")[seed >= HELD_OUT :: 2]
        yield _clip(sentences, np.random.default_rng([seed, 3]), round(seconds * RATE))


@cache
def utterances(name: str) -> Sequence[NDArray[np.float32]]:
    """Return speech in many voices: float32 [N] at `RATE` each, at most 1.

    Args:
        name: "sentences", or "phrases": those of `PHRASES` in turns.
    """
    kept = fetch(ESPEAK, CACHE) / f"{name}.npz"
    if not kept.is_file():
        # What eSpeak NG gives depends on all that it said before: a process always says the same.
        command = [sys.executable, "-m", "benchmarks.speech", name, str(kept.with_suffix(".part"))]
        subprocess.run(command, cwd=ROOT, check=True)
        kept.with_suffix(".part").replace(kept)
    with np.load(kept) as stored:
        return [stored[key].astype(np.float32) / np.float32(1 << 15) for key in stored.files]


def _synthesize(name: str, target: Path) -> None:
    random = np.random.default_rng(len(name))
    if name == "phrases":
        texts = [PHRASES[index % len(PHRASES)] for index in range(_PHRASES)]
    else:
        counts = random.integers(2, 7, _SENTENCES)
        texts = [" ".join(random.choice(_WORDS.split(), count)) for count in counts]
    said = [np.round(_spoken(text, random) * 32_767).astype(np.int16) for text in texts]
    with target.open("wb") as file:
        np.savez(file, *said)


def _spoken(text: str, random: np.random.Generator) -> NDArray[np.float32]:
    library, rate = _library()
    settings = {
        _SPEED: int(random.integers(130, 211)),
        _PITCH: int(random.integers(15, 90)),
        _INTONATION: int(random.integers(30, 80)),
    }
    for parameter, value in settings.items():
        library.espeak_SetParameter(parameter, value, 0)
    parts: list[NDArray[np.int16]] = []

    def collect(values: Any, count: int, _events: int | None) -> int:
        if values and count > 0:
            parts.append(np.ctypeslib.as_array(values, (count,)).copy())
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    content = text.encode()
    library.espeak_Synth(content, len(content) + 1, 0, 0, 0, _UTF8, None, None)
    samples = np.concatenate(parts).astype(np.float32) / np.float32(1 << 15)
    return _resampled(samples, rate, random.uniform(0.93, 1.08))


def _resampled(samples: NDArray[np.float32], rate: int, stretch: float) -> NDArray[np.float32]:
    """Return samples at `RATE`; a stretch makes the speaker's throat longer or shorter."""
    spectrum = np.fft.rfft(samples)
    length = round(len(samples) * RATE / rate * stretch)
    cut = np.zeros(length // 2 + 1, complex)
    size = min(len(cut), len(spectrum))
    cut[:size] = spectrum[:size]
    values = np.fft.irfft(cut, length) * (length / len(samples))
    return np.asarray(values / max(1.0, np.abs(values).max()), np.float32)


def _clip(
    sentences: Sequence[NDArray[np.float32]], random: np.random.Generator, length: int
) -> Clip:
    clean, speaks = np.zeros(length, np.float32), np.zeros(length, bool)
    position = int(random.uniform(0.1, 0.8) * RATE)
    while position < length:
        sentence = sentences[int(random.integers(len(sentences)))]
        voice = sentence * np.float32(random.uniform(0.3, 0.9))
        part = voice[: length - position]
        clean[position : position + len(part)] = part
        speaks[position : position + len(part)] = True
        position += len(part) + int(random.uniform(0.3, 1.2) * RATE)
    level = np.sqrt(np.mean(clean**2)) + 1e-4
    noise = _noise(random, length) * level * 10 ** (-random.uniform(0, 20) / 20)
    mixed = clean + noise
    peak = max(1.0, float(np.abs(mixed).max()))
    return Clip(clean / np.float32(peak), (mixed / peak).astype(np.float32), speaks)


def _noise(random: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Return coloured noise with hum and clicks, mean square 1."""
    spectrum = np.fft.rfft(random.normal(size=length))
    frequencies = np.fft.rfftfreq(length, 1 / RATE)
    spectrum /= np.maximum(frequencies, 20.0) ** random.uniform(0, 1)
    noise = np.fft.irfft(spectrum, length)
    noise /= noise.std()
    time = np.arange(length) / RATE
    noise += random.uniform(0, 0.7) * np.sin(2 * np.pi * random.choice([50, 60, 120]) * time)
    for begin in random.integers(0, length, int(random.integers(0, 6))):
        knock = np.exp(-np.arange(min(800, length - begin)) / 120)
        noise[begin : begin + len(knock)] += random.normal(size=len(knock)) * 6 * knock
    scaled: NDArray[np.float64] = noise / noise.std()
    return scaled


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    """Return the library with a voice, and the samples a second that it gives."""
    flat = fetch(ESPEAK, CACHE)
    for member in ESPEAK.members:
        target = flat / Path(member.path).relative_to("espeakng_loader")
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(flat / member.name, target)
    library = ctypes.CDLL(str(flat / "libespeak-ng.so"))
    rate = library.espeak_Initialize(_RETRIEVE, 0, str(flat).encode(), 0)
    if rate <= 0 or library.espeak_SetVoiceByName(b"en-us"):
        raise RuntimeError("eSpeak NG does not load its data")
    return library, rate


if __name__ == "__main__":
    _synthesize(sys.argv[1], Path(sys.argv[2]))
