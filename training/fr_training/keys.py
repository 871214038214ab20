"""Defines what is right, and what the machine says: neither leaves the server before an answer is locked."""

from __future__ import annotations

from dataclasses import dataclass

from fr_training.answers import Degraded, Usability
from fr_training.prompts import LabKind


@dataclass(frozen=True, slots=True)
class PairKey:
    """Of two photos."""

    mated: bool
    similarity: float  # of the machine, in [-1, 1]
    # The machine's likelihood ratio as a decimal logarithm; None where the model has no calibration.
    log10_lr: float | None = None
    # In an aided exercise, the machine's opinion, wrong where it differs from `mated`; None elsewhere.
    advice_same: bool | None = None


@dataclass(frozen=True, slots=True)
class TriadKey:
    """Of three photos: the index in the item's photos of the person shown once, 0 to 2, and of the machine's choice.

    The machine chooses the photo that the most similar pair leaves. `margin` is the similarity of the mated pair less
    the greater of the two others, in [-2, 2].
    """

    odd: int
    machine_odd: int
    margin: float


@dataclass(frozen=True, slots=True)
class ListKey:
    """Of a probe and its candidates."""

    mate: int | None  # index among the candidates, from 0; None where none of them is the person searched for
    similarities: tuple[float, ...]  # of the machine, one for each candidate, in [-1, 1]
    scored: bool = True  # whether it is known who is right; False for an own probe of unknown truth


@dataclass(frozen=True, slots=True)
class TriageKey:
    """Of one photo; `degraded` is None and `strength`, in the unit of `bank.triage`, 0 where nothing was done to it."""

    usability: Usability
    degraded: Degraded | None
    strength: float


@dataclass(frozen=True, slots=True)
class LabKey:
    """Of a lab: the row that is right, from 1, or 0 for none, and what was measured, percent.

    A prediction from `low` to `high`, ends included, is near.
    """

    kind: LabKind
    right: int
    measured: float
    low: float
    high: float


CUSTODY_RECORDS = 6  # records of the custody of an evidence exercise


@dataclass(frozen=True, slots=True)
class EvidenceKey:
    """Of an evidence exercise: sha256 of the original and of the crop, and the record that breaks the chain, or 0."""

    original: str
    crop: str
    broken: int


@dataclass(frozen=True, slots=True)
class LessonKey:
    """Of a question of a lesson: the index of the right option, and a reason for each option, in their order."""

    lesson: str  # name of the lesson
    section: str  # id of its part
    right: int
    reasons: tuple[str, ...]


AnswerKey = PairKey | TriadKey | ListKey | TriageKey | LabKey | EvidenceKey | LessonKey
