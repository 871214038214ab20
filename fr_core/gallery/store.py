"""What a store of galleries can do, whichever database it keeps them in.

Numbers (`gallery_no`, `subject_no`) are the store's own; ids are the callers'. A store decides no rules of the domain:
it keeps what `changes` tells it to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fr_core.gallery.values import GalleryInfo, NewTemplate, Subject
from fr_core.types import F32, I64


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """A gallery with the store's number of it, which no later gallery gets, not even one of the same id."""

    gallery_no: int
    info: GalleryInfo


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """Vectors of one gallery.

    Attributes:
        gallery_no: of the gallery.
        template_ids: i64[n], ascending.
        subject_nos: i64[n].
        vectors: f32[n, D].
    """

    gallery_no: int
    template_ids: I64
    subject_nos: I64
    vectors: F32


class Snapshot(Protocol):
    """The store as it was at one moment; later commits do not show."""

    def gallery(self, gallery_id: str) -> GalleryRow | None:
        """Return a gallery, or None where there is none."""

    def galleries(self, after: str, limit: int) -> tuple[GalleryRow, ...]:
        """Return up to `limit` galleries with ids beyond `after`, in the order of their ids."""

    def subject(self, gallery_no: int, subject_id: str) -> Subject | None:
        """Return a subject, or None where there is none."""

    def subjects(self, gallery_no: int, after: str, limit: int) -> tuple[Subject, ...]:
        """Return up to `limit` subjects with ids beyond `after`, in the order of their ids."""

    def subjects_by_no(self, subject_nos: Sequence[int]) -> Mapping[int, Subject]:
        """Return the subjects of these numbers; a number that is not there is left out."""


class Transaction(Snapshot, Protocol):
    """Changes that become durable together, or not at all."""

    def item(self) -> AbstractContextManager[None]:
        """Undo what was changed within, and nothing else, where an exception leaves the block."""

    def insert_gallery(self, info: GalleryInfo) -> int:
        """Add a gallery and return its number."""

    def delete_gallery(self, gallery_no: int) -> None:
        """Delete a gallery with its subjects and templates."""

    def changed(self, gallery_no: int, subjects: int, templates: int) -> int:
        """Add to the counts of a gallery (negative for deletions), raise its version by one and return it."""

    def subject_no(self, gallery_no: int, subject_id: str) -> int | None:
        """Return the number of a subject, or None where there is none."""

    def insert_subject(self, gallery_no: int, subject: Subject) -> int:
        """Add a subject, without templates, and return its number."""

    def update_subject(self, subject_no: int, display_name: str, metadata: Mapping[str, str]) -> None:
        """Replace the name and the metadata of a subject, each only where it is not empty."""

    def delete_subject(self, subject_no: int) -> tuple[int, ...]:
        """Delete a subject with its templates and return their ids, ascending."""

    def template_of_image(self, gallery_no: int, image_sha256: str) -> int | None:
        """Return the template of a photo in a gallery, or None where there is none."""

    def insert_template(self, gallery_no: int, subject_no: int, template: NewTemplate, created: datetime) -> int:
        """Add a template and return its id, which is above every id given before."""

    def delete_template(self, gallery_no: int, template_id: int) -> bool:
        """Delete a template of a gallery and return whether there was one."""


class Store(Protocol):
    """The durable truth.

    Every method, and every method of a snapshot or a transaction, raises `StoreFailed` where the disk refuses and
    `StoreCorrupt` where it finds damage. Snapshots may be taken by any thread at any time and wait for no transaction;
    only one thread at a time may hold a transaction.
    """

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Read within the block.

        Raises:
            ShuttingDown: the store is closed.
        """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Change within the block; durable when the block has ended, undone where an exception leaves it."""

    def vectors(self, rows: int) -> Iterator[StoredVectors]:
        """Yield every vector, at most `rows` at a time, each checked; those of a gallery by ascending ids."""

    def tidy(self) -> None:
        """Do upkeep that can wait; called by the thread that writes, between transactions."""

    def close(self) -> None:
        """Close; harmless when done twice."""
