"""Enrolling many photos: one after another, each with what became of it."""

import asyncio
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2, gallery_pb2, recognition_pb2, server_pb2
from fr_client.errors import NOT_BEGUN, FrApiError
from fr_locales.messages import Message, message
from fr_web.console.forms import Part
from fr_web.console.views.galleries import read_gallery
from fr_web.console.visit import Screen, Visit
from fr_web.console.words import QUALITY

_ENROLS = frozenset({access_pb2.ROLE_OPERATOR})
_MOST_PHOTOS = 1_000
_MOST_WAITS, _LONGEST_WAIT_S = 5, 5.0
# Refusals that end the whole form, not one photo alone.
_OF_ALL = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE)
_POLICIES: Mapping[int, Message] = {
    common_pb2.SEVERAL_FACES_POLICY_PROMINENT: message("console.enrol.prominent"),
    common_pb2.SEVERAL_FACES_POLICY_LARGEST: message("console.enrol.largest"),
    common_pb2.SEVERAL_FACES_POLICY_ERROR: message("console.enrol.several"),
}


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Photos to enrol: `each` makes a subject of each file's name, else all of them are of `subject`."""

    subject: str = ""
    each: int = 1
    several_faces: int = common_pb2.SEVERAL_FACES_POLICY_PROMINENT
    reports_similar: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a photo: enrolled for its subject, or refused with the server's words; and what to look at."""

    file: str
    subject: str = ""
    refused: str = ""
    hints: tuple[str, ...] = ()
    similar: tuple[str, ...] = ()  # subjects


async def form(visit: Visit) -> Response:
    """Show the form."""
    return await _form(visit, Enrolment(subject=visit.query("subject"), each=0 if visit.query("subject") else 1))


async def enrol(visit: Visit) -> Response:
    """Enrol photos one by one, as they come; a program of the page sends one, and gets what became of it as JSON."""
    assert visit.files is not None
    wanted = visit.form(Enrolment)
    done: list[Outcome] = []
    error = None
    try:
        if not wanted.each and not wanted.subject:
            raise visit.invalid(message("console.enrol.no_subject"), "subject")
        if wanted.several_faces not in _POLICIES:
            raise visit.invalid(message("console.enrol.no_policy"), "several_faces")
        await _enrol_all(visit, wanted, done)
        if not done:
            raise visit.invalid(message("console.search.no_photo"), "photo")
    except FrApiError as refusal:  # what was done before is done, and is told too
        error = refusal
        async for _ in visit.files:
            pass  # a browser shows no answer that comes before it has sent everything
    if not _wants_page(visit):
        if error is not None:
            raise error
        return Response(json.dumps(asdict(done[0])), media_type="application/json")
    if error is not None and not done:
        return await _form(visit, wanted, error)
    refused = sum(1 for one in done if one.refused)
    return visit.page(
        "enrol_done.html",
        error,
        done=done,
        enrolled=len(done) - refused,
        refused=refused,
        gallery_id=visit.path["gallery"],
    )


async def _enrol_all(visit: Visit, wanted: Enrolment, done: list[Outcome]) -> None:
    """Enrol the photos as they come, and add what became of each; raises `FrApiError` for what ends all."""
    assert visit.files is not None
    async for part in visit.files:
        if part.name != "photo" or not (part.file or part.content):
            continue
        if len(done) == _MOST_PHOTOS:
            raise visit.invalid(message("console.enrol.too_many", most=_MOST_PHOTOS), "photo")
        done.append(await _outcome(visit, wanted, part))


async def _outcome(visit: Visit, wanted: Enrolment, part: Part) -> Outcome:
    """Enrol one photo; raises `FrApiError` for what ends all."""
    file = part.file or ""
    subject = _subject_of(file) if wanted.each else wanted.subject
    if part.is_too_large:
        return Outcome(file, subject, visit.text(message("console.enrol.too_large")))
    if not part.content:
        return Outcome(file, subject, visit.text(message("console.enrol.empty")))
    request = gallery_pb2.EnrolRequest(
        gallery_id=visit.path["gallery"],
        subject_id=subject,
        face=recognition_pb2.Probe(image=common_pb2.Image(data=part.content)),
        several_faces=common_pb2.SeveralFacesPolicy.ValueType(wanted.several_faces),
        report_similar=wanted.reports_similar,
    )
    try:
        stored = await _patiently(visit, request)
    except FrApiError as error:
        if error.code in _OF_ALL or error.reason == "UNKNOWN_GALLERY":
            raise
        return Outcome(file, subject, error.message)
    hints = [visit.text(QUALITY[reason]) for reason in stored.face.quality.reasons if reason in QUALITY]
    if stored.choice.faces > 1:
        choice = message("console.leads.choice", number=stored.choice.number, faces=stored.choice.faces)
        hints.append(visit.text(choice))
    if stored.similar_unknown:
        hints.append(visit.text(message("console.enrol.similar_unknown")))
    return Outcome(file, stored.subject_id, "", tuple(hints), tuple(one.subject_id for one in stored.similar))


async def _patiently(visit: Visit, request: gallery_pb2.EnrolRequest) -> gallery_pb2.EnrolResponse:
    """Enrol, and wait while the server has too much to do; raises `FrApiError`."""
    for _ in range(_MOST_WAITS):
        try:
            return await visit.ask(request, gallery_pb2.EnrolResponse)
        except FrApiError as error:
            if error.reason not in NOT_BEGUN or (error.retry_after_s or 0.0) > _LONGEST_WAIT_S:
                raise
            await asyncio.sleep(error.retry_after_s or 1.0)
    return await visit.ask(request, gallery_pb2.EnrolResponse)


def _subject_of(file: str) -> str:
    """Return the name of a file without its ending: "Ada Roe.jpeg" is of "Ada Roe"."""
    stem, _, ending = file.rpartition(".")
    return unicodedata.normalize("NFC", (stem or ending).strip())


def _wants_page(visit: Visit) -> bool:
    return "text/html" in visit.request.headers.get("accept", "")


async def _form(visit: Visit, form: Enrolment, error: FrApiError | None = None) -> Response:
    limits = (await visit.ask(server_pb2.GetServerInfoRequest(), server_pb2.GetServerInfoResponse)).limits
    return visit.page(
        "enrol.html",
        error,
        gallery=await read_gallery(visit),
        form=form,
        formats=", ".join(limits.image_formats),
        most_mib=limits.max_image_bytes >> 20,
        policies=_POLICIES,
    )


SCREENS = (
    Screen("/galleries/{gallery}/enrol", form, roles=_ENROLS),
    Screen("/galleries/{gallery}/enrol", enrol, method="POST", roles=_ENROLS, streams=True),
)
