"""Verifies the page of a bundle: makes it anew from the documents, and compares byte by byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from fr_core.errors import EvidenceUnusable
from fr_trust.casework.values import Case, Examination
from fr_trust.evidence.archive import Entry, unusable
from fr_trust.evidence.documents import REPORT
from fr_trust.evidence.report import pieces
from fr_trust.evidence.values import AuditCounts, Exhibit
from fr_trust.evidence.verify_case import CaseVerified, examinations


@dataclass(frozen=True, slots=True)
class _Stored:
    """The bytes of a file of a bundle, read as they are asked for."""

    file: BinaryIO
    entry: Entry

    def __len__(self) -> int:
        return self.entry.size

    def __getitem__(self, key: slice, /) -> bytes:
        start, stop, _ = key.indices(self.entry.size)
        self.file.seek(self.entry.content_at + start)
        return self.file.read(stop - start)


def verify_page(
    file: BinaryIO,
    entries: Mapping[str, Entry],
    case: Case,
    found: CaseVerified,
    made_ms: int,
    made_by: str,
    audit: AuditCounts | None,
) -> None:
    """Compare the page of a bundle that this version has made; memory does not grow with its photos.

    Args:
        file: the bundle.
        entries: its files, by their names.
        case: as the manifest says.
        found: what its documents say.
        made_ms: when it was made, milliseconds since 1970, UTC, as the manifest says.
        made_by: a principal_id, likewise.
        audit: what it holds of the audit; None where it has none.

    Raises:
        EvidenceUnusable: the page is another.
    """
    page, at = _Stored(file, entries[REPORT]), 0
    counts = (found.examinations, len(found.unfinished))
    for piece in pieces(case, _exhibits(file, entries), counts, made_ms, made_by, audit):
        if page[at : at + len(piece)] != piece:
            raise _is_another()
        at += len(piece)
    if at != len(page):
        raise _is_another()


def _is_another() -> EvidenceUnusable:
    return unusable(REPORT, "page", "The page says something else than the documents of the bundle.")


def _exhibits(file: BinaryIO, entries: Mapping[str, Entry]) -> Iterator[Exhibit]:
    for folder, search, findings in examinations(file, entries):
        own = Examination(search.examination_id, search.case_id, search.searched, search.candidates, findings.findings)
        names = {0: search.probe, **search.photos}
        photos = {place: _Stored(file, entries[f"{folder}/{name}"]) for place, name in names.items()}
        yield Exhibit(own, figures=search.figures, measured_on=search.measured_on, photos=photos)
