"""Packs vectors into bytes before they are encrypted, unpacks them, and binds templates to their rows."""

import struct
from collections.abc import Sequence

import numpy as np

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.vault import FORMAT, encode
from fr_core.types import F32, UNIT_TOLERANCE, ModelId

_FACTS = struct.Struct("<qqqqd??H")


def pack_vector(vector: F32) -> bytes:
    """Return the values of a vector f32[D], float32, little-endian, one after the other."""
    return vector.astype("<f4", copy=False).tobytes()


def unpack_vectors(packed: Sequence[bytes], size: int) -> F32:
    """Return the vectors f32[n, size] and check every one of them.

    Raises `StoreCorrupt`: a vector has another size, or a length other than 1.
    """
    for data in packed:
        if len(data) != 4 * size:
            raise StoreCorrupt(
                message("error.gallery.vector_size", length=len(data), needed=4 * size), check="vector_size"
            )
    vectors = np.frombuffer(b"".join(packed), dtype="<f4").astype(np.float32, copy=False).reshape(len(packed), size)
    # NaN and infinity fail the comparison too.
    squared = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if not (np.abs(squared - 1.0) <= UNIT_TOLERANCE).all():
        raise StoreCorrupt(message("error.gallery.stored_vector_does_not"), check="vector_length")
    return vectors


class Binding:
    """Binds the templates, or the photos, of one gallery to their rows. `purpose`: "template" or "photo"."""

    def __init__(self, purpose: str, gallery_no: int, model: ModelId) -> None:
        self._purpose = purpose
        self._common = encode("fr-core", FORMAT, purpose, gallery_no, model.pack, model.version, model.sha256)

    def of(
        self,
        template_id: int,
        subject_no: int,
        image_sha256: str | None,
        quality: float | None,
        created_us: int,
        has_photo: int,
    ) -> bytes:
        """Return the bytes that a template, or its photo, is bound to.

        Every number has its place, and the one text its length before it, so that no two templates give the same bytes.

        Args:
            image_sha256: of the photo; None for a bare embedding.
            quality: of the face; not -0.0, which SQLite does not keep apart from 0.0.
            created_us: when it was enrolled, microseconds since 1970, UTC.
            has_photo: 1 where its photo is kept, else 0.

        Raises `StoreCorrupt`: one of them has a type that it cannot have.
        """
        try:
            image = b"" if image_sha256 is None else image_sha256.encode()
            facts = _FACTS.pack(
                template_id,
                subject_no,
                created_us,
                has_photo,
                0.0 if quality is None else quality,
                quality is not None,
                image_sha256 is not None,
                len(image),
            )
        except (struct.error, AttributeError) as error:
            raise StoreCorrupt(message("error.gallery.stored_template_says_what"), check=self._purpose) from error
        return self._common + facts + image
