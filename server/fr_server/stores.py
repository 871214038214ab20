"""What a server keeps beside its galleries: keys, cases and courses, opened together and closed together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field

from fr_core.access.store import AccessStore
from fr_core.training.store.training_store import TrainingStore
from fr_server.access.storage import open_access
from fr_server.config import Config
from fr_server.services.training.storage import open_training


@dataclass(frozen=True, slots=True)
class Stores:
    """Stores that several processes of a server share.

    Attributes:
        access: keys, and the audit of logins, reads and refusals.
        training: courses and answers.
    """

    access: AccessStore
    training: TrainingStore
    _opened: ExitStack = field(repr=False)

    @property
    def broken(self) -> tuple[Future[None], ...]:
        """Of each store: ends with an `InternalError` where it can take no more changes."""
        return (self.access.broken, self.training.broken)

    def close(self) -> None:
        """Finish the changes that wait, and let the stores go; harmless when done twice."""
        self._opened.close()


def open_stores(config: Config, clock: Callable[[], int]) -> Stores:
    """Open the stores of a configuration; they are under the key of the galleries, which is there.

    Args:
        config: of the server.
        clock: milliseconds since 1970, UTC.

    Raises:
        KeyUnavailable, WrongKey, StoreNewer, StoreInUse, StoreCorrupt, StoreFailed: one cannot be opened, which the
            error names; none is left open.
    """
    with ExitStack() as opened:
        access = opened.enter_context(open_access(config, clock))
        training = opened.enter_context(open_training(config, clock))
        return Stores(access, training, opened.pop_all())
