"""From the responses of a stream to an answer or a refusal: shared by both clients."""

from __future__ import annotations

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2


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
