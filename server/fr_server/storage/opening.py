"""Opens and closes the stores of a server beside its galleries: keys, cases and courses."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from fr_core.storage.grants import Grants
from fr_core.storage.leases import Leases
from fr_core.storage.location import Postgres, name_of, naming
from fr_core.storage.opening import open_shared
from fr_core.storage.schema import Schema
from fr_server.config import Config
from fr_server.config.folders import (
    access_folder,
    cases_folder,
    footage_folder,
    key_of,
    postgres_of,
    training_folder,
)
from fr_server.storage.footage import FootageFolder, FootageRules
from fr_server.storage.peers import name_of_server
from fr_server.telemetry.logs import FIELDS
from fr_server.telemetry.shared import Shared, ToldGrants
from fr_training.store.training_store import TrainingStore
from fr_trust.access.budgets import Budgets
from fr_trust.access.shared_budgets import Counting, SharedBudgets
from fr_trust.access.store import AccessStore
from fr_trust.casework.store import CaseStore

S = TypeVar("S")
Kept = TypeVar("Kept", AccessStore, CaseStore, TrainingStore)

log = logging.getLogger("fr_server.storage")

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Stores:
    """Stores that several processes share; that of access holds the audit of reads, refusals and failed handshakes.

    `leases` are of the jobs that one of these processes does for all; `grants` count what callers may do, None for in
    each process apart.
    """

    access: AccessStore
    cases: CaseStore
    training: TrainingStore
    leases: Leases
    grants: Grants | None
    _opened: ExitStack = field(repr=False)

    @property
    def broken(self) -> Mapping[str, Future[None]]:
        """By the name of each store: ends with an `InternalError` where the store can take no more changes."""
        return {"access": self.access.broken, "cases": self.cases.broken, "training": self.training.broken}

    def close(self) -> None:
        """Finish the changes that wait, and let the stores go; harmless when done twice."""
        self._opened.close()


def open_stores(config: Config, clock: Callable[[], int], shared: Shared | None = None) -> Stores:
    """Open the stores of a configuration; they are under the key of the galleries, which is there.

    `shared` is told of connections and budgets, where the stores lie in a database.

    Raises `KeyUnavailable`, `WrongKey`, `StoreNewer`, `StoreInUse`, `StoreCorrupt` or `StoreFailed`, which names the
    store, if one cannot be opened; none is left open.
    """
    with ExitStack() as opened:
        access = opened.enter_context(_opened(config, access_folder(config), AccessStore, clock, shared))
        cases = opened.enter_context(_opened(config, cases_folder(config), CaseStore, clock, shared))
        training = opened.enter_context(_opened(config, training_folder(config), TrainingStore, clock, shared))
        folder = access_folder(config)
        location = postgres_of(config) or folder
        leases, grants = open_shared(location, folder, name_of_server(config))
        opened.callback(leases.close)
        if grants is not None:
            opened.callback(grants.close)
            grants = ToldGrants(grants, shared or Shared())
        return Stores(access, cases, training, leases, grants, opened.pop_all())


def budgets_of(stores: Stores, clock: Callable[[], int]) -> Counting:
    """Return what counts the calls of principals: across all servers of a database, or for this process."""
    if stores.grants is None:
        return Budgets(time.monotonic, clock)
    return SharedBudgets(stores.grants, stores.access.account_of)


def purge_cases(cases: CaseStore) -> None:
    """Delete the cases whose time is over; raises `Failure`: the store cannot be read or changed now."""
    if deleted := cases.purge():
        log.info("Deleted %d cases, which were due", deleted, extra={FIELDS: {"cases": deleted}})


def open_access(config: Config, clock: Callable[[], int]) -> AccessStore:
    """Open the store of API keys; raises as `open_stores`."""
    return _opened(config, access_folder(config), AccessStore, clock)


def open_cases(config: Config, clock: Callable[[], int]) -> CaseStore:
    """Open the store of cases; raises as `open_stores`."""
    return _opened(config, cases_folder(config), CaseStore, clock)


def open_training(config: Config, clock: Callable[[], int]) -> TrainingStore:
    """Open the store of courses and answers; raises as `open_stores`."""
    return _opened(config, training_folder(config), TrainingStore, clock)


def open_footage(config: Config, clock: Callable[[], int]) -> FootageFolder:
    """Return the folder of footage, which need not exist; raises `KeyUnavailable`."""
    rules = FootageRules(
        max_bytes=config.video.max_mib * 2**20,
        keep_ms=config.video.keep_hours * _HOUR_MS,
        per_caller=config.video.per_caller,
        reserve_bytes=config.gallery.reserve_mib * 2**20,
    )
    return FootageFolder(footage_folder(config), key_of(config, new=False), rules, clock)


def _opened(
    config: Config, folder: Path, kind: type[Kept], clock: Callable[[], int], shared: Shared | None = None
) -> Kept:
    key, schema, server = key_of(config, new=False), kind.SCHEMA, told_postgres(config, shared)
    location = server or folder
    return opened_or_made(
        schema.name,
        name_of(location, schema),
        server is None and _seems_gone(folder, schema),
        lambda: kind.open(location, key, clock, config.gallery.reserve_mib * 2**20),
    )


def told_postgres(config: Config, shared: Shared | None) -> Postgres | None:
    """Return the database of a configuration, whose connections a listener is told of; raises as `postgres_of`."""
    server = postgres_of(config)
    return server if server is None or shared is None else replace(server, pool=shared)


def opened_or_made(kind: str, path: Path | str, seems_gone: bool, opening: Callable[[], S]) -> S:
    """Open a store; logs where one is made anew that seems to have been there.

    `kind` is for people. `seems_gone` says whether it is missing, and seems to have been there. `opening` opens it; its
    errors get the name of the file.
    """
    with naming(path):
        store = opening()
    if seems_gone:
        log.warning(
            "The %s was not at %s, though its folder was there: a new, empty one was made. Where there was one before, "
            "stop the server, and put it back",
            kind,
            path,
            extra={FIELDS: {"store": kind, "file": str(path)}},
        )
    return store


def _seems_gone(folder: Path, schema: Schema) -> bool:
    """Return whether a store is missing and its lock is there, or all is missing, as on a disk that is not mounted."""
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError:  # there is no folder; or one of which the opening says what is wrong with it
        return False
    return schema.database_name not in names and (not names or schema.lock_name in names)
