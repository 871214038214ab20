"""Knows where the stores of a configuration lie, and keeps their marks: which seal last served each store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fr_core.errors import NoStore, StoreInUse, message
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.marks import is_marked, mark_of, set_mark
from fr_core.storage.schema import Schema
from fr_server.config import Config
from fr_server.config.folders import access_folder, cases_folder, data_folder, naming, training_folder
from fr_server.telemetry.trust import Chain
from fr_training.store.schema import SCHEMA as TRAINING
from fr_trust.access.schema import SCHEMA as ACCESS
from fr_trust.casework.store_schema import SCHEMA as CASES


def any_marked(config: Config) -> Path | None:
    """Return the path of a store with a mark, or None; needs no key. Raises `StoreCorrupt`, `StoreFailed`."""
    for place in _there(config):
        with naming(place.path):
            if is_marked(place.path):
                return place.path
    return None


def marks_of(config: Config, key: KeyEncryptionKey) -> dict[Path, bytes]:
    """Return the marks of the existing stores by their paths, 32 bytes or b""; raises `WrongKey` too."""
    marks = {}
    for place in _there(config):
        with naming(place.path):
            marks[place.path] = mark_of(place.path, key)
    return marks


def mark_all(config: Config, key: KeyEncryptionKey, mark: bytes) -> None:
    """Write a mark, 32 bytes or b"" for none, into every existing store; servers may have them open.

    Raises `WrongKey`, `StoreNewer`, `StoreCorrupt` or `StoreFailed` if one could not be marked (metadata: file); run it
    again.
    """
    for place in _there(config):
        with naming(place.path):
            if mark_of(place.path, key) == mark:
                continue
            with _open(place, key):
                set_mark(place.path, key, mark)


@contextmanager
def _open(place: Place, key: KeyEncryptionKey) -> Iterator[None]:
    """Make sure a store is open, here or elsewhere: the first to open it repairs its log after a crash."""
    try:
        database = Database(place.folder, place.schema, key, 0)
    except StoreInUse:
        if place.schema.shared:
            raise
        yield
        return
    with closing(database):
        yield


def _there(config: Config) -> list[Place]:
    return [place for place in places_of(config) if _is_there(place)]


def _is_there(place: Place) -> bool:
    try:
        return place.is_there
    except OSError:  # such as a name that is too long: no store can open there either, and the start says why
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a store, which the chain of its audit names."""

    chain: Chain
    folder: Path
    schema: Schema

    @property
    def path(self) -> Path:
        """The path of its database file."""
        return self.folder / self.schema.database_name

    @property
    def is_there(self) -> bool:
        """Return True if its file exists, directly or through a link."""
        return self.path.is_file()

    @property
    def remains(self) -> Path | None:
        """A remnant of a missing store: its log, its lock, or a broken link."""
        name = self.schema.database_name
        names = (name, f"{name}-wal", f"{name}-shm", self.schema.lock_name)
        if self.folder.is_symlink() and not self.folder.exists():
            return self.folder
        return next((self.folder / name for name in names if os.path.lexists(self.folder / name)), None)


def places_of(config: Config) -> tuple[Place, ...]:
    """Return the places of all stores of a configuration, in the order of their chains; they need not exist."""
    return (
        Place("galleries", data_folder(config), GALLERIES),
        Place("training", training_folder(config), TRAINING),
        Place("cases", cases_folder(config), CASES),
        Place("access", access_folder(config), ACCESS),
    )


def require_places(config: Config) -> tuple[Place, ...]:
    """Return the places as `places_of` does; raises `NoStore` if no store exists."""
    places = places_of(config)
    if not any(place.is_there for place in places):
        raise NoStore(message("error.server.folder_holds_no_store", data_folder=str(data_folder(config))))
    return places
