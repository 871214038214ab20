"""Finds the calls of the API in the descriptors of the generated code."""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import fr_api.v1


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call of the API; `path` is "/fr_api.v1.SERVICE/METHOD", in gRPC and in HTTP."""

    path: str
    request: type[Message]
    response: type[Message]
    streams: bool  # whether it has more than one request or answer
    safe: bool  # whether the API says that it has no side effects, so that GET may make it


def api_calls() -> Mapping[str, Call]:
    """Return all calls of the API by their paths."""
    found = {}
    for module in pkgutil.iter_modules(fr_api.v1.__path__):
        if not module.name.endswith("_pb2"):
            continue
        for service in import_module(f"fr_api.v1.{module.name}").DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                safe = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
                request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
                found[path] = Call(path, request, response, method.client_streaming or method.server_streaming, safe)
    return found
