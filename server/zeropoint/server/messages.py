"""What goes over a stream, free of gRPC and protobuf: frozen values for both directions.

A `payload` is a message of `zeropoint.v1` in serialized form that this process only passes on
between a client and a worker; `convert` makes and reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from zeropoint.engine.progress import Phase
from zeropoint.server.failure import Failure
from zeropoint.server.manifest import Manifest, ModelFile

CHUNK_BYTES = 1 << 20
"""Bytes of data in one chunk, both ways."""


class Mode(StrEnum):
    """What a job does."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    QAT = "qat"
    INSPECT = "inspect"


# From clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Opens a job; `payload` carries the options to the worker."""

    mode: Mode
    manifest: Manifest
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChunk:
    """Bytes of a model's file, up or down: index in the manifest, position, bytes."""

    file: int
    offset: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """Opens a batch of `size` bytes; `payload` describes its tensors to the worker."""

    sequence: int
    size: int
    sha256: bytes
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchChunk:
    """Bytes of the open batch."""

    offset: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """No more batches."""

    last_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the candidate of this number is worth."""

    number: int
    value: float


# In both directions


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The sender is alive."""


# To clients


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """Bytes held of each file of the manifest."""

    committed: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The model was read; `payload` is the worker's.

    Batches may come, from number 1, of `credit` bytes at first; None: there are none.
    """

    credit: int | None
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Bytes that may be sent in addition."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why one batch was refused."""

    sequence: int
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Every batch up to `applied` was counted or rejected; the latest rejections, and how many."""

    applied: int
    rejected: tuple[Rejection, ...] = ()
    rejected_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`done` of `total` units of a phase; `total` is 0 where unknown."""

    phase: Phase
    done: int = 0
    total: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Passed:
    """What a worker tells the client: the `payload` of a `field` of the response."""

    field: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The job is done, and its files follow; `payload` is the worker's, with the manifest."""

    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateChunk:
    """Bytes of a candidate's file: index among its files, position, bytes."""

    file: int
    offset: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Done:
    """All was sent."""


Request = Start | ModelChunk | BatchHeader | BatchChunk | Finish | Evaluation | Heartbeat
Notice = (
    ModelStatus | Started | Credit | Ack | Progress | Passed | Result | Done | Failure | Heartbeat
)
Response = Notice | ModelChunk | CandidateChunk

# From workers and their pool


@dataclass(frozen=True, slots=True)
class Load:
    """How many jobs run, and how many wait."""

    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The engine is loaded; `payload` tells its versions and capabilities."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class ModelOpened:
    """The model is loaded and planned; `payload` is a Started without the server's fields.

    Its plan was passed on before.
    """

    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettled:
    """A batch was counted, or rejected."""

    sequence: int
    rejection: Rejection | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """The result lies in the job's folder, in the files of `manifest`."""

    payload: bytes
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateMade:
    """A model to be evaluated, for the client in `payload`; of `files` it lacks `missing`.

    `missing` has begin and end of the parts of each file, in order. No files: the model that was
    sent.
    """

    number: int
    payload: bytes
    files: tuple[ModelFile, ...]
    missing: tuple[tuple[tuple[int, int], ...], ...]


WorkerMessage = WorkerReady | ModelOpened | BatchSettled | CandidateMade | Passed | JobDone
