"""The client of the API and the `fr` command; it needs neither models nor index."""

from importlib import import_module
from typing import TYPE_CHECKING

from fr_client.channel import RetryPolicy
from fr_client.connection import Connection, read_connection
from fr_client.errors import FrApiError, reason_of
from fr_client.identity import TlsCredentials, tls_credentials
from fr_client.requests import (
    KEEP,
    EmbeddingBatch,
    EmbeddingSubject,
    EmbedItem,
    EnrolItem,
    FaceSource,
    Keep,
    OnProgress,
    Photo,
    SearchItem,
)
from fr_client.sync.access import Access
from fr_client.sync.audit import Audit
from fr_client.sync.client import Client
from fr_client.sync.review import Review
from fr_client.sync.training import Training
from fr_client.sync.video import Video
from fr_client.unpack import Exported
from fr_client.words import Finding, Fusion, OneFace, Purpose, ReadingPurpose, ReportFile, Role, SeveralFaces, Use

if TYPE_CHECKING:
    from fr_client.aio.access import AsyncAccess
    from fr_client.aio.audit import AsyncAudit
    from fr_client.aio.client import AsyncClient
    from fr_client.aio.review import AsyncReview
    from fr_client.aio.training import AsyncTraining
    from fr_client.aio.video import AsyncVideo
else:

    def __getattr__(name: str) -> type:
        """Import the asynchronous client when it is first used: no command needs it."""
        if name.startswith("Async") and name in __all__:
            return getattr(import_module(f"fr_client.aio.{name.removeprefix('Async').lower()}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"

__all__ = [
    "KEEP",
    "Access",
    "AsyncAccess",
    "AsyncAudit",
    "AsyncClient",
    "AsyncReview",
    "AsyncTraining",
    "AsyncVideo",
    "Audit",
    "Client",
    "Connection",
    "EmbedItem",
    "EmbeddingBatch",
    "EmbeddingSubject",
    "EnrolItem",
    "Exported",
    "FaceSource",
    "Finding",
    "FrApiError",
    "Fusion",
    "Keep",
    "OnProgress",
    "OneFace",
    "Photo",
    "Purpose",
    "ReadingPurpose",
    "ReportFile",
    "RetryPolicy",
    "Review",
    "Role",
    "SearchItem",
    "SeveralFaces",
    "TlsCredentials",
    "Training",
    "Use",
    "Video",
    "read_connection",
    "reason_of",
    "tls_credentials",
]
