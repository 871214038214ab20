"""From responses to what a caller makes use of: shared by both clients and the command."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from fr_api.v1 import common_pb2, evaluation_pb2, gallery_pb2, recognition_pb2
from fr_client.requests import OnProgress


def message_keys(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it.

    The names are those of the .proto files, every field is there (but an optional one that was not set), 64-bit
    integers are strings, and enums are names: the JSON mapping of protobuf.
    """
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def stored(response: gallery_pb2.StreamEnrolResponse) -> gallery_pb2.EnrolResponse | common_pb2.Refusal:
    """Return what StreamEnrol says of an item."""
    return response.refusal if response.WhichOneof("result") == "refusal" else response.stored


def enrolled(
    response: gallery_pb2.StreamEnrolEmbeddingsResponse,
) -> gallery_pb2.EnrolEmbeddingsResponse | common_pb2.Refusal:
    """Return what StreamEnrolEmbeddings says of an item."""
    return response.refusal if response.WhichOneof("result") == "refusal" else response.enrolled


def found(response: gallery_pb2.StreamSearchResponse) -> gallery_pb2.SearchResponse | common_pb2.Refusal:
    """Return what StreamSearch says of an item."""
    return response.refusal if response.WhichOneof("result") == "refusal" else response.found


def embedded(response: recognition_pb2.StreamEmbedResponse) -> recognition_pb2.EmbedResponse | common_pb2.Refusal:
    """Return what StreamEmbed says of an item."""
    return response.refusal if response.WhichOneof("result") == "refusal" else response.embedded


def finished(
    response: evaluation_pb2.RunVerificationResponse | evaluation_pb2.RunIdentificationResponse,
    on_progress: OnProgress | None,
) -> evaluation_pb2.ReportSummary | None:
    """Return the report that an evaluation ended with, or tell how far it has come and return None."""
    if response.WhichOneof("event") == "report":
        return response.report
    if on_progress is not None:
        on_progress(response.progress.photos, response.progress.total)
    return None
