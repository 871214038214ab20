"""Milvus for tests: a real server from the registry package `milvus`, and Milvus Lite in this process."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_core.errors import IndexUnavailable
from fr_core.gallery.index.milvus_index import MilvusIndex
from fr_core.gallery.index.milvus_indexes import MilvusIndexes
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.protocol import VectorIndex
from fr_core.types import F32, I64

# Milvus' own parts listen beside each other from a port on, which it looks for once, so that starts take turns.
_TURN = Path(tempfile.gettempdir()) / "fr-milvus-turn"
# Its programs, unpacked once: 250 MB.
_PROGRAMS = Path(tempfile.gettempdir()) / "fr-milvus-2.3.5"
_START_S = 120.0


class MilvusServer:
    """A folder of Milvus and its server; can be killed and started again. `settings`: "rocksmq.x": value."""

    def __init__(self, folder: Path, settings: dict[str, int]) -> None:
        from milvus import MilvusServer as Packaged
        from milvus import MilvusServerConfig

        self.folder = folder
        _PROGRAMS.mkdir(exist_ok=True)
        (folder / "bin").symlink_to(_PROGRAMS)
        self._config = MilvusServerConfig(data_dir=str(folder))
        for name, value in settings.items():
            self._config.set(name, value)
        self._server: Any = Packaged(self._config)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._server.listen_port}"

    def start(self) -> None:
        """Start it, and wait until it answers; on the port that it had before."""
        with _TURN.open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            self._server.start()
        self._config.configs["proxy_port"] = self._server.listen_port

    def kill(self) -> None:
        self._server.server_proc.kill()
        self._server.server_proc.wait()
        self._server.server_proc = None

    def stop(self) -> None:
        self._server.stop()


@contextmanager
def milvus_server(**settings: int) -> Iterator[MilvusServer]:
    """Yield a running server with an empty folder of its own; skips where the package is not installed."""
    if find_spec("milvus") is None:
        pytest.skip("no Milvus server: `make milvus-server` installs it")
    folder = Path(tempfile.mkdtemp(prefix="fr-milvus-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    server = MilvusServer(folder, {name.replace("__", "."): value for name, value in settings.items()})
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def lite(folder: Path) -> str:
    """Return the address of Milvus Lite, which starts with the first connection and ends with this process."""
    return str(folder / "milvus.db")


def settings_of(uri: str, **others: Any) -> MilvusSettings:
    return MilvusSettings(uri=uri, **{"search_timeout_s": 30.0, "write_timeout_s": 120.0, **others})


def derive(purpose: str) -> bytes:
    return hashlib.sha256(f"store {purpose}".encode()).digest()


def truth_of(index: VectorIndex, live: Callable[[], I64]) -> Callable[[int, I64], tuple[I64, F32]]:
    """Return what reads the vectors of another index, which holds those of `live`."""

    def truth(_: int, ids: I64) -> tuple[I64, F32]:
        found = np.intersect1d(ids, live())
        return found, index.vectors(found)

    return truth


def indexes_of(settings: MilvusSettings, truth: Callable[[int, I64], tuple[I64, F32]]) -> MilvusIndexes:
    """Return indexes that may be compared at once."""
    made = MilvusIndexes(settings, derive, truth)
    made.filled()
    return made


def keep_up(index: VectorIndex) -> None:
    """Do all upkeep that is due."""
    while (work := index.upkeep()) is not None:
        work.prepare()
        work.finish()


def keep_up_until(index: MilvusIndex, reached: Callable[[], bool], longest_s: float = _START_S) -> None:
    """Do upkeep, again and again, until something is reached."""
    until = time.monotonic() + longest_s
    while True:
        keep_up(index)
        if reached():
            return
        assert time.monotonic() < until
        time.sleep(0.05)


def answers(index: VectorIndex, probe: F32, k: int = 1) -> bool:
    """Return whether an index answers now, rather than that it is unavailable."""
    try:
        index.search(probe, k)
    except IndexUnavailable:
        return False
    return True
