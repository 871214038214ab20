"""What a server keeps beside its galleries: keys, cases and courses, opened together and closed together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field

from fr_core.access.schema import SCHEMA as ACCESS
from fr_core.access.store import AccessStore
from fr_core.casework.store import CaseStore
from fr_core.casework.store_schema import SCHEMA as CASES
from fr_core.errors import UnknownCase, UnknownExamination
from fr_core.training.store.schema import SCHEMA as TRAINING
from fr_core.training.store.training_store import TrainingStore
from fr_server.access.rules import ScopeKind
from fr_server.config import Config
from fr_server.folders import access_folder, cases_folder, key_of, training_folder
from fr_server.naming import naming
from fr_server.telemetry.logs import FIELDS

log = logging.getLogger("fr_server.cases")


@dataclass(frozen=True, slots=True)
class Stores:
    """Stores that several processes of a server share.

    Attributes:
        access: keys, and the audit of reads, refusals and failed handshakes.
        cases: cases, examinations and findings.
        training: courses and answers.
    """

    access: AccessStore
    cases: CaseStore
    training: TrainingStore
    _opened: ExitStack = field(repr=False)

    @property
    def broken(self) -> Mapping[str, Future[None]]:
        """Of each store, by its name: ends with an `InternalError` where it can take no more changes."""
        return {"access": self.access.broken, "cases": self.cases.broken, "training": self.training.broken}

    def close(self) -> None:
        """Finish the changes that wait, and let the stores go; harmless when done twice."""
        self._opened.close()


def open_stores(config: Config, clock: Callable[[], int]) -> Stores:
    """Open the stores of a configuration; they are under the key of the galleries, which is there.

    Args:
        config: of the server.
        clock: milliseconds since 1970, UTC.

    Raises:
        KeyUnavailable, WrongKey, StoreNewer, StoreInUse, StoreCorrupt, StoreFailed: one cannot be opened, which the
            error names; none is left open.
    """
    with ExitStack() as opened:
        access = opened.enter_context(open_access(config, clock))
        cases = opened.enter_context(open_cases(config, clock))
        training = opened.enter_context(open_training(config, clock))
        return Stores(access, cases, training, opened.pop_all())


def purge_cases(cases: CaseStore) -> None:
    """Delete the cases whose time is over.

    Raises:
        Failure: the store cannot be read or changed now.
    """
    if deleted := cases.purge():
        log.info("Deleted %d cases, which were due", deleted, extra={FIELDS: {"cases": deleted}})


def galleries_of(cases: CaseStore) -> Callable[[ScopeKind, str], Collection[str] | None]:
    """Return what tells the galleries that were searched for a case or an examination; None for what there is not."""

    def look(kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        try:
            if kind is ScopeKind.CASE:
                return cases.galleries_of_case(resource_id)
            return cases.galleries_of_examination(resource_id)
        except (UnknownCase, UnknownExamination):
            return None

    return look


def open_access(config: Config, clock: Callable[[], int]) -> AccessStore:
    """Open the store of API keys; raises as `open_stores`."""
    folder, key = access_folder(config), key_of(config, new=False)
    with naming(folder / ACCESS.database_name):
        return AccessStore.open(folder, key, clock, _reserve_bytes(config))


def open_cases(config: Config, clock: Callable[[], int]) -> CaseStore:
    """Open the store of cases; raises as `open_stores`."""
    folder, key = cases_folder(config), key_of(config, new=False)
    with naming(folder / CASES.database_name):
        return CaseStore.open(folder, key, clock, _reserve_bytes(config))


def open_training(config: Config, clock: Callable[[], int]) -> TrainingStore:
    """Open the store of courses and answers; raises as `open_stores`."""
    folder, key = training_folder(config), key_of(config, new=False)
    with naming(folder / TRAINING.database_name):
        return TrainingStore.open(folder, key, clock, _reserve_bytes(config))


def _reserve_bytes(config: Config) -> int:
    return config.gallery.reserve_mib * 2**20
