"""Review of the synchronous client: cases, examinations, findings and evidence."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta

import grpc

from fr_api.v1 import review_pb2, review_pb2_grpc
from fr_client import review_requests
from fr_client.answers import each
from fr_client.channel import RetryPolicy
from fr_client.handshake import Endpoint
from fr_client.requests import Fusion, OneFace, Photo, Purpose, SearchItem
from fr_client.review_requests import Finding
from fr_client.training import Call


class Review:
    """Human examination of the leads of searches; `Client.review` is one. Errors are those of `Client`.

    What examiners conclude is a potential candidate, no candidate, or inconclusive; it is never an identity.

    Args:
        channel: to the server.
        call: makes a call with one answer.
        target: the server, for messages, and for why there is no connection.
        timeout_s: of streams, the longest wait for the next answer; None for no limit.
        retry: when a stream that the server refused to begin is begun again.
    """

    def __init__(
        self, channel: grpc.Channel, call: Call, target: Endpoint, timeout_s: float | None, retry: RetryPolicy
    ) -> None:
        self._stub = review_pb2_grpc.ReviewServiceStub(channel)
        self._call = call
        self._target = target
        self._timeout_s = timeout_s
        self._retry = retry

    # --- cases ----------------------------------------------------------------------------------------------

    def open_case(
        self, case_reference: str, purpose: Purpose, *, retention: timedelta | None = None
    ) -> review_pb2.Case:
        """Open a case; the same reference cannot be open twice.

        Args:
            case_reference: by which people know it, at most 128 characters.
            purpose: what its searches are for.
            retention: after how long it is deleted; None for never.

        Raises:
            ValueError: `purpose` is no such word.
        """
        return self._call(self._stub.OpenCase, review_requests.open_case(case_reference, purpose, retention)).case

    def case(self, case_id: str) -> review_pb2.Case:
        """Describe a case with its examinations."""
        return self._call(self._stub.GetCase, review_pb2.GetCaseRequest(case_id=case_id)).case

    def cases(self, *, page_size: int | None = None) -> Iterator[review_pb2.Case]:
        """Yield the cases without their examinations, the newest first, page by page; None for the server's size."""
        token = ""
        while True:
            request = review_pb2.ListCasesRequest(page_size=page_size or 0, page_token=token)
            page = self._call(self._stub.ListCases, request)
            yield from page.cases
            token = page.next_page_token
            if not token:
                return

    def close_case(self, case_id: str) -> review_pb2.Case:
        """Close a case, which takes no more searches then, and return it; done twice it is the same as once."""
        return self._call(self._stub.CloseCase, review_pb2.CloseCaseRequest(case_id=case_id)).case

    def delete_case(self, case_id: str) -> review_pb2.DeleteCaseResponse:
        """Delete a case with its photos, findings and key; its audit stays."""
        return self._call(self._stub.DeleteCase, review_pb2.DeleteCaseRequest(case_id=case_id))

    def search(
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
        """Search a gallery for the face of a photo within a case: leads for examiners, never an identity.

        The photo and the candidate list are kept with the case. Purpose and reference are those of the case; the other
        arguments are those of `Client.search`.

        Raises:
            ValueError: as `Client.search`.
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
        return self._call(self._stub.SearchInCase, review_requests.search_in_case(case_id, gallery_id, item))

    # --- examinations ---------------------------------------------------------------------------------------

    def awaiting(self, *, page_size: int | None = None) -> Iterator[review_pb2.ExaminationSummary]:
        """Yield the examinations that wait for a finding of the caller, the oldest first, page by page."""
        token = ""
        while True:
            request = review_pb2.ListAwaitingRequest(page_size=page_size or 0, page_token=token)
            page = self._call(self._stub.ListAwaiting, request)
            yield from page.examinations
            token = page.next_page_token
            if not token:
                return

    def examination(self, examination_id: str) -> review_pb2.Examination:
        """Return an examination with the photos of the probe and of the candidates.

        Who has not given a finding sees the candidates in an order of its own, without similarities, and no findings.
        """
        request = review_pb2.GetExaminationRequest(examination_id=examination_id)
        return self._call(self._stub.GetExamination, request).examination

    def submit_finding(
        self,
        examination_id: str,
        finding: Finding,
        *,
        template_id: int | None = None,
        rating: int | None = None,
        notes: str = "",
    ) -> review_pb2.Examination:
        """Give the caller's finding, once and for good, and return the examination as it is then for the caller.

        Args:
            examination_id: the examination.
            finding: what was found.
            template_id: the candidate of a potential candidate; None for the others.
            rating: how strongly the observations support that it is the same person, from 1 to 3; of a potential
                candidate.
            notes: what was observed; at most 4,000 characters.

        Raises:
            ValueError: `finding` is no such word, or the candidate and the rating do not go with it.
        """
        request = review_requests.submit_finding(examination_id, finding, template_id, rating, notes)
        return self._call(self._stub.SubmitFinding, request).examination

    # --- evidence -------------------------------------------------------------------------------------------

    def evidence_parts(self, case_id: str, *, include_unfinished: bool = False) -> Generator[bytes]:
        """Yield the evidence bundle of a case piece by piece: a ZIP file that `fr evidence verify` checks anywhere.

        Args:
            case_id: the case; each of its examinations is concluded.
            include_unfinished: take also those that wait for a finding; the bundle says so.
        """
        request = review_pb2.ExportEvidenceRequest(case_id=case_id, include_unfinished=include_unfinished)
        answers = each(lambda: self._stub.ExportEvidence(request), self._target, self._timeout_s, self._retry)
        with closing(answers):
            for answer in answers:
                yield answer.data
