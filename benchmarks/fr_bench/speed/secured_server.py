"""Servers as `fr server init` sets them up, with TLS, access and audit, for a measurement."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fr_bench.speed.child import BenchFailed
from fr_bench.speed.connection import Access
from fr_bench.speed.server_process import ServerProcess, fr_command, started_server
from fr_files.reading import read_toml
from fr_locales.messages import message

# More than a measurement needs: what is to be measured are the checks of a call, not the limits of a key.
_LIMITS = ("--requests-per-s", "100000", "--burst", "100000")
_SERVER_LIMITS = "requests_per_s = 100000.0\nburst = 100000"


@contextmanager
def secured_server(options: Sequence[str], fr: str | None = None) -> Iterator[ServerProcess]:
    """As `secured_servers`, of one."""
    with secured_servers(1, options, fr) as (server,):
        yield server


@contextmanager
def secured_servers(number: int, options: Sequence[str], fr: str | None = None) -> Iterator[list[ServerProcess]]:
    """Set up servers of one configuration in a new folder and start them; stop them at the end.

    Several need a database, `FR__STORAGE__URL` in the environment. `options` and `fr` are as for `started_server`.
    Their `access` has a key for everything but reading the audit. Raises `BenchFailed` where one cannot be set up, or
    does not start.
    """
    fr = fr_command(fr)
    with tempfile.TemporaryDirectory(prefix="fr-bench-") as made, ExitStack() as stack:
        folder = Path(made) / "server"
        config, admin, user = folder / "server.toml", folder / "admin.toml", Path(made) / "user.toml"
        _run(fr, "server", "init", str(folder), "--name", "localhost")
        text = config.read_text().replace('"0.0.0.0"', '"127.0.0.1"')
        config.write_text(re.sub(r"(?m)^searches_per_day.*$", _SERVER_LIMITS, text))
        _run(fr, "server", "seal", "--config", str(config))
        started = ["--config", str(config), "--data", str(folder / "data"), *options]
        servers = []
        for place in range(number):
            # An older checkout, which `fr` may belong to, does not know this setting.
            environ = {"FR__SERVER__NAME": f"bench-{place + 1}"} if number > 1 else {}
            servers.append(stack.enter_context(started_server(started, environ, fr=fr)))
        admin.write_text(re.sub(r"(?m)^server = .*$", f'server = "{servers[0].address}"', admin.read_text()))
        may = ("--role", "operator", "--role", "admin", "--gallery", "*", *_LIMITS)
        _run(fr, "--connection", str(admin), "key", "create", *may, "--connection-file", str(user))
        said = read_toml(user.read_text(), 1 << 20)
        for server in servers:
            server.access = Access(said["ca"].encode(), said["key"])
        yield servers


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(Path(word).name if word.startswith("/") else word for word in command)
        told = (done.stderr or done.stdout).strip()
        raise BenchFailed(message("error.bench.secured_server_not_made", command=words, told=told))
