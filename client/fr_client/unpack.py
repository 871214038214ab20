"""Turns response messages into values, for both clients and the command."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from fr_api.v1 import evaluation_pb2


def message_keys(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it: protobuf's mapping, with the names of the .proto files.

    It has every field except optional ones that are not set; 64-bit integers are strings, and enums are names.
    """
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def result(field: str) -> Callable[[Any], Any]:
    """Return the function that reads a response to an item of a stream: its refusal, or the field of its answer."""
    return lambda response: response.refusal if response.WhichOneof("result") == "refusal" else getattr(response, field)


@dataclass(frozen=True, slots=True)
class FileOfReport:
    """A file of a report, UTF-8, and the description of the report, which lists its files."""

    report: evaluation_pb2.ReportSummary
    content: bytes


def whole_file(parts: Iterable[evaluation_pb2.GetReportResponse]) -> FileOfReport:
    """Return the file from all messages of the answer."""
    report, content = evaluation_pb2.ReportSummary(), bytearray()
    for part in parts:
        if part.WhichOneof("part") == "report":
            report = part.report
        content += part.content
    return FileOfReport(report, bytes(content))
