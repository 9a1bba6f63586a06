from zeropoint.v1 import batch_pb2 as _batch_pb2
from zeropoint.v1 import candidate_pb2 as _candidate_pb2
from zeropoint.v1 import failure_pb2 as _failure_pb2
from zeropoint.v1 import model_pb2 as _model_pb2
from zeropoint.v1 import options_pb2 as _options_pb2
from zeropoint.v1 import progress_pb2 as _progress_pb2
from zeropoint.v1 import report_pb2 as _report_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Start(_message.Message):
    __slots__ = ("manifest", "static_options", "dynamic_options", "qat_options", "calibration", "return_calibration", "result_name", "external_data", "candidate_copies")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    STATIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    QAT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    RETURN_CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    RESULT_NAME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_DATA_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_COPIES_FIELD_NUMBER: _ClassVar[int]
    manifest: _model_pb2.ModelManifest
    static_options: _options_pb2.StaticOptions
    dynamic_options: _options_pb2.DynamicOptions
    qat_options: _options_pb2.QatOptions
    calibration: _model_pb2.ModelFile
    return_calibration: bool
    result_name: str
    external_data: bool
    candidate_copies: bool
    def __init__(self, manifest: _Optional[_Union[_model_pb2.ModelManifest, _Mapping]] = ..., static_options: _Optional[_Union[_options_pb2.StaticOptions, _Mapping]] = ..., dynamic_options: _Optional[_Union[_options_pb2.DynamicOptions, _Mapping]] = ..., qat_options: _Optional[_Union[_options_pb2.QatOptions, _Mapping]] = ..., calibration: _Optional[_Union[_model_pb2.ModelFile, _Mapping]] = ..., return_calibration: bool = ..., result_name: _Optional[str] = ..., external_data: bool = ..., candidate_copies: bool = ...) -> None: ...

class JobRequest(_message.Message):
    __slots__ = ("start", "model_chunk", "batch_header", "batch_chunk", "finish", "heartbeat", "evaluation")
    START_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    BATCH_HEADER_FIELD_NUMBER: _ClassVar[int]
    BATCH_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    start: Start
    model_chunk: _model_pb2.ModelChunk
    batch_header: _batch_pb2.BatchHeader
    batch_chunk: _batch_pb2.BatchChunk
    finish: _batch_pb2.Finish
    heartbeat: _batch_pb2.Heartbeat
    evaluation: _candidate_pb2.Evaluation
    def __init__(self, start: _Optional[_Union[Start, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., batch_header: _Optional[_Union[_batch_pb2.BatchHeader, _Mapping]] = ..., batch_chunk: _Optional[_Union[_batch_pb2.BatchChunk, _Mapping]] = ..., finish: _Optional[_Union[_batch_pb2.Finish, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ..., evaluation: _Optional[_Union[_candidate_pb2.Evaluation, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("job", "static_options", "dynamic_options", "qat_options", "signature", "opset", "model_bytes", "next_sequence", "credit")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STATIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    QAT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    OPSET_FIELD_NUMBER: _ClassVar[int]
    MODEL_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    job: str
    static_options: _options_pb2.StaticOptions
    dynamic_options: _options_pb2.DynamicOptions
    qat_options: _options_pb2.QatOptions
    signature: _model_pb2.ModelSignature
    opset: int
    model_bytes: int
    next_sequence: int
    credit: _batch_pb2.Credit
    def __init__(self, job: _Optional[str] = ..., static_options: _Optional[_Union[_options_pb2.StaticOptions, _Mapping]] = ..., dynamic_options: _Optional[_Union[_options_pb2.DynamicOptions, _Mapping]] = ..., qat_options: _Optional[_Union[_options_pb2.QatOptions, _Mapping]] = ..., signature: _Optional[_Union[_model_pb2.ModelSignature, _Mapping]] = ..., opset: _Optional[int] = ..., model_bytes: _Optional[int] = ..., next_sequence: _Optional[int] = ..., credit: _Optional[_Union[_batch_pb2.Credit, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("job", "manifest", "calibration")
    JOB_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    job: str
    manifest: _model_pb2.ModelManifest
    calibration: _model_pb2.ModelFile
    def __init__(self, job: _Optional[str] = ..., manifest: _Optional[_Union[_model_pb2.ModelManifest, _Mapping]] = ..., calibration: _Optional[_Union[_model_pb2.ModelFile, _Mapping]] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class JobResponse(_message.Message):
    __slots__ = ("model_status", "plan", "started", "credit", "ack", "progress", "report", "result", "model_chunk", "done", "failure", "heartbeat", "candidate", "candidate_chunk")
    MODEL_STATUS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_CHUNK_FIELD_NUMBER: _ClassVar[int]
    model_status: _model_pb2.ModelStatus
    plan: _report_pb2.Plan
    started: Started
    credit: _batch_pb2.Credit
    ack: _batch_pb2.Ack
    progress: _progress_pb2.Progress
    report: _report_pb2.Report
    result: Result
    model_chunk: _model_pb2.ModelChunk
    done: Done
    failure: _failure_pb2.Failure
    heartbeat: _batch_pb2.Heartbeat
    candidate: _candidate_pb2.Candidate
    candidate_chunk: _model_pb2.ModelChunk
    def __init__(self, model_status: _Optional[_Union[_model_pb2.ModelStatus, _Mapping]] = ..., plan: _Optional[_Union[_report_pb2.Plan, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., credit: _Optional[_Union[_batch_pb2.Credit, _Mapping]] = ..., ack: _Optional[_Union[_batch_pb2.Ack, _Mapping]] = ..., progress: _Optional[_Union[_progress_pb2.Progress, _Mapping]] = ..., report: _Optional[_Union[_report_pb2.Report, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., model_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., failure: _Optional[_Union[_failure_pb2.Failure, _Mapping]] = ..., heartbeat: _Optional[_Union[_batch_pb2.Heartbeat, _Mapping]] = ..., candidate: _Optional[_Union[_candidate_pb2.Candidate, _Mapping]] = ..., candidate_chunk: _Optional[_Union[_model_pb2.ModelChunk, _Mapping]] = ...) -> None: ...
