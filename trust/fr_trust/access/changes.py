"""Changes the access store: each change in the transaction of its audit record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fr_core.errors import InvalidField, StoreCorrupt, message
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.statements import Transaction
from fr_trust.access.key_cache import Ring
from fr_trust.access.keys import ApiKey, MadeKey, NewKey, is_key_id, new_token
from fr_trust.access.schema import HEAD, KEYS, Head, Kept, Locks
from fr_trust.access.trusted_clock import SureTime
from fr_trust.errors import TooManyKeys, UnknownKey

MAX_KEYS = 10_000  # that are kept, those that are not valid any more among them

# What a key and its record take of the disk, with scopes of the usual length.
_KEY_BYTES = 4_096

_INSERT = "INSERT INTO keys (key_id, version, sealed) VALUES (?, ?, ?) RETURNING key_no"
_SEAL = "UPDATE keys SET version = ?, sealed = ? WHERE key_id = ?"
_DELETE = "DELETE FROM keys WHERE key_id = ? AND version = ?"
_SET_HEAD = "UPDATE head SET version = ?, sealed = ? WHERE head_no = 1"


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes within a transaction; see the methods of the same names in `AccessStore`."""

    _locks: Locks
    _ring: Ring
    _time: SureTime
    _token_bytes: Callable[[int], bytes]
    _max_keys: int

    def create(self, tx: Transaction, new: NewKey, by: Attribution) -> MadeKey:
        """Make a key."""
        tx.require_room(_KEY_BYTES)
        head = self._with_room(tx, self._head(tx))
        now_ms = self._time.now_ms(head.seen_ms)
        token = new_token(self._token_bytes)
        row = tx.row(_INSERT, token.key_id, head.version + 1, b"")
        assert row is not None
        key = ApiKey(
            number=row[0],
            key_id=token.key_id,
            label=new.label,
            roles=new.roles,
            galleries=new.galleries,
            courses=new.courses,
            budget=new.budget,
            created_ms=now_ms,
            expires_ms=new.expires_ms(now_ms),
            revoked_ms=None,
            certificate_sha256=new.certificate_sha256,
        )
        kept = Kept(key, 0, self._locks.secret_hash(token), None, 0)
        self._put(tx, head, None, kept)
        granted = ",".join(sorted(key.roles))
        self._record(tx, by, "access.create_key", kept.key, head.version + 1, {"granted": granted})
        return MadeKey(key, token)

    def rotate(self, tx: Transaction, key_id: str, overlap_ms: int, by: Attribution) -> MadeKey:
        """Give a key a new secret."""
        tx.require_room(_KEY_BYTES)
        head, kept = self._head(tx), self._kept(tx, key_id)
        now_ms = self._time.now_ms(head.seen_ms)
        if kept.key.is_dead(now_ms):
            raise InvalidField(message("error.trust.key_not_valid_any"), field="key_id")
        token = new_token(self._token_bytes, key_id)
        secret, before = self._locks.secret_hash(token), kept.secret if overlap_ms else None
        after = replace(kept, secret=secret, secret_before=before, before_until_ms=now_ms + overlap_ms)
        self._put(tx, head, kept, after)
        overlap = {"overlap_s": str(overlap_ms // 1000)}
        self._record(tx, by, "access.rotate_key", kept.key, head.version + 1, overlap)
        return MadeKey(kept.key, token)

    def revoke(self, tx: Transaction, key_id: str, by: Attribution) -> ApiKey:
        """Make a key invalid; on a full disk, too."""
        head, kept = self._head(tx), self._kept(tx, key_id)
        if kept.key.revoked_ms is not None:
            return kept.key
        after = replace(kept, key=replace(kept.key, revoked_ms=self._time.now_ms(head.seen_ms)))
        self._put(tx, head, kept, after)
        self._record(tx, by, "access.revoke_key", kept.key, head.version + 1, {})
        return after.key

    def keep_time(self, tx: Transaction) -> None:
        """Keep the time that was surely reached, where it is later than what is kept."""
        head = self._head(tx)
        if self._time.sure_ms() > head.seen_ms:
            self._put_head(tx, replace(head, seen_ms=self._time.sure_ms()))

    def forget_time(self, tx: Transaction, by: Attribution) -> None:
        """Keep the time that it is now, though a later one was kept."""
        head = self._head(tx)
        sure_ms = self._time.sure_ms()
        self._put_head(tx, replace(head, seen_ms=sure_ms))
        detail = {"from_ms": str(head.seen_ms), "to_ms": str(sure_ms)}
        tx.audit.append([by.entry(tx.audit.pseudonyms(), "access.forget_time", detail=detail)])

    def _head(self, tx: Transaction) -> Head:
        return self._locks.head_of(tx.row(HEAD))

    def _kept(self, tx: Transaction, key_id: str) -> Kept:
        row = tx.row(f"{KEYS} WHERE key_id = ?", key_id) if is_key_id(key_id) else None
        found = None if row is None else self._locks.kept_of(row)
        known = self._ring.look().by_id.get(key_id)
        # A job of this very group may have changed it since, or deleted one that is dead.
        expected = known is not None and not known.key.is_dead(self._time.now_ms(0))
        if known is not None and expected and (found is None or found.version < known.version):
            raise StoreCorrupt(message("error.trust.row_access_store_taken"), check="keys")
        if found is None:
            raise UnknownKey(message("error.trust.no_api_key_id"))
        return found

    def _put(self, tx: Transaction, head: Head, before: Kept | None, after: Kept) -> None:
        """Write a key, and the head that knows of it."""
        after = replace(after, version=head.version + 1)
        tx.write(_SEAL, after.version, self._locks.sealed_key(after), after.key.key_id)
        digest = head.digest ^ self._locks.digest_of(after.key.key_id, after.version)
        if before is not None:
            digest ^= self._locks.digest_of(before.key.key_id, before.version)
        seen_ms = max(head.seen_ms, self._time.sure_ms())
        self._put_head(tx, Head(after.version, digest, head.keys + (before is None), seen_ms))

    def _put_head(self, tx: Transaction, head: Head) -> None:
        if tx.write(_SET_HEAD, *self._locks.sealed_head(head)) != 1:
            raise StoreCorrupt(message("error.trust.access_store_lost_head"), check="head")

    def _with_room(self, tx: Transaction, head: Head) -> Head:
        """Return the head with room for one key more: where there is none, the oldest that is dead is deleted."""
        if head.keys < self._max_keys:
            return head
        now_ms = self._time.now_ms(head.seen_ms)
        kept = self._ring.look().by_id.values()
        # One of them may have been deleted by a job of this very group.
        for dead in sorted((one for one in kept if one.key.is_dead(now_ms)), key=lambda one: one.key.number):
            if tx.write(_DELETE, dead.key.key_id, dead.version) == 1:
                digest = head.digest ^ self._locks.digest_of(dead.key.key_id, dead.version)
                return replace(head, digest=digest, keys=head.keys - 1)
        raise TooManyKeys(message("error.trust.many_api_keys_kept", most=self._max_keys), limit=str(self._max_keys))

    def _record(
        self, tx: Transaction, by: Attribution, action: str, key: ApiKey, version: int, more: Mapping[str, str]
    ) -> None:
        detail = {"key": key.key_id, "version": str(version), **more}
        tx.audit.append([by.entry(tx.audit.pseudonyms(), action, detail=detail)])
