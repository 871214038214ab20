"""Replaces ids outside the caller's scope by ids that nothing can have.

So a call with such an id does, answers and takes what a call with an unknown id does, because it is one.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from fr_core.gallery.checks import is_gallery_id
from fr_locales.messages import message
from fr_server.authz.rules import OF_COURSES, OF_GALLERIES, Rule, Scoped, ScopeKind
from fr_training.errors import UnknownCohort, UnknownSession, UnknownTrainee
from fr_training.store.codes import new_code
from fr_training.store.training_store import TrainingStore
from fr_trust.access.principal import Principal
from fr_trust.casework.store import CaseStore
from fr_trust.errors import NotPermitted, UnknownCase, UnknownExamination

T = TypeVar("T")

# Looked up in place of a missing cohort, so that both take as long; 17 characters, one more than a cohort has.
_NO_COHORT = "-" * 17
_COURSE_PREFIX = "training-"
# 160 random bits for one request; ids that the server gives are shorter.
_NOBODYS_BYTES = 20


class Resolver(Protocol):
    """Knows the course or the galleries that something belongs to; an unknown id takes as long as a known one."""

    async def course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        """Return the course of a cohort, a trainee, a session or a code; None if it does not exist."""

    async def galleries_of(self, kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        """Return the galleries that were searched for a case or an examination; None if it does not exist."""


class Foreign:
    """Replaces the ids that the scope of a principal does not cover.

    `resolver` knows the courses and galleries of cohorts, sessions, cases and the like; `token_bytes` returns that many
    random bytes.
    """

    def __init__(self, resolver: Resolver, token_bytes: Callable[[int], bytes]) -> None:
        self._resolver = resolver
        self._token_bytes = token_bytes

    async def put_out(self, rule: Rule, principal: Principal, request: Message) -> bool:
        """Replace the ids outside the scope; return whether there was any, or raise `NotPermitted` for a new one."""
        outside = False
        for scoped in rule.scoped:
            if not scoped.path:
                if not principal.courses.is_all:
                    raise NotPermitted(message("error.authz.what_server_names_itself"))
                continue
            for holder, name, place, resource_id in _ids(request, scoped.path):
                if await self._is_inside(rule, scoped, principal, resource_id):
                    continue
                if scoped.creates:
                    raise NotPermitted(message("error.authz.scope_caller_does_not"))
                outside = True
                if place is None:
                    setattr(holder, name, self._nobodys(scoped.kind))
                else:
                    getattr(holder, name)[place] = self._nobodys(scoped.kind)
        return outside

    async def _is_inside(self, rule: Rule, scoped: Scoped, principal: Principal, resource_id: str) -> bool:
        """Return whether a principal may name an id. It may name text that cannot be an id."""
        kind = scoped.kind
        if kind is ScopeKind.GALLERY:
            return _covers(rule, principal, resource_id) or not (scoped.creates or is_gallery_id(resource_id))
        if kind is ScopeKind.COURSE:
            return principal.courses.covers(resource_id)
        if kind in OF_COURSES and not principal.courses.is_all:
            course_id = await self._resolver.course_of(kind, resource_id)
            return course_id is None or principal.courses.covers(course_id)
        if kind in OF_GALLERIES and not principal.galleries.is_all:
            gallery_ids = await self._resolver.galleries_of(kind, resource_id)
            return gallery_ids is None or all(map(principal.galleries.covers, gallery_ids))
        return True

    def _nobodys(self, kind: ScopeKind) -> str:
        return new_code(self._token_bytes) if kind is ScopeKind.CODE else self._token_bytes(_NOBODYS_BYTES).hex()


def _covers(rule: Rule, principal: Principal, gallery_id: str) -> bool:
    if principal.is_one_of(rule.roles - rule.named_only):
        return principal.galleries.covers(gallery_id)
    # The gallery of a course tells who is who, which its trainees must not know.
    return gallery_id in principal.galleries.patterns and not is_of_course(gallery_id)


def _ids(request: Message, path: str) -> Iterator[tuple[Message, str, int | None, str]]:
    """Yield each id at a path: its message, its field, its place in a repeated field, and the id."""
    *way, name = path.split(".")
    holder = request
    for step in way:
        if not holder.HasField(step):
            return
        holder = getattr(holder, step)
    value = getattr(holder, name)
    if isinstance(value, str):
        if value:  # an empty one is none
            yield holder, name, None, value
        return
    yield from ((holder, name, place, resource_id) for place, resource_id in enumerate(value))


class NothingKept:
    """A `Resolver` of a server that keeps neither courses nor cases."""

    async def course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        """Return None."""
        return None

    async def galleries_of(self, kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        """Return None."""
        return None


class StoreResolver:
    """A `Resolver` that looks into the stores of a server; `run` runs a function with its arguments in a thread."""

    def __init__(self, training: TrainingStore, cases: CaseStore, run: Callable[..., Awaitable[Any]]) -> None:
        self._training = training
        self._cases = cases
        self._run = run

    async def course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        """See `Resolver`."""
        course_id: str | None = await self._run(self._course_of, kind, resource_id)
        return course_id

    async def galleries_of(self, kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        """See `Resolver`."""
        cases = self._cases
        look = cases.galleries_of_case if kind is ScopeKind.CASE else cases.galleries_of_examination
        found: Collection[str] | None = await self._run(_found, look, resource_id)
        return found

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
    except (UnknownCase, UnknownCohort, UnknownExamination, UnknownSession, UnknownTrainee):
        return None


def gallery_id_of(course_id: str) -> str:
    """Return the id of the gallery of a course."""
    return f"{_COURSE_PREFIX}{course_id}"


def is_of_course(gallery_id: str) -> bool:
    """Return whether a gallery has the id of one of a course."""
    return gallery_id.startswith(_COURSE_PREFIX)
