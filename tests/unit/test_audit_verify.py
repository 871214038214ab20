"""Verification and checkpoints: what each kind of tampering is called, and the folder that takes checkpoints."""

import base64
import json
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from fr_core.errors import ConfigInvalid, InvalidField
from fr_core.storage.audit.chain import first_hash, next_hash
from fr_core.storage.audit.checkpoints import (
    Checkpoint,
    key_id_of,
    make_checkpoint,
    parse_checkpoint,
    public_pem,
    read_public_key,
)
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import encode
from fr_core.storage.audit.verify import Broken, Marks, Verified, Why, verify
from fr_server.config import Config
from fr_server.config.folders import checkpoint_folder, require_audit_folders
from fr_server.config.tree import AuditConfig
from fr_server.jobs.pruning import Checkpoints
from fr_server.storage.audits import LocalAudit
from fr_server.telemetry.trust import Chain, Trust
from support.audits import Audited, an_entry, keys_of

MOVE = "UPDATE audit SET seq ="
COPY = "CREATE TEMP TABLE old AS SELECT * FROM audit"


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE audit SET body = CAST(replace(body, '\"v\":1', '\"v\":2') AS BLOB) WHERE seq = 5", (5, Why.EDITED)),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", (5, Why.EDITED)),
        ("UPDATE audit SET mac = zeroblob(0) WHERE seq = 5", (5, Why.EDITED)),
        ("DELETE FROM audit WHERE seq = 5", (5, Why.MISSING)),
        ("DELETE FROM audit WHERE seq < 5", (1, Why.MISSING)),
        ("DELETE FROM audit WHERE seq = 5; UPDATE audit SET seq = seq - 1 WHERE seq > 5", (5, Why.MISSING)),
        ("DELETE FROM audit WHERE seq = 11; UPDATE audit SET seq = 11 WHERE seq = 12", (11, Why.MISSING)),
        ("UPDATE audit SET seq = 99 WHERE seq = 5", (5, Why.MISSING)),
        ("UPDATE audit SET seq = 0 WHERE seq = 5", (0, Why.PRUNE_ALTERED)),
        ("INSERT INTO audit SELECT -3, body, hash, mac FROM audit WHERE seq = 5", (-3, Why.INSERTED)),
        ("INSERT INTO audit SELECT 13, body, hash, mac FROM audit WHERE seq = 5", (13, Why.INSERTED)),
        (
            f"{COPY}; UPDATE audit SET seq = -seq WHERE seq >= 5; UPDATE audit SET seq = 1 - seq WHERE seq < 0; "
            "INSERT INTO audit SELECT 5, body, hash, mac FROM old WHERE seq = 2",
            (5, Why.INSERTED),
        ),
        *(
            (
                f"{MOVE} -5 WHERE seq = 5; {MOVE} 5 WHERE seq = {other}; {MOVE} {other} WHERE seq = -5",
                (5, Why.OUT_OF_ORDER),
            )
            for other in (6, 9)
        ),
        (f"{COPY}; UPDATE audit SET body = (SELECT body FROM old WHERE seq = 9) WHERE seq = 5", (5, Why.OUT_OF_ORDER)),
        ("DELETE FROM audit WHERE seq > 5", (6, Why.TRUNCATED)),
        ("DELETE FROM audit", (1, Why.TRUNCATED)),
        ("UPDATE audit_head SET seq = 5", (0, Why.HEAD_ALTERED)),
        ("UPDATE audit_head SET chain_id = upper(chain_id)", (0, Why.HEAD_ALTERED)),
        ("DELETE FROM audit_head", (0, Why.HEAD_ALTERED)),
    ],
)
def test_each_kind_of_tampering_has_its_word(change: str, broken: tuple[int, Why]) -> None:
    audited = Audited().created().fill(12)
    audited.sql(change)
    assert verify(audited.table) == Broken(*broken)


def head_of(audited: Audited) -> tuple[int | str | bytes, ...]:
    (row,) = audited.rows("SELECT seq, at_ms, hash, mac FROM audit_head")
    return row


PUT_HEAD = "UPDATE audit_head SET seq = ?, at_ms = ?, hash = ?, mac = ?"


def test_an_earlier_head_that_is_put_back_is_told() -> None:
    audited = Audited().created().fill(5)
    earlier, checkpoint = head_of(audited), audited.table.checkpoint()
    audited.fill(4)
    later = audited.table.checkpoint()
    audited.sql(PUT_HEAD, *earlier)
    assert verify(audited.table) == Broken(6, Why.HEAD_ALTERED)
    audited.sql("DELETE FROM audit WHERE seq > 5")
    # A whole earlier state is one that there was; the checkpoint of a later one alone tells.
    assert isinstance(verify(audited.table, [checkpoint]), Verified)
    assert verify(audited.table, [checkpoint, later]) == Broken(6, Why.TRUNCATED)


def test_only_a_checkpoint_shows_a_rewrite_with_the_key() -> None:
    audited = Audited().created().fill(5)
    start, middle = audited.table.head(), audited.table.checkpoint()
    head = head_of(audited)
    audited.fill(5)
    checkpoint = audited.table.checkpoint()
    audited.sql("DELETE FROM audit WHERE seq > 5")
    audited.sql(PUT_HEAD, *head)
    assert audited.table.head() == start
    audited.fill(5, seed=77)
    assert isinstance(verify(audited.table), Verified)
    assert isinstance(verify(audited.table, [middle]), Verified)
    assert verify(audited.table, [checkpoint, middle]) == Broken(10, Why.REWRITTEN)
    assert verify(audited.table, [checkpoint]) == Broken(10, Why.REWRITTEN)


def test_checkpoints_of_another_chain_or_forged_are_told() -> None:
    audited, fresh = Audited().created().fill(5), Audited().created().fill(5)
    checkpoint, key = audited.table.checkpoint(), audited.table.public_key()
    assert isinstance(verify(fresh.table), Verified)
    assert verify(fresh.table, [checkpoint]) == Broken(5, Why.OTHER_KEY)
    assert verify(audited.table, [replace(checkpoint, hash="00" * 32)]) == Broken(5, Why.CHECKPOINT_FORGED)
    assert Marks(checkpoint.chain_id, [checkpoint], key).forged() is None
    assert Marks("0" * 32, [checkpoint], key).forged() == Broken(5, Why.REWRITTEN)


def written_with_the_key(audited: Audited, body: bytes) -> None:
    """Changes that only a defect, or somebody with the key, can write."""
    head = audited.table.head()
    seq, hash_ = head.seq + 1, next_hash(head.chain_id, head.hash, body)
    keys = keys_of(audited.secret)
    audited.sql(
        "INSERT INTO audit VALUES (?, ?, ?, ?)", seq, body, hash_, keys.mac("audit", (head.chain_id, seq, hash_))
    )
    columns = (head.chain_id, seq, head.at_ms, hash_, *head.columns[4:])
    audited.sql(PUT_HEAD, seq, head.at_ms, hash_, keys.mac("audit_head", columns))


def test_authentic_nonsense_is_told() -> None:
    entry = an_entry(random.Random(0))
    for body, why in (
        (b'{"name":"x"}', Why.MALFORMED),
        (encode(entry, 5, 2**50), Why.OUT_OF_ORDER),
        (encode(entry, 4, 1), Why.OUT_OF_ORDER),
        (encode(entry, 4, 2**50), Why.HEAD_ALTERED),  # the head says another time
    ):
        audited = Audited().created().fill(3)
        written_with_the_key(audited, body)
        assert verify(audited.table) == Broken(4, why)


def test_values_of_other_types_are_told() -> None:
    audited = Audited().created().fill(3)
    audited.sql("CREATE TABLE loose (seq INTEGER PRIMARY KEY, body, hash, mac); INSERT INTO loose SELECT * FROM audit")
    audited.sql("DROP TABLE audit; ALTER TABLE loose RENAME TO audit")
    assert isinstance(verify(audited.table), Verified)
    for column in ("body", "hash", "mac"):
        for value in ("'text'", "1", "1.5", "NULL"):
            audited.sql(f"SAVEPOINT s; UPDATE audit SET {column} = {value} WHERE seq = 2")
            assert verify(audited.table) == Broken(2, Why.MALFORMED)
            audited.sql("ROLLBACK TO s; RELEASE s")
    audited.sql("CREATE TABLE loose (head_no, chain_id, seq, at_ms, hash, a, b, c, mac)")
    audited.sql("INSERT INTO loose SELECT * FROM audit_head; DROP TABLE audit_head")
    audited.sql("ALTER TABLE loose RENAME a TO sealed_signing_key; ALTER TABLE loose RENAME b TO public_key")
    audited.sql("ALTER TABLE loose RENAME c TO sealed_pseudonym_key; ALTER TABLE loose RENAME TO audit_head")
    assert isinstance(verify(audited.table), Verified)
    audited.sql("UPDATE audit_head SET mac = 'text'")
    assert verify(audited.table) == Broken(0, Why.HEAD_ALTERED)


SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CHAIN = "0123456789abcdef" * 2


def a_checkpoint(**more: object) -> Checkpoint:
    checkpoint = make_checkpoint(CHAIN, 7, bytes([9]) * 32, 1_790_000_000_000, SIGNING_KEY.private_bytes_raw())
    return replace(checkpoint, **more)  # type: ignore[arg-type]


def test_hashes_are_those_that_are_documented() -> None:
    assert first_hash(CHAIN) == sha256(CHAIN.encode()).digest()
    previous = bytes([1]) * 32
    expected = sha256(b"fr-core audit 1\0" + CHAIN.encode() + previous + sha256(b'{"v":1}').digest()).digest()
    assert next_hash(CHAIN, previous, b'{"v":1}') == expected


def test_a_checkpoint_is_signed_canonical_json_and_comes_back() -> None:
    said = json.loads(a_checkpoint().to_json())
    signature = base64.urlsafe_b64decode(said.pop("signature") + "==")
    assert set(said) == {"v", "chain_id", "seq", "hash", "at_ms", "key_id"}
    signed = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    key = load_pem_public_key(public_pem(SIGNING_KEY.public_key()).encode())
    key.verify(signature, signed)  # type: ignore[union-attr, call-arg]
    checkpoint = parse_checkpoint(a_checkpoint().to_json())
    assert checkpoint == a_checkpoint()
    assert checkpoint.is_signed_by(SIGNING_KEY.public_key())
    assert checkpoint.key_id == key_id_of(SIGNING_KEY.public_key())
    assert not checkpoint.is_signed_by(Ed25519PrivateKey.generate().public_key())
    others: list[dict[str, object]] = [
        {"seq": 8}, {"at_ms": 1}, {"hash": "00" * 32}, {"chain_id": "ff" * 16}, {"key_id": "ff" * 8}
    ]  # fmt: skip
    for more in others:
        assert not a_checkpoint(**more).is_signed_by(SIGNING_KEY.public_key())


def test_impossible_checkpoints_are_none() -> None:
    wrong: tuple[Mapping[str, object], ...] = (
        *({"seq": -1}, {"seq": True}, {"at_ms": 2**53}, {"hash": "AA" * 32}, {"hash": "00" * 31}),
        *({"chain_id": "x" * 32}, {"key_id": ""}, {"signature": "A" * 85}, {"signature": "+" * 86}),
    )
    for more in wrong:
        with pytest.raises(ValueError):
            a_checkpoint(**more)


def test_other_bytes_are_no_checkpoint() -> None:
    data = a_checkpoint().to_json()
    last = base64.urlsafe_b64decode(a_checkpoint().signature + "==")
    twin = next(
        a_checkpoint().signature[:-1] + letter
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        if letter != a_checkpoint().signature[-1]
        and base64.urlsafe_b64decode(a_checkpoint().signature[:-1] + letter + "==") == last
    )
    for changed in (
        *(b"", b"{}", b"[]", b"\xff", b"[" * 1_000),
        data + b" ",
        data.replace(b'"v":1', b'"v":2'),
        data.replace(b'"seq":7', b'"seq":7.0'),
        data.replace(a_checkpoint().signature.encode(), twin.encode()),
        data[:-1] + b',"x":1}',
        data + b" " * 2_000,
    ):
        with pytest.raises(InvalidField) as refused:
            parse_checkpoint(changed)
        assert refused.value.metadata == {"field": "checkpoint"}


def test_a_public_key_comes_back_and_others_are_refused() -> None:
    assert read_public_key(public_pem(SIGNING_KEY.public_key())) == SIGNING_KEY.public_key()
    other = X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in (
        "",
        "nothing",
        "-----BEGIN PUBLIC SIGNING_KEY-----\nAAAA\n-----END PUBLIC SIGNING_KEY-----\n",
        other.decode(),
    ):
        with pytest.raises(InvalidField):
            read_public_key(pem)


@dataclass
class Store:
    audited: Audited

    @contextmanager
    def auditing(self) -> Iterator[AuditTable]:
        yield self.audited.table

    def prune_audit(self, after: int, upto: int, last: bool) -> bool:
        return self.audited.prune(upto, after)


@dataclass
class Heard(Trust):
    agrees: list[bool] = field(default_factory=list)
    written: int = 0

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        self.written += 1

    def checkpoint_agrees(self, chain: Chain, agrees: bool) -> None:
        self.agrees.append(agrees)


def write(audited: Audited, folder: Path) -> Heard:
    heard = Heard()
    Checkpoints({"cases": LocalAudit(Store(audited))}, folder, heard).write()
    return heard


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem.partition("-")[2]) for path in folder.glob("*.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "kept"
    made.mkdir()
    return made


def older(tmp_path: Path) -> tuple[Audited, Audited]:
    """A chain of five records, and the database of it when it had three."""
    audited = Audited(str(tmp_path / "now")).created().fill(3)
    (tmp_path / "before").write_bytes((tmp_path / "now").read_bytes())
    return audited.fill(2), Audited(str(tmp_path / "before"), clock=audited.clock)


def test_a_chain_that_grows_gets_one_more_each_time(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    audited = Audited().created()
    for count, records in ((1, 3), (1, 0), (2, 9)):  # where nothing has come since, the one that is there holds
        heard = write(audited.fill(records), folder)
        assert (len(numbers(folder)), heard.agrees, heard.written) == (count, [True], 1)
    assert numbers(folder) == [3, 12]
    assert not caplog.records


@pytest.mark.parametrize("as_the_client_once_named_it", [False, True])
def test_a_chain_that_was_put_back_gets_no_checkpoint(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture, as_the_client_once_named_it: bool
) -> None:
    now, before = older(tmp_path)
    write(now, folder)
    if as_the_client_once_named_it:
        (folder / "cases-000000000005.json").rename(folder / "cases-5.json")
    for grown, why in ((0, "truncated, record 4"), (7, "rewritten, record 5")):
        caplog.clear()
        heard = write(before.fill(grown, seed=1), folder)
        assert (numbers(folder), heard.agrees, heard.written) == ([5], [False], 0)
        assert [one.levelno for one in caplog.records] == [logging.ERROR]
        assert why in caplog.text
        assert "to a new, empty folder" in caplog.text
    assert write(now.fill(1), folder).agrees == [True]
    assert numbers(folder) == [5, 6]
    (tmp_path / "new").mkdir()
    assert write(before, tmp_path / "new").agrees == [True]


def test_chains_of_another_store_and_altered_ones_get_none(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    audited = Audited().created().fill(3)
    write(audited, folder)
    heard = write(Audited().created().fill(9), folder)
    assert (numbers(folder), heard.agrees, heard.written) == ([3], [False], 0)
    assert "other_key, record 3" in caplog.text
    audited.sql("UPDATE audit SET mac = zeroblob(16) WHERE seq = 3")
    assert write(audited, folder).written == 0
    assert "could not be written" in caplog.text


def test_a_checkpoint_that_was_changed_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    audited = Audited().created().fill(3)
    write(audited, folder)
    (path,) = folder.glob("*.json")
    whole = path.read_bytes()
    for changed, why in ((whole[:-1], "it is unreadable"), (whole.replace(b'"seq":3', b'"seq":2'), "forged")):
        caplog.clear()
        path.write_bytes(changed)
        heard = write(audited, folder)
        assert (heard.agrees, heard.written, why in caplog.text) == ([False], 0, True)
    path.unlink()
    (folder / "cases-000000000009.json").write_bytes(whole)
    assert write(audited, folder).agrees == [False]
    assert "its number differs from its name" in caplog.text


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda at: at.symlink_to(at)], ids=["pipe", "folder", "loop"])
def test_no_file_is_not_read(make: Callable[[Path], None], folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(folder / "cases-000000000009.json")
    heard = write(Audited().created().fill(3), folder)
    assert (heard.agrees, heard.written) == ([False], 0)
    assert "it is unreadable" in caplog.text


def test_a_folder_of_the_home_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = Config(audit=AuditConfig(checkpoint_folder="~/kept"))
    with pytest.raises(ConfigInvalid) as refused:
        require_audit_folders(config)
    assert refused.value.metadata["file"] == str(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    require_audit_folders(config)
    assert checkpoint_folder(config) == tmp_path / "kept"
