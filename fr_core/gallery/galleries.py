"""The galleries: create, enrol, search, list and delete; the door of this room."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from fr_core.errors import StoreCorrupt, UnknownSubject
from fr_core.gallery import checks, pages
from fr_core.gallery.changes import CreateGallery, DeleteGallery, DeleteSubject, DeleteTemplate, Enrol, known_gallery
from fr_core.gallery.memory import BestTemplates, Memories
from fr_core.gallery.sqlite_store import SqliteStore
from fr_core.gallery.store import GalleryRow, Snapshot, Store
from fr_core.gallery.values import Deleted, Enrolled, Enrolment, Found, GalleryInfo, Page, Subject
from fr_core.gallery.writer import Writer
from fr_core.types import Candidate, Decision, Embedding, Identification, ModelId

_log = logging.getLogger(__name__)

# Vectors that are read at a time when the memory is built: 8 MiB at D = 512.
_LOAD_ROWS = 4096
# The call that a page token of `list` is bound to.
_GALLERIES = "galleries"


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class Galleries:
    """Every gallery of one store. Methods block, and may be called by any number of threads at once.

    A change has returned only after it is durable and shown to searches; changes of several threads share one sync of
    the disk. A search sees one version of its gallery: vectors, subjects and version number of the same moment.

    Every method raises `ShuttingDown` after `close`, `StoreFailed` where the disk refuses (nothing of the call was
    kept; a later call may succeed) and `StoreCorrupt` where the store is found damaged.
    """

    def __init__(self, store: Store, *, index: str = "faiss-flat", clock: Callable[[], datetime] = utc_now) -> None:
        """Take over an open store, which is closed with the galleries; read all its vectors into memory.

        Raises:
            ConfigInvalid: there is no index of that name.
            StoreCorrupt: what is stored is damaged or contradicts itself.
        """
        self._store = store
        self._clock = clock
        self._memories = Memories(index)
        self._load()
        self._writer = Writer(store, self._memories)

    @classmethod
    def open(cls, folder: Path, *, index: str = "faiss-flat", clock: Callable[[], datetime] = utc_now) -> Self:
        """Open the galleries of a data folder, which is made where it is not there.

        Args:
            folder: held by one process at a time; mode 0700 when made here, its files have mode 0600.
            index: how vectors are searched, one of `indexes.INDEX_NAMES`.
            clock: gives the time with a time zone.

        Raises:
            StoreInUse: the folder is open already.
            StoreNewer: a later version of FR Core wrote the store.
            StoreCorrupt: the store is damaged or contradicts itself.
            StoreFailed: the disk refuses.
            ConfigInvalid: there is no index of that name.
        """
        store = SqliteStore(folder)
        try:
            return cls(store, index=index, clock=clock)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Finish the changes that wait, then close the store; harmless when done twice."""
        self._writer.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def create(self, gallery_id: str, display_name: str, model: ModelId, embedding_size: int) -> GalleryInfo:
        """Create an empty gallery that is bound to a model.

        Raises:
            InvalidIdentifier: the id is not 1 to 128 characters of a-z, 0-9, - and _.
            InvalidField: the name is too long, or the model or the embedding size is none.
            GalleryExists: there is a gallery of that id.
        """
        checks.require_gallery_id(gallery_id)
        checks.require_display_name(display_name)
        checks.require_model(model, embedding_size)
        info = GalleryInfo(gallery_id, display_name, model, embedding_size, self._now(), 0, 0, 1)
        return self._writer.run(CreateGallery(info))

    def get(self, gallery_id: str) -> GalleryInfo:
        """Describe a gallery; raises `UnknownGallery`."""
        with self._store.snapshot() as snapshot:
            return known_gallery(snapshot, gallery_id).info

    def list(self, page_size: int = 100, page_token: str = "") -> Page[GalleryInfo]:
        """List the galleries in the order of their ids; raises `InvalidPage`."""
        pages.require_page_size(page_size)
        after = pages.last_of(_GALLERIES, page_token)
        with self._store.snapshot() as snapshot:
            rows = snapshot.galleries(after, page_size + 1)
        items = tuple(row.info for row in rows[:page_size])
        more = len(rows) > page_size
        return Page(items, pages.page_token(_GALLERIES, items[-1].gallery_id) if more else "")

    def delete(self, gallery_id: str) -> Deleted:
        """Delete a gallery with everything in it; raises `UnknownGallery`."""
        return self._writer.run(DeleteGallery(gallery_id))

    def enrol(self, gallery_id: str, enrolment: Enrolment) -> Enrolled:
        """Add a template to a subject, which is created where it is new; all of it is kept, or nothing.

        Raises:
            UnknownGallery: there is no gallery of that id.
            InvalidIdentifier: the subject's id is not 1 to 128 printable characters without spaces at either end.
            InvalidField: name or metadata too long, or a sha256 or a quality that is none.
            ModelMismatch, EmbeddingWrongSize, EmbeddingNotFinite, EmbeddingNotUnit: an embedding that the gallery
                cannot hold.
            DuplicateImage: the gallery holds a template of this photo (metadata: template_id).
        """
        checks.require_subject_id(enrolment.subject_id)
        checks.require_display_name(enrolment.display_name)
        checks.require_metadata(enrolment.metadata)
        checks.require_template(enrolment.template)
        return self._writer.run(Enrol(gallery_id, enrolment, self._now()))

    def search(
        self, gallery_id: str, probe: Embedding, k: int, threshold: float, only_above_threshold: bool = False
    ) -> Found:
        """Find the k subjects most similar to a probe, each by the best of its templates.

        Args:
            gallery_id: of the gallery.
            probe: f32[D], length 1, of the gallery's model.
            k: at most this many candidates, 1 to `MAX_TOP_K`.
            threshold: a candidate counts as a lead iff its similarity >= threshold, in [-1, 1].
            only_above_threshold: leave the others out.

        Raises:
            InvalidTopK, InvalidThreshold: out of range.
            UnknownGallery: there is no gallery of that id.
            ModelMismatch, EmbeddingWrongSize, EmbeddingNotFinite, EmbeddingNotUnit: a probe that cannot be compared.
        """
        checks.require_top_k(k)
        checks.require_threshold(threshold)
        with self._seen_together(gallery_id, probe, k) as (snapshot, row, best):
            shown = best.similarities >= threshold if only_above_threshold else slice(None)
            subject_nos = [int(no) for no in best.subject_nos[shown]]
            subjects = snapshot.subjects_by_no(subject_nos)
            scored = zip(subject_nos, best.template_ids[shown], best.similarities[shown], strict=True)
            candidates = tuple(
                Candidate(subjects[no].subject_id, int(template_id), float(score), rank, bool(score >= threshold))
                for rank, (no, template_id, score) in enumerate(scored, start=1)
            )
        leads = bool(candidates) and candidates[0].above_threshold
        decision = Decision.POTENTIAL_CANDIDATES if leads else Decision.NO_CANDIDATE
        return Found(
            Identification(candidates, threshold, decision, row.info.version, row.info.model),
            MappingProxyType({subject.subject_id: subject for subject in subjects.values()}),
        )

    def subject(self, gallery_id: str, subject_id: str) -> Subject:
        """Describe a subject and its templates; raises `UnknownGallery`, `UnknownSubject`."""
        with self._store.snapshot() as snapshot:
            row = known_gallery(snapshot, gallery_id)
            subject = snapshot.subject(row.gallery_no, subject_id) if checks.is_subject_id(subject_id) else None
        if subject is None:
            raise UnknownSubject("The gallery holds no subject of that id.")
        return subject

    def subjects(self, gallery_id: str, page_size: int = 100, page_token: str = "") -> Page[Subject]:
        """List the subjects of a gallery in the order of their ids; raises `UnknownGallery`, `InvalidPage`."""
        pages.require_page_size(page_size)
        with self._store.snapshot() as snapshot:
            row = known_gallery(snapshot, gallery_id)
            call = f"subjects of {row.gallery_no}"
            found = snapshot.subjects(row.gallery_no, pages.last_of(call, page_token), page_size + 1)
        items = found[:page_size]
        more = len(found) > page_size
        return Page(items, pages.page_token(call, items[-1].subject_id) if more else "")

    def delete_subject(self, gallery_id: str, subject_id: str) -> Deleted:
        """Delete a subject with its templates; raises `UnknownGallery`, `UnknownSubject`."""
        return self._writer.run(DeleteSubject(gallery_id, subject_id))

    def delete_template(self, gallery_id: str, template_id: int) -> Deleted:
        """Delete a template; its subject stays. Raises `UnknownGallery`, `UnknownTemplate`."""
        return self._writer.run(DeleteTemplate(gallery_id, template_id))

    @contextmanager
    def _seen_together(
        self, gallery_id: str, probe: Embedding, k: int
    ) -> Iterator[tuple[Snapshot, GalleryRow, BestTemplates]]:
        """Search the memory at the version of a snapshot, and yield both with the gallery."""
        while True:
            changes = self._memories.changes
            with self._store.snapshot() as snapshot:
                row = known_gallery(snapshot, gallery_id)
                vector = checks.unit_vector(probe, row.info.model, row.info.embedding_size)
                memory = self._memories.get(row.gallery_no)
                if memory is not None:
                    with memory.at(row.info.version) as exact:
                        best = memory.best_subjects(vector, k) if exact else None
                    if best is not None:
                        yield snapshot, row, best
                        return
            if memory is None:  # created or deleted this very moment: the memory is about to follow
                self._memories.wait_beyond(changes)

    def _now(self) -> datetime:
        now = self._clock()
        if now.tzinfo is None:
            raise ValueError("the clock gives a time without a time zone")
        return now.astimezone(UTC)

    def _load(self) -> None:
        """Build the memory from the store, and check that it holds what the galleries say that they hold."""
        begun = time.monotonic()
        with self._store.snapshot() as snapshot:
            rows: tuple[GalleryRow, ...] = ()
            while page := snapshot.galleries(rows[-1].info.gallery_id if rows else "", 1000):
                rows += page
        memories = {
            row.gallery_no: self._memories.create(row.gallery_no, row.info.embedding_size, row.info.version)
            for row in rows
        }
        for stored in self._store.vectors(_LOAD_ROWS):
            memories[stored.gallery_no].load(stored)
        for row in rows:
            if memories[row.gallery_no].size != row.info.template_count:
                raise StoreCorrupt("A gallery does not hold as many templates as it says.", check="template_count")
        templates = sum(row.info.template_count for row in rows)
        _log.info("%d galleries with %d templates read in %.1f s", len(rows), templates, time.monotonic() - begun)
