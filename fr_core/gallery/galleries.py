"""The galleries: create, enrol, search, list and delete; the door of this room."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from fr_core.errors import FrError, ReplicaBehind, UnknownGallery, UnknownSubject, message
from fr_core.gallery import changes, checks, pages
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.protocol import RemoteState
from fr_core.gallery.index.register import remote_indexes
from fr_core.gallery.purging import added_up, would_purge
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.replica import Replica
from fr_core.gallery.scan.blocks import Cursor, Scanner
from fr_core.gallery.scan.clusters import Cluster, Clusters, Neighbours, Part, clusters, clusters_of, neighbours_after
from fr_core.gallery.scan.duplicates import Duplicates, duplicates, duplicates_after
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.search.searching import Ask, Question, Views, search
from fr_core.gallery.search.truth import Truth
from fr_core.gallery.search.upkeep import Keeper, load
from fr_core.gallery.store.gallery_store import RESERVE_BYTES, GalleryStore, is_under_key
from fr_core.gallery.store.known import known_gallery, known_subject, known_template
from fr_core.gallery.values import (
    Deleted,
    Enrolled,
    Enrolment,
    Erased,
    Found,
    GalleryCalibration,
    GalleryInfo,
    GalleryRef,
    GalleryUpdate,
    GalleryUse,
    KeptTemplate,
    Page,
    Purged,
    Subject,
    SubjectUpdate,
    UpdatedSubject,
)
from fr_core.gallery.versions import version_of
from fr_core.gallery.writer import Writer
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.dialect import LAST_NUMBERS
from fr_core.storage.keys import KeyEncryptionKey, key_beside
from fr_core.storage.location import Location
from fr_core.storage.members import Members
from fr_core.storage.terms import Term
from fr_core.types import Embedding, ModelId

_log = logging.getLogger(__name__)

# The call that a page token of `list` is bound to.
_GALLERIES = "galleries"
# Templates that are purged in one transaction: other changes wait so long.
_PURGED_AT_ONCE = 500
_LOOK_AGAIN_S = 0.05
_MOST_WAITING = 8  # calls that wait for a version at once, each in a thread that others need


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class Galleries:
    """Every gallery of one store. Methods block, and may be called by any number of threads at once.

    A change returns once it is durable and searches see it. The audit then says who asked for it, see
    `fr_core.storage.audit.attribution`. Changes of several threads share one sync of the disk. A search sees one
    version of its gallery: vectors, subjects and version number of the same moment.

    Methods take a gallery's id, or the value that `get` returned. They raise `UnknownGallery` if no gallery has the
    id, and, for a value, `GalleryReplaced` if another gallery has it now. Use the value after a decision that
    depends on the gallery, such as on its use.

    Every method raises `ShuttingDown` after `close`, `StoreFailed` where the disk refuses (nothing of the call was
    kept; a later call may succeed) and `StoreCorrupt` where the store is found damaged.

    `broken`: ends with the error where no call can succeed any more, until the store is opened anew; never else.
    """

    def __init__(
        self,
        store: GalleryStore,
        *,
        index: str | MilvusSettings = "auto",
        clock: Callable[[], datetime] = utc_now,
        members: Members | None = None,
    ) -> None:
        """Take over an open store, which is closed with the galleries; `load` comes before anything else.

        Raises `ConfigInvalid`: there is no index of that name; `StoreFailed`: the database fails.
        """
        self._store = store
        self._clock = clock
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        truth = Truth(store)
        if isinstance(index, MilvusSettings):
            remote = remote_indexes(index, store.database.vault.derived, truth.vectors)
            self._memories = Memories("numpy", remote)
        else:
            self._memories = Memories(index)
        self._views = Views(store, self._memories, self._now, truth)
        self._scanner = Scanner(self._views)
        self._owes_scrub = True  # what the process before could not overwrite
        self.broken: Future[None] = Future()
        self._open: _Open | None = None
        # One of several servers, where others may change the store too.
        self._replica: Replica | None = None
        if store.server is not None:
            self._replica = Replica(store.server, store, self._memories, members)

    @classmethod
    def open(
        cls,
        location: Location,
        *,
        key: KeyEncryptionKey | None = None,
        reserve_bytes: int = RESERVE_BYTES,
        index: str | MilvusSettings = "auto",
        clock: Callable[[], datetime] = utc_now,
        load: bool = True,
        members: Members | None = None,
    ) -> Self:
        """Open the galleries of a data folder or a PostgreSQL database, made where they are not there.

        Args:
            location: a folder, held by one process at a time, has mode 0700 when made here, its files mode 0600.
            key: wraps the keys of the store; None = that of the file beside the folder, which is made for a store that
                is not under a key yet.
            reserve_bytes: of the disk, which enrolments leave free.
            index: how vectors are searched, one of `indexes.INDEX_NAMES`, or by a Milvus server.
            clock: gives the time with a time zone.
            load: read all vectors now, rather than leave `load` to the caller.
            members: the servers of the database, this one among them, which are told what this one has applied; None =
                it registers by itself, as a command does.

        Raises:
            StoreInUse: the folder is open already.
            StoreNewer: a later version of FR Core wrote the store.
            WrongKey: the store is under another key.
            KeyUnavailable: the file beside the folder cannot be used.
            StoreCorrupt: the store is damaged or contradicts itself.
            StoreFailed: the disk refuses.
            ConfigInvalid: there is no index of that name.
            DatabaseUnreachable, DatabaseUnusable: as `PostgresDatabase`.
        """
        if key is None:
            if not isinstance(location, Path):
                raise ValueError("a database has no key beside it")
            key = key_beside(location, new=not is_under_key(location))
        store = GalleryStore(
            location,
            key,
            reserve_bytes=reserve_bytes,
            clock_ms=lambda: int(clock().timestamp() * 1000),
        )
        try:
            galleries = cls(store, index=index, clock=clock, members=members)
        except BaseException:
            store.close()
            raise
        try:
            if load:
                galleries.load()
        except BaseException:
            galleries.close()
            raise
        return galleries

    @property
    def remote(self) -> RemoteState | None:
        """Return the state of the indexes in a Milvus server; None with an index in memory."""
        return self._memories.remote_state

    @property
    def doubted(self) -> int:
        """Return how often a first pass on GPUs left too many candidates; see `VectorIndex.doubted`."""
        return self._memories.doubted

    def load(self, on_block: Callable[[], None] = lambda: None) -> None:
        """Read all vectors into memory, and purge what has expired, which makes the galleries ready; once.

        `on_block`: called every some thousand vectors, and between steps of the purge; what it raises ends the loading.

        Raises `StoreCorrupt`: what is stored is damaged or contradicts itself; `StoreFailed`: the disk refuses.
        """
        load(self._store, self._memories, on_block)
        purge: Callable[[], object] = self._purge_some
        if self._replica is not None:
            self._replica.start()
            purge = self._replica.alone("purge_galleries", purge)
            self._memories.settle(on_block)
        self._open = _Open(
            Writer(self._store, self._memories, self.broken), Keeper(self._memories, purge, self._catch_up)
        )
        self._open.keeper.start(on_block)

    def close(self) -> None:
        """Finish the changes that wait, then close the store; harmless when done twice."""
        if self._open is not None:
            self._open.keeper.stop()
            self._open.writer.close()
        if self._replica is not None:
            self._replica.close()
        self._store.close()  # ends the keeper's waiting for who reads the store
        if self._open is not None:
            self._open.keeper.close()
        self._memories.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(
        self,
        gallery_id: str,
        display_name: str,
        model: ModelId,
        embedding_size: int,
        expires: datetime | None = None,
        retention: timedelta | None = None,
        keeps_photos: bool = False,
        use: GalleryUse = GalleryUse.TEST,
    ) -> GalleryInfo:
        """Create an empty gallery that is bound to a model.

        Args:
            gallery_id: 1 to 128 characters of a-z, 0-9, - and _.
            embedding_size: values per embedding of that model.
            expires: when it is closed, with a time zone; None = never.
            retention: how long after its enrolment a template is deleted, above zero; None = never.
            keeps_photos: whether the photos of enrolled faces are kept, encrypted.
            use: what it is for, for ever.

        Raises:
            InvalidIdentifier: the id is another.
            InvalidField: the name is too long, the model or the embedding size is none, or a time is none.
            GalleryExists: there is a gallery of that id.
            StorageLow: the disk is nearly full.
        """
        checks.require_gallery_id(gallery_id)
        checks.require_display_name(display_name)
        checks.require_model(model, embedding_size)
        now = self._now()
        checks.require_end(expires, now)
        checks.require_retention(retention)
        end = expires and expires.astimezone(UTC)
        info = GalleryInfo(
            gallery_id, display_name, model, embedding_size, now, 0, 0, 1, end, retention, keeps_photos, use=use
        )
        return self._writer.run(changes.CreateGallery(info))

    def get(self, gallery: GalleryRef) -> GalleryInfo:
        """Describe a gallery; raises `UnknownGallery`."""
        with self._store.snapshot() as snapshot:
            return known_gallery(snapshot, gallery).info

    def require_version(self, gallery_id: str, at_least: str) -> None:
        """Wait until the store shows a version of a gallery, or a later gallery of its id, or that it was deleted.

        Later reads see no older version.

        `at_least`: a token of `versions.version_token`. Raises `InvalidField`: it is none; `ReplicaBehind`: the store
        does not get as far in time, as after a failover that has lost changes, or an older backup; or too many wait.
        """
        wanted = version_of(at_least)
        if self._shows(gallery_id, *wanted):
            return
        if not self._waiting.acquire(blocking=False):
            raise ReplicaBehind(message("error.gallery.replica_behind"))
        try:
            until_s = time.monotonic() + (self._memories.longest_s or 0.0)
            while not self._shows(gallery_id, *wanted):
                if time.monotonic() >= until_s:
                    raise ReplicaBehind(message("error.gallery.replica_behind"))
                time.sleep(_LOOK_AGAIN_S)
        finally:
            self._waiting.release()

    def _shows(self, gallery_id: str, gallery_no: int, version: int) -> bool:
        with self._store.snapshot() as snapshot:
            row = snapshot.gallery(gallery_id) if checks.is_gallery_id(gallery_id) else None
            if row is None:  # deleted, if a gallery had this number before
                last: dict[str, int] = dict(snapshot.rows(LAST_NUMBERS))
                return last.get("galleries", 0) >= gallery_no
            return (row.gallery_no, row.info.version) >= (gallery_no, version)

    def list(self, page_size: int = 100, page_token: str = "") -> Page[GalleryInfo]:
        """List the galleries in the order of their ids; raises `InvalidPage`."""
        pages.require_page_size(page_size)
        after = pages.last_of(_GALLERIES, page_token)
        with self._store.snapshot() as snapshot:
            rows = snapshot.galleries(after, page_size + 1)
        items = tuple(row.info for row in rows[:page_size])
        more = len(rows) > page_size
        return Page(items, pages.page_token(_GALLERIES, items[-1].gallery_id) if more else "")

    def update(self, gallery: GalleryRef, update: GalleryUpdate) -> GalleryInfo:
        """Change the name, the end or the retention of a gallery, in one step of its version.

        A gallery that has expired is open again with a later end, or with none. A shorter retention holds for the
        templates that are there already too: the next purge deletes those that have been kept for longer.

        Raises `InvalidField`: nothing is to change, the name is too long, or a time is none.
        """
        checks.require_gallery_update(update)
        return self._writer.run(changes.UpdateGallery(gallery, update, self._now()))

    def set_calibration(self, gallery: GalleryRef, calibration: GalleryCalibration | None) -> GalleryInfo:
        """Say what similarities in a gallery mean, in one step of its version, or none where it says so already.

        Args:
            gallery: which one, also of one that has expired.
            calibration: in the place of the one that it has; None = it has none of its own from now on. That its text
                can be read is for the caller to check.

        Raises `CalibrationInvalid`: it is of another model than the gallery, or too long; `StorageLow`: the disk is
        nearly full.
        """
        if calibration is not None:
            checks.require_calibration_size(calibration.text)
        return self._writer.run(changes.SetCalibration(gallery, calibration))

    def calibration(self, gallery: GalleryRef) -> str | None:
        """Read the calibration of a gallery as it was set, None where it has none; raises `UnknownGallery`."""
        with self._store.snapshot() as snapshot:
            return snapshot.calibration(known_gallery(snapshot, gallery).gallery_no)

    def delete(self, gallery: GalleryRef) -> Deleted:
        """Delete a gallery with everything in it, and overwrite it on the disk, later where that must wait.

        Raises `ErasureUnconfirmed` as `erase_subject`.
        """
        with self._confirming(UnknownGallery):
            deleted = self._writer.run(changes.DeleteGallery(gallery))
            self._scrub()
        return deleted

    def enrol(self, gallery: GalleryRef, enrolment: Enrolment) -> Enrolled:
        """Add a template to a subject, which is created where it is new; all of it is kept, or nothing.

        Raises:
            GalleryExpired: its time has passed.
            StorageLow: the disk is nearly full.
            InvalidIdentifier: the subject's id is not 1 to 128 printable characters without spaces at either end.
            InvalidField: name or metadata too long, or a sha256 or a quality that is none.
            ModelMismatch, EmbeddingWrongSize, EmbeddingNotFinite, EmbeddingNotUnit: an embedding that the gallery
                cannot hold.
            DuplicateImage: the gallery holds a template of this photo (metadata: template_id).
        """
        changes.require_sound(enrolment)
        return self._writer.run(changes.Enrol(gallery, enrolment, self._now()))

    def enrol_many(self, gallery: GalleryRef, enrolments: Sequence[Enrolment]) -> tuple[Enrolled | FrError, ...]:
        """Add many templates in one change: each is kept or refused by itself.

        They share one step of the gallery's version, so that a search sees all that were kept, or none.

        `enrolments`: a thousand at most, since other changes wait until they are written. Returns what became of each:
        its receipt, or the refusal that `enrol` would have raised. Raises `UnknownGallery`, `GalleryExpired`: nothing
        was kept.
        """
        return self._writer.run(changes.EnrolMany(gallery, enrolments, self._now()))

    def search(
        self,
        gallery: GalleryRef,
        probe: Embedding,
        k: int,
        threshold: float,
        only_above_threshold: bool = False,
        fusion: ScoreFusion = ScoreFusion.MAX,
        among: SubjectFilter | None = None,
    ) -> Found:
        """Find the k subjects most similar to a probe.

        Args:
            probe: f32[D], length 1, of the gallery's model.
            k: at most this many candidates, 1 to `MAX_TOP_K`.
            threshold: a candidate counts as a lead iff its similarity >= threshold, in [-1, 1].
            fusion: how the similarities of a subject's templates become one.
            among: the subjects that are searched; None = all.

        Raises:
            InvalidTopK, InvalidThreshold: out of range.
            GalleryExpired: its time has passed.
            InvalidFilter: no subject of the gallery has metadata of that key, or too many subjects are named.
            UnknownSubject: the filter names a subject that the gallery does not hold.
            ModelMismatch, EmbeddingWrongSize, EmbeddingNotFinite, EmbeddingNotUnit: a probe that cannot be compared.
        """
        question = Question(probe, k, threshold, only_above_threshold, fusion, among)
        return search(self._views, gallery, lambda _: question, question.in_turn)

    def search_as(self, gallery: GalleryRef, ask: Ask) -> Found:
        """Search with a question that depends on the gallery, such as on its use; the gallery is read once.

        `ask`: returns the question for the gallery, or refuses it. A filter that names many subjects is for `search`,
        which lets such searches take turns. Raises `FrError`: what `ask` and `search` raise.
        """
        return search(self._views, gallery, ask)

    def require_term(self) -> Term:
        """Return the time in which this server may answer searches; raises `ReplicaBehind`, `ShuttingDown`."""
        return self._memories.require_term()

    def subject(self, gallery: GalleryRef, subject_id: str) -> Subject:
        """Describe a subject and its templates; raises `UnknownGallery`, `UnknownSubject`."""
        with self._store.snapshot() as snapshot:
            row = known_gallery(snapshot, gallery)
            return known_subject(snapshot, row.gallery_no, subject_id)

    def subjects(self, gallery: GalleryRef, page_size: int = 100, page_token: str = "") -> Page[Subject]:
        """List the subjects of a gallery in the order of their ids; raises `UnknownGallery`, `InvalidPage`."""
        pages.require_page_size(page_size)
        with self._store.snapshot() as snapshot:
            row = known_gallery(snapshot, gallery)
            call = f"subjects of {row.gallery_no}"
            found = snapshot.subjects(row.gallery_no, pages.last_of(call, page_token), page_size + 1)
        items = found[:page_size]
        more = len(found) > page_size
        return Page(items, pages.page_token(call, items[-1].subject_id) if more else "")

    def update_subject(self, gallery: GalleryRef, subject_id: str, update: SubjectUpdate) -> UpdatedSubject:
        """Change the name or the metadata of a subject, in one step of the gallery's version; also of an expired one.

        Raises `UnknownGallery`, `UnknownSubject`: there is none of that id; `InvalidField`: nothing is to change, or
        the name or the metadata are too long; `StorageLow`: the disk is nearly full.
        """
        checks.require_subject_update(update)
        return self._writer.run(changes.UpdateSubject(gallery, subject_id, update))

    def delete_subject(self, gallery: GalleryRef, subject_id: str) -> Deleted:
        """Delete a subject with its templates; raises `UnknownGallery`, `UnknownSubject`."""
        return self._writer.run(changes.DeleteSubject(gallery, subject_id))

    def template(self, gallery: GalleryRef, template_id: int) -> KeptTemplate:
        """Read a template with everything that is kept of it; raises `UnknownGallery`, `UnknownTemplate`."""
        with self._store.snapshot() as snapshot:
            row = known_gallery(snapshot, gallery)
            return known_template(snapshot, row.gallery_no, template_id)

    def erase_subject(self, gallery: GalleryRef, subject_id: str) -> Erased:
        """Delete a subject with its templates, photos and key, and wait until no byte of it is left on the disk.

        Where that takes more than some seconds, since a backup reads the store or Milvus compacts its copy, the receipt
        says so, and it is seen to.

        Of several servers on a database, it waits until none of them searches the templates any more.

        Raises `UnknownGallery`, `UnknownSubject`: there is none of that id, on no server; `ErasureUnconfirmed`: all is
        deleted, but a server that may answer searches has not confirmed it.
        """
        with self._confirming(UnknownSubject):
            erased = self._writer.run(changes.EraseSubject(gallery, subject_id, self._now()))
            return replace(erased, scrubbed=self._scrub() and self._memories.clean)

    def purge(self, dry_run: bool = False) -> tuple[Purged, ...]:
        """Delete the templates whose retention has passed, and the subjects that have none left because of it.

        Returns what was deleted, or would be, from each gallery, in the order of their ids.
        """
        if dry_run:
            with self._store.snapshot() as snapshot:
                return would_purge(snapshot, self._now())
        steps: list[Purged] = []
        while step := self._purge_some():
            steps += step
        if steps:
            self._scrub()
        return added_up(steps)

    def delete_template(self, gallery: GalleryRef, template_id: int) -> Deleted:
        """Delete a template; its subject stays. Raises `UnknownGallery`, `UnknownTemplate`."""
        return self._writer.run(changes.DeleteTemplate(gallery, template_id))

    def duplicates(self, gallery: GalleryRef, threshold: float) -> Iterator[Duplicates]:
        """Yield the pairs of similar templates of different subjects, each once, while they are searched for.

        What is compared: the templates that are there at the beginning, and still are when their turn comes. Other
        calls go on meanwhile; each step sees one version of the gallery, which its progress tells.

        `threshold`: two templates are a pair iff their similarity >= threshold, in [-1, 1].

        Raises `InvalidThreshold`: out of range; `UnknownGallery`: there is no gallery of that id, or it was deleted
        meanwhile; `GalleryExpired`: its time has passed.
        """
        return duplicates(self, gallery, threshold)

    def duplicates_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Duplicates:
        """Do one step of `duplicates`, from its beginning or from the cursor of the step before."""
        checks.require_threshold(threshold)
        return duplicates_after(self._scanner, gallery, threshold, cursor)

    def clusters(self, gallery: GalleryRef, threshold: float) -> Iterator[Clusters]:
        """Group the templates of a gallery by likeness, whatever subjects they belong to: leads, not identities.

        Yields how far the search for neighbours has come, then the clusters. What is grouped: as in `duplicates`.

        `threshold`: two clusters become one while the mean similarity of their pairs is at or above it, in [0, 1].
        Raises `InvalidThreshold`, `UnknownGallery`, `GalleryExpired`: as `duplicates`.
        """
        return clusters(self, gallery, threshold)

    def neighbours_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Neighbours:
        """Do one step of the search of `clusters`, from its beginning or from the cursor of the step before."""
        return neighbours_after(self._scanner, gallery, threshold, cursor)

    def clusters_of(self, gallery: GalleryRef, threshold: float, part: Part) -> tuple[Cluster, ...]:
        """Group some of the templates: the last steps of `clusters`."""
        return clusters_of(self._scanner, gallery, threshold, part)

    def auditing(self) -> AbstractContextManager[AuditTable]:
        """Read the audit "galleries" as of one moment, within the block; nothing can be appended."""
        return self._store.auditing()

    def prune_audit(self, after: int, upto: int, last: bool) -> bool:
        """Delete the oldest records of the audit, see `AuditTable.prune`; `last` also removes them from the log."""
        pruned = self._writer.run(changes.PruneAudit(after, upto))
        if last:
            self._scrub()
        return pruned

    def _purge_some(self) -> tuple[Purged, ...]:
        """Do one step of a purge, which is to be overwritten; returns nothing where there is no more."""
        purged = self._writer.run(changes.PurgeExpired(self._now(), _PURGED_AT_ONCE))
        if purged:
            self._owes_scrub = True
        return purged

    def _scrub(self) -> bool:
        """Overwrite deleted rows; returns whether that was done; else the keeper does it, or the next start.

        The rows are deleted whatever happens here, so that a failure must not reach the caller.
        """
        scrubbed = self._store.scrub()
        self._owes_scrub = self._owes_scrub or not scrubbed
        return scrubbed

    @contextmanager
    def _confirming(self, gone: type[FrError]) -> Iterator[None]:
        """Wait after the block until no server searches what it has deleted, or finds deleted: then it raises `gone`.

        So a call that is sent again after `ErasureUnconfirmed` waits, too.
        """
        try:
            yield
        except gone:
            self._confirm()
            raise
        self._confirm()

    def _confirm(self) -> None:
        if self._replica is not None:
            self._replica.confirm()

    def _catch_up(self) -> None:
        self._memories.tidy()
        if self._replica is not None:
            self._replica.prune_sometimes(self._writer)
        if self._owes_scrub:
            self._owes_scrub = False  # before, for what is deleted in the meantime is owed again
            self._scrub()

    def _now(self) -> datetime:
        now = self._clock()
        if now.tzinfo is None:
            raise ValueError("the clock gives a time without a time zone")
        return now.astimezone(UTC)

    @property
    def _writer(self) -> Writer:
        if self._open is None:
            raise RuntimeError("the galleries are not loaded")
        return self._open.writer


@dataclass(frozen=True, slots=True)
class _Open:
    writer: Writer
    keeper: Keeper
