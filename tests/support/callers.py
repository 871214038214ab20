"""Callers of every role, each with a key, on a server that asks who calls; and the methods that they may call."""

from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from fr_api.v1 import (
    access_pb2,
    access_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    common_pb2,
    evaluation_pb2,
    gallery_pb2,
    gallery_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    training_pb2,
    training_pb2_grpc,
    video_pb2,
    video_pb2_grpc,
)
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.values import GalleryUse
from fr_server.storage.opening import Stores
from fr_trust.access.budget import UNLIMITED, Budget
from fr_trust.access.keys import NewKey
from fr_trust.access.principal import Role, Scope
from support.courses import Clock
from support.servers import Running, ended, photo, refusal_of, running

BLUES = (10, 40, 90, 160)  # of the faces that `Staffed.gallery` enrols; the similarities of any two are far from 1
PROBE = photo(BLUES[0])
PATIENCE_S = 120.0  # for an answer, however busy the machine is
POTENTIAL, NONE, UNSURE = (
    review_pb2.FINDING_KIND_POTENTIAL_CANDIDATE,
    review_pb2.FINDING_KIND_NO_CANDIDATE,
    review_pb2.FINDING_KIND_INCONCLUSIVE,
)


class _Details(
    namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")),
    grpc.ClientCallDetails,
):
    pass


class _Sends(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    def _call(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), ("authorization", f"Bearer {self._token}"))
        return continuation(
            _Details(details.method, details.timeout or PATIENCE_S, metadata, details.credentials, None, None), request
        )

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = _call  # type: ignore[assignment]


class Caller:
    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self.channel = channel
        self.token = token
        self.principal_id = f"key:{token.partition('.')[0]}"
        sends = grpc.intercept_channel(channel, _Sends(token)) if token else channel
        self.access = access_pb2_grpc.AccessServiceStub(sends)
        self.audit = audit_pb2_grpc.AuditServiceStub(sends)
        self.gallery = gallery_pb2_grpc.GalleryServiceStub(sends)
        self.recognition = recognition_pb2_grpc.RecognitionServiceStub(sends)
        self.review = review_pb2_grpc.ReviewServiceStub(sends)
        self.server = server_pb2_grpc.ServerServiceStub(sends)
        self.training = training_pb2_grpc.TrainingServiceStub(sends)
        self.video = video_pb2_grpc.VideoServiceStub(sends)

    def examination(self, examination_id: str) -> review_pb2.Examination:
        return self.review.GetExamination(review_pb2.GetExaminationRequest(examination_id=examination_id)).examination

    def finds(self, examination_id: str, kind: review_pb2.FindingKind.ValueType, **more: Any) -> review_pb2.Examination:
        request = review_pb2.SubmitFindingRequest(examination_id=examination_id, kind=kind, **more)
        return self.review.SubmitFinding(request).examination

    def opens(self, reference: str, purpose: common_pb2.Purpose.ValueType = common_pb2.PURPOSE_INVESTIGATION) -> str:
        request = review_pb2.OpenCaseRequest(case_reference=reference, purpose=purpose)
        return str(self.review.OpenCase(request).case.case_id)

    def searches(self, case_id: str, gallery_id: str, **more: Any) -> review_pb2.SearchInCaseResponse:
        return self.review.SearchInCase(in_case(case_id, gallery_id, **more))

    def exports(self, case_id: str, unfinished: bool = False) -> bytes:
        request = review_pb2.ExportEvidenceRequest(case_id=case_id, include_unfinished=unfinished)
        return b"".join(piece.data for piece in self.review.ExportEvidence(request))


def in_case(case_id: str, gallery_id: str, probe: bytes = PROBE, **more: Any) -> review_pb2.SearchInCaseRequest:
    sent = recognition_pb2.Probe(image=common_pb2.Image(data=probe))
    search = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=sent, **more)
    return review_pb2.SearchInCaseRequest(case_id=case_id, search=search)


@dataclass
class Staffed:
    server: Running
    clock: Clock
    keys: dict[Any, Caller] = field(default_factory=dict)

    @property
    def stores(self) -> Stores:
        return self.server.stores

    def caller(
        self,
        *roles: Role,
        number: int = 1,
        galleries: tuple[str, ...] = ("*",),
        courses: tuple[str, ...] = ("*",),
        budget: Budget = UNLIMITED,
        lifetime_ms: int | None = None,
        certificate: str | None = None,
    ) -> Caller:
        asked = (roles, number, galleries, courses, budget, lifetime_ms, certificate)
        if asked not in self.keys:
            new = NewKey("", frozenset(roles), Scope(galleries), Scope(courses), budget, lifetime_ms, certificate)
            self.keys[asked] = Caller(self.server.channel, self.stores.access.create(new).token.text)
        return self.keys[asked]

    @property
    def operator(self) -> Caller:
        return self.caller(Role.OPERATOR)

    @property
    def auditor(self) -> Caller:
        return self.caller(Role.AUDITOR)

    @property
    def admin(self) -> Caller:
        return self.caller(Role.ADMIN)

    @property
    def everybody(self) -> Caller:
        """Somebody with all roles but the trainee's."""
        return self.caller(*(set(Role) - {Role.TRAINEE}))

    def examiner(self, number: int) -> Caller:
        return self.caller(Role.EXAMINER, number=number)

    def gallery(self, gallery_id: str, *, operational: bool = True, photos: bool = True, people: int = 4) -> None:
        """Make a gallery of so many people, "one of GALLERY" and so on."""
        use = GalleryUse.OPERATIONAL if operational else GalleryUse.TEST
        self.server.app.galleries.create(gallery_id, "", NULL_MODEL, 64, None, None, photos, use)
        for blue in BLUES[:people]:
            self.enrol(gallery_id, f"{gallery_id} {blue}", blue)

    def enrol(self, gallery_id: str, subject_id: str, blue: int, name: str = "", **metadata: str) -> None:
        face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(blue)))
        request = gallery_pb2.EnrolRequest(
            gallery_id=gallery_id, subject_id=subject_id, display_name=name, metadata=metadata, face=face
        )
        self.operator.gallery.Enrol(request)


def reason_of(call: Callable[[], Any]) -> str:
    """Return why a call is refused, "OK" where it is not; a stream is read to its end."""
    try:
        answer = call()
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        told = ended(error)
        assert told.status.message
        return str(told.info.reason)
    return "OK"


def how(call: Callable[[], Any]) -> tuple[Any, ...]:
    """All of a refusal but its request id: status, reason, sentence, metadata."""
    told = refusal_of(call)
    return told.code, told.info.reason, told.status.message, dict(told.info.metadata)


def paged(method: Callable[[Any], Any], request: Any, name: str) -> list[Any]:
    """Return what a list holds, page by page; every page but the last must be full."""
    found: list[Any] = []
    while True:
        page = method(request)
        found += getattr(page, name)
        if not page.next_page_token:
            return found
        assert not request.page_size or len(getattr(page, name)) == request.page_size
        request.page_token = page.next_page_token


@contextmanager
def staffed(folder: Path, **sections: Any) -> Iterator[Staffed]:
    clock = Clock()
    with running(folder, clock=clock, **{"access": {"mode": "keys"}, **sections}) as server:
        yield Staffed(server, clock)


_APIS = (
    access_pb2,
    audit_pb2,
    evaluation_pb2,
    gallery_pb2,
    recognition_pb2,
    review_pb2,
    server_pb2,
    training_pb2,
    video_pb2,
)
FILES: tuple[FileDescriptor, ...] = tuple(module.DESCRIPTOR for module in _APIS)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
}
