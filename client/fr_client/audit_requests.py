"""From Python's values to the messages of `AuditService`: shared by both clients."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from fr_api.v1 import audit_pb2


class Chain(StrEnum):
    """The chains of a server: one for each store; "access" holds reads, refusals and failed handshakes."""

    GALLERIES = "galleries"
    TRAINING = "training"
    CASES = "cases"
    ACCESS = "access"


CHAINS = tuple(chain.value for chain in Chain)
"""Their names."""


def search_audit(
    chain: str,
    start: datetime | None,
    end: datetime | None,
    actor: str,
    action: str,
    outcome: str,
    gallery_id: str,
    subject_id: str,
    case_reference: str,
    request_id: str,
    page_size: int | None,
) -> audit_pb2.SearchAuditRequest:
    """Return the request of the first page of records; raises `ValueError` for a time without a time zone."""
    request = audit_pb2.SearchAuditRequest(
        chain=chain,
        actor=actor,
        action=action,
        outcome=outcome,
        gallery_id=gallery_id,
        subject_id=subject_id,
        case_reference=case_reference,
        request_id=request_id,
        page_size=page_size or 0,
    )
    for name, value, into in (("start", start, request.start_time), ("end", end, request.end_time)):
        if value is None:
            continue
        if value.tzinfo is None:
            raise ValueError(f"{name} has no time zone; datetime(..., tzinfo=UTC) has one.")
        into.FromDatetime(value)
    return request
