"""The sketch: monoid laws, both ways of counting, and a model in plain Python to compare with."""

import math
import struct
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.sketch import (
    Sketch,
    SketchOverflowError,
    bins_by_value,
    compiled,
    counting,
    plain,
    warm,
)
from zeropoint.sketch.pages import Pages
from zeropoint.sketch.sketch import MAX_ELEMENTS
from zeropoint.sketch.tally import Tally

SPECIAL = [
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x0000FFFF, 0x8000FFFF, 0x00010000,
    0x007FFFFF, 0x807FFFFF, 0x00800000, 0x80800000, 0x3F800000, 0xBF800000, 0x3F80FFFF,
    0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFF800001, 0x7FC00000,
    0xFFFFFFFF, 0x7FFFFFFF,
]  # fmt: skip
PATTERNS = st.one_of(
    st.sampled_from(SPECIAL),
    st.integers(0, 2**32 - 1),
    st.floats(-8, 8, width=32).map(lambda x: struct.unpack("<I", struct.pack("<f", x))[0]),
)


def as_floats(patterns: list[int]) -> NDArray[np.float32]:
    return np.array(patterns, dtype=np.uint32).view(np.float32)


ARRAYS = st.lists(PATTERNS, max_size=60).map(as_floats)


def sketch_of(*arrays: NDArray[np.floating]) -> Sketch:
    sketch = Sketch()
    for array in arrays:
        sketch.update(array)
    return sketch


@given(ARRAYS)
@example(as_floats([0x80000000]))
@example(as_floats([0x7F800001, 0xFF800000]))
@example(as_floats(SPECIAL))
def test_a_sketch_is_what_its_definition_says(values: NDArray[np.float32]) -> None:
    sketch = sketch_of(values)
    finite = [float(x) for x in values if math.isfinite(x)]
    patterns = [struct.unpack("<I", struct.pack("<f", x + 0.0))[0] for x in finite]
    expected = sorted(Counter(pattern >> 16 for pattern in patterns).items())
    assert list(zip(sketch.codes.tolist(), sketch.counts.tolist(), strict=True)) == expected
    assert sketch.elements == len(values)
    assert sketch.nan == sum(math.isnan(x) for x in values)
    assert sketch.positive_infinity == sum(float(x) == math.inf for x in values)
    assert sketch.negative_infinity == sum(float(x) == -math.inf for x in values)
    assert sketch.minimum == (min(finite) if finite else None)
    assert sketch.maximum == (max(finite) if finite else None)
    for extreme in (sketch.minimum, sketch.maximum):
        assert extreme is None or extreme != 0 or math.copysign(1, extreme) == 1


@given(ARRAYS, st.integers(1, 40), st.integers(0, 5000))
def test_compiled_and_plain_counting_agree(
    values: NDArray[np.float32], repeats: int, offset: int
) -> None:
    """Long arrays cross the blocks of both."""
    values = np.concatenate([np.full(offset, 1.5, np.float32), np.tile(values, repeats * 7)])
    tables = Pages(), Pages()
    tallies = compiled.count(values, tables[0]), plain.count(values, tables[1])
    assert tallies[0] == tallies[1]
    for found, expected in zip(*(table.codes_and_counts() for table in tables), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [compiled.count, plain.count])
@pytest.mark.parametrize("patterns", [SPECIAL, [0x80000000], [0], [0x7F800000]])
def test_counting_agrees_with_a_histogram_of_large_arrays(
    count: counting.Counter, patterns: list[int]
) -> None:
    generator = np.random.default_rng(5)
    random = generator.integers(0, 2**32, 300_001, dtype=np.uint32)
    runs = np.repeat(np.array(patterns, dtype=np.uint32), 20_011)
    bits = np.concatenate([random, runs])
    pages = Pages()
    for part in (bits, bits[1:], bits[:-1]):
        tally = count(part.view(np.float32), pages)
        assert tally.elements == len(part)
        assert tally.nan == np.count_nonzero(np.isnan(part.view(np.float32)))
    codes = np.concatenate([bits, bits[1:], bits[:-1]])
    codes = np.where(codes == 0x80000000, 0, codes) >> 16
    expected = np.bincount(codes[(codes & 0x7F80) != 0x7F80], minlength=65536)
    found_codes, found_counts = pages.codes_and_counts()
    np.testing.assert_array_equal(found_codes, np.flatnonzero(expected))
    np.testing.assert_array_equal(found_counts, expected[found_codes])


@given(ARRAYS, ARRAYS)
def test_what_is_moved_joins_the_others_and_leaves_an_empty_sketch(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> None:
    merged, moved, other = sketch_of(a), sketch_of(a), sketch_of(b)
    merged.merge(other)
    moved.move(other)
    assert moved == merged
    assert other == Sketch()
    other.update(a)
    assert other == sketch_of(a)
    assert sketch_of(a).empty_copy() == Sketch()


@pytest.mark.parametrize("leave", [True, False])
@given(a=ARRAYS, b=ARRAYS)
def test_compiled_and_plain_merging_agree(
    leave: bool, a: NDArray[np.float32], b: NDArray[np.float32]
) -> None:
    """Into a table that has pages of its own, and once more when it has them all."""
    merges: tuple[counting.Merger, ...] = compiled.merge, plain.merge
    for merge in merges:
        pages, other = Pages(), Pages()
        plain.count(a, pages)
        plain.count(b, other)
        merge(pages, other, leave=leave)
        expected = sketch_of(a, b)
        np.testing.assert_array_equal(pages.codes_and_counts()[1], expected.counts)
        np.testing.assert_array_equal(pages.codes_and_counts()[0], expected.codes)
        assert other.rows.any() == (leave and bool(len(sketch_of(b).codes)))
        merge(pages, other, leave=leave)
        again = sketch_of(a, b, b) if leave else expected
        np.testing.assert_array_equal(pages.codes_and_counts()[1], again.counts)


@given(ARRAYS, ARRAYS)
def test_merge_is_commutative(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    left, right = sketch_of(a), sketch_of(b)
    left.merge(sketch_of(b))
    right.merge(sketch_of(a))
    assert left == right
    assert left.to_bytes() == right.to_bytes()


@given(ARRAYS, ARRAYS, ARRAYS)
def test_merge_is_associative(
    a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]
) -> None:
    first_two = sketch_of(a)
    first_two.merge(sketch_of(b))
    first_two.merge(sketch_of(c))
    last_two = sketch_of(b)
    last_two.merge(sketch_of(c))
    whole = sketch_of(a)
    whole.merge(last_two)
    assert first_two == whole


@given(ARRAYS)
def test_the_empty_sketch_is_neutral(values: NDArray[np.float32]) -> None:
    sketch, empty = sketch_of(values), Sketch()
    sketch.merge(Sketch())
    empty.merge(sketch)
    assert sketch == sketch_of(values) == empty


@given(values=ARRAYS, cuts=st.lists(st.integers(0, 60), max_size=4), random=st.randoms())
def test_order_and_sharding_change_nothing(
    values: NDArray[np.float32], cuts: list[int], random: Random
) -> None:
    shuffled = list(values.view(np.uint32).tolist())
    random.shuffle(shuffled)
    total = Sketch()
    for shard in np.split(as_floats(shuffled), sorted(cuts)):
        total.merge(sketch_of(shard))
    assert total.to_bytes() == sketch_of(values).to_bytes()


def test_float16_counts_as_the_float32_that_it_is() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    many = np.tile(halves, 5)
    assert sketch_of(many) == sketch_of(many.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.dtype(">f4")])
def test_other_types_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(TypeError, match="float32 or float16"):
        Sketch().update(np.zeros(3, dtype=dtype))


def test_layout_does_not_matter() -> None:
    values = np.random.default_rng(1).standard_normal((6, 7, 8)).astype(np.float32)
    expected = sketch_of(values)
    raw = bytearray(1 + values.nbytes)
    raw[1:] = values.tobytes()
    unaligned = np.frombuffer(raw, dtype=np.float32, offset=1)
    assert not unaligned.flags.aligned
    read_only = np.frombuffer(values.tobytes(), dtype=np.float32)
    assert not read_only.flags.writeable
    doubled = np.repeat(values, 2, axis=1)
    for other in (values.T, np.asfortranarray(values), doubled[:, ::2], unaligned, read_only):
        assert sketch_of(other) == expected


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_empty_arrays_add_nothing(shape: tuple[int, ...]) -> None:
    assert sketch_of(np.zeros(shape, dtype=np.float32)) == Sketch()
    assert sketch_of(np.zeros(shape, dtype=np.float16)) == Sketch()


def test_scalars_count() -> None:
    sketch = sketch_of(np.array(2.5, dtype=np.float32))
    assert (sketch.elements, sketch.minimum, sketch.codes.tolist()) == (1, 2.5, [0x4020])


def test_too_many_elements_are_refused_and_change_nothing() -> None:
    huge = Sketch()
    huge._tally = Tally(MAX_ELEMENTS, MAX_ELEMENTS)
    before = huge.to_bytes()
    with pytest.raises(SketchOverflowError):
        huge.merge(sketch_of(np.zeros(1, np.float32)))
    with pytest.raises(SketchOverflowError):
        huge.update(np.zeros(1, np.float32))
    assert huge.to_bytes() == before


@given(ARRAYS)
def test_bins_are_ordered_and_hold_their_values(values: NDArray[np.float32]) -> None:
    sketch = sketch_of(values)
    bins = bins_by_value(sketch.codes, sketch.counts)
    assert np.all(bins.low < bins.high)
    assert np.all(bins.high[:-1] <= bins.low[1:])
    magnitude = np.minimum(np.abs(bins.low), np.abs(bins.high))
    assert np.all(bins.high - bins.low <= np.maximum(magnitude * 2.0**-7, 2.0**-133))
    finite = np.sort(values[np.isfinite(values)]).astype(np.float64)
    starts = np.cumsum(bins.counts.astype(np.int64)) - bins.counts.astype(np.int64)
    for low, high, start, count in zip(bins.low, bins.high, starts, bins.counts, strict=True):
        held = finite[start : start + int(count)]
        assert np.all((held >= low) & (held <= high))


def test_memory_is_that_of_the_pages_in_use() -> None:
    values = np.random.default_rng(2).standard_normal(100_000).astype(np.float32)
    assert sketch_of(values).nbytes < 64 << 10


def test_threads_may_count_into_sketches_of_their_own() -> None:
    values = np.random.default_rng(9).standard_normal(500_000).astype(np.float32)
    sketches = [Sketch() for _ in range(4)]

    def count(sketch: Sketch) -> None:
        for part in np.array_split(values, 20):
            sketch.update(part)

    threads = [threading.Thread(target=count, args=(sketch,)) for sketch in sketches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(sketch == sketch_of(values) for sketch in sketches)


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from zeropoint.sketch import Sketch, warm
warm()
sketch = Sketch()
sketch.update(np.linspace(-3, 5, 10007, dtype=np.float32))
assert "zeropoint.sketch.compiled" not in sys.modules
print(sketch.to_bytes().hex())
"""


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_without_numba_the_plain_form_serves() -> None:
    expected = sketch_of(np.linspace(-3, 5, 10007, dtype=np.float32))
    assert run_python(WITHOUT_NUMBA) == expected.to_bytes().hex()


WITH_A_FULL_DISK = """
import resource, sys
import numpy as np
from zeropoint.sketch import Sketch
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
sketch = Sketch()
sketch.update(np.linspace(-3, 5, 10007, dtype=np.float32))
print(sketch.to_bytes().hex())
"""


def test_a_full_disk_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    expected = sketch_of(np.linspace(-3, 5, 10007, dtype=np.float32))
    assert run_python(WITH_A_FULL_DISK) == expected.to_bytes().hex()


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, zeropoint.sketch; print(*sys.modules)"
    loaded = set(run_python(code).split())
    assert not loaded & {"numba", "onnx", "onnxruntime", "onnx_ir", "grpc", "google.protobuf"}


def test_warming_leaves_nothing_to_compile() -> None:
    warm()
    kernel = compiled._accumulate
    before = list(kernel.signatures)  # type: ignore[attr-defined]
    sketch_of(np.ones(3, np.float32), np.frombuffer(b"\0\0\0\0", np.float32))
    assert kernel.signatures == before  # type: ignore[attr-defined]
