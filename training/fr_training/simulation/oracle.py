"""What is right of a trial that a server shows: read from its store, on its own machine, for simulated trainees.

A trainee of this kind takes a course through the API as anybody does, and is told here what the API does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fr_training.answers import Answer
from fr_training.errors import UnknownTrial
from fr_training.keys import AnswerKey
from fr_training.sessions.locking import find
from fr_training.sessions.order import item_of
from fr_training.sessions.shown import ShowTrial, key_of, show_trial
from fr_training.simulation.trainee import SimulatedTrainee
from fr_training.store.training_store import TrainingStore


@dataclass(frozen=True, slots=True)
class Told:
    """A trial, and what is right.

    Attributes:
        show: the trial at the step that it waits for, with the ids under which its pictures are shown, and `order` from
            shown position to the photos of the item.
        key: what is right; None for an own probe that was not sent yet.
        b: difficulty of the item; None where it has none.
    """

    show: ShowTrial
    key: AnswerKey | None
    b: float | None


class StoreOracle:
    """Looks into a store of training that a server of the same machine may have open too.

    Args:
        store: with the courses and sessions that are asked for.
    """

    def __init__(self, store: TrainingStore) -> None:
        self._store = store

    def look(self, session_id: str, trial_id: str) -> Told:
        """What a trial of a session shows, and what is right; nothing is written.

        Raises:
            UnknownSession: the store has no session of that id.
            UnknownTrial: the session has shown no trial of that id, or it waits for no answer any more.
        """
        session = self._store.session(session_id)
        course = self._store.course(session.course_id)
        trial = find(session, trial_id)
        if trial.done:
            raise UnknownTrial("The trial waits for no answer any more.")
        show = show_trial(course, session, trial, trial.shown_ms)
        return Told(show, key_of(course, trial), item_of(course, trial).b)

    def answer(self, trainee: SimulatedTrainee, session_id: str, trial_id: str, rng: np.random.Generator) -> Answer:
        """What a simulated trainee answers at the step that a trial waits for, in the picture ids of that trial.

        The answer of SEND_PROBE is the hash of a photo that nobody has: through the API a photo is sent.

        Raises:
            UnknownSession: as `look`.
            UnknownTrial: as `look`.
        """
        told = self.look(session_id, trial_id)
        return trainee.answer(told.show, told.key, told.b, rng)
