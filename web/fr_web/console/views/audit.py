"""The audit: its records, the check of its chains against checkpoints, and both as files to keep elsewhere."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from fr_api.v1 import access_pb2, audit_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.forms import Part
from fr_web.console.visit import ON_A_PAGE, Screen, Visit
from fr_web.room import too_large

_AUDITS = frozenset({access_pb2.ROLE_AUDITOR})
_MOST_CHECKPOINTS, _MOST_BYTES = 2_000, 2 * 1024 * 1024  # of all files together
_NAMED = re.compile(r"(access|galleries|cases|training)-[0-9]{1,16}\.json")
CHAINS: Mapping[str, Message] = {
    "access": message("console.audit.access"),
    "galleries": message("console.audit.galleries"),
    "cases": message("console.audit.cases"),
    "training": message("console.audit.training"),
}
SIGNS: Mapping[str, Message] = {**CHAINS, "evidence": message("console.audit.evidence")}
"""Chains and files that a key signs."""
FINDINGS: Mapping[str, Message] = {
    "edited": message("console.finding.edited"),
    "missing": message("console.finding.missing"),
    "inserted": message("console.finding.inserted"),
    "out_of_order": message("console.finding.out_of_order"),
    "truncated": message("console.finding.truncated"),
    "head_altered": message("console.finding.head_altered"),
    "prune_altered": message("console.finding.prune_altered"),
    "malformed": message("console.finding.malformed"),
    "rewritten": message("console.finding.rewritten"),
    "checkpoint_forged": message("console.finding.checkpoint_forged"),
    "other_key": message("console.finding.other_key"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The records to look for; what is empty is any. Days are of UTC, and both count."""

    chain: str = "access"
    first_day: str = ""
    last_day: str = ""
    actor: str = ""
    action: str = ""
    outcome: str = ""
    gallery: str = ""
    subject: str = ""
    case_reference: str = ""
    request: str = ""
    page: str = ""


async def audit(visit: Visit) -> Response:
    """Show the form; a reference of a case or a subject stays out of addresses, so it is posted."""
    return _audit(visit, Wanted())


def _audit(visit: Visit, form: Wanted, error: FrApiError | None = None, **found: Any) -> Response:
    return visit.page("audit.html", error, **{"form": form, "found": None, "chains": CHAINS, **found})


async def search(visit: Visit) -> Response:
    """Show a page of the records."""
    form = Wanted()
    try:
        form = visit.form(Wanted)
        request = audit_pb2.SearchAuditRequest(
            chain=form.chain,
            start_time=visit.day(form.first_day, "first_day"),
            end_time=visit.day(form.last_day, "last_day", 1),
            actor=form.actor,
            action=form.action,
            outcome=form.outcome,
            gallery_id=form.gallery,
            subject_id=form.subject,
            case_reference=form.case_reference,
            request_id=form.request,
            page_size=ON_A_PAGE,
            page_token=form.page,
        )
        found = await visit.ask(request, audit_pb2.SearchAuditResponse)
    except FrApiError as error:
        return _audit(visit, form, error)
    return _audit(visit, form, found=found, records=[(one, json.loads(one.json)) for one in found.records])


async def check(visit: Visit, error: FrApiError | None = None, **found: Any) -> Response:
    """Show the form of a check, and what one has found."""
    return visit.page("audit_check.html", error, **{"verdicts": None, "chains": CHAINS, "signs": SIGNS, **found})


async def verify(visit: Visit) -> Response:
    """Check every record of all chains, against checkpoints that were kept elsewhere."""
    try:
        kept: list[audit_pb2.Checkpoint] = []
        size = 0
        assert visit.files is not None
        async for part in visit.files:
            size += len(part.content)
            if part.is_too_large or size > _MOST_BYTES:
                raise too_large(_MOST_BYTES)
            kept += _checkpoints(visit, part) if part.file else ()
            if len(kept) > _MOST_CHECKPOINTS:
                raise visit.invalid(message("console.audit.too_many", most=_MOST_CHECKPOINTS), "checkpoints")
        request = audit_pb2.VerifyAuditRequest(checkpoints=kept)
        found = await visit.ask(request, audit_pb2.VerifyAuditResponse)
    except FrApiError as error:
        return await check(visit, error)
    return await check(visit, verdicts=found.verdicts, given=len(kept), findings=FINDINGS)


async def checkpoints(visit: Visit) -> Response:
    """Send a signed checkpoint of each chain, and the public keys, as a file to keep elsewhere."""
    found = await visit.ask(audit_pb2.GetCheckpointsRequest(), audit_pb2.GetCheckpointsResponse)
    kept = [{"chain": one.chain, "json": one.json} for one in found.checkpoints]
    told = {"checkpoints": kept, "public_keys": dict(found.public_keys)}
    name = f"checkpoints-{datetime.now(UTC):%Y-%m-%d-%H%M%S}.json"
    content = json.dumps(told, indent=1, sort_keys=True).encode()
    return await visit.file(name, "application/json", content)


async def public_key(visit: Visit) -> Response:
    """Send a public key, for people who check an exported chain or the evidence of a case."""
    found = await visit.ask(audit_pb2.GetCheckpointsRequest(), audit_pb2.GetCheckpointsResponse)
    name = visit.query("of")
    if name not in found.public_keys:
        raise visit.invalid(message("console.audit.no_chain"), "of")
    return await visit.file(f"{name}.pem", "application/x-pem-file", found.public_keys[name].encode())


async def export(visit: Visit) -> Response:
    """Send a chain as lines of JSON, with a signed checkpoint at its end."""
    chain = visit.query("chain")
    if chain not in CHAINS:
        raise visit.invalid(message("console.audit.no_chain"), "chain")
    pieces = visit.each(audit_pb2.ExportAuditRequest(chain=chain), audit_pb2.ExportAuditResponse)
    return await visit.file(f"{chain}.jsonl", "application/jsonl", (one.data async for one in pieces))


def _checkpoints(visit: Visit, part: Part) -> Sequence[audit_pb2.Checkpoint]:
    """Return the checkpoints of a file that this page saved, or the one of a file that `fr audit checkpoint` named."""
    named = _NAMED.fullmatch(part.file or "")
    try:
        text = part.content.decode()
        if named is not None:
            return [audit_pb2.Checkpoint(chain=named[1], json=text.strip())]
        return [audit_pb2.Checkpoint(chain=one["chain"], json=one["json"]) for one in json.loads(text)["checkpoints"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise visit.invalid(message("console.audit.no_checkpoints"), "checkpoints") from error


SCREENS = (
    Screen("/audit", audit, roles=_AUDITS, nav=message("console.nav.audit"), about=message("console.about.audit")),
    Screen("/audit", search, method="POST", roles=_AUDITS),
    Screen("/audit/check", check, roles=_AUDITS),
    Screen("/audit/check", verify, method="POST", roles=_AUDITS, streams=True),
    Screen("/audit/checkpoints", checkpoints, roles=_AUDITS),
    Screen("/audit/key", public_key, roles=_AUDITS),
    Screen("/audit/export", export, roles=_AUDITS),
)
