"""Converts rows of the gallery store to values and back, and authenticates them; an altered row becomes no value."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from fr_core.errors import StoreCorrupt, message
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import NO_METADATA, GalleryInfo, GalleryUse, calibration_id
from fr_core.storage.protocol import Row
from fr_core.storage.vault import Value, Vault
from fr_core.types import ModelId

AnyRow = TypeVar("AnyRow", bound=Row)

_decode = json.JSONDecoder().raw_decode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class SubjectRow(NamedTuple):
    """A row of `subjects`; metadata is packed."""

    subject_no: int
    gallery_no: int
    subject_id: str
    display_name: str
    metadata: str
    created_us: int
    wrapped_key: bytes
    mac: bytes


class PairRow(NamedTuple):
    """A row of `subject_metadata`."""

    gallery_no: int
    key: str
    value: str
    subject_no: int
    mac: bytes


class TemplateRow(NamedTuple):
    """A row of `templates`, which has no `mac`: it is bound to what is encrypted in it."""

    template_id: int
    subject_no: int
    image_sha256: str | None
    quality: float | None
    created_us: int
    has_photo: int
    gallery_no: int
    sealed: bytes


# Columns of each table in the order in which they are read, written and authenticated; `mac` is the last where there is
# one.
GALLERIES = (
    "gallery_no",
    "gallery_id",
    "display_name",
    "model_pack",
    "model_version",
    "model_sha256",
    "embedding_size",
    "created_us",
    "subject_count",
    "template_count",
    "version",
    "expires_us",
    "retention_us",
    "keeps_photos",
    "calibration_sha256",
    "use",
    "mac",
)
# As they were before galleries had a use, and before they had calibrations: in stores of version 3 and 2, and in
# backups of format 2 and 1.
GALLERIES_V3 = tuple(column for column in GALLERIES if column != "use")
GALLERIES_V2 = tuple(column for column in GALLERIES_V3 if column != "calibration_sha256")
_OF_OLDER_GALLERIES: Mapping[str, Value] = {"calibration_sha256": None, "use": str(GalleryUse.TEST)}
CALIBRATIONS = ("gallery_no", "calibration")
SUBJECTS = SubjectRow._fields
METADATA = PairRow._fields
TEMPLATES = TemplateRow._fields
# The first of TEMPLATES, in the order of the arguments of `Binding.of`.
TEMPLATE_FACTS = TEMPLATES.index("gallery_no")
CHANGES = ("seq", "gallery_no", "since", "version", "first_template", "removed", "changed_ms", "mac")
ERASURES = ("receipt_id", "gallery_no", "templates", "photos", "erased_us", "mac")


def names(columns: tuple[str, ...], table: str = "") -> str:
    """Return columns as SQL has them, with the name of their table where it is given."""
    return ", ".join(f"{table}.{column}" if table else column for column in columns)


def insertion(table: str, columns: tuple[str, ...]) -> str:
    """Return the statement that inserts a whole row."""
    return f"INSERT INTO {table} ({names(columns)}) VALUES ({', '.join('?' * len(columns))})"


def contradiction(check: str) -> StoreCorrupt:
    """Return the error for rows that are as they were written, and cannot all be; `check` says what was compared."""
    return StoreCorrupt(message("error.gallery.what_store_holds_contradicts"), check=check)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, UTC; ValueError for a time without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("the time has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


def to_duration_us(duration: timedelta) -> int:
    """Microseconds."""
    return duration // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The time, UTC; raises `StoreCorrupt` for one out of range."""
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError as error:
        raise StoreCorrupt(message("error.gallery.stored_time_out_range"), check="time") from error


def facts_of(template: Row) -> Row:
    """Return what is bound to the vector of a template, and to its photo; a row that begins as those of TEMPLATES."""
    return template[:TEMPLATE_FACTS]


def checked(vault: Vault, table: str, row: AnyRow) -> AnyRow:
    """Return a row whose last column authenticates the others; raises `StoreCorrupt` where it does not."""
    vault.require_mac(table, row[:-1], row[-1])
    return row


def signed(vault: Vault, table: str, *columns: Value) -> Row:
    """Return a row with the column that authenticates the others."""
    return (*columns, vault.mac(table, columns))


def gallery_columns(gallery_no: int, info: GalleryInfo) -> Row:
    """Return what a gallery is stored as, without the authentication."""
    return (
        gallery_no,
        info.gallery_id,
        info.display_name,
        info.model.pack,
        info.model.version,
        info.model.sha256,
        info.embedding_size,
        to_us(info.created),
        info.subject_count,
        info.template_count,
        info.version,
        None if info.expires is None else to_us(info.expires),
        None if info.retention is None else to_duration_us(info.retention),
        int(info.keeps_photos),
        info.calibration_sha256,
        str(info.use),
    )


def gallery_of(row: Row) -> GalleryRow:
    """Return the gallery of a row of GALLERIES that was checked."""
    gallery_no, gallery_id, display_name, pack, version, sha256, size, created_us, *state, _ = row
    subjects, templates, changes, expires_us, retention_us, keeps_photos, calibration_sha256, use = state
    return GalleryRow(
        gallery_no,
        GalleryInfo(
            gallery_id,
            display_name,
            ModelId(pack, version, sha256),
            size,
            from_us(created_us),
            subjects,
            templates,
            changes,
            None if expires_us is None else from_us(expires_us),
            None if retention_us is None else retention_us * _MICROSECOND,
            bool(keeps_photos),
            calibration_sha256,
            GalleryUse(use),
            gallery_no,
        ),
    )


def as_newer(row: Row, columns: tuple[str, ...], newer: tuple[str, ...] = GALLERIES) -> Row:
    """Return a row of an older GALLERIES as one of a newer; the last column is still that of the former.

    `row`: with these `columns`; `columns`: GALLERIES_V2, GALLERIES_V3 or GALLERIES; `newer`: the columns to return.
    """
    found = dict(zip(columns, row, strict=True))
    return tuple(found[column] if column in found else _OF_OLDER_GALLERIES[column] for column in newer)


def require_calibration(text: str, sha256: str | None) -> str:
    """Return the text of a calibration; raises `StoreCorrupt` where it is not the one of its gallery."""
    if calibration_id(text) != sha256:
        raise altered_calibration()
    return text


def altered_calibration() -> StoreCorrupt:
    """Return the error for a calibration that is missing, altered, or of no gallery."""
    return StoreCorrupt(message("error.gallery.calibration_gallery_altered"), check="calibration")


def packed_metadata(metadata: Mapping[str, str]) -> str:
    """Return metadata as the text that is stored of them."""
    return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True, separators=(",", ":")) if metadata else ""


def unpacked_metadata(text: str) -> Mapping[str, str]:
    """Return the metadata of a text; raises `StoreCorrupt` where it is none."""
    if not text:
        return NO_METADATA
    try:
        metadata, end = _decode(text)
    except ValueError:
        raise StoreCorrupt(message("error.gallery.stored_metadata_cannot_read"), check="metadata") from None
    if not isinstance(metadata, dict) or end != len(text):
        raise StoreCorrupt(message("error.gallery.stored_metadata_no_pairs"), check="metadata")
    return MappingProxyType(metadata)
