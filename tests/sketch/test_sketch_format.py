"""The serialized form: the committed vectors, round trips, and bytes made to mislead."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from zeropoint.sketch import Sketch, SketchFormatError, varint

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())


def named(vectors: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


@named(VECTORS["valid"])
def test_vectors_are_written_and_read(vector: dict[str, Any]) -> None:
    patterns = [int(pattern, 16) for pattern in vector["values"]]
    sketch = Sketch()
    sketch.update(np.array(patterns, dtype=np.uint32).view(np.float32))
    data = bytes.fromhex(vector["sketch"])
    assert sketch.to_bytes() == data
    assert Sketch.from_bytes(data) == sketch


@named(VECTORS["malformed"])
def test_malformed_vectors_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(SketchFormatError):
        Sketch.from_bytes(bytes.fromhex(vector["sketch"]))


def test_the_example_of_the_page_is_a_vector() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sketch-format.md").read_text()
    lines = page.split("## An example")[1].split("```")[1].strip().splitlines()
    octets = "".join(word for line in lines for word in line[:22].split() if len(word) == 2).lower()
    (example,) = (v for v in VECTORS["valid"] if "sketch-format.md" in v["name"])
    assert octets == example["sketch"]


FLOATS = hnp.arrays(np.float32, st.integers(0, 80), elements=st.floats(width=32))


@given(FLOATS, st.lists(FLOATS, max_size=3))
def test_round_trip(first: NDArray[np.float32], others: list[NDArray[np.float32]]) -> None:
    sketch = Sketch()
    for values in (first, *others):
        sketch.update(values)
    again = Sketch.from_bytes(sketch.to_bytes())
    assert again == sketch
    assert again.to_bytes() == sketch.to_bytes()
    for name in ("elements", "finite", "nan", "minimum", "maximum"):
        assert getattr(again, name) == getattr(sketch, name)
    again.update(first)
    sketch.update(first)
    assert again == sketch


@given(FLOATS, st.data())
def test_damaged_bytes_are_refused_or_are_another_sketch(
    values: NDArray[np.float32], data: st.DataObject
) -> None:
    """Whatever is accepted is canonical: it is written again as the same bytes."""
    sketch = Sketch()
    sketch.update(values)
    damaged = bytearray(sketch.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        accepted = Sketch.from_bytes(bytes(damaged))
    except SketchFormatError:
        return
    assert accepted.to_bytes() == bytes(damaged)


@given(st.binary(max_size=60))
def test_noise_is_refused_or_canonical(noise: bytes) -> None:
    data = b"ZPSK\x01" + noise
    try:
        accepted = Sketch.from_bytes(data)
    except SketchFormatError:
        return
    assert accepted.to_bytes() == data


def test_every_code_at_once_is_shorter_than_the_limit() -> None:
    patterns = np.arange(2**16, dtype=np.uint32) << np.uint32(16)
    sketch = Sketch()
    sketch.update(patterns.view(np.float32))
    data = sketch.to_bytes()
    assert Sketch.from_bytes(data) == sketch
    with pytest.raises(SketchFormatError, match="longer"):
        Sketch.from_bytes(data + bytes(1 << 20))


def reference_varint(number: int) -> bytes:
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)))
def test_varints(numbers: list[int]) -> None:
    encoded = varint.encode(np.array(numbers, dtype=np.uint64))
    assert encoded == b"".join(map(reference_varint, numbers))
    assert varint.decode(b"xy" + encoded, 2).tolist() == numbers
