"""What the user asks for, validated when it is made, before any data is taken."""

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zeropoint.engine.accuracy_options import (  # noqa: F401 - parts of the options
    AccuracyOptions,
    StatePair,
    VerifyOptions,
)
from zeropoint.engine.errors import OptionError
from zeropoint.engine.number_types import INT8, NumberType, QuantType
from zeropoint.engine.tensor_override import TensorQuantOverride, check_names

_WIDEST = 1e17
"""A range of which 255 steps, squared and summed in int32, are still float32."""


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
        enable_subgraph: Whether nodes in bodies of If, Loop and Scan are quantized, too.
        matmul_const_b_only: Leave a MatMul float whose second input is computed; None: for dynamic
            quantization only.
        force_quantize_no_input_check: Quantize nodes that only move or pick values also where
            nothing around them is quantized. Static quantization only.
        op_types_to_exclude_output_quantization: Operator types whose outputs are not quantized.
            Static quantization only.
    """

    op_types_to_quantize: tuple[str, ...] = ()
    nodes_to_quantize: tuple[str, ...] = ()
    nodes_to_exclude: tuple[str, ...] = ()
    enable_subgraph: bool = True
    matmul_const_b_only: bool | None = None
    force_quantize_no_input_check: bool = False
    op_types_to_exclude_output_quantization: tuple[str, ...] = ()

    def needs_const_b(self, *, dynamic: bool) -> bool:
        """Whether a MatMul with a computed second input stays float, with the default filled in."""
        return dynamic if self.matmul_const_b_only is None else self.matmul_const_b_only

    def settled(self, *, dynamic: bool) -> "NodeSelection":
        """Return the same with defaults filled in."""
        return dataclasses.replace(self, matmul_const_b_only=self.needs_const_b(dynamic=dynamic))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightOptions:
    """How weights become integers.

    Attributes:
        quant_type: Integer type; None: codes of QUInt8, each stored as int8 and less by 128. They
            stand for the same numbers, for which ONNX Runtime has faster kernels.
        per_channel: One scale for each output channel instead of one for the tensor; None: for
            weights whose channels one scale would lose (`numbers.one_scale`).
        reduce_range: 7 bits, for CPUs whose 8-bit multiply-add saturates.
        symmetric: Range symmetric around zero; None: for signed types and per-channel scales.
        minimum_real_range: Ranges are at least this wide.
    """

    quant_type: QuantType | None = None
    per_channel: bool | None = None
    reduce_range: bool = False
    symmetric: bool | None = None
    minimum_real_range: float = 0.0

    def __post_init__(self) -> None:
        """Refuse combinations that no integer kernel takes.

        Raises:
            OptionError: per-channel scales with asymmetric ranges, or a least range that is none.
        """
        check_minimum_range(self.minimum_real_range)
        if self.per_channel and self.symmetric is False:
            raise OptionError(
                "OPTION_CONFLICT",
                "per_channel=True needs symmetric weights: integer convolution kernels take one "
                "zero point for all channels. Leave weight_symmetric unset or set it to True.",
                option="weight_symmetric",
            )

    @property
    def codes(self) -> QuantType:
        """The type of which codes are, before they may be moved to be stored."""
        return self.quant_type or QuantType.QUINT8

    @property
    def stored(self) -> NumberType:
        """The type that codes are stored as."""
        return INT8 if self.quant_type is None else self.quant_type.number

    @property
    def is_symmetric(self) -> bool:
        """Whether ranges are symmetric, with the default filled in.

        Where `per_channel` is None, those of tensors with one scale.
        """
        if self.symmetric is None:
            return self.codes.signed or bool(self.per_channel)
        return self.symmetric

    def settled(self) -> "WeightOptions":
        """Return the same with defaults filled in."""
        by_weight = self.per_channel is None and self.symmetric is None and not self.codes.signed
        return self if by_weight else dataclasses.replace(self, symmetric=self.is_symmetric)

    def of(
        self, override: TensorQuantOverride | None, *, per_channel: bool = False
    ) -> "WeightOptions":
        """Return the options of one weight; `per_channel`: it has scales for channels."""
        if override is None:
            named = self.per_channel is not None and not per_channel
            return self if named else dataclasses.replace(self, per_channel=per_channel)
        default = self.symmetric if override.axis is None else None
        reduced = self.reduce_range if override.reduce_range is None else override.reduce_range
        return WeightOptions(
            quant_type=override.quant_type or self.quant_type,
            per_channel=override.axis is not None,
            reduce_range=reduced,
            symmetric=_first_of(override.symmetric, default),
            minimum_real_range=self.minimum_real_range,
        )


def _first_of(chosen: bool | None, default: bool | None) -> bool | None:
    return default if chosen is None else chosen


def check_minimum_range(width: float) -> None:
    """Refuse what is no least width of a range.

    Raises:
        OptionError: it is negative, no number, or wider than integer kernels can compute with.
    """
    if not 0.0 <= width <= _WIDEST:
        raise OptionError(
            "OPTION_INVALID",
            f"minimum_real_range={width:g} must be a width from 0 to {_WIDEST:g}: beyond, products "
            "of two scales are no float32 any more.",
            option="minimum_real_range",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QdqOptions:
    """How Q/DQ pairs are written.

    Attributes:
        quantize_bias: Store biases as int32. If not, they stay float, and ONNX Runtime makes int32
            of those it needs as it loads the model.
        add_pair_to_weight: Store weights as floats with a pair behind them.
        dedicated_pair: Give each reader of a tensor a pair of its own.
        use_contrib_ops: Take the operators from com.microsoft.
    """

    quantize_bias: bool = True
    add_pair_to_weight: bool = False
    dedicated_pair: bool = False
    use_contrib_ops: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticOptions:
    """Options of static quantization; names and defaults follow the text in README.md.

    Attributes:
        selection: Which nodes.
        quant_format: Form of the result.
        activation_type: Integer type of activations.
        keep_activation_type: Write int8 activations as int8 also where ONNX Runtime has faster
            kernels for the same numbers as uint8; for other runtimes.
        activation_symmetric: Symmetric activation ranges; None: for signed types only.
        activation_restricted_asymmetric: Zero points of uint8 activations are 0 or 128 only.
        minimum_real_range: Ranges of activations are at least this wide.
        weight: How weights become integers.
        calibrate_method: How activation ranges are chosen.
        percentile: Percentage of values inside the range, for Percentile, above 50 to 100.
        calibration_range_symmetric: Choose ranges of the form (-t, t), whatever the type.
        qdq: How Q/DQ pairs are written, where the result has any.
        tensor_quant_overrides: What is otherwise for single tensors.
        verify: How the result is judged.
        accuracy: What may be done for a result that is good enough.
    """

    selection: NodeSelection = field(default_factory=NodeSelection)
    quant_format: QuantFormat = QuantFormat.QDQ
    activation_type: QuantType = QuantType.QUINT8
    keep_activation_type: bool = False
    activation_symmetric: bool | None = None
    activation_restricted_asymmetric: bool = False
    minimum_real_range: float = 0.0
    weight: WeightOptions = field(default_factory=WeightOptions)
    calibrate_method: CalibrationMethod = CalibrationMethod.MINMAX
    percentile: float = 99.999
    calibration_range_symmetric: bool = False
    qdq: QdqOptions = field(default_factory=QdqOptions)
    tensor_quant_overrides: tuple[TensorQuantOverride, ...] = ()
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    accuracy: AccuracyOptions = field(default_factory=AccuracyOptions)

    def __post_init__(self) -> None:
        """Refuse combinations that cannot work.

        Raises:
            OptionError: a percentile outside (50, 100], int8 activations
                with uint8 weights, a least range that is none, restricted zero points of what is
                not asymmetric uint8, or two overrides for one tensor.
        """
        check_minimum_range(self.minimum_real_range)
        check_names(self.tensor_quant_overrides)
        if not 50.0 < self.percentile <= 100.0:
            raise OptionError(
                "OPTION_INVALID",
                f"percentile={self.percentile:g} must be above 50 and at most 100.",
                option="percentile",
            )
        if not self.activation_type.number.multiplies(self.weight.stored):
            raise OptionError(
                "OPTION_CONFLICT",
                "activation_type=QInt8 needs weight_type=QInt8: ONNX Runtime has no integer "
                "kernels for int8 activations with uint8 weights.",
                option="weight_type",
            )

        if self.activation_restricted_asymmetric and (
            self.activation_type.signed or self.activations_symmetric
        ):
            raise OptionError(
                "OPTION_CONFLICT",
                "activation_restricted_asymmetric=True needs asymmetric QUInt8 activations: it "
                "chooses between the zero points 0 and 128.",
                option="activation_restricted_asymmetric",
            )

    @property
    def pairs(self) -> QdqOptions:
        """How pairs are written: plainly, where they are only on the way to another form.

        What takes int32 sums apart adds biases as floats.
        """
        if self.quant_format is QuantFormat.QDQ:
            return self.qdq
        stored = self.qdq.quantize_bias and self.quant_format is QuantFormat.QOPERATOR
        return QdqOptions(quantize_bias=stored, use_contrib_ops=self.qdq.use_contrib_ops)

    @property
    def activations_symmetric(self) -> bool:
        """Whether activation ranges are symmetric, with the default filled in."""
        if self.activation_symmetric is None:
            return self.activation_type.signed
        return self.activation_symmetric

    def settled(self) -> "StaticOptions":
        """Return the same with defaults filled in."""
        return dataclasses.replace(
            self,
            selection=self.selection.settled(dynamic=False),
            activation_symmetric=self.activations_symmetric,
            weight=self.weight.settled(),
        )

    def of(self, override: TensorQuantOverride | None) -> "StaticOptions":
        """Return the options that hold for one activation; those of weights do not."""
        if override is None:
            return self
        quant_type = override.quant_type or self.activation_type
        symmetric = _first_of(override.symmetric, self.activation_symmetric)
        asymmetric = not quant_type.signed and not symmetric
        return dataclasses.replace(
            self,
            tensor_quant_overrides=(),
            activation_type=quant_type,
            activation_symmetric=symmetric,
            activation_restricted_asymmetric=self.activation_restricted_asymmetric and asymmetric,
            weight=dataclasses.replace(self.weight, quant_type=QuantType.QINT8),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicOptions:
    """Options of dynamic quantization.

    Attributes:
        selection: Which nodes.
        weight: How weights become integers.
        tensor_quant_overrides: What is otherwise for single weights.
        verify: How the result is judged.
        accuracy: What may be done for a result that is good enough.
    """

    selection: NodeSelection = field(default_factory=NodeSelection)
    weight: WeightOptions = field(default_factory=WeightOptions)
    tensor_quant_overrides: tuple[TensorQuantOverride, ...] = ()
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    accuracy: AccuracyOptions = field(default_factory=AccuracyOptions)

    def __post_init__(self) -> None:
        """Refuse what has no meaning where nothing is quantized between nodes.

        Raises:
            OptionError: an option of the selection is for static quantization only, or there are
                two overrides for one tensor.
        """
        check_names(self.tensor_quant_overrides)
        for option in ("force_quantize_no_input_check", "op_types_to_exclude_output_quantization"):
            if getattr(self.selection, option):
                raise OptionError(
                    "OPTION_INVALID",
                    f"{option} has no meaning in dynamic quantization: what lies between nodes "
                    "stays float. Drop it.",
                    option=option,
                )

    def settled(self) -> "DynamicOptions":
        """Return the same with defaults filled in."""
        return dataclasses.replace(
            self, selection=self.selection.settled(dynamic=True), weight=self.weight.settled()
        )


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
        accuracy: What may be done for a result that is good enough.
        keep_activation_type: Keep learned int8 activations int8, whatever kernels that costs.
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
    accuracy: AccuracyOptions = field(default_factory=AccuracyOptions)
    keep_activation_type: bool = False

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
            ("calibration_data_reader", self.calibrate),
        ):
            if given:
                raise OptionError(
                    "OPTION_CONFLICT",
                    f"exact=True keeps every value to the last bit, which {option} does not. "
                    "Leave one of both out.",
                    option=option,
                )

    def settled(self) -> "QatOptions":
        """Return the same with defaults filled in; what is left to training stays so."""
        return dataclasses.replace(self, selection=self.selection.settled(dynamic=False))


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
