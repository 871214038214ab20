"""Writes and resolves the address of a server."""

import socket
from contextlib import suppress
from ipaddress import ip_address

from fr_core.errors import AddressUnavailable, message


def address_of(host: str, port: int) -> str:
    """Return HOST:PORT, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def unavailable(address: str, section: str = "server") -> AddressUnavailable:
    """Return the error for an address, of the settings of a section, that cannot be listened on."""
    return AddressUnavailable(message("error.server.no_address", address=address, section=section), address=address)


def require_free(host: str, port: int, section: str) -> None:
    """Raise `AddressUnavailable` if the address of a section of the settings cannot be listened on now.

    Listens nowhere, so no caller is refused. Port 0 is always free.
    """
    if not port:
        return
    try:
        for family, address in addresses_of(host, port):
            with socket.socket(family, socket.SOCK_STREAM) as made:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                made.bind((address, port))
    except (OSError, UnicodeError) as error:
        raise unavailable(address_of(host, port), section) from error


def addresses_of(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """Return the addresses to listen on, each once; raises `OSError` or `UnicodeError` for a host that has none."""
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def own_address_of(host: str, port: int) -> str:
    """Return HOST:PORT by which this machine reaches a server of its own that listens on a host."""
    name = host.strip("[]") or "0.0.0.0"
    with suppress(ValueError):
        address = ip_address(name)
        if address.is_unspecified:
            name = "127.0.0.1" if address.version == 4 else "::1"
    return address_of(name, port)
