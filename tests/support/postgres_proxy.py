"""A socket in front of a PostgreSQL server, which can cut connections at a commit, and keep new ones away."""

import socket
import threading
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"
_BYTES = 65_536


class Cut(Enum):
    """The moment at which the next commit loses its connection."""

    NEVER = 0
    BEFORE = 1  # the server does not hear of the commit
    AFTER = 2  # the server has kept it, and its answer is lost


class Proxy:
    """Passes bytes on between the sockets of two folders.

    Attributes:
        cut: for the next commit alone.
        open: whether it takes new connections.
        end_after_s: how much later than the last bytes a client hears that the server has closed its connection.
        ended: connections of which the client has all that the server sent, but hears of the end later.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.cut = Cut.NEVER
        self.open = True
        self.end_after_s = 0.0
        self.ended = 0
        self.folder = folder
        self._server = str(server / _SOCKET)
        self._lock = threading.Lock()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / _SOCKET))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_BYTES):
                if b"COMMIT\0" in data and self._cuts(Cut.BEFORE):
                    break
                server.sendall(data)
        _end(client, server)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_BYTES):
                if b"COMMIT\0" in data and self._cuts(Cut.AFTER):
                    break
                client.sendall(data)
        if self.end_after_s:
            with self._lock:
                self.ended += 1
            time.sleep(self.end_after_s)
        _end(client, server)

    def _cuts(self, at: Cut) -> bool:
        with self._lock:
            now, self.cut = self.cut is at, Cut.NEVER if self.cut is at else self.cut
        return now


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
