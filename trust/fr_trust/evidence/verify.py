"""Checking an evidence bundle, with neither server nor models: every byte, every digest, the signature, the audit.

What a bundle proves by itself is that one key signed all of it. Whose key that is has to be known another way.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature

from fr_core import __version__
from fr_core.errors import EvidenceUnusable, InvalidField, message
from fr_core.storage.audit.checkpoints import key_id_of, public_pem, read_public_key
from fr_files.reading import open_regular
from fr_locales.rendering import ENGLISH, languages, speaking
from fr_trust.casework.values import Case, Examination, Purpose
from fr_trust.evidence import verify_case
from fr_trust.evidence.archive import Entry, is_name, read, scan, unusable
from fr_trust.evidence.documents import MANIFEST, PRODUCT, PUBLIC_KEY, REPORT, SIGNATURE, parsed, require_time, what_of
from fr_trust.evidence.report import pieces
from fr_trust.evidence.values import AuditVerified, Exhibit
from fr_trust.evidence.verify_audit import verify_audit
from fr_trust.evidence.verify_case import CaseVerified, examinations

_MAX_MANIFEST_BYTES = 16 * 2**20
_SIGNATURE_BYTES = 64
_MAX_KEY_BYTES = 1_024
_LANGUAGE = re.compile(rb'<!doctype html>\n<html lang="([A-Za-z-]{2,35})" ')
_MOST_BEFORE_LANGUAGE = 80  # bytes
_UNLISTED = {MANIFEST, SIGNATURE}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle that is whole."""

    case_id: str
    case_reference: str
    purpose: str
    made_ms: int  # when, milliseconds since 1970, UTC, as the signer says
    made_by: str  # a principal_id, as the signer says
    version: str  # of the product that made it
    files: int  # how many the manifest lists
    examinations: int
    unfinished: tuple[str, ...]  # ids of examinations that wait for a finding
    key_id: str  # 16 hexadecimal digits of the key that signed
    # True if that is the expected key; false where none was given: then the bundle is merely consistent in itself, and
    # anybody may have made it.
    by_expected_key: bool
    # True if the page, made again from the documents, is the same; false where another version of the product made it
    # or it has a language that is not here: then it may say anything.
    page_compared: bool
    audit: AuditVerified | None  # what is known of the audit; None where the bundle has none


def verify_bundle(
    source: Path | BinaryIO, expected_public_key: str | None = None, expected_audit_key: str | None = None
) -> Verified:
    """Check a bundle; memory does not grow with its photos.

    Args:
        source: the file, or its path; a file can be sought, and nobody changes it meanwhile.
        expected_public_key: PEM of the key that must have signed it; None = any.
        expected_audit_key: PEM of the key that must have signed the audit; None = any.

    Raises:
        EvidenceUnusable: it is not whole, or not by the expected key; `file` names the first file that is wrong.
        OSError: it cannot be read.
        InvalidField: an expected key is not an Ed25519 key in PEM.
    """
    expected = None if expected_public_key is None else public_pem(read_public_key(expected_public_key))
    expected_audit = None if expected_audit_key is None else public_pem(read_public_key(expected_audit_key))
    with _opened(source) as file:
        entries = {entry.name: entry for entry in scan(file)}
        for name in (MANIFEST, SIGNATURE, PUBLIC_KEY):
            if name not in entries:
                raise unusable(name, "missing", message("error.trust.file_bundle_missing"))
        data = read(file, entries[MANIFEST], _MAX_MANIFEST_BYTES)
        key_id = _require_signed(file, entries, data, expected)
        manifest = parsed(MANIFEST, data, _read_manifest)
        _require_files(manifest.files, entries)
        case = verify_case.verify_case(file, entries, manifest.case_id)
        _require_words(manifest.files)
        audit = verify_audit(file, entries, manifest.case_id, case.digests, expected_audit)
        page_compared = manifest.version == __version__ and verify_page(
            file, entries, manifest.case, case, manifest.made_ms, manifest.made_by, audit
        )
    return Verified(
        case_id=manifest.case_id,
        case_reference=manifest.case_reference,
        purpose=manifest.purpose,
        made_ms=manifest.made_ms,
        made_by=manifest.made_by,
        version=manifest.version,
        files=len(manifest.files),
        examinations=case.examinations,
        unfinished=case.unfinished,
        key_id=key_id,
        by_expected_key=expected is not None,
        page_compared=page_compared,
        audit=audit,
    )


@dataclass(frozen=True, slots=True)
class _File:
    sha256: str
    size: int
    what: str


@dataclass(frozen=True, slots=True)
class _Manifest:
    version: str
    case_id: str
    case_reference: str
    purpose: str
    opened_by: str
    opened_ms: int
    closed_ms: int | None
    made_ms: int
    made_by: str
    files: Mapping[str, _File]

    @property
    def case(self) -> Case:
        """Return what it says of the case."""
        purpose = Purpose(self.purpose)
        return Case(self.case_id, self.case_reference, purpose, self.opened_by, self.opened_ms, self.closed_ms)


def _read_manifest(said: dict[str, Any]) -> _Manifest:
    if said.pop("product") != PRODUCT:
        raise ValueError("another product's")
    files = {}
    for name, told in said.pop("files").items():
        own = files[name] = _File(**told)
        fit = is_name(name) and name not in _UNLISTED and type(own.size) is int and own.size >= 0
        if not fit or _SHA256.fullmatch(own.sha256) is None:
            raise ValueError("a file that none is")
    manifest = _Manifest(**said, files=files)
    case, times = manifest.case, [manifest.opened_ms, manifest.made_ms]
    texts = (manifest.version, case.case_id, case.reference, case.opened_by, manifest.made_by)
    times += [] if case.closed_ms is None else [case.closed_ms]
    if not all(isinstance(text, str) for text in texts) or not all(type(time) is int for time in times):
        raise ValueError("a field of another type")
    for time in times:
        require_time(time)
    return manifest


def _require_signed(file: BinaryIO, entries: Mapping[str, Entry], manifest: bytes, expected: str | None) -> str:
    """Return the id of the key that signed the manifest; raises where none has, or another than was expected."""
    pem = read(file, entries[PUBLIC_KEY], _MAX_KEY_BYTES)
    try:
        key = read_public_key(pem.decode("ascii"))
    except (InvalidField, UnicodeDecodeError):
        raise unusable(PUBLIC_KEY, "key", message("error.trust.key_bundle_cannot_read")) from None
    if public_pem(key).encode() != pem:
        raise unusable(PUBLIC_KEY, "key", message("error.trust.key_bundle_not_written"))
    if expected is not None and expected.encode() != pem:
        raise unusable(PUBLIC_KEY, "other_key", message("error.trust.bundle_signed_another_key"))
    try:
        key.verify(read(file, entries[SIGNATURE], _SIGNATURE_BYTES), manifest)
    except InvalidSignature:
        raise unusable(SIGNATURE, "signature", message("error.trust.signature_not_key_over")) from None
    return key_id_of(key)


def _require_files(listed: Mapping[str, _File], entries: Mapping[str, Entry]) -> None:
    for name in sorted({*listed, *entries} - _UNLISTED):
        entry, told = entries.get(name), listed.get(name)
        if entry is None:
            raise unusable(name, "missing", message("error.trust.file_manifest_lists_missing"))
        if told is None:
            raise unusable(name, "extra", message("error.trust.bundle_holds_file_manifest"))
        if (told.sha256, told.size) != (entry.sha256, entry.size):
            raise unusable(name, "sha256", message("error.trust.file_bundle_not_manifest"))


def _require_words(listed: Mapping[str, _File]) -> None:
    for name, told in listed.items():
        try:
            right = told.what == what_of(name)
        except KeyError:
            right = False
        if not right:
            raise unusable(MANIFEST, "what", message("error.trust.manifest_does_not_call", name=name))


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, Path):
        with open_regular(source) as file:
            yield file
    else:
        yield source


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
    audit: AuditVerified | None,
) -> bool:
    """Compare the page of a bundle that this version has made, in its own language; False if that language is not here.

    Memory does not grow with photos. The case and `made_*` are as the manifest says, `found` as the documents do.
    Raises `EvidenceUnusable` for another page.
    """
    page = _Stored(file, entries[REPORT])
    language = _LANGUAGE.match(page[:_MOST_BEFORE_LANGUAGE])
    tongue = ENGLISH if language is None else language[1].decode()
    if tongue not in languages():
        return False
    at, counts = 0, (found.examinations, len(found.unfinished))
    with speaking(tongue):
        for piece in pieces(case, _exhibits(file, entries), counts, made_ms, made_by, audit):
            if page[at : at + len(piece)] != piece:
                raise _is_another()
            at += len(piece)
    if at != len(page):
        raise _is_another()
    return True


def _is_another() -> EvidenceUnusable:
    return unusable(REPORT, "page", message("error.trust.page_says_something_else"))


def _exhibits(file: BinaryIO, entries: Mapping[str, Entry]) -> Iterator[Exhibit]:
    for folder, search, findings in examinations(file, entries):
        own = Examination(search.examination_id, search.case_id, search.searched, search.candidates, findings.findings)
        names = {0: search.probe, **search.photos}
        photos = {place: _Stored(file, entries[f"{folder}/{name}"]) for place, name in names.items()}
        yield Exhibit(own, figures=search.figures, measured_on=search.measured_on, photos=photos)
