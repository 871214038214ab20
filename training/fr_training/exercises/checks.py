"""Checks an answer before it is locked; a refusal never repeats what was sent.

The components of a face, by which two photos are compared one after the other, follow the morphological approach that
FISWG recommends ("Facial Image Comparison Feature List for Morphological Analysis", 2018): form, place and details of
each part are described, nothing is measured. The words are our own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from fr_core.errors import InvalidField, MissingField, message
from fr_training import answers
from fr_training.errors import InvalidRating, WrongStep
from fr_training.prompts import Component, Step

COMPONENTS: Final[tuple[Component, ...]] = (
    Component("face_shape", message("component.face_shape"), message("component.face_shape_look")),
    Component("forehead", message("component.forehead"), message("component.forehead_look")),
    Component("brows", message("component.brows"), message("component.brows_look")),
    Component("eyes", message("component.eyes"), message("component.eyes_look")),
    Component("nose", message("component.nose"), message("component.nose_look")),
    Component("cheeks", message("component.cheeks"), message("component.cheeks_look")),
    Component("mouth", message("component.mouth"), message("component.mouth_look")),
    Component("jaw", message("component.jaw"), message("component.jaw_look")),
    Component("chin", message("component.chin"), message("component.chin_look")),
    Component("ears", message("component.ears"), message("component.ears_look")),
    Component("lines", message("component.lines"), message("component.lines_look")),
    Component("marks", message("component.marks"), message("component.marks_look")),
)
"""Each component once, roughly from the top of the face to the bottom."""


_GIVEN: Final[Mapping[Step, type[answers.Given]]] = {
    Step.RATE: answers.PairRating,
    Step.CHOOSE: answers.OddOneOut,
    Step.NOTE: answers.Notes,
    Step.OBSERVE: answers.Observations,
    Step.DECIDE: answers.ListDecision,
    Step.TRIAGE: answers.Triage,
    Step.RATE_AGAIN: answers.PairRating,
    Step.SEND_PROBE: answers.ProbeSent,
    Step.PREDICT: answers.Prediction,
    Step.CONCLUDE: answers.Conclusion,
    Step.HASH: answers.FileHash,
    Step.DERIVE: answers.FileHash,
    Step.READ: answers.Read,
    Step.ANSWER: answers.OptionChosen,
}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def require_answer(steps: Sequence[Step], step: Step, answer: answers.Answer, choices: Sequence[str] = ()) -> None:
    """Require an answer that a step, of `steps` of the exercise, can take, of whose pictures `choices` may be chosen.

    Raises:
        WrongStep: the exercise has no such step, or the answer is one to another step.
        InvalidRating: a rating, probability, difficulty, similarity or picture is none that was asked for.
        MissingField: a part of the answer is not there.
        InvalidField: a part of the answer cannot be.
    """
    given = answer.given
    if step not in steps or not isinstance(given, _GIVEN[step]):
        raise WrongStep(message("error.answer.of_other_step"), step=step)
    if answer.difficulty is not None and answer.difficulty not in answers.DIFFICULTIES:
        raise InvalidRating(
            message("error.answer.difficulty_range", low=answers.DIFFICULTIES[0], high=answers.DIFFICULTIES[-1]),
            field="difficulty",
        )
    _require_given(given, choices)


def require_draft(step: Step, draft: answers.Draft, choices: Sequence[str] = ()) -> None:
    """Require a draft that can become an answer to a step; parts may be missing. Raises as `require_answer`."""
    parts = {Step.NOTE: draft.notes, Step.OBSERVE: draft.observations, Step.DECIDE: draft.ratings}
    if any(part for of, part in parts.items() if of != step):
        raise WrongStep(message("error.answer.of_other_step"), step=step)
    _require_writable(draft.notes)
    _require_observations(draft.observations)
    _require_ratings(draft.ratings, choices)


def _require_given(given: answers.Given, choices: Sequence[str]) -> None:
    match given:
        case answers.PairRating():
            _require_rating(given.rating, "rating")
            if given.p_same is not None and not 0.0 <= given.p_same <= 1.0:  # so that NaN is refused
                raise InvalidRating(message("error.answer.probability_range"), field="p_same")
        case answers.OddOneOut():
            _require_picture(given.picture_id, choices, "odd_picture_id")
        case answers.Notes():
            _require_notes(given.text)
        case answers.Observations():
            left = _require_observations(given.observations)
            if left:
                missing = message(
                    "error.answer.components_missing", missing=len(left), total=len(COMPONENTS), first=min(left)
                )
                raise MissingField(missing, field="observations")
        case answers.ListDecision():
            _require_list_decision(given, choices)
        case answers.Triage():
            if given.usability == answers.Usability.USABLE and given.reasons:
                raise InvalidField(message("error.answer.reasons_unasked"), field="reasons")
            if given.usability != answers.Usability.USABLE and not given.reasons:
                raise MissingField(message("error.answer.reasons_missing"), field="reasons")
        case answers.ProbeSent():
            if not _SHA256.fullmatch(given.image_sha256):
                raise InvalidField(message("error.answer.no_sha256"), field="image_sha256")
        case answers.FileHash():
            if not _SHA256.fullmatch(given.sha256):
                raise InvalidField(message("error.answer.no_file_sha256"), field="sha256")
        case answers.Prediction():
            if not 0.0 <= given.percent <= 100.0:  # so that NaN is refused
                raise InvalidRating(message("error.answer.percent_range"), field="percent")
        case answers.Conclusion():
            if given.row not in range(answers.MAX_ROWS + 1):
                raise InvalidRating(message("error.answer.no_such_row"), field="row")
        case answers.OptionChosen():
            if given.option_id not in choices:
                raise InvalidRating(message("error.answer.no_such_option"), field="option_id")
        case answers.Read():
            pass
        case _:
            assert_never(given)


def _require_rating(rating: int, field: str) -> None:
    if rating not in answers.RATINGS:
        raise InvalidRating(message("error.answer.no_such_rating"), field=field)


def _require_picture(picture_id: str, choices: Sequence[str], field: str) -> None:
    if picture_id not in choices:
        raise InvalidRating(message("error.answer.no_such_picture"), field=field)


def _require_notes(text: str) -> None:
    if not text.strip():
        raise MissingField(message("error.answer.notes_empty"), field="notes")
    _require_writable(text)


def _require_writable(text: str) -> None:
    if len(text) > answers.MAX_NOTES:
        raise InvalidField(
            message("error.answer.notes_too_long", most=answers.MAX_NOTES), field="notes", limit=str(answers.MAX_NOTES)
        )
    # A lone surrogate (Cs) cannot be written as UTF-8.
    if any(unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t" for one in text):
        raise InvalidField(message("error.answer.notes_unprintable"), field="notes")


def _require_observations(observations: Sequence[answers.Observation]) -> set[str]:
    """Require observations of components, each once at most, and return the ids of those that are not observed."""
    left = {component.component_id for component in COMPONENTS}
    for one in observations:
        if one.component_id not in left:
            raise InvalidField(message("error.answer.component_unasked"), field="observations")
        left.remove(one.component_id)
        seen = one.compared != answers.Compared.NOT_VISIBLE
        if seen and one.similarity is None:
            raise MissingField(message("error.answer.similarity_missing"), field="similarity")
        if not seen and one.similarity is not None:
            raise InvalidField(message("error.answer.similarity_unasked"), field="similarity")
        if one.similarity is not None and one.similarity not in range(answers.MAX_SIMILARITY + 1):
            raise InvalidRating(
                message("error.answer.similarity_range", most=answers.MAX_SIMILARITY), field="similarity"
            )
    return left


def _require_list_decision(given: answers.ListDecision, candidates: Sequence[str]) -> None:
    if given.choice == answers.ListChoice.CANDIDATE:
        if given.picture_id is None:
            raise MissingField(message("error.answer.candidate_missing"), field="picture_id")
        _require_picture(given.picture_id, candidates, "picture_id")
    elif given.picture_id is not None:
        raise InvalidField(message("error.answer.candidate_unasked"), field="picture_id")
    _require_ratings(given.ratings, candidates)
    missing = sum(picture_id not in given.ratings for picture_id in candidates)
    if missing:
        raise MissingField(
            message("error.answer.ratings_missing", missing=missing, total=len(candidates)), field="ratings"
        )


def _require_ratings(ratings: Mapping[str, int], candidates: Sequence[str]) -> None:
    for picture_id, rating in ratings.items():
        _require_picture(picture_id, candidates, "ratings")
        _require_rating(rating, "ratings")
