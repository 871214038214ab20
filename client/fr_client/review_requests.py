"""From Python's values to the messages of `ReviewService`, and their words: shared by both clients."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from fr_api.v1 import review_pb2
from fr_client.requests import Purpose, SearchItem, purpose_value, search

# What an examiner found, or what an examination concludes. None of them is an identity.
Finding = Literal["potential-candidate", "no-candidate", "inconclusive"]

FINDINGS: dict[str, review_pb2.FindingKind.ValueType] = {
    "potential-candidate": review_pb2.FINDING_KIND_POTENTIAL_CANDIDATE,
    "no-candidate": review_pb2.FINDING_KIND_NO_CANDIDATE,
    "inconclusive": review_pb2.FINDING_KIND_INCONCLUSIVE,
}


def open_case(case_reference: str, purpose: Purpose, retention: timedelta | None) -> review_pb2.OpenCaseRequest:
    """Return the request that opens a case; raises `ValueError` for a word that is no purpose."""
    request = review_pb2.OpenCaseRequest(case_reference=case_reference, purpose=purpose_value(purpose))
    if retention is not None:
        request.retention.FromTimedelta(retention)
    return request


def search_in_case(case_id: str, gallery_id: str, item: SearchItem) -> review_pb2.SearchInCaseRequest:
    """Return the request of a search within a case; raises what `search` does."""
    return review_pb2.SearchInCaseRequest(case_id=case_id, search=search(gallery_id, item))


def submit_finding(
    examination_id: str, finding: Finding, template_id: int | None, rating: int | None, notes: str
) -> review_pb2.SubmitFindingRequest:
    """Return the request that gives a finding.

    Raises `ValueError` for a word that is no finding, for a potential candidate that is not named or not rated, and for
    a candidate or a rating of another finding.
    """
    if finding not in FINDINGS:
        raise ValueError(f"finding is {finding!r}; it can be {', '.join(map(repr, FINDINGS))}.")
    if finding == "potential-candidate" and (template_id is None or rating is None):
        raise ValueError("A potential candidate has a template_id, and a rating from 1 to 3.")
    if finding != "potential-candidate" and (template_id is not None or rating is not None):
        raise ValueError("Only a potential candidate has a template_id and a rating.")
    return review_pb2.SubmitFindingRequest(
        examination_id=examination_id,
        kind=FINDINGS[finding],
        template_id=template_id or 0,
        rating=rating or 0,
        notes=notes,
    )
