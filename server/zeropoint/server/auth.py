"""The bearer token that every call but a health check needs, where one is set."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from zeropoint.server import errors
from zeropoint.server.failure import JobError

_FIRST_MESSAGE_SECONDS = 5.0
_OPEN = "/grpc.health.v1.Health/"
_NEEDED = (
    "This server needs a token, and the call had none, or another: its metadata must have "
    "'authorization: Bearer TOKEN'; in Python and on the command line set ZEROPOINT_TOKEN."
)

if TYPE_CHECKING:  # grpc's classes are generic in their stubs only
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]]
    _Context = grpc.aio.ServicerContext[Any, Any]


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without the token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self, continuation: "_Continuation", handler_call_details: grpc.HandlerCallDetails
    ) -> "_Handler | None":
        """Let a call pass, or put one in its place that refuses it."""
        if handler_call_details.method.startswith(_OPEN) or self._shown(handler_call_details):
            return await continuation(handler_call_details)
        return grpc.stream_stream_rpc_method_handler(_refuse)

    def _shown(self, details: grpc.HandlerCallDetails) -> bool:
        shown = b""
        for key, value in details.invocation_metadata:
            if key == "authorization":
                shown = value.encode() if isinstance(value, str) else value
        return hmac.compare_digest(shown, self._expected)


async def _refuse(requests: AsyncIterator[Any], context: "_Context") -> None:
    # A client of grpc.aio that is still writing its first message would see INTERNAL instead.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_MESSAGE_SECONDS):
            async for _ in requests:
                break
    failure = errors.failure_of(JobError("UNAUTHENTICATED", _NEEDED))
    await context.abort_with_status(errors.status_of(failure))
