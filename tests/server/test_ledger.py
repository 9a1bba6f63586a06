"""The batches of one stream against a plain account of what the contract says."""

import hashlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zeropoint.server.failure import JobError
from zeropoint.server.messages import Ack, BatchHeader, Credit, Rejection
from zeropoint.server.sequence import BatchLedger

WINDOW, LARGEST, REMEMBERED = 100, 60, 4

sizes = st.integers(0, LARGEST)


def header(sequence: int, size: int, content: int = 0) -> BatchHeader:
    digest = hashlib.sha256(f"{sequence} {content}".encode()).digest()
    return BatchHeader(sequence=sequence, size=size, sha256=digest, payload=b"")


class LedgerMachine(RuleBasedStateMachine):
    """A client and a worker drive the ledger; the account beside it is kept the long way."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = BatchLedger(window=WINDOW, largest=LARGEST, remembered=REMEMBERED)
        self.sent: dict[int, int] = {}
        self.settled: set[int] = set()
        self.rejections: set[int] = set()
        self.credit = WINDOW  # as the client counts it
        self.told_applied = 0
        self.told_rejected: list[int] = []

    def _next(self) -> int:
        return len(self.sent) + 1

    @rule(size=sizes)
    def send_the_next(self, size: int) -> None:
        if size > self.credit:
            with pytest.raises(JobError, match="CREDIT_EXCEEDED"):
                self.ledger.open(header(self._next(), size))
            return
        assert self.ledger.open(header(self._next(), size))
        self.sent[self._next()] = size
        self.credit -= size

    @rule(gap=st.integers(1, 5), size=sizes)
    def leave_a_gap(self, gap: int, size: int) -> None:
        with pytest.raises(JobError) as caught:
            self.ledger.open(header(self._next() + gap, size))
        assert caught.value.reason == "BATCH_SEQUENCE_GAP"
        assert caught.value.metadata["expectedSequence"] == str(self._next())

    @rule(extra=st.integers(1, 5))
    def send_too_large_a_batch(self, extra: int) -> None:
        with pytest.raises(JobError, match="BATCH_TOO_LARGE"):
            self.ledger.open(header(self._next(), LARGEST + extra))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.sent)))
        if self.sent[sequence] <= self.credit:
            assert not self.ledger.open(header(sequence, self.sent[sequence]))
            self.credit -= self.sent[sequence]
            self.ledger.drop(self.sent[sequence])

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_something_else_again(self, data: st.DataObject) -> None:
        recent = sorted(self.sent)[-REMEMBERED:]
        sequence = data.draw(st.sampled_from(recent))
        with pytest.raises(JobError, match="BATCH_CONFLICT"):
            self.ledger.open(header(sequence, 0, content=1))

    @precondition(lambda self: set(self.sent) - self.settled)
    @rule(data=st.data(), rejected=st.booleans())
    def settle(self, data: st.DataObject, rejected: bool) -> None:
        sequence = data.draw(st.sampled_from(sorted(set(self.sent) - self.settled)))
        rejection = Rejection(sequence=sequence, reason="BATCH_SHAPE", message="")
        self.ledger.settle(sequence, rejection if rejected else None)
        self.settled.add(sequence)
        if rejected:
            self.rejections.add(sequence)

    @rule()
    def report(self) -> None:
        for message in self.ledger.report():
            match message:
                case Credit(size=size):
                    assert size > 0
                    self.credit += size
                case Ack(applied=applied, rejected=rejected):
                    assert applied >= self.told_applied
                    self.told_applied = applied
                    self.told_rejected += [one.sequence for one in rejected]
        assert self.told_applied == self.ledger.applied
        assert sorted(self.told_rejected) == sorted(self.rejections)
        assert self.ledger.report() == ()

    @invariant()
    def nothing_is_acknowledged_before_it_is_settled(self) -> None:
        applied = self.ledger.applied
        assert set(range(1, applied + 1)) <= self.settled
        assert applied + 1 not in self.settled

    @invariant()
    def credit_is_neither_lost_nor_made(self) -> None:
        under_way = sum(size for one, size in self.sent.items() if one not in self.settled)
        assert self.ledger.credit == self.credit
        assert self.credit + under_way + self.ledger.returned == WINDOW


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase


def test_a_number_beyond_memory_is_taken_for_a_resend() -> None:
    ledger = BatchLedger(window=WINDOW, largest=LARGEST, remembered=2)
    for sequence in (1, 2, 3):
        ledger.open(header(sequence, 0))
    assert not ledger.open(header(1, 0, content=1))
    with pytest.raises(JobError, match="BATCH_CONFLICT"):
        ledger.open(header(2, 0, content=1))


def test_another_description_of_the_same_bytes_is_no_resend() -> None:
    """It was taken for one: a batch that was mended, or meant otherwise, was silently left out."""
    ledger = BatchLedger(window=WINDOW, largest=LARGEST)
    first, mended = (
        BatchHeader(sequence=1, size=0, sha256=bytes(32), payload=payload)
        for payload in (b"[4, 63]", b"[4, 64]")
    )
    assert ledger.open(first)
    assert not ledger.open(first)
    with pytest.raises(JobError, match="BATCH_CONFLICT"):
        ledger.open(mended)


@pytest.mark.parametrize(
    "malformed",
    [
        BatchHeader(sequence=0, size=0, sha256=bytes(32), payload=b""),
        BatchHeader(sequence=1, size=0, sha256=b"short", payload=b""),
    ],
)
def test_a_malformed_header_is_a_violation(malformed: BatchHeader) -> None:
    with pytest.raises(JobError, match="PROTOCOL_VIOLATION"):
        BatchLedger(window=1, largest=1).open(malformed)


def test_many_rejections_are_told_in_messages_that_fit() -> None:
    ledger = BatchLedger(window=1000, largest=1000)
    for number in range(1, 1001):
        ledger.open(header(number, 0))
        ledger.settle(number, Rejection(sequence=number, reason="BATCH_SHAPE", message="x" * 1000))
    acks = [told for told in ledger.report() if isinstance(told, Ack)]
    assert [one.sequence for ack in acks for one in ack.rejected] == list(range(1, 1001))
    assert max(len(ack.rejected) for ack in acks) <= 256
    assert {(ack.applied, ack.rejected_total) for ack in acks} == {(1000, 1000)}
    assert ledger.report() == ()
