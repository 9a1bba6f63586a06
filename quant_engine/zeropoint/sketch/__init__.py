"""Activation statistics: one mergeable histogram for each tensor, on a grid that needs no range.

    sketch = Sketch()
    for array in arrays:
        sketch.update(array)
    sketch.merge(Sketch.from_bytes(from_elsewhere))
    sketch.minimum, sketch.maximum, sketch.codes, sketch.counts

The grid is the upper 16 bits of the float32 pattern, so that sketches form a commutative monoid:
order, sharding and the number of contributors cannot change a bit. `docs/sketch-format.md` has
the serialized form. Needs numpy alone; with numba, counting runs as compiled code.
"""

from zeropoint.sketch.counting import warm
from zeropoint.sketch.errors import SketchError, SketchFormatError, SketchOverflowError
from zeropoint.sketch.grid import Bins, bins_by_value, code_of
from zeropoint.sketch.sketch import Sketch

__all__ = [
    "Bins",
    "Sketch",
    "SketchError",
    "SketchFormatError",
    "SketchOverflowError",
    "bins_by_value",
    "code_of",
    "warm",
]
