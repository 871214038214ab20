"""Guards the API: each call passes three stages before its service, and its answer passes them again.

1. `authenticate`: who calls.
2. `authorize`: may they do this, with this request, within their scope.
3. `record`: the audit hears how the call ended before its answer leaves.

Last of all, an answer leaves only within the term of the server in which it was made.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from fr_core.errors import Failure, FrError, InputRefused, ReplicaBehind
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.terms import Answering, answering
from fr_server.authz.authenticate import Authenticator, Metadata, fault_of, is_of_another_certificate
from fr_server.authz.authorize import Authorizer, attribution_of, learn_message, learn_response
from fr_server.authz.callers import calling
from fr_server.authz.record import NOBODY, CallAudit, CallRecord, Recorder, noting
from fr_server.authz.rules import Coarse, Kind, Rule, action_of
from fr_server.authz.score_rounding import tell_less
from fr_server.authz.table import RULES
from fr_server.errors import abort
from fr_server.rpc.convert.common import require_item_id
from fr_server.rpc.interceptors.streams import (
    Item,
    Items,
    RefusedItem,
    Streams,
    as_stream,
    in_groups,
    only,
    outcome_of,
    stepping,
)
from fr_server.rpc.interceptors.wrapping import EXEMPT, Context, Handler, Stream, Unary, request_id_of, wrap
from fr_server.telemetry.trust import Trust
from fr_trust.access.principal import Principal
from fr_trust.access.shared_budgets import Counting
from fr_trust.errors import CredentialInvalid

_NOBODY = Attribution(actor=NOBODY)


@dataclass(frozen=True, slots=True)
class _Found:
    """The caller, None if unknown; either `rule` or `error` is set."""

    principal: Principal | None
    rule: Rule | None
    error: Exception | None


@dataclass(frozen=True, slots=True)
class _Call:
    """A call whose principal may call the method; `metadata` hold the credential."""

    action: str
    principal: Principal
    rule: Rule
    metadata: Metadata


class Guard(grpc.aio.ServerInterceptor):
    """Stands between the interceptor that gives calls their ids and the one that admits them.

    It checks the credential, the role and the budget before the request is read, and the request itself afterwards. The
    rest of the call has the principal (`callers.current_principal`), the attribution
    (`fr_core.storage.audit.attribution`) and the record that `record.note` adds to. Every item and every answer of a
    stream needs a credential that is still valid. The stream itself ends soon after its credential: a revoked key ends
    what was begun with it.

    `recorder` records refusals, and calls that ended. `streams` ends streams that may not go on; None = readers may be
    as slow as they like. A method without one of the `rules` is refused. `authorizer` decides what callers may do.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        budgets: Counting,
        recorder: Recorder,
        trust: Trust,
        *,
        streams: Streams | None = None,
        rules: Mapping[str, Rule] = RULES,
    ) -> None:
        self._authenticator = authenticator
        self.authorizer = Authorizer(budgets, rules)
        self._audit = CallAudit(recorder, trust, time.monotonic)
        self._streams = streams or Streams()

    async def close(self) -> None:
        """Close the authenticator, and wait until the recorder has everything; call it before the recorder closes."""
        await self._authenticator.close()
        await self._audit.drain()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of the call; the request of a refused call is not even read."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT):
            return handler
        metadata = tuple((str(key), value) for key, value in handler_call_details.invocation_metadata or ())
        streams = bool(handler.request_streaming)
        found = await self._find(method, streams, metadata, "")
        if is_of_another_certificate(found.error):  # perhaps that of the connection, which is unknown here
            return self._asking_the_peer(handler, method, metadata)
        if found.principal is None or found.rule is None:
            return self._refusing(method, found)
        return self._guarded(handler, _Call(action_of(method), found.principal, found.rule, metadata))

    async def _find(self, method: str, streams: bool, metadata: Metadata, peer: str) -> _Found:
        """Authenticate the caller, authorize the method and count the call; it needs no request."""
        principal = None
        try:
            principal = await self._authenticator.authenticate(metadata, peer)
            rule = await self.authorizer.require_method(principal, method, streams)
        except Exception as error:  # noqa: BLE001 - raised in the call, where the boundary makes a status of it
            return _Found(principal, None, error)
        return _Found(principal, rule, None)

    def _refusing(self, method: str, found: _Found) -> Handler:
        """Return a handler of a stream: gRPC calls it before it reads a request, also that of a unary call."""

        async def refuse(requests: Any, context: Context) -> AsyncIterator[Any]:
            self._refuse(action_of(method), found, context)
            yield  # which makes it a stream

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _asking_the_peer(self, handler: Handler, method: str, metadata: Metadata) -> Handler:
        """Return a handler that authenticates once the connection is known; gRPC calls it before it reads a request."""

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
            call, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )

    def _refuse(self, action: str, found: _Found, context: Context) -> None:
        error, principal, record = found.error, found.principal, CallRecord()
        assert error is not None
        if isinstance(error, FrError):
            attribution = _NOBODY if principal is None else attribution_of(principal, "", None)
            if isinstance(error, CredentialInvalid):
                record.detail = fault_of(error)
            self._audit.refused(attribution, request_id_of(context), action, error.reason, record)
        raise error

    def _guarded(self, handler: Handler, call: _Call) -> Handler:
        def unary(behaviour: Unary) -> Unary:
            return lambda request, context: self._one(call, behaviour, request, context)

        def stream(behaviour: Stream) -> Stream:
            answer = self._items if handler.request_streaming else self._many
            return lambda requests, context: answer(call, behaviour, requests, context)

        return wrap(handler, unary, stream)

    async def _one(self, call: _Call, behaviour: Unary, request: Any, context: Context) -> Any:
        attribution, record = attribution_of(call.principal, request_id_of(context), request), CallRecord()
        async with self._audit.ending(call.rule, attribution, call.action, record):
            valid = partial(self._require_still_valid, call, context, record)
            changes = call.rule.kind is Kind.CHANGE
            if changes:
                await valid()  # the request may have come long after the call
            only_above = await self.authorizer.check_request(call.principal, call.rule, request, record)
            checked, made = calling(call.principal, call.rule, valid if changes else None), Answering()
            with checked, attributed(attribution), noting(record), answering(made):
                response = await behaviour(request, context)
            if not changes:  # nothing but the answer comes of it; a change was made in time, so its caller hears of it
                await valid()
            _tell_less(call, response, only_above)
            learn_response(record, response)
        try:
            made.require()  # the process may have been stopped until now, also while the audit was written
        except ReplicaBehind as error:
            self._audit.refused(attribution, request_id_of(context), call.action, error.reason, CallRecord())
            raise
        return response

    async def _many(
        self, call: _Call, behaviour: Stream, requests: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """Guard a request and its answer in many messages; the first leaves after the audit has the call."""
        async for request in requests:
            attribution, record = attribution_of(call.principal, request_id_of(context), request), CallRecord()
            valid = partial(self._require_still_valid, call, context, record)
            async with (
                self._audit.ending(call.rule, attribution, call.action, record) as ending,
                self._streams.one(valid, partial(_tell, context)) as sending,
            ):
                await valid()
                only_above = await self.authorizer.check_request(call.principal, call.rule, request, record)
                answers, made = behaviour(only(request), context), Answering()
                async for response in stepping(answers, call.principal, call.rule, valid, attribution, record, made):
                    await valid()
                    learn_message(record, response)
                    await ending.begun()
                    record.counts["messages"] = record.counts.get("messages", 0) + 1
                    _tell_less(call, response, only_above)
                    await self._streams.require_term(made)
                    with sending:
                        yield response

    async def _items(
        self, call: _Call, behaviour: Stream, requests: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """Guard items and their answers: each is checked and counted, and they share commits of the audit."""
        items = Items()
        answers = behaviour(self._checked(call, requests, items, context), context)
        attribution = attribution_of(call.principal, request_id_of(context), None)
        try:
            valid = partial(self._require_still_valid_or_tell, call, context)
            untold = partial(self._require_still_valid, call, context, CallRecord())  # of an item at work
            made = Answering()
            steps = stepping(answers, call.principal, call.rule, untold, attribution, CallRecord(), made)
            async with (
                self._streams.one(valid, partial(_tell, context)) as sending,
                aclosing(in_groups(steps, partial(self._keep, call, items))) as kept,
            ):
                async for response in kept:
                    await valid()  # else the answer is not told
                    await self._streams.require_term(made)
                    with sending:
                        yield response
                    response.Clear()  # gRPC keeps the last answer of an idle stream
                    del response
        finally:
            for item in items:
                self._audit.cancelled(call.rule, item.attribution, call.action, item.record)

    async def _keep(self, call: _Call, items: Items, responses: Sequence[Any]) -> None:
        """Record the items that these responses answer."""
        ended = []
        for response in responses:
            item, outcome = items.answered(response), outcome_of(response)
            _tell_less(call, response, item.only_above)
            learn_response(item.record, response)
            ended.append(self._audit.end(call.rule, item.attribution, call.action, item.record, outcome))
        await self._audit.keep(*ended)

    async def _checked(
        self, call: _Call, requests: AsyncIterator[Any], items: Items, context: Context
    ) -> AsyncIterator[Any]:
        """Yield the items of a stream; a `RefusedItem` stands for each refused one."""
        async for request in requests:
            await self._require_still_valid_or_tell(call, context)
            item = Item(request.item_id, attribution_of(call.principal, request_id_of(context), request), CallRecord())
            number = items.add(item)
            try:
                require_item_id(request.item_id)
                await self.authorizer.count_item(call.principal, call.rule)
                item.only_above = await self.authorizer.check_request(call.principal, call.rule, request, item.record)
            except (InputRefused, Failure) as error:
                yield RefusedItem(number, error)
            else:
                request.item_id = number
                yield request
            del request  # so that an idle stream does not keep its last item

    async def _require_still_valid(self, call: _Call, context: Context, record: CallRecord) -> None:
        """Raise `CredentialInvalid` if the credential is not valid any more; the record then has the reason."""
        try:
            await self._authenticator.authenticate(call.metadata, context.peer())
        except CredentialInvalid as error:
            record.detail |= fault_of(error)
            raise

    async def _require_still_valid_or_tell(self, call: _Call, context: Context) -> None:
        """Do the same between items, and record a refusal, because no item would."""
        record = CallRecord()
        try:
            await self._require_still_valid(call, context, record)
        except CredentialInvalid as error:
            attribution = attribution_of(call.principal, "", None)
            self._audit.refused(attribution, request_id_of(context), call.action, error.reason, record)
            raise


def _tell_less(call: _Call, response: Any, only_above: bool) -> None:
    if call.principal.coarse and call.rule.coarse is Coarse.ROUNDED:
        tell_less(response, only_above)


async def _tell(context: Context, error: FrError) -> None:
    with suppress(grpc.aio.AbortError, grpc.aio.InternalError, grpc.aio.UsageError):  # the call has ended by itself
        await abort(context, error, request_id_of(context))
