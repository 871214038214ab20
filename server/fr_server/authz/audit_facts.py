"""What the audit is told of a call: learnt from its request and its answer; never a photo, a template or a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, get_args

from google.protobuf.message import Message

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.errors import FrError, InternalError
from fr_core.gallery.checks import is_gallery_id
from fr_core.id_forms import composed
from fr_core.storage.audit.attribution import Attribution
from fr_core.types import ModelId
from fr_server.authz.recorder import BEGUN, CANCELLED, MAX_SUBJECTS, OK, OUTSIDE, CallRecord, Recorder, Refusals
from fr_server.authz.rules import Rule, ScopeKind
from fr_server.authz.score_rounding import value_at
from fr_server.telemetry.trust import Chain, Trust
from fr_trust.access.principal import Principal
from fr_trust.errors import CredentialInvalid, CredentialMissing, NotPermitted, QuotaExceeded, RateLimited

# The form of ids that the server gives. A caller can send any text instead, which the audit does not keep. Ids of
# trainees and sessions, and codes, are not among them.
_HEX = re.compile(r"[0-9a-f]{16}")
_IDS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "course_id": _HEX,
        "cohort_id": _HEX,
        "case_id": _HEX,
        "examination_id": _HEX,
        "key_id": re.compile(r"[a-z2-7]{16}"),
        "template_id": re.compile(r"[0-9]{1,19}"),
        "report_id": re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{3}-[a-z]+-[A-Za-z0-9_.-]{1,64}-[0-9a-f]{8}"),
        "chain": re.compile("|".join(get_args(Chain))),
    }
)
_SUBJECTS = ("subject_id", "enrol.subject_id")
# The message of an answer that holds what was asked for.
_RESULTS = ("found", "stored", "enrolled", "embedded")
_PURPOSE = "PURPOSE_"

_REFUSED = frozenset(
    error.reason for error in (CredentialMissing, CredentialInvalid, NotPermitted, RateLimited, QuotaExceeded)
)
"""Of calls that were refused for who made them, or how often."""

_TOLD = frozenset((OK, BEGUN))


class Teller:
    """Decides what a recorder is told, and who waits for it.

    It records every answer before the answer leaves, and the end of an answer that has begun. For calls that were
    refused, failed or were cancelled before they gave out anything, it records a limited number a minute and counts the
    rest; no call waits for that. Changes of a store are not limited: they are recorded with the change, or here when
    the call succeeds or is cancelled.

    Args:
        recorder: is told.
        trust: hears of every refusal of the guard, at whatever pace they come.
        monotonic_s: seconds of a clock that is never set.
    """

    def __init__(self, recorder: Recorder, trust: Trust, monotonic_s: Callable[[], float]) -> None:
        self._recorder = recorder
        self._trust = trust
        self._refusals = Refusals(recorder, monotonic_s)

    def ending(self, rule: Rule, attribution: Attribution, action: str, record: CallRecord) -> Ending:
        """Return what tells how an `async with` block ends, which is a call."""
        return Ending(self, rule, attribution, action, record)

    def refused(self, attribution: Attribution, request_id: str, action: str, reason: str, record: CallRecord) -> None:
        """Tell of a call that was refused before a request, or the next of them, was read."""
        self._count(record, reason)
        ended = record.ended(replace(attribution, request_id=request_id or None), action, reason)
        self._refusals.tell(ended)

    async def ended(
        self,
        rule: Rule,
        attribution: Attribution,
        action: str,
        record: CallRecord,
        outcome: str,
        *,
        begun: bool = False,
    ) -> None:
        """Record how a call or an item ended; raises what the recorder raises.

        Args:
            rule: of the method.
            attribution: who asked, and why.
            action: such as "gallery.search".
            record: of the call or item.
            outcome: "OK", "BEGUN", or the reason of the refusal or failure.
            begun: whether some of the answer has left.
        """
        self._count(record, outcome)
        ended = record.ended(attribution, action, outcome)
        if rule.recorded and (begun or outcome in _TOLD):
            if outcome != OK or rule.told_here or record.searched:
                await self._recorder.record(ended)
        elif rule.recorded or outcome in _REFUSED or OUTSIDE.items() <= record.detail.items():
            self._refusals.tell(ended)

    def cancelled(
        self, rule: Rule, attribution: Attribution, action: str, record: CallRecord, *, begun: bool = False
    ) -> None:
        """Record a call or an item whose caller has gone; `begun` as in `ended`."""
        if not rule.recorded:
            return
        ended = record.ended(attribution, action, CANCELLED)
        if begun or not rule.chained:  # it may have made a change that no other audit records
            self._refusals.tell_later(ended)
        else:
            self._refusals.tell(ended)

    async def drain(self) -> None:
        """Wait until everything is told that nobody waits for."""
        await self._refusals.drain()

    def _count(self, record: CallRecord, outcome: str) -> None:
        if outcome in _REFUSED:
            self._trust.access_refused(record.detail.get("why", outcome))


class Ending:
    """Tells how the `async with` block ended that is a call; see `Teller.ending`."""

    def __init__(self, teller: Teller, rule: Rule, attribution: Attribution, action: str, record: CallRecord) -> None:
        self._teller = teller
        self._rule = rule
        self._attribution = attribution
        self._action = action
        self._record = record
        self._begun = False

    async def begun(self) -> None:
        """Tell that the answer is about to leave, where that was not told before."""
        if not self._begun:
            self._begun = True
            if self._rule.told_here:
                await self._teller.ended(self._rule, self._attribution, self._action, self._record, BEGUN)

    async def __aenter__(self) -> Ending:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            outcome = OK if error is None else error.reason if isinstance(error, FrError) else InternalError.reason
            await self._teller.ended(
                self._rule, self._attribution, self._action, self._record, outcome, begun=self._begun
            )
        else:  # cancelled, or the reader of a stream gone
            self._teller.cancelled(self._rule, self._attribution, self._action, self._record, begun=self._begun)


def attribution_of(principal: Principal, request_id: str, request: Message | None) -> Attribution:
    """Return to whom a call is put down, and why it is made, where its request says so.

    Args:
        principal: who calls.
        request_id: of the call.
        request: None where it is not read yet, or is one of many.
    """
    purpose = _word(_sent(request, "purpose")) if request is not None else None
    reference = composed(_sent(request, "case_reference") or "") if request is not None else None
    return Attribution(
        principal.principal_id, tuple(sorted(principal.roles)), request_id or None, purpose, reference or None
    )


def learn_request(record: CallRecord, rule: Rule, request: Message) -> None:
    """Add to a record what a request is about, before anything in it is replaced."""
    for scoped in rule.scoped:
        if scoped.kind is ScopeKind.GALLERY:
            gallery_id = value_at(request, scoped.path)
            if isinstance(gallery_id, str) and is_gallery_id(gallery_id):
                record.gallery_id = gallery_id
    for path in _SUBJECTS:
        if subject_id := value_at(request, path):
            record.subject_ids.append(composed(subject_id))
    for name, looks in _IDS.items():
        value = value_at(request, name)
        if value and looks.fullmatch(str(value)):
            record.detail[name] = str(value)


def learn_response(record: CallRecord, response: Message) -> None:
    """Add to a record what an answer says of the search and how much it holds, and whom it tells of."""
    results = (value_at(response, name) for name in _RESULTS)
    answer = next((result for result in results if isinstance(result, Message)), response)
    if (threshold := value_at(answer, "threshold")) is not None:
        record.threshold = threshold
    if gallery_version := value_at(answer, "gallery_version"):
        record.gallery_version = gallery_version
    model = value_at(answer, "model") or next(_embedded_by(answer), None)
    if isinstance(model, common_pb2.ModelId):
        record.model = ModelId(model.pack, model.version, model.sha256)
    for field, value in answer.ListFields():
        if field.is_repeated and field.message_type is not None and not field.message_type.GetOptions().map_entry:
            record.counts[field.name] = len(value)
    if isinstance(answer, gallery_pb2.SearchResponse):
        record.counts["candidates"] = sum(len(result.candidates) for result in answer.results)
    record.subject_ids += _subjects(answer)


def learn_message(record: CallRecord, response: Message) -> None:
    """Add to a record what one message of an answer in many says of the search or report, and whom it tells of."""
    if report_id := value_at(response, "report.report_id"):
        record.detail["report_id"] = report_id
    if isinstance(response, gallery_pb2.FindDuplicatesResponse | gallery_pb2.ClusterGalleryResponse):
        if response.HasField("progress"):
            record.threshold = response.progress.threshold
            record.gallery_version = response.progress.gallery_version
        elif len(record.subject_ids) < MAX_SUBJECTS:
            record.subject_ids = list(dict.fromkeys((*record.subject_ids, *_scanned(response))))


def _scanned(
    response: gallery_pb2.FindDuplicatesResponse | gallery_pb2.ClusterGalleryResponse,
) -> Iterator[str]:
    if isinstance(response, gallery_pb2.FindDuplicatesResponse):
        yield from (response.pair.subject_a, response.pair.subject_b)
    else:
        yield from (member.subject_id for member in response.cluster.members)


def _embedded_by(answer: Message) -> Iterator[common_pb2.ModelId]:
    if isinstance(answer, recognition_pb2.EmbedResponse):
        yield from (face.embedding.model for face in answer.faces)


def _subjects(answer: Message) -> Iterator[str]:
    if isinstance(answer, gallery_pb2.SearchResponse):
        yield from (candidate.subject_id for result in answer.results for candidate in result.candidates)
    elif isinstance(answer, gallery_pb2.EnrolResponse):
        yield from (candidate.subject_id for candidate in answer.similar)
    elif isinstance(answer, gallery_pb2.ListSubjectsResponse):
        yield from (subject.subject_id for subject in answer.subjects)
    elif isinstance(answer, gallery_pb2.GetTemplateResponse):
        yield answer.subject_id


def _sent(request: Message, name: str) -> Any:
    """Return what a request, or the search in it, says under a name."""
    return value_at(request, name) or value_at(request, f"search.{name}")


def _word(purpose: int | None) -> str | None:
    if not purpose or purpose not in common_pb2.Purpose.values():
        return None
    return common_pb2.Purpose.Name(purpose).removeprefix(_PURPOSE).lower()  # type: ignore[arg-type]  # checked above
