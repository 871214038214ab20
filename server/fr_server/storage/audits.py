"""The audits as the services see them, in this process or another: one chain for each store."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol, get_args, runtime_checkable

from fr_core.errors import InternalError, StoreFailed, message
from fr_core.id_forms import forms_of
from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Pseudonym
from fr_core.storage.audit.verify import Broken, Verified, disagreement, verify
from fr_server.storage.calls import AuditCalls, ExportPart, GalleryCalls
from fr_server.telemetry.trust import Chain
from fr_trust.audit.export import Segment, export, oldest_segment
from fr_trust.audit.search import Filter, Page, search
from fr_trust.casework.store import CaseStore

CHAINS: tuple[Chain, ...] = get_args(Chain)  # the chains of a server

# Records of one step of an export: half a megabyte, and some 50 ms, in which a moment of the store is held.
_STEP = 1_000
_CHECKPOINT = b'{"checkpoint":'


@runtime_checkable
class Auditable(Protocol):
    """A store with an audit."""

    def auditing(self) -> AbstractContextManager[AuditTable]:
        """Read the audit as of one moment, within the block."""

    def prune_audit(self, after: int, upto: int, last: bool) -> bool:
        """As `AuditCalls.audit_prune`."""


class LocalAudit:
    """The audit of a store of this process; the evidence of kept cases needs the records since they were opened."""

    def __init__(self, store: Auditable, case_ids: Callable[[], Collection[str]] = frozenset) -> None:
        self._store = store
        self._case_ids = case_ids

    def audit_search(self, wanted: Filter, after: int, limit: int) -> Page:
        """As `fr_trust.audit.search.search`."""
        with self._store.auditing() as audit:
            return search(audit, wanted, after, limit)

    def audit_verify(self, checkpoints: Sequence[Checkpoint]) -> Verified | Broken:
        """As `fr_core.storage.audit.verify.verify`."""
        with self._store.auditing() as audit:
            return verify(audit, checkpoints)

    def audit_disagreement(self, checkpoint: Checkpoint) -> Broken | None:
        """As `fr_core.storage.audit.verify.disagreement`; raises `StoreCorrupt`, too."""
        with self._store.auditing() as audit:
            return disagreement(audit, checkpoint)

    def audit_export(self, after: int, begun: bool) -> ExportPart:
        """Do one step of an export: the steps together hold what was recorded meanwhile, up to the checkpoint.

        It goes on from the record after the number `after`; `begun` says whether there was a step before. Raises
        `InvalidField` if the chain has no such record, and `StoreFailed` if records of the next step were pruned since
        the last one.
        """
        with self._store.auditing() as audit:
            pruned = audit.pruned().upto
            if begun and after < pruned:
                raise StoreFailed(message("error.server.records_pruned_while_they"))
            after = max(after, pruned)
            lines = export(audit, after)
            beginning = next(lines)
            found = list(islice(lines, _STEP))
        ended = found[-1].startswith(_CHECKPOINT)
        data = b"".join(found if begun else (beginning, *found))
        return ExportPart(data, None if ended else after + len(found))

    def audit_oldest(self, before_ms: int) -> Segment | None:
        """As `fr_trust.audit.export.oldest_segment`; records of kept cases are not due."""
        kept = self._case_ids()  # before reading the audit: all records of a case that is opened later are newer
        with self._store.auditing() as audit:
            return oldest_segment(audit, before_ms, lambda record: record.detail.get("case_id") in kept)

    def audit_prune(self, after: int, upto: int, last: bool) -> bool:
        """As `AuditTable.prune`; after the last of several, overwrites all copies of the deleted records."""
        return self._store.prune_audit(after, upto, last)

    def audit_checkpoint(self) -> Checkpoint:
        """Sign how far the chain is."""
        with self._store.auditing() as audit:
            return audit.checkpoint()

    def audit_public_key(self) -> str:
        """Return the key that tells its signatures, as PEM."""
        with self._store.auditing() as audit:
            return audit.public_pem()

    def audit_subject(self, gallery_id: str, subject_id: str) -> tuple[Pseudonym, ...]:
        """Return the pseudonyms of a subject in the chain, for all Unicode forms of the caller's id."""
        with self._store.auditing() as audit:
            pseudonyms = audit.pseudonyms()
            return tuple(pseudonyms.subject(gallery_id, form) for form in forms_of(subject_id))

    def audit_case(self, reference: str) -> tuple[Pseudonym, ...]:
        """Return the pseudonyms of a case in the chain, for all Unicode forms of its reference."""
        with self._store.auditing() as audit:
            pseudonyms = audit.pseudonyms()
            return tuple(pseudonyms.case(form) for form in forms_of(reference))


def audits_of(
    galleries: GalleryCalls, training: Auditable, cases: CaseStore, access: Auditable
) -> dict[Chain, AuditCalls]:
    """Return the audits of a server by the names of their chains; the galleries may be the engine's process's."""
    stores = (LocalAudit(training), LocalAudit(cases, cases.case_ids), LocalAudit(access))
    return dict(zip(CHAINS, (audit_of(galleries), *stores), strict=True))


def audit_of(galleries: GalleryCalls) -> AuditCalls:
    """Return the audit of galleries, wherever these are."""
    if isinstance(galleries, AuditCalls):
        return galleries
    if isinstance(galleries, Auditable):
        return LocalAudit(galleries)
    raise InternalError(message("error.server.galleries_without_audit"))
