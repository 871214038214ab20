"""The client of the API and the `fr` command; it needs neither models nor index."""

from fr_client.access import Access
from fr_client.access_requests import Role
from fr_client.aio import AsyncClient
from fr_client.aio_access import AsyncAccess
from fr_client.aio_audit import AsyncAudit
from fr_client.aio_review import AsyncReview
from fr_client.aio_training import AsyncTraining
from fr_client.audit import Audit
from fr_client.channel import RetryPolicy
from fr_client.client import Client
from fr_client.connection import Connection, read_connection
from fr_client.errors import FrApiError, reason_of
from fr_client.export import Exported
from fr_client.identity import TlsCredentials, tls_credentials
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
    Purpose,
    ReadingPurpose,
    ReportFile,
    SearchItem,
    SeveralFaces,
    Use,
)
from fr_client.review import Review
from fr_client.review_requests import Finding
from fr_client.training import Training

__all__ = [
    "KEEP",
    "Access",
    "AsyncAccess",
    "AsyncAudit",
    "AsyncClient",
    "AsyncReview",
    "AsyncTraining",
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
    "read_connection",
    "reason_of",
    "tls_credentials",
]
