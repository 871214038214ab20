"""What cohorts, trainees, sessions and codes are of: looked up in the store of training."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from fr_server.authz.rules import ScopeKind
from fr_server.pools import Work
from fr_training.errors import UnknownCohort, UnknownSession, UnknownTrainee
from fr_training.store.training_store import TrainingStore

T = TypeVar("T")

# Looked up in the place of what was not found, so that both take as long; 17 characters, where cohorts have 16.
_NO_COHORT = "-" * 17


class NothingKept:
    """A `Resolver` of a server that keeps neither courses nor cases."""

    async def course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        """Return None."""
        return None

    async def galleries_of(self, kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        """Return None."""
        return None


GalleriesOf = Callable[[ScopeKind, str], Collection[str] | None]
"""The galleries that were searched for a case or an examination; None where there is no such thing. It may block."""


class StoreResolver:
    """A `Resolver` that looks into the stores of a server.

    Args:
        training: keeps cohorts, trainees and sessions.
        galleries_of: knows cases and examinations; None = there are none.
        work: runs what blocks.
    """

    def __init__(self, training: TrainingStore, galleries_of: GalleriesOf | None, work: Work) -> None:
        self._training = training
        self._galleries_of = galleries_of
        self._work = work

    async def course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        """Return the course of a cohort, a trainee, a session or a code; None where there is no such thing."""
        return await self._work.storage(self._course_of, kind, resource_id)

    async def galleries_of(self, kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        """Return the galleries that were searched for a case or an examination; None where there is no such thing."""
        if self._galleries_of is None:
            return None
        return await self._work.storage(self._galleries_of, kind, resource_id)

    def _course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        store = self._training
        if kind is ScopeKind.SESSION:
            session = _found(store.session, resource_id)
            return None if session is None else session.course_id
        cohort_id: str | None = resource_id
        if kind is not ScopeKind.COHORT:
            trainee = _found(store.trainee if kind is ScopeKind.TRAINEE else store.trainee_of_code, resource_id)
            cohort_id = None if trainee is None else trainee.cohort_id
        cohort = _found(store.cohort, _NO_COHORT if cohort_id is None else cohort_id)
        return None if cohort is None else cohort.course_id


def _found(look: Callable[[str], T], resource_id: str) -> T | None:
    try:
        return look(resource_id)
    except (UnknownCohort, UnknownSession, UnknownTrainee):
        return None
