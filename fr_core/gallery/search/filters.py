"""From a filter to the templates that it lets a search see."""

from functools import reduce

import numpy as np

from fr_core.errors import InvalidFilter, UnknownSubject, message
from fr_core.gallery.checks import is_subject_id
from fr_core.gallery.query import MAX_FILTER_SUBJECTS, SubjectFilter
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.values import MAX_METADATA_PAIRS
from fr_core.types import I64

# Filters naming more subjects than this take turns. At 1,000 a search reads for 2 ms and 200 KiB; at 50,000 for 65 ms
# and 6 MiB per reader.
MANY = 1_000


def require_filter(among: SubjectFilter) -> None:
    """Raise `InvalidFilter` for a filter without a condition, or with too many."""
    if not among.metadata and among.subject_ids is None:
        raise InvalidFilter(message("error.gallery.filter_holds_no_condition"))
    if len(among.metadata) > MAX_METADATA_PAIRS:
        raise InvalidFilter(
            message(
                "error.gallery.filter_pairs_metadata_allowed", metadata=len(among.metadata), most=MAX_METADATA_PAIRS
            ),
            limit=str(MAX_METADATA_PAIRS),
        )
    if among.subject_ids is not None:
        require_subject_count(len(among.subject_ids))


def require_subject_count(count: int) -> None:
    """Raise `InvalidFilter` for a filter that names too many subjects."""
    if count > MAX_FILTER_SUBJECTS:
        raise InvalidFilter(
            message("error.gallery.filter_names_subjects_allowed", number=count, most=MAX_FILTER_SUBJECTS),
            limit=str(MAX_FILTER_SUBJECTS),
        )


def names_many(among: SubjectFilter) -> bool:
    """Return whether a filter names so many subjects that its search waits for its turn."""
    return among.subject_ids is not None and len(among.subject_ids) > MANY


def templates_among(snapshot: Snapshot, gallery_no: int, among: SubjectFilter) -> I64:
    """Return the ascending ids of the templates of the subjects that a filter lets through.

    Raises `InvalidFilter`: no subject of the gallery has metadata of that key; `UnknownSubject`: the gallery holds no
    subject of one of the ids.
    """
    conditions = [_with_pair(snapshot, gallery_no, key, value) for key, value in among.metadata.items()]
    if among.subject_ids is not None:
        conditions.append(_named(snapshot, gallery_no, frozenset(among.subject_ids)))
    subject_nos: I64 = reduce(lambda a, b: np.intersect1d(a, b, assume_unique=True), conditions)
    return snapshot.template_ids_of(gallery_no, subject_nos)


def _with_pair(snapshot: Snapshot, gallery_no: int, key: str, value: str) -> I64:
    found = snapshot.subjects_with(gallery_no, key, value)
    # A key that nobody has is a misspelt one, and must not be taken for a list on which nobody is.
    if not len(found) and not snapshot.has_metadata_key(gallery_no, key):
        raise InvalidFilter(message("error.gallery.no_subject_gallery_metadata"))
    return found


def _named(snapshot: Snapshot, gallery_no: int, subject_ids: frozenset[str]) -> I64:
    possible = all(map(is_subject_id, subject_ids))  # what is not an id may not even be asked for
    found = snapshot.subject_nos(gallery_no, subject_ids) if possible else None
    if found is None:
        raise UnknownSubject(message("error.gallery.filter_names_subject_gallery"))
    return found
