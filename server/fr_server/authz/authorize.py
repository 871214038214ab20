"""Authorizes a call: its role and budget before its request is read, then what the request asks for.

Three stages stand before a service: `authenticate` says who calls, this module says what they may do, and `record`
writes how the call ended.
"""

import secrets
from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf.message import Message

from fr_api.v1 import common_pb2
from fr_core.errors import InvalidField, message
from fr_core.gallery.values import GalleryInfo, GalleryUse
from fr_server.authz.audit_facts import learn_request
from fr_server.authz.callers import calling, current_rule
from fr_server.authz.record import OUTSIDE, CallRecord
from fr_server.authz.rules import Rule, Stated
from fr_server.authz.scope import Foreign, NothingKept, Resolver
from fr_server.authz.score_rounding import ask_for_all, require_photos, value_at
from fr_trust.access.budgets import Budgets
from fr_trust.access.principal import Principal
from fr_trust.access.roles import Role
from fr_trust.casework.rules import require_reference
from fr_trust.errors import NotPermitted, PurposeRequired

_PURPOSES = frozenset(common_pb2.Purpose.values())


class Authorizer:
    """Decides what a principal may do; refuses a method without a rule."""

    def __init__(self, budgets: Budgets, rules: Mapping[str, Rule]) -> None:
        self._budgets = budgets
        self._rules = rules
        self._foreign = Foreign(NothingKept(), secrets.token_bytes)

    def resolve_with(self, resolver: Resolver) -> None:
        """Look up courses and galleries with this resolver from now on: the stores are open."""
        self._foreign = Foreign(resolver, secrets.token_bytes)

    def searches_left(self, principal: Principal) -> int | None:
        """Return how many searches a principal has left today in this process; None = no limit."""
        return self._budgets.searches_left(principal.principal_id, principal.budget)

    def require_method(self, principal: Principal, method: str, streams: bool) -> Rule:
        """Return the rule of a method, and count the call; raises `NotPermitted`, `RateLimited`, `QuotaExceeded`."""
        rule = self._rules.get(method)
        if rule is None:
            raise NotPermitted(message("error.authz.nobody_may_call"))
        # The call counts even if the role refuses it; the items of a stream are counted one by one.
        self._budgets.spend(principal.principal_id, principal.budget)
        require_role(principal, rule.roles)
        if rule.counts_as_search and not streams:
            self._budgets.search(principal.principal_id, principal.budget)
        return rule

    def count_item(self, principal: Principal, rule: Rule) -> None:
        """Count an item of a stream; raises `RateLimited`, `QuotaExceeded`."""
        self._budgets.spend(principal.principal_id, principal.budget)
        if rule.counts_as_search:
            self._budgets.search(principal.principal_id, principal.budget)

    async def check_request(self, principal: Principal, rule: Rule, request: Any, record: CallRecord) -> bool:
        """Check a request, and replace the ids in it that the principal may not know.

        Returns whether to remove candidates below the threshold from the answer. Raises `NotPermitted`, `QuotaExceeded`
        if it is a search and none is left today, and `Failure` if it cannot be checked now.
        """
        learn_request(record, rule, request)
        record.searched = rule.counts_as_search
        if rule.variants:
            sent = {variant.field: request.HasField(variant.field) for variant in rule.variants}
            require_role(principal, rule.roles_of(sent), with_fields=True)
        if principal.coarse:
            require_photos(rule, request)
        if rule.search_if and value_at(request, rule.search_if):
            record.searched = True
            self._budgets.search(principal.principal_id, principal.budget)
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
