"""Defines the answers of trainees. A picture is named by its id, as it was shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

RATINGS = (-3, -2, -1, 0, 1, 2, 3)
"""From surely two people to surely one; 0 is undecided. A positive rating says "same"."""
DIFFICULTIES = (1, 2, 3, 4, 5)  # from easy to hard, as a trainee finds it
MAX_NOTES = 2_000  # characters
MAX_SIMILARITY = 10  # of a component, from 0


@dataclass(frozen=True, slots=True)
class PairRating:
    """At RATE and RATE_AGAIN: one of RATINGS; `p_same` is the probability of one person, in [0, 1], or None."""

    rating: int
    p_same: float | None = None


@dataclass(frozen=True, slots=True)
class OddOneOut:
    """At CHOOSE: the picture of the person who is shown once."""

    picture_id: str


@dataclass(frozen=True, slots=True)
class Notes:
    """At NOTE: 1 to MAX_NOTES characters on the probe alone."""

    text: str


class Compared(StrEnum):
    """The comparison of a component."""

    SIMILAR = "similar"
    DIFFERENT = "different"
    NOT_VISIBLE = "not_visible"


@dataclass(frozen=True, slots=True)
class Observation:
    """A component, compared; its similarity is from 0 to MAX_SIMILARITY, and None exactly where it is not visible."""

    component_id: str
    compared: Compared
    similarity: int | None


@dataclass(frozen=True, slots=True)
class Observations:
    """At OBSERVE: each component once."""

    observations: tuple[Observation, ...]


class ListChoice(StrEnum):
    """The decision on a list of candidates."""

    CANDIDATE = "candidate"
    NONE = "none"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class ListDecision:
    """At DECIDE; `picture_id` is None unless `choice` is CANDIDATE.

    `ratings` holds one of RATINGS for each candidate, by picture id.
    """

    choice: ListChoice
    picture_id: str | None
    ratings: Mapping[str, int] = field(default_factory=dict, hash=False)


class Usability(StrEnum):
    """The usability of a photo."""

    USABLE = "usable"
    LIMITED = "limited"
    REJECT = "reject"


class Degraded(StrEnum):
    """A fault of a photo."""

    BLUR = "blur"
    NOISE = "noise"
    RESOLUTION = "resolution"
    COMPRESSION = "compression"
    OCCLUSION = "occlusion"
    POSE = "pose"


class Poorer(NamedTuple):
    """Makes every photo of a block poorer, so that an easy data set becomes harder; 0 leaves it as it is."""

    scale: float = 0.0  # pixels across the face
    blur: float = 0.0  # sigma in pixels of a face with `fr_training.bank.triage.UNIT_EYES` between its eyes
    compression: float = 0.0  # JPEG quality of 1 to 95
    light: float = 0.0  # by how much light and colour differ from photo to photo, up to 1

    @property
    def told(self) -> dict[str, float]:
        """The degradations that are applied, by their names."""
        return {name: value for name, value in self._asdict().items() if value}


AS_IT_IS = Poorer()  # nothing is done to a photo


@dataclass(frozen=True, slots=True)
class Triage:
    """At TRIAGE: the decision and why; no reason for a usable photo."""

    usability: Usability
    reasons: frozenset[Degraded] = frozenset()


@dataclass(frozen=True, slots=True)
class ProbeSent:
    """At SEND_PROBE: sha256 of the photo's file, 64 hexadecimal digits; no part of the photo is kept."""

    image_sha256: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """At PREDICT: what the trainee expects to be measured, from 0 to 100 percent."""

    percent: float


MAX_ROWS = 12  # of the table of a lab, at most


@dataclass(frozen=True, slots=True)
class Conclusion:
    """At CONCLUDE: a row of the table, or a record of the audit, from 1 to MAX_ROWS; 0 for none."""

    row: int


@dataclass(frozen=True, slots=True)
class FileHash:
    """At HASH and DERIVE: sha256 of a file, 64 hexadecimal digits in lower case."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Read:
    """At READ: the part was read."""


@dataclass(frozen=True, slots=True)
class OptionChosen:
    """At ANSWER: the option of a question, by the id under which it was shown."""

    option_id: str


Given = (
    PairRating
    | OddOneOut
    | Notes
    | Observations
    | ListDecision
    | Triage
    | ProbeSent
    | Prediction
    | Conclusion
    | FileHash
    | Read
    | OptionChosen
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is sent; `difficulty` is one of DIFFICULTIES, or None where it was not given.

    If a trainee knows one of the people shown, the trial is in no figure.
    """

    given: Given
    difficulty: int | None = None
    known_to_me: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """The part of an answer that is typed so far; each part belongs to one step, and an empty draft to every step."""

    notes: str = ""  # at NOTE, at most MAX_NOTES characters
    observations: tuple[Observation, ...] = ()  # at OBSERVE, each component once at most
    ratings: Mapping[str, int] = field(default_factory=dict, hash=False)  # at DECIDE, of candidates by picture id
