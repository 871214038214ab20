"""AccessService: API keys, and who calls."""

from __future__ import annotations

from typing import Any

import grpc

from fr_api.v1 import access_pb2, access_pb2_grpc
from fr_core.access.budget import Budget
from fr_core.access.scope import Scope
from fr_core.access.store import AccessStore
from fr_core.errors import InvalidPage, NotPermitted
from fr_core.gallery import pages
from fr_server.access.callers import current_principal
from fr_server.convert.access import (
    created_response,
    key_message,
    new_key,
    overlap_ms,
    rotated_response,
    who_response,
)
from fr_server.work import Work

Context = grpc.aio.ServicerContext[Any, Any]

_DEFAULT_PAGE = 100
_CALL = "keys"


class AccessService(access_pb2_grpc.AccessServiceServicer):
    """Makes, lists, rotates and revokes API keys.

    Args:
        store: keeps them.
        default: how much a key may ask for whose maker does not say.
        key_days: how long it is valid then.
        work: runs what blocks.
    """

    def __init__(self, store: AccessStore, default: Budget, key_days: int, work: Work) -> None:
        self._store = store
        self._default = default
        self._key_days = key_days
        self._work = work

    async def WhoAmI(  # noqa: N802
        self, request: access_pb2.WhoAmIRequest, context: Context
    ) -> access_pb2.WhoAmIResponse:
        """Tell who the server takes the caller for."""
        return who_response(current_principal())

    async def CreateKey(  # noqa: N802
        self, request: access_pb2.CreateKeyRequest, context: Context
    ) -> access_pb2.CreateKeyResponse:
        """Make a key."""
        new = new_key(request, self._default, self._key_days)
        principal = current_principal()
        if not (_includes(principal.galleries, new.galleries) and _includes(principal.courses, new.courses)):
            raise NotPermitted("The key would reach further than that of whoever makes it.")
        return created_response(await self._work.storage(self._store.create, new))

    async def ListKeys(  # noqa: N802
        self, request: access_pb2.ListKeysRequest, context: Context
    ) -> access_pb2.ListKeysResponse:
        """List a page of keys."""
        size = request.page_size or _DEFAULT_PAGE
        pages.require_page_size(size)
        last = pages.last_of(_CALL, request.page_token)
        if last and not last.isdecimal():
            raise InvalidPage("The page token is not one that this call returned.")
        found = await self._work.storage(self._store.keys, int(last) if last else None, size + 1)
        shown = found[:size]
        more = len(found) > size
        return access_pb2.ListKeysResponse(
            keys=[key_message(key) for key in shown],
            next_page_token=pages.page_token(_CALL, str(shown[-1].number)) if more else "",
        )

    async def RotateKey(  # noqa: N802
        self, request: access_pb2.RotateKeyRequest, context: Context
    ) -> access_pb2.RotateKeyResponse:
        """Give a key a new secret."""
        return rotated_response(await self._work.storage(self._store.rotate, request.key_id, overlap_ms(request)))

    async def RevokeKey(  # noqa: N802
        self, request: access_pb2.RevokeKeyRequest, context: Context
    ) -> access_pb2.RevokeKeyResponse:
        """Make a key invalid."""
        return access_pb2.RevokeKeyResponse(
            key=key_message(await self._work.storage(self._store.revoke, request.key_id))
        )


def _includes(scope: Scope, other: Scope) -> bool:
    """Whether whatever another scope covers is covered by a scope."""
    return all(any(_reaches(own, pattern) for own in scope.patterns) for pattern in other.patterns)


def _reaches(own: str, pattern: str) -> bool:
    if own.endswith("*"):
        return pattern.startswith(own[:-1])
    return own == pattern
