"""Review of the asynchronous client: cases, examinations, findings and evidence."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from fr_api.v1 import review_pb2, review_pb2_grpc, video_pb2
from fr_client import requests
from fr_client.aio.calls import AsyncCalls
from fr_client.requests import Photo, SearchItem
from fr_client.tasks import run
from fr_client.words import FINDINGS, Finding, Fusion, OneFace, Purpose, purpose_value, value_of


class AsyncReview:
    """Human examination of the leads of searches: `AsyncClient.review`. Errors are those of `AsyncClient`.

    Examiners conclude a potential candidate, no candidate, or inconclusive; never an identity.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls
        self._stub = review_pb2_grpc.ReviewServiceStub(calls.unary)
        self._streams = review_pb2_grpc.ReviewServiceStub(calls.streams)

    async def open_case(
        self, case_reference: str, purpose: Purpose, *, retention: timedelta | None = None
    ) -> review_pb2.Case:
        """Open a case; no two open cases may have the same reference, of at most 128 characters.

        `purpose` is that of its searches, else `ValueError`. The server deletes it after `retention`; None for never.
        """
        request = review_pb2.OpenCaseRequest(
            case_reference=case_reference, purpose=purpose_value(purpose), retention=requests.duration(retention)
        )
        return (await self._calls.call(self._stub.OpenCase, request)).case

    async def case(self, case_id: str) -> review_pb2.Case:
        """Describe a case with its examinations."""
        return (await self._calls.call(self._stub.GetCase, review_pb2.GetCaseRequest(case_id=case_id))).case

    def cases(self, *, page_size: int | None = None) -> AsyncIterator[review_pb2.Case]:
        """Yield the cases without their examinations, the newest first, page by page; None for the server's size."""
        request = review_pb2.ListCasesRequest(page_size=page_size or 0)
        return self._calls.pages(self._stub.ListCases, request, "cases")

    async def close_case(self, case_id: str) -> review_pb2.Case:
        """Close a case for further searches, and return it; closing it twice changes nothing more."""
        return (await self._calls.call(self._stub.CloseCase, review_pb2.CloseCaseRequest(case_id=case_id))).case

    async def delete_case(self, case_id: str) -> review_pb2.DeleteCaseResponse:
        """Delete a case with its photos, findings and key; its audit stays."""
        return await self._calls.call(self._stub.DeleteCase, review_pb2.DeleteCaseRequest(case_id=case_id))

    async def search(
        self,
        case_id: str,
        gallery_id: str,
        photo: Photo,
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        only_above_threshold: bool = False,
        several_faces: OneFace = "prominent",
        fusion: Fusion = "max",
        metadata: Mapping[str, str] | None = None,
        subject_ids: Sequence[str] | None = None,
        target_fmr: float | None = None,
        target_fpir: float | None = None,
    ) -> review_pb2.SearchInCaseResponse:
        """Search a gallery for the face of a photo within a case: leads for examiners, never an identity.

        The server keeps the photo and the candidate list with the case, so a photo over the server's limits is refused,
        and never scaled down. Purpose and reference are those of the case; the other arguments and errors are those of
        `AsyncClient.search`.
        """
        item = SearchItem(
            photo,
            top_k=top_k,
            threshold=threshold,
            only_above_threshold=only_above_threshold,
            several_faces=several_faces,
            fusion=fusion,
            metadata=metadata or {},
            subject_ids=subject_ids,
            target_fmr=target_fmr,
            target_fpir=target_fpir,
        )
        as_it_is = replace(await self._calls.fit(), downscale=False)
        search = await run(requests.search, gallery_id, item, as_it_is)
        request = review_pb2.SearchInCaseRequest(case_id=case_id, search=search)
        return await self._calls.call(self._stub.SearchInCase, request)

    async def search_footage(
        self,
        case_id: str,
        gallery_id: str,
        video_id: str,
        track: int,
        *,
        shot: int = 1,
        top_k: int | None = None,
        threshold: float | None = None,
        only_above_threshold: bool = False,
    ) -> review_pb2.SearchInCaseResponse:
        """Search a gallery for a track of the caller's footage within a case: leads for examiners, never an identity.

        The server keeps the crop of the track's best shot, or of one of the next (`shot`, from 1), and the candidate
        list with the case, and notes the frame of the footage. It keeps no footage: keep the file, because only with it
        can `fr evidence verify --footage` prove the frame. The other arguments are those of `search`.
        """
        search = requests.track_search(gallery_id, top_k, threshold, only_above_threshold)
        named = video_pb2.VideoShot(video_id=video_id, track=track, place=shot)
        request = review_pb2.SearchInCaseRequest(case_id=case_id, search=search, shot=named)
        return await self._calls.call(self._stub.SearchInCase, request)

    def awaiting(self, *, page_size: int | None = None) -> AsyncIterator[review_pb2.ExaminationSummary]:
        """Yield the examinations that wait for a finding of the caller, the oldest first, page by page."""
        request = review_pb2.ListAwaitingRequest(page_size=page_size or 0)
        return self._calls.pages(self._stub.ListAwaiting, request, "examinations")

    async def examination(self, examination_id: str) -> review_pb2.Examination:
        """Return an examination with the photos of the probe and of the candidates.

        A caller who has not given a finding sees the candidates in an order of their own, without similarities, and no
        findings.
        """
        request = review_pb2.GetExaminationRequest(examination_id=examination_id)
        return (await self._calls.call(self._stub.GetExamination, request)).examination

    async def submit_finding(
        self,
        examination_id: str,
        finding: Finding,
        *,
        template_id: int | None = None,
        rating: int | None = None,
        notes: str = "",
    ) -> review_pb2.Examination:
        """Give the caller's finding, once and for good, and return the examination as the caller now sees it.

        Only a potential candidate has a `template_id`, and a `rating` from 1 to 3: how strongly the observations
        support that it is the same person; else `ValueError`. The notes have at most 4,000 characters.
        """
        kind = value_of("finding", finding, FINDINGS)
        if finding == "potential-candidate" and (template_id is None or rating is None):
            raise ValueError("A potential candidate has a template_id, and a rating from 1 to 3.")
        if finding != "potential-candidate" and (template_id is not None or rating is not None):
            raise ValueError("Only a potential candidate has a template_id and a rating.")
        request = review_pb2.SubmitFindingRequest(
            examination_id=examination_id, kind=kind, template_id=template_id or 0, rating=rating or 0, notes=notes
        )
        return (await self._calls.call(self._stub.SubmitFinding, request)).examination

    def evidence_parts(self, case_id: str, *, include_unfinished: bool = False) -> AsyncGenerator[bytes]:
        """Yield the evidence bundle of a case piece by piece: a ZIP file that `fr evidence verify` checks anywhere.

        Each examination must be concluded, unless `include_unfinished`; the bundle says so.
        """
        request = review_pb2.ExportEvidenceRequest(case_id=case_id, include_unfinished=include_unfinished)
        return self._calls.contents(lambda: self._streams.ExportEvidence(request), "data")
