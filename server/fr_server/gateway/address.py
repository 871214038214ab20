"""Writes and resolves the address of a server."""

from __future__ import annotations

import socket


def address_of(host: str, port: int) -> str:
    """Return HOST:PORT, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def addresses_of(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """Return the addresses to listen on, each once; raises `OSError` or `UnicodeError` for a host that has none."""
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
