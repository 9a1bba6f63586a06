from zeropoint.v1 import job_pb2 as _job_pb2
from zeropoint.v1 import options_pb2 as _options_pb2
from zeropoint.v1 import report_pb2 as _report_pb2
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
