"""The folder of a store: private, open in several processes, and known to be alone in it or not."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fr_core.errors import StoreFailed, StoreInUse
from fr_core.storage.data_folder import DataFolder, make_folder
from fr_core.storage.durable import cause
from fr_core.storage.schema import Schema

_AGAIN_S = 0.01


class SharedFolder(DataFolder):
    """A data folder that several processes hold at once; the system drops a hold when its process ends.

    Whoever finds nobody else in it has it alone until `share`: makes the database, brings it up to date, and looks
    whether it is sound. Stores of several kinds may lie in one folder; none is in another's way.

    Args:
        path: the folder, made with mode 0700 where it is not there; files get mode 0600.
        schema: of the store that is held.

    Raises:
        StoreExposed: others can write to the folder.
        StoreFailed: the folder or a lock file cannot be made.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        # The folder of galleries takes its lock for itself alone, so that its own __init__ is not called.
        self.path = path = path.resolve()  # as `DataFolder`
        self._schema = schema
        try:
            make_folder(path)
            self._hold = os.open(path / schema.lock_name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailed("The data folder cannot be made or written to.", errno=cause(error)) from error
        self.alone = self._try_alone()
        while not self.alone:
            self._flock(fcntl.LOCK_SH)  # waits until the one who is alone has made the database
            if self.holds(schema.database_name):
                return
            self._flock(fcntl.LOCK_UN)  # that one died before
            time.sleep(_AGAIN_S)
            self.alone = self._try_alone()

    def share(self) -> None:
        """Let others in."""
        self._flock(fcntl.LOCK_SH)
        self.alone = False

    def wait_alone(self, needed: Callable[[], bool], longest_s: float) -> None:
        """Try to have the folder alone, for as long as that is needed; afterwards `alone` says whether it is.

        The folder is let go meanwhile, so that of several who try one succeeds. Nothing may be written until then.

        Args:
            needed: asked again and again; false once somebody else has done what it was wanted for.
            longest_s: how long it is tried at most.
        """
        until = time.monotonic() + longest_s
        self._flock(fcntl.LOCK_UN)
        while True:
            self.alone = self._try_alone()
            if self.alone:
                return
            if not needed() or time.monotonic() > until:
                break
            time.sleep(_AGAIN_S)
        self._flock(fcntl.LOCK_SH)

    @contextmanager
    def alone_for(self) -> Iterator[None]:
        """Have the folder alone for the block; raises `StoreInUse` where it is not to be had."""
        if not self._try_alone():
            self._flock(fcntl.LOCK_SH)  # one that could not be changed may have been dropped: flock(2)
            raise StoreInUse(f"The {self._schema.name} is open in another process.")
        try:
            yield
        finally:
            self._flock(fcntl.LOCK_SH)

    @contextmanager
    def building(self, *, wait: bool) -> Iterator[bool]:
        """Be the only one of all processes that builds something which takes several transactions.

        Args:
            wait: until the others are done.

        Yields:
            Whether one is; always where it was waited for.
        """
        path = self.private_file(self._schema.building_name)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StoreFailed("A file of the data folder cannot be opened.", errno=cause(error)) from error
        try:
            yield _locked(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(handle)

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._hold)

    def _try_alone(self) -> bool:
        return _locked(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _flock(self, how: int) -> None:
        if not _locked(self._hold, how):
            raise StoreFailed("The data folder cannot be locked.")


def _locked(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreFailed("The data folder cannot be locked.", errno=cause(error)) from error
    return True
