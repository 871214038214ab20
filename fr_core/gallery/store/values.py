"""The values that the gallery store hands out and takes, beside those of `fr_core.gallery.values`.

Numbers (`gallery_no`, `subject_no`) are the store's own; ids are the callers'.
"""

from __future__ import annotations

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
    """Vectors of one gallery.

    Attributes:
        template_ids: i64[n], ascending.
        subject_nos: i64[n].
        vectors: f32[n, D].
    """

    gallery_no: int
    template_ids: I64
    subject_nos: I64
    vectors: F32


@dataclass(frozen=True, slots=True)
class ExpiredTemplate:
    """A template that has been kept for as long as its gallery keeps templates."""

    gallery_no: int
    gallery_id: str
    subject_no: int
    template_id: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change as the audit records it, beside who asked for it.

    Attributes:
        action: such as "gallery.enrol".
        subject_ids: of the subjects, by the callers' own ids, which become pseudonyms.
        model: of the gallery, where a template came.
        counts: as `fr_core.storage.audit.values.Entry`.
        detail: likewise.
    """

    action: str
    gallery_id: str
    gallery_version: int
    subject_ids: tuple[str, ...] = ()
    model: ModelId | None = None
    counts: Mapping[str, int] = field(default_factory=lambda: NO_COUNTS)
    detail: Mapping[str, str] = field(default_factory=lambda: NO_DETAIL)
