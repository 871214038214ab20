"""AuditService: what was done, and that nobody has changed the record of it."""

from collections.abc import AsyncIterator, Mapping, Sequence

from google.protobuf import timestamp_pb2

from fr_api.v1 import audit_pb2 as pb
from fr_api.v1 import audit_pb2_grpc
from fr_core.errors import InvalidField, MissingField, message
from fr_core.gallery import pages
from fr_core.storage.audit.chain import Kept
from fr_core.storage.audit.checkpoints import Checkpoint, parse_checkpoint
from fr_core.storage.audit.verify import Broken, Verified
from fr_server.pools import Work
from fr_server.rpc.convert.common import timestamp_ms
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.paging import number_of, size_of
from fr_server.storage.audits import CHAINS
from fr_server.storage.calls import AuditCalls
from fr_server.telemetry.trust import Chain
from fr_trust.audit.search import Filter, Page


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """Reads and checks the audits of a server, by the names of their chains."""

    def __init__(self, audits: Mapping[Chain, AuditCalls], evidence_key: str, work: Work) -> None:
        self._audits: dict[str, AuditCalls] = dict(audits.items())  # of names that callers send
        self._evidence_key = evidence_key
        self._work = work

    async def SearchAudit(self, request: pb.SearchAuditRequest, context: Context) -> pb.SearchAuditResponse:
        audit = self._audit(request.chain)
        size = size_of(request.page_size)
        call = f"audit {request.chain}"
        after, upto = _place(pages.last_of(call, request.page_token))
        page, upto = await self._work.audit(_search, audit, request, after, upto, size)
        return pb.SearchAuditResponse(
            records=[_record_message(kept) for kept in page.records],
            next_page_token="" if page.after is None else pages.page_token(call, f"{page.after} {upto}"),
        )

    async def ExportAudit(
        self, request: pb.ExportAuditRequest, context: Context
    ) -> AsyncIterator[pb.ExportAuditResponse]:
        audit = self._audit(request.chain)
        part = await self._work.audit(audit.audit_export, request.after_seq, False)
        yield pb.ExportAuditResponse(data=part.data)
        while part.after is not None:
            part = await self._work.audit(audit.audit_export, part.after, True)
            yield pb.ExportAuditResponse(data=part.data)

    async def VerifyAudit(self, request: pb.VerifyAuditRequest, context: Context) -> pb.VerifyAuditResponse:
        if request.chain:
            self._audit(request.chain)
        names = [request.chain] if request.chain else list(CHAINS)
        for chain in {sent.chain for sent in request.checkpoints}:
            self._audit(chain)
            if chain not in names:  # which nobody would look at
                raise InvalidField(message("error.rpc.checkpoint_another_chain_check"), field="checkpoints")
        by_chain = await self._work.storage(_checkpoints_of, request)
        verdicts = [
            _verdict(name, by_chain[name], await self._work.audit(self._audits[name].audit_verify, by_chain[name]))
            for name in names
        ]
        return pb.VerifyAuditResponse(verdicts=verdicts)

    async def GetCheckpoints(self, request: pb.GetCheckpointsRequest, context: Context) -> pb.GetCheckpointsResponse:
        response = pb.GetCheckpointsResponse(public_keys={"evidence": self._evidence_key})
        for name, audit in self._audits.items():
            checkpoint = await self._work.storage(audit.audit_checkpoint)
            response.checkpoints.add(chain=name, json=checkpoint.to_json().decode())
            response.public_keys[name] = await self._work.storage(audit.audit_public_key)
        return response

    def _audit(self, chain: str) -> AuditCalls:
        if not chain:
            raise MissingField(message("error.rpc.chain_not_set"), field="chain")
        if chain not in self._audits:
            raise InvalidField(message("error.rpc.chain", chains=", ".join(CHAINS)), field="chain")
        return self._audits[chain]


def _place(last: str) -> tuple[int, int | None]:
    """Return the number after which a page begins, and that of the last record of the list; raises `InvalidPage`."""
    if not last:
        return 0, None
    after, _, upto = last.partition(" ")
    return number_of(after), number_of(upto)


def _search(
    audit: AuditCalls, request: pb.SearchAuditRequest, after: int, upto: int | None, size: int
) -> tuple[Page, int | None]:
    """Return a page, and the number of the last record of the list.

    The list ends with what there was at its first page: each page that somebody reads of the chain "access" is a record
    in it.
    """
    if request.subject_id and not request.gallery_id:
        raise MissingField(message("error.rpc.subject_id_gallery_set_gallery_id"), field="gallery_id")
    subject = audit.audit_subject(request.gallery_id, request.subject_id) if request.subject_id else ()
    case = audit.audit_case(request.case_reference) if request.case_reference else ()
    wanted = Filter(
        since_ms=_milliseconds(request.start_time, "start_time") if request.HasField("start_time") else None,
        until_ms=_milliseconds(request.end_time, "end_time") if request.HasField("end_time") else None,
        actor=request.actor or None,
        action=request.action or None,
        outcome=request.outcome or None,
        gallery=request.gallery_id or None,
        subject=subject,
        case=case,
        request_id=request.request_id or None,
    )
    page = audit.audit_search(wanted, after, size)
    if upto is None:
        return page, None if page.after is None else audit.audit_checkpoint().seq
    records = tuple(kept for kept in page.records if kept.record.seq <= upto)
    return Page(records, page.after if len(records) == len(page.records) else None), upto


def _milliseconds(sent: timestamp_pb2.Timestamp, field: str) -> int:
    try:
        return int(sent.ToMilliseconds())
    except ValueError as error:
        raise InvalidField(message("error.rpc.no_time", field=field), field=field) from error


def _record_message(kept: Kept) -> pb.AuditRecord:
    return pb.AuditRecord(
        seq=kept.record.seq, time=timestamp_ms(kept.record.at_ms), json=kept.body.decode(), hash=kept.hash.hex()
    )


def _checkpoints_of(request: pb.VerifyAuditRequest) -> dict[str, list[Checkpoint]]:
    found: dict[str, list[Checkpoint]] = {name: [] for name in CHAINS}
    for sent in request.checkpoints:
        found[sent.chain].append(parse_checkpoint(sent.json.encode()))
    return found


def _verdict(chain: str, checkpoints: Sequence[Checkpoint], found: Verified | Broken) -> pb.ChainVerdict:
    if isinstance(found, Broken):
        return pb.ChainVerdict(
            chain=chain, checkpoints=len(checkpoints), intact=False, finding=found.why.value, seq=found.seq
        )
    return pb.ChainVerdict(
        chain=chain,
        records=found.records,
        checkpoints=len(checkpoints),
        intact=True,
        pruned=found.after,
        unchecked=found.unchecked,
    )
