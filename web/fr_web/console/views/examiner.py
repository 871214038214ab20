"""Examinations: the queue, the probe alone, each candidate beside it, and one finding; blind until it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2, recognition_pb2, review_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.addresses import embedded
from fr_web.console.views.examiner_cases import EXERCISES, FINDINGS, SEES, STATES, is_blind, read_examination
from fr_web.console.views.looks import Landmarks, landmarks_of
from fr_web.console.visit import MOST_LISTED, ON_A_PAGE, Screen, Visit
from fr_web.errors import refused
from fr_web.packing import STAYS, shared

_EXAMINES = frozenset({access_pb2.ROLE_EXAMINER})
MOST_NOTES = 4_000  # characters of a finding's notes: `SubmitFindingRequest.notes`
_MOST_DRAFTS = 100
_POTENTIAL = review_pb2.FINDING_KIND_POTENTIAL_CANDIDATE
_NONE = review_pb2.FINDING_KIND_NO_CANDIDATE
ANOTHER, _NOT_CHOSEN = -1, -9
# What the observations of a candidate support. The ratings of a finding are its upper half.
OPINIONS: Mapping[int, Message] = {
    3: message("console.opinion.strongly"),
    2: message("console.opinion.moderately"),
    1: message("console.opinion.weakly"),
    0: message("console.opinion.neither"),
    ANOTHER: message("console.opinion.another"),
}
# The components of FISWG's feature list for morphological analysis, and what to look at, in the words of the courses.
PARTS: Mapping[str, tuple[Message, Message]] = {
    "face_shape": (message("component.face_shape"), message("component.face_shape_look")),
    "forehead": (message("component.forehead"), message("component.forehead_look")),
    "brows": (message("component.brows"), message("component.brows_look")),
    "eyes": (message("component.eyes"), message("component.eyes_look")),
    "nose": (message("component.nose"), message("component.nose_look")),
    "cheeks": (message("component.cheeks"), message("component.cheeks_look")),
    "mouth": (message("component.mouth"), message("component.mouth_look")),
    "jaw": (message("component.jaw"), message("component.jaw_look")),
    "chin": (message("component.chin"), message("component.chin_look")),
    "ears": (message("component.ears"), message("component.ears_look")),
    "lines": (message("component.lines"), message("component.lines_look")),
    "marks": (message("component.marks"), message("component.marks_look")),
}
SEEN: Mapping[int, Message] = {
    0: message("console.part.open"),
    1: message("console.part.alike"),
    2: message("console.part.unlike"),
    3: message("console.part.unseen"),
}


@dataclass(frozen=True, slots=True)
class Probe:
    """Notes of an examiner on the probe, before any candidate."""

    probe_notes: str = ""


@shared
@dataclass(frozen=True, slots=True)
class Opinion:
    """Observations of an examiner on a candidate, one of `OPINIONS`; `parts` has one of `SEEN` for each of `PARTS`."""

    template: str
    opinion: int = _NOT_CHOSEN
    limits: str = ""
    observed: str = ""
    parts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """A finding; `template` is that of a potential candidate, else ""."""

    kind: int = 0
    template: str = ""


@shared
@dataclass(slots=True)
class Draft:
    """An examination that somebody works on: its templates, notes on the probe, and opinions by template.

    `landmarks` are those of photos, by template, and by "" those of the probe.
    """

    keys: tuple[str, ...]
    probe_notes: str
    opinions: dict[str, Opinion] = field(default_factory=dict)
    landmarks: dict[str, Landmarks] = field(default_factory=dict, metadata=STAYS)


async def queue(visit: Visit) -> Response:
    """List the examinations that wait for a finding of the visitor; nobody is told which finding it is."""
    request = review_pb2.ListAwaitingRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, review_pb2.ListAwaitingResponse)
    known = await visit.ask(review_pb2.ListCasesRequest(page_size=MOST_LISTED), review_pb2.ListCasesResponse)
    cases = {one.case_id: one for one in known.cases}
    return visit.page(
        "examiner_queue.html", found=found, cases=cases, exercises=EXERCISES, drafts=visit.who.drafts.keys()
    )


async def examination(
    visit: Visit, error: FrApiError | None = None, probe: Probe | None = None, opinion: Opinion | None = None
) -> Response:
    """Show an examination: to somebody whose finding it waits for, first the probe, then a candidate beside it."""
    found = await read_examination(visit, visit.path["examination"])
    told: dict[str, Any] = {
        "examination": found,
        "probe": embedded(found.probe.data),
        "exercise": found.purpose in EXERCISES,
        "opinions": OPINIONS,
        "kinds": FINDINGS,
        "most": MOST_NOTES,
    }
    if not is_blind(found):
        visit.who.drafts.pop(visit.path["examination"], None)
        photos = {one.template_id: embedded(one.photo.data) for one in found.candidates}
        return visit.page(
            "examiner_examination.html",
            error,
            **told,
            photos=photos,
            states=STATES,
            may_find=bool(visit.who.roles & _EXAMINES),
        )
    draft = _draft(visit)
    if draft is None:
        return visit.page("examiner_probe.html", error, **told, form=probe or Probe())
    if visit.query("candidate") == "finding":
        given = {name: visit.fields[name][0].decode("utf-8", "replace") for name in visit.fields}
        told |= {"draft": draft, "notes": notes_of(visit, draft), "given": given}
        return visit.page("examiner_finding.html", error, **told)
    return visit.page("examiner_compare.html", error, **told, **await _beside(visit, found, draft, opinion))


async def _beside(
    visit: Visit, found: review_pb2.Examination, draft: Draft, opinion: Opinion | None
) -> Mapping[str, Any]:
    """Return what a page shows of the candidate that the address names, else of the first one."""
    asked = visit.query("candidate")
    number = int(asked) if asked in map(str, range(1, len(found.candidates) + 1)) else 1
    candidate = found.candidates[number - 1]
    key = str(candidate.template_id)
    return {
        "draft": draft,
        "number": number,
        "candidate": candidate,
        "photo": embedded(candidate.photo.data),
        "probe_landmarks": await _landmarks(visit, draft, "", found.probe),
        "landmarks": await _landmarks(visit, draft, key, candidate.photo),
        "form": opinion or draft.opinions.get(key) or Opinion(key),
        "parts": PARTS,
        "seen": SEEN,
    }


async def _landmarks(visit: Visit, draft: Draft, key: str, photo: common_pb2.Image) -> Landmarks | None:
    """Return the landmarks of a photo, which the server is asked for once; None if it cannot tell them now."""
    if key not in draft.landmarks and photo.data:
        request = recognition_pb2.DetectRequest(image=photo)
        try:
            draft.landmarks[key] = landmarks_of(await visit.ask(request, recognition_pb2.DetectResponse))
        except FrApiError:  # the page says that they are absent
            return None
    return draft.landmarks.get(key)


def _draft(visit: Visit) -> Draft | None:
    found: Draft | None = visit.who.drafts.get(visit.path["examination"])
    return found


async def act(visit: Visit) -> Response:
    """Keep notes on the probe or an opinion, or give the finding: an examination has one address."""
    path = f"/examinations/{visit.path['examination']}"
    if "kind" in visit.fields or "sure" in visit.fields:
        return await _give(visit, path)
    if "template" in visit.fields:
        return await _judge(visit, path)
    form = Probe()
    try:
        form = visit.form(Probe)
        if not form.probe_notes:
            raise visit.invalid(message("console.examination.no_notes"), "probe_notes")
        found = await read_examination(visit, visit.path["examination"])
        if not is_blind(found):
            raise _too_late(visit)
    except FrApiError as error:
        return await examination(visit, error, form)
    drafts = visit.who.drafts
    keys = tuple(str(one.template_id) for one in found.candidates)
    drafts.setdefault(visit.path["examination"], Draft(keys, form.probe_notes))
    while len(drafts) > _MOST_DRAFTS:
        del drafts[next(iter(drafts))]
    return visit.go(path, candidate="1")


async def _judge(visit: Visit, path: str) -> Response:
    """Keep an opinion of a candidate, and go on to the next one without an opinion."""
    draft = _draft(visit)
    if draft is None:
        return await examination(visit, _too_late(visit))
    form: Opinion | None = None
    try:
        form = visit.form(Opinion)
        if form.template not in draft.keys:
            raise visit.invalid(message("console.opinion.no_candidate"), "template")
        if form.opinion not in OPINIONS or any(one not in PARTS or form.parts[one] not in SEEN for one in form.parts):
            raise visit.invalid(message("console.opinion.unknown"), "opinion")
        if not form.limits:
            raise visit.invalid(message("console.opinion.no_limits"), "limits")
    except FrApiError as error:
        return await examination(visit, error, opinion=form)
    draft.opinions[form.template] = form
    left = [number for number, key in enumerate(draft.keys, 1) if key not in draft.opinions]
    return visit.go(path, candidate=str(left[0]) if left else "finding")


async def _give(visit: Visit, path: str) -> Response:
    """Give the finding, which is final; the same again is the same, so that the form may be sent twice."""
    draft = _draft(visit)
    if draft is None:
        return await examination(visit, _too_late(visit))
    try:
        await visit.ask(_request(visit, draft), review_pb2.SubmitFindingResponse)
    except FrApiError as error:
        return await examination(visit, error)
    return visit.go(path)


def _request(visit: Visit, draft: Draft) -> review_pb2.SubmitFindingRequest:
    """Return the finding of a form; raises `FrApiError` if it does not follow from the opinions."""
    visit.require_sure()
    form = visit.form(Given)
    if any(key not in draft.opinions for key in draft.keys):
        raise visit.invalid(message("console.finding.opinion_missing"), "kind")
    kind = review_pb2.FindingKind.ValueType(form.kind)
    if kind not in FINDINGS:
        raise visit.invalid(message("console.finding.unknown"), "kind")
    picked = draft.opinions.get(form.template) if kind == _POTENTIAL else None
    if kind == _POTENTIAL and (picked is None or picked.opinion < 1):
        raise visit.invalid(message("console.finding.unsupported"), "template")
    if kind == _NONE and any(one.opinion != ANOTHER for one in draft.opinions.values()):
        raise visit.invalid(message("console.finding.not_excluded"), "kind")
    notes = notes_of(visit, draft)
    if len(notes) > MOST_NOTES:
        raise visit.invalid(message("console.finding.too_long", length=len(notes), most=MOST_NOTES), "notes")
    return review_pb2.SubmitFindingRequest(
        examination_id=visit.path["examination"],
        kind=kind,
        template_id=int(picked.template) if picked else 0,
        rating=picked.opinion if picked else 0,
        notes=notes,
    )


def notes_of(visit: Visit, draft: Draft) -> str:
    """Return the notes of a finding: those on the probe, and each opinion with what it rests on, by template."""
    lines = [visit.text(message("console.notes.probe")), draft.probe_notes]
    for key in sorted(draft.opinions, key=int):
        one = draft.opinions[key]
        told = visit.text(OPINIONS[one.opinion])
        lines += ["", visit.text(message("console.notes.candidate", template=key, opinion=told))]
        for value in (1, 2, 3):
            parts = [visit.text(words) for name, (words, _) in PARTS.items() if one.parts.get(name) == value]
            if parts:
                lines.append(f"{visit.text(SEEN[value])}: {', '.join(parts)}")
        if one.observed:
            lines.append(one.observed)
        lines.append(visit.text(message("console.notes.limits", limits=one.limits)))
    return "\n".join(lines)


def _too_late(visit: Visit) -> FrApiError:
    words = visit.text(message("console.examination.not_here"))
    return refused(grpc.StatusCode.FAILED_PRECONDITION, "FINDING_LOCKED", words)


SCREENS = (
    Screen(
        "/examinations",
        queue,
        roles=_EXAMINES,
        nav=message("console.nav.examinations"),
        about=message("console.about.examinations"),
    ),
    Screen("/examinations/{examination}", examination, roles=SEES),
    Screen("/examinations/{examination}", act, method="POST", roles=_EXAMINES),
)
