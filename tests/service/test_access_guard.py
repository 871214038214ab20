"""Every role calls every method, on what is its own, what is not, and what there is not; with real keys."""

import asyncio
import random
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from fr_api.v1 import common_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2, training_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.values import GalleryUse
from fr_core.sharing import EVERYBODY
from fr_core.storage.audit.attribution import Attribution
from fr_server.authz.authenticate import Credentials, OpenAccess
from fr_server.authz.record import OUTSIDE
from fr_server.authz.rules import ScopeKind
from fr_server.authz.table import RULES
from fr_server.pools import STORAGE_THREADS
from fr_server.rpc.interceptors import streams
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Role
from fr_trust.errors import NotPermitted
from support import hostile
from support.access_world import (
    CERTIFICATE,
    DAY_MS,
    NO_RULE,
    PHOTO,
    WHOLE,
    World,
    allowed,
    by_keys,
    called,
    guarded,
    missing,
    reason_of,
    request_of,
    served,
    variants,
)
from support.callers import METHODS
from support.courses import store_of
from support.faults import until
from support.servers import ended, photo, refusal_of

DEADLINE_EXCEEDED, UNAUTHENTICATED = 4, 16


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with guarded(tmp_path_factory.mktemp("guarded"), by_keys) as made:
        yield made


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_call_what_the_table_says_and_nothing_else(world: World, role: Role) -> None:
    token = world.token(role, courses=("*",)) if role is Role.TRAINER else world.token(role)
    for method, rule in RULES.items():
        for scoped in variants(method):
            how = world.call(token, method, request_of(method, scoped, missing(random.Random(0))[ScopeKind.COHORT]))
            if not served(method):
                assert how == ("UNIMPLEMENTED",)
            else:
                assert (reason_of(how) == "NOT_PERMITTED") is not allowed(rule, role, scoped), (method, how)
                assert reason_of(how) != "INTERNAL", (method, how)


def test_nothing_is_made_outside_of_the_scope(world: World) -> None:
    admin = world.token(Role.ADMIN)
    there, not_there = (
        world.call(admin, CREATE, gallery_pb2.CreateGalleryRequest(gallery_id=gallery_id))
        for gallery_id in (world.has(ScopeKind.GALLERY, "their"), "their-new")
    )
    assert there == not_there
    assert reason_of(there) == "NOT_PERMITTED"
    assert world.call(admin, CREATE, gallery_pb2.CreateGalleryRequest(gallery_id="own-new")) == ("OK",)
    course = "/fr_api.v1.TrainingService/CreateCourse"
    assert reason_of(world.call(world.token(Role.TRAINER), course, request_of(course))) == "NOT_PERMITTED"
    everywhere = world.token(Role.TRAINER, courses=("*",))
    assert reason_of(world.call(everywhere, course, request_of(course))) != "NOT_PERMITTED"


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_lists_hold_what_is_ones_own(world: World, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fr_server.authz.callers._FETCHED", 2)
    token = world.token(Role.OPERATOR, Role.TRAINER)
    everything = world.token(Role.OPERATOR, Role.TRAINER, galleries=("*",), courses=("*",))
    if not [one for one in pages(world, everything, "GalleryService/ListGalleries", "galleries", 100) if "zz" in one]:
        for number in range(5):
            for made in (f"own-zz-{number}", f"own-zz-{number}x", f"their-zz-{number}"):
                world.server.app.galleries.create(made, "", NULL_MODEL, 64, None, None, False, GalleryUse.TEST)
            world.add("their")
    for method, name in (
        ("GalleryService/ListGalleries", "galleries"),
        ("TrainingService/ListCourses", "courses"),
        ("TrainingService/ListCohorts", "cohorts"),
        ("ReviewService/ListCases", "cases"),
    ):
        there = pages(world, everything, method, name, 1_000)
        assert {one.partition("-")[0] for one in there} >= {"own", "their"}
        assert pages(world, token, method, name, size) == [one for one in there if one.startswith("own-")]


def pages(world: World, token: str, method: str, name: str, size: int) -> list[str]:
    """The entries of a list; every page but the last is full."""
    found: list[str] = []
    request = request_of(f"/fr_api.v1.{method}", page_size=size)
    while True:
        how, (page,), _ = called(world.server.channel, token, f"/fr_api.v1.{method}", request)
        assert how == ("OK",)
        told = {"galleries": "gallery_id", "cases": "case_reference"}.get(name, "course_id")
        listed = [getattr(one, told) for one in getattr(page, name)]
        found += listed
        if not page.next_page_token:
            return found
        assert len(listed) == size
        request.page_token = page.next_page_token


def test_a_purge_tells_of_what_is_ones_own(world: World) -> None:
    galleries = world.server.app.galleries
    made = [f"{whose}-purged-{time.time_ns()}" for whose in ("own", "their")]
    operator = world.token(Role.OPERATOR, galleries=("*",))
    for gallery_id in made:
        galleries.create(gallery_id, "", NULL_MODEL, 64, None, timedelta(milliseconds=1), False, GalleryUse.TEST)
        enrolled(world, operator, gallery_id)
    time.sleep(0.005)
    admin, method = world.token(Role.ADMIN), "/fr_api.v1.GalleryService/PurgeExpired"
    for dry_run in (True, False):
        purge = gallery_pb2.PurgeExpiredRequest(dry_run=dry_run)
        _, (answer,), _ = called(world.server.channel, admin, method, purge)
        assert [one.gallery_id for one in answer.galleries] == made[:1]


INFO = "/fr_api.v1.ServerService/GetServerInfo"
SEARCH = "/fr_api.v1.GalleryService/Search"
STREAM_SEARCH = "/fr_api.v1.GalleryService/StreamSearch"
DUPLICATES = "/fr_api.v1.GalleryService/FindDuplicates"
ENROL, EMBED = "/fr_api.v1.GalleryService/Enrol", "/fr_api.v1.RecognitionService/Embed"
BATCH = "/fr_api.v1.RecognitionService/BatchEmbed"
CREATE = "/fr_api.v1.GalleryService/CreateGallery"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def enrolled(world: World, token: str, gallery_id: str, face: Any = PHOTO, subject_id: str = "s") -> None:
    enrol = gallery_pb2.EnrolRequest(gallery_id=gallery_id, subject_id=subject_id, face=face)
    assert world.call(token, ENROL, enrol) == ("OK",)


@pytest.mark.parametrize("method", [INFO, SEARCH, STREAM_SEARCH, DUPLICATES])
def test_who_does_not_say_who_it_is_has_its_request_not_even_read(world: World, method: str) -> None:
    how = world.call(None, method, request_of(method), raw=b"\xff\xff\xff")
    assert how[:2] == ("UNAUTHENTICATED", "CREDENTIAL_MISSING")
    assert [key for key, _ in how[4]] == ["grpc-status-details-bin"]
    known = world.call(world.token(Role.OPERATOR), method, request_of(method), raw=b"\xff\xff\xff")
    assert reason_of(known) != "CREDENTIAL_MISSING"


def test_a_stream_without_a_credential_is_refused_before_anything_is_sent(world: World) -> None:
    going_on = threading.Event()

    def nothing() -> Iterator[gallery_pb2.StreamSearchRequest]:
        going_on.wait(10)
        yield gallery_pb2.StreamSearchRequest()

    refused = refusal_of(lambda: world.server.gallery.StreamSearch(nothing(), timeout=5))
    going_on.set()
    assert refused.info.reason == "CREDENTIAL_MISSING"


def test_whoever_is_refused_takes_no_room(tmp_path: Path) -> None:
    with guarded(tmp_path, by_keys, server={"max_in_flight": 1}) as world:
        token = world.token(Role.OPERATOR)
        going_on = threading.Event()

        def waiting() -> Iterator[gallery_pb2.StreamSearchRequest]:
            yield gallery_pb2.StreamSearchRequest(item_id="1")
            going_on.wait(10)

        answers = world.server.gallery.StreamSearch(waiting(), metadata=bearer(token))
        next(answers)
        assert reason_of(world.call(token, INFO, request_of(INFO))) == "OVERLOADED"
        assert reason_of(world.call(None, INFO, request_of(INFO))) == "CREDENTIAL_MISSING"
        assert reason_of(world.call("nobody", INFO, request_of(INFO))) == "CREDENTIAL_INVALID"
        going_on.set()
        assert not list(answers)


def test_credentials_that_are_not_valid_are_refused_in_the_same_words(world: World) -> None:
    revoked = world.token(Role.ADMIN, lifetime_ms=DAY_MS)
    world.keys.revoke(revoked.partition(".")[0])
    brief = world.token(Role.ADMIN, lifetime_ms=1)
    time.sleep(0.005)
    good = world.token(Role.ADMIN)
    bound = world.token(Role.ADMIN, certificate=CERTIFICATE)
    wrong = f"{good.partition('.')[0]}.{brief.partition('.')[2]}"
    unknown = f"{'a' * 16}.{brief.partition('.')[2]}"
    before = len(world.kept.of("server.get_server_info"))
    sent = {
        "revoked": revoked,
        "expired": brief,
        "wrong_secret": wrong,
        "unknown": unknown,
        "unreadable": "x",
        "unknown_signer": "a.b.c",
        "other_certificate": bound,
    }
    time.sleep(1.01)  # so that none is taken for one of a flood
    told = {why: world.call(token, INFO, request_of(INFO)) for why, token in sent.items()}
    assert len({repr(how) for how in told.values()}) == 1
    assert reason_of(told["wrong_secret"]) == "CREDENTIAL_INVALID"
    records = world.kept.wait_for("server.get_server_info", before + len(sent))[before:]
    assert [record.detail["why"] for record in records] == list(sent)
    assert {record.attribution.actor for record in records} == {"nobody"}
    assert records[0].detail["credential"] == f"key:{revoked.partition('.')[0]}"
    assert len(records[0].attribution.request_id or "") == 32
    twice = world.call(good, INFO, request_of(INFO), metadata=[*bearer(good)])
    assert reason_of(twice) == "CREDENTIAL_INVALID"
    basic = world.call(None, INFO, request_of(INFO), metadata=[("authorization", f"Basic {good}")])
    assert reason_of(basic) == "CREDENTIAL_INVALID"
    assert world.call(None, INFO, request_of(INFO), metadata=[("authorization", f"bearer {good}")]) == ("OK",)


def test_a_key_that_is_revoked_ends_what_was_begun_with_it(world: World) -> None:
    token = world.token(Role.OPERATOR, Role.TRAINER, lifetime_ms=2 * DAY_MS)
    scoped, gallery_id = RULES[STREAM_SEARCH].scoped[0], world.has(ScopeKind.GALLERY, "own")
    item = request_of(STREAM_SEARCH, scoped, gallery_id, **WHOLE["GalleryService/StreamSearch"])
    revoked = threading.Event()

    def items() -> Iterator[gallery_pb2.StreamSearchRequest]:
        yield item
        revoked.wait(10)
        yield item

    searches = world.server.gallery.StreamSearch(items(), metadata=bearer(token), timeout=20)
    cohort_id = world.has(ScopeKind.COHORT, "own")
    watch = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
    watching = world.server.training.WatchCohort(watch, metadata=bearer(token), timeout=20)
    assert next(searches).HasField("found")
    assert next(watching).progress
    world.keys.revoke(token.partition(".")[0])
    revoked.set()
    store_of(world.server).add_trainees(cohort_id, 1)
    for answers in (searches, watching):
        assert refusal_of(lambda answers=answers: answers).info.reason == "CREDENTIAL_INVALID"  # type: ignore[misc]
    actor = f"key:{token.partition('.')[0]}"
    for action in ("gallery.stream_search", "training.watch_cohort"):
        world.kept.wait_for(action, len(world.kept.of(action)) + 1, 0.1)
        refused = [one for one in world.kept.of(action) if one.detail.get("credential") == actor]
        assert [(one.outcome, one.attribution.actor) for one in refused] == [("CREDENTIAL_INVALID", actor)], action
        assert refused[0].detail["why"] == "revoked"


def test_a_key_that_is_bound_to_a_certificate_takes_the_connection_that_has_shown_it(tmp_path: Path) -> None:
    shown: list[str | None] = [CERTIFICATE]
    with guarded(tmp_path, lambda keys: Credentials(keys, None, lambda peer: shown[0] if peer else None)) as world:
        bound = world.token(Role.OPERATOR, certificate=CERTIFICATE)
        gallery_id = world.has(ScopeKind.GALLERY, "own")
        for method in (INFO, SEARCH, STREAM_SEARCH, DUPLICATES):
            scoped = next(iter(RULES[method].scoped), None)
            request = request_of(method, scoped, gallery_id)
            free = world.call(world.token(Role.OPERATOR), method, request)
            shown[0] = CERTIFICATE
            assert world.call(bound, method, request) == free
            shown[0] = "d" * 64
            assert reason_of(world.call(bound, method, request, raw=b"\xff")) == "CREDENTIAL_INVALID"
        shown[0] = CERTIFICATE
        assert reason_of(world.call(bound, CREATE, request_of(CREATE))) == "NOT_PERMITTED"


def many_of_one(world: World, token: str, method: str, requests: list[Any]) -> tuple[str, int]:
    """Send a call of one request several, or none; return how it ended, and how many answers came."""
    call = world.server.channel.stream_stream(
        method,
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=GetMessageClass(METHODS[method].output_type).FromString,
    )(iter(requests), metadata=bearer(token), timeout=10)
    answers = 0
    try:
        for _ in call:
            answers += 1
    except grpc.RpcError as error:
        return ended(error).info.reason, answers
    return "OK", answers


@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["free", "bound"])
def test_a_call_of_one_request_takes_one_and_waits_for_it_so_long(tmp_path: Path, certificate: str | None) -> None:
    by_certificate = partial(Credentials, tokens=None, certificate_of=lambda peer: CERTIFICATE if peer else None)
    with guarded(tmp_path, by_certificate, limits={"call_s": 1.0}) as world:
        token = world.token(Role.OPERATOR, budget=Budget(100, 100, 6), certificate=certificate)
        search = request_of(SEARCH, RULES[SEARCH].scoped[0], world.has(ScopeKind.GALLERY, "own"), probe=PHOTO)
        assert many_of_one(world, token, SEARCH, [search] * 9) == ("OK", 1)
        duplicates = request_of(DUPLICATES, RULES[DUPLICATES].scoped[0], world.has(ScopeKind.GALLERY, "own"))
        once = many_of_one(world, token, DUPLICATES, [duplicates])
        assert many_of_one(world, token, DUPLICATES, [duplicates] * 9) == once
        assert len(world.kept.wait_for("gallery.search")) == 1
        for method in (SEARCH, DUPLICATES):
            assert many_of_one(world, token, method, []) == ("INVALID_FIELD", 0)
        five_were_counted = [world.call(token, SEARCH, search) for _ in range(2)]
        assert [reason_of(how) for how in five_were_counted] == ["OK", "QUOTA_EXCEEDED"]
        token = world.token(Role.OPERATOR, certificate=certificate)
        for method in (SEARCH, DUPLICATES):
            assert statuses_of_half(world, token, method) == [DEADLINE_EXCEEDED]


def statuses_of_half(world: World, token: str, method: str) -> list[int]:
    """Send a message but for its last byte; return how the call ends."""
    headers = {":path": method.encode(), "authorization": f"Bearer {token}".encode()}
    with hostile.Peer(world.server.address) as peer:
        peer.send(hostile.frame(hostile.HEADERS, hostile.END_HEADERS, 1, hostile.call_headers(**headers)))
        peer.send(hostile.frame(hostile.DATA, 0, 1, struct.pack(">BI", 0, 100) + bytes(99)))
        peer.until(lambda: bool(peer.told().statuses), 5.0)
        return peer.told().statuses


def silent(world: World, token: str, method: str = STREAM_SEARCH) -> Any:
    call = world.server.channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)
    never = threading.Event()
    return call((b"" for _ in iter(lambda: never.wait(60), None)), metadata=bearer(token), timeout=60)


def open_streams(world: World) -> int:
    return world.server.app._admission._streams.taken


def until_open(world: World, number: int) -> None:
    until(lambda: open_streams(world) == number)


def test_a_stream_in_which_nothing_is_said_ends_with_its_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.1)
    token = world.token(Role.OPERATOR, Role.TRAINER, lifetime_ms=3 * DAY_MS)
    cohort = training_pb2.WatchCohortRequest(cohort_id=world.has(ScopeKind.COHORT, "own"))
    before = open_streams(world)
    calls = [silent(world, token) for _ in range(3)]
    watching = world.server.training.WatchCohort(cohort, metadata=bearer(token), timeout=60)
    assert next(watching).progress
    until_open(world, before + 4)
    time.sleep(0.5)
    assert open_streams(world) == before + 4, "looked at and found valid"
    world.keys.revoke(token.partition(".")[0])
    until_open(world, before)
    for call in (*calls, watching):
        assert refusal_of(lambda call=call: call).info.reason == "CREDENTIAL_INVALID"  # type: ignore[misc]
    actor = f"key:{token.partition('.')[0]}"

    def refused(action: str) -> list[str]:
        return [one.outcome for one in world.kept.of(action) if one.detail.get("credential") == actor]

    for action, number in (("gallery.stream_search", 3), ("training.watch_cohort", 1)):
        until(lambda: len(refused(action)) >= number)  # noqa: B023 - called now
        assert refused(action) == ["CREDENTIAL_INVALID"] * number, action


def test_an_unread_stream_ends_with_its_key_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.1)
    token = world.token(Role.OPERATOR, lifetime_ms=4 * DAY_MS)
    item = request_of(STREAM_SEARCH, RULES[STREAM_SEARCH].scoped[0], world.has(ScopeKind.GALLERY, "own"))
    before, never = open_streams(world), threading.Event()

    def items() -> Iterator[Any]:
        for number in range(2000):
            item.item_id = f"{number:0128}"
            yield item
        never.wait(30)

    small = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16_384)]
    with grpc.insecure_channel(world.server.address, options=small) as channel:
        stub = gallery_pb2_grpc.GalleryServiceStub(channel)
        unread = stub.StreamSearch(items(), metadata=bearer(token), timeout=60)
        until_open(world, before + 1)
        time.sleep(1.0)
        world.keys.revoke(token.partition(".")[0])
        until_open(world, before)
        read: list[Any] = []
        assert refusal_of(lambda: read.extend(unread)).info.reason == "CREDENTIAL_INVALID"
        assert 0 < len(read) < 1999, "it was in the midst"
        never.set()


def test_a_call_whose_request_comes_after_its_key_was_revoked_is_refused(world: World) -> None:
    token = world.token(Role.OPERATOR, Role.ADMIN, lifetime_ms=5 * DAY_MS)
    request = gallery_pb2.CreateGalleryRequest(gallery_id="own-late", use=gallery_pb2.GALLERY_USE_TEST)
    message = request.SerializeToString()
    headers = {":path": CREATE.encode(), "authorization": f"Bearer {token}".encode()}
    with hostile.Peer(world.server.address) as peer:
        peer.send(hostile.frame(hostile.HEADERS, hostile.END_HEADERS, 1, hostile.call_headers(**headers)))
        time.sleep(0.3)
        world.keys.revoke(token.partition(".")[0])
        body = struct.pack(">BI", 0, len(message)) + message
        peer.send(hostile.frame(hostile.DATA, hostile.END_STREAM, 1, body))
        assert peer.until(lambda: peer.told().statuses == [UNAUTHENTICATED])
    assert "own-late" not in {gallery.gallery_id for gallery in world.server.app.galleries.list(1000, "").items}


@pytest.mark.parametrize("revoked", [True, False], ids=["revoked", "control"])
def test_calls_that_wait_for_their_turn_do_nothing_more_when_their_key_is_revoked(world: World, revoked: bool) -> None:
    token = world.token(Role.OPERATOR, lifetime_ms=(6 + revoked) * DAY_MS)
    gallery_id = world.add("own")[ScopeKind.GALLERY]
    requests = {
        ENROL: request_of(ENROL, RULES[ENROL].scoped[0], gallery_id, **WHOLE["GalleryService/Enrol"]),
        EMBED: recognition_pb2.EmbedRequest(image=PHOTO.image),
    }
    assert world.server.app._work is not None
    photos, go_on = world.server.app._work._interactive, threading.Event()
    busy = [photos.submit(EVERYBODY, partial(go_on.wait, 20)) for _ in range(world.server.app._part.workers)]
    with ThreadPoolExecutor() as callers:
        calls = [callers.submit(world.call, token, method, request) for method, request in requests.items()]
        until(lambda: photos.waiting == len(calls))
        if revoked:
            world.keys.revoke(token.partition(".")[0])
        go_on.set()
        outcomes = [reason_of(call.result(20)) for call in calls]
    assert all(one.result(20) for one in busy)
    kept = world.server.app.galleries.get(gallery_id).template_count
    assert (outcomes, kept) == ((["CREDENTIAL_INVALID"] * 2, 0) if revoked else (["OK"] * 2, 1))


@pytest.mark.parametrize("revoked", [True, False], ids=["revoked", "control"])
def test_calls_that_wait_for_the_store_write_nothing_when_their_key_is_revoked(world: World, revoked: bool) -> None:
    token = world.token(Role.ADMIN, lifetime_ms=(8 + revoked) * DAY_MS)
    gallery_id = f"own-waits-{int(revoked)}"
    work, go_on = world.server.app._work, threading.Event()
    assert work is not None
    hold = partial(asyncio.run_coroutine_threadsafe, loop=world.server.loop)
    busy = [hold(work.storage(go_on.wait, 20)) for _ in range(STORAGE_THREADS)]
    with ThreadPoolExecutor() as callers:
        request = gallery_pb2.CreateGalleryRequest(gallery_id=gallery_id, use=gallery_pb2.GALLERY_USE_TEST)
        call = callers.submit(world.call, token, CREATE, request)
        until(call.running)
        for _ in range(3):  # these need no thread, and come after it on the same connection
            assert world.call(token, INFO, request_of(INFO)) == ("OK",)
        if revoked:
            world.keys.revoke(token.partition(".")[0])
        go_on.set()
        outcome = reason_of(call.result(20))
    assert all(one.result(20) for one in busy)
    made = {gallery.gallery_id for gallery in world.server.app.galleries.list(1000, "").items}
    assert (outcome, gallery_id in made) == (("CREDENTIAL_INVALID", False) if revoked else ("OK", True))


def test_what_a_caller_may_not_do_takes_of_what_it_may_ask_for(world: World) -> None:
    token = world.token(Role.TRAINEE, budget=Budget(0.001, 3, None))
    keys = "/fr_api.v1.AccessService/CreateKey"
    outcomes = [reason_of(world.call(token, keys, request_of(keys))) for _ in range(5)]
    assert outcomes == ["NOT_PERMITTED"] * 3 + ["RATE_LIMITED"] * 2


def test_a_caller_has_so_many_streams_and_leaves_room_for_others(tmp_path: Path) -> None:
    with guarded(tmp_path, by_keys, limits={"streams_per_caller": 2}) as world:
        token, other = world.token(Role.OPERATOR), world.token(Role.OPERATOR, Role.TRAINER)
        calls = [silent(world, token) for _ in range(2)]
        until_open(world, 2)
        third = refusal_of(lambda: silent(world, token))
        assert (third.info.reason, "2 streams open" in third.status.message) == ("OVERLOADED", True)
        calls.append(silent(world, other))
        until_open(world, 3)
        calls[0].cancel()
        until_open(world, 2)
        calls.append(silent(world, token))
        until_open(world, 3)
        for call in calls:
            call.cancel()
        until_open(world, 0)


def test_everybody_together_has_as_many_streams_as_wanted(tmp_path: Path) -> None:
    with guarded(tmp_path, lambda keys: OpenAccess(), limits={"streams_per_caller": 2}) as world:
        calls = [silent(world, "") for _ in range(5)]
        until_open(world, 5)
        for call in calls:
            call.cancel()


def test_a_method_without_a_rule_is_refused(tmp_path: Path) -> None:
    rules = {method: rule for method, rule in RULES.items() if method != NO_RULE}
    with guarded(tmp_path, lambda keys: OpenAccess(), rules) as world:
        how = world.call(None, NO_RULE, request_of(NO_RULE))
        assert (how[1], how[2]) == ("NOT_PERMITTED", f"No role may call this method. {NotPermitted('').advice}")
        assert world.call(None, INFO, request_of(INFO)) == ("OK",)
        everywhere = request_of(SEARCH, RULES[SEARCH].scoped[0], world.has(ScopeKind.GALLERY, "their"), probe=PHOTO)
        assert world.call(None, SEARCH, everywhere) == ("OK",)


def test_a_budget_of_calls_is_spent_by_calls_and_by_items(world: World) -> None:
    few = Budget(0.001, 3, None)
    token = world.token(Role.OPERATOR, budget=few)
    told = [world.call(token, INFO, request_of(INFO)) for _ in range(5)]
    assert [reason_of(how) for how in told] == ["OK"] * 3 + ["RATE_LIMITED"] * 2
    assert told[3][0] == "RESOURCE_EXHAUSTED"
    assert "retry_after_s" in told[3][3]
    token = world.token(Role.OPERATOR, budget=few)
    scoped = RULES[STREAM_SEARCH].scoped[0]
    items = [request_of(STREAM_SEARCH, scoped, world.has(ScopeKind.GALLERY, "own")) for _ in range(4)]
    for number, item in enumerate(items):
        item.item_id = str(number)
        item.search.probe.CopyFrom(PHOTO)
    _, answers, _ = called(world.server.channel, token, STREAM_SEARCH, *items)
    # One of the three was for the stream.
    results = {one.item_id: one.WhichOneof("result") for one in answers}
    assert results == {"0": "found", "1": "found", "2": "refusal", "3": "refusal"}
    assert len(answers) == 4
    token = world.token(Role.OPERATOR, budget=few)
    batches = [recognition_pb2.BatchEmbedRequest(images=[PHOTO.image] * photos) for photos in (2, 8, 1)]
    told = [world.call(token, BATCH, request) for request in batches]
    assert [reason_of(how) for how in told] == ["OK", "OK", "RATE_LIMITED"]
    assert 7_990 < float(told[2][3]["retry_after_s"]) <= 8_000  # 11 calls, of which 3 are the burst


def test_searches_of_a_day_are_spent_by_searches(world: World) -> None:
    gallery_id = world.add("own")[ScopeKind.GALLERY]
    token = world.token(Role.OPERATOR, budget=Budget(1e6, 1_000_000, 2))
    request = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=PHOTO)
    item = gallery_pb2.StreamSearchRequest(item_id="1", search=request)
    enrol = gallery_pb2.EnrolRequest(gallery_id=gallery_id, subject_id="s", face=PHOTO)
    assert world.call(token, SEARCH, request) == ("OK",)
    assert world.call(token, ENROL, enrol) == ("OK",)
    assert world.call(token, STREAM_SEARCH, item) == ("OK",)
    assert reason_of(world.call(token, STREAM_SEARCH, item)) == "QUOTA_EXCEEDED"
    assert reason_of(world.call(token, SEARCH, request)) == "QUOTA_EXCEEDED"
    enrol.subject_id, enrol.report_similar = "t", True
    assert reason_of(world.call(token, ENROL, enrol)) == "QUOTA_EXCEEDED"
    assert world.call(token, INFO, request_of(INFO)) == ("OK",)


def test_trainees_are_told_coarse_scores_and_send_no_embeddings(world: World) -> None:
    gallery_id = world.add("own")[ScopeKind.GALLERY]
    operator = world.token(Role.OPERATOR)
    for number, blue in enumerate((10, 40, 90)):
        face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(blue)))
        enrolled(world, operator, gallery_id, face, f"s{number}")
    request = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=PHOTO, threshold=-1.0)
    _, (exact,), _ = called(world.server.channel, operator, SEARCH, request)
    trainee = world.token(Role.TRAINEE, galleries=(gallery_id,))
    _, (coarse,), _ = called(world.server.channel, trainee, SEARCH, request)
    exactly = [one.similarity for one in exact.results[0].candidates]
    assert exactly != [round(one, 2) for one in exactly]
    assert [one.similarity for one in coarse.results[0].candidates] == [round(one, 2) for one in exactly]
    above: dict[str, Any] = {"threshold": exactly[1] + 1e-6, "only_above_threshold": True}
    between = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=PHOTO, **above)
    _, (exact,), _ = called(world.server.channel, operator, SEARCH, between)
    _, (coarse,), _ = called(world.server.channel, trainee, SEARCH, between)
    assert [len(one.results[0].candidates) for one in (exact, coarse)] == [1, 2]
    embed = recognition_pb2.EmbedRequest(image=PHOTO.image)
    _, (embedded,), _ = called(world.server.channel, operator, EMBED, embed)
    request.probe.embedding.CopyFrom(embedded.faces[0].embedding)
    assert world.call(operator, SEARCH, request) == ("OK",)
    assert reason_of(world.call(trainee, SEARCH, request)) == "NOT_PERMITTED"


def test_every_search_is_told_of(world: World) -> None:
    gallery_id = world.add("own")[ScopeKind.GALLERY]
    token = world.token(Role.OPERATOR, Role.AUDITOR)
    enrolled(world, token, gallery_id)
    assert not [one for one in world.kept.of("gallery.enrol") if one.gallery_id == gallery_id]  # the gallery's own does
    why: dict[str, Any] = {"purpose": common_pb2.PURPOSE_MISSING_PERSON, "case_reference": "A 1"}
    request = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=PHOTO, threshold=0.25, **why)
    assert world.call(token, SEARCH, request) == ("OK",)
    record = world.kept.of("gallery.search")[-1]
    actor, request_id = f"key:{token.partition('.')[0]}", record.attribution.request_id
    expected = Attribution(actor, ("auditor", "operator"), request_id, "missing_person", "A 1")
    assert record.attribution == expected
    assert (record.outcome, record.gallery_id, record.subject_ids) == ("OK", gallery_id, ("s",))
    assert (record.model, record.gallery_version, record.threshold) == (NULL_MODEL, 2, 0.25)
    assert record.counts == {"results": 1, "candidates": 1}
    delete = "/fr_api.v1.GalleryService/DeleteSubject"
    for subject_id, outcome in (("s", "OK"), ("t", "UNKNOWN_SUBJECT")):
        deleted = gallery_pb2.DeleteSubjectRequest(gallery_id=gallery_id, subject_id=subject_id)
        assert reason_of(world.call(token, delete, deleted)) == outcome

    def told() -> list[tuple[str, tuple[str, ...]]]:
        return [(one.outcome, one.subject_ids) for one in world.kept.of("gallery.delete_subject")]

    until(lambda: ("UNKNOWN_SUBJECT", ("t",)) in told())  # nobody waits until a refusal is told
    assert ("OK", ("s",)) not in told()
    request.ClearField("probe")
    assert reason_of(world.call(token, SEARCH, request)) == "MISSING_FIELD"
    until(lambda: world.kept.of("gallery.search")[-1].outcome == "MISSING_FIELD")


def test_every_item_of_a_stream_is_told_of(world: World) -> None:
    gallery_id = world.has(ScopeKind.GALLERY, "own")
    token = world.token(Role.OPERATOR, Role.AUDITOR)
    search = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=PHOTO, case_reference="B 2")
    items = [
        gallery_pb2.StreamSearchRequest(item_id="same", search=search),
        gallery_pb2.StreamSearchRequest(item_id="same"),
        gallery_pb2.StreamSearchRequest(item_id="x" * 1_000, search=search),
    ]
    before = len(world.kept.of("gallery.stream_search"))
    _, answers, _ = called(world.server.channel, token, STREAM_SEARCH, *items)
    records = world.kept.of("gallery.stream_search")[before:]
    assert len(answers) == len(records) == 3
    assert sorted(record.outcome for record in records) == ["INVALID_FIELD", "MISSING_FIELD", "OK"]
    assert {record.attribution.case_reference for record in records} == {"B 2", None}
    (found,) = (record for record in records if record.outcome == "OK")
    assert found.counts["results"] == 1


def test_an_answer_in_many_messages_is_told_of_before_it_leaves_and_when_it_has_ended(world: World) -> None:
    gallery_id = world.has(ScopeKind.GALLERY, "own")
    before = len(world.kept.of("gallery.find_duplicates"))
    request = gallery_pb2.FindDuplicatesRequest(gallery_id=gallery_id)
    assert world.call(world.token(Role.OPERATOR), DUPLICATES, request) == ("OK",)
    begun, done = world.kept.of("gallery.find_duplicates")[before:]
    assert (begun.outcome, done.outcome, begun.gallery_id) == ("BEGUN", "OK", gallery_id)
    assert done.counts["messages"] >= 1
    watched = request_of("/fr_api.v1.TrainingService/WatchCohort", cohort_id=world.has(ScopeKind.COHORT, "own"))
    before = len(world.kept.of("training.watch_cohort"))
    world.call(world.token(Role.TRAINER), "/fr_api.v1.TrainingService/WatchCohort", watched)
    told = [one.outcome for one in world.kept.wait_for("training.watch_cohort", before + 2)[before:]]
    assert told == ["BEGUN", "CANCELLED"]


def test_what_was_asked_for_outside_of_the_scope_is_told_of(world: World) -> None:
    token = world.token(Role.OPERATOR, Role.TRAINEE)
    theirs = world.ids["their"]
    for method, kind in ((SEARCH, ScopeKind.GALLERY), ("/fr_api.v1.TrainingService/NextTrial", ScopeKind.SESSION)):
        (scoped,) = RULES[method].scoped
        world.call(token, method, request_of(method, scoped, theirs[kind]))
    record = [one for one in world.kept.of("gallery.search") if one.gallery_id == theirs[ScopeKind.GALLERY]][-1]
    assert (record.outcome, dict(record.detail)) == ("UNKNOWN_GALLERY", OUTSIDE)
    record = world.kept.wait_for("training.next_trial")[-1]
    assert (record.outcome, dict(record.detail)) == ("UNKNOWN_SESSION", OUTSIDE)


def test_refusals_are_told_of_and_floods_of_them_counted(world: World) -> None:
    auditor = world.token(Role.AUDITOR, lifetime_ms=DAY_MS)  # who was not refused before
    world.call(auditor, SEARCH, request_of(SEARCH))
    told = ("NOT_PERMITTED", f"key:{auditor.partition('.')[0]}")
    until(lambda: told in {(one.outcome, one.attribution.actor) for one in world.kept.of("gallery.search")})
    before = len(world.kept.of("server.get_server_info"))
    for _ in range(100):
        world.call(None, INFO, request_of(INFO))
    time.sleep(0.05)
    told_of = len(world.kept.of("server.get_server_info")) - before
    assert told_of <= 20, "in two minutes at most; the rest is told with the next"
