"""The forms of ids that people type."""

from __future__ import annotations

import unicodedata

import pytest

from fr_core.id_forms import MAX_COMPOSED, composed, forms_of


def test_an_id_has_one_form() -> None:
    nfc, nfd = unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "Zoë")
    assert composed(nfd) == composed(nfc) == nfc != nfd
    assert (forms_of(nfd), forms_of(nfc), forms_of("Ann")) == ((nfd, nfc), (nfc, nfd), ("Ann",))


@pytest.mark.parametrize("marks", ["a" + "\u0323\u0301" * MAX_COMPOSED, "a" + "\u0301\u0323" * 16])
def test_marks_without_an_end_are_left_as_they_are(marks: str) -> None:
    assert composed(marks) == marks
    assert forms_of(marks) == (marks,)
