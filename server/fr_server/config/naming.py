"""Adds the name of the faulty file to an error that prevents a start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fr_core.errors import (
    FrError,
    KeyUnavailable,
    StoreCorrupt,
    StoreExposed,
    StoreFailed,
    StoreInUse,
    StoreNewer,
    WrongKey,
)

# Errors of a store or its key. Their messages contain no path, because callers must not learn paths.
_OF_A_FILE = (StoreCorrupt, StoreExposed, StoreFailed, StoreInUse, StoreNewer, WrongKey, KeyUnavailable)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Add the name of the file to errors within the block.

    Args:
        path: the file, or its folder if it is one of several.
    """
    try:
        yield
    except _OF_A_FILE as error:
        if "file" in error.metadata:
            raise
        raise named(error, path) from error


def named(error: FrError, path: Path | str) -> FrError:
    """Return the same error with the path in its sentence and its metadata (`file`)."""
    return type(error)(f"{path}: {error.what}", **{**error.metadata, "file": str(path)})
