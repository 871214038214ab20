"""Exports of a cohort: every form takes whatever results there are, and says nothing that is nobody's to know."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_training.exports import FORMS, Finished, export
from fr_training.exports.signing import SigningKey, new_signing_key
from fr_training.exports.values import duration, instant, stable_id, urn
from fr_training.trials import Result
from support import results as graded
from support.results import course, pair

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.load(new_signing_key())


def refuse(word: str) -> None:
    raise AssertionError(word)


@given(graded.results(), graded.results("t2"), st.lists(st.sampled_from(["t1", "t2", "t3"]), unique=True), NAMES)
def test_every_form_takes_any_results(
    key: SigningKey, first: Sequence[Result], second: Sequence[Result], through: list[str], cohort: str
) -> None:
    finished = [Finished(one, "first", 0, 1_700_000_000_000) for one in through]
    for form in FORMS:
        text = export(form, course(), cohort, {"t1": first, "t2": second, "t3": ()}, finished, key, 1_700_000_000_000)
        assert text.encode().decode() == text
        if form == "csv":
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
            assert len(rows) == 1 + len(first) + len(second)
            assert len({len(row) for row in rows}) == 1
            assert text.endswith("\r\n")
        else:
            assert isinstance(json.loads(text, parse_constant=refuse), list)
            assert text.endswith("]\n")


@pytest.mark.parametrize("form", ["xapi", "ags", "open-badges"])
def test_nobody_is_an_empty_array(key: SigningKey, form: str) -> None:
    assert export(form, course(), "x", {}, (), key, 0) == "[]\n"


def test_an_unknown_form_is_refused(key: SigningKey) -> None:
    with pytest.raises(ValueError, match="csv, xapi, ags, open-badges"):
        export("pdf", course(), "x", {}, (), key, 0)


def test_no_form_tells_the_signing_key_and_one_alone_the_name_of_the_cohort(key: SigningKey) -> None:
    results, finished = {"t1": [pair("same", 2)]}, [Finished("t1", "first", 0, 1)]
    private = key.private.private_numbers()
    for form in FORMS:
        text = export(form, course(), "Spring of the north", results, finished, key, 0)
        assert ("Spring of the north" in text) is (form == "csv")
        assert str(private.d) not in text
        assert '"d":' not in text


def test_ids_of_two_things_differ() -> None:
    made = [stable_id(*parts) for parts in (("a", "b"), ("a", "b", ""), ("a", "bc"), ("ab", "c"), ("a", 1), ("a", "1"))]
    assert len(set(made)) == len(made)
    assert urn("a", "b") == f"urn:uuid:{made[0]}"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "PT0.00S"), (4, "PT0.00S"), (5, "PT0.01S"), (4_250, "PT4.25S"), (3_600_000, "PT3600.00S"), (999, "PT1.00S")],
)
def test_durations(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_instants() -> None:
    assert instant(0) == "1970-01-01T00:00:00.000Z"
    assert instant(1_709_210_096_007) == "2024-02-29T12:34:56.007Z"
