"""Exports for gradebooks: scores of LTI's Assignment and Grade Services 2.0, one for each trainee and block begun.

The file is a JSON array of {"lineItem": {...}, "score": {...}}: `lineItem` is what a tool creates at the platform's
container of line items, the same for every trainee of a block, and `score` what it posts to that item's scores.
`score.userId` is the pseudonym; replace it by the platform's own id of that person when you post it.

* `lineItem.scoreMaximum`: trials of the block. `resourceId` is "COURSE/BLOCK", and `tag` the occasion of a test or the
  word of the exercise.
* `score.scoreMaximum`: trials of the block that count: all but those with somebody whom the trainee knows, and those of
  unknown truth. A platform scales a score to the maximum of its line item.
* `score.scoreGiven`: right answers among them. Undecided, inconclusive and missing answers earn nothing. So it is a
  mark for the block; the rates of a report are of answered trials alone.
* `activityProgress`: `Started` before the first answer; `Completed` when the sitting has ended, a later block of it has
  begun, or every trial is answered; `InProgress` between.
* `gradingProgress`: `PendingManual` while an answer waits for somebody to tell whom an own probe shows; `Pending` while
  the block goes on; `FullyGraded` after that; `NotReady` where nothing counts. Where nothing counts yet there is no
  score.
* `timestamp`: of the export, as a platform takes only what is later than what it has.
* `comment`: counts in words, and that it is training output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fr_locales.messages import message
from fr_locales.rendering import render
from fr_training.courses import Course
from fr_training.exports.values import CohortResults, instant, json_lines
from fr_training.plan import BlockPlan, SittingPlan
from fr_training.trials import Result


@dataclass(frozen=True, slots=True)
class Mark:
    """The progress and the score of a trainee in a block; trials of the block fall into these, `right` apart."""

    right: int  # right answers
    wrong: int  # wrong answers
    neither: int  # undecided or inconclusive answers
    missing: int  # no answer, not shown yet included
    known: int  # with somebody whom the trainee knows, answered or not
    unscored: int  # answered, but of unknown truth
    over: bool  # whether no further answer can come

    @property
    def maximum(self) -> int:
        """Trials that count."""
        return self.right + self.wrong + self.neither + self.missing

    @property
    def answered(self) -> bool:
        """True if there is any answer."""
        return bool(self.right + self.wrong + self.neither + self.known + self.unscored)

    @property
    def scored(self) -> bool:
        """True if there is a score: something counts, and is answered or over."""
        return self.maximum > 0 and (self.over or self.maximum > self.missing)

    @property
    def activity(self) -> str:
        """`activityProgress`."""
        return "Completed" if self.over else "InProgress" if self.answered else "Started"

    @property
    def grading(self) -> str:
        """`gradingProgress`."""
        if self.unscored:
            return "PendingManual"
        if not self.scored:
            return "NotReady"
        return "FullyGraded" if self.over else "Pending"

    @property
    def comment(self) -> str:
        """The counts in words."""
        score = message("ags.right", right=self.right, total=self.maximum) if self.scored else message("ags.no_score")
        counts = (
            (self.neither, message("ags.neither", trials=self.neither)),
            (self.missing, message("ags.missing", trials=self.missing)),
            (self.known, message("ags.known", trials=self.known)),
            (self.unscored, message("ags.unscored", trials=self.unscored)),
        )
        parts = map(render, (score, *(said for count, said in counts if count)))
        return render(message("ags.comment", counts="; ".join(parts)))


def ags(of: CohortResults) -> str:
    """A line item and a score for each trainee and block of which a trial was shown."""
    return json_lines(_scores(of))


def mark(block: BlockPlan, results: Sequence[Result], over: bool) -> Mark:
    """Count the progress in a block; `over` where the sitting has ended, or a later block of it has begun."""
    kept = [one for one in results if not one.known_to_me]
    answered = [one for one in kept if one.answer]
    unscored = sum(not one.truth for one in answered)
    right, wrong = (sum(one.correct is word for one in answered if one.truth) for word in (True, False))
    return Mark(
        right=right,
        wrong=wrong,
        neither=len(answered) - unscored - right - wrong,
        missing=len(kept) - len(answered) + max(block.shown - len(results), 0),
        known=len(results) - len(kept),
        unscored=unscored,
        over=over or sum(bool(one.answer) for one in results) >= block.shown,
    )


def together(sitting: SittingPlan, results: Sequence[Result]) -> Mark:
    """The mark of a trainee for a whole sitting that has ended; `results` are of this sitting alone."""
    marks = [mark(block, [one for one in results if one.block_id == block.block_id], True) for block in sitting.blocks]
    return Mark(
        right=sum(one.right for one in marks),
        wrong=sum(one.wrong for one in marks),
        neither=sum(one.neither for one in marks),
        missing=sum(one.missing for one in marks),
        known=sum(one.known for one in marks),
        unscored=sum(one.unscored for one in marks),
        over=True,
    )


def _scores(of: CohortResults) -> Iterator[dict[str, Any]]:
    ended = {(one.trainee_id, one.sitting) for one in of.finished}
    moment = instant(of.now_ms)
    for trainee_id, results in of.results.items():
        for sitting in of.course.plan.sittings:
            over = (trainee_id, sitting.name) in ended
            found: list[dict[str, Any]] = []
            for block in reversed(sitting.blocks):  # from the last one, as a later block ends those before it
                own = [one for one in results if one.block_id == block.block_id]
                if own:
                    found.append(_score(of.course, block, trainee_id, mark(block, own, over), moment))
                    over = True
            yield from reversed(found)


def _score(course: Course, block: BlockPlan, trainee_id: str, of: Mark, moment: str) -> dict[str, Any]:
    points = {"scoreGiven": of.right, "scoreMaximum": of.maximum} if of.scored else {}
    return {
        "lineItem": {
            "label": f"{course.plan.title}: {block.title}",
            "scoreMaximum": block.shown,
            "resourceId": f"{course.course_id}/{block.block_id}",
            "tag": block.occasion or str(block.exercise),
        },
        "score": {
            "userId": trainee_id,
            **points,
            "activityProgress": of.activity,
            "gradingProgress": of.grading,
            "timestamp": moment,
            "comment": of.comment,
        },
    }
