from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_QUEUED: _ClassVar[Phase]
    PHASE_UPLOAD: _ClassVar[Phase]
    PHASE_START: _ClassVar[Phase]
    PHASE_PREPARE: _ClassVar[Phase]
    PHASE_CALIBRATE: _ClassVar[Phase]
    PHASE_QUANTIZE: _ClassVar[Phase]
    PHASE_VERIFY: _ClassVar[Phase]
    PHASE_SEARCH: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
PHASE_QUEUED: Phase
PHASE_UPLOAD: Phase
PHASE_START: Phase
PHASE_PREPARE: Phase
PHASE_CALIBRATE: Phase
PHASE_QUANTIZE: Phase
PHASE_VERIFY: Phase
PHASE_SEARCH: Phase

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
