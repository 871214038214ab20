"""Cases, examinations and findings: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

MAX_REFERENCE = 128
MAX_NOTES = 4_000  # Characters
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
    """A case."""

    case_id: str  # given by the store, 16 hexadecimal digits
    reference: str  # by which people know it, 1 to 128 characters
    purpose: Purpose
    opened_by: str
    opened_ms: int  # milliseconds since 1970, UTC
    closed_ms: int | None = None  # likewise; None where it is open
    expires_ms: int | None = None  # when it is deleted, likewise; None = never
    examinations: int = 0  # how many it has
    galleries: tuple[str, ...] = ()  # ids of those that were searched for it, in their order


@dataclass(frozen=True, slots=True)
class Listed:
    """A candidate, as the search found it."""

    rank: int  # 1 is the most similar
    subject_id: str
    template_id: int  # the best of its templates
    similarity: float  # cosine, -1 to 1
    photo_sha256: str = ""  # of the photo that was enrolled, 64 hexadecimal digits; "" where an embedding was
    photo: bytes = field(default=b"", repr=False)  # the photo itself; b"" where the gallery keeps none


@dataclass(frozen=True, slots=True)
class Finding:
    """An examiner's finding."""

    examiner: str  # a principal_id
    kind: FindingKind
    template_id: int = 0  # of the candidate of a POTENTIAL_CANDIDATE; 0 else
    rating: int = 0  # 1 to 3, of a POTENTIAL_CANDIDATE; 0 else
    notes: str = field(default="", repr=False)  # what was observed, at most 4,000 characters
    given_ms: int = 0  # milliseconds since 1970, UTC; the store says it
    # 32 random hexadecimal digits, with which the digest in the audit can be made anew; the store gives it.
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
    """The probe, the galleries and the options of a search, as they were at that time."""

    gallery_id: str
    operational: bool  # whether decisions about people follow from it, so that two examiners are needed
    gallery_version: int  # that was searched
    searched_templates: int  # how many it held
    model: str  # the model id, as text
    threshold: float  # similarity at or above which a candidate counts as a lead
    calibration_id: str  # of the calibration whose error rates were told; "" = none
    parameters: Mapping[str, str]  # what else the search was told, by name, such as top_k, fusion and the criterion
    # The results for the probe and their making, by name: detection box, landmarks, crop, quality.
    derivations: Mapping[str, str]
    searched_by: str  # a principal_id
    searched_ms: int  # milliseconds since 1970, UTC
    probe_sha256: str  # of the photo, 64 hexadecimal digits


@dataclass(frozen=True, slots=True)
class Examination:
    """One search within a case, and what examiners make of it."""

    examination_id: str  # given by the store, 16 hexadecimal digits
    case_id: str
    searched: Searched
    candidates: tuple[Listed, ...]  # as found, best first
    findings: tuple[Finding, ...] = ()  # all of them, the oldest first
    probe: bytes = field(default=b"", repr=False)  # the photo that was searched with; b"" where it was not asked for
    # 32 random hexadecimal digits, with which the digest in the audit can be made anew; the store gives it.
    salt: str = field(default="", repr=False)
