from zeropoint.v1 import model_pb2 as _model_pb2
from zeropoint.v1 import options_pb2 as _options_pb2
from zeropoint.v1 import progress_pb2 as _progress_pb2
from zeropoint.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATE_UNSPECIFIED: _ClassVar[NodeState]
    NODE_STATE_QUANTIZED: _ClassVar[NodeState]
    NODE_STATE_FLOAT: _ClassVar[NodeState]
    NODE_STATE_FOLDED: _ClassVar[NodeState]

class ParameterSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARAMETER_SOURCE_UNSPECIFIED: _ClassVar[ParameterSource]
    PARAMETER_SOURCE_CALIBRATED: _ClassVar[ParameterSource]
    PARAMETER_SOURCE_WEIGHT: _ClassVar[ParameterSource]
    PARAMETER_SOURCE_BIAS: _ClassVar[ParameterSource]
    PARAMETER_SOURCE_INHERITED: _ClassVar[ParameterSource]
    PARAMETER_SOURCE_FIXED: _ClassVar[ParameterSource]
    PARAMETER_SOURCE_DYNAMIC: _ClassVar[ParameterSource]
    PARAMETER_SOURCE_LEARNED: _ClassVar[ParameterSource]

class VerificationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERIFICATION_STATE_UNSPECIFIED: _ClassVar[VerificationState]
    VERIFICATION_STATE_COMPARED: _ClassVar[VerificationState]
    VERIFICATION_STATE_GENERATED: _ClassVar[VerificationState]
    VERIFICATION_STATE_NOT_RUN: _ClassVar[VerificationState]

class ComparedAs(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPARED_AS_UNSPECIFIED: _ClassVar[ComparedAs]
    COMPARED_AS_VALUES: _ClassVar[ComparedAs]
    COMPARED_AS_LOGITS: _ClassVar[ComparedAs]
    COMPARED_AS_LOG_ODDS: _ClassVar[ComparedAs]
    COMPARED_AS_PRE_ACTIVATIONS: _ClassVar[ComparedAs]

class DecisionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_KIND_UNSPECIFIED: _ClassVar[DecisionKind]
    DECISION_KIND_ARGMAX: _ClassVar[DecisionKind]
    DECISION_KIND_THRESHOLD: _ClassVar[DecisionKind]
    DECISION_KIND_EQUAL: _ClassVar[DecisionKind]
    DECISION_KIND_SEQUENCE: _ClassVar[DecisionKind]
    DECISION_KIND_SELECTION: _ClassVar[DecisionKind]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_ACCURATE: _ClassVar[Verdict]
    VERDICT_CHECK: _ClassVar[Verdict]
    VERDICT_DEGRADED: _ClassVar[Verdict]
    VERDICT_UNVERIFIED: _ClassVar[Verdict]

class Remedy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REMEDY_UNSPECIFIED: _ClassVar[Remedy]
    REMEDY_RANGE_METHOD: _ClassVar[Remedy]
    REMEDY_RANGE_CLIPPED: _ClassVar[Remedy]
    REMEDY_PER_CHANNEL: _ClassVar[Remedy]
    REMEDY_EQUALIZED: _ClassVar[Remedy]
    REMEDY_SMOOTHED: _ClassVar[Remedy]
    REMEDY_BIAS_CORRECTED: _ClassVar[Remedy]
    REMEDY_WEIGHTS_ROUNDED: _ClassVar[Remedy]
    REMEDY_OUTPUT_FLOAT: _ClassVar[Remedy]
    REMEDY_DYNAMIC_INPUT: _ClassVar[Remedy]
    REMEDY_WEIGHT_ONLY: _ClassVar[Remedy]
    REMEDY_STAYS_FLOAT: _ClassVar[Remedy]
NODE_STATE_UNSPECIFIED: NodeState
NODE_STATE_QUANTIZED: NodeState
NODE_STATE_FLOAT: NodeState
NODE_STATE_FOLDED: NodeState
PARAMETER_SOURCE_UNSPECIFIED: ParameterSource
PARAMETER_SOURCE_CALIBRATED: ParameterSource
PARAMETER_SOURCE_WEIGHT: ParameterSource
PARAMETER_SOURCE_BIAS: ParameterSource
PARAMETER_SOURCE_INHERITED: ParameterSource
PARAMETER_SOURCE_FIXED: ParameterSource
PARAMETER_SOURCE_DYNAMIC: ParameterSource
PARAMETER_SOURCE_LEARNED: ParameterSource
VERIFICATION_STATE_UNSPECIFIED: VerificationState
VERIFICATION_STATE_COMPARED: VerificationState
VERIFICATION_STATE_GENERATED: VerificationState
VERIFICATION_STATE_NOT_RUN: VerificationState
COMPARED_AS_UNSPECIFIED: ComparedAs
COMPARED_AS_VALUES: ComparedAs
COMPARED_AS_LOGITS: ComparedAs
COMPARED_AS_LOG_ODDS: ComparedAs
COMPARED_AS_PRE_ACTIVATIONS: ComparedAs
DECISION_KIND_UNSPECIFIED: DecisionKind
DECISION_KIND_ARGMAX: DecisionKind
DECISION_KIND_THRESHOLD: DecisionKind
DECISION_KIND_EQUAL: DecisionKind
DECISION_KIND_SEQUENCE: DecisionKind
DECISION_KIND_SELECTION: DecisionKind
VERDICT_UNSPECIFIED: Verdict
VERDICT_ACCURATE: Verdict
VERDICT_CHECK: Verdict
VERDICT_DEGRADED: Verdict
VERDICT_UNVERIFIED: Verdict
REMEDY_UNSPECIFIED: Remedy
REMEDY_RANGE_METHOD: Remedy
REMEDY_RANGE_CLIPPED: Remedy
REMEDY_PER_CHANNEL: Remedy
REMEDY_EQUALIZED: Remedy
REMEDY_SMOOTHED: Remedy
REMEDY_BIAS_CORRECTED: Remedy
REMEDY_WEIGHTS_ROUNDED: Remedy
REMEDY_OUTPUT_FLOAT: Remedy
REMEDY_DYNAMIC_INPUT: Remedy
REMEDY_WEIGHT_ONLY: Remedy
REMEDY_STAYS_FLOAT: Remedy

class NodePlan(_message.Message):
    __slots__ = ("name", "op_type", "state", "reason", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OP_TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    op_type: str
    state: NodeState
    reason: str
    message: str
    def __init__(self, name: _Optional[str] = ..., op_type: _Optional[str] = ..., state: _Optional[_Union[NodeState, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class RangeAlternative(_message.Message):
    __slots__ = ("method", "percentile", "low", "high", "expected_error")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_ERROR_FIELD_NUMBER: _ClassVar[int]
    method: _options_pb2.CalibrationMethod
    percentile: float
    low: float
    high: float
    expected_error: float
    def __init__(self, method: _Optional[_Union[_options_pb2.CalibrationMethod, str]] = ..., percentile: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., expected_error: _Optional[float] = ...) -> None: ...

class Histogram(_message.Message):
    __slots__ = ("node", "tensor", "low", "high", "counts", "ranges")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    node: str
    tensor: str
    low: float
    high: float
    counts: _containers.RepeatedScalarFieldContainer[int]
    ranges: _containers.RepeatedCompositeFieldContainer[RangeAlternative]
    def __init__(self, node: _Optional[str] = ..., tensor: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., counts: _Optional[_Iterable[int]] = ..., ranges: _Optional[_Iterable[_Union[RangeAlternative, _Mapping]]] = ...) -> None: ...

class TensorPlan(_message.Message):
    __slots__ = ("name", "element_type", "axis", "symmetric", "source", "inherited_from", "low", "high", "scale", "zero_point", "method", "percentile", "alternatives")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    SYMMETRIC_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    INHERITED_FROM_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    ZERO_POINT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    name: str
    element_type: _tensor_pb2.ElementType
    axis: int
    symmetric: bool
    source: ParameterSource
    inherited_from: str
    low: float
    high: float
    scale: float
    zero_point: int
    method: _options_pb2.CalibrationMethod
    percentile: float
    alternatives: _containers.RepeatedCompositeFieldContainer[RangeAlternative]
    def __init__(self, name: _Optional[str] = ..., element_type: _Optional[_Union[_tensor_pb2.ElementType, str]] = ..., axis: _Optional[int] = ..., symmetric: bool = ..., source: _Optional[_Union[ParameterSource, str]] = ..., inherited_from: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., scale: _Optional[float] = ..., zero_point: _Optional[int] = ..., method: _Optional[_Union[_options_pb2.CalibrationMethod, str]] = ..., percentile: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[RangeAlternative, _Mapping]]] = ...) -> None: ...

class Warning(_message.Message):
    __slots__ = ("code", "message", "nodes")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("nodes", "tensors", "opset", "warnings", "constants")
    NODES_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    OPSET_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    CONSTANTS_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[NodePlan]
    tensors: _containers.RepeatedCompositeFieldContainer[TensorPlan]
    opset: int
    warnings: _containers.RepeatedCompositeFieldContainer[Warning]
    constants: int
    def __init__(self, nodes: _Optional[_Iterable[_Union[NodePlan, _Mapping]]] = ..., tensors: _Optional[_Iterable[_Union[TensorPlan, _Mapping]]] = ..., opset: _Optional[int] = ..., warnings: _Optional[_Iterable[_Union[Warning, _Mapping]]] = ..., constants: _Optional[int] = ...) -> None: ...

class Similarity(_message.Message):
    __slots__ = ("sqnr_db", "cosine", "max_abs_difference")
    SQNR_DB_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    MAX_ABS_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    sqnr_db: float
    cosine: float
    max_abs_difference: float
    def __init__(self, sqnr_db: _Optional[float] = ..., cosine: _Optional[float] = ..., max_abs_difference: _Optional[float] = ...) -> None: ...

class Decisions(_message.Message):
    __slots__ = ("kind", "agreement", "count", "minority_agreement", "minority_count", "low", "high", "whole")
    KIND_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MINORITY_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    MINORITY_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    kind: DecisionKind
    agreement: float
    count: int
    minority_agreement: float
    minority_count: int
    low: float
    high: float
    whole: float
    def __init__(self, kind: _Optional[_Union[DecisionKind, str]] = ..., agreement: _Optional[float] = ..., count: _Optional[int] = ..., minority_agreement: _Optional[float] = ..., minority_count: _Optional[int] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., whole: _Optional[float] = ...) -> None: ...

class SampleFigures(_message.Message):
    __slots__ = ("samples", "median_db", "tenth_db", "least_db")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_DB_FIELD_NUMBER: _ClassVar[int]
    TENTH_DB_FIELD_NUMBER: _ClassVar[int]
    LEAST_DB_FIELD_NUMBER: _ClassVar[int]
    samples: int
    median_db: float
    tenth_db: float
    least_db: float
    def __init__(self, samples: _Optional[int] = ..., median_db: _Optional[float] = ..., tenth_db: _Optional[float] = ..., least_db: _Optional[float] = ...) -> None: ...

class OutputFigures(_message.Message):
    __slots__ = ("name", "similarity", "compared_as", "by_sample", "decisions", "shape_changed", "repeat_db", "is_float")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    COMPARED_AS_FIELD_NUMBER: _ClassVar[int]
    BY_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    SHAPE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    REPEAT_DB_FIELD_NUMBER: _ClassVar[int]
    IS_FLOAT_FIELD_NUMBER: _ClassVar[int]
    name: str
    similarity: Similarity
    compared_as: ComparedAs
    by_sample: SampleFigures
    decisions: Decisions
    shape_changed: int
    repeat_db: float
    is_float: bool
    def __init__(self, name: _Optional[str] = ..., similarity: _Optional[_Union[Similarity, _Mapping]] = ..., compared_as: _Optional[_Union[ComparedAs, str]] = ..., by_sample: _Optional[_Union[SampleFigures, _Mapping]] = ..., decisions: _Optional[_Union[Decisions, _Mapping]] = ..., shape_changed: _Optional[int] = ..., repeat_db: _Optional[float] = ..., is_float: bool = ...) -> None: ...

class NodeFigures(_message.Message):
    __slots__ = ("name", "op_type", "similarity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OP_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    op_type: str
    similarity: Similarity
    def __init__(self, name: _Optional[str] = ..., op_type: _Optional[str] = ..., similarity: _Optional[_Union[Similarity, _Mapping]] = ...) -> None: ...

class KernelCount(_message.Message):
    __slots__ = ("op_type", "nodes", "integer")
    OP_TYPE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    op_type: str
    nodes: int
    integer: int
    def __init__(self, op_type: _Optional[str] = ..., nodes: _Optional[int] = ..., integer: _Optional[int] = ...) -> None: ...

class TensorDifference(_message.Message):
    __slots__ = ("name", "steps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    steps: int
    def __init__(self, name: _Optional[str] = ..., steps: _Optional[int] = ...) -> None: ...

class Exactness(_message.Message):
    __slots__ = ("tensors", "exact_tensors", "node_steps", "end_to_end_steps", "max_abs_difference", "max_ulps", "worst", "kernels_before")
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    EXACT_TENSORS_FIELD_NUMBER: _ClassVar[int]
    NODE_STEPS_FIELD_NUMBER: _ClassVar[int]
    END_TO_END_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_ABS_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    MAX_ULPS_FIELD_NUMBER: _ClassVar[int]
    WORST_FIELD_NUMBER: _ClassVar[int]
    KERNELS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    tensors: int
    exact_tensors: int
    node_steps: int
    end_to_end_steps: int
    max_abs_difference: float
    max_ulps: float
    worst: _containers.RepeatedCompositeFieldContainer[TensorDifference]
    kernels_before: _containers.RepeatedCompositeFieldContainer[KernelCount]
    def __init__(self, tensors: _Optional[int] = ..., exact_tensors: _Optional[int] = ..., node_steps: _Optional[int] = ..., end_to_end_steps: _Optional[int] = ..., max_abs_difference: _Optional[float] = ..., max_ulps: _Optional[float] = ..., worst: _Optional[_Iterable[_Union[TensorDifference, _Mapping]]] = ..., kernels_before: _Optional[_Iterable[_Union[KernelCount, _Mapping]]] = ...) -> None: ...

class Speed(_message.Message):
    __slots__ = ("float_ms", "result_ms", "ratio", "runs", "apart")
    FLOAT_MS_FIELD_NUMBER: _ClassVar[int]
    RESULT_MS_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    APART_FIELD_NUMBER: _ClassVar[int]
    float_ms: float
    result_ms: float
    ratio: float
    runs: int
    apart: bool
    def __init__(self, float_ms: _Optional[float] = ..., result_ms: _Optional[float] = ..., ratio: _Optional[float] = ..., runs: _Optional[int] = ..., apart: bool = ...) -> None: ...

class RollOutFigures(_message.Message):
    __slots__ = ("name", "first_db", "middle_db", "last_db", "growth_db")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIRST_DB_FIELD_NUMBER: _ClassVar[int]
    MIDDLE_DB_FIELD_NUMBER: _ClassVar[int]
    LAST_DB_FIELD_NUMBER: _ClassVar[int]
    GROWTH_DB_FIELD_NUMBER: _ClassVar[int]
    name: str
    first_db: float
    middle_db: float
    last_db: float
    growth_db: float
    def __init__(self, name: _Optional[str] = ..., first_db: _Optional[float] = ..., middle_db: _Optional[float] = ..., last_db: _Optional[float] = ..., growth_db: _Optional[float] = ...) -> None: ...

class RollOut(_message.Message):
    __slots__ = ("state", "batches", "outputs")
    STATE_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    state: _containers.RepeatedCompositeFieldContainer[_options_pb2.StatePair]
    batches: int
    outputs: _containers.RepeatedCompositeFieldContainer[RollOutFigures]
    def __init__(self, state: _Optional[_Iterable[_Union[_options_pb2.StatePair, _Mapping]]] = ..., batches: _Optional[int] = ..., outputs: _Optional[_Iterable[_Union[RollOutFigures, _Mapping]]] = ...) -> None: ...

class Verification(_message.Message):
    __slots__ = ("state", "message", "batches", "held_out", "sqnr_db", "outputs", "non_finite_batches", "not_run_batches", "nodes", "kernels", "exactness", "speed", "integer_share", "samples", "independent", "roll_out")
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    SQNR_DB_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_BATCHES_FIELD_NUMBER: _ClassVar[int]
    NOT_RUN_BATCHES_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    KERNELS_FIELD_NUMBER: _ClassVar[int]
    EXACTNESS_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    INTEGER_SHARE_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    INDEPENDENT_FIELD_NUMBER: _ClassVar[int]
    ROLL_OUT_FIELD_NUMBER: _ClassVar[int]
    state: VerificationState
    message: str
    batches: int
    held_out: bool
    sqnr_db: float
    outputs: _containers.RepeatedCompositeFieldContainer[OutputFigures]
    non_finite_batches: _containers.RepeatedScalarFieldContainer[int]
    not_run_batches: _containers.RepeatedScalarFieldContainer[int]
    nodes: _containers.RepeatedCompositeFieldContainer[NodeFigures]
    kernels: _containers.RepeatedCompositeFieldContainer[KernelCount]
    exactness: Exactness
    speed: Speed
    integer_share: float
    samples: int
    independent: bool
    roll_out: RollOut
    def __init__(self, state: _Optional[_Union[VerificationState, str]] = ..., message: _Optional[str] = ..., batches: _Optional[int] = ..., held_out: bool = ..., sqnr_db: _Optional[float] = ..., outputs: _Optional[_Iterable[_Union[OutputFigures, _Mapping]]] = ..., non_finite_batches: _Optional[_Iterable[int]] = ..., not_run_batches: _Optional[_Iterable[int]] = ..., nodes: _Optional[_Iterable[_Union[NodeFigures, _Mapping]]] = ..., kernels: _Optional[_Iterable[_Union[KernelCount, _Mapping]]] = ..., exactness: _Optional[_Union[Exactness, _Mapping]] = ..., speed: _Optional[_Union[Speed, _Mapping]] = ..., integer_share: _Optional[float] = ..., samples: _Optional[int] = ..., independent: bool = ..., roll_out: _Optional[_Union[RollOut, _Mapping]] = ...) -> None: ...

class NonFiniteTensor(_message.Message):
    __slots__ = ("name", "nan", "positive_infinity", "negative_infinity", "batches")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAN_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_INFINITY_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_INFINITY_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    name: str
    nan: int
    positive_infinity: int
    negative_infinity: int
    batches: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., nan: _Optional[int] = ..., positive_infinity: _Optional[int] = ..., negative_infinity: _Optional[int] = ..., batches: _Optional[_Iterable[int]] = ...) -> None: ...

class CalibrationFigures(_message.Message):
    __slots__ = ("batches", "rejected", "tensors", "non_finite", "convergence", "held_out")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_FIELD_NUMBER: _ClassVar[int]
    CONVERGENCE_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    batches: int
    rejected: int
    tensors: int
    non_finite: _containers.RepeatedCompositeFieldContainer[NonFiniteTensor]
    convergence: _progress_pb2.Convergence
    held_out: int
    def __init__(self, batches: _Optional[int] = ..., rejected: _Optional[int] = ..., tensors: _Optional[int] = ..., non_finite: _Optional[_Iterable[_Union[NonFiniteTensor, _Mapping]]] = ..., convergence: _Optional[_Union[_progress_pb2.Convergence, _Mapping]] = ..., held_out: _Optional[int] = ...) -> None: ...

class RejectedBatches(_message.Message):
    __slots__ = ("reason", "batches", "sequence", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    batches: int
    sequence: int
    message: str
    def __init__(self, reason: _Optional[str] = ..., batches: _Optional[int] = ..., sequence: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class Versions(_message.Message):
    __slots__ = ("zeropoint", "onnxruntime", "onnx")
    ZEROPOINT_FIELD_NUMBER: _ClassVar[int]
    ONNXRUNTIME_FIELD_NUMBER: _ClassVar[int]
    ONNX_FIELD_NUMBER: _ClassVar[int]
    zeropoint: str
    onnxruntime: str
    onnx: str
    def __init__(self, zeropoint: _Optional[str] = ..., onnxruntime: _Optional[str] = ..., onnx: _Optional[str] = ...) -> None: ...

class PhaseTime(_message.Message):
    __slots__ = ("phase", "seconds")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    phase: _progress_pb2.Phase
    seconds: float
    def __init__(self, phase: _Optional[_Union[_progress_pb2.Phase, str]] = ..., seconds: _Optional[float] = ...) -> None: ...

class Floor(_message.Message):
    __slots__ = ("min_sqnr_db", "min_tenth_db", "min_agreement", "min_metric", "original_metric")
    MIN_SQNR_DB_FIELD_NUMBER: _ClassVar[int]
    MIN_TENTH_DB_FIELD_NUMBER: _ClassVar[int]
    MIN_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    MIN_METRIC_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_METRIC_FIELD_NUMBER: _ClassVar[int]
    min_sqnr_db: float
    min_tenth_db: float
    min_agreement: float
    min_metric: float
    original_metric: float
    def __init__(self, min_sqnr_db: _Optional[float] = ..., min_tenth_db: _Optional[float] = ..., min_agreement: _Optional[float] = ..., min_metric: _Optional[float] = ..., original_metric: _Optional[float] = ...) -> None: ...

class Departure(_message.Message):
    __slots__ = ("remedy", "nodes", "reason", "effect")
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    remedy: Remedy
    nodes: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    effect: str
    def __init__(self, remedy: _Optional[_Union[Remedy, str]] = ..., nodes: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., effect: _Optional[str] = ...) -> None: ...

class Trial(_message.Message):
    __slots__ = ("number", "description", "sqnr_db", "tenth_db", "agreement", "metric", "latency_ratio", "integer_share", "float_nodes", "result_bytes", "held", "chosen")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SQNR_DB_FIELD_NUMBER: _ClassVar[int]
    TENTH_DB_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    LATENCY_RATIO_FIELD_NUMBER: _ClassVar[int]
    INTEGER_SHARE_FIELD_NUMBER: _ClassVar[int]
    FLOAT_NODES_FIELD_NUMBER: _ClassVar[int]
    RESULT_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    number: int
    description: str
    sqnr_db: float
    tenth_db: float
    agreement: float
    metric: float
    latency_ratio: float
    integer_share: float
    float_nodes: int
    result_bytes: int
    held: bool
    chosen: bool
    def __init__(self, number: _Optional[int] = ..., description: _Optional[str] = ..., sqnr_db: _Optional[float] = ..., tenth_db: _Optional[float] = ..., agreement: _Optional[float] = ..., metric: _Optional[float] = ..., latency_ratio: _Optional[float] = ..., integer_share: _Optional[float] = ..., float_nodes: _Optional[int] = ..., result_bytes: _Optional[int] = ..., held: bool = ..., chosen: bool = ...) -> None: ...

class OutputEffect(_message.Message):
    __slots__ = ("output", "sqnr_db")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SQNR_DB_FIELD_NUMBER: _ClassVar[int]
    output: str
    sqnr_db: float
    def __init__(self, output: _Optional[str] = ..., sqnr_db: _Optional[float] = ...) -> None: ...

class Sensitivity(_message.Message):
    __slots__ = ("name", "op_type", "effects", "share", "clipped_share", "weight_db", "activation_db", "tried")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OP_TYPE_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    CLIPPED_SHARE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DB_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_DB_FIELD_NUMBER: _ClassVar[int]
    TRIED_FIELD_NUMBER: _ClassVar[int]
    name: str
    op_type: str
    effects: _containers.RepeatedCompositeFieldContainer[OutputEffect]
    share: float
    clipped_share: float
    weight_db: float
    activation_db: float
    tried: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., op_type: _Optional[str] = ..., effects: _Optional[_Iterable[_Union[OutputEffect, _Mapping]]] = ..., share: _Optional[float] = ..., clipped_share: _Optional[float] = ..., weight_db: _Optional[float] = ..., activation_db: _Optional[float] = ..., tried: _Optional[_Iterable[str]] = ...) -> None: ...

class Accuracy(_message.Message):
    __slots__ = ("mode", "floor", "held", "message", "searched", "choosing_samples", "departures", "trials", "sensitivities", "decisions")
    MODE_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEARCHED_FIELD_NUMBER: _ClassVar[int]
    CHOOSING_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    DEPARTURES_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    SENSITIVITIES_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    mode: _options_pb2.AccuracyMode
    floor: Floor
    held: bool
    message: str
    searched: bool
    choosing_samples: int
    departures: _containers.RepeatedCompositeFieldContainer[Departure]
    trials: _containers.RepeatedCompositeFieldContainer[Trial]
    sensitivities: _containers.RepeatedCompositeFieldContainer[Sensitivity]
    decisions: str
    def __init__(self, mode: _Optional[_Union[_options_pb2.AccuracyMode, str]] = ..., floor: _Optional[_Union[Floor, _Mapping]] = ..., held: bool = ..., message: _Optional[str] = ..., searched: bool = ..., choosing_samples: _Optional[int] = ..., departures: _Optional[_Iterable[_Union[Departure, _Mapping]]] = ..., trials: _Optional[_Iterable[_Union[Trial, _Mapping]]] = ..., sensitivities: _Optional[_Iterable[_Union[Sensitivity, _Mapping]]] = ..., decisions: _Optional[str] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("versions", "source_sha256", "digest", "static_options", "dynamic_options", "qat_options", "plan", "verification", "calibration", "warnings", "source_bytes", "result_bytes", "phases", "signature", "verdict", "conclusion", "rejected", "accuracy", "histograms")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_SHA256_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    QAT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESULT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CONCLUSION_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAMS_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    source_sha256: bytes
    digest: bytes
    static_options: _options_pb2.StaticOptions
    dynamic_options: _options_pb2.DynamicOptions
    qat_options: _options_pb2.QatOptions
    plan: Plan
    verification: Verification
    calibration: CalibrationFigures
    warnings: _containers.RepeatedCompositeFieldContainer[Warning]
    source_bytes: int
    result_bytes: int
    phases: _containers.RepeatedCompositeFieldContainer[PhaseTime]
    signature: _model_pb2.ModelSignature
    verdict: Verdict
    conclusion: str
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedBatches]
    accuracy: Accuracy
    histograms: _containers.RepeatedCompositeFieldContainer[Histogram]
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ..., source_sha256: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., static_options: _Optional[_Union[_options_pb2.StaticOptions, _Mapping]] = ..., dynamic_options: _Optional[_Union[_options_pb2.DynamicOptions, _Mapping]] = ..., qat_options: _Optional[_Union[_options_pb2.QatOptions, _Mapping]] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., verification: _Optional[_Union[Verification, _Mapping]] = ..., calibration: _Optional[_Union[CalibrationFigures, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[Warning, _Mapping]]] = ..., source_bytes: _Optional[int] = ..., result_bytes: _Optional[int] = ..., phases: _Optional[_Iterable[_Union[PhaseTime, _Mapping]]] = ..., signature: _Optional[_Union[_model_pb2.ModelSignature, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., conclusion: _Optional[str] = ..., rejected: _Optional[_Iterable[_Union[RejectedBatches, _Mapping]]] = ..., accuracy: _Optional[_Union[Accuracy, _Mapping]] = ..., histograms: _Optional[_Iterable[_Union[Histogram, _Mapping]]] = ...) -> None: ...
