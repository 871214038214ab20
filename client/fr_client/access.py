"""Access of the synchronous client: who calls, and the API keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import grpc

from fr_api.v1 import access_pb2, access_pb2_grpc
from fr_client import access_requests
from fr_client.access_requests import Role
from fr_client.training import Call


class Access:
    """Who calls, and the API keys of the server; `Client.access` is one. Errors are those of `Client`.

    Args:
        channel: to the server.
        call: makes a call with one answer.
    """

    def __init__(self, channel: grpc.Channel, call: Call) -> None:
        self._stub = access_pb2_grpc.AccessServiceStub(channel)
        self._call = call

    def who_am_i(self) -> access_pb2.WhoAmIResponse:
        """Return who the server takes this client for, and what it may do."""
        return self._call(self._stub.WhoAmI, access_pb2.WhoAmIRequest())

    def create_key(
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
        """Make an API key. The answer has its secret, which is told this once: show and log it nowhere.

        Args:
            roles: what it may do; at least one.
            label: what it is for, at most 128 characters; not the name of a person.
            galleries: that it may be used on: ids, or beginnings of ids followed by *; none where it is empty.
            courses: likewise.
            requests_per_s: calls, and items of streams, in a second in the long run; None for the server's default.
            burst: calls and items at once beyond that; None for the server's default.
            searches_per_day: searches in a day (UTC); None for the server's default.
            lifetime: for how long it is valid, 5 years at most; None for the server's default.
            certificate_sha256: of the client certificate (DER) that it is bound to, 64 hexadecimal digits; "" for none.

        Raises:
            ValueError: a word of `roles` is none.
        """
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
        return self._call(self._stub.CreateKey, request)

    def keys(self, *, page_size: int | None = None) -> Iterator[access_pb2.ApiKey]:
        """Yield every API key without its secret, the newest first, page by page; None for the server's size."""
        token = ""
        while True:
            request = access_pb2.ListKeysRequest(page_size=page_size or 0, page_token=token)
            page = self._call(self._stub.ListKeys, request)
            yield from page.keys
            token = page.next_page_token
            if not token:
                return

    def rotate_key(self, key_id: str, *, overlap: timedelta | None = None) -> access_pb2.RotateKeyResponse:
        """Give a key a new secret, which is told this once.

        Args:
            key_id: the part of the key before the dot.
            overlap: for how long the secret before stays valid, 30 days at most; None for not at all.
        """
        return self._call(self._stub.RotateKey, access_requests.rotate_key(key_id, overlap))

    def revoke_key(self, key_id: str) -> access_pb2.ApiKey:
        """Make a key invalid, for ever and at once, and return it; done twice it is the same as once."""
        return self._call(self._stub.RevokeKey, access_pb2.RevokeKeyRequest(key_id=key_id)).key
