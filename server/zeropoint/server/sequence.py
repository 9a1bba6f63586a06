"""Which batches of one stream were sent, counted and refused, and how many bytes may come.

A pure state machine: no clock, no input or output, no bytes of batches.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

from zeropoint.server.failure import JobError
from zeropoint.server.messages import Ack, BatchHeader, Credit, Rejection

REMEMBERED = 1024
"""Batches whose headers' digests are kept, to tell a resend from another of the same number."""

_MOST_REJECTED = 256
"""Rejections in one Ack: each may have some kilobytes of text."""


class BatchLedger:
    """The batches of one stream, by sequence number from 1.

    A batch is opened by its header, which takes its size from the credit, and is settled when it
    was counted, rejected, or found to be a resend; its bytes then return to the client with the
    next report. Batches may be settled in any order; `applied` counts without gaps.

    Attributes:
        window: Bytes of batches that a client may have under way.
        credit: Bytes that the client may still send.
        opened: The highest sequence number taken.
        applied: Every batch up to this number was counted or rejected.
        returned: Bytes to be granted with the next report.
    """

    def __init__(self, *, window: int, largest: int, remembered: int = REMEMBERED) -> None:
        self.window = window
        self.credit = window
        self.opened = 0
        self.applied = 0
        self.returned = 0
        self._largest = largest
        self._remembered = remembered
        self._digests: OrderedDict[int, bytes] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._rejected: list[Rejection] = []
        self._rejected_total = 0
        self._to_acknowledge = False

    def open(self, header: BatchHeader) -> bool:
        """Take the header of a batch; return False for a resend, whose bytes do not count.

        Raises:
            JobError: BATCH_SEQUENCE_GAP, BATCH_CONFLICT, BATCH_TOO_LARGE, CREDIT_EXCEEDED, or
                PROTOCOL_VIOLATION for a header that is malformed.
        """
        self._check_number(header)
        self._check_size(header)
        self.credit -= header.size
        if header.sequence <= self.opened:
            return False
        self.opened = header.sequence
        self._sizes[header.sequence] = header.size
        self._digests[header.sequence] = _digest(header)
        if len(self._digests) > self._remembered:
            self._digests.popitem(last=False)
        return True

    def settle(self, sequence: int, rejection: Rejection | None = None) -> None:
        """Note that a batch that was opened is counted, or rejected."""
        self.returned += self._sizes.pop(sequence)
        if rejection is not None:
            self._rejected.append(rejection)
            self._rejected_total += 1
        unsettled = next(iter(self._sizes), self.opened + 1)
        self._to_acknowledge |= unsettled - 1 > self.applied or rejection is not None
        self.applied = unsettled - 1

    def drop(self, size: int) -> None:
        """Note that all bytes of a resend have arrived and are forgotten."""
        self.returned += size
        self._to_acknowledge = True

    def report(self) -> tuple[Credit | Ack, ...]:
        """Return what the client must be told, once."""
        told: list[Credit | Ack] = []
        if self.returned:
            told.append(Credit(size=self.returned))
            self.credit += self.returned
            self.returned = 0
        if self._to_acknowledge:
            told += self._acknowledged()
            self._rejected.clear()
            self._to_acknowledge = False
        return tuple(told)

    def _acknowledged(self) -> Iterator[Ack]:
        """Yield what was settled, in messages that are small enough."""
        for begin in range(0, len(self._rejected) or 1, _MOST_REJECTED):
            yield Ack(
                applied=self.applied,
                rejected=tuple(self._rejected[begin : begin + _MOST_REJECTED]),
                rejected_total=self._rejected_total,
            )

    def _check_number(self, header: BatchHeader) -> None:
        if header.sequence == 0 or len(header.sha256) != 32:
            raise JobError(
                "PROTOCOL_VIOLATION",
                "A batch header needs a sequence number from 1 and a SHA-256 of 32 bytes.",
            )
        if header.sequence > self.opened + 1:
            raise JobError(
                "BATCH_SEQUENCE_GAP",
                f"Batch {header.sequence} came where batch {self.opened + 1} was expected.",
                sequence=header.sequence,
                expectedSequence=self.opened + 1,
            )
        known = self._digests.get(header.sequence)
        if known is not None and known != _digest(header):
            raise JobError(
                "BATCH_CONFLICT",
                f"Batch {header.sequence} was sent before with another header. What is new needs a "
                "number of its own, also in place of a batch that was rejected.",
                sequence=header.sequence,
            )

    def _check_size(self, header: BatchHeader) -> None:
        if header.size > self._largest:
            raise JobError(
                "BATCH_TOO_LARGE",
                f"Batch {header.sequence} has {header.size} bytes; this server takes "
                f"{self._largest}. Send fewer samples in a batch.",
                sequence=header.sequence,
                bytes=header.size,
                limit=self._largest,
            )
        if header.size > self.credit:
            raise JobError(
                "CREDIT_EXCEEDED",
                f"Batch {header.sequence} has {header.size} bytes, but only {self.credit} were "
                "granted. Wait for more credit.",
                sequence=header.sequence,
                bytes=header.size,
                credit=self.credit,
            )


def _digest(header: BatchHeader) -> bytes:
    """Return a digest of all that a header says, the SHA-256 of the bytes behind it included."""
    return hashlib.sha256(header.sha256 + header.payload).digest()
