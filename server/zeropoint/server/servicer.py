"""The RPCs: decode, delegate, encode."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from zeropoint import v1
from zeropoint.server import errors
from zeropoint.server.alongside import alongside
from zeropoint.server.convert import wire
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.job import Workshop, serve
from zeropoint.server.lifecycle import Lifecycle
from zeropoint.server.malformed import Malformed
from zeropoint.server.messages import Mode
from zeropoint.server.stream import GrpcLink

_ENGINE_SECONDS = 60.0

if TYPE_CHECKING:  # grpc's classes are generic in their stubs only
    _Context = grpc.aio.ServicerContext[Any, Any]
    _Requests = AsyncIterator[v1.JobRequest]

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
        self, request_iterator: "_Requests", context: "_Context"
    ) -> None:
        """Quantize weights and activations."""
        await self._serve(request_iterator, context, Mode.STATIC)

    async def QuantizeDynamic(  # type: ignore[override]  # noqa: N802 - as above
        self, request_iterator: "_Requests", context: "_Context"
    ) -> None:
        """Quantize weights."""
        await self._serve(request_iterator, context, Mode.DYNAMIC)

    async def QuantizeQat(  # type: ignore[override]  # noqa: N802 - as above
        self, request_iterator: "_Requests", context: "_Context"
    ) -> None:
        """Quantize a model that was trained with fake quantization."""
        await self._serve(request_iterator, context, Mode.QAT)

    async def Inspect(  # type: ignore[override]  # noqa: N802 - as above
        self, request_iterator: "_Requests", context: "_Context"
    ) -> None:
        """Tell what would be done with a model."""
        await self._serve(request_iterator, context, Mode.INSPECT)

    async def GetServerInfo(  # noqa: N802 - name of the RPC
        self, request: v1.GetServerInfoRequest | Malformed, context: "_Context"
    ) -> v1.GetServerInfoResponse:
        """Tell versions, limits and capabilities."""
        if isinstance(request, Malformed):
            await context.abort_with_status(errors.status_of(errors.failure_of(request.error())))
        try:
            async with asyncio.timeout(_ENGINE_SECONDS):
                about = await self._workshop.pool.about()
        except TimeoutError:
            failure = JobError("WORKER_TIMEOUT", "The server's engine does not load; see its log.")
            await context.abort_with_status(errors.status_of(errors.failure_of(failure)))
        return wire.server_info(about, self._settings, self._workshop.pool.load)

    async def _serve(self, requests: "_Requests", context: "_Context", mode: Mode) -> None:
        """Run a job to its end, which is told to the client and to the log."""
        link = GrpcLink(requests, context, mode, self._settings)
        structlog.contextvars.bind_contextvars(job=link.job)
        begin = time.monotonic()
        outcome = "CANCELLED"
        try:
            with self._lifecycle.job():
                try:
                    await alongside(
                        serve(link, self._workshop), self._lifecycle.cut_off(), link.keep_alive()
                    )
                    outcome = "OK"
                except Exception as error:
                    if await link.gone():
                        raise asyncio.CancelledError from error
                    failure = errors.failure_of(error)
                    outcome = failure.reason
                    if outcome == "INTERNAL":
                        _log.exception("bug")
                    await link.fail(failure)
        finally:
            _log.info("job_ended", outcome=outcome, seconds=round(time.monotonic() - begin, 3))
            await link.close()
