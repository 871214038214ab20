"""Connects to a server for a measurement, in clear, or with TLS and an API key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio

Options = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Access:
    """The certificate of a server's authority, PEM, and an API key."""

    ca: bytes
    key: str = field(repr=False)

    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel that sends the key with each call, in a thread for each call."""
        return grpc.composite_channel_credentials(self.tls(), grpc.access_token_call_credentials(self.key))

    def tls(self) -> grpc.ChannelCredentials:
        """The credentials of a channel whose calls send the key in their `metadata`, which takes no thread."""
        return grpc.ssl_channel_credentials(self.ca)

    @property
    def metadata(self) -> tuple[tuple[str, str]]:
        """The metadata of a call, which say who calls."""
        return (("authorization", f"Bearer {self.key}"),)


def open_channel(address: str, access: Access | None, options: Options = ()) -> grpc.Channel:
    """Open a channel to HOST:PORT; without access in clear."""
    if access is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, access.credentials(), options)


def open_aio_channel(address: str, access: Access | None, options: Options = ()) -> grpc.aio.Channel:
    """Open a channel for asyncio, whose calls send the `metadata` of the access; without access in clear."""
    if access is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, access.tls(), options)
