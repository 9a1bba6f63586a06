"""Tasks on sound, bytes and words."""

import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.models import CACHE, MAGIKA, folder

from benchmarks.networks import TRANSFORMER
from benchmarks.tasks import Batch, Run, Task, agreement, f1
from zeropoint.client.demo.models import Member, Wheel, fetch

NOTES = Wheel(
    "basic-pitch",
    "0.4.0",
    (
        Member(
            "basic_pitch/saved_models/icassp_2022/nmp.onnx",
            "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
        ),
    ),
)
"""Notes of a recording (Apache-2.0): 43,844 samples at 22,050 Hz -> 172 frames of 88 keys."""

_SAMPLES, _RATE, _FRAMES, _KEYS, _LOWEST_KEY = 43_844, 22_050, 172, 88, 21
_HELD_OUT = 900
_SOUNDS = 0.3  # probability from which a key sounds

_EXTENSIONS = ("py", "pyc", "so", "h", "txt", "json", "toml", "html", "css", "js", "xml", "md")
_PART, _BLOCK, _PADDING = 1024, 4096, 256  # of a file, as magika reads it


def other_tasks() -> Iterator[Task]:
    """Yield all of them."""
    yield Task(
        name="basic-pitch",
        metric="F1 of notes by frame",
        path=lambda: fetch(NOTES, CACHE) / NOTES.members[0].name,
        calibration=lambda count: [batch for batch, _ in _tunes(count // 2 + 1, 0)],
        score=lambda count, run, _original: _notes_found(count // 3 + 1, run),
    )
    yield Task(
        name="magika",
        metric="file type as float says",
        path=lambda: folder(MAGIKA) / MAGIKA.members[0].name,
        calibration=lambda count: _files()[:count],
        score=lambda count, run, original: _same_types(_files()[-2 * count :], run, original),
    )
    yield Task(
        name=TRANSFORMER.name,
        metric="rank correlation of likeness with float",
        path=TRANSFORMER.path,
        calibration=lambda count: list(TRANSFORMER.batches(count)),
        score=_likeness_kept,
    )


def _notes_found(count: int, run: Run) -> float:
    hits = found = wanted = 0
    for batch, played in _tunes(count, _HELD_OUT):
        heard = run(batch)[1][0] > _SOUNDS
        hits += int((heard & played).sum())
        found, wanted = found + int(heard.sum()), wanted + int(played.sum())
    return f1(hits, found, wanted)


def _tunes(count: int, first: int) -> Iterator[tuple[Batch, NDArray[np.bool_]]]:
    """Yield two seconds of plucked notes with seven harmonics, and which keys sound when."""
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        sound, played = np.zeros(_SAMPLES), np.zeros((_FRAMES, _KEYS), np.bool_)
        for _ in range(int(random.integers(3, 9))):
            key = int(random.integers(40, 84))
            begin, length = (
                int(random.uniform(0, 1.4) * _RATE),
                int(random.uniform(0.25, 0.8) * _RATE),
            )
            part = slice(begin, begin + length)
            time = np.arange(len(sound[part])) / _RATE
            pitch = 440 * 2 ** ((key - 69) / 12)
            tones = (np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 8))
            fades = np.minimum(1, time / 0.01) * np.exp(-2 * time)
            sound[part] += fades * sum(random.uniform(0.3, 1) * tone for tone in tones)
            frames = slice(begin * _FRAMES // _SAMPLES, (begin + length) * _FRAMES // _SAMPLES)
            played[frames, key - _LOWEST_KEY] = True
        sound *= random.uniform(0.2, 0.9) / np.abs(sound).max()
        sound += random.normal(0, 0.002, _SAMPLES)
        yield {"serving_default_input_2:0": sound.astype(np.float32)[None, :, None]}, played


@cache
def _files() -> Sequence[Batch]:
    """Return files of the Python installation, kinds in turns."""
    roots = [Path(sysconfig.get_path(name)) for name in ("stdlib", "include", "purelib")]
    kinds = (
        sorted(chain.from_iterable(root.rglob(f"*.{extension}") for root in roots))[:400:8]
        for extension in _EXTENSIONS
    )
    paths = (path for turn in zip_longest(*kinds) for path in turn if path is not None)
    return [{"bytes": _read(path)} for path in paths if path.stat().st_size]


def _read(path: Path) -> NDArray[np.int32]:
    """Return both ends of a file without the blanks around it, int32 [1, 2048]."""
    content = path.read_bytes()
    begin, end = content[:_BLOCK].lstrip()[:_PART], content[-_BLOCK:].rstrip()[-_PART:]
    values = np.full((1, 2 * _PART), _PADDING, np.int32)
    values[0, : len(begin)] = list(begin)
    values[0, 2 * _PART - len(end) :] = list(end)
    return values


def _same_types(batches: Sequence[Batch], run: Run, original: Run) -> float:
    answers, expected = (
        [int(side(batch)[0].argmax()) for batch in batches] for side in (run, original)
    )
    return agreement(answers, expected)


def _likeness_kept(count: int, run: Run, original: Run) -> float:
    """Return Spearman's correlation of the likeness of all pairs of sentences."""
    batches = list(TRANSFORMER.batches(2 * count))[-count:]
    ours, theirs = (_likeness(batches, side).argsort().argsort() for side in (run, original))
    return float(np.corrcoef(ours, theirs)[0, 1])


def _likeness(batches: Sequence[Batch], run: Run) -> NDArray[np.float64]:
    """Return the cosine of each pair of embeddings."""
    outputs = (array for batch in batches for array in run(batch) if _is_embedding(array))
    embedded = np.concatenate(list(outputs)).astype(np.float64)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    likeness: NDArray[np.float64] = embedded @ embedded.T
    return likeness[np.triu_indices(len(embedded), 1)]


def _is_embedding(output: NDArray[Any]) -> bool:
    return output.ndim == 2 and output.dtype == np.float32
