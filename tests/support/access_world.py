"""Sets up a server with a guard, and with objects of the caller and of others, to call every method on."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from fr_api.v1 import common_pb2, recognition_pb2, review_pb2, training_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.values import GalleryUse
from fr_core.storage.keys import KeyEncryptionKey
from fr_server.app import SERVICES, App
from fr_server.authz.authenticate import Authenticator, Credentials
from fr_server.authz.record import Ended
from fr_server.authz.rules import Rule, Scoped, ScopeKind
from fr_server.authz.table import RULES
from fr_server.rpc.interceptors.guard import Guard
from fr_server.telemetry.trust import Trust
from fr_training.courses import Course
from fr_training.store.codes import new_code
from fr_trust.access.budget import UNLIMITED, Budget
from fr_trust.access.budgets import Budgets
from fr_trust.access.keys import NewKey
from fr_trust.access.principal import Role, Scope
from fr_trust.access.store import AccessStore
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Purpose
from support.callers import METHODS, PATIENCE_S
from support.cases import SEARCHER, a_search, noise, some_candidates
from support.courses import store_of
from support.servers import Running, ended, photo, running
from support.training_stores import add_course, begin, small_course

DAY_MS = 86_400_000
NO_RULE = "/fr_api.v1.GalleryService/GetSubject"
PLENTY = UNLIMITED
CERTIFICATE = "c" * 64
DEADLINE_EXCEEDED, UNAUTHENTICATED = 4, 16


class Kept:
    def __init__(self) -> None:
        self.ended: list[Ended] = []

    async def record(self, *ended: Ended) -> None:
        self.ended += ended

    def of(self, action: str) -> list[Ended]:
        return [one for one in list(self.ended) if one.action == action]

    def wait_for(self, action: str, number: int = 1, most_s: float = 5.0) -> list[Ended]:
        until = time.monotonic() + most_s
        while len(self.of(action)) < number and time.monotonic() < until:
            time.sleep(0.002)
        return self.of(action)


@dataclass
class World:
    server: Running
    keys: AccessStore
    kept: Kept
    courses: dict[str, Course] = field(default_factory=dict)
    ids: dict[str, dict[ScopeKind, str]] = field(default_factory=dict)
    tokens: dict[Any, str] = field(default_factory=dict)

    def token(
        self,
        *roles: Role,
        galleries: tuple[str, ...] = ("own-*",),
        courses: tuple[str, ...] = ("own-*",),
        budget: Budget = PLENTY,
        certificate: str | None = None,
        lifetime_ms: int | None = None,
    ) -> str:
        asked = (roles, galleries, courses, budget, certificate, lifetime_ms)
        if asked not in self.tokens or budget is not PLENTY:
            new = NewKey("", frozenset(roles), Scope(galleries), Scope(courses), budget, lifetime_ms, certificate)
            self.tokens[asked] = self.keys.create(new).token.text
        return self.tokens[asked]

    def call(self, token: str | None, method: str, *requests: Any, **options: Any) -> tuple[Any, ...]:
        return called(self.server.channel, token, method, *requests, **options)[0]

    def has(self, kind: ScopeKind, whose: str) -> str:
        return self.ids[whose][kind]

    def add(self, whose: str) -> dict[ScopeKind, str]:
        number = len(self.ids)
        gallery_id = f"{whose}-{number}"
        self.server.app.galleries.create(gallery_id, "", NULL_MODEL, 64, None, None, False, GalleryUse.TEST)
        store, course = store_of(self.server), self.courses[whose]
        cohort, enrolled = store.create_cohort(course.course_id, "", 1, DAY_MS)
        (session,) = begin(store, course, enrolled)
        case = self.cases.open_case(gallery_id, Purpose.TESTING, SEARCHER)
        searched, probe = a_search(noise(number), gallery_id=gallery_id), noise(number)
        examination = self.cases.add_examination(case.case_id, searched, some_candidates(), probe)
        self.ids[f"{whose} {number}"] = made = {
            ScopeKind.GALLERY: gallery_id,
            ScopeKind.COURSE: course.course_id,
            ScopeKind.COHORT: cohort.cohort_id,
            ScopeKind.TRAINEE: enrolled[0].trainee_id,
            ScopeKind.CODE: enrolled[0].code,
            ScopeKind.SESSION: session.session_id,
            ScopeKind.CASE: case.case_id,
            ScopeKind.EXAMINATION: examination.examination_id,
        }
        self.ids.setdefault(whose, made)
        return made

    @property
    def cases(self) -> CaseStore:
        return self.server.stores.cases

    def add_course(self, whose: str, name: str) -> None:
        self.courses[whose] = course = small_course(course_id=name)
        add_course(store_of(self.server), course)


def missing(rng: random.Random) -> dict[ScopeKind, str]:
    digits = rng.randbytes(8).hex()
    return {
        ScopeKind.GALLERY: f"own-{digits}",
        ScopeKind.COURSE: f"own-{digits}",
        ScopeKind.COHORT: digits,
        ScopeKind.TRAINEE: f"T-{digits[:8].upper()}",
        ScopeKind.CODE: new_code(rng.randbytes),
        ScopeKind.SESSION: rng.randbytes(16).hex(),
        ScopeKind.CASE: digits,
        ScopeKind.EXAMINATION: digits,
    }


UNKNOWN = {kind: f"UNKNOWN_{kind.name}" for kind in ScopeKind} | {ScopeKind.CODE: "UNKNOWN_TRAINEE"}


def called(
    channel: grpc.Channel, token: str | None, method: str, *requests: Any, raw: bytes | None = None, **options: Any
) -> tuple[tuple[Any, ...], list[Any], float]:
    """Call any method; return how it ended, the answers, and how many seconds it took.

    How it ended: "OK", or all that a refusal tells.
    """
    described = METHODS[method]
    answer = GetMessageClass(described.output_type)
    metadata = [*options.pop("metadata", [])]
    if token is not None:
        metadata.append(("authorization", f"Bearer {token}"))
    serialize = (lambda _: raw) if raw is not None else (lambda request: request.SerializeToString())
    kind = (
        f"{'stream' if described.client_streaming else 'unary'}_{'stream' if described.server_streaming else 'unary'}"
    )
    stub = getattr(channel, kind)(method, serialize, answer.FromString)
    began = time.perf_counter()
    answers: list[Any] = []
    try:
        if kind == "unary_unary":
            answers = [stub(requests[0], metadata=metadata, timeout=PATIENCE_S)]
        else:
            running_call = stub(
                iter(requests) if described.client_streaming else requests[0], metadata=metadata, timeout=PATIENCE_S
            )
            for one in running_call:
                answers.append(one)
                if described.name == "WatchCohort":
                    running_call.cancel()
                    break
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED):
            return (error.code().name,), answers, time.perf_counter() - began
        told = ended(error)
        pairs: Any = error.trailing_metadata() or ()
        assert {key for key, _ in pairs} == {"grpc-status-details-bin", "x-request-id"}
        trailing = tuple(sorted(pair for pair in pairs if pair[0] != "x-request-id"))
        how: tuple[Any, ...] = (
            told.code.name,
            told.info.reason,
            told.status.message,
            dict(told.info.metadata),
            trailing,
        )
        return how, answers, time.perf_counter() - began
    took = time.perf_counter() - began
    refused = [one.refusal for one in answers if described.client_streaming and one.HasField("refusal")]
    if refused:
        reason = type(refused[0]).DESCRIPTOR.fields_by_name["reason"].enum_type.values_by_number[refused[0].reason]
        name = reason.name.removeprefix("ERROR_REASON_")
        return ("ITEM", name, refused[0].message, dict(refused[0].metadata)), answers, took
    return ("OK",), answers, took


def reason_of(how: tuple[Any, ...]) -> str:
    return str(how[0] if len(how) == 1 else how[1])


def request_of(method: str, scoped: Scoped | None = None, resource_id: str = "", **fields: Any) -> Any:
    request: Any = GetMessageClass(METHODS[method].input_type)()
    if METHODS[method].client_streaming:
        request.item_id = "1"
    if scoped is not None and scoped.path:
        fields = {**fields, scoped.path: resource_id}
    for path, value in fields.items():
        *way, name = path.split(".")
        holder: Any = request
        for step in way:
            holder = getattr(holder, step)
        if holder.DESCRIPTOR.fields_by_name[name].is_repeated:
            getattr(holder, name).extend(value if isinstance(value, list) else [value])
        elif isinstance(value, Message):
            getattr(holder, name).CopyFrom(value)
        else:
            setattr(holder, name, value)
    return request


@contextmanager
def guarded(
    folder: Path, authenticator: Callable[[AccessStore], Authenticator], rules: Any = RULES, **sections: Any
) -> Iterator[World]:
    kept = Kept()
    with ExitStack() as stack:
        keys = stack.enter_context(
            AccessStore.open(folder / "access", KeyEncryptionKey(bytes(32)), lambda: time.time_ns() // 1_000_000)
        )
        budgets = Budgets(time.monotonic, lambda: time.time_ns() // 1_000_000)
        guard = Guard(authenticator(keys), budgets, kept, Trust(), rules=rules)
        stack.enter_context(patch("support.servers.App", partial(App, guard=guard)))
        server = stack.enter_context(running(folder / "data", **sections))
        world = World(server, keys, kept)
        world.add_course("own", "own-course")
        world.add_course("their", "their-course")
        world.add("own")
        world.add("their")
        yield world


def by_keys(keys: AccessStore) -> Credentials:
    return Credentials(keys, None, lambda peer: None)


def served(method: str) -> bool:
    return METHODS[method].containing_service.full_name in SERVICES


def variants(method: str) -> list[Scoped | None]:
    return [scoped for scoped in RULES[method].scoped if not scoped.creates] or [None]


def allowed(rule: Rule, role: Role, scoped: Scoped | None) -> bool:
    fields = {variant.field: scoped is not None and scoped.path == variant.field for variant in rule.variants}
    return role in rule.roles_of(fields)


PHOTO = recognition_pb2.Probe(image=common_pb2.Image(data=photo(10)))
# Beside the id: what a call needs to come to look for what it names.
WHOLE: dict[str, dict[str, Any]] = {
    "GalleryService/UpdateGallery": {"update_mask": FieldMask(paths=["display_name"])},
    "GalleryService/Search": {"probe": PHOTO},
    "GalleryService/StreamSearch": {"search.probe": PHOTO},
    "GalleryService/Enrol": {"subject_id": "s", "face": PHOTO},
    "GalleryService/StreamEnrol": {"enrol.subject_id": "s", "enrol.face": PHOTO},
    "GalleryService/StreamEnrolEmbeddings": {"enrol.vectors": bytes(4)},
    "GalleryService/GetTemplate": {"template_id": 1},
    "GalleryService/DeleteTemplate": {"template_id": 1},
    "GalleryService/GetSubject": {"subject_id": "s"},
    "GalleryService/DeleteSubject": {"subject_id": "s"},
    "GalleryService/EraseSubject": {"subject_id": "s"},
    "GalleryService/UpdateSubject": {"subject_id": "s", "update_mask": FieldMask(paths=["display_name"])},
    "ReviewService/SearchInCase": {"search.probe": PHOTO},
    "ReviewService/SubmitFinding": {"kind": review_pb2.FINDING_KIND_NO_CANDIDATE},
    "ReviewService/ExportEvidence": {"include_unfinished": True},
    "VideoService/SearchTracks": {"tracks": [1]},
    "VideoService/WatchStream": {
        "purpose": common_pb2.PURPOSE_INVESTIGATION,
        "case_reference": "A 1",
        "false_leads_per_day": 1,
        "tracks_per_day": 1,
    },
    "TrainingService/SetProbeKey": {"image_sha256": "0" * 64, "absent": True},
    "TrainingService/CreateCohort": {"trainees": 1},
    "TrainingService/AddTrainees": {"trainees": 1},
    "TrainingService/JoinFromPlatform": {"issuer": "https://lms.example", "client_id": "1", "subject": "someone"},
    "TrainingService/SetSittingClosed": {"sitting": "day-1"},
    "TrainingService/ExtendTime": {"more": Duration(seconds=60)},
    "TrainingService/ReleaseItems": {"block_ids": ["triads"], "before_all_finished": True},
    "TrainingService/GetClassItem": {"item_id": "0" * 16},
    "TrainingService/SaveDraft": {"trial_id": "t"},
    "TrainingService/GetReview": {"trial_id": "t"},
    "TrainingService/GetSittingScore": {"sitting": "day-1"},
    "TrainingService/StartSession": {"sitting": "day-1", "consent": True},
    "TrainingService/SubmitProbe": {"trial_id": "t", "image": PHOTO.image},
    "TrainingService/LockNotes": {"trial_id": "t", "notes": "A red square."},
    "TrainingService/SubmitDecision": {"trial_id": "t", "step": 1, "rating": training_pb2.PairRating(rating=1)},
    "TrainingService/ExportResults": {"format": training_pb2.EXPORT_FORMAT_CSV},
}
# What else a call names comes before what it names here, and is there.
BESIDE = {
    ("TrainingService/ExtendTime", ScopeKind.TRAINEE): ("cohort_id", ScopeKind.COHORT),
    ("ReviewService/SearchInCase", ScopeKind.GALLERY): ("case_id", ScopeKind.CASE),
    ("ReviewService/SearchInCase", ScopeKind.CASE): ("search.gallery_id", ScopeKind.GALLERY),
}
