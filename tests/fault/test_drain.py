"""SIGTERM under load: every call that was accepted is answered, and every other is told. With its control."""

import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from fr_api.v1 import common_pb2, recognition_pb2, recognition_pb2_grpc
from fr_core.errors import Overloaded, ShuttingDown
from fr_core.packs.cache import ModelCache
from support.faults import Started, embed_request, started, started_faulty, until
from support.servers import ended

CLIENTS = 8
DRAIN_S = 20.0
REFUSED = "no connection"
SLOW_S = 0.6  # of a batch of 4: no call of 8 clients ends in less


@dataclass(frozen=True)
class Call:
    """One call: when it was sent and ended, by `time.monotonic`, and "OK", a reason, or how else it ended."""

    sent: float
    ended: float
    outcome: str


class Client(threading.Thread):
    def __init__(self, address: str, request: recognition_pb2.EmbedRequest) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._address = address
        self._request = request

    def run(self) -> None:
        with grpc.insecure_channel(self._address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
            stub = recognition_pb2_grpc.RecognitionServiceStub(channel)
            while not self.calls or self.calls[-1].outcome == "OK":
                sent = time.monotonic()
                try:
                    stub.Embed(self._request, timeout=60)
                except grpc.RpcError as error:
                    outcome = outcome_of(error)
                else:
                    outcome = "OK"
                self.calls.append(Call(sent, time.monotonic(), outcome))


def outcome_of(error: grpc.RpcError) -> str:
    if any(item.key == "grpc-status-details-bin" for item in error.trailing_metadata() or ()):
        return str(ended(error).info.reason)
    if error.code() is grpc.StatusCode.UNAVAILABLE and "failed to connect" in (error.details() or ""):
        return REFUSED
    return f"{error.code().name}: {error.details()}"


@dataclass(frozen=True)
class End:
    """The end of a server under load: the calls, when SIGTERM was sent, how long it took, and the exit status."""

    calls: list[Call]
    told: float
    seconds: float
    status: int

    @property
    def lost(self) -> list[str]:
        return [
            f"{call.outcome}; sent {call.sent - self.told:.3f} s and ended {call.ended - self.told:.3f} s after SIGTERM"
            for call in self.calls
            if call.outcome not in ("OK", ShuttingDown.reason, REFUSED)
        ]

    @property
    def answered_after_it_was_told(self) -> int:
        return sum(call.outcome == "OK" and call.sent < self.told < call.ended for call in self.calls)


def end_under_load(server: Started, request: recognition_pb2.EmbedRequest) -> End:
    clients = [Client(server.address, request) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    until(lambda: all(client.calls for client in clients), 60)
    told = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(60)
    seconds = time.monotonic() - told
    for client in clients:
        client.join(60)
        assert not client.is_alive()
    return End([call for client in clients for call in client.calls], told, seconds, status)


def require_nothing_lost(end: End) -> None:
    assert end.lost == []
    assert end.answered_after_it_was_told > 0
    assert end.seconds < DRAIN_S
    assert end.status == 0


def test_no_accepted_call_is_lost(tmp_path: Path) -> None:
    with started_faulty(tmp_path, SLOW_S, server={"drain_s": DRAIN_S}) as server:
        end = end_under_load(server, embed_request(1))
    require_nothing_lost(end)


@pytest.mark.nightly
def test_control_without_a_drain_accepted_calls_are_lost(tmp_path: Path) -> None:
    with started_faulty(tmp_path, SLOW_S, server={"drain_s": 0.0}) as server:
        end = end_under_load(server, embed_request(1))
    assert end.lost
    assert not any(Overloaded.reason in how for how in end.lost)


@pytest.mark.nightly
@pytest.mark.models
def test_real_models_lose_no_accepted_call(tmp_path: Path, photos: dict[str, Path], pack_cache: ModelCache) -> None:
    fr = str(Path(sys.executable).with_name("fr"))
    command = (fr, "serve", "--port", "0", "--data", str(tmp_path / "data"), "--set", f"server.drain_s={DRAIN_S}")
    request = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photos["t1"].read_bytes()))
    with started(tmp_path, *command) as server:
        end = end_under_load(server, request)
    require_nothing_lost(end)
