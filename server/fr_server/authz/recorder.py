"""Records in the audit how calls ended, with a limit on the number of refusals a minute."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Protocol

from fr_core.errors import StorageLow
from fr_core.storage.audit.attribution import Attribution
from fr_core.types import ModelId
from fr_server.telemetry.logs import describe
from fr_server.telemetry.throttle import Throttle

log = logging.getLogger("fr_server.authz")

OK = "OK"
BEGUN = "BEGUN"
"""Of a call that answers in many messages, before the first of them leaves; how it ended is told too."""
CANCELLED = "CANCELLED"
OUTSIDE = {"scope": "outside"}
"""Detail of a call that named what its scope does not cover, and was answered as if there were no such thing."""
UNRECORDED = "unrecorded"
"""Count of a refusal: so many like it came before it, too many to be recorded each."""

NOBODY = "nobody"
"""The actor of calls that could not say who makes them."""
PACE_S = 60.0
"""Seconds in which at most `MOST_PER_WINDOW` refusals of one kind are recorded, and `MOST_PER_GROUP` of one caller."""

MAX_SUBJECTS = 1_000
"""As many as a record holds."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call, or an item of a stream, ended.

    Attributes:
        attribution: who asked, and why.
        action: such as "gallery.search".
        outcome: "OK", "BEGUN", "CANCELLED", or the reason of the refusal or failure.
        gallery_id: of the gallery; None where there is none.
        subject_ids: whom it told of, or was about, by the caller's own ids: at most 1,000, and only of a gallery.
        model: of the answer.
        gallery_version: of the answer.
        threshold: of the answer, in [-1, 1].
        counts: of what the answer holds.
        detail: ids that name nobody, and why a credential was refused.
    """

    attribution: Attribution
    action: str
    outcome: str
    gallery_id: str | None = None
    subject_ids: tuple[str, ...] = ()
    model: ModelId | None = None
    gallery_version: int | None = None
    threshold: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    detail: Mapping[str, str] = field(default_factory=dict)


class Recorder(Protocol):
    """Who is told; `fr_core.storage.audit` keeps it."""

    async def record(self, ended: Ended) -> None:
        """Keep it, durably. What this raises, the call ends with: what is not recorded is not answered."""
        ...


class CallRecord:
    """What is known of a call while it runs; services add to it with `note`.

    Attributes are those of `Ended`, and:
        searched: whether a gallery is searched for it.
        purpose: why, where the request does not say so.
        case_reference: likewise.
    """

    def __init__(self) -> None:
        self.searched = False
        self.purpose: str | None = None
        self.case_reference: str | None = None
        self.gallery_id: str | None = None
        self.subject_ids: list[str] = []
        self.model: ModelId | None = None
        self.gallery_version: int | None = None
        self.threshold: float | None = None
        self.counts: dict[str, int] = {}
        self.detail: dict[str, str] = {}

    def ended(self, attribution: Attribution, action: str, outcome: str) -> Ended:
        """Return it as it is now."""
        attribution = replace(
            attribution,
            purpose=self.purpose or attribution.purpose,
            case_reference=self.case_reference or attribution.case_reference,
        )
        subject_ids = tuple(dict.fromkeys(self.subject_ids))[:MAX_SUBJECTS]
        return Ended(
            attribution,
            action,
            outcome,
            self.gallery_id,
            subject_ids if self.gallery_id is not None else (),
            self.model,
            self.gallery_version,
            self.threshold,
            dict(self.counts),
            dict(self.detail),
        )


_current: ContextVar[CallRecord | None] = ContextVar("call_record", default=None)


@contextmanager
def noting(record: CallRecord) -> Iterator[None]:
    """Let `note` of the block in this thread or task add to a record, and that of what is started with its context."""
    token = _current.set(record)
    try:
        yield
    finally:
        _current.reset(token)


def note(
    *,
    gallery_id: str | None = None,
    subject_ids: Sequence[str] = (),
    model: ModelId | None = None,
    gallery_version: int | None = None,
    threshold: float | None = None,
    counts: Mapping[str, int] | None = None,
    detail: Mapping[str, str] | None = None,
    purpose: str | None = None,
    case_reference: str | None = None,
) -> None:
    """Tell the audit of the current call what only its service knows; outside of calls nobody is told.

    What the answer itself holds of these is told without it.

    Args:
        gallery_id: of the gallery.
        subject_ids: whom it told of, or was about, beside those who were noted before.
        model: of the gallery.
        gallery_version: of the gallery.
        threshold: that was applied, in [-1, 1].
        counts: words of a-z, 0-9 and _ -> numbers.
        detail: such words -> words of 128 ASCII characters at most without spaces; nothing that names anybody.
        purpose: why it is done, a word, where the request itself does not say so.
        case_reference: of the case that it is done for, likewise.
    """
    record = _current.get()
    if record is None:
        return
    record.gallery_id = record.gallery_id if gallery_id is None else gallery_id
    record.subject_ids += subject_ids
    record.model = record.model if model is None else model
    record.gallery_version = record.gallery_version if gallery_version is None else gallery_version
    record.threshold = record.threshold if threshold is None else threshold
    record.counts |= counts or {}
    record.detail |= detail or {}
    record.purpose = record.purpose if purpose is None else purpose
    record.case_reference = record.case_reference if case_reference is None else case_reference


class Refusals:
    """Passes refused calls to a recorder, limited by a `Throttle` for each caller and reason.

    No call waits for it: a refusal takes the same time whether or not it is recorded. All callers without a valid
    credential count as one caller, unless they named one that exists. It counts the calls that it leaves out, and
    records the count with the next call of its kind, or `PACE_S` later, or when the server ends, whichever is first.

    Args:
        recorder: is told.
        monotonic_s: seconds of a clock that is never set.
    """

    def __init__(self, recorder: Recorder, monotonic_s: Callable[[], float]) -> None:
        self._recorder = recorder
        self._throttle: Throttle[Ended] = Throttle(monotonic_s)
        self._telling: set[asyncio.Task[None]] = set()
        self._counting: asyncio.TimerHandle | None = None

    def tell(self, ended: Ended) -> None:
        """Record a call that was refused or failed, or count it."""
        kind = _kind_of(ended)
        held_back = self._throttle.held_back(kind, ended, PACE_S, group=kind[:2])
        if held_back is not None:
            self.tell_later(ended, held_back)
        elif self._counting is None:
            self._counting = asyncio.get_running_loop().call_later(PACE_S, self._tell_counts)

    def tell_later(self, ended: Ended, held_back: int = 0) -> None:
        """Tell the recorder without waiting for it; what fails is logged.

        Args:
            ended: is told.
            held_back: how many like it were not.
        """
        task = asyncio.create_task(self._tell(ended, held_back))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def settled(self) -> None:
        """Wait until everything is told that is to be told."""
        while self._telling:
            await asyncio.wait(self._telling)

    async def drain(self) -> None:
        """Tell of what is held back still, the last of each kind with how many came before; then as `settled`."""
        await self.settled()
        self._tell_counts()
        await self.settled()

    def _tell_counts(self) -> None:
        """Record the calls that were held back: the last of each kind, with the count of those before it."""
        if self._counting is not None:
            self._counting.cancel()
            self._counting = None
        for ended, held_back in self._throttle.left():
            self.tell_later(ended, held_back - 1)

    async def _tell(self, ended: Ended, held_back: int) -> None:
        told = ended if not held_back else replace(ended, counts={**ended.counts, UNRECORDED: held_back})
        try:
            await self._recorder.record(told)
        except StorageLow as error:
            self._throttle.put_back(_kind_of(ended), ended, held_back + 1)
            log.error("A call that ended is not recorded but counted: %s", describe(error))
        except Exception as error:  # noqa: BLE001 - nobody waits for it; the log is the only one to hear
            log.error("A call that ended could not be recorded: %s", describe(error))


def _kind_of(ended: Ended) -> tuple[str | None, str, str]:
    return ended.detail.get("credential"), ended.attribution.actor, ended.outcome
