"""Authorizes a call by role, budget and request, and reads what the audit records: no photo, template or name.

Three stages stand before a service: `authenticate` says who calls, this module says what they may do, and `record`
writes how the call ended.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_args

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.errors import InvalidField, message
from fr_core.gallery.checks import is_gallery_id
from fr_core.gallery.values import GalleryInfo, GalleryUse
from fr_core.id_forms import composed
from fr_core.storage.audit.attribution import Attribution
from fr_core.types import ModelId
from fr_server.authz.callers import calling, current_principal, current_rule
from fr_server.authz.record import MAX_SUBJECTS, OUTSIDE, CallRecord
from fr_server.authz.rules import Rule, ScopeKind, Stated
from fr_server.authz.scope import Foreign, NothingKept, Resolver
from fr_server.authz.score_rounding import ask_for_all, require_photos, value_at
from fr_server.telemetry.trust import Chain
from fr_trust.access.principal import Principal, Role
from fr_trust.access.shared_budgets import Counting
from fr_trust.casework.rules import require_reference
from fr_trust.errors import NotPermitted, PurposeRequired

# The forms of ids that the server gives. A caller can send any other text, which the audit does not keep. Ids of
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
# The part of an answer that holds the result.
_RESULTS = ("found", "stored", "enrolled", "embedded")
_PURPOSES: Mapping[int, str] = {
    value: name.removeprefix("PURPOSE_").lower() for name, value in common_pb2.Purpose.items()
}


def attribution_of(principal: Principal, request_id: str, request: Message | None) -> Attribution:
    """Return who makes a call, and why, if its request says so; None = a request that is not read yet."""
    purpose = _word(_sent(request, "purpose")) if request is not None else None
    reference = composed(_sent(request, "case_reference") or "") if request is not None else None
    return Attribution(
        principal.principal_id, tuple(sorted(principal.roles)), request_id or None, purpose, reference or None
    )


def learn_request(record: CallRecord, rule: Rule, request: Message) -> None:
    """Add to a record what a request is about; call this before ids in it are replaced."""
    for scoped in rule.scoped:
        if scoped.kind is ScopeKind.GALLERY:
            gallery_id = value_at(request, scoped.path)
            if isinstance(gallery_id, str) and is_gallery_id(gallery_id):
                record.gallery_id = gallery_id
    for path in _SUBJECTS:
        if subject_id := value_at(request, path):
            record.subject_ids.append(composed(subject_id))
    for name in _ids_of(request.DESCRIPTOR):
        value = getattr(request, name)
        if value and _IDS[name].fullmatch(str(value)):
            record.detail[name] = str(value)


def learn_response(record: CallRecord, response: Message) -> None:
    """Add to a record the search, the counts and the subjects of an answer."""
    results = (value_at(response, name) for name in _RESULTS)
    answer = next((result for result in results if isinstance(result, Message)), response)
    if (threshold := value_at(answer, "threshold")) is not None:
        record.threshold = threshold
    if gallery_version := value_at(answer, "gallery_version"):
        record.gallery_version = gallery_version
    model = value_at(answer, "model") or next(_embedded_by(answer), None)
    if isinstance(model, common_pb2.ModelId):
        record.model = ModelId(model.pack, model.version, model.sha256)
    for name in _lists_of(answer.DESCRIPTOR):
        if number := len(getattr(answer, name)):
            record.counts[name] = number
    if isinstance(answer, recognition_pb2.BatchEmbedResponse):
        record.counts["faces"] = sum(len(result.embedded.faces) for result in answer.results)
    if isinstance(answer, gallery_pb2.SearchResponse):
        record.counts["candidates"] = sum(len(result.candidates) for result in answer.results)
    record.subject_ids += _subjects(answer)


def learn_message(record: CallRecord, response: Message) -> None:
    """Add to a record the search or report and the subjects of one message of an answer in many."""
    if report_id := value_at(response, "report.report_id"):
        record.detail["report_id"] = report_id
    if isinstance(response, gallery_pb2.FindDuplicatesResponse | gallery_pb2.ClusterGalleryResponse):
        if response.HasField("progress"):
            record.threshold = response.progress.threshold
            record.gallery_version = response.progress.gallery_version
        elif len(record.subject_ids) < MAX_SUBJECTS:
            record.subject_ids = list(dict.fromkeys((*record.subject_ids, *_scanned(response))))


@cache
def _lists_of(message: Descriptor) -> tuple[str, ...]:
    kinds = [(field.name, field.message_type) for field in message.fields if field.is_repeated]
    return tuple(name for name, kind in kinds if kind is not None and not kind.GetOptions().map_entry)


@cache
def _ids_of(message: Descriptor) -> tuple[str, ...]:
    return tuple(name for name in _IDS if name in message.fields_by_name)


def _scanned(response: gallery_pb2.FindDuplicatesResponse | gallery_pb2.ClusterGalleryResponse) -> Iterator[str]:
    if isinstance(response, gallery_pb2.FindDuplicatesResponse):
        yield from (response.pair.subject_a, response.pair.subject_b)
    else:
        yield from (member.subject_id for member in response.cluster.members)


def _embedded_by(answer: Message) -> Iterator[common_pb2.ModelId]:
    if isinstance(answer, recognition_pb2.EmbedResponse):
        yield from (face.embedding.model for face in answer.faces)
    elif isinstance(answer, recognition_pb2.BatchEmbedResponse):
        yield from (face.embedding.model for result in answer.results for face in result.embedded.faces)


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
    return value_at(request, name) or value_at(request, f"search.{name}")


def _word(purpose: int | None) -> str | None:
    return None if not purpose else _PURPOSES.get(purpose)


class Authorizer:
    """Decides what a principal may do; refuses a method without a rule."""

    def __init__(self, budgets: Counting, rules: Mapping[str, Rule]) -> None:
        self._budgets = budgets
        self._rules = rules
        self._foreign = Foreign(NothingKept(), secrets.token_bytes)

    def resolve_with(self, resolver: Resolver) -> None:
        """Look up courses and galleries with this resolver from now on: the stores are open."""
        self._foreign = Foreign(resolver, secrets.token_bytes)

    async def searches_left(self, principal: Principal) -> int | None:
        """Return how many searches a principal has left today; None = no limit. Raises `StoreFailed`."""
        await self._budgets.ready(principal.principal_id, principal.budget, call=False, search=False, left=True)
        return self._budgets.searches_left(principal.principal_id, principal.budget)

    async def count_search(self) -> None:
        """Count one more search of the current caller; raises `QuotaExceeded`, `StoreFailed`."""
        await self._search(current_principal())

    async def require_method(self, principal: Principal, method: str, streams: bool) -> Rule:
        """Return the rule of a method, and count the call.

        Raises `NotPermitted`, `RateLimited`, `QuotaExceeded`, and `StoreFailed` if it cannot be counted.
        """
        rule = self._rules.get(method)
        if rule is None:
            raise NotPermitted(message("error.authz.nobody_may_call"))
        # The call counts even if the role refuses it; the items of a stream are counted one by one.
        await self._spend(principal)
        require_role(principal, rule.roles)
        if rule.counts_as_search and not streams:
            await self._search(principal)
        return rule

    async def count_item(self, principal: Principal, rule: Rule) -> None:
        """Count an item of a stream; raises `RateLimited`, `QuotaExceeded`, `StoreFailed`."""
        await self._spend(principal)
        if rule.counts_as_search:
            await self._search(principal)

    async def _spend(self, principal: Principal) -> None:
        await self._budgets.ready(principal.principal_id, principal.budget, call=True, search=False)
        self._budgets.spend(principal.principal_id, principal.budget)

    async def _search(self, principal: Principal) -> None:
        await self._budgets.ready(principal.principal_id, principal.budget, call=False, search=True)
        self._budgets.search(principal.principal_id, principal.budget)

    async def check_request(self, principal: Principal, rule: Rule, request: Any, record: CallRecord) -> bool:
        """Check a request, and replace the ids in it that the principal may not know.

        Returns whether to remove candidates below the threshold from the answer. Raises `NotPermitted`, `RateLimited`
        if items of another call are on credit, `QuotaExceeded` if it is a search and none is left today, and `Failure`
        if it cannot be checked now.
        """
        learn_request(record, rule, request)
        record.searched = rule.counts_as_search
        if rule.variants:
            sent = {variant.field: request.HasField(variant.field) for variant in rule.variants}
            require_role(principal, rule.roles_of(sent), with_fields=True)
        if principal.coarse:
            require_photos(rule, request)
        if rule.items and (items := len(getattr(request, rule.items))) > 1:  # the first counts as the call
            self._budgets.spend_more(principal.principal_id, principal.budget, items - 1)
        if rule.search_if and value_at(request, rule.search_if):
            record.searched = True
            await self._search(principal)
        if rule.scoped:
            with calling(principal):
                if await self._foreign.put_out(rule, principal, request):
                    record.detail |= OUTSIDE
        return principal.coarse and ask_for_all(request)


def require_role(principal: Principal, roles: Collection[Role], *, with_fields: bool = False) -> None:
    """Raise `NotPermitted` unless a principal has one of the roles; the sentence names both, which are no secrets.

    `with_fields`: the fields that the request sets require it, not the call.
    """
    if principal.is_one_of(roles):
        return
    words, has = _words(roles), _words(principal.roles)
    own = message("error.authz.caller_has", roles=has)
    match principal.principal_id.partition(":")[0]:
        case "key":
            own = message("error.authz.key_has", roles=has)
        case "oidc":
            own = message("error.authz.token_has", roles=has)
    needed = message("error.authz.one_role", role=words)
    if len(roles) != 1:
        needed = message("error.authz.one_of_roles", roles=words)
    if with_fields:
        raise NotPermitted(message("error.authz.fields_take_role", needed=needed, own=own))
    raise NotPermitted(message("error.authz.takes_role", needed=needed, own=own))


def _words(roles: Collection[Role]) -> str:
    return ", ".join(role.value for role in Role if role in roles)


def require_stated(request: Message, info: GalleryInfo) -> None:
    """Check that a request, or its part that names the gallery, states the purpose and the case that are required.

    Its rule and its gallery require them. The call must go on with `info`: another gallery may get its id later.

    Raises:
        PurposeRequired: the gallery is operational, and the purpose or the reference of the case is missing.
        InvalidField: the purpose is unknown or not allowed for the call, or the reference is not a valid one.
        NotPermitted: the request asks for an embedding of an operational gallery.
    """
    rule = current_rule()
    operational = info.use is GalleryUse.OPERATIONAL
    if operational and rule.search_if and value_at(request, rule.search_if.rpartition(".")[2]):
        raise PurposeRequired(message("error.authz.find_similar_subjects_operational"))
    if rule.stated is Stated.NOTHING:
        return
    purpose, reference = value_at(request, "purpose"), value_at(request, "case_reference")
    if purpose not in _PURPOSES:
        raise InvalidField(message("error.rpc.purpose_not_value_purpose"), field="purpose")
    if purpose == common_pb2.PURPOSE_GALLERY_MAINTENANCE and rule.stated is not Stated.PURPOSE:
        raise InvalidField(message("error.authz.search_probes_cannot_purpose"), field="purpose")
    if reference:
        require_reference(reference)
    if operational and not (purpose and reference):
        raise PurposeRequired(message("error.authz.gallery_operational"))
    if operational and value_at(request, "include_embedding"):
        raise NotPermitted(message("error.authz.embeddings_operational_gallery_never"), field="include_embedding")
