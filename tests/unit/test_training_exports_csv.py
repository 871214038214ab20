"""The export as comma-separated rows: every attribute, numbers that come back, no text that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_training.exports.csv_rows import COLUMNS, csv_rows, harmless
from fr_training.exports.signing import SigningKey, new_signing_key
from fr_training.exports.values import CohortResults
from fr_training.trials import Result
from support.results import course, listed, pair, triaged

FORMULAS = "=+-@\t\r\n＝＋－＠"
NAMES = (
    "course_id,cohort,seed,manifest_sha256,model,model_sha256,trainee_id,sitting,block_id,form,test,exercise,ordinal,"
    "item_id,b,truth,answer,correct,rating,rating_before,p_same,advice,similarity,log10_lr,machine,mate_rank,candidates,"
    "difficulty,known_to_me,feedback,shown_at,took_ms,paused,reasons,degraded,partner,groups,notes,observations"
)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.load(new_signing_key())


def written(key: SigningKey, *results: Result, cohort: str = "Spring") -> str:
    return csv_rows(CohortResults(course(), cohort, {"t1": results}, (), key, 0))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_two_rows_are_written_just_so(key: SigningKey) -> None:
    first = pair(
        "same",
        -2,
        block="aided",
        b=-0.25,
        before=1,
        advice="different",
        p_same=0.1,
        similarity=-0.125,
        known=True,
        difficulty=5,
        groups={"gender": "f", "age": "30"},
    )
    second = replace(triaged("reject", "", 3), shown_ms=1_700_000_000_123)
    constants = f"0123456789abcdef,Spring,1,{'1' * 64},made@1,{'0' * 64},t1,first"
    assert written(key, first, second) == (
        f"{NAMES}\r\n"
        f"{constants},aided,aided,,aided,0,aided-0,-0.25,same,different,false,-2,1,0.1,different,-0.125,-0.125,different,"
        ',0,5,true,false,1970-01-01T00:00:00.000Z,4000,false,,,,"{""age"": ""30"", ""gender"": ""f""}",,\r\n'
        f"{constants},triage,triage,,triage,3,triage-3,,reject,,,,,,,,,,,0,,false,false,"
        "2023-11-14T22:13:20.123Z,,false,,,,,,\r\n"
    )


def test_every_attribute_of_a_result_has_a_column_in_its_order() -> None:
    names = [column.name for column in COLUMNS]
    ours = ["shown_at" if field.name == "shown_ms" else field.name for field in fields(Result)]
    assert sorted(ours) == sorted(names[6:])
    assert len(set(names)) == len(names)


def test_trainees_keep_their_order_and_trials_theirs(key: SigningKey) -> None:
    results = {"b": [pair("same", 1, 1, trainee="b"), pair("same", 1, 0, trainee="b")], "a": [listed(1, "none")]}
    rows = read(csv_rows(CohortResults(course(), "x", results, (), key, 0)))
    assert [(row["trainee_id"], row["ordinal"]) for row in rows] == [("b", "1"), ("b", "0"), ("t1", "0")]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**53))
def test_numbers_come_back(key: SigningKey, value: float, took_ms: int) -> None:
    row = read(written(key, replace(pair("same", 3), log10_lr=value, took_ms=took_ms)))[0]
    assert float(row["log10_lr"]) == value
    assert int(row["took_ms"]) == took_ms
    for none in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="not a finite number"):
            written(key, pair("same", 3, similarity=none))


@pytest.mark.parametrize(
    "formula",
    [
        '=HYPERLINK("http://x.test")',
        "+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "＝1+1",
        "a;=1",
        "a\t+1",
        "a\r\n@x",
    ],
)
def test_no_text_is_run_by_a_spreadsheet(key: SigningKey, formula: str) -> None:
    row = read(written(key, pair("same", -3, groups={"label": formula}), cohort=formula))[0]
    assert_harmless(row["cohort"])
    assert_harmless(row["groups"])
    assert row["cohort"] != formula
    assert row["rating"] == "-3"


@given(st.text(alphabet=st.sampled_from("=+-@\t\r\n; '\",aß＝")))
def test_harmless_adds_nothing_but_apostrophes(text: str) -> None:
    made = harmless(text)
    assert_harmless(made)
    assert made.replace("'", "") == text.replace("'", "")
    assert harmless(made) == made
    for plain in ("", "Müller & Söhne", "a-b", "blur+noise", "1=1", "x; y", "it's"):
        assert harmless(plain) == plain


def assert_harmless(text: str) -> None:
    assert not text.lstrip(" ").startswith(tuple(FORMULAS))
    for before, after in pairwise(range(len(text) + 1)):
        if text[before:after] in (";", "\t", "\r", "\n") and text[after:].lstrip(" "):
            assert text[after:].lstrip(" ")[0] not in FORMULAS
