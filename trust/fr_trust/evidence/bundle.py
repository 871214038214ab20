"""Making an evidence bundle: the same of the same, byte for byte, but for the signature's key and the time."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fr_core import __version__
from fr_core.errors import InvalidField, StoreCorrupt, message
from fr_core.storage.audit.checkpoints import public_pem
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Record
from fr_trust.audit.export import export
from fr_trust.audit.search import Filter, search
from fr_trust.casework.rules import is_concluded
from fr_trust.casework.values import Case
from fr_trust.errors import ReviewUnfinished
from fr_trust.evidence import documents
from fr_trust.evidence.archive import MAX_BUNDLE_BYTES, chunks
from fr_trust.evidence.documents import AUDIT, AUDIT_KEY, CHECKPOINT, MANIFEST, PUBLIC_KEY, REPORT, SIGNATURE
from fr_trust.evidence.report import report
from fr_trust.evidence.values import AuditExtract, Exhibit

OPENING, SEARCH, FINDING = "case.open", "case.search", "case.finding"
"""The actions in the records of the opening of a case, of a search in it, and of a finding."""

_PAGE = 100


class EvidenceSigner:
    """Signs the manifests of bundles with an Ed25519 key (RFC 8032) that the process holds."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> str:
        """The key that tells the signatures, as PEM (SubjectPublicKeyInfo, RFC 8410)."""
        return public_pem(self._key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(data)


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
        include_unfinished: also take examinations that wait for a finding, without their findings.

    Raises `ReviewUnfinished`: an examination waits for a finding; `InvalidField`: the case has more photos, or with its
    audit more files or bytes, than a bundle holds; `ValueError`, `TypeError`: JSON cannot hold a derivation.
    """
    own = [exhibit.examination for exhibit in exhibits]
    if not include_unfinished and not all(map(is_concluded, own)):
        raise ReviewUnfinished(message("error.trust.examination_case_waits_finding"))
    if sum(len(one.probe) + sum(len(listed.photo) for listed in one.candidates) for one in own) > _MAX_PHOTO_BYTES:
        raise InvalidField(message("error.trust.case_more_photos_bundle"), field="case_id")
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


def audit_extract(audit: AuditTable, case: Case, most_bytes: int = MAX_BUNDLE_BYTES) -> AuditExtract:
    """Return what the audit says of a case; subjects stand in it under pseudonyms.

    What others did meanwhile is withheld: it has the hash that the chain needs, and no word. The audit is that of the
    store of the case, as of one moment.

    Raises `StoreCorrupt`: the audit does not say that the case was opened, or was altered; `InvalidField`: the lines
    take more than `most_bytes`.
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
            raise InvalidField(message("error.trust.audit_since_case_opened"), field="case_id")
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
    raise StoreCorrupt(message("error.trust.audit_does_not_say"), check="audit")
