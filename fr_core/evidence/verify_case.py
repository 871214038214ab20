"""Whether the documents of a bundle agree with each other: searches, photos, findings and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from fr_core.casework.codec import finding_digest, search_digest
from fr_core.casework.rules import conclusion_of, required_findings, state_of
from fr_core.casework.values import State
from fr_core.evidence.archive import Entry, is_name, read, unusable
from fr_core.evidence.documents import (
    AUDIT,
    AUDIT_KEY,
    CHECKPOINT,
    MANIFEST,
    PUBLIC_KEY,
    REPORT,
    SIGNATURE,
    UNFINISHED,
    FindingsDocument,
    SearchDocument,
    parsed,
    read_findings,
    read_search,
)

_MAX_DOCUMENT_BYTES = 16 * 2**20
_TOP = {MANIFEST, SIGNATURE, PUBLIC_KEY, REPORT}
_AUDIT = {AUDIT, CHECKPOINT, AUDIT_KEY}
_DOCUMENTS = ("search.json", "derivations.json", "findings.json")
_IN_FOLDER = re.compile(r"examinations/([0-9]{2,5})/((?:candidates/)?[a-z0-9]+\.[a-z0-9]+)")


@dataclass(frozen=True, slots=True)
class Digests:
    """What the audit must say of an examination.

    Attributes:
        search: digest of the search.
        findings: digests of the findings, in their order; None where they are not told.
    """

    search: str
    findings: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CaseVerified:
    """What the documents say.

    Attributes:
        examinations: how many there are.
        unfinished: ids of those that wait for a finding.
        digests: by examination_id.
    """

    examinations: int
    unfinished: tuple[str, ...]
    digests: Mapping[str, Digests]


def verify_case(file: BinaryIO, entries: Mapping[str, Entry], case_id: str) -> CaseVerified:
    """Check every document but the audit.

    Args:
        file: the bundle, whose bytes are those that the manifest lists.
        entries: its files, by their names.
        case_id: of the manifest.

    Raises:
        EvidenceUnusable: a document contradicts another, or a file is missing or none of a bundle.
    """
    folders = _folders(entries)
    digests: dict[str, Digests] = {}
    unfinished = []
    for folder, names in folders.items():
        search, findings = _examination(file, entries, folder, names)
        where = f"{folder}/search.json"
        if search.case_id != case_id or search.examination_id in digests:
            raise unusable(where, "case", "An examination is of another case, or is there twice.")
        finished = findings.state != UNFINISHED
        if not finished:
            unfinished.append(search.examination_id)
        digests[search.examination_id] = Digests(
            _digest(where, search), _finding_digests(f"{folder}/findings.json", findings) if finished else None
        )
    return CaseVerified(len(folders), tuple(unfinished), digests)


def _folders(entries: Mapping[str, Entry]) -> dict[str, set[str]]:
    """Return the names of the files of each examination, by its folder."""
    numbers: dict[int, tuple[str, set[str]]] = {}
    for name in entries:
        if name in _TOP | _AUDIT:
            continue
        found = _IN_FOLDER.fullmatch(name)
        if found is None or found[1] != f"{int(found[1]):02d}":
            raise unusable(name, "name", "The bundle holds a file that none of its kind does.")
        numbers.setdefault(int(found[1]), (f"examinations/{found[1]}", set()))[1].add(found[2])
    for name in sorted(_TOP if _AUDIT.isdisjoint(entries) else _TOP | _AUDIT):
        if name not in entries:
            raise unusable(name, "missing", "A file of the bundle is missing.")
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise unusable(MANIFEST, "examinations", "The examinations of the bundle are not all there.")
    return dict(numbers[number] for number in sorted(numbers))


def _examination(
    file: BinaryIO, entries: Mapping[str, Entry], folder: str, names: set[str]
) -> tuple[SearchDocument, FindingsDocument]:
    for name in _DOCUMENTS:
        if name not in names:
            raise unusable(f"{folder}/{name}", "missing", "A document of an examination is missing.")
    told: dict[str, Any] = {}
    for name, how in zip(_DOCUMENTS, (read_search, dict, read_findings), strict=True):
        data = read(file, entries[f"{folder}/{name}"], _MAX_DOCUMENT_BYTES)
        told[name] = parsed(f"{folder}/{name}", data, how)  # type: ignore[arg-type]
    search: SearchDocument = told["search.json"]
    findings: FindingsDocument = told["findings.json"]
    _require_photos(entries, folder, names, search)
    _require_conclusion(f"{folder}/findings.json", search, findings)
    return search, findings


def _require_photos(entries: Mapping[str, Entry], folder: str, names: set[str], search: SearchDocument) -> None:
    where = f"{folder}/search.json"
    photos = {search.probe, *search.photos.values()}
    candidates = range(1, len(search.candidates) + 1)
    # What a document says is repeated in an error only where it is the name of a file.
    fit = all(is_name(f"{folder}/{name}") for name in photos)
    if not fit or len(photos) != 1 + len(search.photos) or not set(search.photos) <= set(candidates):
        raise unusable(where, "photos", "A search tells photos that it cannot have.")
    for name in sorted(photos ^ (names - set(_DOCUMENTS))):
        raise unusable(f"{folder}/{name}", "photos", "A photo is missing, or is none of the search.")
    if entries[f"{folder}/{search.probe}"].sha256 != search.searched.probe_sha256:
        raise unusable(f"{folder}/{search.probe}", "probe", "The probe is not the photo that was searched with.")
    for number, name in sorted(search.photos.items()):
        if entries[f"{folder}/{name}"].sha256 != search.candidates[number - 1].photo_sha256:
            raise unusable(f"{folder}/{name}", "photo", "The photo of a candidate is not the one that was enrolled.")


def _require_conclusion(where: str, search: SearchDocument, told: FindingsDocument) -> None:
    """Raise unless what is concluded follows from the findings."""
    asked = (search.searched.operational, len(search.candidates))
    operational, conclusion = asked[0], conclusion_of(told.findings, *asked)
    state, most = state_of(told.findings, *asked), required_findings(*asked)
    if told.examination_id != search.examination_id:
        raise unusable(where, "examination", "Findings are those of another examination.")
    if told.state == UNFINISHED:
        right = most > 0 and not told.findings and told.conclusion is None and told.required_findings == most
    else:
        pair = None if conclusion is None else (conclusion.kind.value, conclusion.template_id)
        right = told.required_findings == most
        right = right and told.state == state.value == State.CONCLUDED.value and pair == told.conclusion
        # The finding that concluded an examination is its last.
        right = right and (not told.findings or state_of(told.findings[:-1], *asked) is not State.CONCLUDED)
        right = right and len({one.examiner for one in told.findings}) == len(told.findings) >= most
        right = right and not (operational and search.searched.searched_by in {one.examiner for one in told.findings})
    if not right:
        raise unusable(where, "conclusion", "What is concluded does not follow from the findings.")


def _digest(where: str, search: SearchDocument) -> str:
    try:
        return search_digest(search.examination_id, search.case_id, search.searched, search.candidates, search.salt)
    except (ValueError, TypeError):
        raise unusable(where, "salt", "A search has no salt.") from None


def _finding_digests(where: str, told: FindingsDocument) -> tuple[str, ...]:
    try:
        return tuple(finding_digest(told.examination_id, number, one) for number, one in enumerate(told.findings, 1))
    except (ValueError, TypeError):
        raise unusable(where, "salt", "A finding has no salt.") from None
