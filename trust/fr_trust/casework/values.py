"""Cases, examinations and findings: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

MAX_REFERENCE = 128
MAX_NOTES = 4_000
"""Characters."""
LOWEST_RATING, HIGHEST_RATING = 1, 3
"""The strength with which observations support that a candidate is the person: 1 weakly, 2 moderately, 3 strongly.

The upper half of the scale of FISWG's and ENFSI's guidance on verbal conclusions, without its words: what supports
neither, or that it is another person, is no reason to pick a candidate.
"""


class Purpose(StrEnum):
    """The purpose of the searches of a case."""

    INVESTIGATION = "investigation"
    MISSING_PERSON = "missing_person"
    VICTIM = "victim"
    UNKNOWN_PERSON = "unknown_person"
    RECORD_KEEPING = "record_keeping"
    TRAINING = "training"
    TESTING = "testing"


class FindingKind(StrEnum):
    """An examiner's finding; none of them is an identity."""

    POTENTIAL_CANDIDATE = "potential_candidate"
    NO_CANDIDATE = "no_candidate"
    INCONCLUSIVE = "inconclusive"


class State(StrEnum):
    """The state of an examination."""

    AWAITING_FIRST = "awaiting_first"
    AWAITING_SECOND = "awaiting_second"
    DISPUTED = "disputed"
    CONCLUDED = "concluded"


@dataclass(frozen=True, slots=True)
class Case:
    """A case.

    Attributes:
        case_id: given by the store, 16 hexadecimal digits.
        reference: by which people know it, 1 to 128 characters.
        opened_ms: milliseconds since 1970, UTC.
        closed_ms: likewise; None where it is open.
        expires_ms: when it is deleted, likewise; None = never.
        examinations: how many it has.
        galleries: ids of those that were searched for it, in their order.
    """

    case_id: str
    reference: str
    purpose: Purpose
    opened_by: str
    opened_ms: int
    closed_ms: int | None = None
    expires_ms: int | None = None
    examinations: int = 0
    galleries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A candidate, as the search found it.

    Attributes:
        rank: 1 is the most similar.
        template_id: the best of its templates.
        similarity: cosine, -1 to 1.
        photo_sha256: of the photo that was enrolled, 64 hexadecimal digits; "" where an embedding was.
        photo: the photo itself; b"" where the gallery keeps none.
    """

    rank: int
    subject_id: str
    template_id: int
    similarity: float
    photo_sha256: str = ""
    photo: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """An examiner's finding.

    Attributes:
        examiner: a principal_id.
        template_id: of the candidate of a POTENTIAL_CANDIDATE; 0 else.
        rating: 1 to 3, of a POTENTIAL_CANDIDATE; 0 else.
        notes: what was observed, at most 4,000 characters.
        given_ms: milliseconds since 1970, UTC; the store says it.
        salt: 32 random hexadecimal digits, with which the digest in the audit can be made anew; the store gives it.
    """

    examiner: str
    kind: FindingKind
    template_id: int = 0
    rating: int = 0
    notes: str = field(default="", repr=False)
    given_ms: int = 0
    salt: str = field(default="", repr=False)

    def says_the_same(self, other: Finding) -> bool:
        """Return whether the same examiner found the same, whenever that was."""
        return replace(self, given_ms=0, salt="") == replace(other, given_ms=0, salt="")


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The conclusion of an examination; `template_id` is that of a POTENTIAL_CANDIDATE, else 0."""

    kind: FindingKind
    template_id: int = 0


@dataclass(frozen=True, slots=True)
class Searched:
    """The probe, the galleries and the options of a search, as they were at that time.

    Attributes:
        operational: whether decisions about people follow from it, so that two examiners are needed.
        gallery_version: that was searched.
        searched_templates: how many it held.
        model: the model id, as text.
        threshold: similarity at or above which a candidate counts as a lead.
        calibration_id: of the calibration whose error rates were told; "" = none.
        parameters: what else the search was told, by name, such as top_k, fusion and the criterion.
        derivations: what was made of the probe and how, by name: detection box, landmarks, crop, quality.
        searched_by: a principal_id.
        searched_ms: milliseconds since 1970, UTC.
        probe_sha256: of the photo, 64 hexadecimal digits.
    """

    gallery_id: str
    operational: bool
    gallery_version: int
    searched_templates: int
    model: str
    threshold: float
    calibration_id: str
    parameters: Mapping[str, str]
    derivations: Mapping[str, str]
    searched_by: str
    searched_ms: int
    probe_sha256: str


@dataclass(frozen=True, slots=True)
class Examination:
    """One search within a case, and what examiners make of it.

    Attributes:
        examination_id: given by the store, 16 hexadecimal digits.
        candidates: as found, best first.
        findings: all of them, the oldest first.
        probe: the photo that was searched with; b"" where it was not asked for.
        salt: 32 random hexadecimal digits, with which the digest in the audit can be made anew; the store gives it.
    """

    examination_id: str
    case_id: str
    searched: Searched
    candidates: tuple[Listed, ...]
    findings: tuple[Finding, ...] = ()
    probe: bytes = field(default=b"", repr=False)
    salt: str = field(default="", repr=False)
