"""Reads and writes the marks of a configuration's stores: a mark names the seal that last served its store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fr_core.errors import StoreInUse
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.marks import is_marked, mark_of, set_mark
from fr_server.commands.integrity import Place, places_of
from fr_server.config import Config
from fr_server.config.naming import naming


def any_marked(config: Config) -> Path | None:
    """Return the path of a store that has a mark, None if none has; needs no key.

    Raises:
        StoreCorrupt, StoreFailed: a database cannot be read (metadata: file).
    """
    for place in _there(config):
        with naming(place.path):
            if is_marked(place.path):
                return place.path
    return None


def marks_of(config: Config, key: KeyEncryptionKey) -> dict[Path, bytes]:
    """Return the mark of every existing store, 32 bytes, or b"" if it has none; by the path of its database.

    Raises:
        WrongKey, StoreCorrupt, StoreFailed: one cannot be read (metadata: file).
    """
    marks = {}
    for place in _there(config):
        with naming(place.path):
            marks[place.path] = mark_of(place.path, key)
    return marks


def mark_all(config: Config, key: KeyEncryptionKey, mark: bytes) -> None:
    """Write a mark into every existing store; servers may have them open.

    Args:
        config: of the server.
        key: of the stores.
        mark: 32 bytes, or b"" for none.

    Raises:
        WrongKey, StoreNewer, StoreCorrupt, StoreFailed: one could not be marked (metadata: file); run it again.
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
