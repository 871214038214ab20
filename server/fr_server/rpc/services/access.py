"""AccessService: API keys, and who calls."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from fr_api.v1 import access_pb2 as pb
from fr_api.v1 import access_pb2_grpc
from fr_core.gallery import pages
from fr_locales.messages import message
from fr_server.authz.callers import current_principal, seen
from fr_server.authz.record import OUTSIDE, note
from fr_server.pools import Work
from fr_server.rpc.convert import access
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.paging import number_of, size_of
from fr_trust.access.budget import Budget
from fr_trust.access.keys import ApiKey, principal_id_of, reaches, require_may_give
from fr_trust.access.principal import Principal, Role
from fr_trust.access.store import AccessStore
from fr_trust.errors import NotPermitted

_CALL = "keys"
# In the place of the id of a key that the caller may not know of; no key has it.
_NOBODYS = "-" * 16


class AccessService(access_pb2_grpc.AccessServiceServicer):
    """Makes, lists, rotates and revokes API keys.

    `fr_trust.access.keys` decides who may see, hand out and revoke which key. For a key with wider access than the
    caller's, the answer is that it does not exist. A key has the budget `default`, or less, and is valid for
    `key_days`, or less, where its maker does not say: never more than the maker's own. `searches_left` are a caller's
    today; None = no limit.
    """

    def __init__(
        self,
        store: AccessStore,
        default: Budget,
        key_days: int,
        work: Work,
        searches_left: Callable[[Principal], Awaitable[int | None]],
    ) -> None:
        self._store = store
        self._default = default
        self._key_days = key_days
        self._work = work
        self._searches_left = searches_left

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        principal = current_principal()
        key, left = await self._work.storage(self._own_key), await self._searches_left(principal)
        return access.who_response(principal, key, left)

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        principal = current_principal()
        own = await self._work.storage(self._own_key)
        ends_ms = None if own is None else own.expires_ms
        new = access.new_key(request, self._default.at_most(principal.budget), self._key_days, ends_ms)
        # A requested lifetime that is too long is refused; the default is shortened.
        asked = replace(new, not_after_ms=None) if request.HasField("lifetime") else new
        require_may_give(principal, own, asked, self._store.now_ms())
        return access.created_response(await self._work.storage(self._store.create, new))

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        size = size_of(request.page_size)
        last = pages.last_of(_CALL, request.page_token)
        before = number_of(last) if last else None
        shown, more = await self._work.storage(self._keys_seen, before, size)
        return pb.ListKeysResponse(
            keys=[access.key_message(key) for key in shown],
            next_page_token=pages.page_token(_CALL, str(shown[-1].number)) if more else "",
        )

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Context) -> pb.RotateKeyResponse:
        overlaps_ms = access.overlap_ms(request)
        key_id = await self._work.storage(self._given, request.key_id, overlaps_ms > 0)
        return access.rotated_response(await self._work.storage(self._store.rotate, key_id, overlaps_ms))

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:
        key_id = await self._work.storage(self._known, request.key_id)
        return pb.RevokeKeyResponse(key=access.key_message(await self._work.storage(self._store.revoke, key_id)))

    def _known(self, key_id: str) -> str:
        """Return the id of a key that the caller may see, or an id that no key has."""
        key = self._store.key(key_id)
        if key is None or reaches(current_principal(), key):
            return key_id
        note(detail=OUTSIDE)
        return _NOBODYS

    def _given(self, key_id: str, overlaps: bool) -> str:
        """Like `_known`; raises `NotPermitted` if the caller may not get a secret of the key.

        Who is no admin knows of the own key alone.
        """
        principal = current_principal()
        if principal.principal_id == principal_id_of(key_id):
            return key_id
        if Role.ADMIN not in principal.roles:
            note(detail=OUTSIDE)
            return _NOBODYS
        key_id = self._known(key_id)
        key = self._store.key(key_id)
        if key is None:
            return key_id
        if overlaps:  # two people would call in the name of one key, and nobody could tell them apart
            raise NotPermitted(message("error.rpc.only_owner_key_may"), field="overlap")
        require_may_give(principal, self._own_key(), key, self._store.now_ms())
        return key_id

    def _own_key(self) -> ApiKey | None:
        kind, _, key_id = current_principal().principal_id.partition(":")
        return self._store.key(key_id) if kind == "key" else None

    def _keys_seen(self, before: int | None, size: int) -> tuple[list[ApiKey], bool]:
        """Return a page of the keys that the caller may know of, and whether there are more: auditors see all."""
        principal = current_principal()
        audits = Role.AUDITOR in principal.roles

        def fetch(last: ApiKey | None, size: int) -> tuple[Sequence[ApiKey], bool]:
            found = self._store.keys(before if last is None else last.number, size)
            return found, len(found) == size

        return seen(fetch, size, lambda key: audits or reaches(principal, key))
