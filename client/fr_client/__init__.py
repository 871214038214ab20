"""The client of the API and the `fr` command; it needs neither models nor index."""

from fr_client.aio import AsyncClient
from fr_client.channel import RetryPolicy
from fr_client.client import Client
from fr_client.errors import FrApiError, reason_of
from fr_client.export import Exported
from fr_client.requests import (
    KEEP,
    EmbeddingBatch,
    EmbeddingSubject,
    EmbedItem,
    EnrolItem,
    FaceSource,
    Fusion,
    Keep,
    OneFace,
    OnProgress,
    Photo,
    ReportFile,
    SearchItem,
    SeveralFaces,
)

__all__ = [
    "KEEP",
    "AsyncClient",
    "Client",
    "EmbedItem",
    "EmbeddingBatch",
    "EmbeddingSubject",
    "EnrolItem",
    "Exported",
    "FaceSource",
    "FrApiError",
    "Fusion",
    "Keep",
    "OnProgress",
    "OneFace",
    "Photo",
    "ReportFile",
    "RetryPolicy",
    "SearchItem",
    "SeveralFaces",
    "reason_of",
]
