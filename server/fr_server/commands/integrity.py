"""Checks the stores of a data folder: in copies, without a server, and without changing a byte."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fr_core.errors import FrError, NoStore, StoreCorrupt, StoreInUse, message
from fr_core.gallery.store.integrity import require_sound_rows
from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import Broken, verify
from fr_core.storage.data_folder import require_sole
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.opening import open_database
from fr_core.storage.protocol import Database
from fr_core.storage.schema import Schema
from fr_files.scratch import scratch_folder
from fr_server.storage.places import Place
from fr_server.telemetry.trust import Chain
from fr_training.store.training_store import require_sound as require_sound_training
from fr_trust.access.key_cache import require_sound as require_sound_access
from fr_trust.casework.store_reading import require_sound as require_sound_cases


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in a store."""

    finding: str  # a word of `fr_core.storage.audit.verify.Why`, or the reason of an error
    told: str = ""  # a sentence about the fault; "" if `finding` is enough
    seq: int | None = None  # number of the audit record; None if the fault is not in a record


@dataclass(frozen=True, slots=True)
class Looked:
    """The findings in a store."""

    place: Place
    records: int  # number of audit records checked; 0 if the audit is not intact
    checkpoints: int  # number of checkpoints that the audit agrees with
    faults: tuple[Fault, ...]  # the faults; empty if the store is intact
    pruned: int = 0  # number of the last pruned record; 0 if none was pruned, or if the audit is not intact
    unchecked: int = 0  # number of checkpoints that belong to pruned records


def gone(place: Place, others: Sequence[Place]) -> Fault | None:
    """Return the evidence that a missing store once existed; None if it, and what others show, may never have."""
    if (left := place.remains) is not None:
        if left in (place.named, place.location):
            return Fault(NoStore.reason, f"It is missing: {left} leads to no file.")
        return Fault(NoStore.reason, f"It is missing, but {left} exists: someone deleted or moved the store.")
    # An admin key is made before a server has started. Courses and cases are made by a server, after its galleries.
    later = [one.named for one in others if one.chain in ("training", "cases") and one.is_there]
    if place.chain == "galleries" and later:
        return Fault(NoStore.reason, f"It is missing, but {later[0]} exists, which a server makes only after it.")
    return None


def look(place: Place, key: KeyEncryptionKey, checkpoints: Sequence[Checkpoint]) -> Looked:
    """Check everything in a store: its file, every row, and every record of its audit; no server may have it open.

    `checkpoints` are those of its audit that were kept elsewhere. Raises `OSError` if the store is unreadable, or the
    copy cannot be written.
    """
    faults: list[Fault] = []
    records = agreed = pruned = unchecked = 0
    try:
        with _opened(place, key) as database:
            try:
                with database.auditing() as audit:
                    found = verify(audit, checkpoints)
                if isinstance(found, Broken):
                    faults.append(Fault(found.why.value, seq=found.seq))
                else:
                    records, agreed = found.records, found.checkpoints
                    pruned, unchecked = found.after, found.unchecked
            except StoreCorrupt as error:  # check the rest in any case
                faults.append(Fault(error.reason, error.what))
            database.require_whole()
            CHECKS[place.chain](database)
    except FrError as error:
        faults.append(Fault(error.reason, error.what))
    return Looked(place, records, agreed, tuple(faults), pruned, unchecked)


@contextmanager
def audit_of(place: Place, key: KeyEncryptionKey) -> Iterator[AuditTable]:
    """Read the audit of a store in a copy; no server may have the store open.

    Raises `NoStore`, `StoreNewer`, `StoreInUse`, `WrongKey`, `StoreCorrupt` or `StoreFailed` if the store cannot be
    opened, and `OSError` if it is unreadable, or the copy cannot be written.
    """
    with _opened(place, key) as database, database.auditing() as audit:
        yield audit


def _require_sound_galleries(database: Database) -> None:
    with database.reading() as now:
        require_sound_rows(now, now.vault)


CHECKS: Mapping[Chain, Callable[[Database], object]] = {
    "galleries": _require_sound_galleries,
    "training": require_sound_training,
    "cases": require_sound_cases,
    "access": require_sound_access,
}
"""For each store the check of all its rows but the audit."""


@contextmanager
def _opened(place: Place, key: KeyEncryptionKey) -> Iterator[Database]:
    if isinstance(place.location, Path):
        with (
            _copy(place.location, place.schema) as folder,
            closing(open_database(folder, place.schema, key, check=False)) as database,
        ):
            yield database
    else:  # as of one moment, beside a server that may run
        with closing(open_database(place.location, place.schema, key, check=False)) as database:
            yield database


@contextmanager
def _copy(data: Path, schema: Schema) -> Iterator[Path]:
    """Copy a store into a temporary folder, deleted at the end; raises `StoreInUse`, `StoreExposed`."""
    path = data / schema.database_name
    _require_unused(path, schema)
    require_sole(path)
    with scratch_folder() as folder:  # encrypted data stay encrypted in the copy
        for name in (path.name, f"{path.name}-wal"):
            if (data / name).exists():
                shutil.copyfile(data / name, folder / name)
        yield folder


def _require_unused(path: Path, schema: Schema) -> None:
    """Raise `StoreInUse` if a server has the store open: a copy of its files would mix several moments."""
    try:
        handle = os.open(path.with_name(schema.lock_name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreInUse(message("error.server.another_process_store_open", path=path)) from error
    finally:
        os.close(handle)
