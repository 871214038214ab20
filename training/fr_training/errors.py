"""Defines the refusals of plans, courses, cohorts and answers."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class PlanInvalid(InputRefused):
    """The plan of a course cannot be read, or contradicts itself."""

    reason = "PLAN_INVALID"


class UnknownExercise(InputRefused):
    """The plan names an exercise that does not exist."""

    reason = "UNKNOWN_EXERCISE"


class UnknownPlan(InputRefused):
    """The server has no plan with this name."""

    reason = "UNKNOWN_PLAN"


class TooFewPeople(InputRefused):
    """The data sets have too few people for the forms of the plan, in which no person appears twice."""

    reason = "TOO_FEW_PEOPLE"


class CourseBuilding(InputRefused):
    """The server is already building a course."""

    reason = "COURSE_BUILDING"


class UnknownCourse(InputRefused):
    """There is no course with this id."""

    reason = "UNKNOWN_COURSE"


class UnknownCohort(InputRefused):
    """There is no cohort with this id."""

    reason = "UNKNOWN_COHORT"


class UnknownTrainee(InputRefused):
    """There is no trainee with this id or code."""

    reason = "UNKNOWN_TRAINEE"


class UnknownSitting(InputRefused):
    """The course has no sitting with this name."""

    reason = "UNKNOWN_SITTING"


class ConsentRequired(InputRefused):
    """A session begins only after the trainee has agreed to the storage of the answers."""

    reason = "CONSENT_REQUIRED"


class UnknownSession(InputRefused):
    """There is no session with this id."""

    reason = "UNKNOWN_SESSION"


class UnknownTrial(InputRefused):
    """This session has not shown the trial."""

    reason = "UNKNOWN_TRIAL"


class WrongStep(InputRefused):
    """The trial is waiting for another step, for example the notes before the decision."""

    reason = "WRONG_STEP"


class InvalidRating(InputRefused):
    """A rating, a probability or a difficulty is out of range, or refers to something that was not shown."""

    reason = "INVALID_RATING"


class DecisionLocked(InputRefused):
    """The trial already has a different answer; a locked answer cannot change."""

    reason = "DECISION_LOCKED"


class BlockExpired(InputRefused):
    """The time for the block is over; the trial has no answer."""

    reason = "BLOCK_EXPIRED"


class SessionPaused(InputRefused):
    """The session is paused."""

    reason = "SESSION_PAUSED"


class PausesUsedUp(InputRefused):
    """The time of the block has been stopped for as many answers as it may be."""

    reason = "PAUSES_USED_UP"


class SessionFinished(InputRefused):
    """The session is finished and accepts no more answers."""

    reason = "SESSION_FINISHED"


class SessionUnfinished(InputRefused):
    """The trainee's report is available after the session is finished."""

    reason = "SESSION_UNFINISHED"


class NotReleased(InputRefused):
    """The trainer has not released the item, or it may still come in an exercise of the trainee."""

    reason = "NOT_RELEASED"


class ItemsOfTest(InputRefused):
    """The release names items of a test without saying so."""

    reason = "TEST_ITEMS"


class ItemsAhead(InputRefused):
    """Trainees of the cohort still have the items ahead of them."""

    reason = "ITEMS_AHEAD"


class NothingToReport(InputRefused):
    """The trainees of this report have not answered a trial yet."""

    reason = "NOTHING_TO_REPORT"
