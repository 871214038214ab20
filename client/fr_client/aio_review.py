"""Review of the asynchronous client: cases, examinations, findings and evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta

import grpc
from grpc import aio

from fr_api.v1 import review_pb2, review_pb2_grpc
from fr_client import review_requests
from fr_client.aio_training import AsyncAnswers, AsyncCall
from fr_client.requests import Fusion, OneFace, Photo, Purpose, SearchItem
from fr_client.review_requests import Finding


class AsyncReview:
    """Review for asyncio; `AsyncClient.review` is one. The methods and their errors are those of `Review`.

    Args:
        channel: to the server.
        streams: a channel of the synchronous API, for answers in pieces; `aio_stream` says why.
        call: makes a call with one answer.
        answers: makes a call with many.
        timeout_s: of streams, the longest wait for the next answer; None for no limit.
    """

    def __init__(
        self,
        channel: aio.Channel,
        streams: grpc.Channel,
        call: AsyncCall,
        answers: AsyncAnswers,
        timeout_s: float | None,
    ) -> None:
        self._stub = review_pb2_grpc.ReviewServiceStub(channel)
        self._streams = review_pb2_grpc.ReviewServiceStub(streams)
        self._call = call
        self._answers = answers
        self._timeout_s = timeout_s

    # --- cases ----------------------------------------------------------------------------------------------

    async def open_case(
        self, case_reference: str, purpose: Purpose, *, retention: timedelta | None = None
    ) -> review_pb2.Case:
        """See `Review.open_case`."""
        request = review_requests.open_case(case_reference, purpose, retention)
        return (await self._call(self._stub.OpenCase, request)).case

    async def case(self, case_id: str) -> review_pb2.Case:
        """See `Review.case`."""
        return (await self._call(self._stub.GetCase, review_pb2.GetCaseRequest(case_id=case_id))).case

    async def cases(self, *, page_size: int | None = None) -> AsyncIterator[review_pb2.Case]:
        """See `Review.cases`."""
        token = ""
        while True:
            request = review_pb2.ListCasesRequest(page_size=page_size or 0, page_token=token)
            page = await self._call(self._stub.ListCases, request)
            for one in page.cases:
                yield one
            token = page.next_page_token
            if not token:
                return

    async def close_case(self, case_id: str) -> review_pb2.Case:
        """See `Review.close_case`."""
        return (await self._call(self._stub.CloseCase, review_pb2.CloseCaseRequest(case_id=case_id))).case

    async def delete_case(self, case_id: str) -> review_pb2.DeleteCaseResponse:
        """See `Review.delete_case`."""
        return await self._call(self._stub.DeleteCase, review_pb2.DeleteCaseRequest(case_id=case_id))

    async def search(
        self,
        case_id: str,
        gallery_id: str,
        photo: Photo,
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        only_above_threshold: bool = False,
        several_faces: OneFace = "error",
        fusion: Fusion = "max",
        metadata: Mapping[str, str] | None = None,
        subject_ids: Sequence[str] | None = None,
        target_fmr: float | None = None,
        target_fpir: float | None = None,
    ) -> review_pb2.SearchInCaseResponse:
        """See `Review.search`."""
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
        request = await asyncio.to_thread(review_requests.search_in_case, case_id, gallery_id, item)
        return await self._call(self._stub.SearchInCase, request)

    # --- examinations ---------------------------------------------------------------------------------------

    async def awaiting(self, *, page_size: int | None = None) -> AsyncIterator[review_pb2.ExaminationSummary]:
        """See `Review.awaiting`."""
        token = ""
        while True:
            request = review_pb2.ListAwaitingRequest(page_size=page_size or 0, page_token=token)
            page = await self._call(self._stub.ListAwaiting, request)
            for one in page.examinations:
                yield one
            token = page.next_page_token
            if not token:
                return

    async def examination(self, examination_id: str) -> review_pb2.Examination:
        """See `Review.examination`."""
        request = review_pb2.GetExaminationRequest(examination_id=examination_id)
        return (await self._call(self._stub.GetExamination, request)).examination

    async def submit_finding(
        self,
        examination_id: str,
        finding: Finding,
        *,
        template_id: int | None = None,
        rating: int | None = None,
        notes: str = "",
    ) -> review_pb2.Examination:
        """See `Review.submit_finding`."""
        request = review_requests.submit_finding(examination_id, finding, template_id, rating, notes)
        return (await self._call(self._stub.SubmitFinding, request)).examination

    # --- evidence -------------------------------------------------------------------------------------------

    async def evidence_parts(self, case_id: str, *, include_unfinished: bool = False) -> AsyncGenerator[bytes]:
        """See `Review.evidence_parts`."""
        request = review_pb2.ExportEvidenceRequest(case_id=case_id, include_unfinished=include_unfinished)
        async with aclosing(self._answers(lambda: self._streams.ExportEvidence(request), self._timeout_s)) as answers:
            async for answer in answers:
                yield answer.data
