"""Refused calls are in the audit, with the reason that the caller is not told, and the audit stays intact."""

import base64
import json
import random
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc, server_pb2, server_pb2_grpc, training_pb2_grpc
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.values import GalleryUse
from fr_core.storage.audit.verify import Verified, verify
from fr_server.authz.access_audit import Journal
from fr_server.gateway.authority import Issued
from fr_trust.access.principal import Role, Scope
from fr_trust.access.store import AccessStore
from support.callers import reason_of
from support.courses import Chance, Clock, answer, next_trial, store_of
from support.gateways import DAY_MS, Papers, now_ms
from support.gateways import ended as closed
from support.secured import figure, key_of, secure_channel
from support.servers import Running, running
from support.training_stores import add_course, begin, small_course

ISSUER, AUDIENCE, SIGNER = "https://login.example", "fr-core", "signer"
SOON_S = 60.0
HOUR_MS = 3_600_000


@dataclass
class Door:
    """A server with TLS, client certificates, keys and tokens; and what its audit says."""

    server: Running
    papers: Papers
    own: Issued
    clock: Clock
    signer: ec.EllipticCurvePrivateKey

    @property
    def store(self) -> AccessStore:
        assert self.server.app._stores is not None
        return self.server.app._stores.access

    @contextmanager
    def channel(self, token: str = "", shown: Issued | None = None) -> Iterator[grpc.Channel]:
        own = shown or self.own
        files = (own.key.read_bytes(), own.certificate.read_bytes())
        with secure_channel(self.server.address, self.papers.root(), token, files) as channel:
            yield channel

    def reason(self, token: str) -> str:
        """Ask what everybody may ask who may call; return why that is refused, "OK" where it is not."""
        with self.channel(token) as channel:
            stub = server_pb2_grpc.ServerServiceStub(channel)
            return reason_of(partial(stub.GetServerInfo, server_pb2.GetServerInfoRequest(), timeout=SOON_S))

    def last(self) -> int:
        with self.store.auditing() as audit:
            return audit.head().seq

    def record(self, after: int, **wanted: Any) -> Mapping[str, Any]:
        """The only record after another one that says what is wanted; refusals are told of soon after the answer."""
        until = time.monotonic() + SOON_S
        while True:
            with self.store.auditing() as audit:
                records = [json.loads(kept.body) for kept in audit.every(after)]
            found = [one for one in records if wanted.items() <= {**one, **one.get("detail", {})}.items()]
            if found or time.monotonic() > until:
                (only,) = found
                return dict(only)
            time.sleep(0.01)

    def token(self, **claims: Any) -> str:
        now_s = self.clock() // 1000
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "roles": ["operator"], "iat": now_s, **claims}
        return jwt.encode({"exp": now_s + 600, **said}, self.signer, "ES256", {"kid": SIGNER})


def jwks(signer: ec.EllipticCurvePrivateKey) -> str:
    key = jwt.algorithms.ECAlgorithm.to_jwk(signer.public_key(), as_dict=True)
    return json.dumps({"keys": [{**key, "kid": SIGNER, "alg": "ES256", "use": "sig"}]})


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("gateway")
    papers, clock = Papers(folder / "papers", now_ms() - 500 * DAY_MS), Clock()
    signer = ec.generate_private_key(ec.SECP256R1())
    tls = papers.section(papers.server(), "required")
    (folder / "jwks.json").write_text(jwks(signer))
    access = {
        "mode": "keys",
        "oidc_issuer": ISSUER,
        "oidc_audience": AUDIENCE,
        "oidc_jwks": str(folder / "jwks.json"),
        "oidc_algorithms": ["ES256"],
    }
    with running(folder / "data", clock=clock, tls=tls, access=access) as running_server:
        yield Door(running_server, papers, papers.client("own"), clock, signer)
        assert running_server.app._stores is not None
        with running_server.app._stores.access.auditing() as audit:
            assert isinstance(verify(audit), Verified)


def shake(door: Door, shown: Issued | None) -> None:
    """Come with a certificate, or with none; the server closes before it answers."""
    context = ssl.create_default_context(cafile=str(door.papers.authority.certificate))
    context.set_alpn_protocols(["h2"])
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    address = ("127.0.0.1", door.server.app.port)
    with (
        socket.create_connection(address, SOON_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as one,
    ):
        assert closed(one) < SOON_S


@pytest.mark.parametrize("why", ["certificate_expired", "unknown_authority", "no_certificate"])
def test_a_certificate(door: Door, tmp_path: Path, why: str) -> None:
    after, shown = door.last(), None
    if why == "certificate_expired":
        shown = door.papers.client("old", now_ms() - 450 * DAY_MS)
    elif why == "unknown_authority":
        shown = Papers(tmp_path / "others").client("stranger")
    shake(door, shown)
    door.record(after, action="access.handshake", outcome="REFUSED", why=why)


def test_no_key(door: Door) -> None:
    after = door.last()
    assert door.reason("") == "CREDENTIAL_MISSING"
    door.record(after, action="server.get_server_info", outcome="CREDENTIAL_MISSING", actor="nobody")


def test_a_revoked_key(door: Door) -> None:
    token = key_of(door.store)
    key_id = token.partition(".")[0]
    assert door.reason(token) == "OK"
    door.store.revoke(key_id)
    after = door.last()
    assert door.reason(token) == "CREDENTIAL_INVALID"
    door.record(after, outcome="CREDENTIAL_INVALID", why="revoked", credential=f"key:{key_id}")


def test_an_expired_key(door: Door) -> None:
    token = key_of(door.store, lifetime_ms=HOUR_MS)
    assert door.reason(token) == "OK"
    after = door.last()
    with patch.object(door.clock, "ahead_ms", door.clock.ahead_ms + HOUR_MS):
        assert door.reason(token) == "CREDENTIAL_INVALID"
        door.record(after, outcome="CREDENTIAL_INVALID", why="expired", credential=f"key:{token.partition('.')[0]}")


def test_a_wrong_secret(door: Door) -> None:
    key_id, another = key_of(door.store).partition(".")[0], key_of(door.store).partition(".")[2]
    after = door.last()
    assert door.reason(f"{key_id}.{another}") == "CREDENTIAL_INVALID"
    door.record(after, outcome="CREDENTIAL_INVALID", why="wrong_secret", credential=f"key:{key_id}")


def test_a_token_that_nobody_signed(door: Door) -> None:
    assert door.reason(door.token()) == "OK"
    head, claims, _ = door.token().split(".")
    unsigned = {**json.loads(base64.urlsafe_b64decode(head + "==")), "alg": "none"}
    head = base64.urlsafe_b64encode(json.dumps(unsigned).encode()).decode().rstrip("=")
    after = door.last()
    for signature in ("", "AAAA"):
        assert door.reason(f"{head}.{claims}.{signature}") == "CREDENTIAL_INVALID"
        door.record(after, outcome="CREDENTIAL_INVALID", why="wrong_algorithm")
        after = door.last()


def test_an_expired_token(door: Door) -> None:
    after = door.last()
    assert door.reason(door.token(exp=door.clock() // 1000 - 600)) == "CREDENTIAL_INVALID"
    door.record(after, outcome="CREDENTIAL_INVALID", why="expired")


def test_the_gallery_of_others(door: Door) -> None:
    door.server.app.galleries.create("theirs", "", NULL_MODEL, 64, None, None, False, GalleryUse.TEST)
    after = door.last()
    with door.channel(key_of(door.store, Role.OPERATOR, galleries=Scope(("own-*",)))) as channel:
        get = gallery_pb2_grpc.GalleryServiceStub(channel).GetGallery
        request = gallery_pb2.GetGalleryRequest(gallery_id="theirs")
        assert reason_of(partial(get, request, timeout=SOON_S)) == "UNKNOWN_GALLERY"
    door.record(after, action="gallery.get_gallery", outcome="UNKNOWN_GALLERY", gallery="theirs", scope="outside")


def test_a_role_that_may_not(door: Door) -> None:
    token = key_of(door.store, Role.AUDITOR)
    after = door.last()
    with door.channel(token) as channel:
        delete = gallery_pb2_grpc.GalleryServiceStub(channel).DeleteGallery
        request = gallery_pb2.DeleteGalleryRequest(gallery_id="theirs")
        assert reason_of(partial(delete, request, timeout=SOON_S)) == "NOT_PERMITTED"
    actor = f"key:{token.partition('.')[0]}"
    found = door.record(after, action="gallery.delete_gallery", outcome="NOT_PERMITTED", actor=actor)
    assert found["roles"] == ["auditor"]


def test_a_decision_that_is_sent_again_with_another_answer(door: Door) -> None:
    store, course = store_of(door.server), small_course(course_id="00000000000000c2", created_ms=door.clock())
    add_course(store, course)
    _, enrolled = store.create_cohort(course.course_id, "", 1, DAY_MS)
    (session,) = begin(store, course, enrolled)
    how = Chance(random.Random(1))
    token = key_of(door.store, Role.TRAINEE, courses=Scope((course.course_id,)))
    with door.channel(token) as channel:
        stub = training_pb2_grpc.TrainingServiceStub(channel)
        trial = next_trial(stub, session.session_id)
        assert trial is not None
        answer(stub, session.session_id, trial, how)
        decision = how.decision(session.session_id, trial)
        reasons = set()
        for rating in (-3, 3):  # one of them is another answer
            decision.rating.rating = rating
            after = door.last()
            reason = reason_of(partial(stub.SubmitDecision, decision, timeout=SOON_S))
            reasons.add(reason)
            if reason != "OK":
                actor = f"key:{token.partition('.')[0]}"
                door.record(after, action="training.submit_decision", outcome="DECISION_LOCKED", actor=actor)
    assert reasons - {"OK"} == {"DECISION_LOCKED"}
    assert store.session(session.session_id).trials[0].done


def test_control_where_nobody_is_told_the_audit_lacks_it(door: Door) -> None:
    after = door.last()

    async def deaf(self: Journal, told: object) -> None:
        """As `Journal.record`, but nothing is kept."""

    with patch.object(Journal, "record", deaf):
        assert door.reason("") == "CREDENTIAL_MISSING"
        time.sleep(0.1)
    assert door.last() == after


def test_the_audit_is_whole(door: Door) -> None:
    with door.store.auditing() as audit:
        found = verify(audit)
        kept = [json.loads(one.body) for one in audit.every()]
    assert isinstance(found, Verified)
    refused = {one["outcome"] for one in kept} - {"OK", "BEGUN"}
    figure("kinds of refusal in the audit, and records verified", f"{len(refused)}, {found.records}")
    assert {"REFUSED", "CREDENTIAL_MISSING", "CREDENTIAL_INVALID", "NOT_PERMITTED", "UNKNOWN_GALLERY"} <= refused
