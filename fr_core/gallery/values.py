"""The values that go into a gallery and come out of it, and the limits that they obey."""

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
    """A gallery as seen at one moment."""

    gallery_id: str  # 1 to 128 characters of a-z, 0-9, - and _
    display_name: str  # a name for people, at most 256 characters
    model: ModelId  # the one model of every template in it
    embedding_size: int  # values per embedding of that model
    created: datetime  # UTC
    subject_count: int  # subjects, those without templates included
    template_count: int
    version: int  # 1 when created; grows with each change
    expires: datetime | None = None  # when it refuses enrolments and searches from, UTC; None = never
    retention: timedelta | None = None  # how long a template is kept from its creation; None = until it is deleted
    keeps_photos: bool = False  # whether the photos of enrolled faces are kept, encrypted as the templates are
    # Of its calibration, 64 hexadecimal digits; None where it has none of its own.
    calibration_sha256: str | None = None
    use: GalleryUse = GalleryUse.TEST
    # Its number in the store; no later gallery gets it, not even one of the same id; 0 = not stored.
    gallery_no: int = field(default=0, compare=False)


GalleryRef = str | GalleryInfo
"""The id of a gallery; or a gallery value, which does not match a later gallery of the same id."""


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP  # stands in an update for what stays as it is


def updated(new: T | Keep, old: T) -> T:
    """Return what an update makes of a value."""
    return old if isinstance(new, Keep) else new


@dataclass(frozen=True, slots=True)
class GalleryUpdate:
    """The changes to make to a gallery."""

    display_name: str | Keep = KEEP  # a name for people, at most 256 characters
    # When it refuses enrolments and searches from, with a time zone; None = never.
    expires: datetime | Keep | None = KEEP
    # The time that each template, new or old, is kept after its creation; None = until it is deleted.
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
    """The meaning of similarities in a gallery, as its owner measured it."""

    model_id: str  # `str` of the model whose similarities these are
    text: str  # a calibration of `fr_core.scoring.calibration_json`, at most `MAX_CALIBRATION_BYTES` in UTF-8


def calibration_id(text: str) -> str:
    """Return what tells a calibration from every other: the sha256 of its text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """An enrolled embedding, without its vector."""

    template_id: int  # given by the store, above zero; never used again, by any gallery
    image_sha256: str | None  # of the encoded photo, 64 hexadecimal digits; None where an embedding was enrolled
    created: datetime  # UTC
    quality: float | None  # of the face, in [0, 1]; None where an embedding was enrolled


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of a gallery."""

    subject_id: str  # the caller's own id: 1 to 128 printable characters in Unicode's NFC, without spaces at either end
    display_name: str  # a name for people, at most 256 characters
    metadata: Mapping[str, str]  # the caller's own data, read-only
    created: datetime  # UTC
    templates: tuple[TemplateInfo, ...]  # the oldest first; empty where all were deleted


@dataclass(frozen=True, slots=True)
class SubjectName:
    """Tells people who a candidate is; it needs no template."""

    subject_id: str
    display_name: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SubjectUpdate:
    """The changes to make to a subject."""

    display_name: str | Keep = KEEP  # a name for people, at most 256 characters
    metadata: Mapping[str, str] | Keep = KEEP  # the caller's own data, in the place of all that the subject had


@dataclass(frozen=True, slots=True)
class UpdatedSubject:
    """A subject after an update. `gallery_version`: the first version of the gallery in which it is so."""

    subject: Subject
    gallery_version: int
    gallery_no: int = field(default=0, compare=False)  # of the gallery, see `GalleryInfo.gallery_no`


@dataclass(frozen=True, slots=True, eq=False)
class NewTemplate:
    """An embedding to enrol."""

    embedding: Embedding  # f32[D], length 1, of the gallery's model
    # Of the encoded photo, 64 hexadecimal digits in lower case; None for a bare embedding. A gallery holds each photo
    # once.
    image_sha256: str | None = None
    quality: float | None = None  # of the face, in [0, 1]; None for a bare embedding
    # The encoded photo, which is kept where the gallery keeps photos; None for a bare embedding.
    photo: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """A face to enrol, and the subject that it belongs to."""

    subject_id: str  # the caller's own id; the subject is created where it is new
    template: NewTemplate
    display_name: str = ""  # empty keeps the name of an existing subject
    # Empty keeps the metadata of an existing subject, else they are replaced.
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The receipt of an enrolment: the template is durable and is found by searches."""

    subject_id: str  # as stored
    template_id: int
    subject_created: bool  # whether this enrolment created the subject
    gallery_version: int  # the first version of the gallery that holds the template
    gallery_no: int = field(default=0, compare=False)  # of the gallery, see `GalleryInfo.gallery_no`


@dataclass(frozen=True, slots=True)
class Deleted:
    """The receipt of a deletion. `gallery_version`: the first version of the gallery without them."""

    subjects: int
    templates: int
    gallery_version: int
    gallery_no: int = field(default=0, compare=False)  # of the gallery, see `GalleryInfo.gallery_no`


@dataclass(frozen=True, slots=True)
class Erased:
    """The receipt of an erasure, which the store keeps; it does not say whose."""

    receipt_id: str  # 16 random hexadecimal digits
    templates: int
    photos: int
    erased: datetime  # when, UTC
    gallery_version: int  # the first version of the gallery without them
    # True if no byte of them is left on the disk. False where a backup was reading, or the disk refused, or an index in
    # Milvus is not compacted yet; it is tried again every second.
    scrubbed: bool = True
    gallery_no: int = field(default=0, compare=False)  # of the gallery, see `GalleryInfo.gallery_no`


@dataclass(frozen=True, slots=True, eq=False)
class KeptTemplate:
    """A template with everything that is kept of it."""

    subject_id: str
    info: TemplateInfo
    embedding: Embedding  # f32[D], length 1, of the gallery's model
    # Encoded, as it was enrolled; None where the gallery keeps none, or a bare embedding was enrolled.
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
    """A part of a list."""

    items: tuple[T, ...]  # in the code point order of their ids
    next_page_token: str  # for the next page; empty on the last


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a search."""

    identification: Identification  # the candidates, best first, at most one for each subject
    # The names of the candidates by subject_id, as of the version that was searched.
    subjects: Mapping[str, SubjectName]
    fusion: ScoreFusion  # how the templates of each subject were fused
    searched_templates: int
    # True if no other subject could be a candidate; else only those templates, or subjects, that a first scan picked
    # were compared exactly.
    exhaustive: bool
