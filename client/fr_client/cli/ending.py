"""Ends a long run of a command: all went well, some items were refused, it stopped early, or by Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from fr_client.cli.state import Unusable, fail
from fr_client.errors import FrApiError

# Exit status if everything was sent and the server refused some.
SOME_REFUSED = 3
# Exit status after Ctrl-C, as in shells.
INTERRUPTED = 130


@dataclass(slots=True)
class Ending:
    """The end of a run: the error that stopped it, if any, and whether Ctrl-C did."""

    error: FrApiError | Unusable | None = None
    interrupted: bool = False

    @property
    def early(self) -> bool:
        """Return whether the run stopped before all was done."""
        return self.error is not None or self.interrupted

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Record what stops the block, so that the command can still print its results."""
        try:
            yield
        except (FrApiError, Unusable) as error:
            self.error = error
        except KeyboardInterrupt:
            self.interrupted = True

    def leave(self, some_refused: bool) -> None:
        """End the command with the exit status of the run, and with the sentence of its error."""
        if self.error is not None:
            fail(self.error)
        if self.interrupted:
            raise typer.Exit(INTERRUPTED)
        if some_refused:
            raise typer.Exit(SOME_REFUSED)
