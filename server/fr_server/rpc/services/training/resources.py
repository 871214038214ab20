"""Holds what the calls of TrainingService share."""

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fr_core.engine import Engine
from fr_server.pools import Work
from fr_server.storage.calls import GalleryCalls
from fr_training.courses import Course
from fr_training.store.training_store import TrainingStore
from fr_training.trials import Session

R = TypeVar("R")


# Of a file, in a message.
PIECE = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResources:
    """The store, the engine and the pools of the calls."""

    store: TrainingStore
    folder: Path  # in which the store lies
    engine: Engine
    galleries: GalleryCalls  # hold the people of candidate lists
    work: Work
    workers: int  # photos at a time while a course is made, at least 1
    now_ms: Callable[[], int]

    async def change(self, session_id: str, change: Callable[[Course, Session], tuple[Session, R]]) -> R:
        """Change a session; the returned value is durable, and holds no thread meanwhile.

        `change` speaks the language of the call. Raises `UnknownSession`, or what `change` raises; then nothing has
        changed.
        """
        own = contextvars.copy_context()
        return await asyncio.wrap_future(self.store.change(session_id, lambda *of: own.run(change, *of)))
