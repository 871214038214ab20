"""Knows where the stores of a configuration lie, and keeps their marks: which seal last served each store."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fr_core.errors import NoStore, StoreInUse, message
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location, name_of, naming
from fr_core.storage.marks import each_of
from fr_core.storage.outside import exists, is_marked, mark_of, set_mark
from fr_core.storage.schema import Schema
from fr_server.config import Config
from fr_server.config.folders import access_folder, cases_folder, data_folder, postgres_of, training_folder
from fr_server.telemetry.trust import Chain
from fr_training.store.schema import SCHEMA as TRAINING
from fr_trust.access.schema import SCHEMA as ACCESS
from fr_trust.casework.store_schema import SCHEMA as CASES


def any_marked(config: Config) -> Path | str | None:
    """Return the name of a store with a mark, or None; needs no key. Raises `StoreCorrupt`, `StoreFailed`."""
    for place in _there(config):
        with naming(place.named):
            if is_marked(place.location, place.schema):
                return place.named
    return None


def marks_of(config: Config, key: KeyEncryptionKey) -> dict[Path | str, frozenset[bytes]]:
    """Return the marks of the existing stores by their names, 32 bytes for each server; raises `WrongKey` too."""
    marks: dict[Path | str, frozenset[bytes]] = {}
    for place in _there(config):
        with naming(place.named):
            marks[place.named] = frozenset(each_of(mark_of(place.location, place.schema, key)))
    return marks


def mark_all(config: Config, key: KeyEncryptionKey, mark: bytes, instead: Collection[bytes] = ()) -> None:
    """Write a mark, 32 bytes or b"" for none, into every existing store; servers may have them open.

    `instead`: the marks of earlier seals of this server, which are removed. A store that is new in a database gets the
    marks of the other servers, too, from the stores beside it.

    Raises `WrongKey`, `StoreNewer`, `StoreCorrupt` or `StoreFailed` if one could not be marked (metadata: file); run it
    again.
    """
    marks = marks_of(config, key)
    beside = sorted(frozenset().union(*marks.values()) - {mark, *instead}) if config.storage.url and mark else []
    for place in _there(config):
        with naming(place.named):
            found = marks.get(place.named, frozenset())
            if (mark in found if mark else not found) and not found & {*instead}:
                continue
            with _open(place, key):
                written = mark if found else b"".join([*beside, mark])
                set_mark(place.location, place.schema, key, written, instead)


@contextmanager
def _open(place: Place, key: KeyEncryptionKey) -> Iterator[None]:
    """Make sure a store in a folder is open, here or elsewhere: the first to open it repairs its log after a crash."""
    if not isinstance(place.location, Path):
        yield
        return
    try:
        database = Database(place.location, place.schema, key, 0)
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
    location: Location
    schema: Schema

    @property
    def named(self) -> Path | str:
        """The path of its database file, or its database and schema."""
        return name_of(self.location, self.schema)

    @property
    def is_there(self) -> bool:
        """Return True if it exists, a file directly or through a link; raises as `outside.exists`."""
        return exists(self.location, self.schema)

    @property
    def remains(self) -> Path | None:
        """A remnant of a missing store in a folder: its log, its lock, or a broken link."""
        folder, name = self.location, self.schema.database_name
        if not isinstance(folder, Path):
            return None
        names = (name, f"{name}-wal", f"{name}-shm", self.schema.lock_name)
        if folder.is_symlink() and not folder.exists():
            return folder
        return next((folder / name for name in names if os.path.lexists(folder / name)), None)


def places_of(config: Config) -> tuple[Place, ...]:
    """Return the places of all stores of a configuration, in the order of their chains; they need not exist."""
    return places_in(config, folders=not config.storage.url)


def places_in(config: Config, *, folders: bool) -> tuple[Place, ...]:
    """Return the places of all stores in the folders of a configuration, or in its database."""
    server = None if folders else postgres_of(config)
    return (
        Place("galleries", server or data_folder(config), GALLERIES),
        Place("training", server or training_folder(config), TRAINING),
        Place("cases", server or cases_folder(config), CASES),
        Place("access", server or access_folder(config), ACCESS),
    )


def require_places(config: Config) -> tuple[Place, ...]:
    """Return the places as `places_of` does; raises `NoStore` if no store exists."""
    places = places_of(config)
    if not any(place.is_there for place in places):
        if (server := postgres_of(config)) is not None:
            raise NoStore(message("error.server.database_holds_no_store", database=str(server)))
        raise NoStore(message("error.server.folder_holds_no_store", data_folder=str(data_folder(config))))
    return places
