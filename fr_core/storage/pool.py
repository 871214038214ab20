"""The events of a store's connections to PostgreSQL."""


class PoolListener:
    """Receives events of the connections that read stores, and ignores them.

    `store` is such as "galleries". Called from any thread; the methods of a subclass are quick and do not raise.
    """

    def connections(self, store: str, change: int) -> None:
        """A store has that many more open connections, or fewer."""

    def waiting(self, store: str, change: int) -> None:
        """Count so many more readers that wait for a connection, or fewer."""

    def timed_out(self, store: str) -> None:
        """A reader waited for a connection in vain."""
