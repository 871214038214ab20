"""The audit of the asynchronous client: records, their verification, and checkpoints."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime

from fr_api.v1 import audit_pb2, audit_pb2_grpc
from fr_client.aio.calls import AsyncCalls
from fr_client.requests import timestamp


class AsyncAudit:
    """The calls of the audit, as `AsyncClient.audit`. Errors are those of `AsyncClient`."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls
        self._stub = audit_pb2_grpc.AuditServiceStub(calls.unary)
        self._streams = audit_pb2_grpc.AuditServiceStub(calls.streams)

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
        """Yield the records of a chain that fit, the oldest first, page by page; an empty filter fits any record.

        Args:
            chain: "galleries", "training", "cases" or "access".
            start: not before this, with a time zone, else `ValueError`.
            end: before this, likewise.
            actor: who, a principal's id.
            action: what, such as "gallery.search", or a beginning followed by *.
            outcome: how it ended, "OK" or a reason.
            subject_id: the subject in that gallery, by the caller's own id.
            page_size: records of a page, 1,000 at most; None for the server's size.
        """
        request = audit_pb2.SearchAuditRequest(
            chain=chain,
            start_time=timestamp("start", start),
            end_time=timestamp("end", end),
            actor=actor,
            action=action,
            outcome=outcome,
            gallery_id=gallery_id,
            subject_id=subject_id,
            case_reference=case_reference,
            request_id=request_id,
            page_size=page_size or 0,
        )
        return self._calls.pages(self._stub.SearchAudit, request, "records")

    def export_parts(self, chain: str, *, after_seq: int = 0) -> AsyncGenerator[bytes]:
        """Yield a chain, from the record after `after_seq` on, piece by piece.

        It is lines of JSON, with a signed checkpoint as the last.
        """
        request = audit_pb2.ExportAuditRequest(chain=chain, after_seq=after_seq)
        return self._calls.contents(lambda: self._streams.ExportAudit(request), "data")

    async def verify(
        self, chain: str = "", *, checkpoints: Sequence[audit_pb2.Checkpoint] = ()
    ) -> Sequence[audit_pb2.ChainVerdict]:
        """Let the server check every record of a chain, or of all (""), and return one verdict for each chain.

        Without `checkpoints` that you keep elsewhere, nobody notices if somebody with the server's key has rewritten a
        whole chain.
        """
        request = audit_pb2.VerifyAuditRequest(chain=chain, checkpoints=checkpoints)
        return (await self._calls.call(self._stub.VerifyAudit, request)).verdicts

    async def checkpoints(self) -> audit_pb2.GetCheckpointsResponse:
        """Return the signed end of each chain, and the public keys; keep them where the server cannot change them."""
        return await self._calls.call(self._stub.GetCheckpoints, audit_pb2.GetCheckpointsRequest())
