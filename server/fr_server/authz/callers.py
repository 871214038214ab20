"""Tells who makes the current call, and which entries of a list that caller sees."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from fr_core.gallery.pages import page_token
from fr_core.gallery.values import MAX_PAGE_SIZE, GalleryInfo, Page
from fr_core.sharing import EVERYBODY
from fr_server.authz.rules import Rule
from fr_training.courses import Course
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Cohort
from fr_trust.access.principal import LOCAL, SYSTEM, Principal

T = TypeVar("T")

# Entries that are fetched at once, of which some are not shown.
_FETCHED = 200
# `Galleries.list` binds its tokens to this word.
_GALLERIES = "galleries"
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
    """Check the credential of a caller who changes something once more; raises `CredentialInvalid`, or `Failure`.

    Of a call that only reads, the guard checks it before the answer leaves.
    """
    require_valid = _valid.get()
    if require_valid is not None:
        await require_valid()


@contextmanager
def calling(principal: Principal, rule: Rule | None = None, require_valid: Valid | None = None) -> Iterator[None]:
    """Let the block be a call of `principal`, and everything that the block starts with a copy of its context.

    `rule` is that of its method; None = no rule, and asking for it fails. `require_valid` checks the credential for
    `require_caller_valid`; None = the server itself calls, or the call changes nothing.
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
    """Return whether the caller may know of a gallery."""
    return current_principal().galleries.covers(gallery_id)


def sees_course(course_id: str) -> bool:
    """Return whether the caller may know of a course."""
    return current_principal().courses.covers(course_id)


def seen(
    fetch: Callable[[T | None, int], tuple[Sequence[T], bool]], size: int, sees: Callable[[T], bool]
) -> tuple[list[T], bool]:
    """Return a page of the entries that the caller sees, at most `size`, at least 1, and whether there are more.

    It is the same page as if the list held no other entries. `fetch` returns about that many entries, at least 1, after
    an entry (None = from the beginning of the page), and whether there are more. `sees` decides on each.
    """
    shown: list[T] = []
    last: T | None = None
    more = True
    while more and len(shown) <= size:
        entries, more = fetch(last, max(size + 1, _FETCHED))
        shown += filter(sees, entries)
        last = entries[-1] if entries else last
    return shown[:size], len(shown) > size


def galleries_seen(listed: Callable[[int, str], Page[GalleryInfo]], size: int, token: str) -> Page[GalleryInfo]:
    """Return a page of `size` galleries, 1 to 1,000, from a token on ("" = the first); raises what `listed` raises.

    `listed` returns a page of all galleries, as `Galleries.list`.
    """
    if current_principal().galleries.is_all:
        return listed(size, token)

    def fetch(last: GalleryInfo | None, size: int) -> tuple[Sequence[GalleryInfo], bool]:
        after = token if last is None else page_token(_GALLERIES, last.gallery_id)
        page = listed(min(size, MAX_PAGE_SIZE), after)
        return page.items, bool(page.next_page_token)

    shown, more = seen(fetch, size, lambda one: sees_gallery(one.gallery_id))
    return Page(tuple(shown), page_token(_GALLERIES, shown[-1].gallery_id) if more else "")


def courses_seen(store: TrainingStore, before: tuple[int, str] | None, size: int) -> tuple[Sequence[Course], bool]:
    """Return a page of courses, the newest first, and whether there are more; see `TrainingStore.courses`."""

    def fetch(last: Course | None, size: int) -> tuple[Sequence[Course], bool]:
        page = store.courses(before if last is None else (last.created_ms, last.course_id), size)
        return page, len(page) == size

    if current_principal().courses.is_all:
        page = store.courses(before, size + 1)
        return page[:size], len(page) > size
    return seen(fetch, size, lambda one: sees_course(one.course_id))


def cohorts_seen(
    store: TrainingStore, course_id: str | None, before: tuple[int, str] | None, size: int
) -> tuple[Sequence[Cohort], bool]:
    """Return a page of cohorts, the newest first, and whether there are more.

    `before` is as in `TrainingStore.cohorts`. `course_id` limits it to a course that the caller sees; None for all.
    `size` is at least 1.
    """

    def fetch(last: Cohort | None, size: int) -> tuple[Sequence[Cohort], bool]:
        page = store.cohorts(None, before if last is None else (last.created_ms, last.cohort_id), size)
        return page, len(page) == size

    if course_id is not None or current_principal().courses.is_all:
        page = store.cohorts(course_id, before, size + 1)
        return page[:size], len(page) > size
    return seen(fetch, size, lambda one: sees_course(one.course_id))
