"""The live board of a cohort: how far each trainee is, and never what was right."""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fr_api.v1 import training_pb2
from fr_locales.messages import Message
from fr_web.console.visit import Visit
from fr_web.console.words import STATES

_IDLE_S = 180  # a running sitting without an answer for this long
_STEP_S, _STILL_S = 1.0, 15.0  # between two boards at least, and at most
_ASK_S = 2.0  # between two looks whether somebody is still signed in


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A trainee in a sitting: how far, and how long without an answer. Never what was right."""

    trainee_id: str
    sitting: str
    state: Message
    block: str
    answered: int
    trials: int
    idle_minutes: int  # 0 for somebody who answers, or who has not begun
    added_minutes: int  # to the limit of the block


def board_of(course: training_pb2.Course, progress: Collection[training_pb2.SittingProgress]) -> Mapping[str, Any]:
    """Return what the board shows: a row for each trainee and sitting, and how many are how far."""
    titles = {block.block_id: block.title for sitting in course.sittings for block in sitting.blocks}
    sittings = {sitting.name: sitting.title or sitting.name for sitting in course.sittings}
    now_s = time.time()
    rows = []
    for one in progress:
        still_s = now_s - one.last_time.ToSeconds() if one.HasField("last_time") else 0.0
        is_idle = one.state == training_pb2.SESSION_STATE_RUNNING and still_s > _IDLE_S
        rows.append(
            BoardRow(
                one.trainee_id,
                sittings.get(one.sitting, one.sitting),
                STATES[one.state],
                titles.get(one.block_id, one.block_id),
                one.answered,
                one.trials,
                int(still_s // 60) if is_idle else 0,
                one.extended.ToSeconds() // 60,
            )
        )
    counts = [(words, sum(one.state == state for one in progress)) for state, words in STATES.items()]
    return {
        "rows": rows,
        "counts": counts,
        "idle": sum(one.idle_minutes > 0 for one in rows),
        "now": time.gmtime(now_s),
    }


async def changes(
    visit: Visit, cohort_id: str, course: training_pb2.Course
) -> AsyncGenerator[Mapping[str, Any] | None, None]:
    """Yield the board after each change, once in a second at most, and every few seconds for those who are idle."""
    progress: dict[tuple[str, str], training_pb2.SittingProgress] = {}
    told = asyncio.Event()

    async def follow() -> None:
        request = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
        try:
            async for change in visit.each(request, training_pb2.WatchCohortResponse):
                progress.update({(one.trainee_id, one.sitting): one for one in change.progress})
                told.set()
        finally:
            told.set()

    following = asyncio.ensure_future(follow())
    told_s, over = float("-inf"), False
    try:
        while not over:
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), _ASK_S)
            if over := following.done():
                following.result()
            if told.is_set() or time.monotonic() - told_s > _STILL_S:
                told.clear()
                told_s = time.monotonic()
                yield board_of(course, progress.values())
                await asyncio.sleep(_STEP_S)
            else:
                yield None
    finally:
        following.cancel()
