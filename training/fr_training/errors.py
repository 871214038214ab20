"""Defines the refusals of plans, courses, cohorts and answers."""

from __future__ import annotations

from fr_core.errors.base import InputRefused
from fr_locales.messages import message


class PlanInvalid(InputRefused):
    """The plan of a course cannot be read, or contradicts itself."""

    reason = "PLAN_INVALID"
    remedy = message("remedy.plan_invalid")


class UnknownExercise(InputRefused):
    """The plan names an exercise that does not exist."""

    reason = "UNKNOWN_EXERCISE"
    remedy = message("remedy.unknown_exercise")


class UnknownPlan(InputRefused):
    """The server has no plan with this name."""

    reason = "UNKNOWN_PLAN"
    remedy = message("remedy.unknown_plan")


class TooFewPeople(InputRefused):
    """The data sets have too few people for the forms of the plan, in which no person appears twice."""

    reason = "TOO_FEW_PEOPLE"
    remedy = message("remedy.too_few_people")


class CourseBuilding(InputRefused):
    """The server is already building a course."""

    reason = "COURSE_BUILDING"
    remedy = message("remedy.course_building")


class UnknownCourse(InputRefused):
    """There is no course with this id."""

    reason = "UNKNOWN_COURSE"
    remedy = message("remedy.unknown_course")


class UnknownCohort(InputRefused):
    """There is no cohort with this id."""

    reason = "UNKNOWN_COHORT"
    remedy = message("remedy.unknown_cohort")


class UnknownTrainee(InputRefused):
    """There is no trainee with this id or code."""

    reason = "UNKNOWN_TRAINEE"
    remedy = message("remedy.unknown_trainee")


class UnknownSitting(InputRefused):
    """The course has no sitting with this name."""

    reason = "UNKNOWN_SITTING"
    remedy = message("remedy.unknown_sitting")


class ConsentRequired(InputRefused):
    """A session begins only after the trainee has agreed to the storage of the answers."""

    reason = "CONSENT_REQUIRED"
    remedy = message("remedy.consent_required")


class UnknownSession(InputRefused):
    """There is no session with this id."""

    reason = "UNKNOWN_SESSION"
    remedy = message("remedy.unknown_session")


class UnknownTrial(InputRefused):
    """This session has not shown the trial."""

    reason = "UNKNOWN_TRIAL"
    remedy = message("remedy.unknown_trial")


class WrongStep(InputRefused):
    """The trial is waiting for another step, for example the notes before the decision."""

    reason = "WRONG_STEP"
    remedy = message("remedy.wrong_step")


class InvalidRating(InputRefused):
    """A rating, a probability or a difficulty is out of range, or refers to something that was not shown."""

    reason = "INVALID_RATING"
    remedy = message("remedy.invalid_rating")


class DecisionLocked(InputRefused):
    """The trial already has a different answer; a locked answer cannot change."""

    reason = "DECISION_LOCKED"
    remedy = message("remedy.decision_locked")


class BlockExpired(InputRefused):
    """The time for the block is over; the trial has no answer."""

    reason = "BLOCK_EXPIRED"
    remedy = message("remedy.block_expired")


class SessionPaused(InputRefused):
    """The session is paused."""

    reason = "SESSION_PAUSED"
    remedy = message("remedy.session_paused")


class SessionFinished(InputRefused):
    """The session is finished and accepts no more answers."""

    reason = "SESSION_FINISHED"
    remedy = message("remedy.session_finished")


class SessionUnfinished(InputRefused):
    """The trainee's report is available after the session is finished."""

    reason = "SESSION_UNFINISHED"
    remedy = message("remedy.session_unfinished")


class NothingToReport(InputRefused):
    """The trainees of this report have not answered a trial yet."""

    reason = "NOTHING_TO_REPORT"
    remedy = message("remedy.nothing_to_report")
