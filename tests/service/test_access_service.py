"""AccessService over a real server: keys are made, listed, rotated and revoked; and what becomes of their calls."""

import json
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fr_api.v1 import access_pb2, access_pb2_grpc, audit_pb2, common_pb2, gallery_pb2, recognition_pb2, server_pb2
from fr_core.gallery.pages import page_token
from fr_server.gateway.authority import Issued
from fr_server.telemetry.open import Telemetry
from fr_server.telemetry.trust import Trust
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Role
from support.callers import PROBE, Caller, Staffed, how, paged, reason_of, staffed
from support.courses import Clock
from support.gateways import Papers
from support.secured import secure_channel
from support.servers import running

DAY_S = 86_400
ADMIN, OPERATOR, TRAINEE = access_pb2.ROLE_ADMIN, access_pb2.ROLE_OPERATOR, access_pb2.ROLE_TRAINEE
ANYBODY = access_pb2.WhoAmIRequest()


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("keys")) as made:
        made.gallery("own-a", operational=False)
        yield made


def creates(caller: Caller, **fields: Any) -> access_pb2.CreateKeyResponse:
    whole = {"roles": [OPERATOR], "galleries": ["own-a"], **fields}
    return caller.access.CreateKey(access_pb2.CreateKeyRequest(**whole))


def with_key(at: Staffed, token: str) -> Caller:
    return Caller(at.server.channel, token)


def asks(at: Staffed, token: str) -> str:
    return reason_of(partial(with_key(at, token).access.WhoAmI, ANYBODY))


def listed(caller: Caller, size: int = 0) -> list[str]:
    request = access_pb2.ListKeysRequest(page_size=size)
    return [one.key_id for one in paged(caller.access.ListKeys, request, "keys")]


def rotated(caller: Caller, key_id: str, **overlap: int) -> access_pb2.RotateKeyResponse:
    request = access_pb2.RotateKeyRequest(key_id=key_id, overlap=Duration(**overlap) if overlap else None)
    return caller.access.RotateKey(request)


def revoked(caller: Caller, key_id: str) -> access_pb2.ApiKey:
    return caller.access.RevokeKey(access_pb2.RevokeKeyRequest(key_id=key_id)).key


def test_a_key_is_what_its_maker_has_asked_for(at: Staffed) -> None:
    made = creates(
        at.admin,
        label="desk 4",
        roles=[OPERATOR, access_pb2.ROLE_EXAMINER],
        galleries=["own-*", "x"],
        courses=["c"],
        budget=access_pb2.Budget(requests_per_s=2.5, burst=7, searches_per_day=9),
        lifetime=Duration(seconds=DAY_S),
    )
    key = made.key
    assert made.token.partition(".")[0] == key.key_id
    assert (key.label, list(key.roles)) == ("desk 4", [OPERATOR, access_pb2.ROLE_EXAMINER])
    assert (list(key.galleries), list(key.courses)) == (["own-*", "x"], ["c"])
    assert (key.budget.requests_per_s, key.budget.burst, key.budget.searches_per_day) == (2.5, 7, 9)
    assert key.expire_time.ToMilliseconds() - key.create_time.ToMilliseconds() == DAY_S * 1000
    assert not key.HasField("revoke_time")
    assert not key.certificate_sha256
    own = with_key(at, made.token).access.WhoAmI(ANYBODY)
    assert own.principal_id == f"key:{key.key_id}"
    same = ("roles", "galleries", "courses", "budget", "expire_time")
    assert [getattr(own, name) for name in same] == [getattr(key, name) for name in same]
    assert own.searches_left == 9
    page = at.admin.access.ListKeys(access_pb2.ListKeysRequest(page_size=1))
    assert list(page.keys) == [key]
    assert made.token.partition(".")[2] not in str(page)


def test_what_is_not_said_of_a_key_is_the_default_of_the_server(tmp_path: Path) -> None:
    access = {"mode": "keys", "key_days": 3, "requests_per_s": 11.0, "burst": 12, "searches_per_day": 13}
    with staffed(tmp_path, access=access) as at:
        key = creates(at.admin, galleries=[]).key
        assert (key.budget.requests_per_s, key.budget.burst, key.budget.searches_per_day) == (11.0, 12, 13)
        assert key.expire_time.ToMilliseconds() - key.create_time.ToMilliseconds() == 3 * DAY_S * 1000
        assert not key.galleries
        unlimited = creates(at.admin, budget=access_pb2.Budget(burst=1)).key
        assert (unlimited.budget.searches_per_day, unlimited.budget.burst) == (13, 1)
        none_at_all = creates(at.admin, budget=access_pb2.Budget(searches_per_day=0)).key
        assert none_at_all.budget.HasField("searches_per_day")
        assert (none_at_all.budget.searches_per_day, none_at_all.budget.burst) == (0, 12)


def test_a_key_that_is_rotated_has_another_secret(at: Staffed) -> None:
    made = creates(at.admin)
    rotate = partial(rotated, key_id=made.key.key_id, seconds=60)
    assert reason_of(lambda: rotate(at.admin)) == "NOT_PERMITTED"
    assert reason_of(lambda: rotate(with_key(at, creates(at.admin).token))) == "UNKNOWN_KEY"
    second = rotate(with_key(at, made.token))
    assert second.key.key_id == made.key.key_id
    assert second.token != made.token
    assert (asks(at, made.token), asks(at, second.token)) == ("OK", "OK")
    with patch.object(at.clock, "ahead_ms", at.clock.ahead_ms + 60_001):
        assert (asks(at, made.token), asks(at, second.token)) == ("CREDENTIAL_INVALID", "OK")
    third = rotated(at.admin, made.key.key_id)
    assert [asks(at, one.token) for one in (made, second, third)] == ["CREDENTIAL_INVALID"] * 2 + ["OK"]


def test_a_key_that_is_revoked_is_so_at_once_and_for_ever(at: Staffed) -> None:
    made = creates(at.admin)
    key_id = made.key.key_id
    first = revoked(at.admin, key_id)
    assert first.HasField("revoke_time")
    assert asks(at, made.token) == "CREDENTIAL_INVALID"
    assert revoked(at.admin, key_id) == first
    assert reason_of(lambda: rotated(at.admin, key_id)) == "INVALID_FIELD"
    assert key_id in listed(at.admin)


def test_nobody_makes_a_key_that_reaches_further(at: Staffed) -> None:
    narrow = at.caller(Role.ADMIN, galleries=("own-*", "x"), courses=("c",))
    allowed: list[dict[str, Any]] = [
        {"galleries": []},
        {"galleries": ["own-*"]},
        {"galleries": ["own-a", "own-b*", "x"]},
        {"galleries": ["own-"], "courses": ["c"]},
    ]
    refused: list[dict[str, Any]] = [
        {"roles": [ADMIN], "galleries": ["own-*", "x"], "courses": ["c"]},
        {"roles": [access_pb2.ROLE_AUDITOR], "galleries": []},
        {"galleries": ["*"]},
        {"galleries": ["own*"]},
        {"galleries": ["x*"]},
        {"galleries": ["own-a", "y"]},
        {"courses": ["*"]},
        {"courses": ["c*"]},
        {"courses": ["d"]},
        {"roles": [ADMIN], "galleries": ["*"], "courses": ["*"]},
    ]
    for fields in allowed:
        assert reason_of(partial(creates, narrow, **fields)) == "OK", fields
    before = len(listed(at.auditor))
    for fields in refused:
        assert reason_of(partial(creates, narrow, **fields)) == "NOT_PERMITTED", fields
    assert len(listed(at.auditor)) == before


def test_nobody_makes_a_key_that_may_ask_for_more(at: Staffed) -> None:
    low = at.caller(Role.ADMIN, budget=Budget(20.0, 40, 5))
    budgets: list[dict[str, Any]] = [{"requests_per_s": 20.5}, {"burst": 41}, {"searches_per_day": 6}]
    for budget in budgets:
        assert reason_of(partial(creates, low, budget=access_pb2.Budget(**budget))) == "NOT_PERMITTED", budget
    whole = access_pb2.Budget(requests_per_s=20.0, burst=40, searches_per_day=5)
    assert creates(low, budget=whole).key.budget == whole
    assert creates(low).key.budget == whole, "the defaults are higher"
    least = access_pb2.Budget(requests_per_s=1.0, burst=1, searches_per_day=0)
    assert creates(low, budget=least).key.budget == least
    assert creates(at.admin, budget=access_pb2.Budget(burst=1_000)).key.budget.burst == 1_000


def test_nobody_makes_a_key_that_lives_longer(at: Staffed) -> None:
    brief = at.caller(Role.ADMIN, lifetime_ms=2 * DAY_S * 1000)
    ends_ms = brief.access.WhoAmI(ANYBODY).expire_time.ToMilliseconds()
    assert reason_of(partial(creates, brief, lifetime=Duration(seconds=3 * DAY_S))) == "NOT_PERMITTED"
    assert creates(brief, lifetime=Duration(seconds=DAY_S)).key.expire_time.ToMilliseconds() < ends_ms
    assert creates(brief).key.expire_time.ToMilliseconds() == ends_ms, "the default is a year"


def test_nobody_is_told_a_new_secret_of_a_key_that_has_more_or_lives_longer(at: Staffed) -> None:
    own = at.caller(Role.ADMIN, budget=Budget(20.0, 40, 5), lifetime_ms=2 * DAY_S * 1000)
    budget, brief = access_pb2.Budget(requests_per_s=20.0, burst=40, searches_per_day=5), Duration(seconds=DAY_S)
    more = creates(at.admin, lifetime=brief)
    longer = creates(at.admin, budget=budget)
    within = creates(at.admin, budget=budget, lifetime=brief)
    for made, reason in ((more, "NOT_PERMITTED"), (longer, "NOT_PERMITTED"), (within, "OK")):
        assert reason_of(partial(rotated, own, made.key.key_id)) == reason
    assert reason_of(lambda: revoked(own, more.key.key_id)) == "OK", "what was leaked must go"


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ADMIN])
def test_an_admin_of_some_galleries_has_no_part_in_keys_that_see_all(at: Staffed, role: Role) -> None:
    narrow = at.caller(Role.ADMIN, galleries=("own-*",), courses=())
    sees_all = at.caller(role, number=7, galleries=(), courses=())
    key_id, nobodys = sees_all.principal_id.removeprefix("key:"), "a" * 16
    for call in (rotated, revoked):
        assert how(partial(call, narrow, key_id)) == how(partial(call, narrow, nobodys))
    assert key_id not in listed(narrow)
    assert asks(at, sees_all.token) == "OK"
    assert narrow.principal_id.removeprefix("key:") in listed(narrow), "everybody knows the own key"


def test_keys_that_reach_further_are_not_there(at: Staffed) -> None:
    narrow = at.caller(Role.ADMIN, galleries=("own-*",), courses=("c",))
    wider = creates(at.admin, galleries=["*"])
    other = creates(at.admin, galleries=["own-a"], courses=["d"])
    within = creates(at.admin, galleries=["own-a"], courses=["c"])
    nobodys = "a" * 16
    for call in (rotated, revoked):
        ends = {repr(how(partial(call, narrow, key_id))) for key_id in (wider.key.key_id, other.key.key_id, nobodys)}
        assert len(ends) == 1
        assert reason_of(partial(call, narrow, wider.key.key_id)) == "UNKNOWN_KEY"
    assert [asks(at, one.token) for one in (wider, other)] == ["OK", "OK"]
    seen = listed(narrow)
    assert within.key.key_id in seen
    assert not {wider.key.key_id, other.key.key_id} & set(seen)
    for size in (1, 2, 1_000):
        assert listed(narrow, size) == listed(narrow)
    assert {wider.key.key_id, other.key.key_id, within.key.key_id} <= set(listed(at.caller(Role.AUDITOR, galleries=())))
    assert reason_of(lambda: rotated(narrow, within.key.key_id)) == "OK"
    request = audit_pb2.SearchAuditRequest(chain="access", actor=narrow.principal_id, outcome="UNKNOWN_KEY")
    told = [json.loads(one.json)["detail"] for one in at.auditor.audit.SearchAudit(request).records]
    assert {"key_id": wider.key.key_id, "scope": "outside"} in told
    assert {"key_id": nobodys} in told


BAD: dict[str, dict[str, Any]] = {
    "no role": {"roles": []},
    "a role that is none": {"roles": [0]},
    "another role": {"roles": [OPERATOR, 99]},
    "a long label": {"label": "x" * 129},
    "a label of two lines": {"label": "a\nb"},
    "a pattern that is none": {"galleries": ["a*b"]},
    "an empty pattern": {"courses": [""]},
    "too many patterns": {"galleries": [f"g{n}" for n in range(257)]},
    "no time": {"lifetime": Duration()},
    "time that is over": {"lifetime": Duration(seconds=-1)},
    "six years": {"lifetime": Duration(seconds=6 * 366 * DAY_S)},
    "ages": {"lifetime": Duration(seconds=2**62)},
    "a certificate that is none": {"certificate_sha256": "c" * 63},
    "a certificate in capitals": {"certificate_sha256": "C" * 64},
    "calls that are not a number": {"budget": access_pb2.Budget(requests_per_s=float("nan"))},
    "fewer calls than none": {"budget": access_pb2.Budget(requests_per_s=-1.0)},
    "too many at once": {"budget": access_pb2.Budget(burst=2**32 - 1)},
}


@pytest.mark.parametrize("name", BAD)
def test_keys_that_cannot_be_are_refused(at: Staffed, name: str) -> None:
    admin, auditor = at.admin, at.auditor  # each gets its key when it is first used
    before = listed(auditor)
    assert reason_of(partial(creates, admin, **BAD[name])) == "INVALID_FIELD"
    assert listed(auditor) == before


def test_requests_that_cannot_be_answered_are_refused(at: Staffed) -> None:
    made = creates(at.admin)
    key_id, owner = made.key.key_id, with_key(at, made.token)
    overlaps: list[dict[str, int]] = [{"seconds": -1}, {"seconds": 31 * DAY_S}, {"nanos": -1}]
    for overlap in overlaps:
        assert reason_of(partial(rotated, owner, key_id, **overlap)) == "INVALID_FIELD"
    for nobodys in ("", "x" * 1_000, "\0", "\U0001f600", key_id.upper()):
        assert reason_of(partial(revoked, at.admin, nobodys)) == "UNKNOWN_KEY"
    tokens = ("x", page_token("keys", "x"), page_token("keys", "9" * 5_000), page_token("cases", "1 a"))
    listings = [access_pb2.ListKeysRequest(page_token=token) for token in tokens]
    for listing in (*listings, access_pb2.ListKeysRequest(page_size=1_001)):
        assert reason_of(partial(at.admin.access.ListKeys, listing)) == "INVALID_PAGE"


def test_searches_beyond_the_quota_are_refused_and_nothing_else(at: Staffed) -> None:
    caller = at.caller(Role.OPERATOR, budget=Budget(1e3, 1_000, 1))
    search = gallery_pb2.SearchRequest(gallery_id="own-a")
    search.probe.image.data = PROBE
    assert caller.access.WhoAmI(ANYBODY).searches_left == 1
    calls = [reason_of(partial(caller.gallery.Search, search)) for _ in range(2)]
    assert calls == ["OK", "QUOTA_EXCEEDED"]
    own = caller.access.WhoAmI(ANYBODY)
    assert (own.HasField("searches_left"), own.searches_left) == (True, 0)
    assert not at.admin.access.WhoAmI(ANYBODY).HasField("searches_left"), "it has no limit"
    case_id = caller.opens("Q 1")
    assert reason_of(partial(caller.searches, case_id, "own-a")) == "QUOTA_EXCEEDED"
    detect = recognition_pb2.DetectRequest(image=common_pb2.Image(data=PROBE))
    assert reason_of(partial(caller.recognition.Detect, detect)) == "OK"


class Heard(Trust):
    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()

    def access_refused(self, reason: str) -> None:
        self.reasons[reason] += 1


def test_every_refusal_of_a_flood_is_counted_though_few_are_recorded(tmp_path: Path) -> None:
    heard = Heard()
    with staffed(tmp_path, observing=Telemetry(trust=heard)) as at:
        few = at.caller(Role.OPERATOR, budget=Budget(0.001, 1, None))
        at.auditor.access.WhoAmI(ANYBODY)
        began = time.monotonic()
        for _ in range(60):
            assert asks(at, "") == "CREDENTIAL_MISSING"
            assert asks(at, "nobody") == "CREDENTIAL_INVALID"
            assert reason_of(partial(at.auditor.access.CreateKey, access_pb2.CreateKeyRequest())) == "NOT_PERMITTED"
            reason_of(partial(few.access.WhoAmI, ANYBODY))
        took_s = time.monotonic() - began
        with at.stores.access.auditing() as audit:
            recorded = sum(json.loads(one.body)["outcome"] == "CREDENTIAL_MISSING" for one in audit.every())
        assert recorded <= 10 * (int(took_s) // 60 + 1) < 60
    assert heard.reasons == {"CREDENTIAL_MISSING": 60, "unreadable": 60, "NOT_PERMITTED": 60, "RATE_LIMITED": 59}


def test_a_bound_key_is_valid_with_its_certificate_alone(tmp_path: Path) -> None:
    papers = Papers(tmp_path / "papers")
    server, own, others = papers.server(), papers.client("own"), papers.client("others")
    tls = papers.section(server, "optional")
    digest = sha256(ssl.PEM_cert_to_DER_cert(own.certificate.read_text())).hexdigest()
    with running(tmp_path / "data", tls=tls, access={"mode": "keys"}) as behind:
        admin = Staffed(behind, Clock()).admin.token

        @contextmanager
        def connected(token: str, shown: Issued | None = None) -> Iterator[access_pb2_grpc.AccessServiceStub]:
            files = (shown.key.read_bytes(), shown.certificate.read_bytes()) if shown else None
            with secure_channel(behind.address, papers.root(), token, files) as channel:
                yield access_pb2_grpc.AccessServiceStub(channel)

        def asked(token: str, shown: Issued | None = None) -> str:
            with connected(token, shown) as stub:
                return reason_of(partial(stub.WhoAmI, ANYBODY, timeout=10))

        with connected(admin) as stub:
            made = stub.CreateKey(access_pb2.CreateKeyRequest(roles=[OPERATOR], certificate_sha256=digest))
            free = stub.CreateKey(access_pb2.CreateKeyRequest(roles=[OPERATOR]))
            bound = stub.CreateKey(access_pb2.CreateKeyRequest(roles=[ADMIN], certificate_sha256=digest))
        assert made.key.certificate_sha256 == digest
        assert asked(made.token, own) == "OK"
        assert asked(made.token, others) == "CREDENTIAL_INVALID"
        assert asked(made.token) == "CREDENTIAL_INVALID"
        assert asked(admin) == asked(admin, others) == "OK"
        assert asked("") == "CREDENTIAL_MISSING"
        with connected(bound.token, own) as stub:
            anew = [access_pb2.RotateKeyRequest(key_id=one.key.key_id) for one in (made, free)]
            assert [reason_of(partial(stub.RotateKey, one, timeout=10)) for one in anew] == ["OK", "NOT_PERMITTED"]


def reflects(channel: grpc.Channel) -> grpc.StatusCode:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    call = stub.ServerReflectionInfo(asked, timeout=10)
    with suppress(grpc.RpcError):
        assert list(call)
    code: grpc.StatusCode = call.code()
    return code


def test_reflection_is_off_where_keys_are_asked_for_or_on_request(at: Staffed, tmp_path: Path) -> None:
    assert reflects(at.server.channel) is grpc.StatusCode.UNIMPLEMENTED
    with running(tmp_path / "off", server={"reflection": False}) as without:
        assert reflects(without.channel) is grpc.StatusCode.UNIMPLEMENTED
    with running(tmp_path / "open") as open_to_all:  # the control
        assert reflects(open_to_all.channel) is grpc.StatusCode.OK


def test_where_nobody_is_asked_everybody_is_local(tmp_path: Path) -> None:
    with running(tmp_path, access={"mode": "open"}) as server:
        anybody = Caller(server.channel, "")
        own = anybody.access.WhoAmI(ANYBODY)
        assert own.principal_id == "local"
        assert len(own.roles) == len(Role)
        assert (list(own.galleries), list(own.courses)) == (["*"], ["*"])
        token = creates(anybody, roles=[TRAINEE], galleries=[]).token
        # Who sends a key is everybody all the same: nobody is asked.
        assert Caller(server.channel, token).access.WhoAmI(ANYBODY).principal_id == "local"
    with running(tmp_path) as server:  # "auto": a key was made
        assert reason_of(partial(Caller(server.channel, "").access.WhoAmI, ANYBODY)) == "CREDENTIAL_MISSING"
        own = Caller(server.channel, token).access.WhoAmI(ANYBODY)
        assert list(own.roles) == [TRAINEE]
        info = partial(Caller(server.channel, token).server.GetServerInfo, server_pb2.GetServerInfoRequest())
        assert reason_of(info) == "OK"
