"""Records in the audit how calls end: every answer before it leaves, and a limited number of refusals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

from fr_core.errors import FrError, InternalError, StorageLow
from fr_core.storage.audit.attribution import Attribution
from fr_core.types import ModelId
from fr_server.authz.rules import Rule
from fr_server.telemetry.logs import describe
from fr_server.telemetry.throttle import Throttle
from fr_server.telemetry.trust import Trust
from fr_trust.errors import CredentialInvalid, CredentialMissing, NotPermitted, QuotaExceeded, RateLimited

log = logging.getLogger("fr_server.authz")

OK = "OK"
BEGUN = "BEGUN"  # outcome of a call with many answers before the first answer leaves; its end is recorded too
CANCELLED = "CANCELLED"
OUTSIDE = {"scope": "outside"}
"""Detail of a call that named an id outside its scope; it was answered like a call with an unknown id."""
UNRECORDED = "unrecorded"  # count of a refusal: the number of earlier refusals like it that have no record of their own

NOBODY = "nobody"  # the actor of calls that could not say who makes them
PACE_S = 60.0
"""Seconds in which at most `MOST_PER_WINDOW` refusals of one kind are recorded, and `MOST_PER_GROUP` of one caller."""

MAX_SUBJECTS = 1_000  # subjects of one record at most


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome of a call, or of an item of a stream."""

    attribution: Attribution
    action: str
    outcome: str  # "OK", "BEGUN", "CANCELLED", or the reason of the refusal or failure
    gallery_id: str | None = None  # of the gallery; None without one
    # The subjects of the request and the answer, by the caller's own ids: at most 1,000, of the gallery.
    subject_ids: tuple[str, ...] = ()
    model: ModelId | None = None
    gallery_version: int | None = None
    threshold: float | None = None  # of the answer, in [-1, 1]
    counts: Mapping[str, int] = field(default_factory=dict)  # numbers of things in the answer
    detail: Mapping[str, str] = field(default_factory=dict)  # ids that name no person, and why a credential was refused


class Recorder(Protocol):
    """Records calls; `fr_core.storage.audit` keeps the records."""

    async def record(self, *ended: Ended) -> None:
        """Keep them in this order, durably and together; where this raises, none of them may be answered."""


class CallRecord:
    """Collects the facts of a call while it runs; services add to it with `note`. It has the attributes of `Ended`.

    `searched` says whether the call searches a gallery; `purpose` and `case_reference` are for calls whose request does
    not state them.
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
        """Return the record of the facts so far."""
        if self.purpose or self.case_reference:
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


_REFUSED = frozenset(
    error.reason for error in (CredentialMissing, CredentialInvalid, NotPermitted, RateLimited, QuotaExceeded)
)
"""Of calls that were refused for who made them, or how often."""

_TOLD = frozenset((OK, BEGUN))

_current: ContextVar[CallRecord | None] = ContextVar("call_record", default=None)


@contextmanager
def noting(record: CallRecord) -> Iterator[None]:
    """Let `note` add to this record within the block, and in everything that the block starts with its context."""
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
    """Add to the record of the current call what only its service knows; outside of calls, do nothing.

    The audit reads the rest from the answer itself, and `purpose` and `case_reference` from the request if it has them.
    `threshold` is in [-1, 1]. `counts` maps words of a-z, 0-9 and _ to numbers, `detail` such words to words of 128
    ASCII characters at most without spaces, which name nobody.
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
        """Record a call without waiting, with the count of those like it that were held back; a failure is logged."""
        task = asyncio.create_task(self._tell(ended, held_back))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def settled(self) -> None:
        """Wait until nothing is being recorded."""
        while self._telling:
            await asyncio.wait(self._telling)

    async def drain(self) -> None:
        """Record the last of each kind that was held back, with the count of those before; then wait as `settled`."""
        await self.settled()
        self._tell_counts()
        await self.settled()

    def _tell_counts(self) -> None:
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
        except Exception as error:  # noqa: BLE001 - no caller waits for it, so the log has it
            log.error("A call that ended could not be recorded: %s", describe(error))


def _kind_of(ended: Ended) -> tuple[str | None, str, str]:
    return ended.detail.get("credential"), ended.attribution.actor, ended.outcome


class CallAudit:
    """Decides which calls are recorded, and which of them wait for it.

    It records every answer before the answer leaves, and the end of an answer that has begun. For calls that were
    refused, failed or were cancelled before they gave out anything, it records a limited number a minute and counts the
    rest; no call waits for that. Changes of a store are not limited: they are recorded with the change, or here when
    the call succeeds or is cancelled.
    """

    def __init__(self, recorder: Recorder, trust: Trust, monotonic_s: Callable[[], float]) -> None:
        self._recorder = recorder
        self._trust = trust
        self._refusals = Refusals(recorder, monotonic_s)

    def ending(self, rule: Rule, attribution: Attribution, action: str, record: CallRecord) -> Ending:
        """Return the context of a call: an `async with` block whose end is recorded."""
        return Ending(self, rule, attribution, action, record)

    def refused(self, attribution: Attribution, request_id: str, action: str, reason: str, record: CallRecord) -> None:
        """Record a call that was refused before its request, or its next request, was read."""
        self._count(record, reason)
        ended = record.ended(replace(attribution, request_id=request_id or None), action, reason)
        self._refusals.tell(ended)

    def end(
        self,
        rule: Rule,
        attribution: Attribution,
        action: str,
        record: CallRecord,
        outcome: str,
        *,
        begun: bool = False,
    ) -> Ended | None:
        """Count how a call or an item ended; return the record that `keep` must have before the answer leaves, if any.

        `outcome` is "OK", "BEGUN", or the reason of the refusal or failure; `begun` says whether some of the answer has
        left.
        """
        self._count(record, outcome)
        ended = record.ended(attribution, action, outcome)
        if rule.recorded and (begun or outcome in _TOLD):
            return ended if outcome != OK or rule.told_here or record.searched else None
        if rule.recorded or outcome in _REFUSED or OUTSIDE.items() <= record.detail.items():
            self._refusals.tell(ended)
        return None

    async def keep(self, *ended: Ended | None) -> None:
        """Record what `end` returned, in one commit; raises what the recorder raises."""
        if due := [one for one in ended if one is not None]:
            await self._recorder.record(*due)

    def cancelled(
        self, rule: Rule, attribution: Attribution, action: str, record: CallRecord, *, begun: bool = False
    ) -> None:
        """Record a call or an item whose caller is gone; `begun` as in `end`."""
        if not rule.recorded:
            return
        ended = record.ended(attribution, action, CANCELLED)
        if begun or not rule.chained:  # it may have made a change that no other audit records
            self._refusals.tell_later(ended)
        else:
            self._refusals.tell(ended)

    async def drain(self) -> None:
        """Wait until everything is recorded that no call waits for."""
        await self._refusals.drain()

    def _count(self, record: CallRecord, outcome: str) -> None:
        if outcome in _REFUSED:
            self._trust.access_refused(record.detail.get("why", outcome))


class Ending:
    """Records how its `async with` block, a call, ended; see `CallAudit.ending`."""

    def __init__(self, audit: CallAudit, rule: Rule, attribution: Attribution, action: str, record: CallRecord) -> None:
        self._audit = audit
        self._rule = rule
        self._attribution = attribution
        self._action = action
        self._record = record
        self._begun = False

    async def begun(self) -> None:
        """Record once that the answer is about to leave."""
        if not self._begun:
            self._begun = True
            if self._rule.told_here:
                await self._end(BEGUN)

    async def __aenter__(self) -> Ending:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            outcome = OK if error is None else error.reason if isinstance(error, FrError) else InternalError.reason
            await self._end(outcome, begun=self._begun)
        else:  # cancelled, or the reader of a stream gone
            self._audit.cancelled(self._rule, self._attribution, self._action, self._record, begun=self._begun)

    async def _end(self, outcome: str, *, begun: bool = False) -> None:
        call = (self._rule, self._attribution, self._action, self._record)
        await self._audit.keep(self._audit.end(*call, outcome, begun=begun))
