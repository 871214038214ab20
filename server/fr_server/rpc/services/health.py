"""The standard health service of gRPC, for anybody, whatever the load.

That of grpcio-health-checking writes to its watchers while it holds what every change of the health waits for: one
stranger who takes nothing in would keep the server from ending. It also lets any number watch.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_server.rpc.interceptors.wrapping import Context

Status = health_pb2.HealthCheckResponse

MOST_WATCHERS = 1_000
"""So many may watch a process at once, over all connections together: none of them is asked who it is."""
MOST_PER_CONNECTION = 100  # so many may watch over one connection, so that a single one cannot take every place


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """Tells whether the services of these full names serve; of one event loop. The whole server, "", is always one.

    At most `most_watchers` watch at once, `most_per_connection` of them over one connection; it refuses more with
    RESOURCE_EXHAUSTED.
    """

    def __init__(
        self,
        services: Iterable[str],
        most_watchers: int = MOST_WATCHERS,
        most_per_connection: int = MOST_PER_CONNECTION,
    ) -> None:
        self._services = frozenset(("", *services))
        self._most_watchers = most_watchers
        self._most_per_connection = most_per_connection
        self._watchers = Counter[str]()  # of each connection
        self._serving = False
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def serving(self) -> bool:
        """Return what is told."""
        return self._serving

    def tell(self, serving: bool) -> None:
        """Change what is told of every service; waits for nobody."""
        if not self._ended:
            self._serving = serving
            self._changed.set()
            self._changed = asyncio.Event()

    def end(self) -> None:
        """Tell from now on, and for good, that nothing serves."""
        self.tell(serving=False)
        self._ended = True

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "The server has no service of that name.")
        return Status(status=self._status())

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        connection = context.peer()
        if self._watchers.total() >= self._most_watchers or self._watchers[connection] >= self._most_per_connection:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "As many clients watch the health as may, in all or over one connection. Call Check in place of Watch.",
            )
        self._watchers[connection] += 1
        try:
            told = None
            while True:
                changed = self._changed
                status = self._status() if request.service in self._services else Status.SERVICE_UNKNOWN
                if status != told:
                    told = status
                    yield Status(status=status)
                await changed.wait()
        finally:
            self._watchers[connection] -= 1
            if not self._watchers[connection]:
                del self._watchers[connection]

    def _status(self) -> int:
        return int(Status.SERVING if self._serving else Status.NOT_SERVING)
