"""gRPC servers that do as a test tells them, and note what they are asked."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from fr_api.v1 import (
    access_pb2,
    audit_pb2,
    gallery_pb2,
    gallery_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    review_pb2,
    server_pb2,
    server_pb2_grpc,
)
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
    """Refuses the first `busy` calls for a reason, with a wait; `stream` answers StreamEnrol."""

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
    stream: StreamOfEnrolments | None = None, busy: int = 0, reason: str = "OVERLOADED", retry_after_s: float = 0.02
) -> ScriptedGallery:
    return ScriptedGallery(stream, busy, reason, retry_after_s)  # type: ignore[abstract]


class SlowRecognition(recognition_pb2_grpc.RecognitionServiceServicer):
    def Detect(self, request: recognition_pb2.DetectRequest, context: Any) -> recognition_pb2.DetectResponse:  # noqa: N802
        released.wait(2.0)
        return recognition_pb2.DetectResponse()


released = threading.Event()
LIMITS = server_pb2.Limits(max_image_bytes=4096, max_image_pixels=10_000, image_formats=["JPEG", "PNG"])
"""The limits on photos of every scripted server."""


class ScriptedServer(server_pb2_grpc.ServerServiceServicer):
    def GetServerInfo(self, request: server_pb2.GetServerInfoRequest, context: Any) -> server_pb2.GetServerInfoResponse:  # noqa: N802
        return server_pb2.GetServerInfoResponse(limits=LIMITS)


@contextmanager
def answering(add: Callable[[grpc.Server], None], port: int = 0) -> Iterator[str]:
    """Serve what `add` adds; the value is the address."""
    server = grpc.server(ThreadPoolExecutor(8))
    server_pb2_grpc.add_ServerServiceServicer_to_server(ScriptedServer(), server)  # type: ignore[abstract]
    add(server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@asynccontextmanager
async def answering_aio(
    add: Callable[[grpc.aio.Server], None], interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
) -> AsyncIterator[str]:
    """As `answering`, with a server of `grpc.aio`."""
    server = grpc.aio.server(interceptors=interceptors)
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def serving(gallery: ScriptedGallery) -> AbstractContextManager[str]:
    def add(server: grpc.Server) -> None:
        gallery_pb2_grpc.add_GalleryServiceServicer_to_server(gallery, server)
        recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(SlowRecognition(), server)  # type: ignore[abstract]

    return answering(add)


both = pytest.mark.parametrize("kind", ["sync", "async"])


_SERVICES = (
    access_pb2.DESCRIPTOR.services_by_name["AccessService"],
    audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
    review_pb2.DESCRIPTOR.services_by_name["ReviewService"],
)


class Script(grpc.GenericRpcHandler):
    """Scripted answers, with a record of the requests: a stream gives all its answers to one call, else each call takes
    one and the last repeats. Each of `refusals` ends one call, before its answer or after those of a stream."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, list[Message]] = defaultdict(list)
        self.refusals: dict[str, list[str]] = defaultdict(list)

    def calls(self, name: str) -> list[Any]:
        return [request for called, request in self.asked if called == name]

    def service(self, details: Any) -> Any:
        for service in _SERVICES:
            for method in service.methods:
                if details.method == f"/{service.full_name}/{method.name}":
                    return self._handler(method)
        return None

    def _handler(self, method: Any) -> Any:
        request, response = (_class_of(one) for one in (method.input_type, method.output_type))

        def one(asked: Any, context: Any) -> Any:
            self._note(method.name, asked, context)
            answers = self.answers[method.name]
            return answers.pop(0) if len(answers) > 1 else answers[0] if answers else response()

        def many(asked: Any, context: Any) -> Iterator[Any]:
            self.asked.append((method.name, asked))
            yield from self.answers[method.name]
            self._maybe_refuse(method.name, context)

        coders = {"request_deserializer": request.FromString, "response_serializer": response.SerializeToString}
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(many, **coders)
        return grpc.unary_unary_rpc_method_handler(one, **coders)

    def _note(self, name: str, asked: Any, context: Any) -> None:
        self.asked.append((name, asked))
        self._maybe_refuse(name, context)

    def _maybe_refuse(self, name: str, context: Any) -> None:
        if self.refusals[name]:
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, self.refusals[name].pop(0), 0.0)


def serving_trust(script: Script) -> AbstractContextManager[str]:
    return answering(lambda server: server.add_generic_rpc_handlers((script,)))


def _class_of(descriptor: Any) -> Any:
    for module in (access_pb2, audit_pb2, review_pb2):
        if hasattr(module, descriptor.name):
            return getattr(module, descriptor.name)
    raise LookupError(descriptor.name)


def asked(kind: Kind, target: str | Path, ask: Callable[[Any], Any], **more: Any) -> Any:
    """Return what `ask` gets from a client of an address, or of a connection file; collects a stream."""

    async def run() -> Any:
        async with (
            AsyncClient(target, **more)
            if isinstance(target, str)
            else AsyncClient.from_connection(target, **more) as client
        ):
            found = ask(client)
            if isinstance(found, AsyncIterable):
                return [one async for one in found]
            return await found

    if kind == "async":
        return asyncio.run(run())
    with Client(target, **more) if isinstance(target, str) else Client.from_connection(target, **more) as client:
        found = ask(client)
        return list(found) if isinstance(found, Iterator) else found
