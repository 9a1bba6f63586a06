"""What the user asks for, as typed values; the names are those of `onnxruntime.quantization`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, TypedDict

from zeropoint.client.evaluation import Evaluate


class QuantType(StrEnum):
    """Integer type of quantized values."""

    QInt8 = "QInt8"
    QUInt8 = "QUInt8"


class QuantFormat(StrEnum):
    """How the result is written."""

    QDQ = "QDQ"
    QOperator = "QOperator"
    IntegerOps = "IntegerOps"


class CalibrationMethod(StrEnum):
    """How the range of a tensor is chosen from its statistics."""

    MinMax = "MinMax"
    Percentile = "Percentile"
    Entropy = "Entropy"
    MSE = "MSE"
    Auto = "Auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSelection:
    """Which nodes are quantized, in the names of the user's own model.

    Attributes:
        op_types_to_quantize: Operator types; empty means all that are supported.
        nodes_to_quantize: Names or shell patterns; when not empty, only these.
        nodes_to_exclude: Names or shell patterns that stay float.
        enable_subgraph: Quantize nodes in bodies of If, Loop and Scan, too; None: yes.
        matmul_const_b_only: Leave a MatMul float whose second input is computed; None: for dynamic
            quantization only.
        force_quantize_no_input_check: Quantize nodes that only move or pick values also where
            nothing around them is quantized. Static only.
        op_types_to_exclude_output_quantization: Operator types whose outputs are not quantized.
            Static only.
    """

    op_types_to_quantize: tuple[str, ...] = ()
    nodes_to_quantize: tuple[str, ...] = ()
    nodes_to_exclude: tuple[str, ...] = ()
    enable_subgraph: bool | None = None
    matmul_const_b_only: bool | None = None
    force_quantize_no_input_check: bool = False
    op_types_to_exclude_output_quantization: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QdqOptions:
    """How Q/DQ pairs are written; codes, scales and zero points are the same.

    Attributes:
        quantize_bias: Store biases as int32 instead of as floats; None: yes.
        add_pair_to_weight: Store weights as floats with a pair behind them.
        dedicated_pair: Give each reader of a tensor a pair of its own.
        use_contrib_ops: Take QuantizeLinear and DequantizeLinear from com.microsoft.
    """

    quantize_bias: bool | None = None
    add_pair_to_weight: bool = False
    dedicated_pair: bool = False
    use_contrib_ops: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightOptions:
    """How weights become integers.

    Attributes:
        quant_type: Integer type; None: codes of QUInt8, stored as int8 and less by 128, which is
            the same numbers and faster.
        per_channel: One scale for each output channel of a weight instead of one for the whole;
            None: where one would lose much, because channels differ much in size.
        reduce_range: 7 bits, for CPUs whose 8-bit multiply-add saturates.
        symmetric: Ranges symmetric around zero; None: for signed types and per-channel scales.
        minimum_real_range: Ranges are at least this wide.
    """

    quant_type: QuantType | None = None
    per_channel: bool | None = None
    reduce_range: bool = False
    symmetric: bool | None = None
    minimum_real_range: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePair:
    """An output of a call that is an input of the next one."""

    output: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How the result is judged.

    Attributes:
        min_sqnr_db: Floor of the result's SQNR in dB, for a warning; None: 12.
        strict: Refuse a result below that floor instead.
        min_agreement: Least share of decisions that are the original's, where outputs make at
            least 100; None: 0.95.
        state: Outputs that feed inputs of the next call; none: those that names, types and shapes
            show.
    """

    min_sqnr_db: float | None = None
    strict: bool = False
    min_agreement: float | None = None
    state: tuple[StatePair, ...] = ()


class AccuracyMode(StrEnum):
    """What is done about a result that is not good enough.

    off: it is told. guard: what was asked for is tried as it is; where it falls below the floor,
    the nodes that cause it get the least costly remedy. auto: what was asked for are limits, within
    which the best model that keeps the floor is looked for.
    """

    off = "off"
    guard = "guard"
    auto = "auto"


class Objective(StrEnum):
    """What counts in `AccuracyMode.auto` where the floor is kept."""

    latency = "latency"
    size = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyOptions:
    """What may be done for a result that is good enough.

    Attributes:
        mode: What is done about one that is not.
        objective: What counts in `AccuracyMode.auto`.
        evaluate: Whether this side answers what each candidate is worth.
        max_drop: By how much that figure may be less than the original's, in its own unit; None:
            by 1 % of the original's.
        sensitivity: Have the effect of each node measured and told, also where nothing is searched.
        decisions: What an earlier job's report says that it decided: that is done, and nothing is
            searched. Empty: nothing is known.
    """

    mode: AccuracyMode = AccuracyMode.guard
    objective: Objective = Objective.latency
    evaluate: bool = False
    max_drop: float | None = None
    sensitivity: bool = False
    decisions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorQuantOverride:
    """How one tensor is quantized; what is None or empty is as for all others.

    Attributes:
        tensor_name: An activation, or a constant, by its name in the model.
        quant_type: Integer type.
        symmetric: Range symmetric around zero.
        reduce_range: Codes in 7 bits; weights only.
        axis: Axis of a weight's scales; without one, the weight has one scale.
        scale: The scale, or one for each channel.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticOptions:
    """Options of static quantization. None leaves the choice to the server.

    Attributes:
        selection: Which nodes.
        quant_format: Form of the result.
        activation_type: Integer type of activations.
        activation_symmetric: Activation ranges symmetric around zero; None: for signed types.
        activation_restricted_asymmetric: Zero points of uint8 activations are 0 or 128 only.
        minimum_real_range: Ranges of activations are at least this wide.
        weight: How weights become integers.
        calibrate_method: How activation ranges are chosen.
        percentile: Percentage of the values inside the range, for Percentile; None: 99.999.
        calibration_range_symmetric: Ranges of the form (-t, t), whatever the type.
        qdq: How Q/DQ pairs are written.
        tensor_quant_overrides: What is otherwise for single tensors.
        verify: How the result is judged.
        accuracy: What may be done for a result that is good enough.
        keep_activation_type: Write int8 activations as int8 also where ONNX Runtime has faster
            kernels for the same numbers as uint8.
    """

    selection: NodeSelection = NodeSelection()
    quant_format: QuantFormat = QuantFormat.QDQ
    activation_type: QuantType = QuantType.QUInt8
    activation_symmetric: bool | None = None
    activation_restricted_asymmetric: bool = False
    minimum_real_range: float = 0.0
    weight: WeightOptions = WeightOptions()
    calibrate_method: CalibrationMethod = CalibrationMethod.MinMax
    percentile: float | None = None
    calibration_range_symmetric: bool = False
    qdq: QdqOptions = QdqOptions()
    tensor_quant_overrides: tuple[TensorQuantOverride, ...] = ()
    verify: VerifyOptions = VerifyOptions()
    accuracy: AccuracyOptions = AccuracyOptions()
    keep_activation_type: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicOptions:
    """Options of dynamic quantization; the attributes mean what they mean in `StaticOptions`."""

    selection: NodeSelection = NodeSelection()
    weight: WeightOptions = WeightOptions()
    tensor_quant_overrides: tuple[TensorQuantOverride, ...] = ()
    verify: VerifyOptions = VerifyOptions()
    accuracy: AccuracyOptions = AccuracyOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class QatOptions:
    """Options for a model that was trained with fake quantization.

    What was learned is kept: an option that says otherwise is refused.

    Attributes:
        selection: Which nodes may compute on integers; the others compute on floats, with what was
            learned.
        quant_format: Form of the result.
        activation_type: Type that all learned activations must have, and that those get which
            batches complete; None: as learned.
        weight_type: Type that all learned weights must have, and that those get which batches
            complete; None: as learned, and QInt8.
        per_channel: Whether all weights must have, and get, one scale for each output channel, or
            none; None: as learned, and one for each channel where batches complete.
        quantize_bias: Store biases as int32 instead of as they were trained.
        exact: Take only steps that keep the last bit, even where they cost integer kernels.
        calibrate: Choose parameters from batches for what was not trained with any.
        verify: How the result is judged.
        accuracy: What may be done for a result that is good enough.
        keep_activation_type: Keep learned int8 activations int8, whatever kernels that costs.
    """

    selection: NodeSelection = NodeSelection()
    quant_format: QuantFormat = QuantFormat.QDQ
    activation_type: QuantType | None = None
    weight_type: QuantType | None = None
    per_channel: bool | None = None
    quantize_bias: bool = False
    exact: bool = False
    calibrate: bool = False
    verify: VerifyOptions = VerifyOptions()
    accuracy: AccuracyOptions = AccuracyOptions()
    keep_activation_type: bool = False


Options = StaticOptions | DynamicOptions | QatOptions


class DynamicKeywords(TypedDict, total=False):
    """The keyword arguments of `quantize_dynamic` that make a `DynamicOptions`."""

    op_types_to_quantize: Sequence[str] | None
    per_channel: bool | None
    reduce_range: bool
    weight_type: QuantType | str | int | Enum | None
    nodes_to_quantize: Sequence[str] | None
    nodes_to_exclude: Sequence[str] | None
    extra_options: Mapping[str, Any] | None
    use_external_data_format: bool
    min_sqnr_db: float | None
    strict: bool
    accuracy: AccuracyMode | str
    objective: Objective | str
    min_agreement: float | None
    state: Mapping[str, str] | None
    sensitivity: bool
    decisions: str
    evaluate: Evaluate | None
    max_drop: float | None


class StaticKeywords(DynamicKeywords, total=False):
    """The keyword arguments of `quantize_static` that make a `StaticOptions`."""

    quant_format: QuantFormat | str | Enum
    activation_type: QuantType | str | int | Enum
    calibrate_method: CalibrationMethod | str | Enum
    calibration_providers: Sequence[Any] | None


class QatKeywords(TypedDict, total=False):
    """The keyword arguments of `quantize_qat` that make a `QatOptions`."""

    quant_format: QuantFormat | str | Enum
    op_types_to_quantize: Sequence[str] | None
    per_channel: bool | None
    reduce_range: bool
    activation_type: QuantType | str | int | Enum | None
    weight_type: QuantType | str | int | Enum | None
    nodes_to_quantize: Sequence[str] | None
    nodes_to_exclude: Sequence[str] | None
    extra_options: Mapping[str, Any] | None
    use_external_data_format: bool
    exact: bool
    min_sqnr_db: float | None
    strict: bool
    accuracy: AccuracyMode | str
    objective: Objective | str
    min_agreement: float | None
    state: Mapping[str, str] | None
    sensitivity: bool
    decisions: str
    evaluate: Evaluate | None
    max_drop: float | None


class InspectKeywords(QatKeywords, total=False):
    """The keyword arguments of `inspect`: those of the kind of quantization that is asked for."""

    calibrate_method: CalibrationMethod | str | Enum
    calibrate: bool
