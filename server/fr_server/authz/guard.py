"""The guard of the API: nobody calls who may not, and nobody learns of what is not theirs."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from fr_core.errors import Failure, FrError, InputRefused
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_server.authz.audit_facts import Teller, attribution_of, learn_message, learn_request, learn_response
from fr_server.authz.callers import calling
from fr_server.authz.credentials import Authenticator, Metadata
from fr_server.authz.owners import NothingKept
from fr_server.authz.recorder import NOBODY, OUTSIDE, CallRecord, Recorder, noting
from fr_server.authz.roles import require_role
from fr_server.authz.rules import Coarse, Kind, Rule, action_of
from fr_server.authz.scope_filter import Foreign, Resolver
from fr_server.authz.score_rounding import ask_for_all, require_photos, tell_less, value_at
from fr_server.authz.steps import as_stream, only, stepping
from fr_server.authz.stream_ends import Streams
from fr_server.authz.stream_items import Item, Items, RefusedItem, outcome_of
from fr_server.authz.table import RULES
from fr_server.rpc.convert.common import require_item_id
from fr_server.rpc.errors import abort
from fr_server.rpc.interceptors.wrapping import EXEMPT, Context, Handler, Stream, Unary, wrap
from fr_server.telemetry.trust import Trust
from fr_trust.access.budgets import Budgets
from fr_trust.access.principal import Principal
from fr_trust.access.refusals import Why, refusal_of
from fr_trust.errors import CredentialInvalid, NotPermitted

_NOBODY = Attribution(actor=NOBODY)
_REQUEST_ID = "x-request-id"


@dataclass(frozen=True, slots=True)
class _Found:
    """Who calls, and what of it; one of `rule` and `error` is there.

    Attributes:
        principal: who calls; None where that is not known.
        rule: of the method.
        error: why the call is refused.
    """

    principal: Principal | None
    rule: Rule | None
    error: Exception | None


@dataclass(frozen=True, slots=True)
class _Call:
    """A method that somebody calls who may; `metadata` say who that is."""

    action: str
    principal: Principal
    rule: Rule
    metadata: Metadata


class Guard(grpc.aio.ServerInterceptor):
    """Stands between the room that gives calls their ids and the one that admits them.

    Who calls, whether its roles allow the method, and whether its budget does, is asked before the request is read.
    What the request names is asked when it was. The rest of the call has the principal (`callers.current_principal`),
    the attribution (`fr_core.storage.audit.attribution`) and the record that `recorder.note` adds to. Of a stream,
    every item and every answer takes a credential that is still valid, and the stream itself ends soon after it is not:
    a key that is revoked ends what was begun with it.

    Args:
        authenticator: says who calls.
        budgets: count what everybody asks for.
        recorder: is told of refusals, and of calls that ended.
        trust: counts refusals.
        streams: ends streams that may not go on; None = readers may be as slow as they like.
        rules: of the methods; one without a rule is refused.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        budgets: Budgets,
        recorder: Recorder,
        trust: Trust,
        *,
        streams: Streams | None = None,
        rules: Mapping[str, Rule] = RULES,
    ) -> None:
        self._authenticator = authenticator
        self._budgets = budgets
        self._streams = streams or Streams()
        self._teller = Teller(recorder, trust, time.monotonic)
        self._rules = rules
        self._foreign = Foreign(NothingKept(), secrets.token_bytes)

    def resolve_with(self, resolver: Resolver) -> None:
        """Ask this one which course or galleries something is of, from now on: the stores are open."""
        self._foreign = Foreign(resolver, secrets.token_bytes)

    def searches_left(self, principal: Principal) -> int | None:
        """Return how many searches a principal has left today, as this process counts; None = as many as wanted."""
        return self._budgets.searches_left(principal.principal_id, principal.budget)

    async def close(self) -> None:
        """Let go of what says who calls, and wait until the recorder has been told of everything; before it closes."""
        await self._authenticator.close()
        await self._teller.drain()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of the call; where who calls may not, its request is not even read."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT):
            return handler
        metadata = tuple((str(key), value) for key, value in handler_call_details.invocation_metadata or ())
        streams = bool(handler.request_streaming)
        found = await self._find(method, streams, metadata, "")
        if _is_of_another_certificate(found.error):  # or of that of the connection, which nobody can tell here
            return self._asking_the_peer(handler, method, metadata)
        if found.principal is None or found.rule is None:
            return self._refusing(method, found)
        return self._guarded(handler, _Call(action_of(method), found.principal, found.rule, metadata))

    async def _find(self, method: str, streams: bool, metadata: Metadata, peer: str) -> _Found:
        """Say who calls, and whether it may call the method; count the call. It takes no request."""
        principal = None
        try:
            principal = await self._authenticator.authenticate(metadata, peer)
            rule = self._rules.get(method)
            if rule is None:
                raise NotPermitted("Nobody may call this.")
            self._budgets.spend(principal.principal_id, principal.budget)  # before: refusals take of it too
            require_role(principal, rule.roles)
            if rule.counts_as_search and not streams:
                self._budgets.search(principal.principal_id, principal.budget)
        except Exception as error:  # noqa: BLE001 - raised where the room outside makes a status of it: in the call
            return _Found(principal, None, error)
        return _Found(principal, rule, None)

    def _refusing(self, method: str, found: _Found) -> Handler:
        """A handler of a stream, which gRPC calls before it reads a request, that of a unary call too."""

        async def refuse(requests: Any, context: Context) -> AsyncIterator[Any]:
            self._refuse(action_of(method), found, context)
            yield  # which makes it a stream

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _asking_the_peer(self, handler: Handler, method: str, metadata: Metadata) -> Handler:
        """A handler that asks who calls once the connection is known; it too is called before a request is read."""

        async def call(requests: Any, context: Context) -> AsyncIterator[Any]:
            found = await self._find(method, bool(handler.request_streaming), metadata, context.peer())
            if found.principal is None or found.rule is None:
                self._refuse(action_of(method), found, context)
            else:
                guarded = self._guarded(handler, _Call(action_of(method), found.principal, found.rule, metadata))
                async for response in as_stream(guarded)(requests, context):
                    yield response
                    del response  # so that an idle stream does not keep its last answer

        return grpc.stream_stream_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _refuse(self, action: str, found: _Found, context: Context) -> None:
        """Tell of a refusal, and raise it."""
        error, principal, record = found.error, found.principal, CallRecord()
        assert error is not None
        if isinstance(error, FrError):
            attribution = _NOBODY if principal is None else attribution_of(principal, "", None)
            if isinstance(error, CredentialInvalid):
                record.detail = _fault_of(error)
            self._teller.refused(attribution, _request_id(context), action, error.reason, record)
        raise error

    def _guarded(self, handler: Handler, call: _Call) -> Handler:
        """Return the handler with the guard around what it does."""

        def unary(behaviour: Unary) -> Unary:
            return lambda request, context: self._one(call, behaviour, request, context)

        def stream(behaviour: Stream) -> Stream:
            answer = self._items if handler.request_streaming else self._many
            return lambda requests, context: answer(call, behaviour, requests, context)

        return wrap(handler, unary, stream)

    async def _one(self, call: _Call, behaviour: Unary, request: Any, context: Context) -> Any:
        """A request and its answer."""
        attribution, record = attribution_of(call.principal, _request_id(context), request), CallRecord()
        async with self._teller.ending(call.rule, attribution, call.action, record):
            valid = partial(self._require_still_valid, call, context, record)
            await valid()  # the request may have come long after the call
            only_above = await self._inspect(call, request, record)
            with calling(call.principal, call.rule, valid), attributed(attribution), noting(record):
                response = await behaviour(request, context)
            if call.rule.kind is not Kind.CHANGE:  # of which whoever made it is told, for it was made in time
                await valid()
            _tell_less(call, response, only_above)
            learn_response(record, response)
        return response

    async def _many(
        self, call: _Call, behaviour: Stream, requests: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """A request and its answer in many messages; the first leaves when the audit knows of it."""
        async for request in requests:
            attribution, record = attribution_of(call.principal, _request_id(context), request), CallRecord()
            valid = partial(self._require_still_valid, call, context, record)
            async with (
                self._teller.ending(call.rule, attribution, call.action, record) as ending,
                self._streams.one(valid, partial(_tell, context)) as sending,
            ):
                await valid()
                only_above = await self._inspect(call, request, record)
                answers = behaviour(only(request), context)
                async for response in stepping(answers, call.principal, call.rule, valid, attribution, record):
                    await valid()
                    learn_message(record, response)
                    await ending.begun()
                    record.counts["messages"] = record.counts.get("messages", 0) + 1
                    _tell_less(call, response, only_above)
                    with sending:
                        yield response

    async def _items(
        self, call: _Call, behaviour: Stream, requests: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """Items and their answers, each checked, counted and told of by itself."""
        items = Items()
        answers = behaviour(self._checked(call, requests, items, context), context)
        attribution = attribution_of(call.principal, _request_id(context), None)
        try:
            valid = partial(self._require_still_valid_or_tell, call, context)
            untold = partial(self._require_still_valid, call, context, CallRecord())  # of an item at work
            async with self._streams.one(valid, partial(_tell, context)) as sending:
                async for response in stepping(answers, call.principal, call.rule, untold, attribution, CallRecord()):
                    item, outcome = items.answered(response), outcome_of(response)
                    _tell_less(call, response, item.only_above)
                    learn_response(item.record, response)
                    await self._teller.ended(call.rule, item.attribution, call.action, item.record, outcome)
                    await valid()  # what was worked on meanwhile is not told
                    with sending:
                        yield response
                    response.Clear()  # gRPC keeps the last answer of an idle stream
                    del response
        finally:
            for item in items:
                self._teller.cancelled(call.rule, item.attribution, call.action, item.record)

    async def _checked(
        self, call: _Call, requests: AsyncIterator[Any], items: Items, context: Context
    ) -> AsyncIterator[Any]:
        """Yield the items of a stream, and something that refuses to be answered in the place of those that may not."""
        async for request in requests:
            await self._require_still_valid_or_tell(call, context)
            item = Item(request.item_id, attribution_of(call.principal, _request_id(context), request), CallRecord())
            number = items.add(item)
            try:
                require_item_id(request.item_id)
                self._budgets.spend(call.principal.principal_id, call.principal.budget)
                if call.rule.counts_as_search:
                    self._budgets.search(call.principal.principal_id, call.principal.budget)
                item.only_above = await self._inspect(call, request, item.record)
            except (InputRefused, Failure) as error:
                yield RefusedItem(number, error)
            else:
                request.item_id = number
                yield request
            del request  # so that an idle stream does not keep its last item

    async def _require_still_valid(self, call: _Call, context: Context, record: CallRecord) -> None:
        """Raise `CredentialInvalid` where the credential is not valid any more; the record then has why."""
        try:
            await self._authenticator.authenticate(call.metadata, context.peer())
        except CredentialInvalid as error:
            record.detail |= _fault_of(error)
            raise

    async def _require_still_valid_or_tell(self, call: _Call, context: Context) -> None:
        """As the other, between items: none of them would tell of it."""
        record = CallRecord()
        try:
            await self._require_still_valid(call, context, record)
        except CredentialInvalid as error:
            attribution = attribution_of(call.principal, "", None)
            self._teller.refused(attribution, _request_id(context), call.action, error.reason, record)
            raise

    async def _inspect(self, call: _Call, request: Any, record: CallRecord) -> bool:
        """Check what a request names, and put out of it what its principal may not know.

        Returns:
            Whether candidates below the threshold are to be taken from the answer.

        Raises:
            NotPermitted: the request asks for what its principal may not do.
            QuotaExceeded: it is a search, and there is none left today.
            Failure: it cannot be checked now.
        """
        rule, principal = call.rule, call.principal
        learn_request(record, rule, request)
        record.searched = rule.counts_as_search
        if rule.variants:
            sent = {variant.field: request.HasField(variant.field) for variant in rule.variants}
            require_role(principal, rule.roles_of(sent), "With these fields ")
        if principal.coarse:
            require_photos(rule, request)
        if rule.search_if and value_at(request, rule.search_if):
            record.searched = True
            self._budgets.search(principal.principal_id, principal.budget)
        with calling(principal):
            if await self._foreign.put_out(rule, principal, request):
                record.detail |= OUTSIDE
        return principal.coarse and ask_for_all(request)


def _tell_less(call: _Call, response: Any, only_above: bool) -> None:
    if call.principal.coarse and call.rule.coarse is Coarse.ROUNDED:
        tell_less(response, only_above)


def _fault_of(error: CredentialInvalid) -> dict[str, str]:
    """Return what the audit is told of a credential that is not valid, which the caller is not."""
    fault = refusal_of(error)
    if fault is None:
        return {}
    return {"why": fault.why.value} | ({"credential": fault.principal_id} if fault.principal_id else {})


def _is_of_another_certificate(error: Exception | None) -> bool:
    why = refusal_of(error) if isinstance(error, CredentialInvalid) else None
    return why is not None and why.why is Why.OTHER_CERTIFICATE


async def _tell(context: Context, error: FrError) -> None:
    """Give a call its status, from beside it."""
    with suppress(grpc.aio.AbortError, grpc.aio.InternalError, grpc.aio.UsageError):  # the call has ended by itself
        await abort(context, error, _request_id(context))


def _request_id(context: Context) -> str:
    """Return the id that the room outside has given to the call."""
    trailing = context.trailing_metadata() or ()
    return next((str(value) for key, value in trailing if key == _REQUEST_ID), "")
