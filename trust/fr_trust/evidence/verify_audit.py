"""Verifies that the audit in a bundle is whole, and agrees with the bundle on each search and finding."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fr_core.errors import InvalidField, message
from fr_core.storage.audit import checkpoints
from fr_core.storage.audit.values import MAX_BODY_BYTES, decode
from fr_core.storage.audit.verify import Broken
from fr_trust.audit.export import verify_export
from fr_trust.evidence.archive import Entry, read, unusable
from fr_trust.evidence.bundle import FINDING, OPENING, SEARCH
from fr_trust.evidence.documents import AUDIT, AUDIT_KEY, CHECKPOINT
from fr_trust.evidence.values import AuditVerified
from fr_trust.evidence.verify_case import Digests

# A record in its line, with its hash.
_MAX_LINE_BYTES = MAX_BODY_BYTES + 256
_MAX_KEY_BYTES = 1_024
_CHUNK = 2**18
_BEFORE = b',"record":'


def verify_audit(
    file: BinaryIO, entries: Mapping[str, Entry], case_id: str, wanted: Mapping[str, Digests], expected: str | None
) -> AuditVerified | None:
    """Check the audit of a bundle; None where it has none, and none was expected.

    Args:
        file: the bundle.
        entries: its files, by their names.
        case_id: of the case.
        wanted: what the audit must say, by examination_id. Its told records tell of no other search of the case; a
            search that the signer withholds with its record is not found.
        expected: PEM of the key that must have signed it; None = any.

    Raises `EvidenceUnusable`: the audit is not whole, or does not say of a search or finding what the bundle says.
    """
    if AUDIT not in entries:
        if expected is not None:
            raise unusable(AUDIT, "missing", message("error.trust.bundle_no_audit"))
        return None
    key = _key(read(file, entries[AUDIT_KEY], _MAX_KEY_BYTES), expected)
    checkpoint = _checkpoint(read(file, entries[CHECKPOINT], checkpoints.MAX_CHECKPOINT_BYTES))
    told = _Told(case_id, wanted)
    found = verify_export(told.watched(_lines(file, entries[AUDIT])), key, (checkpoint,), may_withhold=True)
    if isinstance(found, Broken):
        # A checkpoint that the chain contradicts may be the one that is wrong; the chain is looked at alone.
        alone = verify_export(_lines(file, entries[AUDIT]), key, may_withhold=True)
        name = AUDIT if isinstance(alone, Broken) else CHECKPOINT
        raise unusable(name, found.why.value, message("error.trust.audit_bundle_not_written"))
    if not told.is_complete():
        raise unusable(AUDIT, "searches", message("error.trust.audit_tells_other_searches"))
    if not told.agrees():
        raise unusable(AUDIT, "digests", message("error.trust.audit_does_not_say_search"))
    return AuditVerified(
        found.chain_id, found.records, found.seq, checkpoints.key_id_of(key), expected is not None, found.withheld
    )


class _Told:
    """The records of the bundle's examinations."""

    def __init__(self, case_id: str, wanted: Mapping[str, Digests]) -> None:
        self._case_id = case_id
        self._wanted = wanted
        self._opened = 0
        self._searched = 0
        self._searches: dict[str, list[str]] = {one: [] for one in wanted}
        self._findings: dict[str, list[str]] = {one: [] for one in wanted}

    def watched(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the lines as they are, and note what they say."""
        for line in lines:
            _, found, body = line.partition(_BEFORE)
            if found and b'"action":"case.' in body:
                self._note(body[:-1])
            yield line

    def is_complete(self) -> bool:
        """Return whether the audit tells of the opening of the case, and of as many searches as the bundle."""
        return (self._opened, self._searched) == (1, len(self._wanted))

    def agrees(self) -> bool:
        """Return whether the audit says what is wanted, neither less nor more."""
        return all(
            self._searches[one] == [digests.search]
            and (digests.findings is None or self._findings[one] == list(digests.findings))
            for one, digests in self._wanted.items()
        )

    def _note(self, body: bytes) -> None:
        try:
            record = decode(body)
        except ValueError:
            return  # which the check of the chain says
        if record.detail.get("case_id") == self._case_id:
            self._opened += record.action == OPENING
            self._searched += record.action == SEARCH
        noted = {SEARCH: self._searches, FINDING: self._findings}.get(record.action, {})
        if (known := noted.get(record.detail.get("examination", ""))) is not None:
            known.append(record.detail.get("digest", ""))


def _lines(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """Yield the lines of a file, none longer than a record can be: of a longer one the beginning."""
    at, end, held = entry.content_at, entry.content_at + entry.size, b""
    while at < end:
        file.seek(at)  # somebody else may read meanwhile
        piece = file.read(min(_CHUNK, end - at))
        if not piece:
            break
        at += len(piece)
        *lines, held = (held + piece).split(b"\n")
        yield from lines
        if len(held) > _MAX_LINE_BYTES:
            break
    if held:
        yield held


def _key(pem: bytes, expected: str | None) -> Ed25519PublicKey:
    try:
        key = checkpoints.read_public_key(pem.decode("ascii"))
    except (InvalidField, UnicodeDecodeError):
        raise unusable(AUDIT_KEY, "key", message("error.trust.key_audit_cannot_read")) from None
    if expected is not None and checkpoints.public_pem(key) != expected:
        raise unusable(AUDIT_KEY, "other_key", message("error.trust.audit_signed_another_key"))
    return key


def _checkpoint(data: bytes) -> checkpoints.Checkpoint:
    try:
        return checkpoints.parse_checkpoint(data)
    except InvalidField:
        raise unusable(CHECKPOINT, "content", message("error.storage.checkpoint_cannot_read")) from None
