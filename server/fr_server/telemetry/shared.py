"""Names the events of a server that shares its stores with others, and passes them to its listener."""

from typing import Literal, get_args

from fr_core.storage.grants import Block, Grants
from fr_core.storage.leases import LeaseEvent
from fr_core.storage.pool import PoolListener

Budget = Literal["calls", "searches"]

BUDGETS: tuple[Budget, ...] = get_args(Budget)


class Shared(PoolListener):
    """Receives events of PostgreSQL and of the other servers from any thread, and ignores them.

    The methods of a subclass are quick and do not raise.
    """

    def heartbeat_failed(self) -> None:
        """The other servers could not be told that this one lives."""

    def lease(self, job: str, event: LeaseEvent) -> None:
        """This process has begun to hold the lease of a job, lost it to another one, or released it."""

    def block_asked(self, budget: Budget, granted: bool) -> None:
        """This process has asked the database for a share of a caller's budget."""


class ToldGrants:
    """Accounts whose blocks a listener is told of; see `Grants`."""

    def __init__(self, grants: Grants, shared: Shared) -> None:
        self._grants = grants
        self._shared = shared

    def take(self, account: bytes, rate: float, burst: int) -> Block:
        """As `Grants.take`."""
        return self._told("calls", self._grants.take(account, rate, burst))

    def use(self, account: bytes, most: int) -> Block:
        """As `Grants.use`."""
        return self._told("searches", self._grants.use(account, most))

    def used(self, account: bytes) -> int:
        """As `Grants.used`."""
        return self._grants.used(account)

    def sweep(self) -> None:
        """As `Grants.sweep`."""
        self._grants.sweep()

    def close(self) -> None:
        """As `Grants.close`."""
        self._grants.close()

    def _told(self, budget: Budget, block: Block) -> Block:
        self._shared.block_asked(budget, block.granted > 0)
        return block


_IMPLEMENTS: type[Grants] = ToldGrants
