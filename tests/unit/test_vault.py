"""Keys and ciphers of a store: what was altered or exchanged does not open, whichever part of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import pytest

from fr_core.errors import StoreCorrupt, WrongKey
from fr_core.gallery.store.template_codec import Binding
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.vault import MAC_BYTES, Vault, encode
from fr_core.types import ModelId

KEY = KeyEncryptionKey(bytes(range(32)))
OTHER_KEY = KeyEncryptionKey(bytes(range(1, 33)))
MODEL = ModelId("pack", "1", "0" * 64)
FACTS: dict[str, Any] = {
    "template_id": 7,
    "subject_no": 3,
    "image_sha256": "ab" * 32,
    "quality": 0.5,
    "created_us": 1_000_000,
    "has_photo": 1,
}


@pytest.fixture
def vault() -> Vault:
    return Vault.new(KEY)


def require_corrupt(check: str, opening: Callable[[], object]) -> None:
    with pytest.raises(StoreCorrupt) as refused:
        opening()
    assert refused.value.metadata == {"check": check}


def test_what_is_sealed_opens_and_shows_nothing(vault: Vault) -> None:
    key, wrapped = vault.new_key(1, 3)
    data = b"a vector of some length"
    sealed = key.seal(data, b"row")
    assert data not in sealed
    assert len(sealed) == 12 + len(data) + 16
    assert len(wrapped) == 12 + 32 + 16
    assert vault.key(1, 3, wrapped).open(sealed, b"row", "template") == data
    assert key.seal(b"same", b"row") != key.seal(b"same", b"row")
    assert vault.new_key(1, 3)[1] != wrapped
    assert vault.wrapped() != vault.wrapped()
    assert Vault.new(KEY).mac("t", (1,)) != vault.mac("t", (1,))


def test_every_byte_of_what_is_sealed_counts(vault: Vault) -> None:
    key, _ = vault.new_key(1, 3)
    sealed = key.seal(b"1234", b"row")
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        require_corrupt("template", partial(key.open, bytes(altered), b"row", "template"))
    for cut in range(len(sealed)):
        require_corrupt("template", partial(key.open, sealed[:cut], b"row", "template"))


def test_a_key_of_a_subject_is_of_no_use_to_another(vault: Vault) -> None:
    key, wrapped = vault.new_key(1, 3)
    sealed = key.seal(b"data", b"row")
    for gallery_no, subject_no in ((1, 4), (2, 3), (3, 1)):
        require_corrupt("subject_key", partial(vault.key, gallery_no, subject_no, wrapped))
    other, _ = vault.new_key(1, 4)
    require_corrupt("template", lambda: other.open(sealed, b"row", "template"))
    require_corrupt("store_key", lambda: Vault.unlocked(KEY, KEY.key_id, wrapped))
    require_corrupt("subject_key", lambda: vault.key(1, 3, vault.wrapped()))


def bindings(**facts: Any) -> bytes:
    return Binding("template", 1, MODEL).of(**(FACTS | facts))


def test_whatever_is_said_of_a_template_is_bound() -> None:
    others = [
        bindings(),
        *(bindings(**{name: FACTS[name] + 1}) for name in ("template_id", "subject_no", "created_us", "has_photo")),
        bindings(image_sha256="ab" * 31 + "AB"),
        bindings(image_sha256=None),
        bindings(image_sha256=""),
        bindings(quality=0.25),
        bindings(quality=None),
        bindings(quality=0.0),
        bindings(template_id=3, subject_no=7),
        Binding("photo", 1, MODEL).of(**FACTS),
        Binding("template", 2, MODEL).of(**FACTS),
        *(
            Binding("template", 1, model).of(**FACTS)
            for model in (
                ModelId("other", "1", "0" * 64),
                ModelId("pack", "2", "0" * 64),
                ModelId("pack", "1", "1" * 64),
                ModelId("pack1", "", "0" * 64),
                ModelId("pac", "k1", "0" * 64),
            )
        ),
    ]
    assert len(set(others)) == len(others)
    wrong: list[dict[str, Any]] = [{"template_id": "7"}, {"quality": "x"}, {"image_sha256": b"x"}, {"has_photo": None}]
    for facts in (*wrong, {"image_sha256": 7}):
        require_corrupt("template", partial(bindings, **facts))


def test_encodings_of_different_values_differ() -> None:
    values: list[tuple[Any, ...]] = [
        (), (None,), (None, None), ("",), (b"",), ("", ""), ("n",), (b"n",), (1,), ("1",), (b"1",), (1.0,), (-1,),
        (12,), (1, 2), ("ab", "c"), ("a", "bc"), ("abc",), ("ab", b"c"), (0.0,), (-0.0,),
    ]  # fmt: skip
    encoded = [encode(*one) for one in values]
    assert len(set(encoded)) == len(encoded)
    for one, other in combinations(encoded, 2):
        assert not one.startswith(other) or not other


def test_a_row_is_authenticated_with_its_table_and_every_column(vault: Vault) -> None:
    row = (1, "id", "name", None, 0.5, b"key")
    mac = vault.mac("subjects", row)
    assert len(mac) == MAC_BYTES
    vault.require_mac("subjects", row, mac)
    altered: list[tuple[str, tuple[Any, ...], Any]] = [
        ("subjects", (*row, None), mac),
        ("subjects", row[:-1], mac),
        ("galleries", row, mac),
        ("subjects", row, mac[:-1]),
        ("subjects", row, bytes(16)),
        ("subjects", row, None),
        ("subjects", row, "text"),
    ]
    altered += [("subjects", (*row[:n], "other", *row[n + 1 :]), mac) for n in range(len(row))]
    for table, columns, claimed in altered:
        require_corrupt(table, partial(vault.require_mac, table, columns, claimed))
    require_corrupt("subjects", lambda: Vault.new(KEY).require_mac("subjects", row, mac))


def test_only_its_own_key_unlocks_a_store(vault: Vault) -> None:
    wrapped = vault.wrapped()
    again = Vault.unlocked(KEY, KEY.key_id, wrapped)
    assert again.mac("t", (1,)) == vault.mac("t", (1,))
    with pytest.raises(WrongKey) as refused:
        Vault.unlocked(OTHER_KEY, KEY.key_id, wrapped)
    assert refused.value.metadata == {"key_id": KEY.key_id, "given_key_id": OTHER_KEY.key_id}
    damaged: list[Any] = ["a text of somebody's", KEY.key_id[:15], KEY.key_id + "\n", b"bytes", None, 7]
    for no_id in damaged:
        require_corrupt("store_key", partial(Vault.unlocked, OTHER_KEY, no_id, wrapped))
    require_corrupt("store_key", lambda: Vault.unlocked(KEY, KEY.key_id, wrapped[:-1] + bytes([wrapped[-1] ^ 1])))


def test_under_another_key_everything_opens_and_the_former_key_opens_nothing(vault: Vault) -> None:
    key, wrapped = vault.new_key(1, 3)
    sealed = key.seal(b"data", b"row")
    moved = vault.under(OTHER_KEY)
    rewrapped = moved.rewrapped(vault, 1, 3, wrapped)
    assert moved.key(1, 3, rewrapped).open(sealed, b"row", "template") == b"data"
    assert moved.key_id == OTHER_KEY.key_id
    assert moved.mac("t", (1,)) == vault.mac("t", (1,))
    require_corrupt("subject_key", lambda: vault.key(1, 3, rewrapped))
    require_corrupt("subject_key", lambda: moved.rewrapped(vault, 1, 4, wrapped))
    with pytest.raises(WrongKey):
        Vault.unlocked(KEY, moved.key_id, moved.wrapped())
