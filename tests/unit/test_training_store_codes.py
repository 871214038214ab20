"""Codes of trainees: how they are drawn, and what still counts as the same."""

from __future__ import annotations

import random

import pytest

from fr_training.store.codes import ALPHABET, CODE_CHARACTERS, new_code, new_pseudonym, typed_code


def test_a_code_has_26_characters_in_groups_each_as_likely_as_any_other() -> None:
    drawn = random.Random(2)
    code = new_code(drawn.randbytes)
    assert [len(group) for group in code.split("-")] == [5, 5, 5, 5, 6]
    assert typed_code(code) == code.replace("-", "")
    assert new_pseudonym(bytes) == "T-00000000"
    characters = "".join(new_code(drawn.randbytes).replace("-", "") for _ in range(4_000))
    expected = len(characters) / len(ALPHABET)
    for character in ALPHABET:
        assert abs(characters.count(character) - expected) < 5 * expected**0.5


@pytest.mark.parametrize(
    "typed",
    [
        "01abc-defgh-jkmnp-qrstv-wxyz23",
        "  O1ABCDEFGHJKMNPQRSTVWXYZ23\n",
        "oIabc defgh jkmnp qrstv wxyz23",
        "0Labc--defghjkmnp-qrstvwxyz23",
    ],
)
def test_however_it_is_typed(typed: str) -> None:
    assert typed_code(typed) == "01ABCDEFGHJKMNPQRSTVWXYZ23"


@pytest.mark.parametrize(
    "typed", ["", "0" * (CODE_CHARACTERS - 1), "0" * (CODE_CHARACTERS + 1), "U" + "0" * 25, "é" + "0" * 25, "0" * 10**6]
)
def test_what_is_no_code(typed: str) -> None:
    assert typed_code(typed) is None
