"""What server and worker say to each other, over one Unix socket.

A frame is the length of its payload (uint32, little-endian), its kind (uint8) and the payload:
a serialized message of `zeropoint.v1`. The bytes of batches lie in memory that both sides have;
its descriptor travels beside the header of a frame. A place in it belongs to a batch until that is
settled. Neither side trusts the other's lengths.

    server                                        worker
                                           <-     READY       GetServerInfoResponse, without limits
    QUANTIZE  Start                        ->
    or INSPECT  Start                      ->
    OPEN      seconds by phase, as JSON    ->     (the model is here)
                                           <-     PROGRESS    Progress, at any time
                                           <-     PLAN        Plan, in pieces
                                           <-     STARTED     Started; the last of an INSPECT
    MEMORY    (empty) + descriptor         ->
    BATCH     place + BatchHeader          ->
    REJECT    RejectedFrame                ->     (a batch that arrived damaged)
                                           <-     SETTLED     Ack of this one batch
    FINISH    Finish                       ->
                                           <-     CANDIDATE   Candidate; its files are linked
    EVALUATION  number (binary64)          ->     (what the candidate is worth)
                                           <-     REPORT      Report, in pieces
                                           <-     RESULT      Result; the files are in workspace
                                           <-     FAILED      Failure, at any time; the last frame
"""

import dataclasses
import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

HEADER = struct.Struct("<IB")
"""Length of the payload, kind."""

PLACE = struct.Struct("<Q")
"""Where in the memory the bytes of a batch begin."""

VALUE = struct.Struct("<d")
"""What a candidate is worth."""

LARGEST_FRAME = 64 << 20
"""Bytes of payload; a longer frame is refused unread."""


class Kind(IntEnum):
    """What a frame is."""

    QUANTIZE = 1
    INSPECT = 2
    OPEN = 3
    MEMORY = 4
    BATCH = 5
    FINISH = 6
    REJECT = 7
    EVALUATION = 8
    READY = 16
    PROGRESS = 17
    PLAN = 18
    STARTED = 19
    SETTLED = 20
    REPORT = 21
    RESULT = 22
    FAILED = 23
    CANDIDATE = 24


class FrameError(Exception):
    """The other side sent what is no frame."""


def pack(kind: Kind, payload: bytes) -> bytes:
    """Return a frame.

    Raises:
        FrameError: the payload is too long.
    """
    if len(payload) > LARGEST_FRAME:
        raise FrameError(f"a {kind.name} of {len(payload)} bytes is too long to send")
    return HEADER.pack(len(payload), kind) + payload


def unpack(header: bytes) -> tuple[Kind, int]:
    """Return kind and payload length from the `HEADER.size` bytes of a header.

    Raises:
        FrameError: the kind is unknown or the payload too long.
    """
    size, number = HEADER.unpack(header)
    if size > LARGEST_FRAME:
        raise FrameError(f"a frame of {size} bytes is too long")
    try:
        return Kind(number), size
    except ValueError as error:
        raise FrameError(f"frames of kind {number} are unknown") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is told as it starts, in JSON as its one argument; no secrets.

    Attributes:
        socket: Descriptor of its end of the socket.
        parent: Id of the process that starts it.
        engine: Module with `open_job` and `inspect_model`.
        folder: The job's folder.
        threads: Threads for running models and counting.
        cores: CPU cores that it may use, with all that it starts; empty: any.
        memory: Bytes of memory, before what the libraries map without using it.
        cpu_seconds: CPU time.
        file_bytes: Largest file that it may write.
    """

    socket: int
    parent: int
    engine: str
    folder: str
    threads: int
    cores: tuple[int, ...]
    memory: int
    cpu_seconds: int
    file_bytes: int

    def to_json(self) -> str:
        """Return the argument."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the argument."""
        values = json.loads(text)
        return cls(**{**values, "cores": tuple(values["cores"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedFrame:
    """A batch that the server has rejected, for the worker to settle in its turn.

    Attributes:
        sequence: Its number.
        reason: Machine-readable, UPPER_SNAKE.
        message: What is wrong with it.
    """

    sequence: int
    reason: str
    message: str

    def to_json(self) -> str:
        """Return the payload of a REJECT, to be encoded."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read it."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkSettings:
    """What the process that workers are forked from is told as it starts.

    Attributes:
        socket: Descriptor of its end of a socket of packets.
        server: Process id of the server.
        engine: Module with `open_job` and `inspect_model`.
    """

    socket: int
    server: int
    engine: str

    def to_json(self) -> str:
        """Return the argument."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the argument."""
        return cls(**json.loads(text))
