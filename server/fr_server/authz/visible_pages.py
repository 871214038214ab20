"""Lists of what the caller sees: page by page as if there were nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fr_core.gallery.pages import page_token
from fr_core.gallery.values import MAX_PAGE_SIZE, GalleryInfo, Page
from fr_server.authz.callers import current_principal, seen, sees_course, sees_gallery
from fr_training.courses import Course
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Cohort

# What `Galleries.list` binds its tokens to.
_GALLERIES = "galleries"


def galleries_seen(listed: Callable[[int, str], Page[GalleryInfo]], size: int, token: str) -> Page[GalleryInfo]:
    """Return a page of galleries; raises what `listed` raises.

    Args:
        listed: returns a page of all galleries, as `Galleries.list`.
        size: of the page, from 1 to 1,000.
        token: of the page; "" = the first.
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
    """Return a page of cohorts, the newest first, and whether there are more; see `TrainingStore.cohorts`.

    Args:
        store: keeps them.
        course_id: of this course alone, which the caller sees; None for all that the caller sees.
        before: as that of `TrainingStore.cohorts`.
        size: of the page, at least 1.
    """

    def fetch(last: Cohort | None, size: int) -> tuple[Sequence[Cohort], bool]:
        page = store.cohorts(None, before if last is None else (last.created_ms, last.cohort_id), size)
        return page, len(page) == size

    if course_id is not None or current_principal().courses.is_all:
        page = store.cohorts(course_id, before, size + 1)
        return page[:size], len(page) > size
    return seen(fetch, size, lambda one: sees_course(one.course_id))
