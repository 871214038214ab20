"""Grants shares of an account's budget to several processes: together never more than the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Block:
    """A share of an account, granted to one process, which spends it alone."""

    granted: int  # 0 for nothing
    wait_s: float  # until a token is there, where none was granted; of uses, until their day ends


class Grants(Protocol):
    """Accounts, each named by bytes that do not reveal its owner. Every method raises `StoreFailed`."""

    def take(self, account: bytes, rate: float, burst: int) -> Block:
        """Take a block of tokens; an account gets `rate` tokens a second, and holds `burst` at most (1 or more)."""

    def use(self, account: bytes, most: int) -> Block:
        """Take a block of uses; an account has `most` of them in a day (UTC)."""

    def used(self, account: bytes) -> int:
        """Return how many uses of today were granted."""

    def sweep(self) -> None:
        """Delete accounts that are in the state of a new one."""

    def close(self) -> None:
        """Release connections; harmless when done twice."""
