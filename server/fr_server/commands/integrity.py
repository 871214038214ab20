"""Checks the stores of a data folder: read in copies, without a server, and without changing a byte."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fr_trust.access.integrity import require_sound as require_sound_access
from fr_trust.access.schema import SCHEMA as ACCESS
from fr_trust.casework.integrity import require_sound as require_sound_cases
from fr_trust.casework.store_schema import SCHEMA as CASES

from fr_core.errors import FrError, NoStore, StoreCorrupt, StoreInUse
from fr_core.gallery.backup.verify import reading
from fr_core.gallery.store.auditing import audit_table
from fr_core.gallery.store.sqlite_check import read_vectors, require_consistent, require_photos, require_whole_file
from fr_core.gallery.store.sqlite_snapshot import SqliteSnapshot
from fr_core.gallery.store.sqlite_store import DATABASE_NAME
from fr_core.scratch import scratch_folder
from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import Broken, verify
from fr_core.storage.audit_table import audit_keys, auditing
from fr_core.storage.data_folder import LOCK_NAME, require_sole
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.schema import Schema
from fr_core.storage.sqlite_errors import sqlite_errors
from fr_server.clock import wall_ms
from fr_server.config import Config
from fr_server.config.folders import access_folder, cases_folder, data_folder, training_folder
from fr_server.telemetry.trust import Chain
from fr_training.store.integrity import require_sound as require_sound_training
from fr_training.store.schema import SCHEMA as TRAINING

# Vectors that are held at a time.
_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a store.

    Attributes:
        chain: of its audit, by which the store is called.
        folder: that it lies in.
        database_name: of its file.
        lock_name: of the file that every process locks which has it open.
    """

    chain: Chain
    folder: Path
    database_name: str
    lock_name: str

    @property
    def path(self) -> Path:
        """Of its file."""
        return self.folder / self.database_name

    @property
    def is_there(self) -> bool:
        """Return whether its file is there, or a link leads to it."""
        return self.path.is_file()

    @property
    def remains(self) -> Path | None:
        """Something that a store which is gone has left: its log, its lock, or a link that leads nowhere."""
        names = (self.database_name, f"{self.database_name}-wal", f"{self.database_name}-shm", self.lock_name)
        if self.folder.is_symlink() and not self.folder.exists():
            return self.folder
        return next((self.folder / name for name in names if os.path.lexists(self.folder / name)), None)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written.

    Attributes:
        finding: a word of `fr_core.storage.audit.verify.Why`, or the reason of an error.
        told: what was found, a sentence; "" where the finding says it.
        seq: number of the record of the audit; None where it is none.
    """

    finding: str
    told: str = ""
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """The findings in a store.

    Attributes:
        place: of the store.
        records: of its audit, that were checked; 0 where the audit is not whole.
        checkpoints: that the audit agrees with.
        faults: nothing where all of it is whole.
        pruned: number of the last pruned record; 0 if none was, or the audit is not intact.
        unchecked: checkpoints of pruned records.
    """

    place: Place
    records: int
    checkpoints: int
    faults: tuple[Fault, ...]
    pruned: int = 0
    unchecked: int = 0


def places_of(config: Config) -> tuple[Place, ...]:
    """Return the places of all stores of a configuration, in the order of their chains; they need not exist."""
    return (
        Place("galleries", data_folder(config), DATABASE_NAME, LOCK_NAME),
        Place("training", training_folder(config), TRAINING.database_name, TRAINING.lock_name),
        Place("cases", cases_folder(config), CASES.database_name, CASES.lock_name),
        Place("access", access_folder(config), ACCESS.database_name, ACCESS.lock_name),
    )


def require_places(config: Config) -> tuple[Place, ...]:
    """Return the places as `places_of` does; raises `NoStore` if no store exists."""
    places = places_of(config)
    if not any(place.is_there for place in places):
        raise NoStore(f"The folder {data_folder(config)} holds no store.")
    return places


def gone(place: Place, others: Sequence[Place]) -> Fault | None:
    """Return what shows that a store which is not there has been there; None where there may never have been one.

    Args:
        place: of the store.
        others: places of the same configuration.
    """
    if (left := place.remains) is not None:
        if left in (place.path, place.folder):
            return Fault(NoStore.reason, f"It is not there: {left} leads to no file.")
        return Fault(NoStore.reason, f"It is not there, but {left} is: it was deleted or moved away.")
    # An admin key is made before a server has started. Courses and cases are made by a server, after its galleries.
    later = [one.path for one in others if one.chain in ("training", "cases") and one.is_there]
    if place.chain == "galleries" and later:
        return Fault(NoStore.reason, f"It is not there, but {later[0]} is, which is made after it.")
    return None


def look(place: Place, key: KeyEncryptionKey, checkpoints: Sequence[Checkpoint]) -> Looked:
    """Check everything in a store: its file, every row, and every record of its audit.

    Args:
        place: of the store, which no server has open.
        key: that it is under.
        checkpoints: of its audit, kept elsewhere.

    Raises:
        OSError: it cannot be read, or the copy not be written.
    """
    faults: list[Fault] = []
    records = agreed = pruned = unchecked = 0
    try:
        with _opened(place, key) as store:
            try:
                with store.auditing() as audit:
                    found = verify(audit, checkpoints)
                if isinstance(found, Broken):
                    faults.append(Fault(found.why.value, seq=found.seq))
                else:
                    records, agreed = found.records, found.checkpoints
                    pruned, unchecked = found.after, found.unchecked
            except StoreCorrupt as error:  # the rest is looked at all the same
                faults.append(Fault(error.reason, error.what))
            store.require_sound()
    except FrError as error:
        faults.append(Fault(error.reason, error.what))
    return Looked(place, records, agreed, tuple(faults), pruned, unchecked)


@contextmanager
def audit_of(place: Place, key: KeyEncryptionKey) -> Iterator[AuditTable]:
    """Read the audit of a store that no server has open, in a copy.

    Raises:
        NoStore, StoreNewer, StoreInUse, WrongKey, StoreCorrupt, StoreFailed: it cannot be opened.
        OSError: it cannot be read, or the copy not be written.
    """
    with _opened(place, key) as store, store.auditing() as audit:
        yield audit


class _Opened(Protocol):
    """A copy of a store."""

    def auditing(self) -> AbstractContextManager[AuditTable]:
        """Read its audit, whatever state that is in."""

    def require_sound(self) -> None:
        """Raise `StoreCorrupt` where anything but the audit is not as it was written."""


class _Galleries:
    def __init__(self, snapshot: SqliteSnapshot) -> None:
        self._snapshot = snapshot

    @contextmanager
    def auditing(self) -> Iterator[AuditTable]:
        with sqlite_errors():
            yield audit_table(self._snapshot.connection, self._snapshot.vault)

    def require_sound(self) -> None:
        connection, vault = self._snapshot.connection, self._snapshot.vault
        with sqlite_errors():
            require_whole_file(connection)
            require_consistent(connection, vault)
            for _ in read_vectors(connection, vault, _ROWS):
                pass
            require_photos(connection, vault)


class _Shared:
    def __init__(self, database: Database, check: Callable[[Database], None]) -> None:
        self._database = database
        self._check = check

    def auditing(self) -> AbstractContextManager[AuditTable]:
        return auditing(self._database, audit_keys(self._database.seals), wall_ms)

    def require_sound(self) -> None:
        with self._database.reading() as now:
            if now.rows("PRAGMA integrity_check(1)") != [("ok",)]:
                raise StoreCorrupt("The database file is damaged.", check="integrity_check")
        self._check(self._database)


SHARED: Mapping[Chain, tuple[Schema, Callable[[Database], None]]] = {
    "training": (TRAINING, require_sound_training),
    "cases": (CASES, require_sound_cases),
    "access": (ACCESS, require_sound_access),
}
"""For each store that several processes share: its schema, and the check of its rows."""


@contextmanager
def _opened(place: Place, key: KeyEncryptionKey) -> Iterator[_Opened]:
    with _copy(place) as folder:
        if place.chain == "galleries":
            with reading(folder, key) as snapshot:
                yield _Galleries(snapshot)
            return
        schema, check = SHARED[place.chain]
        with closing(Database(folder, schema, key, 0)) as database:
            yield _Shared(database, check)


@contextmanager
def _copy(place: Place) -> Iterator[Path]:
    """Copy a store into a temporary folder, deleted at the end; raises `StoreInUse`, `StoreExposed`."""
    _require_unused(place)
    require_sole(place.path)
    with scratch_folder() as folder:  # encrypted data of the store is encrypted in the copy too
        for name in (place.database_name, f"{place.database_name}-wal"):
            if (place.folder / name).exists():
                shutil.copyfile(place.folder / name, folder / name)
        yield folder


def _require_unused(place: Place) -> None:
    """Raise `StoreInUse` where a server has the store open: a copy of its files would be of no one moment."""
    try:
        handle = os.open(place.folder / place.lock_name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreInUse(f"The store {place.path} is open in another process.") from error
    finally:
        os.close(handle)
