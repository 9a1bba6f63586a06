"""Messages that are none: told as the sender's fault, whatever RPC they came with.

gRPC knows a request that cannot be decoded as the handler's failure (UNKNOWN, with a traceback in
the log). Here decoders never fail; they return what says why, for the handler to refuse.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from zeropoint.server import errors
from zeropoint.server.failure import JobError

LARGEST_MESSAGE = 4 << 20
"""Bytes of a request; gRPC's own limit is above, so that a longer one is told in words."""

if TYPE_CHECKING:  # grpc's classes are generic in their stubs only
    _Context = grpc.aio.ServicerContext[Any, Any]
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]]


@dataclass(frozen=True, slots=True)
class Malformed:
    """What came in place of a request: so many bytes, and what is wrong with them."""

    size: int
    problem: str

    def error(self) -> JobError:
        """Return the failure of a call with such a message."""
        return JobError("PROTOCOL_VIOLATION", f"A message {self.problem}.", bytes=self.size)


def tolerant(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a decoder that returns `Malformed` where `decode` raises DecodeError."""

    def read(data: bytes) -> Any:
        if len(data) > LARGEST_MESSAGE:
            problem = f"has {len(data)} bytes; the limit is {LARGEST_MESSAGE}"
            return Malformed(len(data), problem)
        try:
            return decode(data)
        except DecodeError:
            problem = f"of {len(data)} bytes is not in the form that the contract gives it"
            return Malformed(len(data), problem)

    return read


class MalformedInterceptor(grpc.aio.ServerInterceptor):
    """Refuses such messages for handlers of others: health and reflection."""

    def __init__(self, ours: str) -> None:
        """Leave alone the service of this name: it has tolerant decoders and refuses in words."""
        self._ours = f"/{ours}/"

    async def intercept_service(
        self, continuation: "_Continuation", handler_call_details: grpc.HandlerCallDetails
    ) -> "_Handler | None":
        """Return the handler of a call, with a decoder that does not fail."""
        found = await continuation(handler_call_details)
        if found is None or handler_call_details.method.startswith(self._ours):
            return found
        handler: Any = found
        kind = "stream" if handler.request_streaming else "unary"
        name = f"{kind}_{'stream' if handler.response_streaming else 'unary'}"
        wrap = _checked_stream if handler.request_streaming else _checked
        checked: _Handler = handler._replace(
            request_deserializer=tolerant(handler.request_deserializer),
            **{name: wrap(getattr(handler, name))},
        )
        return checked


def _checked(behavior: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler of one request that refuses what is none."""
    assert not inspect.isasyncgenfunction(behavior)

    async def handle(request: Any, context: "_Context") -> Any:
        await _refuse(request, context)
        return await behavior(request, context)

    return handle


def _checked_stream(behavior: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler of a stream, answered by one, that refuses what is no request."""

    async def handle(requests: AsyncIterator[Any], context: "_Context") -> AsyncIterator[Any]:
        async def checked() -> AsyncIterator[Any]:
            async for request in requests:
                await _refuse(request, context)
                yield request

        async for response in behavior(checked(), context):
            yield response

    return handle


async def _refuse(request: Any, context: "_Context") -> None:
    if isinstance(request, Malformed):
        failure = errors.failure_of(request.error())
        await context.abort_with_status(errors.status_of(failure))
