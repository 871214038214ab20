"""Who is at the door: the connections there are, counted by address and by whether they have greeted."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from fr_server.door.limits import DoorLimits
from fr_server.door.listener import Refusal

_IPV6_CUSTOMER_BITS = 64

Member = TypeVar("Member", bound=Hashable)


def plain_address(address: str) -> str:
    """Return an IP address as it is written everywhere: without a zone, and IPv4 as IPv4 where IPv6 carries it."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def household(address: str) -> str:
    """Return what shares one limit with an address: itself, or its IPv6 network of 64 bits."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((parsed, _IPV6_CUSTOMER_BITS), strict=False))


class Crowd(Generic[Member]):
    """The connections there are; the door's thread alone changes it.

    Args:
        limits: how many there may be.
    """

    def __init__(self, limits: DoorLimits) -> None:
        self._limits = limits
        self._half_open: dict[Member, str] = {}  # oldest first
        self._open: dict[Member, str] = {}
        self._households: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Member]:
        """Yield all that are in it at this moment; it may change meanwhile."""
        return iter([*self._half_open, *self._open])

    def __len__(self) -> int:
        return len(self._half_open) + len(self._open)

    @property
    def half_open(self) -> int:
        """How many have not greeted."""
        return len(self._half_open)

    def refusal(self, address: str) -> Refusal | None:
        """Return why nobody may come in from an address now, if so."""
        if len(self._open) >= self._limits.connections:
            return Refusal.TOO_MANY
        if self._households.get(household(address), 0) >= self._limits.connections_per_address:
            return Refusal.TOO_MANY_OF_ADDRESS
        return None

    def oldest_beyond(self) -> Member | None:
        """Return who has to go so that one more may be half-open; None = nobody has to."""
        return next(iter(self._half_open)) if len(self._half_open) >= self._limits.half_open else None

    def enter(self, member: Member, address: str) -> None:
        """Count a connection that has not greeted."""
        self._half_open[member] = household(address)
        self._households[household(address)] += 1

    def greeted(self, member: Member) -> bool:
        """Count a half-open connection as open, or return False where there are too many of these."""
        if len(self._open) >= self._limits.connections:
            return False
        self._open[member] = self._half_open.pop(member)
        return True

    def leave(self, member: Member) -> None:
        """Count a connection no more."""
        place = self._half_open if member in self._half_open else self._open
        of = place.pop(member)
        self._households[of] -= 1
        if not self._households[of]:
            del self._households[of]
