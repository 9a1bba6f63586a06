"""The RPCs: decode, delegate, encode."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from zeropoint import v1
from zeropoint.server import errors
from zeropoint.server.alongside import alongside
from zeropoint.server.convert import wire
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.job import Workshop, inspect, quantize
from zeropoint.server.lifecycle import Lifecycle
from zeropoint.server.messages import Response
from zeropoint.server.stream import GrpcLink
from zeropoint.v1.chunks import Chunk

_ENGINE_SECONDS = 60.0

_T = TypeVar("_T")

if TYPE_CHECKING:  # grpc's classes are generic in their stubs only
    _Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger()


class QuantizationServicer(v1.QuantizationServiceServicer):
    """zeropoint.v1.QuantizationService."""

    def __init__(self, workshop: Workshop, lifecycle: Lifecycle) -> None:
        self._workshop = workshop
        self._settings = workshop.settings
        self._lifecycle = lifecycle

    # The stubs know streaming handlers as generators; these write to their context instead,
    # because only so can a write that the client does not take be given up.

    async def QuantizeStatic(  # type: ignore[override]  # noqa: N802 - name of the RPC; see above
        self, request_iterator: AsyncIterator[v1.QuantizeStaticRequest], context: "_Context"
    ) -> None:
        """Quantize weights and activations."""
        await self._quantize(request_iterator, context, wire.static_response)

    async def QuantizeDynamic(  # type: ignore[override]  # noqa: N802 - as above
        self, request_iterator: AsyncIterator[v1.QuantizeDynamicRequest], context: "_Context"
    ) -> None:
        """Quantize weights."""
        await self._quantize(request_iterator, context, wire.dynamic_response)

    async def QuantizeQat(  # type: ignore[override]  # noqa: N802 - as above
        self, request_iterator: AsyncIterator[v1.QuantizeQatRequest], context: "_Context"
    ) -> None:
        """Quantize a model that was trained with fake quantization."""
        await self._quantize(request_iterator, context, wire.qat_response)

    async def Inspect(  # noqa: N802 - name of the RPC
        self, request_iterator: AsyncIterator[v1.InspectRequest], context: "_Context"
    ) -> v1.InspectResponse:
        """Tell what would be done with a model."""
        link = GrpcLink(request_iterator, context, None, self._settings)
        return wire.inspect_response(await self._run(link, context, inspect(link, self._workshop)))

    async def GetServerInfo(  # noqa: N802 - name of the RPC
        self, request: v1.GetServerInfoRequest, context: "_Context"
    ) -> v1.GetServerInfoResponse:
        """Tell versions, limits and capabilities."""
        try:
            async with asyncio.timeout(_ENGINE_SECONDS):
                about = await self._workshop.pool.about()
        except TimeoutError:
            failure = JobError("WORKER_TIMEOUT", "The server's engine does not load; see its log.")
            await context.abort_with_status(errors.status_of(errors.failure_of(failure)))
        return wire.server_info(about, self._settings)

    async def _quantize(
        self,
        requests: AsyncIterator[wire.Request],
        context: "_Context",
        encode: Callable[[Response], Message | Chunk],
    ) -> None:
        link = GrpcLink(requests, context, encode, self._settings)
        await self._run(link, context, quantize(link, self._workshop), link.keep_alive())

    async def _run(
        self,
        link: GrpcLink[Any],
        context: "_Context",
        job: Coroutine[Any, Any, _T],
        *others: Coroutine[Any, Any, None],
    ) -> _T:
        """Run a job to its end, which is told to the client and to the log."""
        begin = time.monotonic()
        outcome = "CANCELLED"
        try:
            with self._lifecycle.job():
                try:
                    result = await alongside(job, self._lifecycle.cut_off(), *others)
                    outcome = "OK"
                except Exception as error:  # noqa: BLE001 - all of them become statuses
                    failure = errors.failure_of(error)
                    outcome = failure.reason
                    if outcome == "INTERNAL" and not context.done():
                        _log.exception("bug")
                    await link.fail(failure)
        finally:
            _log.info("job_ended", outcome=outcome, seconds=round(time.monotonic() - begin, 3))
            await link.close()
        return result
