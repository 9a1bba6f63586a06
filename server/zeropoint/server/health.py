"""Health: the standard service, with List."""

from collections.abc import Sequence
from typing import Any

from grpc_health.v1 import health, health_pb2


class HealthServicer(health.aio.HealthServicer):  # type: ignore[misc]  # untyped
    """grpc.health.v1.Health for services that are known from the start; "" is the server."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._names = ("", *services)

    async def tell(self, *, serving: bool) -> None:
        """Say of all services whether they serve."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        for name in self._names:
            await self.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 - name of the RPC
        """Return the status of every service."""
        statuses = {
            name: await self.Check(health_pb2.HealthCheckRequest(service=name), context)
            for name in self._names
        }
        return health_pb2.HealthListResponse(statuses=statuses)
