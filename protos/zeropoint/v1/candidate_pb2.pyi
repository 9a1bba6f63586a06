from zeropoint.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Candidate(_message.Message):
    __slots__ = ("number", "description", "trial", "files", "forgotten")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    number: int
    description: str
    trial: int
    files: _containers.RepeatedCompositeFieldContainer[CandidateFile]
    forgotten: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, number: _Optional[int] = ..., description: _Optional[str] = ..., trial: _Optional[int] = ..., files: _Optional[_Iterable[_Union[CandidateFile, _Mapping]]] = ..., forgotten: _Optional[_Iterable[int]] = ...) -> None: ...

class CandidateFile(_message.Message):
    __slots__ = ("file", "copies")
    FILE_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    file: _model_pb2.ModelFile
    copies: _containers.RepeatedCompositeFieldContainer[CopiedPart]
    def __init__(self, file: _Optional[_Union[_model_pb2.ModelFile, _Mapping]] = ..., copies: _Optional[_Iterable[_Union[CopiedPart, _Mapping]]] = ...) -> None: ...

class CopiedPart(_message.Message):
    __slots__ = ("offset", "size", "candidate", "file", "source_offset")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    offset: int
    size: int
    candidate: int
    file: int
    source_offset: int
    def __init__(self, offset: _Optional[int] = ..., size: _Optional[int] = ..., candidate: _Optional[int] = ..., file: _Optional[int] = ..., source_offset: _Optional[int] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("number", "value")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    number: int
    value: float
    def __init__(self, number: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
