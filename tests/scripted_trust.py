"""A gRPC server of access, audit and review that notes what it is asked, and answers what a test lays out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from fr_api.v1 import access_pb2, audit_pb2, review_pb2
from scripted import refuse

_SERVICES = (
    access_pb2.DESCRIPTOR.services_by_name["AccessService"],
    audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
    review_pb2.DESCRIPTOR.services_by_name["ReviewService"],
)


class Script(grpc.GenericRpcHandler):
    """What is asked and what is answered.

    Attributes:
        asked: name and request of each call, in their order.
        answers: by the name of the call; of a stream all of one call, else one for each call, the last for ever.
        refusals: reasons, by the name of the call; each refuses one call, before its answer or after those of a stream.
    """

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


@contextmanager
def serving_trust(script: Script) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((script,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def _class_of(descriptor: Any) -> Any:
    for module in (access_pb2, audit_pb2, review_pb2):
        if hasattr(module, descriptor.name):
            return getattr(module, descriptor.name)
    raise LookupError(descriptor.name)
