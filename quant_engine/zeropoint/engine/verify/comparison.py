"""One output of the result beside the original's: by sample, in front of what saturates."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import ComparedAs, OutputFigures, SampleFigures
from zeropoint.engine.verify.decisions import DecisionCount
from zeropoint.engine.verify.joined import Joined
from zeropoint.engine.verify.output_forms import PLAIN, OutputForm
from zeropoint.engine.verify.saturating import Values, compared_as, distribution_axis, in_front
from zeropoint.engine.verify.similarity import Sums, compare, is_float, numeric_pair

_BLOCK: Final = 1 << 20  # elements; bounds the float64 temporaries
_LEAST_VALUES: Final = 8  # of a figure; with fewer it is chance
_SILENCE: Final = 1e-6  # of the mean power: -60 dB
_TENTH: Final = 10.0  # percent


class OutputComparison:
    """Gathers how close one output of the quantized model is to the original's."""

    def __init__(self, name: str, form: OutputForm = PLAIN, step: float = 0.0) -> None:
        """Start with nothing compared.

        Args:
            name: Name of the output.
            form: How it ends.
            step: Distance of two codes where the quantized model rounds it to codes, else 0.
        """
        self.name = name
        self.is_float = False
        self._form = form
        self._step = step
        self._pooled = Sums()
        self._units: list[Values] = []  # [units, 3]: signal, noise, number of values
        self._compared_as: ComparedAs | None = None
        self._decisions = DecisionCount(form)
        self._shape_changed = 0

    def add(
        self,
        originals: Sequence[NDArray[Any]],
        results: Sequence[NDArray[Any]],
        *,
        apart: bool = False,
    ) -> None:
        """Compare the outputs of one batch.

        Args:
            originals: The original's output: one array, or those of a sequence.
            results: The result's.
            apart: Whether entries along the first axis are samples; else the batch is one.
        """
        self.is_float |= any(map(is_float, originals))
        shapes = [array.shape for array in originals]
        if shapes != [array.shape for array in results]:
            if len(originals) == len(results) == 1:
                self._decide(originals[0], results[0], apart=apart)
            self._shape_changed += shapes[0][0] if apart else 1
            return
        rows = []
        for original, result in zip(originals, results, strict=True):
            self._pooled += compare(original, result)
            rows.append(self._compare(original, result, apart=apart and len(shapes) == 1))
        if rows:
            self._units.append(rows[0] if len(rows) == 1 else sum(rows[1:], rows[0]))

    @property
    def figures(self) -> OutputFigures:
        """Everything compared so far."""
        return OutputFigures(
            name=self.name,
            similarity=self._pooled.similarity,
            compared_as=self._compared_as or ComparedAs.VALUES,
            by_sample=self._by_sample(),
            decisions=self._decisions.figures,
            shape_changed=self._shape_changed,
            is_float=self.is_float,
        )

    @property
    def by_batch(self) -> tuple[float, ...]:
        """SQNR of the batches that could be compared, in dB, in their order.

        Those of less than 8 values are taken together.
        """
        if not self._units:
            return ()
        return tuple(unit_decibels(np.stack([rows.sum(0) for rows in self._units])).tolist())

    def _by_sample(self) -> SampleFigures | None:
        if not self._units:
            return None
        units = np.concatenate(self._units)
        decibels = np.sort(unit_decibels(units))
        median, tenth = (
            float(np.percentile(decibels, share, method="lower")) for share in (50.0, _TENTH)
        )
        return SampleFigures(
            samples=len(units), median_db=median, tenth_db=tenth, least_db=float(decibels[0])
        )

    def _decide(self, original: NDArray[Any], result: NDArray[Any], *, apart: bool) -> None:
        """Compare the decisions of arrays of different shapes."""
        axis = None
        if is_float(original):
            axis = distribution_axis(original, self._form.saturation)
        self._decisions.add(original, result, axis, apart=apart)

    def _compare(self, original: NDArray[Any], result: NDArray[Any], *, apart: bool) -> Values:
        """Return signal, noise and number of values of each unit: float64 [units, 3]."""
        joined = self._form.joined
        if joined is not None and is_float(original) and joined.fits(original):
            return self._compare_joined(original, result, joined, apart=apart and joined.axis != 0)
        saturation = self._form.saturation if is_float(original) else None
        axis = distribution_axis(original, saturation)
        apart = apart and axis != 0
        self._compared_as = self._compared_as or compared_as(saturation, axis)
        self._decisions.add(original, result, axis, apart=apart)
        if not apart and saturation is None:
            sums = compare(original, result)
            return np.array([[sums.signal, sums.noise, float(original.size)]])
        units = len(original) if apart else 1
        each = max(1, _BLOCK // max(1, original.size // max(1, units)))
        found = [np.zeros((0, 3))]
        for start in range(0, units, each):
            part = slice(start, start + each) if apart else ...
            sides = (
                in_front(side, saturation, axis, original.dtype, self._step)
                for side in numeric_pair(original[part], result[part])
            )
            rows = min(each, units - start)
            found.append(unit_sums(*(side.reshape(rows, -1) for side in sides)))
        return np.concatenate(found)

    def _compare_joined(
        self, original: NDArray[Any], result: NDArray[Any], joined: Joined, *, apart: bool
    ) -> Values:
        """Do the same for parts of different kinds; what decides is one of them."""
        self._compared_as = ComparedAs.VALUES
        pieces = zip(joined.saturations, joined.cut(original), joined.cut(result), strict=True)
        for saturation, one, other in pieces:
            if saturation is self._decisions.saturation:
                axis = distribution_axis(one, saturation)
                self._decisions.add(one, other, axis, apart=apart)
        rows = len(original) if apart else 1
        sides = numeric_pair(original, result)
        return unit_sums(*joined.in_front(*sides, original.dtype, rows))


def unit_sums(x: Values, y: Values) -> Values:
    """Return signal, noise and number of values of each row; see `Sums` on what is not finite."""
    finite = np.isfinite(x) & np.isfinite(y)
    differs = np.zeros(len(x), bool)
    if not finite.all():
        differs = ~(finite | (x == y) | (np.isnan(x) & np.isnan(y))).all(1)
        x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    difference = x - y
    noise = np.where(differs, math.inf, np.einsum("ij,ij->i", difference, difference))
    return np.stack([np.einsum("ij,ij->i", x, x), noise, np.full(len(x), float(x.shape[1]))], 1)


def _together(units: Values) -> Values:
    """Join neighbours until each unit has the least number of values."""
    widths = units[:, 2][units[:, 2] > 0]
    each = math.ceil(_LEAST_VALUES / widths.min()) if len(widths) else 1
    starts = np.arange(0, max(1, len(units) - len(units) % each), each)
    return np.asarray(np.add.reduceat(units, starts))


def unit_decibels(units: Values) -> Values:
    """Return the SQNR of each unit in dB, float64; see `SampleFigures` on small ones and silence.

    Args:
        units: Signal, noise and number of values of each: float64 [units, 3].
    """
    units = _together(units)
    signal, noise, values = units.T
    finite = np.isfinite(noise)
    mean = signal[finite].sum() / max(1.0, values[finite].sum())
    signal = np.maximum(signal, _SILENCE * mean * values)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10.0 * (np.log10(signal) - np.log10(noise))
    return np.where(noise == 0.0, math.inf, np.where(finite & (signal > 0.0), ratio, -math.inf))
