"""From responses to what a caller makes use of: shared by both clients and the command."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2


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
