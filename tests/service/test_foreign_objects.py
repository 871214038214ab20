"""For each role, method and object: the answer for another caller's object is that of one that does not exist.

The rows are made of the descriptors of the API: a field of a request that has none is an error here.
"""

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from fr_api.v1 import access_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.pages import page_token
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import Embedding, frozen_array
from fr_server.authz.authenticate import Credentials
from fr_server.authz.rules import Scoped, ScopeKind
from fr_server.authz.table import RULES
from fr_trust.access.principal import Principal, Role
from fr_trust.access.store import AccessStore
from support.access_world import (
    BESIDE,
    CERTIFICATE,
    UNKNOWN,
    WHOLE,
    World,
    allowed,
    by_keys,
    called,
    guarded,
    missing,
    reason_of,
    request_of,
)
from support.callers import METHODS, POTENTIAL
from support.counts import count
from support.courses import store_of
from support.training_stores import add_course, small_course

PAIRS = count("FOREIGN_PAIRS")
"""Of calls that are timed for each kind of object."""
FOUND_PAIRS = 300
"""Of calls that are timed for the control: where every core is busy, it takes so many for the difference to show."""

SLOW = {"GalleryService/CreateGallery", "TrainingService/WatchCohort"}
"""Of which the time is that of something else: of a stream that is called off."""
NO_OBJECT = {
    "text": "label name notes display_name toml action outcome pack version sha256 calibration_json json identity",
    "of the course that is named beside it": "sitting form",
    "of the course of the cohort that is named beside it": "block_ids item_ids",
    "a number": "burst searches_per_day page_size seed gallery_sizes top_k rating trainees similarity difficulty step "
    "after_seq begin_block threshold number row size_bytes offset track tracks place",
    "bytes": "data vectors",
    "a version of the gallery that is named beside it": "at_least",
    "a language": "language",
    "a number or word within the trial or sitting that is named beside it": "odd_picture_id picture_id component_id "
    "option_id",
    "a hash that the caller has": "certificate_sha256 image_sha256 exclude_photos exclude_items",
    "the caller's own name of an item": "item_id",
    "a person, whose name only their learning platform knows": "issuer client_id subject",
    "a lesson, which comes with the program": "lessons",
    "a data set, which is of the server and of nobody": "dataset datasets",
}
"""Fields that cannot name another caller's object, and why."""
VALUES = {name for names in NO_OBJECT.values() for name in names.split()}
AUDIT = "A chain is read as a whole: scopes do not divide it."
WHOLE_SERVER = {
    "AuditService": AUDIT,
    "EvaluationService": "Reports and data sets are of the server: scopes do not divide them.",
}
NOT_DIVIDED = {
    ("TrainingService/CreateCourse", "learn_from"): "It takes a scope of all courses.",
    ("ReviewService/SearchInCase", "search.case_reference"): "It is refused.",
    ("VideoService/SearchTracks", "search.filter.subject_ids"): "The filter is that of Search.",
    ("VideoService/WatchStream", "stream"): "The configuration lists it with its galleries.",
}
_NUMBERS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_INT64)
_SCALARS = (*_NUMBERS, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32)


def fields_of(message: Descriptor, way: str = "") -> Iterator[str]:
    """Paths of all text, bytes and number fields of a request."""
    for field in message.fields:
        inner = field.message_type
        if inner is not None and inner.full_name.startswith("fr_api.") and not inner.GetOptions().map_entry:
            yield from fields_of(inner, f"{way}{field.name}.")
        elif field.type in _SCALARS:
            yield f"{way}{field.name}"


Theirs = Callable[[World], Any]
Nobodys = Callable[[random.Random], Any]
Make = Callable[[World, random.Random], tuple[Any, Any]]
"""Makes two requests: one that names another caller's object, and one that names an object that does not exist."""


@dataclass(frozen=True)
class Row:
    """A field of a request that names an object, what makes the requests, how both are refused, and who may call.

    `kind` is that of the object, for those that a rule has in its scope; `reason` is "OK" where nothing is refused.
    """

    method: str
    path: str
    make: Make
    kind: str = ""
    reason: str = "OK"
    roles: frozenset[Role] = frozenset(Role)


def full(name: str) -> str:
    return f"/fr_api.v1.{name}"


def own_beside(world: World, name: str, kind: ScopeKind | None) -> dict[str, Any]:
    """The caller's own objects that a call also needs."""
    more = dict(WHOLE.get(name, {}))
    if kind is not None and (name, kind) in BESIDE:
        path, beside = BESIDE[name, kind]
        more[path] = world.has(beside, "own")
    return more


def of_scope(name: str, scoped: Scoped) -> Row:
    def make(world: World, rng: random.Random) -> tuple[Any, Any]:
        ids = world.ids["their"][scoped.kind], missing(rng)[scoped.kind]
        more = own_beside(world, name, scoped.kind)
        theirs, nobodys = (request_of(full(name), scoped, one, **more) for one in ids)
        return theirs, nobodys

    rule = RULES[full(name)]
    roles = frozenset(role for role in Role if allowed(rule, role, scoped))
    reason = UNKNOWN[scoped.kind] if name != "GalleryService/SetCalibration" else "MISSING_FIELD"
    return Row(name, scoped.path, make, scoped.kind.value, reason, roles)


def row(name: str, path: str, theirs: Theirs, nobodys: Nobodys, reason: str, **mine: Any) -> Row:
    """A row of an object that no rule has in its scope: it is looked for within things of the caller."""

    def make(world: World, rng: random.Random) -> tuple[Any, Any]:
        beside = {at: value(world) if callable(value) else value for at, value in mine.items()}
        more = {**WHOLE.get(name, {}), **beside}
        first, second = (request_of(full(name), **{**more, path: one}) for one in (theirs(world), nobodys(rng)))
        return first, second

    return Row(name, path, make, path.rpartition(".")[2], reason)


def listed(name: str, call: str, theirs: Theirs, nobodys: Nobodys, reason: str = "OK", **mine: Any) -> Row:
    """A row of a token that begins a page after something of somebody else."""
    tokens = (lambda world: page_token(call, theirs(world))), (lambda rng: page_token(call, nobodys(rng)))
    return row(name, "page_token", *tokens, reason, **mine)


def own(kind: ScopeKind) -> Callable[[World], str]:
    return lambda world: world.has(kind, "own")


def fresh(rng: random.Random) -> str:
    return f"nobody {rng.randbytes(8).hex()}"


def their_subject(world: World) -> str:
    return "their person"


def their_template(world: World) -> int:
    (template,) = world.server.app.galleries.subject(world.has(ScopeKind.GALLERY, "their"), "their person").templates
    return template.template_id


def their_trial(world: World) -> str:
    session = store_of(world.server).session(world.has(ScopeKind.SESSION, "their"))
    return session.trials[0].trial_id if session.trials else "their-trial"


def their_key(world: World) -> str:
    return world.token(Role.OPERATOR, galleries=("their-*",), courses=("their-*",)).partition(".")[0]


def their_video(world: World) -> str:
    """Return a video that somebody else announced."""
    token = world.token(Role.OPERATOR, galleries=("their-*",), courses=("their-*",))
    request = request_of(full("VideoService/CreateVideo"), sha256="0" * 64, size_bytes=1)
    _, (answer,), _ = called(world.server.channel, token, full("VideoService/CreateVideo"), request)
    video_id: str = answer.video.video_id
    return video_id


def a_video(rng: random.Random) -> str:
    return rng.randbytes(16).hex()


def auditors_key(world: World) -> str:
    return world.token(Role.AUDITOR, galleries=(), courses=()).partition(".")[0]


OPERATOR = access_pb2.ROLE_OPERATOR
GALLERY = {"gallery_id": own(ScopeKind.GALLERY)}
SEARCHED = {"search.gallery_id": own(ScopeKind.GALLERY)}
FINDING: dict[str, Any] = {"examination_id": own(ScopeKind.EXAMINATION), "kind": POTENTIAL, "rating": 2}


def a_key(rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=16))


def a_template(rng: random.Random) -> int:
    return rng.randrange(10**9, 10**10)


def of_theirs(kind: ScopeKind) -> Callable[[World], str]:
    return lambda world: world.has(kind, "their")


def their_missing(rng: random.Random) -> str:
    return f"their-{rng.randbytes(8).hex()}"


def their_reference(world: World) -> str:
    """Return the reference of an open case outside the caller's scope."""
    return world.cases.case(world.add("their")[ScopeKind.CASE]).reference


def their_case_moment(world: World) -> str:
    case = world.cases.case(world.has(ScopeKind.CASE, "their"))
    return f"{case.opened_ms} {case.case_id}"


def their_examination_moment(world: World) -> str:
    examination = world.cases.examination(world.has(ScopeKind.EXAMINATION, "their"))
    return f"{examination.searched.searched_ms} {examination.examination_id}"


def their_cohort_moment(world: World) -> str:
    return f"1 {world.has(ScopeKind.COHORT, 'their')}"


def a_moment(rng: random.Random) -> str:
    return f"{time.time_ns() // 1_000_000} {rng.randbytes(8).hex()}"


TRIALS = {"session_id": own(ScopeKind.SESSION)}
IN_CASE = {**SEARCHED, "case_id": own(ScopeKind.CASE)}

LEARNT: list[Row] = [
    *(
        row(f"GalleryService/{name}", "subject_id", their_subject, fresh, "UNKNOWN_SUBJECT", **GALLERY)
        for name in ("GetSubject", "UpdateSubject", "DeleteSubject", "EraseSubject")
    ),
    *(
        row(f"GalleryService/{name}", "template_id", their_template, a_template, "UNKNOWN_TEMPLATE", **GALLERY)
        for name in ("GetTemplate", "DeleteTemplate")
    ),
    row("GalleryService/Search", "filter.subject_ids", their_subject, fresh, "UNKNOWN_SUBJECT", **GALLERY),
    *(
        row(name, "search.filter.subject_ids", their_subject, fresh, "UNKNOWN_SUBJECT", **within)
        for name, within in (("GalleryService/StreamSearch", SEARCHED), ("ReviewService/SearchInCase", IN_CASE))
    ),
    row("ReviewService/SubmitFinding", "template_id", their_template, a_template, "INVALID_FIELD", **FINDING),
    *(
        row(f"TrainingService/{name}", "trial_id", their_trial, fresh, "UNKNOWN_TRIAL", **TRIALS)
        for name in ("SubmitProbe", "SaveDraft", "LockNotes", "SubmitDecision")
    ),
    row("TrainingService/GetReview", "trial_id", their_trial, fresh, "UNKNOWN_TRIAL", code=own(ScopeKind.CODE)),
    *(
        row(f"AccessService/{name}", "key_id", key, a_key, "UNKNOWN_KEY")
        for name in ("RotateKey", "RevokeKey")
        for key in (their_key, auditors_key)
    ),
    *(
        row("AccessService/CreateKey", path, of_theirs(kind), their_missing, "NOT_PERMITTED", roles=OPERATOR)
        for path, kind in (("galleries", ScopeKind.GALLERY), ("courses", ScopeKind.COURSE))
    ),
    row("GalleryService/CreateGallery", "gallery_id", of_theirs(ScopeKind.GALLERY), their_missing, "NOT_PERMITTED"),
    row("ReviewService/OpenCase", "case_reference", their_reference, fresh, "OK", purpose=1),
    listed("ReviewService/ListCases", "cases", their_case_moment, a_moment),
    listed("ReviewService/ListAwaiting", "awaiting", their_examination_moment, a_moment),
    listed("GalleryService/ListGalleries", "galleries", of_theirs(ScopeKind.GALLERY), their_missing),
    listed("GalleryService/ListSubjects", "subjects of 2", their_subject, fresh, "INVALID_PAGE", **GALLERY),
    listed("AccessService/ListKeys", "keys", lambda world: "3", lambda rng: "9999"),
    *(
        row(f"VideoService/{name}", "video_id", their_video, a_video, "UNKNOWN_VIDEO")
        for name in ("AnalyzeVideo", "GetVideo", "ListTracks", "DeleteVideo")
    ),
    row("VideoService/SearchTracks", "video_id", their_video, a_video, "UNKNOWN_VIDEO", **SEARCHED),
    row("ReviewService/SearchInCase", "shot.video_id", their_video, a_video, "UNKNOWN_VIDEO", **IN_CASE),
    row("VideoService/ListTracks", "page_token", lambda world: "1", fresh, "UNKNOWN_VIDEO", video_id=their_video),
    listed("TrainingService/ListCourses", "courses", lambda world: "1 their-course", a_moment),
    listed("TrainingService/ListCohorts", "cohorts ", their_cohort_moment, a_moment),
]
"""Objects that no rule has in its scope."""

ROWS = [
    *(
        of_scope(method.removeprefix("/fr_api.v1."), scoped)
        for method, rule in RULES.items()
        for scoped in rule.scoped
        if scoped.path and not scoped.creates and scoped.path != "learn_from"
    ),
    *LEARNT,
]


def is_decided(name: str, path: str, rows: set[tuple[str, str]]) -> bool:
    last = path.rpartition(".")[2]
    return (
        (name, path) in rows
        or (name, path) in NOT_DIVIDED
        or last in VALUES
        or name.split("/")[0] in WHOLE_SERVER
        or (last == "case_reference" and name != "ReviewService/OpenCase")  # it is written down, as a pseudonym
        or (last == "subject_id" and "Enrol" in name)  # of a new subject of the caller's own gallery
    )


def test_every_field_that_names_an_object_has_a_row() -> None:
    rows = {(one.method, one.path) for one in ROWS}
    inputs = {method.removeprefix("/fr_api.v1."): one.input_type for method, one in METHODS.items()}
    every = {(name, path) for name, message in inputs.items() for path in fields_of(message)}
    assert not [(name, path) for name, path in sorted(every) if not is_decided(name, path, rows)]
    assert rows <= every, "a row of a field that there is not"
    assert {method for method in METHODS if method not in RULES} == set()


def enrol_theirs(world: World) -> None:
    vector = np.zeros(64, np.float32)
    vector[0] = 1.0
    new = Enrolment("their person", NewTemplate(Embedding(frozen_array(vector), NULL_MODEL)))
    world.server.app.galleries.enrol(world.has(ScopeKind.GALLERY, "their"), new)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with guarded(tmp_path_factory.mktemp("foreign"), by_keys) as made:
        enrol_theirs(made)
        yield made


def token_for(world: World, role: Role) -> str:
    galleries = (world.has(ScopeKind.GALLERY, "own"),) if role is Role.TRAINEE else ("own-*",)
    return world.token(role, galleries=galleries)


@pytest.mark.parametrize("role", list(Role))
def test_what_is_somebody_elses_is_answered_as_what_does_not_exist(world: World, role: Role) -> None:
    token, rng = token_for(world, role), random.Random(role)
    for one in ROWS:
        theirs, nobodys = (world.call(token, full(one.method), request) for request in one.make(world, rng))
        assert theirs == nobodys, (one.method, one.path)
        assert reason_of(theirs) != "INTERNAL"
        if role in one.roles & RULES[full(one.method)].roles:
            assert reason_of(theirs) == one.reason, (one.method, one.path)


STAFF = (Role.TRAINEE, Role.TRAINER, Role.OPERATOR, Role.EXAMINER, Role.ADMIN)


class AsTokens:
    """Lets the holder of a key call as somebody of the identity provider; see `Authenticator`."""

    def __init__(self, keys: AccessStore) -> None:
        self._keys = by_keys(keys)

    async def authenticate(self, metadata: Any, peer: str) -> Principal:
        principal = await self._keys.authenticate(metadata, peer)
        return replace(principal, principal_id=f"oidc:{principal.principal_id[4:]:0<16.16}")

    async def close(self) -> None:
        await self._keys.close()


def with_certificate(keys: AccessStore) -> Credentials:
    """Keys are bound to a certificate, which is known once the connection is."""
    return Credentials(keys, None, lambda peer: CERTIFICATE if peer else None)


@pytest.mark.parametrize("known_by", [AsTokens, with_certificate])
def test_so_it_is_for_whoever_calls_with_a_token_or_a_certificate(tmp_path: Path, known_by: Any) -> None:
    with guarded(tmp_path, known_by) as made:
        enrol_theirs(made)
        bound_to = CERTIFICATE if known_by is with_certificate else None
        token, rng = made.token(*STAFF, certificate=bound_to), random.Random(2)
        for one in ROWS:
            theirs, nobodys = (made.call(token, full(one.method), request) for request in one.make(made, rng))
            assert theirs == nobodys, (one.method, one.path)
            assert reason_of(theirs) not in ("INTERNAL", "CREDENTIAL_INVALID"), (one.method, theirs)


@pytest.mark.parametrize("role", list(Role))
def test_what_is_ones_own_is_found(world: World, role: Role) -> None:
    """The control: the same calls on the caller's own objects do not say that they do not exist."""
    token, found = token_for(world, role), 0
    for one in ROWS:
        if one.kind not in set(ScopeKind) or role not in one.roles:
            continue
        kind = ScopeKind(one.kind)
        used_up = METHODS[full(one.method)].name.startswith(("Delete", "Close", "Finish", "Submit"))
        mine = world.add("own") if used_up else world.ids["own"]
        if one.method == "TrainingService/DeleteCourse":
            add_course(store_of(world.server), small_course(course_id="own-doomed"))
            mine = {**mine, ScopeKind.COURSE: "own-doomed"}
        more = own_beside(world, one.method, kind)
        request = request_of(full(one.method), Scoped(kind, one.path), mine[kind], **more)
        how = world.call(token, full(one.method), request)
        assert reason_of(how) not in ("NOT_PERMITTED", "INTERNAL", UNKNOWN[kind]), (one.method, how)
        found += 1
    assert found or role is Role.AUDITOR


TIMED = [one for one in ROWS if one.method not in SLOW and one.kind != "page_token"]  # a place, and so another page
BY_KIND = {kind: [one for one in TIMED if one.kind == kind] for kind in sorted({one.kind for one in TIMED})}


def cpu_s(world: World, token: str, method: str, request: Any) -> float:
    """Seconds of this process that a call takes, of the client and of the server alike, however busy the machine is."""
    began = time.process_time()
    world.call(token, method, request)
    return time.process_time() - began


def more_often(first: list[float], second: list[float]) -> float:
    """The share of pairs of which the first took longer: 1/2 where nothing tells them apart."""
    ties = [1.0 if one > other else 0.5 if one == other else 0.0 for one, other in zip(first, second, strict=True)]
    return sum(ties) / len(ties)


def bound(pairs: int) -> float:
    """The distance from 1/2 that the share of so many pairs exceeds by chance once in 100,000 times (4.4 sigma)."""
    return 4.4 * 0.5 / math.sqrt(pairs)


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_time_does_not_tell_what_is_somebody_elses(world: World, kind: str) -> None:
    token, rng = world.token(*STAFF), random.Random(kind)
    rows = BY_KIND[kind]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(PAIRS):
        one = rows[number % len(rows)]
        requests = one.make(world, rng)
        for which in rng.sample((0, 1), 2):
            times[which].append(cpu_s(world, token, full(one.method), requests[which]))
    assert abs(more_often(*times) - 0.5) < bound(PAIRS), [float(np.median(took)) for took in times]


def test_the_time_would_tell_what_is_found(world: World) -> None:
    """The control: the time reveals a call that finds something."""
    token, rng = world.token(*STAFF), random.Random(1)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(FOUND_PAIRS):
        ids = world.ids["own"][ScopeKind.CASE], missing(rng)[ScopeKind.CASE]
        for which in rng.sample((0, 1), 2):
            request = request_of(full("ReviewService/GetCase"), case_id=ids[which])
            times[which].append(cpu_s(world, token, full("ReviewService/GetCase"), request))
    assert abs(more_often(*times) - 0.5) > bound(FOUND_PAIRS)


def test_nothing_of_what_is_somebody_elses_was_changed(world: World) -> None:
    store, theirs = store_of(world.server), world.ids["their"]
    info = world.server.app.galleries.get(theirs[ScopeKind.GALLERY])
    assert (info.version, info.subject_count) == (2, 1)
    assert store.course("their-course").course_id == "their-course"
    assert store.cohort(theirs[ScopeKind.COHORT]).trainees == 1
    assert store.session(theirs[ScopeKind.SESSION]).paused_ms is None
    case = world.cases.case(theirs[ScopeKind.CASE])
    assert (case.closed_ms, case.examinations) == (None, 1)
    assert not world.cases.examination(theirs[ScopeKind.EXAMINATION]).findings
