"""Defines labs, evidence exercises and lessons.

A lab shows no photo: a trainee predicts an error of the machine, sees what was measured, and concludes from it.
The prediction is locked before the table comes, so that a wrong idea of the machine shows; the
conclusion can be read from the table.

In an evidence exercise a trainee hashes an original, derives a crop of it, writes down what the crop cannot show, and
finds the record that breaks the chain of its custody. The server has no opinion on the words: a trainer reads them.

A lesson is a text in parts. Each part is read, then a question about it is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from fr_locales.messages import Message, Written, message
from fr_training.answers import Conclusion, FileHash, OptionChosen, Prediction
from fr_training.exercises.exercise import OPENING, Exercise, Graded, answer_at, key_as
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey
from fr_training.prompts import LabKind, Prompt, Reveal, Step
from fr_training.trials import Trial

_LESSON: Final[Mapping[LabKind, Message]] = {
    LabKind.THRESHOLD: message("lab.threshold_lesson"),
    LabKind.GALLERY: message("lab.gallery_lesson"),
    LabKind.QUALITY: message("lab.quality_lesson"),
    LabKind.GROUPS: message("lab.groups_lesson"),
}


def lesson_of(key: LabKey) -> Message:
    """The lesson of a lab; a table without misses cannot show that a higher threshold misses more."""
    if key.kind == LabKind.THRESHOLD and key.measured == 0.0:
        return message("lab.threshold_lesson_unmissed")
    return _LESSON[key.kind]


class LabExercise(Exercise):
    """A question about the machine: a prediction, then a conclusion."""

    steps: ClassVar[tuple[Step, ...]] = (Step.PREDICT, Step.CONCLUDE)

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the conclusion, and say apart from it whether the prediction was near."""
        key = key_as(key, LabKey)
        predicted = answer_at(trial.locked, Step.PREDICT, Prediction)
        concluded = answer_at(trial.locked, Step.CONCLUDE, Conclusion)
        return Graded(
            truth=f"row:{key.right}",
            answer="" if concluded is None else f"row:{concluded.row}",
            correct=None if concluded is None else concluded.row == key.right,
            lab=key.kind,
            predicted=None if predicted is None else predicted.percent,
            measured=key.measured,
            near=None if predicted is None else key.low <= predicted.percent <= key.high,
        )

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        key = key_as(key, LabKey)
        predicted = answer_at(trial.locked, Step.PREDICT, Prediction)
        assert predicted is not None  # a reveal follows the last answer
        near = key.low <= predicted.percent <= key.high
        text = message(
            "reveal.lab",
            opening=OPENING[correct],
            right=message("lab.row", row=key.right) if key.right else message("lab.no_row"),
            measured=Written(f"{key.measured:.3g}"),
            predicted=Written(f"{predicted.percent:.3g}"),
            distance=message("lab.near") if near else message("lab.far"),
            lesson=lesson_of(key),
        )
        return Reveal(correct, text)


class EvidenceExercise(Exercise):
    """An original and its custody; the limitation is written before the records are shown."""

    steps: ClassVar[tuple[Step, ...]] = (Step.HASH, Step.DERIVE, Step.NOTE, Step.CONCLUDE)

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade both hashes and the record: all three must be right; the parts that are stand in `reasons`."""
        key = key_as(key, EvidenceKey)
        concluded = answer_at(trial.locked, Step.CONCLUDE, Conclusion)
        right = _right_parts(key, trial)
        return Graded(
            truth=f"record:{key.broken}",
            answer="" if concluded is None else f"record:{concluded.row}",
            correct=None if concluded is None else len(right) == len(_PARTS),
            reasons="+".join(right),
        )

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        key = key_as(key, EvidenceKey)
        right = _right_parts(key, trial)
        told = {
            part: message("evidence.part_right") if part in right else message("evidence.part_wrong") for part in _PARTS
        }
        text = message(
            "reveal.evidence",
            opening=OPENING[correct],
            original=told["original"],
            crop=told["crop"],
            record=message("evidence.record", record=key.broken) if key.broken else message("evidence.whole"),
        )
        return Reveal(correct, text)


class LessonExercise(Exercise):
    """A part of a lesson, then a question about it; options are shown in another order in each session."""

    steps: ClassVar[tuple[Step, ...]] = (Step.READ, Step.ANSWER)

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the option; options are counted from 1 in the order of the lesson."""
        key = key_as(key, LessonKey)
        chosen = answer_at(trial.locked, Step.ANSWER, OptionChosen)
        index = None if chosen is None else trial.order[picture_ids.index(chosen.option_id)]
        return Graded(
            truth=f"option:{key.right + 1}",
            answer="" if index is None else f"option:{index + 1}",
            correct=None if index is None else index == key.right,
            lesson=f"{key.lesson}:{key.section}",
        )

    def _prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        return Prompt(self.kind, step, ())

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        right = trial.order.index(key_as(key, LessonKey).right) + 1
        return Reveal(correct, message("reveal.lesson", opening=OPENING[correct], number=right))


_PARTS: Final = ("original", "crop", "chain")


def _right_parts(key: EvidenceKey, trial: Trial) -> list[str]:
    original = answer_at(trial.locked, Step.HASH, FileHash)
    crop = answer_at(trial.locked, Step.DERIVE, FileHash)
    concluded = answer_at(trial.locked, Step.CONCLUDE, Conclusion)
    found = (
        original is not None and original.sha256 == key.original,
        crop is not None and crop.sha256 == key.crop,
        concluded is not None and concluded.row == key.broken,
    )
    return [part for part, right in zip(_PARTS, found, strict=True) if right]
