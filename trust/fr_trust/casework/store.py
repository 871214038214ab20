"""Keeps cases, examinations and findings, durable and encrypted, with their audit."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import islice

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fr_core.errors import InvalidField, message
from fr_core.id_forms import composed
from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.audit.values import MAX_SUBJECTS
from fr_core.storage.protocol import Database
from fr_core.storage.statements import Transaction
from fr_core.storage.store import SharedStore
from fr_trust.casework.codec import SALT_BYTES, search_digest
from fr_trust.casework.rules import require_open, require_reference
from fr_trust.casework.store_changes import Changes, clear_some
from fr_trust.casework.store_reading import Look, Roll
from fr_trust.casework.store_schema import SCHEMA, Locks, photos_of, sealed_photo
from fr_trust.casework.values import Case, Examination, Finding, Listed, Purpose, Searched
from fr_trust.errors import UnknownExamination


class CaseStore(SharedStore[Transaction]):
    """Cases and the audit "cases", durable and encrypted; for several threads and processes.

    Every method blocks. Whatever has returned is durable, and every other process sees it.

    Raises of every method:
        ShuttingDown: the store is closed.
        StoreFailed: the disk refuses; nothing of the call was kept, unless the message doubts that.
        StoreCorrupt: a row was altered, exchanged, taken out, put in or put back.
    """

    SCHEMA = SCHEMA

    def __init__(
        self,
        database: Database,
        clock_ms: Callable[[], int],
        *,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Take over an open database, see `open`; `token_bytes` returns so many random bytes, for ids and salts."""
        self._database = database
        self._clock_ms = clock_ms
        self._token_bytes = token_bytes
        with database.reading() as now:
            self._locks = Locks(now)
        self._roll = Roll(self._locks)
        with self._looking():
            pass  # a store that was altered does not open
        self._changes = Changes(self._locks, self._roll, clock_ms, token_bytes)
        super().__init__(database, Transaction, clear_some)

    def open_case(
        self,
        reference: str,
        purpose: Purpose,
        by: str,
        expires_ms: int | None = None,
        sees: Callable[[Case], bool] = lambda case: True,
    ) -> Case:
        """Open a case; the audit says who asked for it, see `current_attribution`.

        Args:
            reference: by which people know it, see `rules.require_reference`.
            expires_ms: from then on it is there for nobody, and `purge` deletes it; milliseconds since 1970, UTC;
                None = never.
            sees: whether the opener may know of an earlier case of their own.

        Raises:
            CaseExists: the opener has an open case with this reference, and may know of it. Others may have one each.
            InvalidField: it is not a reference, or the time is past.
            StorageLow: the disk has too little room.
        """
        reference = composed(reference)
        require_reference(reference)
        now_ms = self._clock_ms()
        if expires_ms is not None and expires_ms <= now_ms:
            raise InvalidField(message("error.trust.case_would_over_before"), field="retention")
        wanted = Case("", reference, purpose, by, now_ms, expires_ms=expires_ms)
        asked = current_attribution()
        case, deleted = self._writer.run(lambda tx: self._changes.open_case(tx, wanted, asked, sees))
        if deleted:
            self._clearing.clear(force=True)
        return case

    def case(self, case_id: str) -> Case:
        """The case of an id; raises `UnknownCase`."""
        with self._looking() as look:
            return look.case(case_id).case

    def case_ids(self) -> frozenset[str]:
        """Return the ids of all kept cases, also of expired cases that are not deleted yet."""
        with self._looking() as look:
            return look.case_ids()

    def cases(self, before: tuple[int, str] | None = None, size: int = 100) -> tuple[Case, ...]:
        """A page of cases, open and closed, the newest first; `before` has `opened_ms` and id of the last one."""
        with self._looking() as look:
            return look.cases(before, size)

    def close_case(self, case_id: str) -> Case:
        """Close a case: it takes no more searches, but findings of those that it has. Twice is as once. Raises
        `UnknownCase`.
        """
        asked = current_attribution()
        return self._writer.run(lambda tx: self._changes.close_case(tx, case_id, asked))

    def delete_case(self, case_id: str) -> Case:
        """Delete a case with its key, photos, findings and all traces but the audit's; raises `UnknownCase`."""
        asked = current_attribution()
        case = self._writer.run(lambda tx: self._changes.delete_case(tx, case_id, asked))
        self._clearing.clear(force=True)
        return case

    def purge(self) -> int:
        """Delete expired cases, and what processes that died have left; returns how many cases."""
        asked, purged = current_attribution(), 0
        while self._writer.run(lambda tx: self._changes.purge_one(tx, asked)):
            purged += 1
        self._clearing.clear(force=purged > 0)
        return purged

    def add_examination(
        self, case_id: str, searched: Searched, candidates: Sequence[Listed], probe: bytes
    ) -> Examination:
        """Keep what a search of a case has found, for examiners.

        Args:
            case_id: of the case.
            searched: what was searched, and how.
            candidates: as found, best first, with the photos that the gallery keeps; 1,000 at most. Without any the
                examination is concluded at once.
            probe: the photo that was searched with.

        Returns:
            The examination, without photos.

        Raises:
            UnknownCase, CaseClosed: no case of that id takes searches.
            StorageLow: the disk has too little room.
            ValueError: a number is not finite, there are too many candidates, or a photo is not the one of its sha256.
        """
        if len(candidates) > MAX_SUBJECTS:
            raise ValueError(f"an examination has {MAX_SUBJECTS} candidates at most")
        shown = [(probe, searched.probe_sha256), *((one.photo, one.photo_sha256) for one in candidates if one.photo)]
        if any(sha256(photo).hexdigest() != digest for photo, digest in shown):
            raise ValueError("a photo is not the one of its sha256")
        salt = self._token_bytes(SALT_BYTES).hex()
        listed = tuple(candidates)
        own = Examination(self._changes.new_id(), case_id, searched, listed, probe=probe, salt=salt)
        search_digest(own.examination_id, case_id, searched, listed, salt)  # raises for what cannot be kept
        with self._looking() as look:
            kept = look.case(case_id)
        require_open(kept.case)
        # Photos are encrypted here, so that the thread that writes has no more to do with them than to write them.
        photos = [
            (number, sealed_photo(kept.key, own.examination_id, number, photo)) for number, photo in photos_of(own)
        ]
        asked = current_attribution()
        self._writer.run(lambda tx: self._changes.add_examination(tx, own, photos, asked))
        return replace(own, probe=b"", candidates=tuple(replace(one, photo=b"") for one in listed))

    def examination(self, examination_id: str) -> Examination:
        """The examination of an id, with photos and all findings, see `rules.sees_findings`; raises
        `UnknownExamination`.
        """
        with self._looking() as look:
            return look.with_photos(*look.examination(examination_id))

    def examinations_of(self, case_id: str) -> tuple[Examination, ...]:
        """All examinations of a case with all findings, without photos, the oldest first; raises `UnknownCase`."""
        with self._looking() as look:
            return tuple(kept.examination for kept in look.examinations_of(look.case(case_id)))

    def galleries_of_case(self, case_id: str) -> frozenset[str]:
        """The galleries that were searched for a case; raises `UnknownCase`."""
        return frozenset(self.case(case_id).galleries)

    def galleries_of_examination(self, examination_id: str) -> frozenset[str]:
        """The gallery that was searched for an examination; raises `UnknownExamination`."""
        with self._looking() as look:
            gallery_id = look.gallery_of(examination_id)
        if gallery_id is None:
            raise UnknownExamination(message("error.trust.no_examination_id"))
        return frozenset((gallery_id,))

    def awaiting(
        self, principal_id: str, sees: Callable[[str], bool], after: tuple[int, str] | None = None, size: int = 100
    ) -> tuple[Examination, ...]:
        """A page of examinations that wait for a finding of somebody, without photos, the oldest first.

        `sees` says whether the examiner may see the gallery of an id; the page follows the examination of this
        `searched_ms` and id.
        """
        with self._looking() as look:
            return tuple(islice(look.awaiting(principal_id, sees, after), size))

    def give_finding(self, examination_id: str, finding: Finding) -> Examination:
        """Keep an examiner's finding, for good; the store gives its time and salt. The same finding again changes
        nothing.

        The transaction that keeps it decides whether it may: of two examiners at the same moment one is the first.
        Returns the examination with all findings, without photos.

        Raises:
            UnknownExamination: there is none of that id.
            FindingLocked: it has every finding that it waits for.
            ExaminerNotIndependent: this examiner made the search, or has given another finding.
            InvalidField: the finding is none that this examination can have.
            StorageLow: the disk has too little room.
        """
        asked = current_attribution()
        return self._writer.run(lambda tx: self._changes.give_finding(tx, examination_id, finding, asked))

    def evidence_key(self) -> Ed25519PrivateKey:
        """Return the key that signs evidence; it follows from the store's own key, see `Vault.derived`."""
        return Ed25519PrivateKey.from_private_bytes(self._database.vault.derived("evidence signing key"))

    @contextmanager
    def _looking(self) -> Iterator[Look]:
        with self._database.reading() as now:
            yield Look(now, self._locks, self._roll, self._clock_ms())
