"""Names the states, findings and conclusions of examinations; none of them is an identity."""

from __future__ import annotations

from collections.abc import Mapping

from fr_api.v1 import review_pb2
from fr_client.words import FINDINGS, PURPOSES

NEWER = "newer than this command"

_STATES: Mapping[int, str] = {
    review_pb2.EXAMINATION_STATE_AWAITING_FIRST: "awaits the first examiner",
    review_pb2.EXAMINATION_STATE_AWAITING_SECOND: "awaits the second examiner",
    review_pb2.EXAMINATION_STATE_DISPUTED: "the examiners disagree: awaits a third",
    review_pb2.EXAMINATION_STATE_CONCLUDED: "concluded",
    review_pb2.EXAMINATION_STATE_AWAITING_FINDING: "awaits a finding",
}
_FINDINGS: Mapping[int, str] = {value: word.replace("-", " ") for word, value in FINDINGS.items()}
_PURPOSES: Mapping[int, str] = {value: word for word, value in PURPOSES.items()}


def state_text(state: int) -> str:
    """Return the state of an examination."""
    return _STATES.get(state, NEWER)


def finding_text(kind: int) -> str:
    """Return a finding, such as "potential candidate"."""
    return _FINDINGS.get(kind, NEWER)


def purpose_text(purpose: int) -> str:
    """Return a purpose, as in the option that sets it."""
    return _PURPOSES.get(purpose, NEWER)


def conclusion_text(one: review_pb2.ExaminationSummary) -> str:
    """Return the conclusion of an examination, with its candidate; "" before it has one."""
    if one.conclusion == review_pb2.FINDING_KIND_UNSPECIFIED:
        return ""
    return _with_template(one.conclusion, one.concluded_template_id)


def found_text(one: review_pb2.Finding) -> str:
    """Return an examiner's finding, with candidate and rating."""
    words = _with_template(one.kind, one.template_id)
    return f"{words}, rated {one.rating:+d}" if one.template_id else words


def _with_template(kind: int, template_id: int) -> str:
    return f"{finding_text(kind)}: template {template_id}" if template_id else finding_text(kind)
