"""ReviewService: cases, what examiners make of the leads in them, and the evidence of it."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from fr_api.v1 import gallery_pb2, review_pb2_grpc
from fr_api.v1 import review_pb2 as pb
from fr_core.errors import GalleryReplaced, NoFaceFound, UnknownGallery, UnknownTemplate, message
from fr_core.gallery.values import GalleryInfo, GalleryUse
from fr_core.storage.audit.attribution import attributed, current_attribution
from fr_core.types import ModelId
from fr_server.authz.callers import current_principal, seen, sees_gallery
from fr_server.authz.record import note
from fr_server.pools import Work
from fr_server.rpc.convert.review import (
    case_message,
    examination_message,
    finding_of,
    in_case,
    model_of,
    purpose_of,
    retention_ms,
    summary_message,
)
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.gallery_faces import GalleryFaces
from fr_server.rpc.services.paging import last_moment, moment_token, size_of
from fr_server.rpc.services.review_evidence import EvidenceRoom, derived, told_to
from fr_server.rpc.services.video_shots import Shot, shot_of
from fr_server.storage.calls import GalleryCalls
from fr_server.storage.footage import FootageFolder
from fr_trust.access.principal import Principal
from fr_trust.casework.rules import require_open
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Case, Examination, Listed, Searched
from fr_trust.errors import UnknownCase

# Bytes of a bundle in a message.
_PIECE_BYTES = 256 * 1024
_CASES, _AWAITING = "cases", "awaiting"


class ReviewService(review_pb2_grpc.ReviewServiceServicer):
    """Keeps cases."""

    def __init__(
        self,
        cases: CaseStore,
        galleries: GalleryCalls,
        faces: GalleryFaces,
        evidence: EvidenceRoom,
        footage: FootageFolder,
        work: Work,
        clock_ms: Callable[[], int],
        least_retention_days: int,
    ) -> None:
        self._cases = cases
        self._galleries = galleries
        self._faces = faces
        self._evidence = evidence
        self._footage = footage
        self._work = work
        self._clock_ms = clock_ms
        self._least_retention_days = least_retention_days

    async def OpenCase(self, request: pb.OpenCaseRequest, context: Context) -> pb.OpenCaseResponse:
        kept_ms = retention_ms(request, self._least_retention_days)
        expires_ms = None if kept_ms is None else self._clock_ms() + kept_ms
        principal = current_principal()
        sees = partial(_sees, principal)  # asked by the thread that writes, which works for no call
        arguments = (request.case_reference, purpose_of(request.purpose), principal.principal_id, expires_ms, sees)
        return pb.OpenCaseResponse(case=case_message(await self._work.storage(self._cases.open_case, *arguments)))

    async def GetCase(self, request: pb.GetCaseRequest, context: Context) -> pb.GetCaseResponse:
        case = await self._seen_case(request.case_id)
        _note(case)
        examinations = await self._work.storage(self._cases.examinations_of, request.case_id)
        return pb.GetCaseResponse(case=case_message(case, examinations, current_principal()))

    async def ListCases(self, request: pb.ListCasesRequest, context: Context) -> pb.ListCasesResponse:
        size, before = size_of(request.page_size), last_moment(_CASES, request.page_token)
        shown, more = await self._work.storage(self._cases_seen, before, size)
        token = moment_token(_CASES, shown[-1].opened_ms, shown[-1].case_id) if more else ""
        return pb.ListCasesResponse(cases=[case_message(one) for one in shown], next_page_token=token)

    async def CloseCase(self, request: pb.CloseCaseRequest, context: Context) -> pb.CloseCaseResponse:
        await self._seen_case(request.case_id)
        return pb.CloseCaseResponse(
            case=case_message(await self._work.storage(self._cases.close_case, request.case_id))
        )

    async def DeleteCase(self, request: pb.DeleteCaseRequest, context: Context) -> pb.DeleteCaseResponse:
        if not current_principal().galleries.is_all:  # of all that is there
            await self._seen_case(request.case_id)
        deleted = await self._work.storage(self._cases.delete_case, request.case_id)
        return pb.DeleteCaseResponse(deleted_examinations=deleted.examinations)

    async def SearchInCase(self, request: pb.SearchInCaseRequest, context: Context) -> pb.SearchInCaseResponse:
        case = await self._seen_case(request.case_id)
        require_open(case)  # before anybody is told anything
        shot = await self._shot(request)
        search = in_case(request, case, None if shot is None else shot.png)
        purposed = replace(
            current_attribution(), purpose=case.purpose.value, case_reference=case.reference
        )  # of this search, the case says what for
        _note(case)
        with attributed(purposed):
            order = await self._faces.begin_search(search)
            found = await self._faces.finish_search(order, search)
            if not found.results:
                raise NoFaceFound(message("error.rpc.no_face_found_photo"))
            source = {} if shot is None else shot.cited.to_derivations()
            kept = await self._work.storage(self._keep, case, order.info, search, found, source)
        examination = summary_message(kept, current_principal())
        return pb.SearchInCaseResponse(found=found, examination=examination)

    async def ListAwaiting(self, request: pb.ListAwaitingRequest, context: Context) -> pb.ListAwaitingResponse:
        size, after = size_of(request.page_size), last_moment(_AWAITING, request.page_token)
        principal = current_principal()
        arguments = (principal.principal_id, sees_gallery, after, size + 1)
        found = await self._work.storage(self._cases.awaiting, *arguments)
        shown = found[:size]
        token = ""
        if len(found) > size:
            token = moment_token(_AWAITING, shown[-1].searched.searched_ms, shown[-1].examination_id)
        return pb.ListAwaitingResponse(
            examinations=[summary_message(one, principal) for one in shown], next_page_token=token
        )

    async def GetExamination(self, request: pb.GetExaminationRequest, context: Context) -> pb.GetExaminationResponse:
        found = await self._work.storage(self._cases.examination, request.examination_id)
        case = await self._work.storage(self._cases.case, found.case_id)
        _note(case, found)
        shown = examination_message(found, case if _sees(current_principal(), case) else None, current_principal())
        return pb.GetExaminationResponse(examination=shown)

    async def SubmitFinding(self, request: pb.SubmitFindingRequest, context: Context) -> pb.SubmitFindingResponse:
        principal = current_principal()
        finding = finding_of(request, principal.principal_id)
        await self._work.storage(self._cases.give_finding, request.examination_id, finding)
        found = await self._work.storage(self._cases.examination, request.examination_id)
        case = await self._work.storage(self._cases.case, found.case_id)
        shown = examination_message(found, case if _sees(principal, case) else None, principal)
        return pb.SubmitFindingResponse(examination=shown)

    async def ExportEvidence(
        self, request: pb.ExportEvidenceRequest, context: Context
    ) -> AsyncIterator[pb.ExportEvidenceResponse]:
        _note(await self._seen_case(request.case_id))
        make = partial(self._evidence.bundle, request.case_id, request.include_unfinished)
        async with aclosing(self._work.evidence(make, _PIECE_BYTES)) as pieces:
            async for piece in pieces:
                yield pb.ExportEvidenceResponse(data=piece)

    async def _seen_case(self, case_id: str) -> Case:
        """Return a case; one that the caller may not know of is answered as one that there is not."""
        case = await self._work.storage(self._cases.case, case_id)
        if not _sees(current_principal(), case):
            raise UnknownCase(message("error.rpc.no_case_id"))
        return case

    async def _shot(self, request: pb.SearchInCaseRequest) -> Shot | None:
        """Return the look at a track that a request names, if any, and tell the audit from which footage it comes."""
        if not request.HasField("shot"):
            return None
        named = request.shot
        owner = current_principal().principal_id
        shot = await self._work.storage(shot_of, self._footage, owner, named.video_id, named.track, named.place)
        note(detail={"video_sha256": shot.cited.sha256})
        return shot

    def _keep(
        self,
        case: Case,
        info: GalleryInfo,
        search: gallery_pb2.SearchRequest,
        found: gallery_pb2.SearchResponse,
        source: Mapping[str, str],
    ) -> Examination:
        """Store the result of a search, with the photos that the gallery keeps, and the source of the probe.

        Raises `UnknownGallery` or `GalleryReplaced` if the gallery was deleted during the call.
        """
        self._galleries.get(info)
        result = found.results[0]
        model = ModelId(found.model.pack, found.model.version, found.model.sha256)
        searched = Searched(
            gallery_id=search.gallery_id,
            operational=info.use is GalleryUse.OPERATIONAL,
            gallery_version=found.gallery_version,
            searched_templates=found.searched_templates,
            model=f"{model.pack}@{model.version}:{model.sha256}",
            threshold=found.threshold,
            calibration_id=found.error_rates.calibration.id,
            parameters=told_to(search, found),
            derivations={**source, **derived(search.probe.image.data, result.face, model)},
            searched_by=current_principal().principal_id,
            searched_ms=self._clock_ms(),
            probe_sha256=hashlib.sha256(search.probe.image.data).hexdigest(),
        )
        listed = [self._listed(info, one) for one in result.candidates]
        return self._cases.add_examination(case.case_id, searched, listed, search.probe.image.data)

    def _listed(self, info: GalleryInfo, candidate: gallery_pb2.Candidate) -> Listed:
        listed = Listed(candidate.rank, candidate.subject_id, candidate.template_id, candidate.similarity)
        try:
            kept = self._galleries.template(info, candidate.template_id)
        except (GalleryReplaced, UnknownGallery, UnknownTemplate):  # it was deleted during the call
            return listed
        return replace(listed, photo_sha256=kept.info.image_sha256 or "", photo=kept.photo or b"")

    def _cases_seen(self, before: tuple[int, str] | None, size: int) -> tuple[list[Case], bool]:
        def fetch(last: Case | None, size: int) -> tuple[Sequence[Case], bool]:
            found = self._cases.cases(before if last is None else (last.opened_ms, last.case_id), size)
            return found, len(found) == size

        return seen(fetch, size, partial(_sees, current_principal()))


def _sees(principal: Principal, case: Case) -> bool:
    """Return whether a caller may know of a case; only its opener may, as long as it belongs to no gallery."""
    if not case.galleries:
        return case.opened_by == principal.principal_id
    return all(map(principal.galleries.covers, case.galleries))


def _note(case: Case, shown: Examination | None = None) -> None:
    """Tell the audit which case a call is about, and whose photos it shows."""
    note(purpose=case.purpose.value, case_reference=case.reference, detail={"case_id": case.case_id})
    if shown is not None:
        searched = shown.searched
        note(
            gallery_id=searched.gallery_id,
            subject_ids=[one.subject_id for one in shown.candidates],
            model=model_of(searched),
            gallery_version=searched.gallery_version,
            threshold=searched.threshold,
        )
