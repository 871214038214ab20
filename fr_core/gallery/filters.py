"""From a filter to the templates that it lets a search see."""

from __future__ import annotations

from functools import reduce

import numpy as np

from fr_core.errors import InvalidFilter, UnknownSubject
from fr_core.gallery.checks import is_subject_id
from fr_core.gallery.query import MAX_FILTER_SUBJECTS, SubjectFilter
from fr_core.gallery.store import Snapshot
from fr_core.gallery.values import MAX_METADATA_PAIRS
from fr_core.types import I64


def require_filter(among: SubjectFilter) -> None:
    """Raise `InvalidFilter` for a filter without a condition, or with too many."""
    if not among.metadata and among.subject_ids is None:
        raise InvalidFilter("The filter holds no condition.")
    if len(among.metadata) > MAX_METADATA_PAIRS:
        raise InvalidFilter(
            f"The filter has {len(among.metadata)} pairs of metadata; {MAX_METADATA_PAIRS} are allowed.",
            limit=str(MAX_METADATA_PAIRS),
        )
    if among.subject_ids is not None and len(among.subject_ids) > MAX_FILTER_SUBJECTS:
        raise InvalidFilter(
            f"The filter names {len(among.subject_ids)} subjects; {MAX_FILTER_SUBJECTS} are allowed.",
            limit=str(MAX_FILTER_SUBJECTS),
        )


def templates_among(snapshot: Snapshot, gallery_no: int, among: SubjectFilter) -> I64:
    """Return the ascending ids of the templates of the subjects that a filter lets through.

    Raises:
        InvalidFilter: no subject of the gallery has metadata of that key.
        UnknownSubject: the gallery holds no subject of one of the ids.
    """
    conditions = [_with_pair(snapshot, gallery_no, key, value) for key, value in among.metadata.items()]
    if among.subject_ids is not None:
        numbers = {_subject_no(snapshot, gallery_no, subject_id) for subject_id in among.subject_ids}
        conditions.append(np.array(sorted(numbers), dtype=np.int64))
    subject_nos: I64 = reduce(lambda a, b: np.intersect1d(a, b, assume_unique=True), conditions)
    return snapshot.template_ids_of(gallery_no, subject_nos)


def _with_pair(snapshot: Snapshot, gallery_no: int, key: str, value: str) -> I64:
    found = snapshot.subjects_with(gallery_no, key, value)
    # A key that nobody has is a misspelt one, and must not be taken for a list on which nobody is.
    if not len(found) and not snapshot.has_metadata_key(gallery_no, key):
        raise InvalidFilter("No subject of the gallery has metadata of a key that the filter names.")
    return found


def _subject_no(snapshot: Snapshot, gallery_no: int, subject_id: str) -> int:
    subject_no = snapshot.subject_no(gallery_no, subject_id) if is_subject_id(subject_id) else None
    if subject_no is None:
        raise UnknownSubject("The filter names a subject that the gallery does not hold.")
    return subject_no
