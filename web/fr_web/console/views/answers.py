"""The answers to the steps of a trial, as forms bring them: each class says what the server calls its answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fr_api.v1 import training_pb2 as pb
from fr_locales.messages import message
from fr_web.console.visit import Visit

_PERCENT = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,4})?|[.,][0-9]{1,4})\s*%?")


class Decision(Protocol):
    """An answer that SubmitDecision takes."""

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """Return the field of the request; raises `FrApiError` if what was typed is none."""
        ...


@dataclass(frozen=True, slots=True)
class Begin:
    """A block to begin, or a session to pause or to go on with."""

    block: str = ""
    pause: bool = False
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """The trial and the step that a form answers; `difficulty` is from 1 to 5, or 0 where it was left out."""

    trial: str
    step: int
    known: bool = False
    difficulty: int = 0


@dataclass(frozen=True, slots=True)
class Rated:
    """A rating from -3 to 3; `sure` keeps a probability, in percent, that contradicts it."""

    rating: int
    p_same: str = ""
    sure: bool = False

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        made = pb.PairRating(rating=self.rating)
        if self.p_same:
            made.p_same = percent_of("p_same", self.p_same, visit) / 100
        return {"rating": made}

    def contradicts(self, visit: Visit) -> bool:
        """Return whether the rating leans to one person and the probability to two, or the other way round."""
        share = percent_of("p_same", self.p_same, visit) if self.p_same else 50.0
        return not self.sure and self.rating * (share - 50.0) < 0


@dataclass(frozen=True, slots=True)
class Odd:
    """The picture of the odd one out."""

    odd: str

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        return {"odd_picture_id": self.odd}


@dataclass(frozen=True, slots=True)
class Judged:
    """The usability of a photo, and the numbers of its faults."""

    usability: int
    reasons: dict[str, int] = field(default_factory=dict)

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        made = pb.QualityDecision(usability=pb.Usability.ValueType(self.usability))
        made.reasons.extend(pb.Degradation.ValueType(one) for one in sorted({*self.reasons.values()}))
        return {"quality": made}


@dataclass(frozen=True, slots=True)
class Predicted:
    """A prediction in percent."""

    percent: str

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        return {"prediction": pb.Prediction(percent=percent_of("percent", self.percent, visit))}


@dataclass(frozen=True, slots=True)
class Concluded:
    """A row of a table or the number of a record, 0 for none."""

    row: int

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        if self.row < 0:
            raise visit.invalid(message("console.conclude.no_row"), "row")
        return {"conclusion": pb.Conclusion(row=self.row)}


@dataclass(frozen=True, slots=True)
class Hashed:
    """The SHA-256 of a file; what programs write behind it does not count."""

    sha256: str

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        return {"file_hash": pb.FileHash(sha256=self.sha256.split()[0].lower())}


@dataclass(frozen=True, slots=True)
class PartRead:
    """That the part of a lesson was read."""

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        return {"read": True}


@dataclass(frozen=True, slots=True)
class OptionTaken:
    """The option of a question."""

    option: str

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        return {"option_id": self.option}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A decision on candidates: the id of a picture, "none" or "inconclusive", and the rating of each by its id."""

    choice: str
    ratings: dict[str, int] = field(default_factory=dict)

    def answer(self, visit: Visit) -> Mapping[str, Any]:
        """As `Decision`."""
        made = pb.CandidateDecision(ratings=self.ratings)
        if self.choice == "none":
            made.none = True
        elif self.choice == "inconclusive":
            made.inconclusive = True
        else:
            made.picture_id = self.choice
        return {"candidates": made}


@dataclass(frozen=True, slots=True)
class Part:
    """The comparison of one part of the face; `unseen` where it cannot be seen in one of the photos."""

    part: str
    comparison: int = 0
    similarity: int = -1
    unseen: bool = False

    def observation(self, visit: Visit) -> pb.Observation:
        """Return the observation; raises `FrApiError` if it is not complete."""
        if self.unseen:
            return pb.Observation(component_id=self.part, comparison=pb.COMPARISON_NOT_VISIBLE)
        if self.comparison not in (pb.COMPARISON_SIMILAR, pb.COMPARISON_DIFFERENT) or self.similarity < 0:
            raise visit.invalid(message("console.parts.incomplete"), "comparison")
        comparison = pb.Comparison.ValueType(self.comparison)
        return pb.Observation(component_id=self.part, comparison=comparison, similarity=self.similarity)


DECISIONS: Mapping[int, type[Decision]] = {
    pb.TRIAL_STEP_RATE: Rated,
    pb.TRIAL_STEP_RATE_AGAIN: Rated,
    pb.TRIAL_STEP_CHOOSE: Odd,
    pb.TRIAL_STEP_DECIDE: Chosen,
    pb.TRIAL_STEP_TRIAGE: Judged,
    pb.TRIAL_STEP_PREDICT: Predicted,
    pb.TRIAL_STEP_CONCLUDE: Concluded,
    pb.TRIAL_STEP_HASH: Hashed,
    pb.TRIAL_STEP_DERIVE: Hashed,
    pb.TRIAL_STEP_READ: PartRead,
    pb.TRIAL_STEP_ANSWER: OptionTaken,
}


def percent_of(name: str, typed: str, visit: Visit) -> float:
    """Return a number of percent from 0 to 100, with a point or a comma; raises `FrApiError` for another text."""
    found = _PERCENT.fullmatch(typed)
    number = float(found[1].replace(",", ".")) if found else -1.0
    if not 0.0 <= number <= 100.0:
        raise visit.invalid(message("console.trial.no_percent"), name)
    return number
