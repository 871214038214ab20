"""Audits for tests: a table in a real database, under the keys of a real vault, with a clock that is set by hand."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import apsw

from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Entry, Pseudonym, Pseudonyms
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.vault import Vault

DAY_MS = 86_400_000
START_MS = 1_790_000_000_000
ACTIONS = ("gallery.search", "gallery.enrol", "gallery.erase_subject", "training.start_session")


@dataclass
class Clock:
    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms


class Auditable(Protocol):
    def auditing(self) -> AbstractContextManager[AuditTable]: ...


def pseudonyms_of(store: Auditable) -> Pseudonyms:
    with store.auditing() as audit:
        return audit.pseudonyms()


def checkpoint_of(store: Auditable) -> Checkpoint:
    with store.auditing() as audit:
        return audit.checkpoint()


def keys_of(secret: int) -> Vault:
    return Vault(KeyEncryptionKey(bytes(32)), bytes([secret]) * 32)


@dataclass
class Audited:
    path: str = ":memory:"
    secret: int = 1
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.connection = apsw.Connection(self.path)
        self.connection.set_busy_timeout(10_000)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.table = AuditTable(self.connection, keys_of(self.secret), self.clock)

    def created(self) -> Audited:
        with self.connection:
            self.table.create()
        return self

    def append(self, *entries: Entry) -> int:
        self.connection.execute("BEGIN IMMEDIATE")
        seq = self.table.append(entries)
        self.connection.execute("COMMIT")
        return seq

    def prune(self, upto: int, after: int | None = None) -> bool:
        self.connection.execute("BEGIN IMMEDIATE")
        pruned = self.table.prune(self.table.pruned().upto if after is None else after, upto)
        self.connection.execute("COMMIT")
        return pruned

    def fill(self, records: int, seed: int = 0) -> Audited:
        rng = random.Random(seed)
        for number in range(records):
            self.clock.ms += rng.randrange(5_000)
            self.append(an_entry(rng, number))
        return self

    def rows(self, statement: str, *values: int | str | bytes) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, values).fetchall()

    def sql(self, statement: str, *values: int | str | bytes) -> None:
        self.rows(statement, *values)


def an_entry(rng: random.Random, number: int = 0) -> Entry:
    return Entry(
        actor=rng.choice(("system", "local", f"key:{rng.randrange(4):016d}")),
        action=rng.choice(ACTIONS),
        outcome=rng.choice(("OK", "NO_FACE", "NOT_PERMITTED")),
        roles=("examiner", "trainer")[: rng.randrange(3)],
        request_id=f"request-{number}",
        purpose=rng.choice((None, "training", "missing_person")),
        case=rng.choice((None, Pseudonym(f"{rng.randrange(3):016x}"))),
        gallery=rng.choice((None, "staff", "visitors")),
        subjects=tuple(Pseudonym(f"{rng.randrange(5):016x}") for _ in range(rng.randrange(3))),
        model=rng.choice((None, "buffalo_l@1+flip:abababababab")),
        gallery_version=rng.choice((None, number)),
        threshold=rng.choice((None, "0.4", "-1")),
        counts={"candidates": rng.randrange(50)} if rng.random() < 0.5 else {},
        detail={"index": "faiss_flat"} if rng.random() < 0.5 else {},
    )


def append_in_turns(path: Path, records: int, seed: int) -> None:
    Audited(str(path), clock=Clock(START_MS + seed * DAY_MS)).fill(records, seed)
