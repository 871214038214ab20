"""Milvus for tests: a real server from the registry package `milvus`, and Milvus Lite in this process."""

import fcntl
import hashlib
import lzma
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_core.errors import IndexUnavailable
from fr_core.gallery.index.milvus_indexes import MilvusIndexes
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.protocol import Upkeep, VectorIndex
from fr_core.types import F32, I64

# The etcd inside always listens on port 2380 for others of its kind, so that a machine runs one server at a time.
_TURN = Path(tempfile.gettempdir()) / "fr-milvus-turn"
# Its programs, unpacked once: 250 MB.
_PROGRAMS = Path(tempfile.gettempdir()) / "fr-milvus-2.3.5"
_START_S = 120.0
# A value in the package's template of a configuration: its name, its type for ports, and its default.
_VALUE = re.compile(r"\{\{ *(\w+)(?:\((\w+)\))?(?:: *([^}]*?))? *\}\}")


class MilvusServer:
    """A folder of Milvus and its server; can be killed and started again. `environment`: settings of Milvus."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        package = find_spec("milvus")
        assert package is not None
        assert package.origin is not None
        self._data = Path(package.origin).parent / "data"
        self._server: subprocess.Popen[bytes] | None = None
        for name in ("configs", "logs", "data"):
            (folder / name).mkdir()
        self._ports: dict[str, str] = {}
        template = (self._data / "config.yaml.template").read_text()
        (folder / "configs" / "milvus.yaml").write_text(_VALUE.sub(self._value, template))
        shutil.copy(self._data / "glog.conf", folder / "configs")
        self._environment = {
            **os.environ,
            **environment,
            "LD_LIBRARY_PATH": str(_PROGRAMS),
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(free_port()),
            "MILVUS_RUN_DIR": str(folder / "run"),
        }

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._ports['proxy_port']}"

    def start(self) -> None:
        """Start it, and wait until it is healthy."""
        self._unpack()
        with (self.folder / "logs" / "output").open("ab") as output:
            command = [str(_PROGRAMS / "milvus"), "run", "standalone"]
            self._server = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=output, stderr=output
            )
        until = time.monotonic() + _START_S
        while not self._is_healthy():
            assert self._server.poll() is None, (self.folder / "logs" / "output").read_text()[-2000:]
            assert time.monotonic() < until
            time.sleep(0.1)

    def revive(self) -> None:
        """Start it again where it has died by itself."""
        if self._server is not None and self._server.poll() is not None:
            self.start()

    def kill(self) -> None:
        """End it as a power cut does to a process."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def files_with(self, needle: bytes) -> list[Path]:
        """Return the files of its data that hold these bytes."""
        found = []
        for path in sorted((self.folder / "data").rglob("*")):
            with suppress(FileNotFoundError, IsADirectoryError):  # it goes on writing
                if needle in path.read_bytes():
                    found.append(path.relative_to(self.folder / "data"))
        return found

    def _value(self, found: re.Match[str]) -> str:
        name, kind, default = found.groups()
        folders = {"local_storage_dir": "data", "rocksmq_data_dir": "data/rocksmq", "etcd_data_dir": "data/etcd"}
        if name in folders:
            return str(self.folder / folders[name])
        if name == "system_log_path":
            return str(self.folder / "logs")
        if name == "etcd_log_path":
            return str(self.folder / "logs" / "etcd.log")
        if kind == "int" and name.endswith("port"):
            return self._ports.setdefault(name, str(free_port()))
        return default or ""

    def _unpack(self) -> None:
        _PROGRAMS.mkdir(exist_ok=True)
        for packed in (self._data / "bin").glob("*.lzma"):
            program = _PROGRAMS / packed.stem
            if not program.exists():
                with lzma.open(packed) as source, program.with_suffix(".new").open("wb") as target:
                    shutil.copyfileobj(source, target)
                program.with_suffix(".new").chmod(0o755)
                program.with_suffix(".new").rename(program)

    def _is_healthy(self) -> bool:
        try:
            port = self._environment["METRICS_PORT"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as said:
                return b"OK" in said.read()
        except OSError:
            return False


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def milvus_server(**environment: str) -> Iterator[MilvusServer]:
    """Yield a running server with an empty folder of its own; skips where the package is not installed."""
    if find_spec("milvus") is None:
        pytest.skip("no Milvus server: `make milvus-server` installs it")
    with _TURN.open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        folder = Path(tempfile.mkdtemp(prefix="fr-milvus-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        try:
            server = MilvusServer(folder, environment)
            try:
                server.start()
                yield server
            finally:
                server.kill()
        finally:
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
    return MilvusIndexes(settings, derive, truth)


def keep_up(index: VectorIndex) -> None:
    """Do all upkeep that is due."""
    while (work := index.upkeep()) is not None:
        work.prepare()
        work.finish()


def due(index: VectorIndex) -> Upkeep:
    """Return the upkeep that is due next: after a failure it begins a moment later."""
    until = time.monotonic() + _START_S
    while (work := index.upkeep()) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    return work


def keep_up_until(index: VectorIndex, reached: Callable[[], bool], longest_s: float = _START_S) -> None:
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
