"""Counting as compiled code: about 0.5 ns an element where `numpy.histogram` takes 6.

Measured on the activations of the networks in `benchmarks/`, read from memory, one call for each
tensor; 0.4 of it are the loops, near one store a cycle, and 2 us a call are Python's.

A table holds four 16-bit counters for each code, side by side in one 64-bit word; elements take
turns at them. On runs of equal values, as after Relu, a single counter would wait for its own last
store each time. Side by side, the counters of the 2,500 codes or so that a tensor uses fit into
the first-level cache with room for a block of values, and lie on few memory pages. What 16 bits
hold is moved to the 64-bit rows of `Pages` before it can overflow: after each segment.

Blocks are gone through twice. The first pass is vectorised and finds the extremes; they tell
whether there is anything that is not finite, and which pages can have been touched. The second
pass counts. Arrays too small to make up for going through whole pages are counted into the rows
one by one.

Everything is integer arithmetic on the float32 patterns. numba widens int32 arithmetic to int64,
which halves the speed of vectors: hence the casts. All of it is in one file, because numba's cache
does not notice changes in another one.
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from zeropoint.sketch.grid import CODES, SIGN
from zeropoint.sketch.pages import PAGE_CODES, PAGES, WAITING, Pages
from zeropoint.sketch.tally import Tally

_Function = TypeVar("_Function", bound=Callable[..., Any])

_LINE: Final = 16  # elements; a multiple of the four counters
_BLOCK: Final = 2048
_SEGMENT: Final = 127 * _BLOCK  # a counter takes every fourth element: 65,024 at most
_SMALL: Final = 512

_I32: Final = np.int32
_U16: Final = np.uint16
_U32: Final = np.uint32
_U64: Final = np.uint64
_TOP: Final = np.int32(0x7FFFFFFF)
_BOTTOM: Final = np.int32(-0x80000000)
_MINUS_ZERO: Final = _BOTTOM
_INFINITY: Final = np.int32(0x7F800000)
_MINUS_INFINITY: Final = np.uint32(0xFF800000)
_SIGN_BIT: Final = np.uint32(0x80000000)
_ALL_BITS: Final = np.uint32(0xFFFFFFFF)
_EVEN: Final = np.uint64(0x0000FFFF0000FFFF)
_LOW: Final = np.uint64(0xFFFFFFFF)
_EACH: Final = np.uint64(0x0001000100010001)

_TABLE_TYPES: Final = (types.uint64[::1], types.int16[::1], types.uint64[:, ::1])

_Patterns = NDArray[np.int32]
_Words = NDArray[np.uint64]
_Index = NDArray[np.int16]
_Rows = NDArray[np.uint64]


class _Span(NamedTuple):
    """What vectors can find of some patterns, b, in few operations.

    Attributes:
        high: Greatest int32 b. Above 0: that of the greatest value.
        far: Greatest uint32 b. Above the sign bit: that of the least value.
        near: Least uint32 b - 1: where there are values above 0, one less than the pattern of
            the least of these. Zeros do not count: they wrap around to the greatest.
        below: Least int32 b - 1: where there are values below 0, one less than the pattern of
            the greatest of these. Else -1 if +0 occurs, or more.
        minus_zeros: How many are -0.
    """

    high: np.int32
    far: np.uint32
    near: np.uint32
    below: np.int32
    minus_zeros: int


_NOTHING: Final = _Span(_BOTTOM, _U32(0), _ALL_BITS, _TOP, 0)


def _compile(signature: Any = None, nogil: bool = True) -> Callable[[_Function], _Function]:
    """Compile, keeping the code in numba's cache where there is a folder for it.

    What takes few microseconds keeps the GIL: to get it back from another thread takes longer.

    With a signature that happens at once: importing this module compiles, or loads, everything.
    """

    def decorate(function: _Function) -> _Function:
        try:
            compiled: _Function = numba.njit(signature, nogil=nogil, cache=True)(function)
        except RuntimeError:  # neither NUMBA_CACHE_DIR nor this package nor the home is writable
            compiled = numba.njit(signature, nogil=nogil)(function)
        return compiled

    return decorate


def _prefetch_code(_: Any, array: types.Array, position: types.Integer) -> Any:
    """Tell numba how to ask for the cache line of an element; past the end that does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        function = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], function)
        read, keep, data_cache = ir.Constant(flag, 0), ir.Constant(flag, 3), ir.Constant(flag, 1)
        builder.call(prefetch, [address, read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(array, position), generate


_prefetch: Any = intrinsic(_prefetch_code)


_IDLE: list[_Words] = []  # tables, all zero; append and pop are atomic


def count(values: NDArray[np.float32], pages: Pages) -> Tally:
    """Count values into pages.

    Args:
        values: 1-d, contiguous.
        pages: Counts of finite values are added here.

    Returns:
        The figures of `values`.
    """
    tally = _count_some(values, pages)
    while (done := tally.elements) < len(values):
        tally = tally.plus(_count_some(values[done:], pages))
    return tally


def merge(pages: Pages, other: Pages, *, leave: bool = True) -> None:
    """Add the counts of other pages, and leave them there or not: 3 us, where numpy takes 10."""
    if _add_rows(pages.index, pages.rows, other.index, other.rows, leave):
        pages.ensure(np.flatnonzero((other.index >= 0) & (pages.index < 0)))
        _add_rows(pages.index, pages.rows, other.index, other.rows, leave)


def _count_some(values: NDArray[np.float32], pages: Pages) -> Tally:
    """Count values up to the end of a segment that has shown pages to be missing."""
    try:
        words = _IDLE.pop()
    except IndexError:
        words = np.zeros(CODES, dtype=np.uint64)
    waiting, elements, nan, positive, negative, low, high = _accumulate(
        values, words, pages.index, pages.rows
    )
    if waiting:
        missing = np.flatnonzero(pages.index == WAITING)
        pages.ensure(missing)
        _fold_missing(missing, words, pages.index, pages.rows)
    _IDLE.append(words)  # not reached after an error: a dirty table is thrown away
    return Tally(elements, nan, positive, negative, low, high)


@_compile()
def _scan(bits: _Patterns, before: _Span) -> _Span:
    """Extend a span by patterns."""
    high, far, near, below, _ = before
    minus_zeros = _I32(0)
    for i in range(bits.size):
        less = _I32(bits[i] - _I32(1))
        high = _I32(max(high, bits[i]))
        far = _U32(max(far, _U32(bits[i])))
        near = _U32(min(near, _U32(less)))
        below = _I32(min(below, less))
        minus_zeros = _I32(minus_zeros + _I32(bits[i] == _MINUS_ZERO))
    return _Span(high, far, near, below, before.minus_zeros + int(minus_zeros))


@_compile()
def _scan_finite(bits: _Patterns) -> tuple[_Span, int, int, int]:
    """Return the span of what is finite, and how many NaN, +Inf and -Inf there are."""
    high, far, near, below, minus_zeros = _NOTHING
    nan = positive = negative = 0
    for i in range(bits.size):
        magnitude = _I32(bits[i] & _TOP)
        if magnitude < _INFINITY:
            less = _I32(bits[i] - _I32(1))
            high = _I32(max(high, bits[i]))
            far = _U32(max(far, _U32(bits[i])))
            near = _U32(min(near, _U32(less)))
            below = _I32(min(below, less))
            minus_zeros += bits[i] == _MINUS_ZERO
        elif magnitude > _INFINITY:
            nan += 1
        elif bits[i] > 0:
            positive += 1
        else:
            negative += 1
    return _Span(high, far, near, below, minus_zeros), nan, positive, negative


@_compile()
def _increment(bits: _Patterns, words: _Words) -> None:
    """Count the codes of a block, while memory is busy with the next one."""
    codes = bits.view(np.uint32)
    first = words.view(np.uint16)
    second, third, fourth = first[1:], first[2:], first[3:]
    whole = codes.size // _LINE * _LINE
    for line in range(0, whole, _LINE):
        _prefetch(codes, line + _BLOCK)
        for i in range(line, line + _LINE, 4):
            first[_U32(codes[i] >> _U32(16)) * _U32(4)] += _U16(1)
            second[_U32(codes[i + 1] >> _U32(16)) * _U32(4)] += _U16(1)
            third[_U32(codes[i + 2] >> _U32(16)) * _U32(4)] += _U16(1)
            fourth[_U32(codes[i + 3] >> _U32(16)) * _U32(4)] += _U16(1)
    for i in range(whole, codes.size):
        first[_U32(codes[i] >> _U32(16)) * _U32(4)] += _U16(1)


@_compile()
def _sum(word: np.uint64) -> np.uint64:
    """Add up the four counters of a word."""
    pairs = _U64((word & _EVEN) + ((word >> _U64(16)) & _EVEN))
    return _U64((pairs & _LOW) + (pairs >> _U64(32)))


@_compile()
def _spread(total: int) -> np.uint64:
    """Distribute a count over the four counters of a word."""
    return _U64(_U64(total >> 2) * _EACH + _U64(total & 3))


@_compile()
def _move_minus_zeros(minus_zeros: int, words: _Words) -> None:
    """Count -0 as +0. Its own code also holds the smallest values below zero."""
    words[SIGN] = _spread(int(_sum(words[SIGN])) - minus_zeros)
    words[0] = _spread(int(_sum(words[0])) + minus_zeros)


@_compile()
def _fold(first: int, last: int, words: _Words, index: _Index, rows: _Rows) -> bool:
    """Move the counts of pages first..last to their rows.

    Returns:
        Whether any page has counts but no row yet; these are marked in `index`.
    """
    waiting = False
    for page in range(first, last + 1):
        held = words[page * PAGE_CODES : (page + 1) * PAGE_CODES]
        any_count = _U64(0)
        for i in range(PAGE_CODES):
            any_count |= held[i]
        if any_count == 0:
            continue
        if index[page] < 0:
            index[page] = WAITING
            waiting = True
            continue
        row = rows[index[page]]
        for i in range(PAGE_CODES):
            row[i] += _sum(held[i])
        held[:] = 0
    return waiting


@_compile()
def _fold_touched(span: _Span, words: _Words, index: _Index, rows: _Rows) -> bool:
    """Fold the page of zero and those of the magnitudes on either side of it."""
    waiting = _fold(0, 0, words, index, rows)
    if span.high > 0:
        first = max(1, int(_U32(span.near + _U32(1)) >> _U32(23)))
        waiting |= _fold(first, int(span.high) >> 23, words, index, rows)
    if span.far > _SIGN_BIT:
        first = int(_U32(_U32(span.below) + _U32(1)) >> _U32(23))
        waiting |= _fold(first, int(span.far) >> 23, words, index, rows)
    return waiting


@_compile()
def _count_segment(
    bits: _Patterns, words: _Words, index: _Index, rows: _Rows
) -> tuple[bool, _Span, int, int, int]:
    """Count at most a segment; return what `_accumulate` makes its figures of."""
    span = _NOTHING
    for start in range(0, bits.size, _BLOCK):
        block = bits[start : start + _BLOCK]
        span = _scan(block, span)
        _increment(block, words)
    nan = positive = negative = 0
    if span.high >= _INFINITY or span.far >= _MINUS_INFINITY:
        span, nan, positive, negative = _scan_finite(bits)
        for page in (PAGES // 2 - 1, PAGES - 1):
            words[page * PAGE_CODES : (page + 1) * PAGE_CODES] = 0
    if span.minus_zeros:
        _move_minus_zeros(span.minus_zeros, words)
    return _fold_touched(span, words, index, rows), span, nan, positive, negative


@_compile()
def _count_few(
    bits: _Patterns, words: _Words, index: _Index, rows: _Rows
) -> tuple[bool, _Span, int, int, int]:
    """Do the same for few values, directly into the rows that exist."""
    span, nan, positive, negative = _scan(bits, _NOTHING), 0, 0, 0
    if span.high >= _INFINITY or span.far >= _MINUS_INFINITY:
        span, nan, positive, negative = _scan_finite(bits)
    waiting = False
    for i in range(bits.size):
        if _I32(bits[i] & _TOP) >= _INFINITY:
            continue
        code = _U32(0) if bits[i] == _MINUS_ZERO else _U32(_U32(bits[i]) >> _U32(16))
        page = code >> _U32(7)
        row = index[page]
        if row >= 0:
            rows[row, code & _U32(127)] += _U64(1)
        else:
            words[code] += _U64(1)
            index[page] = WAITING
            waiting = True
    return waiting, span, nan, positive, negative


@_compile()
def _value(pattern: np.int32) -> float:
    """Return the float32 value of a pattern."""
    return float(np.int32(pattern).view(np.float32))


@_compile()
def _extremes(span: _Span) -> tuple[float, float]:
    """Return the least and the greatest value, +Inf and -Inf where there is none."""
    above, under = span.high > 0, span.far > _SIGN_BIT
    zero = span.minus_zeros > 0 or span.high == 0 or span.below == _I32(-1)
    low, high = _INFINITY, _I32(_MINUS_INFINITY)
    if under:
        low = _I32(span.far)
    elif zero:
        low = _I32(0)
    elif above:
        low = _I32(span.near + _U32(1))
    if above:
        high = span.high
    elif zero:
        high = _I32(0)
    elif under:
        high = _I32(span.below + _I32(1))
    return _value(low), _value(high)


@_compile((types.Array(types.float32, 1, "C", readonly=True), *_TABLE_TYPES))
def _accumulate(
    values: NDArray[np.float32], words: _Words, index: _Index, rows: _Rows
) -> tuple[bool, int, int, int, int, float, float]:
    """Count values into the rows of their pages, to the end or up to a segment with new pages.

    Returns:
        Whether there are pages that wait for a row, marked in `index`, their counts left in
        `words`; and the fields of the tally of what was counted.
    """
    bits = values.view(np.int32)
    if bits.size <= _SMALL:
        waiting, span, nan, positive, negative = _count_few(bits, words, index, rows)
        low, high = _extremes(span)
        return waiting, bits.size, nan, positive, negative, low, high
    done = nan = positive = negative = 0
    waiting, low, high = False, math.inf, -math.inf
    while done < bits.size and not waiting:
        segment = bits[done : done + _SEGMENT]
        waiting, span, new_nan, new_positive, new_negative = _count_segment(
            segment, words, index, rows
        )
        done += segment.size
        nan += new_nan
        positive += new_positive
        negative += new_negative
        segment_low, segment_high = _extremes(span)
        low, high = min(low, segment_low), max(high, segment_high)
    return waiting, done, nan, positive, negative, low, high


@_compile((types.int64[::1], *_TABLE_TYPES))
def _fold_missing(missing: NDArray[np.int64], words: _Words, index: _Index, rows: _Rows) -> None:
    """Fold pages that have got their rows."""
    for page in missing:
        _fold(page, page, words, index, rows)


@_compile((*_TABLE_TYPES[1:], *_TABLE_TYPES[1:], types.boolean), nogil=False)
def _add_rows(
    index: _Index, rows: _Rows, other_index: _Index, other_rows: _Rows, leave: bool
) -> bool:
    """Add other rows to those of their pages; or nothing, and tell that there are pages missing."""
    missing = False
    for page in range(PAGES):
        missing |= (other_index[page] >= 0) & (index[page] < 0)
    if missing:
        return True
    for page in range(PAGES):
        if other_index[page] >= 0:
            row, other = rows[index[page]], other_rows[other_index[page]]
            for i in range(PAGE_CODES):
                row[i] += other[i]
            if not leave:
                other[:] = 0
    return False
