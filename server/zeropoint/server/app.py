"""The running server: ports, health, signals, and the order in which it ends."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc

from zeropoint.server.auth import TokenInterceptor
from zeropoint.server.health import HealthServicer
from zeropoint.server.jobs.job import Workshop
from zeropoint.server.lifecycle import Lifecycle
from zeropoint.server.malformed import LARGEST_MESSAGE, MalformedInterceptor
from zeropoint.server.reflection import serve_reflection
from zeropoint.server.rpc import SERVICE, handlers
from zeropoint.server.servicer import QuantizationServicer
from zeropoint.server.settings import LEAST_PING_SECONDS, Settings
from zeropoint.server.storage import Scratch
from zeropoint.server.worker.pool import WorkerPool

_log = structlog.get_logger()


class Server:
    """A server from start to end."""

    def __init__(self, settings: Settings, scratch: Scratch) -> None:
        self._settings = settings
        self._scratch = scratch
        self._pool = WorkerPool(settings, scratch)
        self._lifecycle = Lifecycle()
        self._health = HealthServicer((SERVICE,))
        self._grpc = grpc.aio.server(
            options=_options(settings), interceptors=_interceptors(settings)
        )
        self._ending = asyncio.Event()
        self._at_once = False

    async def run(self) -> None:
        """Serve until a signal, or the end of stdin, ends it.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._add_services()
        address = self._bind()
        await self._health.tell(serving=False)
        await self._grpc.start()
        self._watch_for_the_end()
        self._pool.warm()
        ready = asyncio.create_task(self._announce_readiness())
        _log.info("server_started", address=address, pid=os.getpid())
        if self._settings.embedded:
            print(json.dumps({"address": address}), flush=True)
        await self._ending.wait()
        ready.cancel()
        await self._end()

    def _add_services(self) -> None:
        workshop = Workshop(self._settings, self._pool)
        servicer = QuantizationServicer(workshop, self._lifecycle)
        self._grpc.add_generic_rpc_handlers((handlers(servicer),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        serve_reflection((SERVICE, health.SERVICE_NAME), self._grpc)

    def _bind(self) -> str:
        listen = self._settings.listen
        try:
            port = self._grpc.add_insecure_port(listen)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: {error}") from error
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    def _watch_for_the_end(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        if self._settings.embedded:
            threading.Thread(target=self._wait_for_stdin, args=(loop,), daemon=True).start()

    def _on_signal(self, number: signal.Signals) -> None:
        if self._ending.is_set():
            self._pool.kill()
            self._scratch.remove()
            os._exit(128 + number)
        self._ending.set()

    def _wait_for_stdin(self, loop: asyncio.AbstractEventLoop) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self._at_once = True
        loop.call_soon_threadsafe(self._ending.set)

    async def _announce_readiness(self) -> None:
        await self._pool.about()
        await self._health.tell(serving=True)
        _log.info("server_ready")

    async def _end(self) -> None:
        grace = 0.0 if self._at_once else self._settings.drain_seconds
        _log.info("server_draining", seconds=grace)
        await self._health.enter_graceful_shutdown()
        self._pool.refuse()
        await self._lifecycle.end(grace, 0.0 if self._at_once else self._settings.refusal_seconds)
        await self._grpc.stop(0.5)
        await self._pool.close()
        if self._settings.embedded:
            self._remove_socket()
        _log.info("server_stopped")

    def _remove_socket(self) -> None:
        """Leave nothing of the private folder that an embedded server listens in.

        Its owner removes it, too, but may have been killed.
        """
        scheme, _, path = self._settings.listen.partition(":")
        if scheme == "unix":
            with contextlib.suppress(OSError):
                Path(path).unlink(missing_ok=True)
                Path(path).parent.rmdir()


def _interceptors(settings: Settings) -> Sequence[grpc.aio.ServerInterceptor]:
    malformed = MalformedInterceptor(SERVICE)
    if settings.token is None:
        return (malformed,)
    return (TokenInterceptor(settings.token.get_secret_value()), malformed)


def _options(settings: Settings) -> Sequence[tuple[str, int]]:
    """Return what gRPC is told.

    A peer that is gone is found out by pings. One that is slow answers them late: behind all that
    it has given to its system to send, which may be megabytes.
    """
    least = round(LEAST_PING_SECONDS * 1000)
    patience = round(settings.keepalive_timeout_seconds * 1000)
    return (
        ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, not a share
        ("grpc.max_concurrent_streams", 64),
        ("grpc.max_receive_message_length", 2 * LARGEST_MESSAGE),
        ("grpc.keepalive_time_ms", round(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", patience),
        ("grpc.http2.ping_timeout_ms", patience),
        ("grpc.http2.min_ping_interval_without_data_ms", least),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", least),
    )
