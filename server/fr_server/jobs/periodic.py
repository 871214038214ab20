"""Runs periodic jobs beside the calls of a server; a failed job runs again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, get_args

from fr_server.telemetry.logs import FIELDS, describe

log = logging.getLogger("fr_server.jobs.periodic")

Chore = Literal["purge_training", "purge_cases", "prune_audit", "checkpoints", "key_ends"]
"""The name of a job in the log and in the metrics."""

CHORES: tuple[Chore, ...] = get_args(Chore)


async def for_ever(chore: Chore, every_s: float, job: Callable[[], None], failed: Callable[[Chore], None]) -> None:
    """Run a job in a thread, now and at intervals, until cancelled; log and report its exceptions.

    Args:
        chore: the name of the job.
        every_s: seconds from the end of one run to the start of the next.
        job: the job.
        failed: called after each failed run; the next run tries again.
    """
    while True:
        try:
            await asyncio.to_thread(job)
        except Exception as error:  # noqa: BLE001 - the boundary of a chore: the next run must still come
            fields = {"chore": chore, "error": type(error).__name__}
            log.error(
                "The chore %s failed; the server tries again in %g s: %s",
                chore,
                every_s,
                describe(error),
                extra={FIELDS: fields},
            )
            failed(chore)
        await asyncio.sleep(every_s)
