"""Defines the refusals of plans, courses, cohorts and answers."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class PlanInvalid(InputRefused, reason="PLAN_INVALID"):
    """The plan of a course cannot be read, or contradicts itself."""


class UnknownExercise(InputRefused, reason="UNKNOWN_EXERCISE"):
    """The plan names an exercise that does not exist."""


class UnknownPlan(InputRefused, reason="UNKNOWN_PLAN"):
    """The server has no plan with this name."""


class TooFewPeople(InputRefused, reason="TOO_FEW_PEOPLE"):
    """The data sets have too few people for the forms of the plan, in which no person appears twice."""


class CourseBuilding(InputRefused, reason="COURSE_BUILDING"):
    """The server is already building a course."""


class UnknownCourse(InputRefused, reason="UNKNOWN_COURSE"):
    """There is no course with this id."""


class UnknownItem(InputRefused, reason="UNKNOWN_ITEM"):
    """There is no item with this id among those that courses show or leave out."""


class UnknownCohort(InputRefused, reason="UNKNOWN_COHORT"):
    """There is no cohort with this id."""


class UnknownTrainee(InputRefused, reason="UNKNOWN_TRAINEE"):
    """There is no trainee with this id or code."""


class UnknownSitting(InputRefused, reason="UNKNOWN_SITTING"):
    """The course has no sitting with this name."""


class ConsentRequired(InputRefused, reason="CONSENT_REQUIRED"):
    """A session begins only after the trainee has agreed to the storage of the answers."""


class UnknownSession(InputRefused, reason="UNKNOWN_SESSION"):
    """There is no session with this id."""


class UnknownTrial(InputRefused, reason="UNKNOWN_TRIAL"):
    """This session has not shown the trial."""


class WrongStep(InputRefused, reason="WRONG_STEP"):
    """The trial is waiting for another step, for example the notes before the decision."""


class InvalidRating(InputRefused, reason="INVALID_RATING"):
    """A rating, a probability or a difficulty is out of range, or refers to something that was not shown."""


class DecisionLocked(InputRefused, reason="DECISION_LOCKED"):
    """The trial already has a different answer; a locked answer cannot change."""


class BlockExpired(InputRefused, reason="BLOCK_EXPIRED"):
    """The time for the block is over; the trial has no answer."""


class SessionPaused(InputRefused, reason="SESSION_PAUSED"):
    """The session is paused."""


class PausesUsedUp(InputRefused, reason="PAUSES_USED_UP"):
    """The block's clock has already been stopped for as many answers as the limit allows."""


class SittingClosed(InputRefused, reason="SITTING_CLOSED"):
    """The trainer has closed the sitting to the cohort: it takes no answers until it is opened again."""


class SessionFinished(InputRefused, reason="SESSION_FINISHED"):
    """The session is finished and accepts no more answers."""


class SessionUnfinished(InputRefused, reason="SESSION_UNFINISHED"):
    """The trainee's report is available after the session is finished."""


class NotReleased(InputRefused, reason="NOT_RELEASED"):
    """The trainer has not released the item, or it may still come in an exercise of the trainee."""


class ItemsOfTest(InputRefused, reason="TEST_ITEMS"):
    """The release names items of a test without saying so."""


class ItemsAhead(InputRefused, reason="ITEMS_AHEAD"):
    """Trainees of the cohort still have the items ahead of them."""


class NothingToReport(InputRefused, reason="NOTHING_TO_REPORT"):
    """The trainees of this report have not answered a trial yet."""
