"""Names the file that keeps a server from starting: whoever has to mend it needs to know which it is."""

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

# What may be wrong with a store or its key. Their sentences say what, and not where: a caller shall not learn paths.
_OF_A_FILE = (StoreCorrupt, StoreExposed, StoreFailed, StoreInUse, StoreNewer, WrongKey, KeyUnavailable)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Let refusals to open something within the block say which file it is.

    Args:
        path: of the file, or of the folder where it is one of several.
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
