"""Runs periodic jobs beside the calls of a server; a job that fails runs again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, get_args

from fr_server.telemetry.logs import FIELDS, describe

log = logging.getLogger("fr_server.jobs.periodic")

Chore = Literal["purge_training", "purge_cases", "prune_audit", "checkpoints", "key_ends"]
"""Its name in the log and in the metrics."""

CHORES: tuple[Chore, ...] = get_args(Chore)


async def for_ever(chore: Chore, every_s: float, job: Callable[[], None], failed: Callable[[Chore], None]) -> None:
    """Do a job in a thread, now and every so many seconds, until cancelled; what it raises is logged and told.

    Args:
        chore: its name.
        every_s: seconds from the end of one run to the beginning of the next.
        job: is done.
        failed: is told of each run that raised; the next one tries again.
    """
    while True:
        try:
            await asyncio.to_thread(job)
        except Exception as error:  # noqa: BLE001 - the boundary of a chore: whatever it is, the next run is to come
            fields = {"chore": chore, "error": type(error).__name__}
            log.error(
                "The chore %s failed, and is tried again in %g s: %s",
                chore,
                every_s,
                describe(error),
                extra={FIELDS: fields},
            )
            failed(chore)
        await asyncio.sleep(every_s)
