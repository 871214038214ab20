"""The port that several processes of one server listen on together, and no other server."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from fr_core.errors import AddressUnavailable
from fr_server.gateway.address import address_of


class HeldPort:
    """A port that is ours: bound, so that nobody else can have it, and not listened on.

    The front-ends listen on it with SO_REUSEPORT, and the kernel shares connections out among them. With that option
    alone, a second server of the same user could silently join them; so the port is first bound without it, which fails
    where anybody listens.

    Args:
        host: a name or an address, as in the configuration.
        port: 0 for any free one.

    Raises:
        AddressUnavailable: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = port
        try:
            with ExitStack() as held:
                for family, address in _addresses(host, port):
                    if self.port:
                        _bound(family, address, self.port, socket.SO_REUSEADDR).close()
                    self.port = held.enter_context(_shared(family, address, self.port)).getsockname()[1]
                self._held = held.pop_all()
        except (OSError, UnicodeError) as error:
            address = address_of(host, port)
            raise AddressUnavailable(f"The server cannot listen on {address}.", address=address) from error

    def close(self) -> None:
        """Let the port go."""
        self._held.close()


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _shared(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """A socket beside which others may listen.

    Without SO_REUSEADDR where it can be, for with it another server's first bind would succeed until somebody listens.
    Connections of a server that has just ended can make it necessary.
    """
    try:
        return _bound(family, address, port, socket.SO_REUSEPORT)
    except OSError:
        return _bound(family, address, port, socket.SO_REUSEPORT, socket.SO_REUSEADDR)


def _bound(family: socket.AddressFamily, address: str, port: int, *options: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind((address, port))
    except BaseException:
        made.close()
        raise
    return made
