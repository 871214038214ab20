"""Refusals of plans, courses and cohorts, and of what a trainee sends."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class PlanInvalid(InputRefused):
    """The plan of a course cannot be read, or contradicts itself."""

    reason = "PLAN_INVALID"
    remedy = "Mend the plan; `fr train plan FILE --check` says what it holds and what it needs."


class UnknownExercise(InputRefused):
    """The plan names an exercise that there is not."""

    reason = "UNKNOWN_EXERCISE"
    remedy = "Write one of the exercises that the sentence names."


class UnknownPlan(InputRefused):
    """No plan of that name comes with the server."""

    reason = "UNKNOWN_PLAN"
    remedy = "Ask ListPlans (`fr train plans`) for those that there are, or send a plan of your own."


class TooFewPeople(InputRefused):
    """The data sets hold too few people for the forms that the plan wants, none of whom is shown twice."""

    reason = "TOO_FEW_PEOPLE"
    remedy = "Add a data set with the missing people, or ask for fewer trials in the plan."


class CourseBuilding(InputRefused):
    """The server is already making a course."""

    reason = "COURSE_BUILDING"
    remedy = "Wait until that has ended, or cancel it; then call again."


class UnknownCourse(InputRefused):
    """There is no course of that id."""

    reason = "UNKNOWN_COURSE"
    remedy = "Ask ListCourses (`fr train courses`) for those that there are."


class UnknownCohort(InputRefused):
    """There is no cohort of that id."""

    reason = "UNKNOWN_COHORT"
    remedy = "Ask ListCohorts (`fr train cohorts`) for those that there are."


class UnknownTrainee(InputRefused):
    """There is no trainee of that id, or with that code."""

    reason = "UNKNOWN_TRAINEE"
    remedy = "Give the code as the trainer handed it out, or an id as GetCohort (`fr train cohort show`) has it."


class UnknownSitting(InputRefused):
    """The course has no sitting of that name."""

    reason = "UNKNOWN_SITTING"
    remedy = "Ask JoinCourse for the sittings of the course."


class ConsentRequired(InputRefused):
    """A session begins only when the trainee has agreed to what is kept, and for how long."""

    reason = "CONSENT_REQUIRED"
    remedy = "Show the notice that JoinCourse returns, and set `consent` when the trainee agrees."


class UnknownSession(InputRefused):
    """There is no session of that id."""

    reason = "UNKNOWN_SESSION"
    remedy = "Start it with StartSession, which goes on with one that was begun."


class UnknownTrial(InputRefused):
    """The trial is not one that this session has shown."""

    reason = "UNKNOWN_TRIAL"
    remedy = "Answer the trial that NextTrial returned to this session."


class WrongStep(InputRefused):
    """The answer is not the one that the trial waits for, such as a decision before the notes are locked."""

    reason = "WRONG_STEP"
    remedy = "Ask NextTrial, which returns the trial at the step that it waits for."


class InvalidRating(InputRefused):
    """A rating, a probability or a difficulty is out of its range, or is of something that was not shown."""

    reason = "INVALID_RATING"
    remedy = "Send a whole number from -3, surely two people, to 3, surely one person, or what the sentence asks for."


class DecisionLocked(InputRefused):
    """The trial is answered already, and differently; an answer that is locked stays as it is."""

    reason = "DECISION_LOCKED"
    remedy = "Go on with NextTrial; sending the very same answer again is harmless."


class BlockExpired(InputRefused):
    """The time of the block is over; the trial stays without an answer."""

    reason = "BLOCK_EXPIRED"
    remedy = "Go on with NextTrial, which opens the next block."


class SessionPaused(InputRefused):
    """The session is paused."""

    reason = "SESSION_PAUSED"
    remedy = "Call ResumeSession first."


class SessionFinished(InputRefused):
    """The session is finished, and takes no further answers."""

    reason = "SESSION_FINISHED"
    remedy = "Read its report with GetTrainingReport (`fr train report --code CODE`)."


class SessionUnfinished(InputRefused):
    """A trainee's own report is there when the session is finished."""

    reason = "SESSION_UNFINISHED"
    remedy = "Go on with NextTrial until it says that the session is over, or end it with FinishSession."


class NothingToReport(InputRefused):
    """Nobody whom the report is about has answered a trial yet."""

    reason = "NOTHING_TO_REPORT"
    remedy = "Ask again when trials were answered."
