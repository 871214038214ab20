"""Exempts objects that live until the end of the process from garbage collection."""

from __future__ import annotations

import gc


def spare_the_collector() -> None:
    """Have the garbage collector leave alone what there is now.

    It stops everything while it looks for cycles, the longer the more there is, and models, messages and libraries have
    made much by then. What one call in a hundred waits for shows in `fr bench training`.
    """
    gc.collect()
    gc.freeze()
