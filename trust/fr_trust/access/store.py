"""Keeps API keys, durable and encrypted, and the audit of requests."""

import hmac
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from hashlib import sha256

from fr_core.errors import InvalidField, ShuttingDown, message
from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.audit.values import Entry, Pseudonyms
from fr_core.storage.protocol import Database
from fr_core.storage.statements import Transaction
from fr_core.storage.store import SharedStore
from fr_trust.access.budget import UNLIMITED
from fr_trust.access.changes import MAX_KEYS, Changes
from fr_trust.access.key_cache import Keys, Ring
from fr_trust.access.keys import MAX_OVERLAP_MS, SECRET_BYTES, ApiKey, MadeKey, NewKey, Token, parse_token
from fr_trust.access.principal import NOTHING, Role
from fr_trust.access.refusals import Why, refuse
from fr_trust.access.schema import SCHEMA, Kept, Locks
from fr_trust.access.trusted_clock import MARK_EVERY_MS, SureTime

_log = logging.getLogger(__name__)

# What a record that tells of no subject takes of the disk, at most.
_RECORD_BYTES = 4_096
# Sent secrets that are remembered as valid.
_MOST_KNOWN = 1_000
# Compared in the place of a secret that there is not.
_NO_SECRET = bytes(SECRET_BYTES)


class AccessStore(SharedStore[Transaction]):
    """API keys and the audit "access", durable and encrypted; for several threads and processes.

    Every method but `record` blocks; `check`, `key`, `any_keys` and `now_ms` only for some microseconds, unless keys
    have changed. Whatever has returned is durable. What one process has changed, every other one goes by from its next
    call on.

    Raises of every method:
        ShuttingDown: the store is closed.
        StoreFailed: the disk refuses; nothing of the call was kept, unless the message doubts that.
        StoreCorrupt: a row was altered, taken out or put back. While it is so, no key is valid.
    """

    SCHEMA = SCHEMA

    def __init__(
        self,
        database: Database,
        clock_ms: Callable[[], int],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
    ) -> None:
        """Take over an open database, see `open`; `trusted_clock` says what the store does when a clock is set."""
        self._time = SureTime(clock_ms, monotonic_s)
        with database.reading() as now:
            self._locks = Locks(now)
        self._ring = Ring(database, self._locks)
        self._changes = Changes(self._locks, self._ring, self._time, secrets.token_bytes, max_keys)
        super().__init__(database, Transaction)
        self._marking = threading.Lock()
        self._nobody = _nobody()
        # Of one state of the keys: what was found valid, by the sha256 of what was sent, and until when, milliseconds.
        self._known: tuple[Keys, dict[bytes, tuple[ApiKey, float]]] = (self._ring.look(), {})

    def close(self) -> None:
        """See `SharedStore`."""
        super().close()
        self._ring.close()

    def create(self, new: NewKey) -> MadeKey:
        """Make a key; the audit says who asked for it, see `current_attribution`.

        Where there are `max_keys`, the oldest one that is not valid any more is deleted.

        Raises `TooManyKeys`: all of them are valid; `StorageLow`: the disk has too little room.
        """
        by = current_attribution()
        return self._writer.run(lambda tx: self._changes.create(tx, new, by))

    def rotate(self, key_id: str, overlap_ms: int) -> MadeKey:
        """Give a key a new secret; the audit says who asked for it.

        The current secret stays valid for `overlap_ms`, 0 to 30 days; an earlier one ends now.

        Raises `UnknownKey`: there is none of that id; `InvalidField`: it is not valid any more, or the overlap is out
        of range; `StorageLow`: the disk has too little room.
        """
        if not 0 <= overlap_ms <= MAX_OVERLAP_MS:
            raise InvalidField(message("error.trust.secret_before_stays_valid"), field="overlap")
        by = current_attribution()
        return self._writer.run(lambda tx: self._changes.rotate(tx, key_id, overlap_ms, by))

    def revoke(self, key_id: str) -> ApiKey:
        """Make a key invalid for ever, in every process; raises `UnknownKey`. Twice is as once."""
        by = current_attribution()
        return self._writer.run(lambda tx: self._changes.revoke(tx, key_id, by))

    def key(self, key_id: str) -> ApiKey | None:
        """The key of an id, valid or not; None where there is none."""
        kept = self._ring.look().by_id.get(key_id)
        return None if kept is None else kept.key

    def keys(self, before: int | None = None, size: int = 100) -> tuple[ApiKey, ...]:
        """A page of at most `size` keys, valid or not, the newest first, those with a `number` below `before`."""
        found = [kept.key for kept in self._ring.look().by_id.values() if before is None or kept.key.number < before]
        return tuple(sorted(found, key=lambda key: key.number, reverse=True)[:size])

    def any_keys(self) -> bool:
        """Return whether a key was ever made. A server whose keys are all revoked must not admit everybody."""
        return self._ring.look().head.version > 0

    def check(self, token: str, certificate_sha256: str | None) -> ApiKey:
        """Return the key of what somebody has sent, "id.secret" or anything else.

        It takes the same time whether the id is unknown, the secret wrong, or the key over. A key that was just found
        valid takes less, until any key changes.

        Args:
            token: as it was sent.
            certificate_sha256: of the client certificate (DER) of the connection, 64 hexadecimal digits; None = none.

        Raises `CredentialInvalid`: it is not valid now, always in the same words; `refusals.refusal_of` says why.
        """
        now = self._ring.look()
        now_ms, sure_ms = self._time.now_and_sure_ms(now.head.seen_ms)
        if sure_ms >= now.head.seen_ms + MARK_EVERY_MS:
            self._keep_time()
        digest = sha256(f"{token}\n{certificate_sha256}".encode(errors="surrogatepass")).digest()
        if self._known[0] is not now:
            self._known = (now, {})
        known_to, known = self._known  # another thread may have seen other keys meanwhile
        if known_to is now and (found := known.get(digest)) is not None and now_ms < found[1]:
            return found[0]
        sent = parse_token(token)
        if sent is None:
            refuse(Why.UNREADABLE)
        kept = now.by_id.get(sent.key_id, self._nobody)
        why = self._fault(kept, sent, certificate_sha256, now_ms)
        if why is not None:
            refuse(why, "" if why is Why.UNKNOWN else kept.key.principal_id)
        if known_to is now:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known[digest] = (kept.key, self._until_ms(kept, sent))
        return kept.key

    def now_ms(self) -> int:
        """The time that keys expire by, milliseconds since 1970, UTC; see `trusted_clock`."""
        return self._time.now_ms(self._ring.look().head.seen_ms)

    def forget_time_seen(self) -> None:
        """Go by the clock again, if the store has kept a time of the future; no other process may have it open.

        For the people who run the server, when its clock is right again. Keys that are over by the clock stay so.
        """
        by = current_attribution()
        self._writer.run(lambda tx: self._changes.forget_time(tx, by))

    def record(self, entries: Iterable[Entry], *, may_use_reserve: bool = True) -> Future[int]:
        """Have records added to the audit, together; returns at once.

        Args:
            entries: what they say; the thread that writes iterates over them, once.
            may_use_reserve: whether they may take what stays free on the disk for deletions and searches; not so if
                anybody who reaches the server can cause them.

        Returns:
            The number of the last record, once all are durable; or `StorageLow`, and none of them is kept.
        """

        def append(tx: Transaction) -> int:
            made = tuple(entries)
            if not may_use_reserve:
                tx.require_room(_RECORD_BYTES * len(made))
            return tx.audit.append(made)

        return self._writer.submit(append)

    def account_of(self, principal_id: str) -> bytes:
        """Return the name of a principal's budget account: 16 bytes that do not reveal the principal."""
        return self._database.vault.mac("account", (principal_id,))

    def pseudonyms(self) -> Pseudonyms:
        """Return the maker of the pseudonyms of the audit."""
        with self.auditing() as audit:
            return audit.pseudonyms()

    def _fault(self, kept: Kept, sent: Token, certificate_sha256: str | None, now_ms: int) -> Why | None:
        """Return what is wrong; every question is asked, whatever the others said."""
        key = kept.key
        hashed = self._locks.secret_hash(sent)
        right = hmac.compare_digest(hashed, kept.secret)
        right_before = hmac.compare_digest(hashed, kept.secret_before or _NO_SECRET)
        other = not hmac.compare_digest(key.certificate_sha256 or "", certificate_sha256 or "")
        faults = (
            (kept is self._nobody, Why.UNKNOWN),
            (not (right or right_before), Why.WRONG_SECRET),
            (not right and now_ms >= kept.before_until_ms, Why.ROTATED),
            (key.revoked_ms is not None, Why.REVOKED),
            (key.is_over(now_ms), Why.EXPIRED),
            (key.certificate_sha256 is not None and other, Why.OTHER_CERTIFICATE),
        )
        return next((why for fault, why in faults if fault), None)

    def _until_ms(self, kept: Kept, sent: Token) -> float:
        """Return until when a valid secret stays valid, milliseconds since 1970, UTC."""
        ends = [math.inf if kept.key.expires_ms is None else kept.key.expires_ms]
        if not hmac.compare_digest(self._locks.secret_hash(sent), kept.secret):
            ends.append(kept.before_until_ms)
        return min(ends)

    def _keep_time(self) -> None:
        """Have the time kept; nobody waits for it."""
        if not self._marking.acquire(blocking=False):
            return
        try:
            self._writer.submit(self._changes.keep_time).add_done_callback(self._time_kept)
        except ShuttingDown:
            self._marking.release()
            raise

    def _time_kept(self, done: Future[None]) -> None:
        self._marking.release()
        if (error := done.exception()) is not None:
            # The next check tries again.
            _log.warning("the time that keys expire by could not be kept: %s", type(error).__name__)


def _nobody() -> Kept:
    """Return the key that is looked at where there is none of an id: nobody has its secret."""
    key = ApiKey(0, "", "", frozenset(Role), NOTHING, NOTHING, UNLIMITED, 0, None, None, None)
    return Kept(key, 0, os.urandom(SECRET_BYTES), os.urandom(SECRET_BYTES), 0)
