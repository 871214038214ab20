"""What a row holds that none can: always the same error, which says nothing of the row."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from fr_core.errors import InvalidField, StoreCorrupt
from fr_core.storage.rows import readable
from fr_trust.access.schema import HEAD, SCHEMA, Locks
from support.access import new_key
from support.access import open_store as open_access

SECRET = "Erika Mustermann"


def refused() -> None:
    raise InvalidField(SECRET, field="x")


READS: dict[str, Callable[[], object]] = {
    "ValueError": lambda: int(SECRET),
    "TypeError": lambda: len(7),  # type: ignore[arg-type]
    "KeyError": lambda: json.loads("{}")[SECRET],
    "IndexError": lambda: [][0],
    "AttributeError": lambda: json.loads("7").items(),
    "struct.error": lambda: struct.unpack("<q", b"x"),
    "OverflowError": lambda: (2**64).to_bytes(8, "big"),
    "FrError": refused,
}


@pytest.mark.parametrize("kind", READS)
def test_what_cannot_be_read_is_damage_of_the_store_and_is_not_told(kind: str) -> None:
    with pytest.raises(StoreCorrupt) as caught:
        readable("store of things", READS[kind])
    assert caught.value.what == "A row of the store of things cannot be read."
    assert caught.value.metadata == {"check": "row"}
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_damage_that_was_found_already_stays_as_it_was_told() -> None:
    def read() -> None:
        raise StoreCorrupt("Exchanged.", check="cases")

    with pytest.raises(StoreCorrupt, match="Exchanged") as caught:
        readable("store of things", read)
    assert caught.value.metadata == {"check": "cases"}


def test_what_is_no_error_of_reading_is_not_taken_for_damage() -> None:
    with pytest.raises(ZeroDivisionError):
        readable("store of things", lambda: 1 // 0)


def test_what_a_later_version_has_sealed_is_damage_of_the_access_store(tmp_path: Path) -> None:
    with open_access(tmp_path) as store:
        made = store.create(new_key())
        with store._database.reading() as now:
            locks, (version, _) = Locks(now), now.row(HEAD) or ()
        head = locks._key.seal(b"too short", SCHEMA.bound("head", version))
        with pytest.raises(StoreCorrupt) as caught:
            locks.head_of((version, head))
        assert caught.value.metadata == {"check": "row"}
        number, key_id = made.key.number, made.key.key_id
        for said in (b"7", b"[]", b'{"label":7}'):
            sealed = locks._key.seal(said, SCHEMA.bound("keys", number, key_id, version))
            with pytest.raises(StoreCorrupt) as caught:
                locks.kept_of((number, key_id, version, sealed))
            assert caught.value.metadata == {"check": "row"}
        with pytest.raises(StoreCorrupt):
            locks.kept_of((2**80, key_id, version, b""))
