from zeropoint.v1 import job_pb2 as _job_pb2
from zeropoint.v1 import options_pb2 as _options_pb2
from zeropoint.v1 import report_pb2 as _report_pb2
from zeropoint.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Limits(_message.Message):
    __slots__ = ("model_bytes", "model_files", "batch_bytes", "chunk_bytes", "message_bytes", "jobs", "queued_jobs", "queue_seconds", "prepare_seconds", "batch_seconds", "finish_seconds", "evaluation_seconds")
    MODEL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FILES_FIELD_NUMBER: _ClassVar[int]
    BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_JOBS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PREPARE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FINISH_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    model_bytes: int
    model_files: int
    batch_bytes: int
    chunk_bytes: int
    message_bytes: int
    jobs: int
    queued_jobs: int
    queue_seconds: float
    prepare_seconds: float
    batch_seconds: float
    finish_seconds: float
    evaluation_seconds: float
    def __init__(self, model_bytes: _Optional[int] = ..., model_files: _Optional[int] = ..., batch_bytes: _Optional[int] = ..., chunk_bytes: _Optional[int] = ..., message_bytes: _Optional[int] = ..., jobs: _Optional[int] = ..., queued_jobs: _Optional[int] = ..., queue_seconds: _Optional[float] = ..., prepare_seconds: _Optional[float] = ..., batch_seconds: _Optional[float] = ..., finish_seconds: _Optional[float] = ..., evaluation_seconds: _Optional[float] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("heartbeat_seconds", "idle_seconds", "stall_seconds", "refusal_seconds", "keepalive_seconds", "keepalive_timeout_seconds", "least_ping_seconds", "progress_seconds")
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LEAST_PING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    heartbeat_seconds: float
    idle_seconds: float
    stall_seconds: float
    refusal_seconds: float
    keepalive_seconds: float
    keepalive_timeout_seconds: float
    least_ping_seconds: float
    progress_seconds: float
    def __init__(self, heartbeat_seconds: _Optional[float] = ..., idle_seconds: _Optional[float] = ..., stall_seconds: _Optional[float] = ..., refusal_seconds: _Optional[float] = ..., keepalive_seconds: _Optional[float] = ..., keepalive_timeout_seconds: _Optional[float] = ..., least_ping_seconds: _Optional[float] = ..., progress_seconds: _Optional[float] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("running_jobs", "queued_jobs")
    RUNNING_JOBS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_JOBS_FIELD_NUMBER: _ClassVar[int]
    running_jobs: int
    queued_jobs: int
    def __init__(self, running_jobs: _Optional[int] = ..., queued_jobs: _Optional[int] = ...) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("quant_types", "quant_formats", "calibration_methods", "static_op_types", "dynamic_op_types", "element_types")
    QUANT_TYPES_FIELD_NUMBER: _ClassVar[int]
    QUANT_FORMATS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_METHODS_FIELD_NUMBER: _ClassVar[int]
    STATIC_OP_TYPES_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_OP_TYPES_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    quant_types: _containers.RepeatedScalarFieldContainer[_options_pb2.QuantType]
    quant_formats: _containers.RepeatedScalarFieldContainer[_options_pb2.QuantFormat]
    calibration_methods: _containers.RepeatedScalarFieldContainer[_options_pb2.CalibrationMethod]
    static_op_types: _containers.RepeatedScalarFieldContainer[str]
    dynamic_op_types: _containers.RepeatedScalarFieldContainer[str]
    element_types: _containers.RepeatedScalarFieldContainer[_tensor_pb2.ElementType]
    def __init__(self, quant_types: _Optional[_Iterable[_Union[_options_pb2.QuantType, str]]] = ..., quant_formats: _Optional[_Iterable[_Union[_options_pb2.QuantFormat, str]]] = ..., calibration_methods: _Optional[_Iterable[_Union[_options_pb2.CalibrationMethod, str]]] = ..., static_op_types: _Optional[_Iterable[str]] = ..., dynamic_op_types: _Optional[_Iterable[str]] = ..., element_types: _Optional[_Iterable[_Union[_tensor_pb2.ElementType, str]]] = ...) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("versions", "limits", "capabilities", "revision", "features", "timing", "needs_token", "load")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    NEEDS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    versions: _report_pb2.Versions
    limits: Limits
    capabilities: Capabilities
    revision: int
    features: _containers.RepeatedScalarFieldContainer[str]
    timing: Timing
    needs_token: bool
    load: Load
    def __init__(self, versions: _Optional[_Union[_report_pb2.Versions, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ..., revision: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., needs_token: bool = ..., load: _Optional[_Union[Load, _Mapping]] = ...) -> None: ...
