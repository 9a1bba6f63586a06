from zeropoint.v1 import batch_pb2 as _batch_pb2
from zeropoint.v1 import failure_pb2 as _failure_pb2
from zeropoint.v1 import model_pb2 as _model_pb2
from zeropoint.v1 import options_pb2 as _options_pb2
from zeropoint.v1 import report_pb2 as _report_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_QUEUED: _ClassVar[Phase]
    PHASE_UPLOAD: _ClassVar[Phase]
    PHASE_PREPARE: _ClassVar[Phase]
    PHASE_CALIBRATE: _ClassVar[Phase]
    PHASE_QUANTIZE: _ClassVar[Phase]
    PHASE_VERIFY: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
PHASE_QUEUED: Phase
PHASE_UPLOAD: Phase
PHASE_PREPARE: Phase
PHASE_CALIBRATE: Phase
PHASE_QUANTIZE: Phase
PHASE_VERIFY: Phase

class Convergence(_message.Message):
    __slots__ = ("moving_share", "batches")
    MOVING_SHARE_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    moving_share: float
    batches: int
    def __init__(self, moving_share: _Optional[float] = ..., batches: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("phase", "done", "total", "message", "convergence")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CONVERGENCE_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    done: int
    total: int
    message: str
    convergence: Convergence
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., message: _Optional[str] = ..., convergence: _Optional[_Union[Convergence, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("job", "epoch", "next_sequence", "credit", "signature", "plan")
    JOB_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    job: str
    epoch: int
    next_sequence: int
    credit: _batch_pb2.Credit
    signature: _model_pb2.ModelSignature
    plan: _report_pb2.Plan
    def __init__(self, job: _Optional[str] = ..., epoch: _Optional[int] = ..., next_sequence: _Optional[int] = ..., credit: _Optional[_Union[_batch_pb2.Credit, _Mapping]] = ..., signature: _Optional[_Union[_model_pb2.ModelSignature, _Mapping]] = ..., plan: _Optional[_Union[_report_pb2.Plan, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("report", "manifest", "calibration")
    REPORT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    report: _report_pb2.Report
    manifest: _model_pb2.ModelManifest
    calibration: _model_pb2.ModelFile
    def __init__(self, report: _Optional[_Union[_report_pb2.Report, _Mapping]] = ..., manifest: _Optional[_Union[_model_pb2.ModelManifest, _Mapping]] = ..., calibration: _Optional[_Union[_model_pb2.ModelFile, _Mapping]] = ...) -> None: ...

class StaticStart(_message.Message):
    __slots__ = ("options", "manifest", "calibration", "return_calibration")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    RETURN_CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    options: _options_pb2.StaticOptions
    manifest: _model_pb2.ModelManifest
    calibration: _model_pb2.ModelFile
    return_calibration: bool
    def __init__(self, options: _Optional[_Union[_options_pb2.StaticOptions, _Mapping]] = ..., manifest: _Optional[_Union[_model_pb2.ModelManifest, _Mapping]] = ..., calibration: _Optional[_Union[_model_pb2.ModelFile, _Mapping]] = ..., return_calibration: bool = ...) -> None: ...

class QuantizeStaticRequest(_message.Message):
    __slots__ = ("start", "model_chunk", "batch_header", "batch_chunk", "finish", "heartbeat")
    START_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    BATCH_HEADER_FIELD_NUMBER: _ClassVar[int]
    BATCH_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    start: StaticStart
    model_chunk: _model_pb2.ModelChunk
    batch_header: _batch_pb2.BatchHeader
    batch_chunk: _batch_pb2.BatchChunk
    finish: _batch_pb2.Finish
    heartbeat: _batch_pb2.Heartbeat
    def __init__(self, start: _Optional[_Union[StaticStart, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., batch_header: _Optional[_Union[_batch_pb2.BatchHeader, _Mapping]] = ..., batch_chunk: _Optional[_Union[_batch_pb2.BatchChunk, _Mapping]] = ..., finish: _Optional[_Union[_batch_pb2.Finish, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class QuantizeStaticResponse(_message.Message):
    __slots__ = ("model_status", "started", "credit", "ack", "progress", "result", "model_chunk", "failure", "heartbeat")
    MODEL_STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    model_status: _model_pb2.ModelStatus
    started: Started
    credit: _batch_pb2.Credit
    ack: _batch_pb2.Ack
    progress: Progress
    result: Result
    model_chunk: _model_pb2.ModelChunk
    failure: _failure_pb2.Failure
    heartbeat: _batch_pb2.Heartbeat
    def __init__(self, model_status: _Optional[_Union[_model_pb2.ModelStatus, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., credit: _Optional[_Union[_batch_pb2.Credit, _Mapping]] = ..., ack: _Optional[_Union[_batch_pb2.Ack, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., failure: _Optional[_Union[_failure_pb2.Failure, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class DynamicStart(_message.Message):
    __slots__ = ("options", "manifest")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    options: _options_pb2.DynamicOptions
    manifest: _model_pb2.ModelManifest
    def __init__(self, options: _Optional[_Union[_options_pb2.DynamicOptions, _Mapping]] = ..., manifest: _Optional[_Union[_model_pb2.ModelManifest, _Mapping]] = ...) -> None: ...

class QuantizeDynamicRequest(_message.Message):
    __slots__ = ("start", "model_chunk", "batch_header", "batch_chunk", "finish", "heartbeat")
    START_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    BATCH_HEADER_FIELD_NUMBER: _ClassVar[int]
    BATCH_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    start: DynamicStart
    model_chunk: _model_pb2.ModelChunk
    batch_header: _batch_pb2.BatchHeader
    batch_chunk: _batch_pb2.BatchChunk
    finish: _batch_pb2.Finish
    heartbeat: _batch_pb2.Heartbeat
    def __init__(self, start: _Optional[_Union[DynamicStart, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., batch_header: _Optional[_Union[_batch_pb2.BatchHeader, _Mapping]] = ..., batch_chunk: _Optional[_Union[_batch_pb2.BatchChunk, _Mapping]] = ..., finish: _Optional[_Union[_batch_pb2.Finish, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class QuantizeDynamicResponse(_message.Message):
    __slots__ = ("model_status", "started", "credit", "ack", "progress", "result", "model_chunk", "failure", "heartbeat")
    MODEL_STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    model_status: _model_pb2.ModelStatus
    started: Started
    credit: _batch_pb2.Credit
    ack: _batch_pb2.Ack
    progress: Progress
    result: Result
    model_chunk: _model_pb2.ModelChunk
    failure: _failure_pb2.Failure
    heartbeat: _batch_pb2.Heartbeat
    def __init__(self, model_status: _Optional[_Union[_model_pb2.ModelStatus, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., credit: _Optional[_Union[_batch_pb2.Credit, _Mapping]] = ..., ack: _Optional[_Union[_batch_pb2.Ack, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., failure: _Optional[_Union[_failure_pb2.Failure, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class QatStart(_message.Message):
    __slots__ = ("options", "manifest")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    options: _options_pb2.QatOptions
    manifest: _model_pb2.ModelManifest
    def __init__(self, options: _Optional[_Union[_options_pb2.QatOptions, _Mapping]] = ..., manifest: _Optional[_Union[_model_pb2.ModelManifest, _Mapping]] = ...) -> None: ...

class QuantizeQatRequest(_message.Message):
    __slots__ = ("start", "model_chunk", "batch_header", "batch_chunk", "finish", "heartbeat")
    START_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    BATCH_HEADER_FIELD_NUMBER: _ClassVar[int]
    BATCH_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    start: QatStart
    model_chunk: _model_pb2.ModelChunk
    batch_header: _batch_pb2.BatchHeader
    batch_chunk: _batch_pb2.BatchChunk
    finish: _batch_pb2.Finish
    heartbeat: _batch_pb2.Heartbeat
    def __init__(self, start: _Optional[_Union[QatStart, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., batch_header: _Optional[_Union[_batch_pb2.BatchHeader, _Mapping]] = ..., batch_chunk: _Optional[_Union[_batch_pb2.BatchChunk, _Mapping]] = ..., finish: _Optional[_Union[_batch_pb2.Finish, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class QuantizeQatResponse(_message.Message):
    __slots__ = ("model_status", "started", "credit", "ack", "progress", "result", "model_chunk", "failure", "heartbeat")
    MODEL_STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    model_status: _model_pb2.ModelStatus
    started: Started
    credit: _batch_pb2.Credit
    ack: _batch_pb2.Ack
    progress: Progress
    result: Result
    model_chunk: _model_pb2.ModelChunk
    failure: _failure_pb2.Failure
    heartbeat: _batch_pb2.Heartbeat
    def __init__(self, model_status: _Optional[_Union[_model_pb2.ModelStatus, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., credit: _Optional[_Union[_batch_pb2.Credit, _Mapping]] = ..., ack: _Optional[_Union[_batch_pb2.Ack, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., failure: _Optional[_Union[_failure_pb2.Failure, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class InspectStart(_message.Message):
    __slots__ = ("manifest", "static_options", "dynamic_options", "qat_options")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    STATIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    QAT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    manifest: _model_pb2.ModelManifest
    static_options: _options_pb2.StaticOptions
    dynamic_options: _options_pb2.DynamicOptions
    qat_options: _options_pb2.QatOptions
    def __init__(self, manifest: _Optional[_Union[_model_pb2.ModelManifest, _Mapping]] = ..., static_options: _Optional[_Union[_options_pb2.StaticOptions, _Mapping]] = ..., dynamic_options: _Optional[_Union[_options_pb2.DynamicOptions, _Mapping]] = ..., qat_options: _Optional[_Union[_options_pb2.QatOptions, _Mapping]] = ...) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ("start", "model_chunk", "heartbeat")
    START_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    start: InspectStart
    model_chunk: _model_pb2.ModelChunk
    heartbeat: _batch_pb2.Heartbeat
    def __init__(self, start: _Optional[_Union[InspectStart, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ...) -> None: ...

class InspectResponse(_message.Message):
    __slots__ = ("signature", "plan", "opset", "model_bytes")
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    OPSET_FIELD_NUMBER: _ClassVar[int]
    MODEL_BYTES_FIELD_NUMBER: _ClassVar[int]
    signature: _model_pb2.ModelSignature
    plan: _report_pb2.Plan
    opset: int
    model_bytes: int
    def __init__(self, signature: _Optional[_Union[_model_pb2.ModelSignature, _Mapping]] = ..., plan: _Optional[_Union[_report_pb2.Plan, _Mapping]] = ..., opset: _Optional[int] = ..., model_bytes: _Optional[int] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Limits(_message.Message):
    __slots__ = ("model_bytes", "model_files", "batch_bytes", "chunk_bytes", "jobs", "queued_jobs", "idle_seconds")
    MODEL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FILES_FIELD_NUMBER: _ClassVar[int]
    BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_JOBS_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    model_bytes: int
    model_files: int
    batch_bytes: int
    chunk_bytes: int
    jobs: int
    queued_jobs: int
    idle_seconds: int
    def __init__(self, model_bytes: _Optional[int] = ..., model_files: _Optional[int] = ..., batch_bytes: _Optional[int] = ..., chunk_bytes: _Optional[int] = ..., jobs: _Optional[int] = ..., queued_jobs: _Optional[int] = ..., idle_seconds: _Optional[int] = ...) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("quant_types", "quant_formats", "calibration_methods", "static_op_types", "dynamic_op_types")
    QUANT_TYPES_FIELD_NUMBER: _ClassVar[int]
    QUANT_FORMATS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_METHODS_FIELD_NUMBER: _ClassVar[int]
    STATIC_OP_TYPES_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_OP_TYPES_FIELD_NUMBER: _ClassVar[int]
    quant_types: _containers.RepeatedScalarFieldContainer[_options_pb2.QuantType]
    quant_formats: _containers.RepeatedScalarFieldContainer[_options_pb2.QuantFormat]
    calibration_methods: _containers.RepeatedScalarFieldContainer[_options_pb2.CalibrationMethod]
    static_op_types: _containers.RepeatedScalarFieldContainer[str]
    dynamic_op_types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, quant_types: _Optional[_Iterable[_Union[_options_pb2.QuantType, str]]] = ..., quant_formats: _Optional[_Iterable[_Union[_options_pb2.QuantFormat, str]]] = ..., calibration_methods: _Optional[_Iterable[_Union[_options_pb2.CalibrationMethod, str]]] = ..., static_op_types: _Optional[_Iterable[str]] = ..., dynamic_op_types: _Optional[_Iterable[str]] = ...) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("versions", "limits", "capabilities")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    versions: _report_pb2.Versions
    limits: Limits
    capabilities: Capabilities
    def __init__(self, versions: _Optional[_Union[_report_pb2.Versions, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ...) -> None: ...
