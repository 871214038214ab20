"""Extracts the audit for a bundle: the records of its case, and the hashes of all other records of that time."""

from __future__ import annotations

from fr_core.errors import InvalidField, StoreCorrupt
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Record
from fr_trust.audit.export import export
from fr_trust.audit.search import Filter, search
from fr_trust.casework.values import Case
from fr_trust.evidence.archive import MAX_BUNDLE_BYTES
from fr_trust.evidence.values import AuditExtract

OPENING, SEARCH, FINDING = "case.open", "case.search", "case.finding"
"""What a record of the opening of a case, a search in it, and a finding tells, as its action."""

_PAGE = 100


def audit_extract(audit: AuditTable, case: Case, most_bytes: int = MAX_BUNDLE_BYTES) -> AuditExtract:
    """Return what the audit says of a case; subjects stand in it under pseudonyms.

    What others did meanwhile is withheld: of it there is the hash that the chain needs, and no word.

    Args:
        audit: of the store of the case, as of one moment.
        case: the case.
        most_bytes: what the lines may take.

    Raises:
        StoreCorrupt: the audit does not say that the case was opened, or was altered.
        InvalidField: the lines take more.
    """
    before = _opening(audit, case) - 1
    lines, size, told = [], 0, {True: 0, False: 0}
    searches = 0

    def shown(record: Record) -> bool:
        nonlocal searches
        own = record.detail.get("case_id") == case.case_id
        told[own] += 1
        searches += own and record.action == SEARCH
        return own

    for line in export(audit, before, shown):
        size += len(line)
        if size > most_bytes:
            raise InvalidField("The audit since the case was opened is longer than a bundle holds.", field="case_id")
        lines.append(line)
    checkpoint, public_key = audit.checkpoint().to_json(), audit.public_pem()
    return AuditExtract(b"".join(lines), checkpoint, public_key, told[True], told[False], searches)


def _opening(audit: AuditTable, case: Case) -> int:
    """Return the number of the record that tells of the opening of a case.

    It is not looked for by time: where the clock was set back, a record has another time than what it tells of.
    """
    wanted = Filter(action=OPENING, case=(audit.pseudonyms().case(case.reference),))
    after: int | None = 0
    while after is not None:
        page = search(audit, wanted, after, _PAGE)
        for kept in page.records:
            if kept.record.detail.get("case_id") == case.case_id:
                return kept.record.seq
        after = page.after
    raise StoreCorrupt("The audit does not say that the case was opened.", check="audit")
