"""Access of the asynchronous client: the caller's identity, and the API keys."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from fr_api.v1 import access_pb2, access_pb2_grpc
from fr_client import requests
from fr_client.aio.calls import AsyncCalls
from fr_client.words import ROLES, Role


class AsyncAccess:
    """The caller's identity, and the API keys: `AsyncClient.access`. Errors are those of `AsyncClient`."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls
        self._stub = access_pb2_grpc.AccessServiceStub(calls.unary)

    async def who_am_i(self) -> access_pb2.WhoAmIResponse:
        """Return the identity that the server sees in this client, and what it may do."""
        return await self._calls.call(self._stub.WhoAmI, access_pb2.WhoAmIRequest())

    async def create_key(
        self,
        roles: Sequence[Role],
        *,
        label: str = "",
        galleries: Sequence[str] = (),
        courses: Sequence[str] = (),
        requests_per_s: float | None = None,
        burst: int | None = None,
        searches_per_day: int | None = None,
        lifetime: timedelta | None = None,
        certificate_sha256: str = "",
    ) -> access_pb2.CreateKeyResponse:
        """Make an API key. The answer has its secret, which the server says only this once: show and log it nowhere.

        Args:
            roles: what it may do; at least one.
            label: what it is for, at most 128 characters; not the name of a person.
            galleries: galleries it may use: ids, or beginnings of ids followed by *; empty for none.
            courses: likewise.
            requests_per_s: calls, and items of streams, in a second in the long run. None is the server's default, here
                and for the following.
            burst: calls and items at once beyond that.
            searches_per_day: searches in a day (UTC).
            lifetime: how long it is valid, 5 years at most.
            certificate_sha256: of the client certificate (DER) that it is bound to, 64 hexadecimal digits; "" for none.

        Raises `ValueError` for an unknown role, and `TypeError` for a string in place of a list.
        """
        if any(isinstance(several, str) for several in (roles, galleries, courses)):
            raise TypeError("Roles, galleries and courses are lists: ['operator'] rather than 'operator'.")
        unknown = [word for word in roles if word not in ROLES]
        if unknown:
            raise ValueError(f"roles has {unknown[0]!r}; it can have {', '.join(map(repr, ROLES))}.")
        request = access_pb2.CreateKeyRequest(
            label=label,
            roles=[ROLES[word] for word in roles],
            galleries=galleries,
            courses=courses,
            certificate_sha256=certificate_sha256,
            lifetime=requests.duration(lifetime),
        )
        if (requests_per_s, burst, searches_per_day) != (None, None, None):
            budget = access_pb2.Budget(requests_per_s=requests_per_s or 0.0, burst=burst or 0)
            if searches_per_day is not None:
                budget.searches_per_day = searches_per_day
            request.budget.CopyFrom(budget)
        return await self._calls.call(self._stub.CreateKey, request)

    def keys(self, *, page_size: int | None = None) -> AsyncIterator[access_pb2.ApiKey]:
        """Yield every API key without its secret, the newest first, page by page; None for the server's size."""
        request = access_pb2.ListKeysRequest(page_size=page_size or 0)
        return self._calls.pages(self._stub.ListKeys, request, "keys")

    async def rotate_key(self, key_id: str, *, overlap: timedelta | None = None) -> access_pb2.RotateKeyResponse:
        """Give a key, by the part of it before the dot, a new secret, which the server says only this once.

        `overlap` is how long the old secret stays valid, 30 days at most; None for not at all.
        """
        request = access_pb2.RotateKeyRequest(key_id=key_id, overlap=requests.duration(overlap))
        return await self._calls.call(self._stub.RotateKey, request)

    async def revoke_key(self, key_id: str) -> access_pb2.ApiKey:
        """Make a key invalid, for ever and at once, and return it; revoking it twice changes nothing more."""
        return (await self._calls.call(self._stub.RevokeKey, access_pb2.RevokeKeyRequest(key_id=key_id))).key
