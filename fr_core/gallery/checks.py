"""Checks ids, names, metadata and embeddings before a gallery takes them."""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from fr_core.errors import (
    CalibrationInvalid,
    EmbeddingNotFinite,
    EmbeddingNotUnit,
    EmbeddingWrongSize,
    InvalidField,
    InvalidIdentifier,
    InvalidThreshold,
    InvalidTopK,
)
from fr_core.gallery.values import (
    MAX_CALIBRATION_BYTES,
    MAX_DISPLAY_NAME,
    MAX_EMBEDDING_SIZE,
    MAX_ID_LENGTH,
    MAX_METADATA_KEY,
    MAX_METADATA_PAIRS,
    MAX_METADATA_TOTAL,
    MAX_METADATA_VALUE,
    MAX_RETENTION,
    MAX_TOP_K,
    NO_METADATA,
    GalleryUpdate,
    NewTemplate,
    SubjectUpdate,
    updated,
)
from fr_core.id_forms import composed
from fr_core.types import F32, UNIT_TOLERANCE, Embedding, ModelId
from fr_locales.messages import Message, message

_GALLERY_ID = re.compile(r"[a-z0-9_-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_gallery_id(gallery_id: str) -> bool:
    """Return whether a gallery can have this id: 1 to 128 characters of a-z, 0-9, - and _."""
    return _GALLERY_ID.fullmatch(gallery_id) is not None


def is_subject_id(subject_id: str) -> bool:
    """Return whether a subject id is valid: 1 to 128 printable characters, composed, no spaces at either end."""
    kept = composed(subject_id)
    return 1 <= len(kept) <= MAX_ID_LENGTH and kept.isprintable() and kept == kept.strip()


def is_sha256(text: str) -> bool:
    """Return whether a text is a SHA-256, as 64 hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def is_template_id(template_id: int) -> bool:
    """Return whether a template can have this id: above zero, in 63 bits."""
    return 0 < template_id < 2**63


def require_gallery_id(gallery_id: str) -> None:
    """Raise `InvalidIdentifier` unless `is_gallery_id`."""
    if not is_gallery_id(gallery_id):
        raise InvalidIdentifier(message("error.gallery.gallery_id_empty_too"), field="gallery_id")


def require_subject_id(subject_id: str) -> None:
    """Raise `InvalidIdentifier` unless `is_subject_id`."""
    if not is_subject_id(subject_id):
        raise InvalidIdentifier(message("error.gallery.subject_id_empty_too"), field="subject_id")


def require_calibration_size(text: str) -> None:
    """Raise `CalibrationInvalid` where the text of a calibration is too long."""
    size = len(text.encode())
    if size > MAX_CALIBRATION_BYTES:
        raise CalibrationInvalid(
            message("error.gallery.calibration_size", size=size, most=MAX_CALIBRATION_BYTES),
            limit=str(MAX_CALIBRATION_BYTES),
        )


def require_display_name(display_name: str) -> None:
    """Raise `InvalidField` for more than 256 characters, or for characters that cannot be stored."""
    _require_text(display_name, 0, MAX_DISPLAY_NAME, "display_name")


def require_metadata(metadata: Mapping[str, str]) -> None:
    """Raise `InvalidField` for more than 32 pairs, keys not of 1 to 64, values of more than 1,024, 4,096 in all."""
    if len(metadata) > MAX_METADATA_PAIRS:
        raise InvalidField(
            message("error.gallery.metadata_pairs", metadata=len(metadata), most=MAX_METADATA_PAIRS),
            field="metadata",
            limit=str(MAX_METADATA_PAIRS),
        )
    for key, value in metadata.items():
        _require_text(key, 1, MAX_METADATA_KEY, "metadata", message("error.gallery.metadata_key"))
        _require_text(value, 0, MAX_METADATA_VALUE, "metadata", message("error.gallery.metadata_value"))
    total = sum(len(key) + len(value) for key, value in metadata.items())
    if total > MAX_METADATA_TOTAL:
        raise InvalidField(
            message("error.gallery.metadata_size", total=total, most=MAX_METADATA_TOTAL),
            field="metadata",
            limit=str(MAX_METADATA_TOTAL),
        )


def _require_text(text: str, shortest: int, longest: int, field: str, words: Message | None = None) -> None:
    named = words or field
    if not shortest <= len(text) <= longest:
        raise InvalidField(
            message(
                "error.gallery.characters_allowed", named=named, length=len(text), shortest=shortest, longest=longest
            ),
            field=field,
            limit=str(longest),
        )
    # A lone surrogate has no UTF-8 form; a NUL ends the text for many a database.
    if "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)):
        raise InvalidField(message("error.gallery.holds_character_cannot_stored", named=named), field=field)


def require_model(model: ModelId, embedding_size: int) -> None:
    """Raise `InvalidField` unless a gallery can be bound to this model."""
    for name in ("pack", "version", "sha256"):
        _require_text(getattr(model, name), 1, MAX_DISPLAY_NAME, f"model.{name}")
    if not 1 <= embedding_size <= MAX_EMBEDDING_SIZE:
        raise InvalidField(
            message("error.gallery.embedding_size", embedding_size=embedding_size, most=MAX_EMBEDDING_SIZE),
            field="embedding_size",
            limit=str(MAX_EMBEDDING_SIZE),
        )


def require_end(expires: datetime | None, now: datetime) -> None:
    """Raise `InvalidField` for an end without a time zone, or one that has passed."""
    if expires is None:
        return
    if expires.tzinfo is None:
        raise InvalidField(message("error.gallery.time_when_gallery_expires"), field="expire_time")
    if expires <= now:
        raise InvalidField(message("error.gallery.time_when_gallery_expires_passed"), field="expire_time")


def require_retention(retention: timedelta | None) -> None:
    """Raise `InvalidField` for a retention of nothing, or of more than 100 years."""
    if retention is not None and not timedelta(0) < retention <= MAX_RETENTION:
        raise InvalidField(message("error.gallery.retention"), field="retention", limit=f"{MAX_RETENTION.days} days")


def require_gallery_update(update: GalleryUpdate) -> None:
    """Raise `InvalidField` for an update of nothing, and as `require_display_name` and `require_retention` do."""
    if update == GalleryUpdate():
        raise InvalidField(message("error.gallery.neither_name_gallery_nor"), field="update")
    require_display_name(updated(update.display_name, ""))
    require_retention(updated(update.retention, None))


def require_subject_update(update: SubjectUpdate) -> None:
    """Raise `InvalidField` for an update of nothing, and as `require_display_name` and `require_metadata` do."""
    if update == SubjectUpdate():
        raise InvalidField(message("error.gallery.neither_name_subject_nor"), field="update")
    require_display_name(updated(update.display_name, ""))
    require_metadata(updated(update.metadata, NO_METADATA))


def require_template(template: NewTemplate) -> None:
    """Raise `InvalidField` for a sha256 or a quality that is none; the embedding is checked by its gallery."""
    if template.image_sha256 is not None and not is_sha256(template.image_sha256):
        raise InvalidField(message("error.gallery.sha256_image_not_hexadecimal"), field="image_sha256")
    if template.quality is not None and not 0.0 <= template.quality <= 1.0:
        raise InvalidField(message("error.gallery.quality_not_number"), field="quality")


def unit_vector(embedding: Embedding, model: ModelId, size: int) -> F32:
    """Return the embedding's vector, f32[size], unchanged, if a gallery of `model` can use it.

    Raises:
        ModelMismatch: it was made by another model.
        EmbeddingWrongSize: it has not `size` values.
        EmbeddingNotFinite: NaN or infinity.
        EmbeddingNotUnit: the squared length differs from 1 by more than `UNIT_TOLERANCE`.
    """
    model.require_same(embedding.model)
    vector = np.ascontiguousarray(embedding.vector, dtype=np.float32)
    if vector.shape != (size,):
        found = "x".join(str(n) for n in vector.shape)
        raise EmbeddingWrongSize(
            message("error.gallery.embedding_size_differs", found=found, size=size), expected=str(size), found=found
        )
    wide = vector.astype(np.float64)
    squared = float(wide @ wide)  # too wide for the square of any finite float32 to be infinite
    if not math.isfinite(squared):
        raise EmbeddingNotFinite(message("error.gallery.embedding_holds_value_not"))
    if not abs(squared - 1.0) <= UNIT_TOLERANCE:
        length = f"{math.sqrt(squared):.6g}"
        raise EmbeddingNotUnit(message("error.gallery.embedding_length_must", length=length), length=length)
    return vector


def require_top_k(k: int, field: str = "k") -> None:
    """Raise `InvalidTopK`, which names the field, unless 1 <= k <= MAX_TOP_K."""
    if not 1 <= k <= MAX_TOP_K:
        raise InvalidTopK(message("error.gallery.top_k", k=k, most=MAX_TOP_K), field=field, limit=str(MAX_TOP_K))


def require_threshold(threshold: float, field: str = "threshold") -> None:
    """Raise `InvalidThreshold`, which names the field, unless it is a number in [-1, 1]."""
    if not -1.0 <= threshold <= 1.0:  # neither is NaN
        raise InvalidThreshold(message("error.gallery.threshold_not_number"), field=field)
