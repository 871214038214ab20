"""How a long run of a command ends: all went well, some were refused, it stopped early, or Ctrl-C was pressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from fr_client.cli.state import Unusable, fail
from fr_client.errors import FrApiError

# Exit status where everything was sent and some were refused.
SOME_REFUSED = 3
# That of a command stopped by Ctrl-C, as shells have it.
INTERRUPTED = 130


@dataclass(slots=True)
class Ending:
    """How a run ended.

    Attributes:
        error: that stopped it; None = there was none.
        interrupted: whether Ctrl-C stopped it.
    """

    error: FrApiError | Unusable | None = None
    interrupted: bool = False

    @property
    def early(self) -> bool:
        """Whether the run stopped before all was done."""
        return self.error is not None or self.interrupted

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take note of what stops the block, so that what was done until then can be told."""
        try:
            yield
        except (FrApiError, Unusable) as error:
            self.error = error
        except KeyboardInterrupt:
            self.interrupted = True

    def leave(self, some_refused: bool) -> None:
        """End the command with the exit status that the run has earned, and with the sentence of its error."""
        if self.error is not None:
            fail(self.error)
        if self.interrupted:
            raise typer.Exit(INTERRUPTED)
        if some_refused:
            raise typer.Exit(SOME_REFUSED)
