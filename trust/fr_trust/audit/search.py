"""Finding records: by time, actor, action, outcome, gallery, subject, case and request; a page at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from fr_core.storage.audit.chain import Kept
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import MAX_NUMBER, Pseudonym, Record, canonical

# Of one statement, so that a search which finds little in much reads no more than it decodes.
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Filter:
    """The records to find; None matches everything."""

    since_ms: int | None = None  # not before this, milliseconds since 1970, UTC
    until_ms: int | None = None  # before this
    actor: str | None = None
    action: str | None = None  # an action, or its beginning followed by `*`
    outcome: str | None = None
    gallery: str | None = None  # id of a gallery
    # Pseudonyms of a subject; a record must hold one of them. Empty for no such condition.
    subject: tuple[Pseudonym, ...] = ()
    case: tuple[Pseudonym, ...] = ()  # the same for a case
    request_id: str | None = None

    def fits(self, record: Record) -> bool:
        """Return whether the record is wanted."""
        if not (self.since_ms or 0) <= record.at_ms < (MAX_NUMBER + 1 if self.until_ms is None else self.until_ms):
            return False
        if self.action is not None and not _fits_action(self.action, record.action):
            return False
        if self.subject and set(self.subject).isdisjoint(record.subjects):
            return False
        if self.case and record.case not in self.case:
            return False
        return all(getattr(record, name) == value for name, value in self._equal())

    def needles(self) -> Iterator[bytes]:
        """Yield bytes that every record that is wanted holds; others may hold them too."""
        for name, value in self._equal():
            yield canonical({name: value})[1:-1]
        if self.action is not None:
            whole = canonical({"action": self.action.removesuffix("*")})[1:-1]
            yield whole[:-1] if self.action.endswith("*") else whole
        for own in (self.subject, self.case):
            if len(own) == 1:  # with several pseudonyms, no bytes are in every matching record
                yield f'"{own[0]}"'.encode()  # hexadecimal digits, which JSON never escapes

    def _equal(self) -> Iterator[tuple[str, str]]:
        for name in ("actor", "outcome", "gallery", "request_id"):
            if (value := getattr(self, name)) is not None:
                yield name, value


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the records that are wanted, the oldest first; the next page begins after the number `after`, if any."""

    records: tuple[Kept, ...]
    after: int | None


def search(table: AuditTable, wanted: Filter, after: int, limit: int) -> Page:
    """Return at most `limit` records that are wanted, the oldest first, after that of a number.

    The connection of the table is in one transaction all the while. Raises `StoreCorrupt` if a record that was read is
    not as it was written.
    """
    # The time never goes back within a chain, so that a span of time is one of numbers.
    if wanted.since_ms is not None:
        after = max(after, _last_before(table, wanted.since_ms))
    last = table.head().seq if wanted.until_ms is None else _last_before(table, wanted.until_ms)
    needles = tuple(wanted.needles())
    found: list[Kept] = []
    while len(found) <= limit:
        batch = table.matching(after, last, needles, min(limit + 1 - len(found), _BATCH))
        found.extend(kept for kept in batch if wanted.fits(kept.record))
        if not batch:
            return Page(tuple(found), None)
        after = batch[-1].record.seq
    return Page(tuple(found[:limit]), found[limit - 1].record.seq)


def _last_before(table: AuditTable, at_ms: int) -> int:
    """Return the number of the last record before a time; that of the last pruned record if there is none."""
    low, high = table.pruned().upto, table.head().seq
    while low < high:
        middle = (low + high + 1) // 2
        if table.records(middle - 1, 1)[0].record.at_ms < at_ms:
            low = middle
        else:
            high = middle - 1
    return low


def _fits_action(wanted: str, action: str) -> bool:
    return action.startswith(wanted[:-1]) if wanted.endswith("*") else action == wanted
