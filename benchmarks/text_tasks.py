"""Tasks on text: marks of vowels, words and their kinds. The text is that of Django's catalogs."""

import gettext
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.models import CACHE

from benchmarks.tasks import Batch, Run, Task, agreement
from zeropoint.client.demo.models import Member, Wheel, fetch

_CATALOGS = {
    "he": "a9432447f328aa96390fc1a41ce041e1d71c0ee99183562e71c3ce219b9d663e",
    "ar": "a816843e17c9c5dda62b5b8f1fb274ea13c8dff95e44fb1691581c2ad25202f4",
    "ja": "c56fe1a8b51d0ef5a95eb40b8f418f6874e75eec78c67a143d290db792c86102",
}

PIPER = Wheel(
    "piper-tts",
    "1.8.0",
    (
        Member(
            "piper/hebrew/nakdimon.onnx",
            "9ff491dcc7d66392019d427a98b97d5de10c0d721628ae740858174ae22b190e",
        ),
        Member(
            "piper/tashkeel/model.onnx",
            "52c40d42ca094ff9ff07a091d0a1eafd7baa5cf2388e60a9cc89bacd8e5e955f",
        ),
        Member(
            "piper/tashkeel/input_id_map.json",
            "727a49aa3c7e939dc06f32b27c2e06c4c4bbef596dce4bf51276261ca736c3c3",
        ),
    ),
)
"""Vowel marks of Hebrew (Nakdimon, MIT: LSTM) and Arabic (libtashkeel, MIT: transformer)."""

IMITATOR = Wheel(
    "unidic-lite-imitator",
    "0.2.1",
    (
        Member(
            "unidic_lite_imitator/model.onnx",
            "6cf54a6b3c3988cf7ebc1920be4737103a246fa63fcafdf5f771d8911c547ea8",
        ),
        Member(
            "unidic_lite_imitator/config.json",
            "128112c2cd271f1a89285cf608364fb6e29593a96ded19fcd56d10bb8069a8ac",
        ),
    ),
)
"""Words of Japanese and their kinds (MIT): a transformer of 4 layers, int64 [1, 256]."""

_HEBREW = ["", "H", "O", "5", *" !\"'(),-.:;?", *map(chr, range(0x05D0, 0x05EB))]
_FINAL_LETTERS = dict(zip("ךםןףץ", "כמנפצ", strict=True))
_LENGTH = 256  # of the imitator
_PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|[{}<>]|\s+")


def text_tasks() -> Iterator[Task]:
    """Yield all of them."""
    yield Task(
        name="Nakdimon",
        metric="vowel marks as float gives",
        path=lambda: fetch(PIPER, CACHE) / "nakdimon.onnx",
        calibration=lambda count: _hebrew()[:count],
        score=lambda count, run, original: agreement(
            *(
                [mark for each in _hebrew()[-count:] for mark in _marks(side(each))]
                for side in (run, original)
            )
        ),
    )
    yield Task(
        name="libtashkeel",
        metric="vowel marks as float gives",
        path=lambda: fetch(PIPER, CACHE) / "model.onnx",
        calibration=lambda count: _arabic()[:count],
        score=lambda count, run, original: agreement(
            *(
                [mark for each in _arabic()[-count:] for mark in side(each)[0].ravel().tolist()]
                for side in (run, original)
            )
        ),
    )
    yield Task(
        name="UniDic imitator",
        metric="kinds of characters as float gives",
        path=lambda: fetch(IMITATOR, CACHE) / "model.onnx",
        calibration=lambda count: _japanese()[:count],
        score=_kinds_kept,
    )


@cache
def _sentences(language: str) -> tuple[str, ...]:
    wheel = Wheel(
        "django",
        "5.2.19",
        (
            Member(
                f"django/conf/locale/{language}/LC_MESSAGES/django.mo",
                _CATALOGS[language],
            ),
        ),
    )
    with (fetch(wheel, CACHE / language) / "django.mo").open("rb") as file:
        catalog = gettext.GNUTranslations(file)
    texts = (catalog.gettext(key) for key in sorted(_keys(catalog)))
    plain = (_PLACEHOLDER.sub(" ", text).strip() for text in texts)
    return tuple(text for text in plain if len(text) > 12)[:120]


def _keys(catalog: gettext.GNUTranslations) -> set[str]:
    """Return the keys of plain messages."""
    return {key for key in vars(catalog)["_catalog"] if isinstance(key, str) and key}


def _hebrew() -> list[Batch]:
    """Return the place of each letter in the model's alphabet, as float32."""
    codes = {letter: index for index, letter in enumerate(_HEBREW)}
    return [
        {
            "input_1": np.array(
                [[codes.get(_FINAL_LETTERS.get(letter, letter), 2) for letter in text]],
                np.float32,
            )
        }
        for text in _sentences("he")
    ]


def _marks(outputs: Sequence[NDArray[Any]]) -> list[int]:
    return [int(code) for output in outputs for code in output[0].argmax(-1)]


def _arabic() -> list[Batch]:
    path = fetch(PIPER, CACHE) / "input_id_map.json"
    codes: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    batches: list[Batch] = []
    for text in _sentences("ar"):
        letters = np.array([[codes[letter] for letter in text if letter in codes]], np.int64)
        lengths = np.array([letters.shape[1]], np.int64)
        batches.append(
            {
                "char_inputs": letters,
                "diac_inputs": np.zeros_like(letters),
                "input_lengths": lengths,
            }
        )
    return batches


def _japanese() -> list[Batch]:
    path = fetch(IMITATOR, CACHE) / "config.json"
    alphabet: str = json.loads(path.read_text(encoding="utf-8"))["chars"]
    codes = {letter: index + 3 for index, letter in enumerate(alphabet)}
    batches: list[Batch] = []
    for text in _sentences("ja"):
        known = [codes.get(letter, 2) for letter in text[:_LENGTH]]
        rest = _LENGTH - len(known)
        batches.append(
            {
                "input.1": np.array([known + [0] * rest], np.int64),
                "onnx::Unsqueeze_1": np.array([[1] * len(known) + [0] * rest], np.int64),
                "input.3": np.zeros((1, _LENGTH), np.int64),
            }
        )
    return batches


def _kinds_kept(count: int, run: Run, original: Run) -> float:
    answers: list[list[int]] = [[], []]
    for batch in _japanese()[-count:]:
        size = int(batch["onnx::Unsqueeze_1"].sum())
        for side, kept in zip((run, original), answers, strict=True):
            kept += side(batch)[0][0, :size].tolist()
    return agreement(*answers)
