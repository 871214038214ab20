"""A small gRPC server that does as a test tells it: refuses so often, waits, answers a stream in some order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc, recognition_pb2, recognition_pb2_grpc
from fr_client import AsyncClient, Client, RetryPolicy

Kind = Literal["sync", "async"]
StreamOfEnrolments = Callable[
    [Iterator[gallery_pb2.StreamEnrolRequest], Any], Iterator[gallery_pb2.StreamEnrolResponse]
]
QUICK = RetryPolicy(attempts=3, first_delay_s=0.01)


def refuse(context: Any, code: grpc.StatusCode, reason: str, retry_after_s: float) -> None:
    status = status_pb2.Status(code=code.value[0], message="Not now.")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="fr-core"))
    delay = Duration(seconds=int(retry_after_s), nanos=round(retry_after_s % 1 * 1e9))
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", "id-1")))
    context.abort(code, "Not now.")


class ScriptedGallery(gallery_pb2_grpc.GalleryServiceServicer):
    """Does as it is told.

    Args:
        stream: answers StreamEnrol.
        busy: how many calls are refused before one is answered.
        reason: of those refusals.
        retry_after_s: the wait that they ask for.
    """

    def __init__(self, stream: StreamOfEnrolments | None, busy: int, reason: str, retry_after_s: float) -> None:
        self.stream = stream
        self.busy = busy
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.calls = 0
        self.requests: list[Any] = []

    def _maybe_busy(self, context: Any) -> None:
        self.calls += 1
        if self.calls <= self.busy:
            refuse(context, grpc.StatusCode.UNAVAILABLE, self.reason, self.retry_after_s)

    def Enrol(self, request: gallery_pb2.EnrolRequest, context: Any) -> gallery_pb2.EnrolResponse:  # noqa: N802
        self._maybe_busy(context)
        self.requests.append(request)
        return gallery_pb2.EnrolResponse(subject_id=request.subject_id, template_id=7)

    def StreamEnrol(  # noqa: N802
        self, request_iterator: Iterator[gallery_pb2.StreamEnrolRequest], context: Any
    ) -> Iterator[gallery_pb2.StreamEnrolResponse]:
        self._maybe_busy(context)
        assert self.stream is not None
        yield from self.stream(request_iterator, context)

    def ListSubjects(  # noqa: N802
        self, request: gallery_pb2.ListSubjectsRequest, context: Any
    ) -> gallery_pb2.ListSubjectsResponse:
        self.requests.append(request)
        pages = {"": (["a", "b"], "2"), "2": (["c", "d"], "3"), "3": (["e"], "")}
        ids, token = pages[request.page_token]
        subjects = [gallery_pb2.Subject(subject_id=subject_id) for subject_id in ids]
        return gallery_pb2.ListSubjectsResponse(subjects=subjects, next_page_token=token)


def scripted(
    stream: StreamOfEnrolments | None = None,
    busy: int = 0,
    reason: str = "OVERLOADED",
    retry_after_s: float = 0.02,
) -> ScriptedGallery:
    return ScriptedGallery(stream, busy, reason, retry_after_s)  # type: ignore[abstract]


class SlowRecognition(recognition_pb2_grpc.RecognitionServiceServicer):
    def Detect(self, request: recognition_pb2.DetectRequest, context: Any) -> recognition_pb2.DetectResponse:  # noqa: N802
        released.wait(2.0)
        return recognition_pb2.DetectResponse()


released = threading.Event()


@contextmanager
def serving(gallery: ScriptedGallery) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(8))
    gallery_pb2_grpc.add_GalleryServiceServicer_to_server(gallery, server)
    recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(SlowRecognition(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


both = pytest.mark.parametrize("kind", ["sync", "async"])


def asked(kind: Kind, target: str, ask: Callable[[Any], Any], **more: Any) -> Any:
    """What `ask` gets of a client; all of it where that comes one by one."""

    async def run() -> Any:
        async with AsyncClient(target, **more) as client:
            found = ask(client)
            if isinstance(found, AsyncIterable):
                return [one async for one in found]
            return await found

    if kind == "async":
        return asyncio.run(run())
    with Client(target, **more) as client:
        found = ask(client)
        return list(found) if isinstance(found, Iterator) else found
