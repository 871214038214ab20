"""The client of the API and the `fr` command; it needs neither models nor index."""

from fr_client.aio import AsyncClient
from fr_client.aio_training import AsyncTraining
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
from fr_client.training import Training

__all__ = [
    "KEEP",
    "AsyncClient",
    "AsyncTraining",
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
    "Training",
    "reason_of",
]
