"""The audit of a real database, tampered with again and again: all of it is found, and what was not touched verifies.

So it is whether or not the chain was pruned before.
"""

import itertools
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fr_core.storage.audit.chain import first_hash, next_hash
from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.values import encode
from fr_core.storage.audit.verify import Broken, Verified, Why, verify
from support.audits import Audited, Clock, an_entry
from support.counts import count

TAMPERINGS = count("TAMPERINGS")
RECORDS = 24
MARK = 16  # number of the record at which a checkpoint was kept elsewhere, and the head copied
PRUNINGS = {9: 3, 12: 7}
"""The last record to prune, by the number of the record after which that happens; the next record reports it."""
PRUNED, PRUNED_BY = 7, 13

PUT_HEAD = "UPDATE audit_head SET seq = ?, at_ms = ?, hash = ?, mac = ?"
TAKE_HEAD = "SELECT seq, at_ms, hash, mac FROM audit_head"


@dataclass(frozen=True, slots=True)
class Original:
    """A database with an audit; its checkpoints at `MARK` and at the end, and the head after each record, as a thief of
    backups may have it; the first record that is there; and the rows before the last pruning."""

    path: Path
    checkpoints: tuple[Checkpoint, Checkpoint]
    heads: tuple[tuple[int | str | bytes, ...], ...]
    now_ms: int
    first: int
    before: tuple[tuple[int | bytes, ...], ...]


def made(path: Path, prunings: Mapping[int, int]) -> Original:
    audited = Audited(str(path)).created()
    heads = [audited.rows(TAKE_HEAD)[0]]
    checkpoints, before = [], []
    for number in range(1, RECORDS + 1):
        if (upto := prunings.get(number - 1)) is not None:
            before = audited.rows("SELECT * FROM audit")
            audited.prune(upto)
        else:
            audited.fill(1, seed=number)
        heads.append(audited.rows(TAKE_HEAD)[0])
        if number in (MARK, RECORDS):
            checkpoints.append(audited.table.checkpoint())
    first = audited.table.pruned().upto + 1
    audited.connection.close()
    marks = (checkpoints[0], checkpoints[1])
    return Original(path, marks, tuple(heads), audited.clock.ms, first, tuple(before))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return made(tmp_path_factory.mktemp("audit") / "original.db", {})


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return made(tmp_path_factory.mktemp("pruned") / "original.db", PRUNINGS)


def copied(original: Original, folder: Path) -> Audited:
    path = folder / "tampered.db"
    shutil.copyfile(original.path, path)
    audited = Audited(str(path), clock=Clock(original.now_ms))
    audited.sql("PRAGMA journal_mode = OFF")
    return audited


def verdict(audited: Audited, *checkpoints: Checkpoint) -> Verified | Broken:
    audited.connection.close()
    again = Audited(audited.path)
    try:
        return verify(again.table, checkpoints)
    finally:
        again.connection.close()


Tampering = Callable[[Audited, Original, random.Random], tuple[int, set[Why]]]


def spoilt(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= rng.randint(1, 255)
    return bytes(changed)


def edit(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    seq, column = rng.randint(original.first, RECORDS), rng.choice(("body", "hash", "mac"))
    ((data,),) = audited.rows(f"SELECT {column} FROM audit WHERE seq = ?", seq)
    assert isinstance(data, bytes)
    audited.sql(f"UPDATE audit SET {column} = ? WHERE seq = ?", spoilt(data, rng), seq)
    # A digit of the number that a body says makes it look like another record's.
    return seq, {Why.EDITED, Why.OUT_OF_ORDER} if column == "body" else {Why.EDITED}


def edit_well(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    """Another record in its place, and all hashes after it made anew: what somebody without the key can do."""
    seq = rng.randint(original.first, RECORDS)
    chain_id, hash_ = audited.table.head().chain_id, audited.table.pruned().hash
    audited.sql(
        "UPDATE audit SET body = ? WHERE seq = ?", encode(an_entry(rng, 999), seq, original.now_ms - 10**9), seq
    )
    for number, body in audited.rows("SELECT seq, body FROM audit WHERE seq > 0 ORDER BY seq"):
        hash_ = next_hash(chain_id, hash_, body)
        audited.sql("UPDATE audit SET hash = ? WHERE seq = ?", hash_, number)
    return seq, {Why.EDITED}


def delete(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    seq = rng.randint(original.first, RECORDS - 1)
    audited.sql("DELETE FROM audit WHERE seq = ?", seq)
    if rng.random() < 0.5:
        shift(audited, seq, -1)
    return seq, {Why.MISSING}


def swap(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    one, other = sorted(rng.sample(range(original.first, RECORDS + 1), 2))
    if rng.random() < 0.5:
        for new, old in ((-1, one), (one, other), (other, -1)):
            audited.sql("UPDATE audit SET seq = ? WHERE seq = ?", new, old)
    else:
        bodies = {seq: audited.rows("SELECT body FROM audit WHERE seq = ?", seq)[0][0] for seq in (one, other)}
        audited.sql("UPDATE audit SET body = ? WHERE seq = ?", bodies[other], one)
        audited.sql("UPDATE audit SET body = ? WHERE seq = ?", bodies[one], other)
    return one, {Why.OUT_OF_ORDER}


def truncate(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    """Without or with a head that was copied earlier, which is found by a checkpoint alone."""
    seq = rng.randint(original.first - 1, RECORDS - 1)
    audited.sql("DELETE FROM audit WHERE seq > ?", seq or -1)
    if rng.random() < 0.5:
        audited.sql(PUT_HEAD, *original.heads[seq])
        if untold(original, seq):
            return PRUNED_BY, {Why.PRUNE_ALTERED}
    return seq + 1, {Why.TRUNCATED}


def roll_head_back(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    seq = rng.randint(original.first - 1, RECORDS - 1)
    audited.sql(PUT_HEAD, *original.heads[seq])
    return seq + 1, {Why.HEAD_ALTERED}


def edit_head(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    column = rng.choice(("hash", "mac", "public_key", "sealed_signing_key", "sealed_pseudonym_key", "seq", "at_ms"))
    if column in ("seq", "at_ms"):
        audited.sql(f"UPDATE audit_head SET {column} = {column} + ?", rng.choice((-2, -1, 1, 2)))
    else:
        audited.sql(f"UPDATE audit_head SET {column} = ?", rng.randbytes(32))
    return 0, {Why.HEAD_ALTERED}


def insert(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    """A record of somebody without the key, or one that there was before, with the right hash."""
    seq = rng.randint(original.first, RECORDS + 1)
    head = audited.table.head()
    previous = audited.table.hash_of(seq - 1)
    shift(audited, seq - 1, 1)
    body = encode(an_entry(rng, 999), seq, original.now_ms - 10**9)
    hash_, mac = next_hash(head.chain_id, previous, body), rng.randbytes(16)
    if seq > original.first and rng.random() < 0.5:
        ((body, hash_, mac),) = audited.rows("SELECT body, hash, mac FROM audit WHERE seq = ?", original.first)
    audited.sql("INSERT INTO audit VALUES (?, ?, ?, ?)", seq, body, hash_, mac)
    return seq, {Why.INSERTED}


def rewrite(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    """By somebody who has the key: from a record on, with a head, in one go, as the program itself writes."""
    seq = rng.randint(original.first - 1, RECORDS - 1)
    audited.sql("DELETE FROM audit WHERE seq > ?", seq)
    audited.sql(PUT_HEAD, *original.heads[seq])
    audited.clock.ms -= 10**6
    audited.append(*(an_entry(rng, 1_000 + nth) for nth in range(RECORDS - seq + rng.randrange(3))))
    if untold(original, seq):
        return PRUNED_BY, {Why.PRUNE_ALTERED}
    return (MARK if seq < MARK else RECORDS), {Why.REWRITTEN}


def rewrite_all(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    """By somebody who has the key: another chain, with keys of its own."""
    audited.sql("DELETE FROM audit; DELETE FROM audit_head")
    audited.table.begin()
    audited.append(*(an_entry(rng, 1_000 + nth) for nth in range(RECORDS)))
    return MARK, {Why.OTHER_KEY}


def edit_mark(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    column = rng.choice(("body", "hash", "mac"))
    ((data,),) = audited.rows(f"SELECT {column} FROM audit WHERE seq = 0")
    audited.sql(f"UPDATE audit SET {column} = ? WHERE seq = 0", spoilt(data, rng))
    return 0, {Why.PRUNE_ALTERED}


def take_mark_away(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    audited.sql("DELETE FROM audit WHERE seq = 0")
    return 1, {Why.MISSING}


def put_mark_back(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    """The mark of the pruning before, without or with the records that were there then."""
    audited.sql("DELETE FROM audit WHERE seq = 0")
    records = rng.random() < 0.5
    for row in original.before:
        if row[0] == 0 or records:
            audited.sql("INSERT OR IGNORE INTO audit VALUES (?, ?, ?, ?)", *row)
    return (PRUNED_BY, {Why.PRUNE_ALTERED}) if records else (PRUNINGS[9] + 1, {Why.MISSING})


def prune_more(audited: Audited, original: Original, rng: random.Random) -> tuple[int, set[Why]]:
    """Delete the oldest records as somebody without the key could, with the mark as it is or as it would be."""
    upto = rng.randint(original.first, RECORDS - 1)
    hash_ = audited.table.hash_of(upto)
    audited.sql("DELETE FROM audit WHERE seq BETWEEN 1 AND ?", upto)
    if rng.random() < 0.5:
        return original.first, {Why.MISSING}
    body = b'{"record":%d,"upto":%d}' % (PRUNED_BY, upto)
    audited.sql("UPDATE audit SET body = ?, hash = ? WHERE seq = 0", body, hash_)
    return 0, {Why.PRUNE_ALTERED}


def untold(original: Original, seq: int) -> bool:
    """Return True if a chain that ends with this record does not say that it was pruned."""
    return original.first > 1 and seq < PRUNED_BY


def shift(audited: Audited, after: int, by: int) -> None:
    audited.sql("UPDATE audit SET seq = -seq WHERE seq > ?", after)
    audited.sql("UPDATE audit SET seq = -seq + ? WHERE seq < 0", by)


TAMPERINGS_OF = (edit, edit_well, delete, swap, truncate, roll_head_back, edit_head, insert, rewrite, rewrite_all)
TAMPERINGS_OF_PRUNED = (*TAMPERINGS_OF, edit_mark, take_mark_away, put_mark_back, prune_more)


@pytest.mark.parametrize(("name", "tamperings"), [("original", TAMPERINGS_OF), ("pruned", TAMPERINGS_OF_PRUNED)])
def test_all_tampering_is_found_and_told(
    name: str, tamperings: Sequence[Tampering], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    original: Original = request.getfixturevalue(name)
    rng, done, wrong = random.Random(1), Counter[str](), []
    for number in range(TAMPERINGS):
        tamper = tamperings[number % len(tamperings)]
        audited = copied(original, tmp_path)
        seq, whys = tamper(audited, original, rng)
        found = verdict(audited, *original.checkpoints)
        done[tamper.__name__] += isinstance(found, Broken)
        if not isinstance(found, Broken) or found.seq != seq or found.why not in whys:
            wrong.append((tamper.__name__, seq, found))
    assert wrong == []
    assert sum(done.values()) == TAMPERINGS


def test_what_nobody_touched_verifies(original: Original, tmp_path: Path) -> None:
    expected = Verified(original.checkpoints[0].chain_id, RECORDS, RECORDS, 2)
    assert verdict(copied(original, tmp_path), *original.checkpoints) == expected
    # Neither does the search find anything where everything was written anew as it was.
    audited = copied(original, tmp_path)
    audited.sql("VACUUM")
    assert verdict(audited, *original.checkpoints) == expected


def test_what_was_pruned_verifies(pruned: Original, tmp_path: Path) -> None:
    chain_id = pruned.checkpoints[0].chain_id
    assert pruned.first == PRUNED + 1
    audited = copied(pruned, tmp_path)
    assert verdict(audited, *pruned.checkpoints) == Verified(chain_id, RECORDS - PRUNED, RECORDS, 2)
    # And so it does when it is pruned up to its very last record, and goes on.
    audited = copied(pruned, tmp_path)
    assert audited.prune(RECORDS)
    assert not audited.prune(RECORDS, after=PRUNED)  # that another process has done before
    audited.fill(2)
    marks = (*pruned.checkpoints, audited.table.checkpoint())
    assert verdict(audited, *marks) == Verified(chain_id, 3, RECORDS + 3, 2, unchecked=1)


def test_without_a_checkpoint_nobody_can_tell_what_the_key_wrote(original: Original, tmp_path: Path) -> None:
    """The control: it is the checkpoints that find rewrites and earlier states, so that they must be kept elsewhere."""
    rng = random.Random(2)
    for tamper in (rewrite, rewrite_all):
        audited = copied(original, tmp_path)
        tamper(audited, original, rng)
        assert isinstance(verdict(audited), Verified)
    audited = copied(original, tmp_path)
    audited.sql("DELETE FROM audit WHERE seq > 5")
    audited.sql(PUT_HEAD, *original.heads[5])
    assert isinstance(verdict(audited), Verified)


def test_without_macs_nobody_can_tell_what_was_written_without_the_key(original: Original, tmp_path: Path) -> None:
    """The control: hashes alone agree with themselves after `edit_well`; it is the MAC that finds it."""
    audited = copied(original, tmp_path)
    edit_well(audited, original, random.Random(3))
    hash_ = first_hash(original.checkpoints[0].chain_id)
    for seq, (body, said) in zip(
        itertools.count(1), audited.rows("SELECT body, hash FROM audit ORDER BY seq"), strict=False
    ):
        hash_ = next_hash(original.checkpoints[0].chain_id, hash_, body)
        assert said == hash_, seq
    assert isinstance(verdict(audited), Broken)
