"""Verifies that the documents of a bundle agree with each other: searches, photos, findings and conclusions."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from fr_core.errors import InvalidField, message
from fr_trust.casework.codec import finding_digest, search_digest
from fr_trust.casework.footage import cited_frame
from fr_trust.casework.rules import examination_conclusion, require_finding, require_may_examine, required_findings
from fr_trust.casework.values import Examination, State
from fr_trust.errors import ExaminerNotIndependent, FindingLocked
from fr_trust.evidence import documents
from fr_trust.evidence.archive import Entry, is_name, read, unusable

# A search of as many candidates as there may be has a tenth of it; one of this length takes 30 times as much memory.
_MAX_DOCUMENT_BYTES = 4 * 2**20
_TOP = {documents.MANIFEST, documents.SIGNATURE, documents.PUBLIC_KEY, documents.REPORT}
_AUDIT = {documents.AUDIT, documents.CHECKPOINT, documents.AUDIT_KEY}
_DOCUMENTS = ("search.json", "derivations.json", "findings.json")
_IN_FOLDER = re.compile(r"examinations/([0-9]{2,5})/((?:candidates/)?[a-z0-9]+\.[a-z0-9]+)")


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests that the audit must hold of an examination: of its search, and of its findings unless they are not
    told.
    """

    search: str
    findings: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CaseVerified:
    """The contents of the verified documents: how many examinations, ids of unfinished ones, digests by id."""

    examinations: int
    unfinished: tuple[str, ...]
    digests: Mapping[str, Digests]


def verify_case(file: BinaryIO, entries: Mapping[str, Entry], case_id: str) -> CaseVerified:
    """Check every document but the audit, of a bundle whose bytes are those that the manifest lists.

    Raises `EvidenceUnusable` if a document contradicts another, or a file is missing or none of a bundle.
    """
    digests: dict[str, Digests] = {}
    unfinished = []
    for folder, search, findings in examinations(file, entries):
        where = f"{folder}/search.json"
        if search.case_id != case_id or search.examination_id in digests:
            raise unusable(where, "case", message("error.trust.examination_another_case_twice"))
        finished = findings.state != documents.UNFINISHED
        if not finished:
            unfinished.append(search.examination_id)
        digests[search.examination_id] = Digests(
            _digest(where, search), _finding_digests(f"{folder}/findings.json", findings) if finished else None
        )
    return CaseVerified(len(digests), tuple(unfinished), digests)


def examinations(
    file: BinaryIO, entries: Mapping[str, Entry]
) -> Iterator[tuple[str, documents.SearchDocument, documents.FindingsDocument]]:
    """Yield the folder of each examination with what its documents say, in their order; raises as `verify_case`."""
    for folder, names in _folders(entries).items():
        yield folder, *_examination(file, entries, folder, names)


def _folders(entries: Mapping[str, Entry]) -> dict[str, set[str]]:
    """Return the names of the files of each examination, by its folder."""
    numbers: dict[int, tuple[str, set[str]]] = {}
    for name in entries:
        if name in _TOP | _AUDIT:
            continue
        found = _IN_FOLDER.fullmatch(name)
        if found is None or found[1] != f"{int(found[1]):02d}":
            raise unusable(name, "name", message("error.trust.bundle_holds_file_none"))
        numbers.setdefault(int(found[1]), (f"examinations/{found[1]}", set()))[1].add(found[2])
    for name in sorted(_TOP if _AUDIT.isdisjoint(entries) else _TOP | _AUDIT):
        if name not in entries:
            raise unusable(name, "missing", message("error.trust.file_bundle_missing"))
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise unusable(documents.MANIFEST, "examinations", message("error.trust.examinations_bundle_not_all"))
    return dict(numbers[number] for number in sorted(numbers))


def _examination(
    file: BinaryIO, entries: Mapping[str, Entry], folder: str, names: set[str]
) -> tuple[documents.SearchDocument, documents.FindingsDocument]:
    for name in _DOCUMENTS:
        if name not in names:
            raise unusable(f"{folder}/{name}", "missing", message("error.trust.document_examination_missing"))
    told: dict[str, Any] = {}
    for name, how in zip(
        _DOCUMENTS, (documents.read_search, documents.read_derivations, documents.read_findings), strict=True
    ):
        data = read(file, entries[f"{folder}/{name}"], _MAX_DOCUMENT_BYTES)
        told[name] = documents.parsed(f"{folder}/{name}", data, how)
    search: documents.SearchDocument = told["search.json"]
    findings: documents.FindingsDocument = told["findings.json"]
    noted = told["derivations.json"].get(documents.NOTED_AT_THE_SEARCH)
    if noted is not None and noted != search.searched.derivations:
        raise unusable(f"{folder}/derivations.json", "derivations", message("error.trust.derivations_differ"))
    _require_footage(f"{folder}/search.json", search)
    _require_photos(entries, folder, names, search)
    _require_conclusion(f"{folder}/findings.json", search, findings)
    return search, findings


def _require_footage(where: str, search: documents.SearchDocument) -> None:
    try:
        cited_frame(search.searched.derivations)
    except ValueError:
        raise unusable(where, "footage", message("error.trust.footage_malformed")) from None


def _require_photos(
    entries: Mapping[str, Entry], folder: str, names: set[str], search: documents.SearchDocument
) -> None:
    where = f"{folder}/search.json"
    photos = {search.probe, *search.photos.values()}
    candidates = range(1, len(search.candidates) + 1)
    # What a document says is repeated in an error only where it is the name of a file.
    fit = all(is_name(f"{folder}/{name}") for name in photos)
    if not fit or len(photos) != 1 + len(search.photos) or not set(search.photos) <= set(candidates):
        raise unusable(where, "photos", message("error.trust.search_tells_photos_cannot"))
    for name in sorted(photos ^ (names - set(_DOCUMENTS))):
        raise unusable(f"{folder}/{name}", "photos", message("error.trust.photo_missing_none_search"))
    if entries[f"{folder}/{search.probe}"].sha256 != search.searched.probe_sha256:
        raise unusable(f"{folder}/{search.probe}", "probe", message("error.trust.probe_not_photo_searched"))
    for number, name in sorted(search.photos.items()):
        if entries[f"{folder}/{name}"].sha256 != search.candidates[number - 1].photo_sha256:
            raise unusable(f"{folder}/{name}", "photo", message("error.trust.photo_candidate_not_enrolled"))


def _require_conclusion(where: str, search: documents.SearchDocument, told: documents.FindingsDocument) -> None:
    if told.examination_id != search.examination_id:
        raise unusable(where, "examination", message("error.trust.findings_another_examination"))
    required = required_findings(search.searched.operational, len(search.candidates))
    if told.state == documents.UNFINISHED:
        right = required > 0 and not told.findings and told.conclusion is None
    else:
        right = told.state == State.CONCLUDED.value and _follows(search, told)
    if told.required_findings != required or not right:
        raise unusable(where, "conclusion", message("error.trust.what_concluded_does_not"))


def _follows(search: documents.SearchDocument, told: documents.FindingsDocument) -> bool:
    """Return whether the findings are those that the examiners of a search can give, and conclude what is told."""
    own = Examination(search.examination_id, search.case_id, search.searched, search.candidates)
    try:
        for nth, finding in enumerate(told.findings):
            # No examiner gives a second finding, none judges the own operational search, none what is concluded.
            require_may_examine(replace(own, findings=told.findings[:nth]), finding.examiner)
            require_finding(finding, own)
    except (InvalidField, FindingLocked, ExaminerNotIndependent):
        return False
    conclusion = examination_conclusion(replace(own, findings=told.findings))
    return conclusion is not None and (conclusion.kind.value, conclusion.template_id) == told.conclusion


def _digest(where: str, search: documents.SearchDocument) -> str:
    try:
        return search_digest(search.examination_id, search.case_id, search.searched, search.candidates, search.salt)
    except (ValueError, TypeError):
        raise unusable(where, "salt", message("error.trust.search_no_salt")) from None


def _finding_digests(where: str, told: documents.FindingsDocument) -> tuple[str, ...]:
    try:
        return tuple(finding_digest(told.examination_id, number, one) for number, one in enumerate(told.findings, 1))
    except (ValueError, TypeError):
        raise unusable(where, "salt", message("error.trust.finding_no_salt")) from None
