"""Faults of a model that calls share: a poisoned batch, a lost device, a dead lane. Each with its control."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2, server_pb2
from fr_core.runtime.batcher import Batcher, _fail
from support.faults import SOON, Faulty, embed_request, faulty, until
from support.servers import ended, photo

AT_ONCE_S = 8.0
"""Seconds from a fault to the end of every call that it hits."""

POISONED = 3
HEALTHY = (1, 2, 4)


class FailsTogether(Batcher[Any, Any]):
    """A control: fails all items of a batch that fails."""

    def _sort_out(self, run: Any, batch: Any, error: Exception) -> None:
        for entry in batch:
            _fail(entry.submission, error)


class Undying(Batcher[Any, Any]):
    """A control: a lane or device that is gone is nobody's business."""

    def _die(self, error: BaseException) -> None:
        pass

    def release(self) -> None:
        super()._die(RuntimeError("the test is over"))


def outcomes_of_a_poisoned_batch(folder: Path, batcher: type[Batcher[Any, Any]]) -> dict[int, str]:
    """Send four faces of four calls in one batch that one of them poisons; "OK" or the reason, for each."""
    with faulty(folder, batcher) as it:
        held = it.hold()
        calls = {blue: it.embed(blue) for blue in (*HEALTHY, POISONED)}
        until(lambda: it.counting.waiting == len(calls))
        it.model.poison = frozenset({POISONED})
        it.model.gate.set()
        error = calls[POISONED].exception(SOON)
        assert it.model.fault is not None
        assert time.monotonic() - it.model.fault < AT_ONCE_S
        assert isinstance(error, grpc.RpcError)
        assert ended(error).code is grpc.StatusCode.INTERNAL
        held.result(SOON)
        assert set(it.model.batches[1]) == set(calls)  # they had shared a batch
        errors = {blue: call.exception(SOON) for blue, call in calls.items()}
        assert it.embed(5).result(SOON).faces  # and the server goes on
    return {
        blue: ended(error).info.reason if isinstance(error, grpc.RpcError) else "OK" for blue, error in errors.items()
    }


def test_a_face_that_poisons_a_batch_fails_alone(tmp_path: Path) -> None:
    assert outcomes_of_a_poisoned_batch(tmp_path, Batcher) == {**dict.fromkeys(HEALTHY, "OK"), POISONED: "INTERNAL"}


def test_control_without_sorting_out_a_batch_fails_as_a_whole(tmp_path: Path) -> None:
    outcomes = outcomes_of_a_poisoned_batch(tmp_path, FailsTogether)
    assert outcomes == dict.fromkeys((*HEALTHY, POISONED), "INTERNAL")


class Waiters:
    """Unary calls, and items of an open stream: in a batch, queued for one, waiting for room, or for a thread."""

    UNARY, ITEMS, WORKERS, QUEUED = 6, 6, 4, 3

    def __init__(self, it: Faulty) -> None:
        self._it = it
        self._close = threading.Event()
        self.items: list[error_reason_pb2.ErrorReason.ValueType] = []
        self.unary = [it.hold(), *(it.embed(blue) for blue in range(1, self.UNARY))]
        stream = it.server.recognition.StreamEmbed(self._requests())
        self._reading = threading.Thread(target=self._read, args=(stream,))
        self._reading.start()
        # One face is in the lane, both queues are full, one item waits for room, and the rest for a thread.
        until(lambda: it.counting.waiting == 2 * self.QUEUED)

    @property
    def done(self) -> int:
        return sum(call.done() for call in self.unary) + len(self.items)

    def close(self) -> None:
        self._close.set()
        self._reading.join(SOON)
        assert not self._reading.is_alive()

    def _requests(self) -> Iterator[recognition_pb2.StreamEmbedRequest]:
        for n in range(self.ITEMS):
            image = common_pb2.Image(data=photo(100 + n))
            yield recognition_pb2.StreamEmbedRequest(item_id=str(n), image=image)
        self._close.wait(60)

    def _read(self, stream: Any) -> None:
        self.items += (response.refusal.reason for response in stream)


class Health:
    def __init__(self, it: Faulty) -> None:
        self._stub = health_pb2_grpc.HealthStub(it.server.channel)
        self._watch = self._stub.Watch(health_pb2.HealthCheckRequest())
        self.told: list[Any] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        until(lambda: self.told == [health_pb2.HealthCheckResponse.SERVING])

    def check(self) -> Any:
        return self._stub.Check(health_pb2.HealthCheckRequest(), timeout=SOON).status

    def close(self) -> None:
        self._watch.cancel()
        self._thread.join(SOON)

    def _listen(self) -> None:
        try:
            for response in self._watch:
                self.told.append(response.status)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.CANCELLED  # noqa: PT017 - that it was `close`


def break_it(it: Faulty, fault: str) -> float:
    """Let the device be lost, or the lane die, and the batch in it go on; return when it failed."""
    setattr(it.model, fault, True)
    it.model.gate.set()
    until(lambda: it.model.fault is not None)
    assert it.model.fault is not None
    return it.model.fault


either = pytest.mark.parametrize("fault", ["lost", "killed"])
sections: dict[str, Any] = {"model": {"workers": Waiters.WORKERS}, "batching": {"max_queued": Waiters.QUEUED}}


@either
def test_every_waiter_ends_at_once_when_the_device_or_a_lane_is_gone(tmp_path: Path, fault: str) -> None:
    with faulty(tmp_path, **sections) as it:
        server = it.server
        server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="staff"))
        face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(9)))
        server.gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="staff", subject_id="nine", face=face))
        probe = recognition_pb2.Probe(embedding=it.embed(9).result(SOON).faces[0].embedding)
        health, waiters = Health(it), Waiters(it)

        failed = break_it(it, fault)
        until(lambda: waiters.done == Waiters.UNARY + Waiters.ITEMS)
        assert time.monotonic() - failed < AT_ONCE_S
        for call in waiters.unary:
            error = call.exception(SOON)
            assert isinstance(error, grpc.RpcError)
            assert (ended(error).code, ended(error).info.reason) == (grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST")
        assert waiters.items == [error_reason_pb2.ERROR_REASON_DEVICE_LOST] * Waiters.ITEMS

        until(lambda: health.told[-1] == health_pb2.HealthCheckResponse.NOT_SERVING, AT_ONCE_S)
        assert health.check() == health_pb2.HealthCheckResponse.NOT_SERVING

        again = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            server.recognition.Embed(embed_request(10))
        assert time.monotonic() - again < AT_ONCE_S
        assert ended(caught.value).info.reason == "DEVICE_LOST"

        assert server.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version
        found = server.gallery.Search(gallery_pb2.SearchRequest(gallery_id="staff", probe=probe))
        assert found.results[0].candidates[0].subject_id == "nine"
        waiters.close()
        health.close()


@either
def test_control_without_dying_the_waiters_hang_and_health_is_good(tmp_path: Path, fault: str) -> None:
    with faulty(tmp_path, Undying, **sections) as it:
        health, waiters = Health(it), Waiters(it)
        try:
            break_it(it, fault)
            time.sleep(AT_ONCE_S)
            assert waiters.done < Waiters.UNARY + Waiters.ITEMS
            assert not waiters.unary[0].done()
            assert health.check() == health_pb2.HealthCheckResponse.SERVING
        finally:
            (batcher,) = it.server.app.engine.batchers
            assert isinstance(batcher, Undying)
            batcher.release()
        waiters.close()
        health.close()
