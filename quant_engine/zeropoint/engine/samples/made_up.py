"""Inputs that are made up within what a graph allows, for models that come without samples."""

import itertools
import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from zeropoint.engine.report import TensorSpec
from zeropoint.engine.runtime import RuntimeRefusal
from zeropoint.engine.samples.signature import dtype_of
from zeropoint.engine.settings import Batch

# Sizes for unknown axes, the most useful first: images have their own.
_SIZES = (32, 16, 8, 64, 48, 128, 224, 256, 512, 4, 2, 1)
_IMAGE_SIZES = (64, 32, 48, 224, 16, 128, 256, 512, 8, 4, 2, 1)
_IMAGE_RANK = 4

_MOST_ATTEMPTS = 96
_MOST_ELEMENTS = 1 << 24

_WORDS = ("a", "text", "of", "words")
_FULL_RANGE = frozenset({np.dtype(np.uint8), np.dtype(np.int8)})


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRange:
    """What an input may be, as far as the graph tells.

    Attributes:
        spec: Its name, element type and shape, with the sizes that weights fix.
        below: Exclusive upper end of its integers; None where nothing limits them.
        choices: Constants that its integers are compared with, ascending.
        words: Text that its text is looked up among, in the order of their characters.
    """

    spec: TensorSpec
    below: int | None = None
    choices: tuple[int, ...] = ()
    words: tuple[str, ...] = ()


class CannotGenerate(Exception):  # noqa: N818 - an outcome
    """No inputs could be made up with which the model runs."""


Runner = Callable[[Batch], Sequence[Any]]
"""Runs the model and returns the outputs; raises RuntimeRefusal where it does not run."""


def generate_batches(
    ranges: Sequence[InputRange], run: Runner, count: int, seed: int = 0
) -> tuple[Batch, ...]:
    """Make up batches with which the model runs and gives finite outputs.

    Sizes of unknown axes are tried until the model runs, with 1 for the batch axis: first one
    size for all others, then 1 for some of them, then mixtures. Integers stay below the rows of
    the tables that they index or are among the constants that they are compared with; others are
    1, as in a mask. Text is what it is looked up among. Floats are normal (0, 1). All batches have
    the same shapes; the same seed gives the same batches.

    Raises:
        CannotGenerate: with the reason.
    """
    inputs = [_Input.of(known) for known in ranges]
    refusal = "no size of the unknown axes was found that fits together"
    for shapes in itertools.islice(_shapes(inputs), _MOST_ATTEMPTS):
        try:
            if not _gives_values(run(_make(inputs, shapes, (seed, 0)))):
                refusal = "made-up inputs give no finite outputs"
                continue
        except RuntimeRefusal as error:
            refusal = str(error).splitlines()[0]
            continue
        return tuple(_make(inputs, shapes, (seed, index)) for index in range(count))
    raise CannotGenerate(f"no inputs could be made up with which the model runs: {refusal}")


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int | str, ...]
    known: InputRange

    @classmethod
    def of(cls, known: InputRange) -> "_Input":
        name, element_type, shape = known.spec.name, known.spec.element_type, known.spec.shape
        if element_type == TensorProto.UNDEFINED or shape is None:
            raise CannotGenerate(f"input {name!r} is no tensor, or its rank is not known")
        sizes = tuple(_size(name, axis, size) for axis, size in enumerate(shape))
        return cls(name, dtype_of(element_type), sizes, known)


def _size(name: str, axis: int, size: int | str | None) -> int | str:
    # Exporters write "?" for any axis they know nothing of: no two of these are the same.
    if size is None or (isinstance(size, str) and not any(map(str.isalpha, size))):
        return f"{name}#{axis}"
    return size


def _shapes(inputs: Sequence[_Input]) -> Iterator[Mapping[str, int]]:
    """Return sizes for all symbols, attempt by attempt."""
    symbols = dict.fromkeys(size for i in inputs for size in i.shape if isinstance(size, str))
    batch = {size for i in inputs for size in i.shape[:1] if isinstance(size, str)}
    sums = {symbol: terms for symbol in symbols if (terms := _terms(symbol, symbols))}
    free = [symbol for symbol in symbols if symbol not in batch and symbol not in sums]
    images = any(len(i.shape) >= _IMAGE_RANK for i in inputs)
    sizes = _IMAGE_SIZES if images else _SIZES
    uniform = ((size,) * len(free) for size in sizes)
    with_ones = (mix for size in sizes for mix in itertools.product((size, 1), repeat=len(free)))
    mixed = itertools.product(sizes, repeat=len(free))
    seen = set()
    for choice in itertools.chain(uniform, with_ones, mixed):
        if choice not in seen:
            seen.add(choice)
            chosen = {**dict.fromkeys(batch, 1), **dict(zip(free, choice, strict=True))}
            chosen |= {symbol: sum(chosen[term] for term in sums[symbol]) for symbol in sums}
            yield chosen


def _terms(symbol: str, symbols: Container[str]) -> list[str]:
    """Return the symbols that one such as "past_length + length" is the sum of."""
    terms = [term.strip() for term in symbol.split("+")]
    return terms if len(terms) > 1 and all(term in symbols for term in terms) else []


def _make(
    inputs: Sequence[_Input], sizes: Mapping[str, int], seed: tuple[int, int]
) -> dict[str, NDArray[np.generic]]:
    batch = {}
    for index, slot in enumerate(inputs):
        shape = tuple(sizes[size] if isinstance(size, str) else size for size in slot.shape)
        if math.prod(shape) > _MOST_ELEMENTS:
            raise RuntimeRefusal(f"input {slot.name!r} of shape {shape} is too large to make up")
        batch[slot.name] = _values(slot, shape, np.random.default_rng((*seed, index)))
    return batch


def _values(
    slot: _Input, shape: tuple[int, ...], random: np.random.Generator
) -> NDArray[np.generic]:
    dtype, known = slot.dtype, slot.known
    if dtype.kind == "O":
        words = np.array(known.words or _WORDS, np.object_)
        return words[np.asarray(random.integers(0, len(words), shape))].reshape(shape)
    if dtype.kind not in "iub":
        return np.asarray(random.standard_normal(shape)).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    info = np.iinfo(dtype.name)
    if known.below is not None:
        return random.integers(0, min(known.below, info.max), shape).astype(dtype)
    if known.choices:
        return random.choice(np.array(known.choices), shape).astype(dtype)
    if dtype in _FULL_RANGE:
        return random.integers(info.min, info.max, shape, endpoint=True).astype(dtype)
    return np.ones(shape, dtype)


def _gives_values(outputs: Sequence[Any]) -> bool:
    """Whether there is an element, and every float among the elements is finite."""
    arrays = list(_arrays(list(outputs)))
    floats = (array for array in arrays if array.dtype.kind == "f")
    return any(array.size for array in arrays) and all(np.isfinite(array).all() for array in floats)


def _arrays(output: Any) -> Iterator[NDArray[np.generic]]:
    """Return the arrays of an output: itself, or those of what a sequence or map holds."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list):
        for item in output:
            yield from _arrays(item)
    elif output is not None:
        yield np.asarray(output)
