from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QuantType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUANT_TYPE_UNSPECIFIED: _ClassVar[QuantType]
    QUANT_TYPE_QINT8: _ClassVar[QuantType]
    QUANT_TYPE_QUINT8: _ClassVar[QuantType]

class QuantFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUANT_FORMAT_UNSPECIFIED: _ClassVar[QuantFormat]
    QUANT_FORMAT_QDQ: _ClassVar[QuantFormat]
    QUANT_FORMAT_QOPERATOR: _ClassVar[QuantFormat]
    QUANT_FORMAT_INTEGER_OPS: _ClassVar[QuantFormat]

class CalibrationMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALIBRATION_METHOD_UNSPECIFIED: _ClassVar[CalibrationMethod]
    CALIBRATION_METHOD_MINMAX: _ClassVar[CalibrationMethod]
    CALIBRATION_METHOD_PERCENTILE: _ClassVar[CalibrationMethod]
    CALIBRATION_METHOD_ENTROPY: _ClassVar[CalibrationMethod]
    CALIBRATION_METHOD_MSE: _ClassVar[CalibrationMethod]
    CALIBRATION_METHOD_AUTO: _ClassVar[CalibrationMethod]

class AccuracyMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCURACY_MODE_UNSPECIFIED: _ClassVar[AccuracyMode]
    ACCURACY_MODE_OFF: _ClassVar[AccuracyMode]
    ACCURACY_MODE_GUARD: _ClassVar[AccuracyMode]
    ACCURACY_MODE_AUTO: _ClassVar[AccuracyMode]

class Objective(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBJECTIVE_UNSPECIFIED: _ClassVar[Objective]
    OBJECTIVE_LATENCY: _ClassVar[Objective]
    OBJECTIVE_SIZE: _ClassVar[Objective]
QUANT_TYPE_UNSPECIFIED: QuantType
QUANT_TYPE_QINT8: QuantType
QUANT_TYPE_QUINT8: QuantType
QUANT_FORMAT_UNSPECIFIED: QuantFormat
QUANT_FORMAT_QDQ: QuantFormat
QUANT_FORMAT_QOPERATOR: QuantFormat
QUANT_FORMAT_INTEGER_OPS: QuantFormat
CALIBRATION_METHOD_UNSPECIFIED: CalibrationMethod
CALIBRATION_METHOD_MINMAX: CalibrationMethod
CALIBRATION_METHOD_PERCENTILE: CalibrationMethod
CALIBRATION_METHOD_ENTROPY: CalibrationMethod
CALIBRATION_METHOD_MSE: CalibrationMethod
CALIBRATION_METHOD_AUTO: CalibrationMethod
ACCURACY_MODE_UNSPECIFIED: AccuracyMode
ACCURACY_MODE_OFF: AccuracyMode
ACCURACY_MODE_GUARD: AccuracyMode
ACCURACY_MODE_AUTO: AccuracyMode
OBJECTIVE_UNSPECIFIED: Objective
OBJECTIVE_LATENCY: Objective
OBJECTIVE_SIZE: Objective

class NodeSelection(_message.Message):
    __slots__ = ("op_types_to_quantize", "nodes_to_quantize", "nodes_to_exclude", "enable_subgraph", "matmul_const_b_only", "force_quantize_no_input_check", "op_types_to_exclude_output_quantization")
    OP_TYPES_TO_QUANTIZE_FIELD_NUMBER: _ClassVar[int]
    NODES_TO_QUANTIZE_FIELD_NUMBER: _ClassVar[int]
    NODES_TO_EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    ENABLE_SUBGRAPH_FIELD_NUMBER: _ClassVar[int]
    MATMUL_CONST_B_ONLY_FIELD_NUMBER: _ClassVar[int]
    FORCE_QUANTIZE_NO_INPUT_CHECK_FIELD_NUMBER: _ClassVar[int]
    OP_TYPES_TO_EXCLUDE_OUTPUT_QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    op_types_to_quantize: _containers.RepeatedScalarFieldContainer[str]
    nodes_to_quantize: _containers.RepeatedScalarFieldContainer[str]
    nodes_to_exclude: _containers.RepeatedScalarFieldContainer[str]
    enable_subgraph: bool
    matmul_const_b_only: bool
    force_quantize_no_input_check: bool
    op_types_to_exclude_output_quantization: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, op_types_to_quantize: _Optional[_Iterable[str]] = ..., nodes_to_quantize: _Optional[_Iterable[str]] = ..., nodes_to_exclude: _Optional[_Iterable[str]] = ..., enable_subgraph: bool = ..., matmul_const_b_only: bool = ..., force_quantize_no_input_check: bool = ..., op_types_to_exclude_output_quantization: _Optional[_Iterable[str]] = ...) -> None: ...

class QdqOptions(_message.Message):
    __slots__ = ("quantize_bias", "add_pair_to_weight", "dedicated_pair", "use_contrib_ops")
    QUANTIZE_BIAS_FIELD_NUMBER: _ClassVar[int]
    ADD_PAIR_TO_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DEDICATED_PAIR_FIELD_NUMBER: _ClassVar[int]
    USE_CONTRIB_OPS_FIELD_NUMBER: _ClassVar[int]
    quantize_bias: bool
    add_pair_to_weight: bool
    dedicated_pair: bool
    use_contrib_ops: bool
    def __init__(self, quantize_bias: bool = ..., add_pair_to_weight: bool = ..., dedicated_pair: bool = ..., use_contrib_ops: bool = ...) -> None: ...

class TensorQuantOverride(_message.Message):
    __slots__ = ("tensor_name", "quant_type", "symmetric", "reduce_range", "axis", "scale", "zero_point", "rmin", "rmax")
    TENSOR_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SYMMETRIC_FIELD_NUMBER: _ClassVar[int]
    REDUCE_RANGE_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    ZERO_POINT_FIELD_NUMBER: _ClassVar[int]
    RMIN_FIELD_NUMBER: _ClassVar[int]
    RMAX_FIELD_NUMBER: _ClassVar[int]
    tensor_name: str
    quant_type: QuantType
    symmetric: bool
    reduce_range: bool
    axis: int
    scale: _containers.RepeatedScalarFieldContainer[float]
    zero_point: _containers.RepeatedScalarFieldContainer[int]
    rmin: _containers.RepeatedScalarFieldContainer[float]
    rmax: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, tensor_name: _Optional[str] = ..., quant_type: _Optional[_Union[QuantType, str]] = ..., symmetric: bool = ..., reduce_range: bool = ..., axis: _Optional[int] = ..., scale: _Optional[_Iterable[float]] = ..., zero_point: _Optional[_Iterable[int]] = ..., rmin: _Optional[_Iterable[float]] = ..., rmax: _Optional[_Iterable[float]] = ...) -> None: ...

class WeightOptions(_message.Message):
    __slots__ = ("quant_type", "per_channel", "reduce_range", "symmetric", "minimum_real_range")
    QUANT_TYPE_FIELD_NUMBER: _ClassVar[int]
    PER_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REDUCE_RANGE_FIELD_NUMBER: _ClassVar[int]
    SYMMETRIC_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_REAL_RANGE_FIELD_NUMBER: _ClassVar[int]
    quant_type: QuantType
    per_channel: bool
    reduce_range: bool
    symmetric: bool
    minimum_real_range: float
    def __init__(self, quant_type: _Optional[_Union[QuantType, str]] = ..., per_channel: bool = ..., reduce_range: bool = ..., symmetric: bool = ..., minimum_real_range: _Optional[float] = ...) -> None: ...

class VerifyOptions(_message.Message):
    __slots__ = ("min_sqnr_db", "strict", "min_agreement", "state")
    MIN_SQNR_DB_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    MIN_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    min_sqnr_db: float
    strict: bool
    min_agreement: float
    state: _containers.RepeatedCompositeFieldContainer[StatePair]
    def __init__(self, min_sqnr_db: _Optional[float] = ..., strict: bool = ..., min_agreement: _Optional[float] = ..., state: _Optional[_Iterable[_Union[StatePair, _Mapping]]] = ...) -> None: ...

class StatePair(_message.Message):
    __slots__ = ("output", "input")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    output: str
    input: str
    def __init__(self, output: _Optional[str] = ..., input: _Optional[str] = ...) -> None: ...

class AccuracyOptions(_message.Message):
    __slots__ = ("mode", "objective", "evaluate", "max_drop", "sensitivity", "decisions")
    MODE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    MAX_DROP_FIELD_NUMBER: _ClassVar[int]
    SENSITIVITY_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    mode: AccuracyMode
    objective: Objective
    evaluate: bool
    max_drop: float
    sensitivity: bool
    decisions: str
    def __init__(self, mode: _Optional[_Union[AccuracyMode, str]] = ..., objective: _Optional[_Union[Objective, str]] = ..., evaluate: bool = ..., max_drop: _Optional[float] = ..., sensitivity: bool = ..., decisions: _Optional[str] = ...) -> None: ...

class StaticOptions(_message.Message):
    __slots__ = ("selection", "quant_format", "activation_type", "activation_symmetric", "activation_restricted_asymmetric", "minimum_real_range", "weight", "calibrate_method", "percentile", "calibration_range_symmetric", "qdq", "tensor_quant_overrides", "verify", "keep_activation_type", "accuracy")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    QUANT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_SYMMETRIC_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_RESTRICTED_ASYMMETRIC_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_REAL_RANGE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CALIBRATE_METHOD_FIELD_NUMBER: _ClassVar[int]
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_RANGE_SYMMETRIC_FIELD_NUMBER: _ClassVar[int]
    QDQ_FIELD_NUMBER: _ClassVar[int]
    TENSOR_QUANT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    KEEP_ACTIVATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    selection: NodeSelection
    quant_format: QuantFormat
    activation_type: QuantType
    activation_symmetric: bool
    activation_restricted_asymmetric: bool
    minimum_real_range: float
    weight: WeightOptions
    calibrate_method: CalibrationMethod
    percentile: float
    calibration_range_symmetric: bool
    qdq: QdqOptions
    tensor_quant_overrides: _containers.RepeatedCompositeFieldContainer[TensorQuantOverride]
    verify: VerifyOptions
    keep_activation_type: bool
    accuracy: AccuracyOptions
    def __init__(self, selection: _Optional[_Union[NodeSelection, _Mapping]] = ..., quant_format: _Optional[_Union[QuantFormat, str]] = ..., activation_type: _Optional[_Union[QuantType, str]] = ..., activation_symmetric: bool = ..., activation_restricted_asymmetric: bool = ..., minimum_real_range: _Optional[float] = ..., weight: _Optional[_Union[WeightOptions, _Mapping]] = ..., calibrate_method: _Optional[_Union[CalibrationMethod, str]] = ..., percentile: _Optional[float] = ..., calibration_range_symmetric: bool = ..., qdq: _Optional[_Union[QdqOptions, _Mapping]] = ..., tensor_quant_overrides: _Optional[_Iterable[_Union[TensorQuantOverride, _Mapping]]] = ..., verify: _Optional[_Union[VerifyOptions, _Mapping]] = ..., keep_activation_type: bool = ..., accuracy: _Optional[_Union[AccuracyOptions, _Mapping]] = ...) -> None: ...

class DynamicOptions(_message.Message):
    __slots__ = ("selection", "weight", "tensor_quant_overrides", "verify", "accuracy")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TENSOR_QUANT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    selection: NodeSelection
    weight: WeightOptions
    tensor_quant_overrides: _containers.RepeatedCompositeFieldContainer[TensorQuantOverride]
    verify: VerifyOptions
    accuracy: AccuracyOptions
    def __init__(self, selection: _Optional[_Union[NodeSelection, _Mapping]] = ..., weight: _Optional[_Union[WeightOptions, _Mapping]] = ..., tensor_quant_overrides: _Optional[_Iterable[_Union[TensorQuantOverride, _Mapping]]] = ..., verify: _Optional[_Union[VerifyOptions, _Mapping]] = ..., accuracy: _Optional[_Union[AccuracyOptions, _Mapping]] = ...) -> None: ...

class QatOptions(_message.Message):
    __slots__ = ("selection", "quant_format", "activation_type", "weight_type", "per_channel", "quantize_bias", "exact", "calibrate", "verify", "keep_activation_type", "accuracy")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    QUANT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_TYPE_FIELD_NUMBER: _ClassVar[int]
    PER_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    QUANTIZE_BIAS_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    CALIBRATE_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    KEEP_ACTIVATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    selection: NodeSelection
    quant_format: QuantFormat
    activation_type: QuantType
    weight_type: QuantType
    per_channel: bool
    quantize_bias: bool
    exact: bool
    calibrate: bool
    verify: VerifyOptions
    keep_activation_type: bool
    accuracy: AccuracyOptions
    def __init__(self, selection: _Optional[_Union[NodeSelection, _Mapping]] = ..., quant_format: _Optional[_Union[QuantFormat, str]] = ..., activation_type: _Optional[_Union[QuantType, str]] = ..., weight_type: _Optional[_Union[QuantType, str]] = ..., per_channel: bool = ..., quantize_bias: bool = ..., exact: bool = ..., calibrate: bool = ..., verify: _Optional[_Union[VerifyOptions, _Mapping]] = ..., keep_activation_type: bool = ..., accuracy: _Optional[_Union[AccuracyOptions, _Mapping]] = ...) -> None: ...
