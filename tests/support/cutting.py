"""A relay in front of a server, which cuts its first connections after some bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BYTES = 16_384


@contextmanager
def cutting(port: int, after_bytes: int, times: int) -> Iterator[tuple[int, list[int]]]:
    """Relay to a port of this machine; yields the port of the relay, and the bytes of each connection that it cut."""
    cut: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    server = socket.create_connection(("127.0.0.1", port))
                    for pair in ((client, server, True), (server, client, False)):
                        threading.Thread(target=pass_on, args=pair, daemon=True).start()

        def pass_on(source: socket.socket, target: socket.socket, may_cut: bool) -> None:
            passed = 0
            with suppress(OSError):
                while data := source.recv(_BYTES):
                    passed += len(data)
                    if may_cut and passed > after_bytes and len(cut) < times:
                        cut.append(passed)
                        break
                    target.sendall(data)
            for one in (source, target):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], cut
