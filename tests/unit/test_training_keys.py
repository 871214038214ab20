"""Keys and codes of training: signing keys, the file of the key of certificates, and the codes of trainees."""

import base64
import errno
import json
import os
import random
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from fr_core.errors import StoreCorrupt, StoreFailed
from fr_server.rpc.services.training import storage
from fr_server.rpc.services.training.storage import signing_key
from fr_training.exports.signing import SigningKey, did_of, new_signing_key, thumbprint, verify
from fr_training.store.codes import ALPHABET, CODE_CHARACTERS, new_code, new_pseudonym, typed_code

CLAIMS = {"sub": "urn:uuid:1", "nbf": 1_700_000_000, "name": "Gesichter – “Kurs”"}


@pytest.fixture(scope="module")
def pem() -> bytes:
    return new_signing_key()


@pytest.fixture(scope="module")
def key(pem: bytes) -> SigningKey:
    return SigningKey.load(pem)


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_has_its_public_key_and_is_rs256_by_another_reading(key: SigningKey, pem: bytes) -> None:
    header = json.loads(decoded(key.sign(CLAIMS).split(".")[0]))
    assert header == {"alg": "RS256", "typ": "JWT", "jwk": key.public_jwk}
    assert set(key.public_jwk) == {"kty", "n", "e", "alg", "use", "kid"}  # d, p, q are the secret ones
    assert key.public_jwk["e"] == "AQAB"
    assert key.sign(CLAIMS) == SigningKey.load(pem).sign(CLAIMS)
    assert verify(key.sign(CLAIMS), key.public_jwk) == CLAIMS
    header, claims, signature = key.sign(CLAIMS).split(".")
    key.private.public_key().verify(
        decoded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_no_change_and_no_other_key_verifies(key: SigningKey) -> None:
    text, jwk = key.sign({"a": 1}), key.public_jwk
    for place, character in enumerate(text):
        other = "A" if character != "A" else "B"
        with pytest.raises(ValueError):
            verify(text[:place] + other + text[place + 1 :], jwk)
    text = key.sign(CLAIMS)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(text[-1])
    assert last % 16 == 0  # 256 bytes leave four bits of the last character
    other = text[:-1] + alphabet[last + 1]
    assert decoded(other.split(".")[2]) == decoded(text.split(".")[2])
    with pytest.raises(ValueError, match="no base64url"):
        verify(other, key.public_jwk)
    stranger = SigningKey.load(new_signing_key())
    with pytest.raises(ValueError, match="not that of the key"):
        verify(stranger.sign(CLAIMS), key.public_jwk)
    assert stranger.public_jwk["kid"] != key.public_jwk["kid"]
    assert stranger.did != key.did


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS512", None])
def test_another_algorithm_is_refused(key: SigningKey, algorithm: str | None) -> None:
    signed = f"{encoded({'alg': algorithm})}.{encoded({'a': 1})}"
    signature = key.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(ValueError, match="RS256"):
        verify(f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}", key.public_jwk)


@given(st.text(max_size=60))
@example("a.b.c.d")
@example("e30.e30.")
@example("e30=.e30.e30")
@example("é.e30.e30")
def test_any_text_is_refused_by_one_kind_of_error(key: SigningKey, text: str) -> None:
    with pytest.raises(ValueError):
        verify(text, key.public_jwk)


def test_keys_that_cannot_be_trusted_are_refused(key: SigningKey) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(ValueError, match="2048"):
        SigningKey(short)
    n = short.public_key().public_numbers().n
    weak = {"kty": "RSA", "e": "AQAB", "n": base64.urlsafe_b64encode(n.to_bytes(128)).rstrip(b"=").decode()}
    signed = f"{encoded({'alg': 'RS256'})}.{encoded({'a': 1})}"
    signature = base64.urlsafe_b64encode(short.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))
    with pytest.raises(ValueError, match="2048"):
        verify(f"{signed}.{signature.rstrip(b'=').decode()}", weak)
    for jwk in ({"kty": "EC"}, {"kty": "RSA", "e": "AQAB"}, {**key.public_jwk, "n": "+"}):
        with pytest.raises(ValueError):
            verify(key.sign(CLAIMS), jwk)


def test_what_is_no_signing_key_is_not_loaded(pem: bytes) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    private = serialization.load_pem_private_key(pem, None)
    format_ = serialization.PrivateFormat.PKCS8
    texts = (
        b"",
        pem[: len(pem) // 2],
        curve.private_bytes(serialization.Encoding.PEM, format_, serialization.NoEncryption()),
        private.private_bytes(serialization.Encoding.PEM, format_, serialization.BestAvailableEncryption(b"word")),
    )
    for text in texts:
        with pytest.raises(ValueError, match="an RSA key in PEM"):
            SigningKey.load(text)


def test_a_key_shows_in_no_text_of_it(key: SigningKey, pem: bytes) -> None:
    assert repr(key) == str(key) == "SigningKey()"
    secret = str(key.private.private_numbers().d)
    assert secret not in f"{key!r} {key.public_jwk} {key.did} {key.sign(CLAIMS)}"
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_thumbprint_of_rfc_7638_and_the_key_of_a_did(key: SigningKey) -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6q"
        "MQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awap"
        "JzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert did_of(jwk).startswith("did:key:z4MX")
    assert key.did == did_of(key.public_jwk)
    whole = 0
    for digit in key.did.removeprefix("did:key:z"):
        whole = whole * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(digit)
    data = whole.to_bytes((whole.bit_length() + 7) // 8)
    assert data[:2] == b"\x85\x24"
    found = serialization.load_der_public_key(data[2:])  # OpenSSL takes PKCS #1 too
    assert isinstance(found, rsa.RSAPublicKey)
    assert found.public_numbers() == key.private.public_key().public_numbers()


NAME = "certificates.pem"


@pytest.fixture(autouse=True)
def quick(pem: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One key for all, because to make one takes long."""
    monkeypatch.setattr(storage, "new_signing_key", lambda: pem)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_made_once_for_its_owner_and_damage_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = signing_key(tmp_path)
    assert names(tmp_path) == [NAME]
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    monkeypatch.setattr(storage, "new_signing_key", lambda: pytest.fail("made twice"))
    assert signing_key(tmp_path).did == made.did
    (tmp_path / NAME).write_bytes(b"no key")
    with pytest.raises(StoreCorrupt):
        signing_key(tmp_path)


@pytest.mark.parametrize("fails", ["fsync", "link"])
def test_a_disk_that_refuses_leaves_no_key_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, refuse)
        with pytest.raises(StoreFailed) as refusal:
            signing_key(tmp_path)
    assert refusal.value.metadata == {"errno": "ENOSPC"}
    assert names(tmp_path) == []
    assert signing_key(tmp_path).did
    assert names(tmp_path) == [NAME]


def test_where_two_make_it_both_have_that_of_the_quicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = new_signing_key()

    def slower() -> bytes:
        (tmp_path / NAME).write_bytes(other)
        return new_signing_key()

    monkeypatch.setattr(storage, "new_signing_key", slower)
    signing_key(tmp_path)
    assert (tmp_path / NAME).read_bytes() == other
    assert names(tmp_path) == [NAME]


def test_a_code_has_26_characters_in_groups_each_as_likely_as_any_other() -> None:
    drawn = random.Random(2)
    code = new_code(drawn.randbytes)
    assert [len(group) for group in code.split("-")] == [5, 5, 5, 5, 6]
    assert typed_code(code) == code.replace("-", "")
    assert new_pseudonym(bytes) == "T-00000000"
    characters = "".join(new_code(drawn.randbytes).replace("-", "") for _ in range(4_000))
    expected = len(characters) / len(ALPHABET)
    for character in ALPHABET:
        assert abs(characters.count(character) - expected) < 5 * expected**0.5


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        *(
            (typed, "01ABCDEFGHJKMNPQRSTVWXYZ23")
            for typed in (
                "01abc-defgh-jkmnp-qrstv-wxyz23",
                "  O1ABCDEFGHJKMNPQRSTVWXYZ23\n",
                "oIabc defgh jkmnp qrstv wxyz23",
                "0Labc--defghjkmnp-qrstvwxyz23",
            )
        ),
        *((typed, None) for typed in ("", "0" * (CODE_CHARACTERS - 1), "0" * (CODE_CHARACTERS + 1))),
        *((typed, None) for typed in ("U" + "0" * 25, "é" + "0" * 25, "0" * 10**6)),
    ],
)
def test_typed_codes(typed: str, read: str | None) -> None:
    assert typed_code(typed) == read
