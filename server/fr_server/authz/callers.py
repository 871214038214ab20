"""Who makes the call that this thread or task works for, and what of lists that caller may see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from fr_core.sharing import EVERYBODY
from fr_server.authz.rules import Rule
from fr_trust.access.principal import LOCAL, SYSTEM, Principal

T = TypeVar("T")

# Entries that are fetched at once, of which some are not shown.
_FETCHED = 200
_current: ContextVar[Principal] = ContextVar("principal", default=SYSTEM)
Valid = Callable[[], Awaitable[None]]
_valid: ContextVar[Valid | None] = ContextVar("valid", default=None)
_rule: ContextVar[Rule] = ContextVar("rule")


def current_principal() -> Principal:
    """Return who makes the call that this thread or task works for; outside of calls the server itself."""
    return _current.get()


def current_rule() -> Rule:
    """Return the rule of the call that this thread or task works for; raises `LookupError` outside of calls."""
    return _rule.get()


def current_sharer() -> str:
    """Return the caller whose share of places this thread or task uses; `EVERYBODY` if the server asks nobody."""
    principal = current_principal()
    return EVERYBODY if principal in (LOCAL, SYSTEM) else principal.principal_id


async def require_caller_valid() -> None:
    """Look at the credential of whoever makes the call once more, which may have waited long for its turn.

    Raises:
        CredentialInvalid: it is not valid any more.
        Failure: it cannot be checked now.
    """
    require_valid = _valid.get()
    if require_valid is not None:
        await require_valid()


@contextmanager
def calling(principal: Principal, rule: Rule | None = None, require_valid: Valid | None = None) -> Iterator[None]:
    """Let the block in this thread or task be a call of `principal`, and what is started with a copy of its context.

    Args:
        principal: makes the call.
        rule: of its method; None = no rule, and asking for it fails.
        require_valid: what `require_caller_valid` does; None = nothing, for the server itself.
    """
    tokens = _current.set(principal), _valid.set(require_valid)
    ruled = None if rule is None else _rule.set(rule)
    try:
        yield
    finally:
        if ruled is not None:
            _rule.reset(ruled)
        _current.reset(tokens[0])
        _valid.reset(tokens[1])


def sees_gallery(gallery_id: str) -> bool:
    """Whether the caller may know of a gallery."""
    return current_principal().galleries.covers(gallery_id)


def sees_course(course_id: str) -> bool:
    """Whether the caller may know of a course."""
    return current_principal().courses.covers(course_id)


def seen(
    fetch: Callable[[T | None, int], tuple[Sequence[T], bool]], size: int, sees: Callable[[T], bool]
) -> tuple[list[T], bool]:
    """Return a page of what the caller sees, and whether there is more of that.

    It is as long as the page of a list that holds nothing else, and ends where that one does.

    Args:
        fetch: returns about so many entries, at least 1, which come after an entry, None = from where the page begins;
            and whether there are more.
        size: entries of the page at most, at least 1.
        sees: whether the caller sees an entry.
    """
    shown: list[T] = []
    last: T | None = None
    more = True
    while more and len(shown) <= size:
        entries, more = fetch(last, max(size + 1, _FETCHED))
        shown += filter(sees, entries)
        last = entries[-1] if entries else last
    return shown[:size], len(shown) > size
