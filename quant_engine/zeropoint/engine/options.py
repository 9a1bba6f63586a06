"""What the user asks for, validated when it is made, before any data is taken."""

import dataclasses
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zeropoint.engine.errors import OptionError


class QuantType(StrEnum):
    """Integer type of quantized values."""

    QINT8 = "QInt8"
    QUINT8 = "QUInt8"

    @property
    def signed(self) -> bool:
        """Whether negative codes exist."""
        return self is QuantType.QINT8


class QuantFormat(StrEnum):
    """How the result is written."""

    QDQ = "QDQ"
    QOPERATOR = "QOperator"
    INTEGER_OPS = "IntegerOps"


class CalibrationMethod(StrEnum):
    """How a range is chosen from the statistics of a tensor."""

    MINMAX = "MinMax"
    PERCENTILE = "Percentile"
    ENTROPY = "Entropy"
    MSE = "MSE"
    AUTO = "Auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSelection:
    """Which nodes are quantized, in the names of the user's own model.

    Attributes:
        op_types_to_quantize: Operator types; empty means all that are supported.
        nodes_to_quantize: Names or shell patterns; when not empty, only these.
        nodes_to_exclude: Names or shell patterns that stay float.
    """

    op_types_to_quantize: tuple[str, ...] = ()
    nodes_to_quantize: tuple[str, ...] = ()
    nodes_to_exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightOptions:
    """How weights become integers.

    Attributes:
        quant_type: Integer type.
        per_channel: One scale for each output channel instead of one for the tensor.
        reduce_range: 7 bits, for CPUs whose 8-bit multiply-add saturates.
        symmetric: Range symmetric around zero; None: for signed types and per-channel scales.
    """

    quant_type: QuantType = QuantType.QUINT8
    per_channel: bool = False
    reduce_range: bool = False
    symmetric: bool | None = None

    def __post_init__(self) -> None:
        """Refuse combinations that no integer kernel takes.

        Raises:
            OptionError: per-channel scales with asymmetric ranges.
        """
        if self.per_channel and self.symmetric is False:
            raise OptionError(
                "OPTION_CONFLICT",
                "per_channel=True needs symmetric weights: integer convolution kernels take one "
                "zero point for all channels. Leave weight_symmetric unset or set it to True.",
                option="weight_symmetric",
            )

    @property
    def is_symmetric(self) -> bool:
        """Whether ranges are symmetric, with the default filled in."""
        if self.symmetric is None:
            return self.quant_type.signed or self.per_channel
        return self.symmetric


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How the result is judged.

    Attributes:
        min_sqnr_db: Floor, in dB, below which a result carries a warning.
        strict: Refuse a result below the floor instead.
    """

    min_sqnr_db: float = 10.0
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse a floor that is no number.

        Raises:
            OptionError: `min_sqnr_db` is NaN.
        """
        if math.isnan(self.min_sqnr_db):
            raise OptionError(
                "OPTION_INVALID", "min_sqnr_db must be a number of dB.", option="min_sqnr_db"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticOptions:
    """Options of static quantization; names and defaults follow the text in README.md.

    Attributes:
        selection: Which nodes.
        quant_format: Form of the result.
        activation_type: Integer type of activations.
        activation_symmetric: Symmetric activation ranges; None: for signed types only.
        weight: How weights become integers.
        calibrate_method: How activation ranges are chosen.
        percentile: Percentage of values inside the range, for Percentile, above 50 to 100.
        calibration_range_symmetric: Choose ranges of the form (-t, t), whatever the type.
        verify: How the result is judged.
    """

    selection: NodeSelection = field(default_factory=NodeSelection)
    quant_format: QuantFormat = QuantFormat.QDQ
    activation_type: QuantType = QuantType.QUINT8
    activation_symmetric: bool | None = None
    weight: WeightOptions = field(default_factory=WeightOptions)
    calibrate_method: CalibrationMethod = CalibrationMethod.MINMAX
    percentile: float = 99.999
    calibration_range_symmetric: bool = False
    verify: VerifyOptions = field(default_factory=VerifyOptions)

    def __post_init__(self) -> None:
        """Refuse combinations that cannot work.

        Raises:
            OptionError: a format other than QDQ, a percentile outside (50, 100], or int8
                activations with uint8 weights.
        """
        if self.quant_format is not QuantFormat.QDQ:
            raise OptionError(
                "OPTION_INVALID",
                f"quant_format={self.quant_format}: static quantization knows only "
                "QuantFormat.QDQ; quantize_qat knows others.",
                option="quant_format",
            )
        if not 50.0 < self.percentile <= 100.0:
            raise OptionError(
                "OPTION_INVALID",
                f"percentile={self.percentile:g} must be above 50 and at most 100.",
                option="percentile",
            )
        if self.activation_type.signed and not self.weight.quant_type.signed:
            raise OptionError(
                "OPTION_CONFLICT",
                "activation_type=QInt8 needs weight_type=QInt8: ONNX Runtime has no integer "
                "kernels for int8 activations with uint8 weights.",
                option="weight_type",
            )

    @property
    def activations_symmetric(self) -> bool:
        """Whether activation ranges are symmetric, with the default filled in."""
        if self.activation_symmetric is None:
            return self.activation_type.signed
        return self.activation_symmetric


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicOptions:
    """Options of dynamic quantization.

    Attributes:
        selection: Which nodes.
        weight: How weights become integers.
        verify: How the result is judged.
    """

    selection: NodeSelection = field(default_factory=NodeSelection)
    weight: WeightOptions = field(default_factory=WeightOptions)
    verify: VerifyOptions = field(default_factory=VerifyOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class QatOptions:
    """Options for a model that was trained with fake quantization.

    What was learned is kept: an option that says otherwise is refused.

    Attributes:
        selection: Which nodes may get integer kernels; the others keep the values of their weights
            as floats.
        quant_format: Form of the result.
        activation_type: Type that all learned activations must have, and that those have which
            batches complete; None: as learned.
        weight_type: Type that all learned weights must have; None: as learned.
        per_channel: Whether all learned weights must have scales of their own for each channel,
            or none; None: as learned.
        quantize_bias: Store biases as int32; None or False: as they were trained.
        exact: Take only steps that keep the last bit, even where they cost integer kernels.
        calibrate: Choose parameters from batches for what was not trained with any.
        verify: How the result is judged.
    """

    selection: NodeSelection = field(default_factory=NodeSelection)
    quant_format: QuantFormat = QuantFormat.QDQ
    activation_type: QuantType | None = None
    weight_type: QuantType | None = None
    per_channel: bool | None = None
    quantize_bias: bool = False
    exact: bool = False
    calibrate: bool = False
    verify: VerifyOptions = field(default_factory=VerifyOptions)

    def __post_init__(self) -> None:
        """Refuse combinations that contradict each other.

        Raises:
            OptionError: `exact` with what rounds biases or calibrates.
        """
        if not self.exact:
            return
        rounding = self.quant_format is not QuantFormat.QDQ
        for option, given in (
            ("quantize_bias", self.quantize_bias),
            ("quant_format", rounding),
            ("calibration", self.calibrate),
        ):
            if given:
                raise OptionError(
                    "OPTION_CONFLICT",
                    f"exact=True keeps every value to the last bit, which {option} does not. "
                    "Leave one of both out.",
                    option=option,
                )


PostTrainingOptions = StaticOptions | DynamicOptions
"""Options for a float model."""

Options = PostTrainingOptions | QatOptions


def canonical(options: Options) -> dict[str, Any]:
    """Return the options as plain JSON values, so that equal options give equal text."""
    return {"mode": mode_of(options), **dataclasses.asdict(options)}


def mode_of(options: Options) -> str:
    """Return the word for a kind of quantization."""
    if isinstance(options, QatOptions):
        return "qat"
    return "static" if isinstance(options, StaticOptions) else "dynamic"
