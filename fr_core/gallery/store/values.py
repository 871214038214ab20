"""The values that the gallery store hands out and takes, beside those of `fr_core.gallery.values`.

Numbers (`gallery_no`, `subject_no`) are the store's own; ids are the callers'.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fr_core.gallery.values import GalleryInfo
from fr_core.storage.audit.values import NO_COUNTS, NO_DETAIL
from fr_core.types import F32, I64, ModelId


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """A gallery with the store's number of it, which no later gallery gets, not even one of the same id."""

    gallery_no: int
    info: GalleryInfo


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """Vectors of one gallery."""

    gallery_no: int
    template_ids: I64  # i64[n], ascending
    subject_nos: I64  # i64[n]
    vectors: F32  # f32[n, D]


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """The changes of one gallery in one transaction, as other servers apply them to their memory.

    `removed`: templates that were there before, or that the same transaction added.
    """

    gallery_no: int
    since: int  # the version before; 0 = there was no such gallery
    version: int  # the version after
    first_template: int | None  # the lowest id of those added; None = none
    removed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExpiredTemplate:
    """A template that has been kept for as long as its gallery keeps templates."""

    gallery_no: int
    gallery_id: str
    subject_no: int
    template_id: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change as the audit records it, beside who asked for it."""

    action: str  # such as "gallery.enrol"
    gallery_id: str
    gallery_version: int
    subject_ids: tuple[str, ...] = ()  # of the subjects, by the callers' own ids, which become pseudonyms
    model: ModelId | None = None  # of the gallery, where a template came
    counts: Mapping[str, int] = field(default_factory=lambda: NO_COUNTS)  # as `fr_core.storage.audit.values.Entry`
    detail: Mapping[str, str] = field(default_factory=lambda: NO_DETAIL)  # likewise
