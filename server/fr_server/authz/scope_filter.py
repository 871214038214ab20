"""Ids that a scope does not cover: put out of the request, so that the answer is that of what there is not.

The call goes on with an id in its place that nothing can have. What it does from there on, what it answers and how long
that takes are those of a call with an id that there is not, because it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from google.protobuf.message import Message

from fr_core.gallery.checks import is_gallery_id
from fr_server.authz.course_galleries import is_of_course
from fr_server.authz.rules import OF_COURSES, OF_GALLERIES, Rule, Scoped, ScopeKind
from fr_training.store.codes import new_code
from fr_trust.access.principal import Principal
from fr_trust.errors import NotPermitted

# 160 bits that are drawn for the one request; ids that the server gives are shorter.
_NOBODYS_BYTES = 20


class Resolver(Protocol):
    """Knows which course, or galleries, something is of.

    It looks up as much for what there is not as for what there is.
    """

    async def course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        """Return the course of a cohort, a trainee, a session or a code; None where there is no such thing."""
        ...

    async def galleries_of(self, kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        """Return the galleries that were searched for a case or an examination; None where there is no such thing."""
        ...


class Foreign:
    """Puts out of requests what their principal's scope does not cover.

    Args:
        resolver: knows what cohorts, sessions, cases and the like are of.
        token_bytes: returns so many random bytes.
    """

    def __init__(self, resolver: Resolver, token_bytes: Callable[[int], bytes]) -> None:
        self._resolver = resolver
        self._token_bytes = token_bytes

    async def put_out(self, rule: Rule, principal: Principal, request: Message) -> bool:
        """Replace the ids outside the scope by such as nothing can have; return whether there was any.

        Raises:
            NotPermitted: the call would make something outside the scope.
        """
        outside = False
        for scoped in rule.scoped:
            if not scoped.path:
                if not principal.courses.is_all:
                    raise NotPermitted("What the server names itself takes a scope of all courses.")
                continue
            for holder, name, place, resource_id in _ids(request, scoped.path):
                if await self._is_inside(rule, scoped, principal, resource_id):
                    continue
                if scoped.creates:
                    raise NotPermitted("The scope of whoever calls does not cover this id.")
                outside = True
                if place is None:
                    setattr(holder, name, self._nobodys(scoped.kind))
                else:
                    getattr(holder, name)[place] = self._nobodys(scoped.kind)
        return outside

    async def _is_inside(self, rule: Rule, scoped: Scoped, principal: Principal, resource_id: str) -> bool:
        """Whether a principal may name an id; it may name what has no form of an id, which there cannot be."""
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
    # The gallery of a course would tell a trainee who is who in it.
    return gallery_id in principal.galleries.patterns and not is_of_course(gallery_id)


def _ids(request: Message, path: str) -> Iterator[tuple[Message, str, int | None, str]]:
    """Yield each id that a path leads to: the message that holds it, its field, its place where that is repeated."""
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
