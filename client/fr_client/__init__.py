"""The client of the API and the `fr` command; it needs neither models nor index."""

from fr_client.aio import AsyncClient
from fr_client.channel import RetryPolicy
from fr_client.client import Client
from fr_client.errors import FrApiError, reason_of
from fr_client.requests import (
    EmbeddingBatch,
    EmbeddingSubject,
    EmbedItem,
    EnrolItem,
    FaceSource,
    Fusion,
    OneFace,
    Photo,
    SearchItem,
    SeveralFaces,
)

__all__ = [
    "AsyncClient",
    "Client",
    "EmbedItem",
    "EmbeddingBatch",
    "EmbeddingSubject",
    "EnrolItem",
    "FaceSource",
    "FrApiError",
    "Fusion",
    "OneFace",
    "Photo",
    "RetryPolicy",
    "SearchItem",
    "SeveralFaces",
    "reason_of",
]
