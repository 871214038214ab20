"""Tokens of an identity provider: which are accepted, and that no trick is."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from fr_core.errors import ConfigInvalid, NotReady
from fr_server.authz.access_audit import Journal
from fr_server.authz.authenticate import Credentials
from fr_server.authz.jwks import AGAIN_S, REFRESH_S, STALE_S, JsonWebKeys, parse_keys
from fr_server.authz.tokens import MAX_TOKEN, TokenRules, Tokens
from fr_server.rpc.interceptors.guard import Guard
from fr_server.telemetry.trust import Trust
from fr_trust.access.budgets import Budgets
from fr_trust.access.principal import Principal, Role
from fr_trust.access.refusals import Refused, Why, refusal_of
from fr_trust.errors import CredentialInvalid
from support.access import BUDGET, NOW_MS, Clocks, open_store
from support.gateways import Papers
from support.loopback import Answer, answering

ISSUER, AUDIENCE = "https://id.example/realm", "fr-core"
NOW_S = NOW_MS // 1000
ALL = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
RULES = TokenRules(ISSUER, AUDIENCE, ALL, "roles", "galleries", "courses", leeway_s=30)

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()

Header = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, kid: str, **more: Any) -> Header:
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": number(public.n), "e": number(public.e), **more}


def ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str, curve: str) -> Header:
    public, size = key.public_key().public_numbers(), key.key_size // 8
    x, y = (b64(value.to_bytes(size, "big")) for value in (public.x, public.y))
    return {"kty": "EC", "kid": kid, "crv": curve, "x": x, "y": y}


ED_JWK = {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(ED.public_key().public_bytes_raw())}
JWKS = [rsa_jwk(RSA, "rsa"), ec_jwk(P256, "p256", "P-256"), ec_jwk(P384, "p384", "P-384"), ED_JWK]


def ecdsa(key: ec.EllipticCurvePrivateKey, data: bytes, hashed: hashes.HashAlgorithm) -> bytes:
    size = key.key_size // 8
    return b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(key.sign(data, ec.ECDSA(hashed))))


def rs256(key: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


# The signatures are made with the primitives, not with the library that checks them.
SIGNED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "RS256": ("rsa", rs256(RSA)),
    "PS256": ("rsa", lambda data: RSA.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())),
    "ES256": ("p256", lambda data: ecdsa(P256, data, hashes.SHA256())),
    "ES384": ("p384", lambda data: ecdsa(P384, data, hashes.SHA384())),
    "EdDSA": ("ed", lambda data: ED.sign(data)),
}

CLAIMS = {
    "iss": ISSUER,
    "sub": "user-1",
    "aud": AUDIENCE,
    "iat": NOW_S - 10,
    "exp": NOW_S + 300,
    "roles": ["operator", "offline_access"],
    "galleries": ["case-*", "demo"],
    "courses": "a b",
}


def compact(header: Any, payload: Any, sign: Callable[[bytes], bytes]) -> str:
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(map(b64, parts))
    return f"{signed}.{b64(sign(signed.encode()))}"


def token(claims: Any = None, algorithm: str = "RS256", **header: Any) -> str:
    kid, sign = SIGNED[algorithm]
    return compact({"alg": algorithm, "kid": kid, "typ": "JWT", **header}, CLAIMS if claims is None else claims, sign)


def without(*names: str) -> Header:
    return {name: value for name, value in CLAIMS.items() if name not in names}


def tokens(
    tmp_path: Path, rules: TokenRules = RULES, clocks: Clocks | None = None, jwks: list[Header] | None = None
) -> Tokens:
    clocks = clocks or Clocks()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": JWKS if jwks is None else jwks}))
    keys = JsonWebKeys(str(path), rules.algorithms, clocks.monotonic_s)
    asyncio.run(keys.start())
    return Tokens(rules, keys, BUDGET, clocks.clock_ms)


def accepted(checked: Tokens, sent: str) -> Principal:
    return asyncio.run(checked.check(sent))


def refused(checked: Tokens, sent: str) -> Refused:
    with pytest.raises(CredentialInvalid) as caught:
        asyncio.run(checked.check(sent))
    assert caught.value.what == "The credential is not valid."
    assert caught.value.metadata == {}
    found = refusal_of(caught.value)
    assert found is not None
    return found


@pytest.mark.parametrize("algorithm", ALL)
def test_a_token_says_who_calls(tmp_path: Path, algorithm: str) -> None:
    principal = accepted(tokens(tmp_path), token(algorithm=algorithm))
    digest = hashlib.sha256(f"{ISSUER}\0user-1".encode()).hexdigest()
    assert principal.principal_id == f"oidc:{digest[:16]}"
    assert principal.roles == {Role.OPERATOR}
    assert principal.galleries.patterns == ("case-*", "demo")
    assert principal.courses.patterns == ("a", "b")
    assert principal.budget == BUDGET
    assert not principal.coarse


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["auditor"]}}),
        ("https://example/roles", {"https://example/roles": ["auditor"]}),
        ("scope", {"scope": "openid auditor"}),
    ],
)
def test_roles_lie_where_the_configuration_says(tmp_path: Path, name: str, claims: Header) -> None:
    checked = tokens(tmp_path, replace(RULES, roles_claim=name))
    assert accepted(checked, token({**without("roles"), **claims})).roles == {Role.AUDITOR}
    assert refused(checked, token()).why == Why.NO_ROLE


@pytest.mark.parametrize(
    "change",
    [
        {"aud": ["other", AUDIENCE]},
        {"exp": NOW_S - 29},
        {"exp": NOW_S + 0.5},
        {"iat": NOW_S + 29},
        {"nbf": NOW_S + 29},
        {"iat": NOW_S - 86_400},
        {"x": "x" * 5_000},
    ],
)
def test_what_is_just_good_enough(tmp_path: Path, change: Header) -> None:
    sent = token({**CLAIMS, **change})
    assert len(sent) < MAX_TOKEN
    accepted(tokens(tmp_path), sent)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_types(tmp_path: Path, kind: str) -> None:
    accepted(tokens(tmp_path), token(typ=kind))


CLAIMED = [
    ({"exp": None}, Why.MISSING_CLAIM),
    ({"iat": None}, Why.MISSING_CLAIM),
    ({"aud": None}, Why.MISSING_CLAIM),
    ({"iss": None}, Why.MISSING_CLAIM),
    ({"sub": None}, Why.MISSING_CLAIM),
    ({"exp": NOW_S - 30}, Why.EXPIRED),
    ({"nbf": NOW_S + 31}, Why.NOT_YET_VALID),
    ({"iat": NOW_S + 31}, Why.NOT_YET_VALID),
    ({"iat": NOW_S - 86_431}, Why.TOO_OLD),
    ({"aud": "other"}, Why.WRONG_AUDIENCE),
    ({"aud": []}, Why.WRONG_AUDIENCE),
    ({"aud": AUDIENCE + "x"}, Why.WRONG_AUDIENCE),
    ({"aud": {AUDIENCE: 1}}, Why.WRONG_AUDIENCE),
    ({"iss": "https://id.example/realm/"}, Why.WRONG_ISSUER),
    ({"iss": [ISSUER]}, Why.WRONG_ISSUER),
    ({"sub": ""}, Why.BAD_CLAIM),
    ({"sub": 7}, Why.BAD_CLAIM),
    ({"sub": "a" * 256}, Why.BAD_CLAIM),
    ({"exp": "9999999999"}, Why.BAD_CLAIM),
    ({"exp": True}, Why.BAD_CLAIM),
    ({"exp": 10**400}, Why.BAD_CLAIM),
    ({"exp": float("inf")}, Why.BAD_CLAIM),
    ({"exp": float("nan")}, Why.BAD_CLAIM),
    ({"nbf": float("nan")}, Why.BAD_CLAIM),
    ({"iat": [1]}, Why.BAD_CLAIM),
    ({"roles": []}, Why.NO_ROLE),
    ({"roles": None}, Why.NO_ROLE),
    ({"roles": ["ADMIN", "Operator"]}, Why.NO_ROLE),
    ({"roles": {"admin": 1}}, Why.BAD_CLAIM),
    ({"roles": [["admin"]]}, Why.BAD_CLAIM),
    ({"galleries": ["../x"]}, Why.BAD_CLAIM),
    ({"galleries": ["a"] * 300}, Why.BAD_CLAIM),
    ({"courses": 1}, Why.BAD_CLAIM),
]


@pytest.mark.parametrize(("change", "why"), CLAIMED)
def test_claims_that_are_refused(tmp_path: Path, change: Header, why: Why) -> None:
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not None}
    assert refused(tokens(tmp_path), token(claims)).why == why


def test_the_audit_hears_whose_token_it_was(tmp_path: Path) -> None:
    checked = tokens(tmp_path)
    own = accepted(checked, token()).principal_id
    assert refused(checked, token({**CLAIMS, "exp": NOW_S - 300})).principal_id == own
    assert refused(checked, token({**CLAIMS, "iss": "x"})).principal_id == ""


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hmac.digest(secret, data, "sha256")


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


by_other = rs256(OTHER_RSA)


def forged(header: Header, why: Why, sign: Callable[[bytes], bytes] = by_other) -> tuple[str, Why]:
    return compact(header, CLAIMS, sign), why


FORGED = {
    "none": (compact({"alg": "none", "kid": "rsa"}, CLAIMS, lambda _: b""), Why.WRONG_ALGORITHM),
    "None": (compact({"alg": "None", "kid": "rsa"}, CLAIMS, lambda _: b""), Why.WRONG_ALGORITHM),
    "none with a signature": (token(alg="none"), Why.WRONG_ALGORITHM),
    "no algorithm": (compact({"kid": "rsa"}, CLAIMS, SIGNED["RS256"][1]), Why.WRONG_ALGORITHM),
    "a list of algorithms": (token(alg=["RS256"]), Why.WRONG_ALGORITHM),
    "hmac by the public key": (compact({"alg": "HS256", "kid": "rsa"}, CLAIMS, hs256(pem(RSA))), Why.WRONG_ALGORITHM),
    "hmac by the modulus": forged({"alg": "HS256", "kid": "rsa"}, Why.WRONG_ALGORITHM, hs256(JWKS[0]["n"].encode())),
    "nobody's key": (token(kid="nobody"), Why.UNKNOWN_SIGNER),
    "no key": (compact({"alg": "RS256"}, CLAIMS, SIGNED["RS256"][1]), Why.UNKNOWN_SIGNER),
    "a key that is no text": (token(kid=1), Why.UNREADABLE),
    "a long key": (token(kid="k" * 300), Why.UNKNOWN_SIGNER),
    "a key of another kind": (token(kid="p256"), Why.UNKNOWN_SIGNER),
    "another's signature": (compact({"alg": "RS256", "kid": "rsa"}, CLAIMS, by_other), Why.BAD_SIGNATURE),
    "no signature": (token().rsplit(".", 1)[0] + ".", Why.BAD_SIGNATURE),
    "embedded jwk": forged({"alg": "RS256", "kid": "rsa", "jwk": rsa_jwk(OTHER_RSA, "rsa")}, Why.BAD_SIGNATURE),
    "embedded jwk of nobody": forged({"alg": "RS256", "kid": "x", "jwk": rsa_jwk(OTHER_RSA, "x")}, Why.UNKNOWN_SIGNER),
    "addresses": forged(
        {"alg": "RS256", "kid": "rsa", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "x5c": ["AA=="]},
        Why.BAD_SIGNATURE,
    ),
    "critical": (token(crit=["b65"], b65=1), Why.UNREADABLE),
    "not encoded": (token(crit=["b64"], b64=False), Why.UNREADABLE),
    "for a logout": (token(typ="logout+jwt"), Why.UNREADABLE),
    "a type that is no text": (token(typ=1), Why.UNREADABLE),
    "huge": (token({**CLAIMS, "x": "x" * 100_000}), Why.TOO_LONG),
    "no JSON": (token(b"no JSON"), Why.UNREADABLE),
    "a list": (token([1]), Why.UNREADABLE),
    "deep": (token(b"[" * 5_000), Why.UNREADABLE),
    "a deep header": (compact(b"[" * 5_000, CLAIMS, SIGNED["RS256"][1]), Why.UNREADABLE),
    "a name twice": (token(json.dumps(CLAIMS)[:-1].encode() + b', "sub": "admin"}'), Why.UNREADABLE),
    "a long number": (token(b'{"exp": ' + b"9" * 5_000 + b"}"), Why.UNREADABLE),
    "empty": ("..", Why.UNREADABLE),
    "points": (".." * 10, Why.UNREADABLE),
    "not ASCII": (token() + "é", Why.UNREADABLE),
    "half a character": ("\ud800..", Why.UNREADABLE),
    "a space": (token() + " ", Why.UNREADABLE),
}


@pytest.mark.parametrize("trick", FORGED)
def test_tricks(tmp_path: Path, trick: str) -> None:
    sent, why = FORGED[trick]
    assert refused(tokens(tmp_path), sent).why == why


def test_signatures_algorithms_and_keys_fit(tmp_path: Path) -> None:
    checked = tokens(tmp_path)
    header, payload, signature = token().split(".")
    other = b64(json.dumps({**CLAIMS, "roles": ["admin"]}).encode())
    assert refused(checked, f"{header}.{other}.{signature}").why == Why.BAD_SIGNATURE
    more = b64(json.dumps({"alg": "RS256", "kid": "rsa"}).encode())
    assert refused(checked, f"{more}.{payload}.{signature}").why == Why.BAD_SIGNATURE
    checked = tokens(tmp_path, replace(RULES, algorithms=("ES256",)))
    accepted(checked, token(algorithm="ES256"))
    for algorithm in ("RS256", "PS256", "ES384", "EdDSA"):
        assert refused(checked, token(algorithm=algorithm)).why == Why.WRONG_ALGORITHM
    checked = tokens(tmp_path, jwks=[rsa_jwk(RSA, "rsa", alg="RS256", use="sig")])
    accepted(checked, token())
    assert refused(checked, token(algorithm="PS256")).why == Why.UNKNOWN_SIGNER
    checked = tokens(tmp_path, jwks=[rsa_jwk(SMALL_RSA, "small")])
    sent = compact({"alg": "RS256", "kid": "small"}, CLAIMS, rs256(SMALL_RSA))
    assert refused(checked, sent).why == Why.UNREADABLE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [1, null, "a"]}',
        b"[" * 100_000,
        json.dumps({"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}).encode(),
        json.dumps({"keys": [rsa_jwk(RSA, "a", use="enc")]}).encode(),
        json.dumps({"keys": [rsa_jwk(RSA, "a", key_ops=["sign"])]}).encode(),
        json.dumps({"keys": [rsa_jwk(RSA, "a", d="AA")]}).encode(),
        json.dumps({"keys": [rsa_jwk(RSA, "a"), rsa_jwk(OTHER_RSA, "a")]}).encode(),
        json.dumps({"keys": [{"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}]}).encode(),
        json.dumps({"keys": [{**JWKS[1], "crv": "secp256k1"}]}).encode(),
        json.dumps({"keys": [{"kty": "RSA", "n": JWKS[0]["n"], "e": "AQAB"}]}).encode(),
        json.dumps({"keys": [rsa_jwk(RSA, str(number)) for number in range(101)]}).encode(),
    ],
)
def test_what_is_no_jwks(data: bytes) -> None:
    with pytest.raises(ConfigInvalid):
        parse_keys(data, ALL)


def test_a_key_that_cannot_be_used_is_left_out() -> None:
    keys = parse_keys(json.dumps({"keys": [{"kty": "EC", "kid": "x"}, *JWKS]}).encode(), ALL)
    assert {key_id for key_id, _ in keys} == {"rsa", "p256", "p384", "ed"}


@pytest.mark.parametrize(
    ("source", "algorithms"),
    [
        *((source, ALL) for source in ("http://id.example/jwks", "file:///etc/passwd", "ftp://x/y")),
        *(("jwks.json", algorithms) for algorithms in ((), ("HS256",), ("none",), ("RS256", "RS1"))),
    ],
)
def test_addresses_are_https_and_algorithms_known(source: str, algorithms: tuple[str, ...]) -> None:
    with pytest.raises(ConfigInvalid):
        JsonWebKeys(source, algorithms)


def test_a_file_that_is_not_there_or_too_long(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b" " * 300_000)
    for name in ("none", "long"):
        with pytest.raises(ConfigInvalid):
            asyncio.run(JsonWebKeys(str(tmp_path / name), ALL).start())


def test_new_keys_are_found_at_most_once_a_minute(tmp_path: Path) -> None:
    clocks = Clocks()
    checked = tokens(tmp_path, clocks=clocks, jwks=[ED_JWK])
    assert refused(checked, token()).why == Why.UNKNOWN_SIGNER
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": JWKS}))
    assert refused(checked, token()).why == Why.UNKNOWN_SIGNER
    clocks.mono_s += AGAIN_S
    accepted(checked, token())


def test_a_key_that_was_taken_out_is_not_taken_after_an_hour(tmp_path: Path) -> None:
    clocks = Clocks()
    checked = tokens(tmp_path, clocks=clocks)

    async def run() -> None:
        (tmp_path / "jwks.json").write_text(json.dumps({"keys": [ED_JWK]}))
        await checked.check(token())
        clocks.mono_s += REFRESH_S + 1
        await checked.check(token())  # nobody waits for the reading
        for _ in range(200):
            await asyncio.sleep(0.01)
            try:
                await checked.check(token())
            except CredentialInvalid:
                return
        raise AssertionError("the keys were not read anew")

    asyncio.run(run())


def test_keys_that_cannot_be_read_any_more_are_good_for_a_day(tmp_path: Path) -> None:
    clocks = Clocks()
    checked = tokens(tmp_path, clocks=clocks)
    (tmp_path / "jwks.json").write_text("damaged")

    async def run() -> None:
        clocks.mono_s += STALE_S - 1
        await checked.check(token())
        await asyncio.sleep(0.1)
        clocks.mono_s += AGAIN_S + 1
        with pytest.raises(NotReady):
            await checked.check(token())
        with pytest.raises(CredentialInvalid):  # nobody need know the key for that
            await checked.check(token({**CLAIMS, "exp": NOW_S - RULES.leeway_s}))
        (tmp_path / "jwks.json").write_text(json.dumps({"keys": JWKS}))
        clocks.mono_s += AGAIN_S
        await checked.check(token())

    asyncio.run(run())


@contextmanager
def served(tmp_path: Path, answer: Answer) -> Iterator[tuple[str, ssl.SSLContext, list[str]]]:
    """An https server of this machine, what trusts it, and what it was asked for."""
    papers = Papers(tmp_path / "papers")
    shown = papers.server()
    asked: list[str] = []

    def noted(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        answer(handler)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    with answering(noted, context) as port:
        yield f"https://localhost:{port}/jwks", papers.context(alpn=()), asked


def send(data: bytes, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def fetched(tmp_path: Path, answer: Answer, calls: int = 1, *, trusted: bool = True) -> tuple[object, list[str]]:
    async def run(source: str, context: ssl.SSLContext | None) -> object:
        clocks = Clocks()
        keys = JsonWebKeys(source, ALL, clocks.monotonic_s, context)
        checked = Tokens(RULES, keys, BUDGET, clocks.clock_ms)
        await keys.start()
        found = await asyncio.gather(*(checked.check(token()) for _ in range(calls)), return_exceptions=True)
        await keys.close()
        assert len({type(one) for one in found}) == 1
        return found[0]

    with served(tmp_path, answer) as (source, context, asked):
        return asyncio.run(run(source, context if trusted else None)), asked


GOOD = json.dumps({"keys": JWKS}).encode()


def test_keys_of_an_address(tmp_path: Path) -> None:
    found, asked = fetched(tmp_path, send(GOOD), calls=20)
    assert isinstance(found, Principal)
    assert asked == ["/jwks"]


def elsewhere(handler: BaseHTTPRequestHandler) -> None:
    (send(GOOD) if handler.path == "/other" else send(b"", 302, {"Location": "/other"}))(handler)


@pytest.mark.parametrize(
    ("answer", "trusted"),
    [
        (send(GOOD, 500), True),
        (send(GOOD, 404), True),
        (send(b"<html>"), True),
        (send(GOOD + b" " * 10_000_000), True),
        (send(GOOD[:-5], 200, {"Content-Length": str(len(GOOD))}), True),
        (elsewhere, True),
        (send(GOOD), False),
    ],
    ids=["500", "404", "html", "huge", "cut", "elsewhere", "not trusted"],
)
def test_an_address_that_answers_otherwise(tmp_path: Path, answer: Answer, trusted: bool) -> None:
    found, asked = fetched(tmp_path, answer, calls=5, trusted=trusted)
    assert isinstance(found, NotReady)
    assert asked == ["/jwks"] * trusted


def test_a_reading_that_is_under_way_ends_with_the_guard(tmp_path: Path) -> None:
    asked, going_on = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        going_on.wait(10)
        send(GOOD)(handler)

    async def run(source: str, context: ssl.SSLContext) -> None:
        clocks = Clocks()
        keys = JsonWebKeys(source, ALL, clocks.monotonic_s, context)
        store = open_store(tmp_path / "keys", clocks)
        credentials = Credentials(store, Tokens(RULES, keys, BUDGET, clocks.clock_ms), lambda peer: None)
        guard = Guard(credentials, Budgets(clocks.monotonic_s, clocks.clock_ms), Journal(store), Trust())
        starting = asyncio.create_task(keys.start())
        await asyncio.to_thread(asked.wait, 10)
        await asyncio.wait_for(guard.close(), 5)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(starting, 5)
        going_on.set()
        store.close()

    with served(tmp_path, answer) as (source, context, _):
        asyncio.run(run(source, context))


# What is whole as far as it goes, so that being cut off there would not show; then what never ends.
DRIPS = {
    "headers": (b"HTTP/1.0 200 OK\r\nX: ", b"a"),
    "many headers": (b"HTTP/1.0 200 OK\r\nX: ", b"a\r\nX: "),
    "body": (b"HTTP/1.0 200 OK\r\n\r\n" + GOOD, b" "),
}


def drip(write: Callable[[bytes], Any], begin: bytes, drop: bytes, enough: threading.Event) -> None:
    """Send the beginning, then a drop now and then, for ten seconds or until it is enough."""
    try:
        write(begin)
        for _ in range(200):
            if enough.wait(0.05):
                return
            write(drop)
    except OSError:  # it has gone
        pass


@pytest.mark.parametrize("what", DRIPS)
def test_an_address_that_answers_drop_by_drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr("fr_server.authz.jwks.FETCH_S", 0.5)
    enough = threading.Event()

    async def run(source: str, context: ssl.SSLContext) -> float:
        clocks, begun = Clocks(), time.monotonic()
        keys = JsonWebKeys(source, ALL, clocks.monotonic_s, context)
        await keys.start()
        with pytest.raises(NotReady):
            await keys.key("rsa", "RS256")
        lasted_s = time.monotonic() - begun
        clocks.mono_s += AGAIN_S
        with pytest.raises(NotReady):
            await keys.key("rsa", "RS256")
        enough.set()
        return lasted_s

    with served(tmp_path, lambda handler: drip(handler.wfile.write, *DRIPS[what], enough)) as (source, context, asked):
        assert asyncio.run(run(source, context)) < 20  # it would drip for ever
    assert asked == ["/jwks"]  # an address that is still being read is not asked again


@contextmanager
def dripping(begin: bytes, drop: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A port that takes one connection and drips; and the beginning of what it was sent."""
    sent: list[bytes] = []
    enough = threading.Event()

    def serve() -> None:
        client, _ = listening.accept()
        with client:
            sent.append(client.recv(4096))
            drip(client.sendall, begin, drop, enough)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], sent
        enough.set()
        thread.join()


def gone_after_s(source: str) -> float:
    """Return the seconds after which a start gives up on an address that does not answer."""

    async def run() -> None:
        keys = JsonWebKeys(source, ALL, Clocks().monotonic_s)
        await keys.start()
        with pytest.raises(NotReady):
            await keys.key("rsa", "RS256")

    begun = time.monotonic()
    asyncio.run(run())
    return time.monotonic() - begun


def test_handshakes_and_proxies_that_drip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fr_server.authz.jwks.FETCH_S", 0.5)
    # A record of TLS that says it has 16 KiB, and a ServerHello in it that says so, too.
    with dripping(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x03") as (port, sent):
        assert gone_after_s(f"https://127.0.0.1:{port}/jwks") < 3
    assert sent[0].startswith(b"\x16\x03")
    monkeypatch.setenv("no_proxy", "")
    with dripping(b"HTTP/1.0 200 OK\r\nX: ", b"a") as (port, sent):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        assert gone_after_s("https://id.example/jwks") < 3
    assert sent[0].startswith(b"CONNECT id.example:443 ")
