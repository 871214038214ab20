"""Page tokens hold only where they were given."""

from __future__ import annotations

import pytest

from fr_core.errors import InvalidPage
from fr_core.gallery.pages import last_of, page_token, require_page_size

CALL = "subjects of 3"


@pytest.mark.parametrize("last", ["a", "Case 7/2", "名 😀", "x" * 128])
def test_a_token_leads_back_to_its_item(last: str) -> None:
    assert last_of(CALL, page_token(CALL, last)) == last


def test_the_first_page_has_no_token() -> None:
    assert last_of(CALL, "") == ""


def test_a_token_of_another_call_is_refused() -> None:
    with pytest.raises(InvalidPage):
        last_of("subjects of 4", page_token(CALL, "a"))


def test_every_changed_character_is_noticed() -> None:
    token = page_token(CALL, "subject")
    for place in range(len(token)):
        for other in "Aa0_-=+ é":
            if token[place] != other:
                with pytest.raises(InvalidPage):
                    last_of(CALL, token[:place] + other + token[place + 1 :])


def test_every_cut_is_noticed() -> None:
    token = page_token(CALL, "subject")
    for length in range(1, len(token)):
        with pytest.raises(InvalidPage):
            last_of(CALL, token[:length])


@pytest.mark.parametrize("token", ["=", "a", "!!!!", "a" * 10_000, page_token(CALL, "a") + "=", " ", "\ud800"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidPage):
        last_of(CALL, token)


def test_a_token_does_not_show_the_id_in_clear() -> None:
    assert "subject-7" not in page_token(CALL, "subject-7")


@pytest.mark.parametrize("size", [0, -1, 1001])
def test_a_page_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(InvalidPage):
        require_page_size(size)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_page_size_within_range_is_taken(size: int) -> None:
    require_page_size(size)
