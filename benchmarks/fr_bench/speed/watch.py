"""Watches the health service and the server's memory during a load, once a second."""

from __future__ import annotations

import threading
import time
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_bench.speed.server_process import ServerProcess, resident_mib
from fr_bench.speed.stats import latency
from fr_bench.speed.values import HealthCount, Memory

_PERIOD_S = 1.0
_HEALTH_DEADLINE_S = 5.0


class Watch:
    """Watches from a thread of its own for as long as the block lasts; memory is that of a server that is ours."""

    def __init__(self, address: str, server: ServerProcess | None) -> None:
        self._address = address
        self._server = server
        self._done = threading.Event()
        self._health: list[tuple[str, float]] = []
        self._memory: list[float] = []
        self._thread = threading.Thread(target=self._work, name="watch")

    def __enter__(self) -> Self:
        self._note_memory()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._note_memory()

    @property
    def health(self) -> tuple[HealthCount, ...]:
        """Every answer of the health service, by status."""
        statuses = dict.fromkeys(status for status, _ in self._health)
        return tuple(
            HealthCount(status, len(times), latency(times))
            for status, times in ((s, [took for told, took in self._health if told == s]) for s in statuses)
        )

    @property
    def memory(self) -> Memory | None:
        """The server's memory; None where it is not ours."""
        if not self._memory:
            return None
        return Memory(self._memory[0], self._memory[len(self._memory) // 2], self._memory[-1])

    def _note_memory(self) -> None:
        if self._server is not None:
            self._memory.append(resident_mib(self._server.pid))

    def _work(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            while True:
                start = time.monotonic()
                try:
                    answer = check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_DEADLINE_S)
                    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                except grpc.RpcError as error:
                    status = error.code().name
                self._health.append((status, time.monotonic() - start))
                self._note_memory()
                if self._done.wait(max(0.0, start + _PERIOD_S - time.monotonic())):
                    return
