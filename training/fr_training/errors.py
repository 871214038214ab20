"""Defines the refusals of plans, courses, cohorts and answers."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class PlanInvalid(InputRefused):
    """The plan of a course cannot be read, or contradicts itself."""

    reason = "PLAN_INVALID"
    remedy = "Correct the plan; `fr train plan FILE --check` shows its contents and its needs."


class UnknownExercise(InputRefused):
    """The plan names an exercise that does not exist."""

    reason = "UNKNOWN_EXERCISE"
    remedy = "Use one of the exercises that the message names."


class UnknownPlan(InputRefused):
    """The server has no plan with this name."""

    reason = "UNKNOWN_PLAN"
    remedy = "List the plans with ListPlans (`fr train plans`), or send your own plan."


class TooFewPeople(InputRefused):
    """The data sets have too few people for the forms of the plan, in which no person appears twice."""

    reason = "TOO_FEW_PEOPLE"
    remedy = "Add a data set with the missing people, or ask for fewer trials in the plan."


class CourseBuilding(InputRefused):
    """The server is already building a course."""

    reason = "COURSE_BUILDING"
    remedy = "Wait until it has ended, or cancel it; then call again."


class UnknownCourse(InputRefused):
    """There is no course with this id."""

    reason = "UNKNOWN_COURSE"
    remedy = "List the courses with ListCourses (`fr train courses`)."


class UnknownCohort(InputRefused):
    """There is no cohort with this id."""

    reason = "UNKNOWN_COHORT"
    remedy = "List the cohorts with ListCohorts (`fr train cohorts`)."


class UnknownTrainee(InputRefused):
    """There is no trainee with this id or code."""

    reason = "UNKNOWN_TRAINEE"
    remedy = "Use the code from the trainer, or an id that GetCohort (`fr train cohort show`) shows."


class UnknownSitting(InputRefused):
    """The course has no sitting with this name."""

    reason = "UNKNOWN_SITTING"
    remedy = "JoinCourse lists the sittings of the course."


class ConsentRequired(InputRefused):
    """A session begins only after the trainee has agreed to the storage of the answers."""

    reason = "CONSENT_REQUIRED"
    remedy = "Show the notice that JoinCourse returns, and set `consent` when the trainee agrees."


class UnknownSession(InputRefused):
    """There is no session with this id."""

    reason = "UNKNOWN_SESSION"
    remedy = "Call StartSession; it continues a session that has begun."


class UnknownTrial(InputRefused):
    """This session has not shown the trial."""

    reason = "UNKNOWN_TRIAL"
    remedy = "Answer the trial that NextTrial returned to this session."


class WrongStep(InputRefused):
    """The trial is waiting for another step, for example the notes before the decision."""

    reason = "WRONG_STEP"
    remedy = "Call NextTrial; it returns the trial at its current step."


class InvalidRating(InputRefused):
    """A rating, a probability or a difficulty is out of range, or refers to something that was not shown."""

    reason = "INVALID_RATING"
    remedy = (
        "Send a whole number from -3 (certainly two people) to 3 (certainly one person), or what the message asks for."
    )


class DecisionLocked(InputRefused):
    """The trial already has a different answer; a locked answer cannot change."""

    reason = "DECISION_LOCKED"
    remedy = "Continue with NextTrial; it is safe to send the same answer again."


class BlockExpired(InputRefused):
    """The time for the block is over; the trial has no answer."""

    reason = "BLOCK_EXPIRED"
    remedy = "Continue with NextTrial; it opens the next block."


class SessionPaused(InputRefused):
    """The session is paused."""

    reason = "SESSION_PAUSED"
    remedy = "Call ResumeSession first."


class SessionFinished(InputRefused):
    """The session is finished and accepts no more answers."""

    reason = "SESSION_FINISHED"
    remedy = "Read its report with GetTrainingReport (`fr train report --code CODE`)."


class SessionUnfinished(InputRefused):
    """The trainee's report is available after the session is finished."""

    reason = "SESSION_UNFINISHED"
    remedy = "Continue with NextTrial until the session is over, or end it with FinishSession."


class NothingToReport(InputRefused):
    """The trainees of this report have not answered a trial yet."""

    reason = "NOTHING_TO_REPORT"
    remedy = "Call again after trainees have answered."
