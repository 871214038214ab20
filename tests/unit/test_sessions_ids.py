"""Ids and orders that follow from a session's secret and tell nothing."""

from __future__ import annotations

import hashlib
import string

import pytest

from fr_training.sessions.order import class_order, digest, picture_ids, rng_of, trial_id

SECRET = bytes(range(32))


def test_a_digest_is_hmac_sha256() -> None:
    # RFC 2104, written out: H(key ^ opad, H(key ^ ipad, text)), the key filled up to the block of 64 bytes.
    key = SECRET.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(k ^ 0x36 for k in key) + b"trial\x007").digest()
    assert digest(SECRET, "trial", 7) == hashlib.sha256(bytes(k ^ 0x5C for k in key) + inner).digest()
    assert digest(SECRET, "x", 1, 11) != digest(SECRET, "x", 11, 1)  # parts cannot run into each other
    assert digest(SECRET, "x1", 1) != digest(SECRET, "x", 11)


def test_ids_are_hexadecimal_and_each_is_another() -> None:
    ids = [trial_id(SECRET, n) for n in range(200)]
    pictures = [one for n in range(200) for one in picture_ids(SECRET, n, 5)]
    assert {len(one) for one in ids} == {32}
    assert {len(one) for one in pictures} == {16}
    assert len(set(ids)) == 200
    assert len(set(pictures)) == 1_000
    assert set("".join((*ids, *pictures))) <= set(string.hexdigits.lower())
    assert not set(ids) & {trial_id(bytes(32), n) for n in range(200)}
    for byte in range(32):  # every byte of the secret counts
        other = bytes(one ^ (n == byte) for n, one in enumerate(SECRET))
        assert trial_id(other, 0) not in ids
        assert not set(picture_ids(other, 0, 5)) & set(pictures)


def test_a_generator_is_that_of_its_secret_label_and_number() -> None:
    draws = [
        tuple(rng_of(secret, label, number).integers(2**32, size=4))
        for secret, label, number in [
            (SECRET, "order", 1),
            (SECRET, "order", 1),
            (SECRET, "order", 2),
            (SECRET, "own-order", 1),
            (bytes(32), "order", 1),
        ]
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


@pytest.mark.parametrize(
    ("same", "different", "trials", "wanted"),
    [(20, 20, 10, {5}), (20, 10, 12, {8}), (3, 1, 4, {3}), (0, 5, 3, {0}), (5, 0, 3, {3}), (1, 1, 1, {0, 1})],
)
def test_an_adaptive_block_has_as_large_a_share_of_either_class_as_its_form(
    same: int, different: int, trials: int, wanted: set[int]
) -> None:
    orders = {class_order(bytes([n] * 32), "b", same, different, trials) for n in range(64)}
    assert {len(order) for order in orders} == {trials}
    assert {sum(order) for order in orders} == wanted


def test_each_place_of_an_adaptive_block_is_as_likely_of_either_class() -> None:
    orders = [class_order(n.to_bytes(32, "big"), "b", 50, 50, 10) for n in range(2_000)]
    # 1,000 of 2,000 are expected at each place, with a standard deviation of 22.
    assert all(900 < sum(order[place] for order in orders) < 1_100 for place in range(10))
