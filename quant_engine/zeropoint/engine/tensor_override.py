"""What the user wants of one tensor, whatever the other options say."""

from dataclasses import dataclass

import numpy as np

from zeropoint.engine.errors import OptionError
from zeropoint.engine.number_types import QuantType

_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorQuantOverride:
    """How one tensor is quantized; what is None or empty is as for all others.

    Attributes:
        tensor_name: An activation, or a weight, by its name in the user's model.
        quant_type: Integer type.
        symmetric: Range symmetric around zero.
        reduce_range: 7 bits; weights only.
        axis: Axis of a weight's scales. Without one, the weight has one scale.
        scale: The scale, or one for each channel; together with `zero_point`.
        zero_point: The zero point, or one for each channel, all of them the same.
        rmin: Lower end of the range, or one for each channel.
        rmax: Upper end of the range, or one for each channel.
    """

    tensor_name: str
    quant_type: QuantType | None = None
    symmetric: bool | None = None
    reduce_range: bool | None = None
    axis: int | None = None
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    rmin: tuple[float, ...] = ()
    rmax: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            OptionError: OPTION_INVALID or OPTION_CONFLICT, with the tensor's name.
        """
        if len(self.scale) != len(self.zero_point):
            raise self.error("Must provide both 'scale' and 'zero_point', one of each or as many")
        self._check_not_both()
        if not all(_SMALLEST_SCALE <= scale <= _LARGEST for scale in self.scale):
            raise self.error("a scale must be positive, and a normal float32")
        if not all(abs(end) <= _LARGEST for end in (*self.rmin, *self.rmax)):
            raise self.error("rmin and rmax must be finite float32")
        both = self.rmin and self.rmax
        if both and any(low > high for low, high in zip(self.rmin, self.rmax, strict=False)):
            raise self.error("rmin is above rmax")
        if self.axis is not None:
            self._check_channels()
        elif max(map(len, (self.scale, self.rmin, self.rmax))) > 1:
            raise self.error("figures for several channels need an axis")

    def _check_not_both(self) -> None:
        of_range = {
            "symmetric": self.symmetric is not None,
            "reduce_range": self.reduce_range is not None,
            "rmin": bool(self.rmin),
            "rmax": bool(self.rmax),
        }
        given = ", ".join(name for name, is_given in of_range.items() if is_given)
        if self.scale and given:
            raise self.error(
                f"option(s) [{given}] are invalid with 'scale' and 'zero_point', which say all",
                "OPTION_CONFLICT",
            )

    def _check_channels(self) -> None:
        if len(self.rmin) != len(self.rmax):
            raise self.error("with an axis rmin and rmax go together, one of each for each channel")
        if self.symmetric is False or len(set(self.zero_point)) > 1:
            raise self.error(
                "integer kernels take one zero point for all channels, so that their ranges must "
                "be symmetric",
                "OPTION_CONFLICT",
            )

    @property
    def range(self) -> tuple[float, float] | None:
        """The whole range, where it is given and there is one for the tensor."""
        if self.axis is None and self.rmin and self.rmax:
            return self.rmin[0], self.rmax[0]
        return None

    @property
    def settled(self) -> bool:
        """Whether no data are needed for the parameters of an activation."""
        return bool(self.scale) or self.range is not None

    def narrowed(self, low: float, high: float) -> tuple[float, float]:
        """Return a range with those ends replaced that are given."""
        low = self.rmin[0] if self.rmin else low
        return low, max(low, self.rmax[0] if self.rmax else high)

    def error(self, problem: str, reason: str = "OPTION_INVALID", **metadata: str) -> OptionError:
        """Return the error that says what is wrong with it."""
        return OptionError(
            reason,
            f"tensor_quant_overrides: {self.tensor_name!r}: {problem}.",
            option="tensor_quant_overrides",
            tensor=self.tensor_name,
            **metadata,
        )


def check_names(overrides: tuple[TensorQuantOverride, ...]) -> None:
    """Refuse two overrides for one tensor.

    Raises:
        OptionError: OPTION_CONFLICT, with the tensor's name.
    """
    seen: set[str] = set()
    for override in overrides:
        if override.tensor_name in seen:
            raise override.error("there are two of them", "OPTION_CONFLICT")
        seen.add(override.tensor_name)
