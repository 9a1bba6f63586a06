"""Frames and payloads between server and worker."""

import asyncio
import mmap
import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw_client import in_loop

from zeropoint import v1
from zeropoint.server.convert.frames import worker_message
from zeropoint.server.failure import JobError
from zeropoint.server.messages import BatchSettled, Rejection
from zeropoint.server.worker import diagnosis
from zeropoint.server.worker.channel import ServerChannel, WorkerChannel
from zeropoint.server.worker.payload import MappedPayloads, PayloadMemory
from zeropoint.server.worker.protocol import HEADER, LARGEST_FRAME, FrameError, Kind, unpack


@in_loop
async def test_frames_and_descriptors_arrive_in_order(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    server, worker = ServerChannel(ours), WorkerChannel(theirs)
    contents = [bytes([n]) * n * 50_000 for n in range(1, 6)]
    heard: list[bytes] = []

    def listen() -> None:
        kind, payload, descriptor = worker.receive()
        assert (kind, payload) == (Kind.MEMORY, b"")
        assert descriptor is not None
        memory = MappedPayloads(descriptor)
        for content in contents:
            assert worker.receive() == (Kind.BATCH, content, None)
            heard.append(bytes(memory.part(len(heard) * 4096, 4)))
        assert worker.receive() == (Kind.FINISH, b"", None)
        worker.send(Kind.SETTLED, b"done" * 100_000)

    thread = threading.Thread(target=listen)
    thread.start()
    memory = PayloadMemory(1 << 20, tmp_path)
    await server.send(Kind.MEMORY, descriptor=memory.descriptor)
    for content in contents:
        place = memory.take(4)
        assert place is not None
        memory.write(place, content[:4])
        await server.send(Kind.BATCH, content)
    await server.send(Kind.FINISH)
    assert await server.receive() == (Kind.SETTLED, b"done" * 100_000)
    thread.join()
    memory.close()
    assert heard == [content[:4] for content in contents]
    theirs.close()
    with pytest.raises(EOFError):
        await server.receive()
    server.close()


@in_loop
async def test_a_full_socket_is_waited_for(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    server, worker = ServerChannel(ours), WorkerChannel(theirs)
    memory = PayloadMemory(0, tmp_path)

    async def fill() -> None:
        for _ in range(2000):
            await server.send(Kind.MEMORY, bytes(1000), memory.descriptor)

    filling = asyncio.create_task(fill())
    await asyncio.sleep(0.1)
    assert not filling.done()
    for _ in range(2000):
        _, payload, descriptor = await asyncio.to_thread(worker.receive)
        assert descriptor is not None
        assert len(payload) == 1000
        os.close(descriptor)
    await filling
    memory.close()
    server.close()
    theirs.close()


def test_nobody_else_can_write_to_the_memory_or_change_its_size(tmp_path: Path) -> None:
    memory = PayloadMemory(10, tmp_path)
    memory.write(3, b"abc")
    with pytest.raises(PermissionError):
        os.pwrite(memory.descriptor, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.descriptor, 5)
    with pytest.raises(PermissionError):
        mmap.mmap(memory.descriptor, 10)
    mapped = MappedPayloads(os.dup(memory.descriptor))
    part = mapped.part(0, 10)
    assert (bytes(part), part.readonly) == (b"\0\0\0abc\0\0\0\0", True)
    memory.write(0, memoryview(b"seen"))  # by the worker, without another frame
    assert bytes(part[:4]) == b"seen"
    memory.close()


def test_without_memory_files_a_file_without_a_name_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.server.worker.payload._SEALABLE", False)
    memory = PayloadMemory(4, tmp_path)
    memory.write(0, b"abcd")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(memory.descriptor, b"x", 0)
    assert bytes(MappedPayloads(os.dup(memory.descriptor)).part(0, 4)) == b"abcd"
    memory.close()


@given(st.lists(st.one_of(st.integers(0, 40_000), st.none()), max_size=60), st.integers(0, 40_000))
def test_places_never_overlap_and_come_back(sizes: list[int | None], capacity: int) -> None:
    """A number takes so many bytes, None gives back what was taken first."""
    pages = -(-max(capacity, 1) // 4096)
    with tempfile.TemporaryDirectory() as folder:
        memory = PayloadMemory(capacity, Path(folder))
        taken: dict[int, int] = {}
        for size in sizes:
            if size is None:
                if taken:
                    memory.give_back(oldest := next(iter(taken)))
                    del taken[oldest]
                continue
            place = memory.take(size)
            if place is None:
                assert taken or size > pages * 4096
                continue
            assert place % 64 == 0
            assert place + size <= pages * 4096
            assert all(place + size <= at or at + held <= place for at, held in taken.items())
            assert place not in taken
            taken[place] = size
        for place in taken:
            memory.give_back(place)
        assert memory.take(pages * 4096) == 0
        memory.close()


def test_a_place_beyond_the_end_is_refused(tmp_path: Path) -> None:
    memory = PayloadMemory(4096, tmp_path)
    mapped = MappedPayloads(os.dup(memory.descriptor))
    assert len(mapped.part(4096, 0)) == 0
    with pytest.raises(FrameError, match="beyond the end"):
        mapped.part(1, 4096)
    memory.close()


@given(st.binary(min_size=HEADER.size, max_size=HEADER.size))
def test_any_header_is_read_or_refused(header: bytes) -> None:
    try:
        kind, size = unpack(header)
    except FrameError:
        return
    assert kind in Kind
    assert size <= LARGEST_FRAME


@given(st.sampled_from(Kind), st.binary(max_size=60))
def test_any_frame_of_a_worker_is_read_or_refused(kind: Kind, payload: bytes) -> None:
    try:
        message = worker_message(kind, payload)
    except (FrameError, JobError):
        return
    assert kind >= Kind.READY
    assert message is not None


def test_a_rejection_is_of_the_batch_that_is_settled() -> None:
    ack = v1.Ack(applied=7, rejected=[v1.Rejection(sequence=9, reason="R", message="m")])
    assert worker_message(Kind.SETTLED, ack.SerializeToString()) == BatchSettled(
        sequence=7, rejection=Rejection(sequence=7, reason="R", message="m")
    )


@pytest.mark.parametrize(
    ("returncode", "errors", "killed_by_kernel", "reason"),
    [
        (-11, "", False, "WORKER_CRASHED"),
        (-9, "", False, "WORKER_CRASHED"),
        (-9, "", True, "WORKER_OUT_OF_MEMORY"),
        (-6, "terminate called ... std::bad_alloc", False, "WORKER_OUT_OF_MEMORY"),
        (-24, "", False, "WORKER_TIMEOUT"),
        (1, "MemoryError", False, "WORKER_OUT_OF_MEMORY"),
        (1, "ImportError", False, "WORKER_CRASHED"),
        (0, "", False, "WORKER_CRASHED"),
    ],
)
def test_causes_of_death(returncode: int, errors: str, killed_by_kernel: bool, reason: str) -> None:
    death = diagnosis.cause_of_death(returncode, errors, killed_by_kernel=killed_by_kernel)
    assert death.reason == reason


def test_the_kernels_count_is_a_number() -> None:
    assert diagnosis.kernel_kills() >= 0


def test_a_thread_that_waits_for_frames_learns_of_an_error() -> None:
    """As when a batch shows that the job cannot go on, and the client waits for its credit."""
    ours, theirs = socket.socketpair()
    worker = WorkerChannel(theirs)
    threading.Timer(0.05, worker.interrupt, [ValueError("no such model")]).start()
    with pytest.raises(ValueError, match="no such model"):
        worker.receive()
    ours.close()
    theirs.close()


def test_frames_of_several_threads_stay_whole() -> None:
    ours, theirs = socket.socketpair()
    worker = WorkerChannel(theirs)
    payload = b"x" * 300_000
    threads = [threading.Thread(target=worker.send, args=(Kind.SETTLED, payload)) for _ in range(4)]
    for thread in threads:
        thread.start()
    with ours.makefile("rb") as stream:
        for _ in threads:
            kind, size = unpack(stream.read(HEADER.size))
            assert (kind, stream.read(size)) == (Kind.SETTLED, payload)
    for thread in threads:
        thread.join()
    ours.close()
    theirs.close()
