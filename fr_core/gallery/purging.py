"""Counts the rows that a purge would delete, and adds up the steps of one."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from operator import attrgetter

import numpy as np

from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import ExpiredTemplate
from fr_core.gallery.values import Purged

_NO_LIMIT = 2**62


def would_purge(snapshot: Snapshot, now: datetime) -> tuple[Purged, ...]:
    """Return what a purge would delete from each gallery, in the order of their ids."""
    expired = snapshot.expired(now, _NO_LIMIT)
    return added_up(
        Purged(gallery_id, len(templates), _emptied(snapshot, templates))
        for gallery_id, group in groupby(expired, key=attrgetter("gallery_id"))
        if (templates := list(group))
    )


def added_up(steps: Iterable[Purged]) -> tuple[Purged, ...]:
    """Return one sum for each gallery, in the order of their ids."""
    by_id = sorted(steps, key=attrgetter("gallery_id"))
    return tuple(
        Purged(gallery_id, sum(one.templates for one in own), sum(one.subjects for one in own))
        for gallery_id, group in groupby(by_id, key=attrgetter("gallery_id"))
        if (own := list(group))
    )


def _emptied(snapshot: Snapshot, templates: list[ExpiredTemplate]) -> int:
    """Count the subjects that have no other templates than these, which are of one gallery."""
    gallery_no = templates[0].gallery_no
    expired: dict[int, int] = {}
    for template in templates:
        expired[template.subject_no] = expired.get(template.subject_no, 0) + 1
    return sum(
        len(snapshot.template_ids_of(gallery_no, np.array([subject_no], np.int64))) == count
        for subject_no, count in expired.items()
    )
