"""Handles own probes: when a photo may be sent, what its search found, and whom a list must not show again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fr_training.answers import Answer, ProbeSent
from fr_training.courses import Course
from fr_training.exercises import exercise_of
from fr_training.exercises.exercise import given_at
from fr_training.keys import ListKey
from fr_training.prompts import Step
from fr_training.sessions.flow import answers_until, find_trial, lock, require_turn
from fr_training.sessions.order import block_of, item_of
from fr_training.sessions.views import ShowTrial, locked_step
from fr_training.trials import OwnList, Session, Trial


def require_probe(
    course: Course, session: Session, trial_id: str, now_ms: int, sent: ProbeSent | None = None
) -> ShowTrial | None:
    """Require that a trial waits for a photo, before the photo is searched for; `sent` says which, where that is known.

    Returns None where the photo is to be searched for and then locked; the trial at its next step where that very photo
    was locked before, so that nothing is left to do. Raises `UnknownTrial`, `DecisionLocked` where another photo was
    sent for it, `InvalidField` where `sent` is no hash, and what `require_turn` does.
    """
    trial = find_trial(session, trial_id)
    if sent is not None:
        before = answers_until(trial, Step.SEND_PROBE, Answer(sent))
        if before is not None:
            return locked_step(course, session, trial, before, now_ms).trial
    require_turn(course, session, trial, Step.SEND_PROBE, now_ms)
    if sent is not None:
        exercise_of(block_of(course, session, trial.block_id).exercise).check(Step.SEND_PROBE, Answer(sent), ())
    return None


def lock_probe(
    course: Course, session: Session, trial_id: str, sent: ProbeSent, own: OwnList, now_ms: int
) -> tuple[Session, ShowTrial]:
    """Lock a photo and the candidates that its search found; the trial comes at its next step.

    Where the photo was locked before, the candidates from then stay, and the session is the very same. Raises what
    `lock` does, and ValueError where the list is empty, or its key has not one similarity for each photo.
    """
    if not own.photos or len(own.photos) != len(own.key.similarities):
        raise ValueError(f"{len(own.photos)} candidates, {len(own.key.similarities)} similarities.")
    session, reply = lock(course, session, trial_id, Step.SEND_PROBE, Answer(sent), now_ms, own)
    if reply.trial is None:
        raise AssertionError("a photo is the first of several steps")
    return session, reply.trial


def with_truth(session: Session, mate_of: Callable[[str, OwnList], ListKey | None]) -> Session:
    """The session with the truth of own probes that was not known when they were sent.

    `mate_of` gives the key of a list by the sha256 of the photo that was searched for; None while nobody has said whom
    it shows.
    """

    def told(trial: Trial) -> Trial:
        sent = given_at(trial.locked, Step.SEND_PROBE)
        if trial.own is None or trial.own.key.scored or not isinstance(sent, ProbeSent):
            return trial
        key = mate_of(sent.image_sha256, trial.own)
        return trial if key is None else replace(trial, own=replace(trial.own, key=key))

    return replace(session, trials=tuple(map(told, session.trials)))


def shown_people(course: Course, session: Session) -> frozenset[int]:
    """Numbers of the people of all items that the session has shown; candidates of own probes are not among them."""
    return frozenset(person for trial in session.trials for person in item_of(course, trial).people)


def shown_pictures(course: Course, session: Session) -> frozenset[int]:
    """Numbers of all pictures that the session has shown or is about to, candidates of own probes included."""
    items = (photo for trial in session.trials for photo in item_of(course, trial).photos)
    own = (photo for trial in session.trials if trial.own is not None for photo in trial.own.photos)
    return frozenset((*items, *own))
