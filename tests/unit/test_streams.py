"""Streams of callers: what is looked at while nothing is said in them."""

from __future__ import annotations

import asyncio

import pytest

from fr_core.errors import FrError
from fr_server.rpc.interceptors import streams
from fr_server.rpc.interceptors.streams import Streams
from fr_trust.errors import CredentialInvalid


def test_a_look_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.01)
    looks = iter((OSError("secret"), CredentialInvalid("The credential is not valid.")))

    async def look() -> None:
        raise next(looks)

    async def tell(error: FrError) -> None:
        raise AssertionError("the block itself was told")

    async def wait() -> None:
        async with Streams().one(look, tell):
            await asyncio.sleep(5)

    with pytest.raises(CredentialInvalid):
        asyncio.run(wait())
    assert "could not be checked: OSError" in caplog.text
    assert "secret" not in caplog.text
