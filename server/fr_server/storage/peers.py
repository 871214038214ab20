"""Registers this server with those that share its stores."""

import logging
import socket

from fr_core import __version__
from fr_core.storage.members import LASTS_S, Heartbeat, Itself, Members
from fr_core.storage.opening import open_members
from fr_server.config import Config
from fr_server.config.folders import data_folder, postgres_of
from fr_server.telemetry.shared import Shared

log = logging.getLogger("fr_server.storage")

_ANY = ("", "0.0.0.0", "::", "[::]")


def name_of_server(config: Config) -> str:
    """Return the name of a server: `server.name`, else its host and port."""
    return config.server.name or _address(config)


def _address(config: Config) -> str:
    host = config.server.host
    return f"{socket.gethostname() if host in _ANY else host}:{config.server.port}"


class Peers:
    """This server among others: registered from now until `close`. Raises as `open_members`.

    `shared` is told of heartbeats that fail; `lasts_s` is as for `open_members`.
    """

    def __init__(self, config: Config, shared: Shared | None = None, lasts_s: float = LASTS_S) -> None:
        itself = Itself(name_of_server(config), _address(config), __version__, max(1, config.server.frontends))
        server, folder = postgres_of(config), data_folder(config)
        self.members: Members = open_members(server or folder, itself, lasts_s, folder)
        told = shared or Shared()
        self._heartbeat = (
            None if server is None else Heartbeat(self.members, lasts_s, failed=lambda error: told.heartbeat_failed())
        )

    def close(self) -> None:
        """Leave; from now on, this server may answer nothing. Harmless when done twice."""
        if self._heartbeat is not None:
            self._heartbeat.close()
        self.members.close()
