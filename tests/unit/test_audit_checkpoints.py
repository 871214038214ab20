"""Checkpoints: what they sign, how they are read, and that nothing else is one."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from fr_core.errors import InvalidField
from fr_core.storage.audit.chain import first_hash, next_hash
from fr_core.storage.audit.checkpoints import (
    Checkpoint,
    key_id_of,
    make_checkpoint,
    parse_checkpoint,
    public_pem,
    read_public_key,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CHAIN = "0123456789abcdef" * 2


def made(**more: object) -> Checkpoint:
    checkpoint = make_checkpoint(CHAIN, 7, bytes([9]) * 32, 1_790_000_000_000, KEY.private_bytes_raw())
    return replace(checkpoint, **more)  # type: ignore[arg-type]


def test_hashes_are_those_that_are_documented() -> None:
    assert first_hash(CHAIN) == sha256(CHAIN.encode()).digest()
    previous = bytes([1]) * 32
    expected = sha256(b"fr-core audit 1\0" + CHAIN.encode() + previous + sha256(b'{"v":1}').digest()).digest()
    assert next_hash(CHAIN, previous, b'{"v":1}') == expected


def test_a_checkpoint_can_be_checked_with_the_standard_library_of_anybody() -> None:
    said = json.loads(made().to_json())
    signature = base64.urlsafe_b64decode(said.pop("signature") + "==")
    assert set(said) == {"v", "chain_id", "seq", "hash", "at_ms", "key_id"}
    signed = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    key = load_pem_public_key(public_pem(KEY.public_key()).encode())
    key.verify(signature, signed)  # type: ignore[union-attr, call-arg]


def test_it_comes_back_and_is_signed() -> None:
    checkpoint = parse_checkpoint(made().to_json())
    assert checkpoint == made()
    assert checkpoint.is_signed_by(KEY.public_key())
    assert checkpoint.key_id == key_id_of(KEY.public_key())
    assert not checkpoint.is_signed_by(Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    "more", [{"seq": 8}, {"at_ms": 1}, {"hash": "00" * 32}, {"chain_id": "ff" * 16}, {"key_id": "ff" * 8}]
)
def test_another_statement_is_not_signed(more: dict[str, object]) -> None:
    assert not made(**more).is_signed_by(KEY.public_key())


@pytest.mark.parametrize(
    "more",
    [
        {"seq": -1},
        {"seq": True},
        {"at_ms": 2**53},
        {"hash": "AA" * 32},
        {"hash": "00" * 31},
        {"chain_id": "x" * 32},
        {"key_id": ""},
        {"signature": "A" * 85},
        {"signature": "+" * 86},
    ],
)
def test_what_no_checkpoint_says_is_none(more: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        made(**more)


def test_other_bytes_are_no_checkpoint() -> None:
    data = made().to_json()
    last = base64.urlsafe_b64decode(made().signature + "==")
    twin = next(
        made().signature[:-1] + letter
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        if letter != made().signature[-1] and base64.urlsafe_b64decode(made().signature[:-1] + letter + "==") == last
    )
    for changed in (
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 1_000,
        data + b" ",
        data.replace(b'"v":1', b'"v":2'),
        data.replace(b'"seq":7', b'"seq":7.0'),
        data.replace(made().signature.encode(), twin.encode()),
        data[:-1] + b',"x":1}',
        data + b" " * 2_000,
    ):
        with pytest.raises(InvalidField) as refused:
            parse_checkpoint(changed)
        assert refused.value.metadata == {"field": "checkpoint"}


def test_a_public_key_comes_back_and_others_are_refused() -> None:
    assert read_public_key(public_pem(KEY.public_key())) == KEY.public_key()
    other = X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in ("", "nothing", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", other.decode()):
        with pytest.raises(InvalidField):
            read_public_key(pem)
