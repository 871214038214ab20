"""The values that go into a gallery and come out of it, and the limits that they obey."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from fr_core.gallery.query import ScoreFusion
from fr_core.types import Embedding, Identification, ModelId

T = TypeVar("T")

# Limits of the public API (proto/fr_api/v1/gallery.proto states them to the caller).
MAX_PAGE_SIZE = 1000
MAX_TOP_K = 1000
MAX_ID_LENGTH = 128
MAX_DISPLAY_NAME = 256
MAX_METADATA_PAIRS = 32
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 1024
# Of all keys and values of a subject: a page or a candidate list holds up to 1,000 subjects.
MAX_METADATA_TOTAL = 4096
# Embedders of today give 128 to 1,024 values; the bound keeps a damaged number from allocating the machine's memory.
MAX_EMBEDDING_SIZE = 4096

# Some 10 times that of ten million comparisons.
MAX_CALIBRATION_BYTES = 2**20

MAX_RETENTION = timedelta(days=36_525)

NO_METADATA: Mapping[str, str] = MappingProxyType({})


class GalleryUse(StrEnum):
    """The purpose of a gallery; it cannot be changed.

    Decisions about people follow from an OPERATIONAL one: a search of it needs a purpose and a case.
    """

    OPERATIONAL = "operational"
    TRAINING = "training"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """A gallery as seen at one moment.

    Attributes:
        gallery_id: 1 to 128 characters of a-z, 0-9, - and _.
        display_name: a name for people, at most 256 characters.
        model: the one model of every template in it.
        embedding_size: values per embedding of that model.
        created: UTC.
        subject_count: subjects, those without templates included.
        version: 1 when created; grows with each change.
        expires: when it refuses enrolments and searches from, UTC; None = never.
        retention: how long a template is kept from its creation; None = until it is deleted.
        keeps_photos: whether the photos of enrolled faces are kept, encrypted as the templates are.
        calibration_sha256: of its calibration, 64 hexadecimal digits; None where it has none of its own.
        gallery_no: its number in the store; no later gallery gets it, not even one of the same id; 0 = not stored.
    """

    gallery_id: str
    display_name: str
    model: ModelId
    embedding_size: int
    created: datetime
    subject_count: int
    template_count: int
    version: int
    expires: datetime | None = None
    retention: timedelta | None = None
    keeps_photos: bool = False
    calibration_sha256: str | None = None
    use: GalleryUse = GalleryUse.TEST
    gallery_no: int = field(default=0, compare=False)


GalleryRef = str | GalleryInfo
"""The id of a gallery; or a gallery value, which does not match a later gallery of the same id."""


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
"""Stands in an update for what stays as it is."""


def updated(new: T | Keep, old: T) -> T:
    """Return what an update makes of a value."""
    return old if isinstance(new, Keep) else new


@dataclass(frozen=True, slots=True)
class GalleryUpdate:
    """The changes to make to a gallery.

    Attributes:
        display_name: a name for people, at most 256 characters.
        expires: when it refuses enrolments and searches from, with a time zone; None = never.
        retention: how long a template is kept from its creation, those that are there already too; None = until it is
            deleted.
    """

    display_name: str | Keep = KEEP
    expires: datetime | Keep | None = KEEP
    retention: timedelta | Keep | None = KEEP

    def of(self, info: GalleryInfo) -> GalleryInfo:
        """Return what becomes of a gallery."""
        expires = updated(self.expires, info.expires)
        return replace(
            info,
            display_name=updated(self.display_name, info.display_name),
            expires=expires and expires.astimezone(UTC),
            retention=updated(self.retention, info.retention),
        )


@dataclass(frozen=True, slots=True)
class GalleryCalibration:
    """The meaning of similarities in a gallery, as its owner measured it.

    Attributes:
        model_id: `str` of the model whose similarities these are.
        text: a calibration of `fr_core.scoring.calibration_json`, at most `MAX_CALIBRATION_BYTES` in UTF-8.
    """

    model_id: str
    text: str


def calibration_id(text: str) -> str:
    """Return what tells a calibration from every other: the sha256 of its text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """An enrolled embedding, without its vector.

    Attributes:
        template_id: given by the store, above zero; never used again, by any gallery.
        image_sha256: of the encoded photo, 64 hexadecimal digits; None where an embedding was enrolled.
        created: UTC.
        quality: of the face, in [0, 1]; None where an embedding was enrolled.
    """

    template_id: int
    image_sha256: str | None
    created: datetime
    quality: float | None


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of a gallery.

    Attributes:
        subject_id: the caller's own id: 1 to 128 printable characters in Unicode's NFC, without spaces at either end.
        display_name: a name for people, at most 256 characters.
        metadata: the caller's own data, read-only.
        created: UTC.
        templates: the oldest first; empty where all were deleted.
    """

    subject_id: str
    display_name: str
    metadata: Mapping[str, str]
    created: datetime
    templates: tuple[TemplateInfo, ...]


@dataclass(frozen=True, slots=True)
class SubjectName:
    """Tells people who a candidate is; it needs no template."""

    subject_id: str
    display_name: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SubjectUpdate:
    """The changes to make to a subject.

    Attributes:
        display_name: a name for people, at most 256 characters.
        metadata: the caller's own data, in the place of all that the subject had.
    """

    display_name: str | Keep = KEEP
    metadata: Mapping[str, str] | Keep = KEEP


@dataclass(frozen=True, slots=True)
class UpdatedSubject:
    """A subject after an update. `gallery_version`: the first version of the gallery in which it is so."""

    subject: Subject
    gallery_version: int


@dataclass(frozen=True, slots=True, eq=False)
class NewTemplate:
    """An embedding to enrol.

    Attributes:
        embedding: f32[D], length 1, of the gallery's model.
        image_sha256: of the encoded photo, 64 hexadecimal digits in lower case; None for a bare embedding. A gallery
            holds each photo once.
        quality: of the face, in [0, 1]; None for a bare embedding.
        photo: the encoded photo, which is kept where the gallery keeps photos; None for a bare embedding.
    """

    embedding: Embedding
    image_sha256: str | None = None
    quality: float | None = None
    photo: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """A face to enrol, and the subject that it belongs to.

    Attributes:
        subject_id: the caller's own id; the subject is created where it is new.
        display_name: empty keeps the name of an existing subject.
        metadata: empty keeps the metadata of an existing subject, else they are replaced.
    """

    subject_id: str
    template: NewTemplate
    display_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The receipt of an enrolment: the template is durable and is found by searches.

    Attributes:
        subject_id: as stored.
        subject_created: whether this enrolment created the subject.
        gallery_version: the first version of the gallery that holds the template.
    """

    subject_id: str
    template_id: int
    subject_created: bool
    gallery_version: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """The receipt of a deletion. `gallery_version`: the first version of the gallery without them."""

    subjects: int
    templates: int
    gallery_version: int


@dataclass(frozen=True, slots=True)
class Erased:
    """The receipt of an erasure, which the store keeps; it does not say whose.

    Attributes:
        receipt_id: 16 random hexadecimal digits.
        erased: when, UTC.
        gallery_version: the first version of the gallery without them.
        scrubbed: whether no byte of them is left on the disk. False where a backup was reading, or the disk refused; it
            is tried again every second.
    """

    receipt_id: str
    templates: int
    photos: int
    erased: datetime
    gallery_version: int
    scrubbed: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class KeptTemplate:
    """A template with everything that is kept of it.

    Attributes:
        embedding: f32[D], length 1, of the gallery's model.
        photo: encoded, as it was enrolled; None where the gallery keeps none, or a bare embedding was enrolled.
    """

    subject_id: str
    info: TemplateInfo
    embedding: Embedding
    photo: bytes | None


@dataclass(frozen=True, slots=True)
class Purged:
    """The expired entries that were deleted from a gallery, or would be.

    `subjects`: how many subjects, whose last templates these were.
    """

    gallery_id: str
    templates: int
    subjects: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list.

    Attributes:
        items: in the code point order of their ids.
        next_page_token: for the next page; empty on the last.
    """

    items: tuple[T, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a search.

    Attributes:
        identification: the candidates, best first, at most one for each subject.
        subjects: the names of the candidates by subject_id, as of the version that was searched.
        fusion: how the templates of each subject were fused.
        exhaustive: whether no other subject could be a candidate; else only those templates, or subjects, that a first
            scan picked were compared exactly.
    """

    identification: Identification
    subjects: Mapping[str, SubjectName]
    fusion: ScoreFusion
    searched_templates: int
    exhaustive: bool
