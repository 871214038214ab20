"""A network between this process and a PostgreSQL server, with TLS, whose cable can be pulled; needs root on Linux."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fr_server.clock import wall_ms
from fr_server.gateway.authority import Issued, make_authority, make_server_certificate
from support import tls_relay

_numbers = itertools.count(os.getpid() * 16)
_NETWORKS = 2**14  # of four addresses


class Cable:
    """The only way to a server, from `url` without the name of the database."""

    def __init__(self, name: str, url: str) -> None:
        self.url = url
        self._name = name

    def pull(self) -> None:
        """Lose every packet, in both directions, without a word to either side."""
        _ip("-n", self._name, "link", "set", f"{self._name}b", "down")

    def plug_in(self) -> None:
        _ip("-n", self._name, "link", "set", f"{self._name}b", "up")


@contextmanager
def cable_to(socket_folder: Path, folder: Path) -> Iterator[Cable]:
    """Lay a cable to the server that listens in `socket_folder`; skips the test where this machine does not let us."""
    number = next(_numbers) % _NETWORKS
    name = f"fr{number}"
    near, far = (f"10.213.{number // 64}.{number % 64 * 4 + last}" for last in (1, 2))
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network of our own can be made here: {error}")
    try:
        _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        _ip("address", "add", f"{near}/30", "dev", f"{name}a")
        _ip("link", "set", f"{name}a", "up")
        _ip("-n", name, "address", "add", f"{far}/30", "dev", f"{name}b")
        _ip("-n", name, "link", "set", f"{name}b", "up")
        authority, issued = (Issued(folder / f"{one}.pem", folder / f"{one}.key") for one in ("ca", "server"))
        make_authority(authority, "tests", wall_ms())
        make_server_certificate(authority, issued, (), (far,), wall_ms())
        command = ("ip", "netns", "exec", name, sys.executable, tls_relay.__file__, far)
        files = (str(issued.certificate), str(issued.key), str(socket_folder / ".s.PGSQL.5432"))
        with subprocess.Popen((*command, *files), stdout=subprocess.PIPE, text=True) as relay:
            try:
                assert relay.stdout is not None
                port = relay.stdout.readline().strip()
                yield Cable(name, f"postgresql://postgres@{far}:{port}/{{}}?sslrootcert={authority.certificate}")
            finally:
                relay.kill()
    finally:
        _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)
