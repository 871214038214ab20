"""The audit of the synchronous client: records, their verification, and checkpoints."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime

import grpc

from fr_api.v1 import audit_pb2, audit_pb2_grpc
from fr_client import audit_requests
from fr_client.answers import each
from fr_client.channel import RetryPolicy
from fr_client.handshake import Endpoint
from fr_client.training import Call


class Audit:
    """What was done, by whom and why; `Client.audit` is one. Errors are those of `Client`.

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
        self._stub = audit_pb2_grpc.AuditServiceStub(channel)
        self._call = call
        self._target = target
        self._timeout_s = timeout_s
        self._retry = retry

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
    ) -> Iterator[audit_pb2.AuditRecord]:
        """Yield the records of a chain that fit, the oldest first, page by page.

        Args:
            chain: "galleries", "training", "cases" or "access".
            start: not before this, with a time zone; None for any.
            end: before this, with a time zone; None for any.
            actor: who, a principal's id; "" for anybody.
            action: what, such as "gallery.search", or a beginning followed by *; "" for anything.
            outcome: how it ended, "OK" or a reason; "" for any.
            gallery_id: the gallery; "" for any.
            subject_id: the subject in that gallery, by the caller's own id; "" for any.
            case_reference: the case, by its reference; "" for any.
            request_id: the request; "" for any.
            page_size: records of a page, 1,000 at most; None for the server's size.

        Raises:
            ValueError: a time has no time zone.
        """
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

    def export_parts(self, chain: str, *, after_seq: int = 0) -> Generator[bytes]:
        """Yield a chain piece by piece: lines of JSON, with a signed checkpoint as the last.

        Args:
            chain: that of `search`.
            after_seq: from the record after this number; 0 for all.
        """
        request = audit_pb2.ExportAuditRequest(chain=chain, after_seq=after_seq)
        answers = each(lambda: self._stub.ExportAudit(request), self._target, self._timeout_s, self._retry)
        with closing(answers):
            for answer in answers:
                yield answer.data

    def verify(
        self, chain: str = "", *, checkpoints: Sequence[audit_pb2.Checkpoint] = ()
    ) -> Sequence[audit_pb2.ChainVerdict]:
        """Let the server check every record, and return what it found, one verdict for each chain.

        Args:
            chain: that of `search`; "" for all.
            checkpoints: that were kept elsewhere. Without them nobody sees that a whole chain was written anew by
                whoever has the server's key.
        """
        request = audit_pb2.VerifyAuditRequest(chain=chain, checkpoints=checkpoints)
        return self._call(self._stub.VerifyAudit, request).verdicts

    def checkpoints(self) -> audit_pb2.GetCheckpointsResponse:
        """Return how far each chain is, signed, and the public keys; keep them where the server cannot change them."""
        return self._call(self._stub.GetCheckpoints, audit_pb2.GetCheckpointsRequest())

    def _records(self, request: audit_pb2.SearchAuditRequest) -> Iterator[audit_pb2.AuditRecord]:
        while True:
            page = self._call(self._stub.SearchAudit, request)
            yield from page.records
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
