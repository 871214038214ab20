"""The audit of the asynchronous client: records, their verification, and checkpoints."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime

import grpc
from grpc import aio

from fr_api.v1 import audit_pb2, audit_pb2_grpc
from fr_client import audit_requests
from fr_client.aio_training import AsyncAnswers, AsyncCall


class AsyncAudit:
    """The audit for asyncio; `AsyncClient.audit` is one. The methods and their errors are those of `Audit`.

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
        self._stub = audit_pb2_grpc.AuditServiceStub(channel)
        self._streams = audit_pb2_grpc.AuditServiceStub(streams)
        self._call = call
        self._answers = answers
        self._timeout_s = timeout_s

    def search(
        self,
        chain: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        actor: str = "",
        action: str = "",
        outcome: str = "",
        gallery_id: str = "",
        subject_id: str = "",
        case_reference: str = "",
        request_id: str = "",
        page_size: int | None = None,
    ) -> AsyncIterator[audit_pb2.AuditRecord]:
        """See `Audit.search`."""
        request = audit_requests.search_audit(
            chain,
            start,
            end,
            actor,
            action,
            outcome,
            gallery_id,
            subject_id,
            case_reference,
            request_id,
            page_size,
        )
        return self._records(request)

    async def export_parts(self, chain: str, *, after_seq: int = 0) -> AsyncGenerator[bytes]:
        """See `Audit.export_parts`."""
        request = audit_pb2.ExportAuditRequest(chain=chain, after_seq=after_seq)
        async with aclosing(self._answers(lambda: self._streams.ExportAudit(request), self._timeout_s)) as answers:
            async for answer in answers:
                yield answer.data

    async def verify(
        self, chain: str = "", *, checkpoints: Sequence[audit_pb2.Checkpoint] = ()
    ) -> Sequence[audit_pb2.ChainVerdict]:
        """See `Audit.verify`."""
        request = audit_pb2.VerifyAuditRequest(chain=chain, checkpoints=checkpoints)
        return (await self._call(self._stub.VerifyAudit, request)).verdicts

    async def checkpoints(self) -> audit_pb2.GetCheckpointsResponse:
        """See `Audit.checkpoints`."""
        return await self._call(self._stub.GetCheckpoints, audit_pb2.GetCheckpointsRequest())

    async def _records(self, request: audit_pb2.SearchAuditRequest) -> AsyncIterator[audit_pb2.AuditRecord]:
        while True:
            page = await self._call(self._stub.SearchAudit, request)
            for one in page.records:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
