"""The audit of a store that opens: its newest records looked at, or all of them."""

from __future__ import annotations

import time

from fr_core.errors import StoreCorrupt
from fr_core.storage.audit.keys import MacKeys
from fr_core.storage.audit.rows import Connection
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import Broken, verify
from fr_core.storage.vault import Vault


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def audit_table(connection: Connection, vault: Vault) -> AuditTable:
    """Return the audit over a connection to a store of galleries, for those who have no clock of their own."""
    return AuditTable(connection, MacKeys(vault.mac), now_ms)


def require_unbroken(table: AuditTable) -> int:
    """Check every record of a chain, and return how many there are.

    Args:
        table: the chain; its connection is in one transaction all the while.

    Raises:
        StoreCorrupt: something is not as it was written (metadata: seq, of the first record that is wrong; why).
    """
    found = verify(table)
    if isinstance(found, Broken):
        raise StoreCorrupt(
            f"Record {found.seq} of the audit is not as it was written: {found.why.value}.",
            check="audit",
            seq=str(found.seq),
            why=found.why.value,
        )
    return found.records
