"""gRPC's health checking protocol, `grpc.health.v1`: what probes, gateways and clients ask.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
"""

import asyncio
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2  # type: ignore[import-untyped]

from crowdserve.errors import Overloaded, quoted
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.rpc.calls import taking
from crowdserve_transformer.transport.rpc.protocol import SERVICE
from crowdserve_transformer.transport.rpc.reading import MessageReaders

HEALTH_SERVICE = health.SERVICE_NAME

LIVENESS = "liveness"
"""The service that is healthy as long as the process answers, for a liveness probe; the others follow readiness."""

WATCHERS = 16
"""Most callers that watch at once: each keeps one of the server's calls for as long as it likes."""

_OF_READINESS = ("", SERVICE)
_LOOK_SECONDS = 1.0
_Status = health_pb2.HealthCheckResponse


class HealthEndpoints:
    """The two methods of the protocol.

    Args:
        plane: Says whether the service is ready.
        readers: Read the messages.
    """

    def __init__(self, plane: CrowdDataPlane, readers: MessageReaders) -> None:
        self.readers = readers
        self._plane = plane
        self._watchers = 0
        self._looked_at = float("-inf")
        self._is_ready = False
        self._looking = asyncio.Lock()

    @taking(health_pb2.HealthCheckRequest)
    async def Check(self, request: Any, context: Any) -> Any:
        """Whether a service would answer, now or half a second ago."""
        status = await self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            known = ", ".join(map(repr, (*_OF_READINESS, LIVENESS)))
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"there is no service {quoted(request.service)}; known are {known}"
            )
        return _Status(status=status)

    @taking(health_pb2.HealthCheckRequest)
    async def Watch(self, request: Any, context: Any) -> None:
        """Whether a service would answer, now and whenever that changes; it ends when the service is stopping."""
        if self._watchers >= WATCHERS:
            raise Overloaded(f"{WATCHERS} callers watch already; call Check, or try again later")
        self._watchers += 1
        try:
            last = None
            while True:
                status = await self._status(request.service)
                if status != last:
                    await context.write(_Status(status=status))
                last = status
                if self._plane.model.draining:
                    return
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._watchers -= 1

    async def _status(self, service: str) -> Any:
        if service not in (*_OF_READINESS, LIVENESS):
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if service == LIVENESS or await self._readiness() else _Status.NOT_SERVING

    async def _readiness(self) -> bool:
        """Whether the service is ready, looked up once for all who ask at a time, but not while it is stopping."""
        async with self._looking:
            if self._plane.model.draining:
                return False
            if time.monotonic() - self._looked_at > _LOOK_SECONDS / 2:
                self._is_ready = await self._plane.ready()
                self._looked_at = time.monotonic()
            return self._is_ready
