"""Cases: the list, a case with its examinations and what happened to it, a search in it, its evidence, its end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from fr_api.v1 import access_pb2, audit_pb2, common_pb2, gallery_pb2, review_pb2, video_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.addresses import embedded
from fr_web.console.forms import duration_of
from fr_web.console.sessions import Purpose
from fr_web.console.views.footage_tracks import number_of, read_shot
from fr_web.console.views.galleries import list_galleries, name_of
from fr_web.console.visit import MOST_LISTED, ON_A_PAGE, Screen, Visit
from fr_web.console.words import PURPOSES

SEES = frozenset({access_pb2.ROLE_OPERATOR, access_pb2.ROLE_EXAMINER})
KEEPS = frozenset({access_pb2.ROLE_OPERATOR})
_CHECKS = frozenset({access_pb2.ROLE_AUDITOR})
# A case for these is an exercise: its pages say so.
EXERCISES = frozenset({common_pb2.PURPOSE_TRAINING, common_pb2.PURPOSE_TESTING})
OF_CASES: Mapping[Purpose, Message] = {
    value: words for value, words in PURPOSES.items() if value != common_pb2.PURPOSE_GALLERY_MAINTENANCE
}
STATES: Mapping[int, Message] = {
    review_pb2.EXAMINATION_STATE_AWAITING_FIRST: message("console.examination.awaiting_first"),
    review_pb2.EXAMINATION_STATE_AWAITING_SECOND: message("console.examination.awaiting_second"),
    review_pb2.EXAMINATION_STATE_DISPUTED: message("console.examination.disputed"),
    review_pb2.EXAMINATION_STATE_CONCLUDED: message("console.examination.concluded"),
    review_pb2.EXAMINATION_STATE_AWAITING_FINDING: message("console.examination.awaiting_finding"),
}
FINDINGS: Mapping[int, Message] = {
    review_pb2.FINDING_KIND_POTENTIAL_CANDIDATE: message("console.finding.potential_candidate"),
    review_pb2.FINDING_KIND_NO_CANDIDATE: message("console.finding.no_candidate"),
    review_pb2.FINDING_KIND_INCONCLUSIVE: message("console.finding.inconclusive"),
}
# The chains of the audit that name cases: what changed them, the searches, and who read them.
_CHAINS = ("cases", "galleries", "access")


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case to open; `retention_days` is 0 for no limit."""

    case_reference: str = ""
    purpose: int = 0
    retention_days: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search in a case, and the notes on the probe, which come first.

    The probe is a photo, or the best shot `shot` of a track of footage; the first one is 1.
    `false_leads` is how many in a hundred searches for strangers may give a lead, 0 for the threshold of the model.
    """

    gallery: str = ""
    photo: bytes = b""
    video: str = ""
    track: int = 0
    shot: int = 0
    notes: str = ""
    candidates: int = 5
    false_leads: int = 0


async def _read_case(visit: Visit) -> review_pb2.Case:
    request = review_pb2.GetCaseRequest(case_id=visit.path["case"])
    return (await visit.ask(request, review_pb2.GetCaseResponse)).case


async def read_examination(visit: Visit, examination_id: str) -> review_pb2.Examination:
    """Return an examination; raises `FrApiError`."""
    request = review_pb2.GetExaminationRequest(examination_id=examination_id)
    return (await visit.ask(request, review_pb2.GetExaminationResponse)).examination


def is_blind(found: review_pb2.Examination) -> bool:
    """Return whether the server hides ranks from the caller, whose finding the examination waits for."""
    return any(not one.rank for one in found.candidates)


async def cases(visit: Visit) -> Response:
    """List the cases that the visitor may know of."""
    return await _cases(visit, NewCase())


async def _cases(visit: Visit, form: NewCase, error: FrApiError | None = None) -> Response:
    request = review_pb2.ListCasesRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, review_pb2.ListCasesResponse)
    return visit.page(
        "examiner_cases.html",
        error,
        found=found,
        form=form,
        case_purposes=OF_CASES,
        exercises=EXERCISES,
        may_open=bool(visit.who.roles & KEEPS),
    )


async def open_case(visit: Visit) -> Response:
    """Open a case."""
    form = NewCase()
    try:
        form = visit.form(NewCase)
        if form.purpose not in OF_CASES:
            raise visit.invalid(message("console.purpose.unknown"), "purpose")
        request = review_pb2.OpenCaseRequest(
            case_reference=form.case_reference,
            purpose=common_pb2.Purpose.ValueType(form.purpose),
            retention=duration_of(form.retention_days),
        )
        opened = await visit.ask(request, review_pb2.OpenCaseResponse)
    except FrApiError as error:
        return await _cases(visit, form, error)
    return visit.go(f"/cases/{opened.case.case_id}")


async def case(visit: Visit) -> Response:
    """Show a case, what happened to it, and what can be done with it."""
    found = await _read_case(visit)
    concluded = review_pb2.EXAMINATION_STATE_CONCLUDED
    return visit.page(
        "examiner_case.html",
        case=found,
        states=STATES,
        findings=FINDINGS,
        waiting=sum(one.state != concluded for one in found.examinations),
        exercise=found.purpose in EXERCISES,
        may_keep=bool(visit.who.roles & KEEPS),
        may_check=bool(visit.who.roles & _CHECKS),
    )


async def close(visit: Visit) -> Response:
    """Close a case: it takes no more searches."""
    visit.require_sure()
    case_id = visit.path["case"]
    await visit.ask(review_pb2.CloseCaseRequest(case_id=case_id), review_pb2.CloseCaseResponse)
    return visit.go(f"/cases/{case_id}")


async def search(visit: Visit) -> Response:
    """Show the form of a search in a case: the probe and notes on it come first."""
    track, shot = (number_of(visit.query(name)) for name in ("track", "shot"))
    return await _search(visit, Wanted(visit.query("gallery"), b"", visit.query("video"), track, shot))


async def _search(visit: Visit, form: Wanted, error: FrApiError | None = None) -> Response:
    found = await _read_case(visit)
    kept = await list_galleries(visit)
    bare = visit.text(message("console.case.no_photos"))
    galleries = {one.gallery_id: name_of(one) + ("" if one.keeps_photos else f" ({bare})") for one in kept}
    return visit.page(
        "examiner_search.html",
        error,
        case=found,
        exercise=found.purpose in EXERCISES,
        galleries=galleries,
        form=form,
        shot=embedded(await read_shot(visit, _shot(form))) if form.video else "",
    )


def _shot(form: Wanted) -> video_pb2.VideoShot:
    return video_pb2.VideoShot(video_id=form.video, track=max(form.track, 0), place=max(form.shot, 0))


async def run(visit: Visit) -> Response:
    """Search in a case, and show the leads; the server keeps the probe and the list for examiners."""
    case_id, form = visit.path["case"], Wanted()
    try:
        form = visit.form(Wanted)
        if not form.photo and not form.video:
            raise visit.invalid(message("console.search.no_photo"), "photo")
        if not form.notes:
            raise visit.invalid(message("console.case.no_notes"), "notes")
        sought = gallery_pb2.SearchRequest(gallery_id=form.gallery, top_k=max(form.candidates, 0))
        if form.false_leads:
            sought.target_fpir = form.false_leads / 100
        request = review_pb2.SearchInCaseRequest(case_id=case_id, search=sought)
        if form.video:
            request.shot.CopyFrom(_shot(form))
        else:
            request.search.probe.image.data = form.photo
        answer = await visit.ask(request, review_pb2.SearchInCaseResponse)
    except FrApiError as error:
        return await _search(visit, form, error)
    kept = await read_examination(visit, answer.examination.examination_id)
    photos = {one.template_id: embedded(one.photo.data) for one in kept.candidates if one.HasField("photo")}
    return visit.page(
        "examiner_leads.html",
        found=answer.found,
        examination=kept,
        exercise=kept.purpose in EXERCISES,
        notes=form.notes,
        probe=embedded(form.photo or kept.probe.data),
        photos=photos,
        states=STATES,
        is_blind=is_blind(kept),
    )


async def evidence(visit: Visit) -> Response:
    """Send the evidence of a case as a file, piece by piece; a refusal comes before the first one, as a page."""
    request = review_pb2.ExportEvidenceRequest(
        case_id=visit.path["case"], include_unfinished=bool(visit.query("unfinished"))
    )
    pieces = visit.each(request, review_pb2.ExportEvidenceResponse)
    # The server knows the case, so that its id is one that it made.
    return await visit.file(f"case-{visit.path['case']}.zip", "application/zip", (one.data async for one in pieces))


async def custody(visit: Visit) -> Response:
    """Show what the audit has of a case, by its reference, from the oldest record on."""
    reference, more = visit.query("reference"), False
    rows: list[tuple[int, str, audit_pb2.AuditRecord, dict[str, Any]]] = []
    for chain in _CHAINS if reference else ():
        request = audit_pb2.SearchAuditRequest(chain=chain, case_reference=reference, page_size=MOST_LISTED)
        found = await visit.ask(request, audit_pb2.SearchAuditResponse)
        more = more or bool(found.next_page_token)
        rows += [(one.time.ToNanoseconds(), chain, one, json.loads(one.json)) for one in found.records]
    rows.sort(key=lambda one: (one[0], _CHAINS.index(one[1]), one[2].seq))
    is_known = any(chain == _CHAINS[0] for _, chain, _, _ in rows)
    return visit.page("examiner_custody.html", reference=reference, rows=rows, more=more, is_known=is_known)


SCREENS = (
    Screen("/cases", cases, roles=SEES, nav=message("console.nav.cases"), about=message("console.about.cases")),
    Screen("/cases", open_case, method="POST", roles=KEEPS),
    Screen("/cases/{case}", case, roles=SEES),
    Screen("/cases/{case}/close", close, method="POST", roles=KEEPS),
    Screen("/cases/{case}/search", search, roles=KEEPS),
    Screen("/cases/{case}/search", run, method="POST", roles=KEEPS, takes_file=True),
    Screen("/cases/{case}/evidence", evidence, roles=KEEPS),
    Screen(
        "/custody", custody, roles=_CHECKS, nav=message("console.nav.custody"), about=message("console.about.custody")
    ),
)
