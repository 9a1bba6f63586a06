"""One call to the server as two queues.

gRPC pulls requests and delivers responses in threads of its own. The caller's thread stays the
caller's: readers, callbacks and Ctrl-C act there, and heartbeats go out while a reader is slow.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message

from zeropoint.client import errors
from zeropoint.v1.chunks import Chunk

HEARTBEAT_SECONDS = 15.0
"""Silence after which a heartbeat is sent."""
SILENCE_SECONDS = 4 * HEARTBEAT_SECONDS
"""Silence of the server after which it is given up."""

_POLL_SECONDS = 0.1  # how soon a cancellation by another thread is seen
_GOODBYE_SECONDS = 2.0  # for the final status, once everything has been said
_QUEUED_REQUESTS = 16  # while these go out, the digest of the next batch is computed
_QUEUED_BYTES = 16 << 20

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=Message | Chunk)
_StreamedT = TypeVar("_StreamedT", bound=Message | Chunk, covariant=True)


class Call(Protocol[_StreamedT]):
    """What is used of a gRPC call that streams responses."""

    def __iter__(self) -> Iterator[_StreamedT]:
        """Give the responses; raise `grpc.RpcError` at the end of a call that fails."""

    def cancel(self) -> object:
        """Cancel the call, if it has not ended."""

    def code(self) -> grpc.StatusCode | None:
        """Return the status of a call that has ended."""


class CancelSignal(Protocol):
    """Something like `threading.Event` that says whether to stop."""

    def is_set(self) -> bool:
        """Whether to stop."""


class Link(Generic[RequestT, ResponseT]):
    """A call in progress: `send` and `received` for the caller's thread, as a context."""

    def __init__(
        self,
        open_call: Callable[[Iterator[bytes]], Call[ResponseT]],
        encode: Callable[[RequestT], bytes],
        *,
        target: str,
        heartbeat: RequestT,
        cancel: CancelSignal | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Start a call.

        Args:
            open_call: Starts it, given the requests.
            encode: Makes bytes of a request. It is called in `send`: what a request only refers to
                may change afterwards.
            target: Address of the server, for messages.
            heartbeat: Sent after `heartbeat_seconds` in which nothing else was.
            cancel: When set, the call is cancelled.
            heartbeat_seconds: See `heartbeat`.
            silence_seconds: The server is given up when it says nothing for so long.
        """
        self._target = target
        self._encode = encode
        self._heartbeat = encode(heartbeat)
        self._cancel = cancel
        self._heartbeat_seconds = heartbeat_seconds
        self._silence_seconds = silence_seconds
        self._changed = threading.Condition()
        self._requests: deque[bytes] = deque()
        self._responses: deque[ResponseT] = deque()
        self._response_bytes = 0
        self._heard = time.monotonic()
        self._sending = True
        self._ended = False
        self._error: grpc.RpcError | None = None
        self._call = open_call(self._outgoing())
        threading.Thread(target=self._read, name="zeropoint-responses", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
        with self._changed:
            self._stop_sending()
        self._call.cancel()

    def send(self, request: RequestT) -> bool:
        """Queue a request; wait for room, but no longer than until something is received.

        Returns:
            Whether the request was taken. If not, look at `received` and try again.

        Raises:
            ZeropointError: the call was cancelled, failed or ended.
        """
        with self._changed:
            self._wait(lambda: len(self._requests) < _QUEUED_REQUESTS or bool(self._responses))
            if len(self._requests) >= _QUEUED_REQUESTS:
                return False
        encoded = self._encode(request)
        with self._changed:  # only this thread adds, so there still is room
            self._requests.append(encoded)
            self._changed.notify_all()
        return True

    def wait(self) -> None:
        """Wait until something is received.

        Raises:
            ZeropointError: the call was cancelled, failed or ended.
        """
        with self._changed:
            self._wait(lambda: bool(self._responses))

    def received(self) -> list[ResponseT]:
        """Return what was received since the last time, heartbeats included."""
        with self._changed:
            responses = list(self._responses)
            self._responses.clear()
            self._response_bytes = 0
            self._changed.notify_all()
            return responses

    def finish(self) -> grpc.StatusCode | None:
        """End the conversation and return the final status; None if it does not come soon."""
        with self._changed:
            self._stop_sending()
            ended = self._changed.wait_for(lambda: self._ended, timeout=_GOODBYE_SECONDS)
        return self._call.code() if ended else None

    def _stop_sending(self) -> None:
        self._requests.clear()
        self._sending = False
        self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait, with the lock held, until `ready`; look for reasons to give up now and then."""
        while True:
            if self._cancel is not None and self._cancel.is_set():
                raise errors.CancelledError("CANCELLED", "The job was cancelled.")
            if self._ended and not self._responses:
                raise self._end()
            if self._changed.wait_for(lambda: ready() or self._ended, timeout=_POLL_SECONDS):
                if ready():
                    return
            elif time.monotonic() - self._heard > self._silence_seconds:
                message = f"The server at {self._target} went silent; the connection may be dead."
                raise errors.UnavailableError("SERVER_UNREACHABLE", message, retryable=True)

    def _end(self) -> errors.ZeropointError:
        if self._error is not None:
            return errors.from_rpc_error(self._error, self._target)
        message = f"The server at {self._target} ended the call before the job was done."
        return errors.ServerError("PROTOCOL_VIOLATION", message)

    def _outgoing(self) -> Iterator[bytes]:
        """Give gRPC the requests; runs in its thread."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._requests or not self._sending, timeout=self._heartbeat_seconds
                )
                if self._requests:
                    request = self._requests.popleft()
                    self._changed.notify_all()
                elif self._sending:
                    request = self._heartbeat
                else:
                    return
            yield request

    def _read(self) -> None:
        """Queue the responses until the call ends; runs in a thread of its own."""
        try:
            for response in self._call:
                with self._changed:
                    self._heard = time.monotonic()
                    self._responses.append(response)
                    self._response_bytes += _size(response)
                    self._changed.notify_all()
                    self._changed.wait_for(
                        lambda: self._response_bytes < _QUEUED_BYTES or not self._sending
                    )
        except grpc.RpcError as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def _size(response: Message | Chunk) -> int:
    return len(response.data) if isinstance(response, Chunk) else response.ByteSize()


def converse(
    link: Link[RequestT, ResponseT],
    requests: Iterable[RequestT | None],
    receive: Callable[[ResponseT], None],
) -> None:
    """Send requests, and hand over what is received, until the requests end.

    Args:
        link: The call.
        requests: What to send; None to wait until something is received.
        receive: Takes the responses, in the caller's thread.

    Raises:
        ZeropointError: the call was cancelled, failed or ended too early.
    """
    for request in requests:
        if request is None:
            link.wait()
        else:
            while not link.send(request):
                _hand_over(link, receive)
        _hand_over(link, receive)


def _hand_over(link: Link[Any, ResponseT], receive: Callable[[ResponseT], None]) -> None:
    for response in link.received():
        receive(response)
