"""Making an evidence bundle: the same of the same, byte for byte, but for the signature's key and the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from fr_core import __version__
from fr_core.errors import InvalidField
from fr_trust.casework.rules import is_concluded
from fr_trust.casework.values import Case
from fr_trust.errors import ReviewUnfinished
from fr_trust.evidence import documents
from fr_trust.evidence.archive import MAX_BUNDLE_BYTES, chunks
from fr_trust.evidence.documents import AUDIT, AUDIT_KEY, CHECKPOINT, MANIFEST, PUBLIC_KEY, REPORT, SIGNATURE
from fr_trust.evidence.report import report
from fr_trust.evidence.signing import EvidenceSigner
from fr_trust.evidence.values import AuditExtract, Exhibit

# Of all photos: the report holds each of them once more, in base64.
_MAX_PHOTO_BYTES = MAX_BUNDLE_BYTES * 3 // 8


def build_bundle(
    case: Case,
    exhibits: Sequence[Exhibit],
    signer: EvidenceSigner,
    *,
    made_ms: int,
    made_by: str,
    audit: AuditExtract | None = None,
    include_unfinished: bool = False,
) -> Iterator[bytes]:
    """Return the bytes of the bundle of a case, piece by piece.

    Args:
        case: the case.
        exhibits: its examinations, the oldest first.
        signer: signs the manifest.
        made_ms: the time, milliseconds since 1970, UTC.
        made_by: a principal_id.
        audit: what the audit says; None where it is not to be handed on.
        include_unfinished: take examinations, too, that wait for a finding. Their findings are not told.

    Raises:
        ReviewUnfinished: an examination waits for a finding.
        InvalidField: the case has more photos, or with its audit more files or bytes, than a bundle holds.
        ValueError, TypeError: a derivation is nothing that JSON has.
    """
    own = [exhibit.examination for exhibit in exhibits]
    if not include_unfinished and not all(map(is_concluded, own)):
        raise ReviewUnfinished("An examination of the case waits for a finding.")
    if sum(len(one.probe) + sum(len(listed.photo) for listed in one.candidates) for one in own) > _MAX_PHOTO_BYTES:
        raise InvalidField("The case has more photos than a bundle holds.", field="case_id")
    files = {PUBLIC_KEY: signer.public_key.encode()}
    for number, exhibit in enumerate(exhibits, 1):
        files.update(_exhibit_files(f"examinations/{number:02d}", exhibit))
    if audit is not None:
        files |= {AUDIT: audit.lines, CHECKPOINT: audit.checkpoint, AUDIT_KEY: audit.public_key.encode()}
    files[REPORT] = report(case, exhibits, made_ms, made_by, audit)
    manifest = documents.manifest_document(case, made_ms, made_by, __version__, _listed(files))
    return chunks({**files, MANIFEST: manifest, SIGNATURE: signer.sign(manifest)})


def _exhibit_files(folder: str, exhibit: Exhibit) -> dict[str, bytes]:
    examination = exhibit.examination
    contents = [examination.probe, *(one.photo for one in examination.candidates)]
    names = documents.photo_names(examination)
    return {
        **{f"{folder}/{name}": contents[number] for number, name in names.items()},
        f"{folder}/search.json": documents.search_document(exhibit),
        f"{folder}/derivations.json": documents.derivations_document(exhibit),
        f"{folder}/findings.json": documents.findings_document(examination),
    }


def _listed(files: Mapping[str, bytes]) -> dict[str, Mapping[str, object]]:
    return {
        path: {"sha256": sha256(content).hexdigest(), "size": len(content), "what": documents.what_of(path)}
        for path, content in files.items()
    }
