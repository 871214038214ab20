"""Access of the asynchronous client: who calls, and the API keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from grpc import aio

from fr_api.v1 import access_pb2, access_pb2_grpc
from fr_client import access_requests
from fr_client.access_requests import Role
from fr_client.aio_training import AsyncCall


class AsyncAccess:
    """Access for asyncio; `AsyncClient.access` is one. The methods and their errors are those of `Access`.

    Args:
        channel: to the server.
        call: makes a call with one answer.
    """

    def __init__(self, channel: aio.Channel, call: AsyncCall) -> None:
        self._stub = access_pb2_grpc.AccessServiceStub(channel)
        self._call = call

    async def who_am_i(self) -> access_pb2.WhoAmIResponse:
        """See `Access.who_am_i`."""
        return await self._call(self._stub.WhoAmI, access_pb2.WhoAmIRequest())

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
        """See `Access.create_key`."""
        request = access_requests.create_key(
            roles,
            label,
            galleries,
            courses,
            requests_per_s,
            burst,
            searches_per_day,
            lifetime,
            certificate_sha256,
        )
        return await self._call(self._stub.CreateKey, request)

    async def keys(self, *, page_size: int | None = None) -> AsyncIterator[access_pb2.ApiKey]:
        """See `Access.keys`."""
        token = ""
        while True:
            request = access_pb2.ListKeysRequest(page_size=page_size or 0, page_token=token)
            page = await self._call(self._stub.ListKeys, request)
            for one in page.keys:
                yield one
            token = page.next_page_token
            if not token:
                return

    async def rotate_key(self, key_id: str, *, overlap: timedelta | None = None) -> access_pb2.RotateKeyResponse:
        """See `Access.rotate_key`."""
        return await self._call(self._stub.RotateKey, access_requests.rotate_key(key_id, overlap))

    async def revoke_key(self, key_id: str) -> access_pb2.ApiKey:
        """See `Access.revoke_key`."""
        return (await self._call(self._stub.RevokeKey, access_pb2.RevokeKeyRequest(key_id=key_id))).key
