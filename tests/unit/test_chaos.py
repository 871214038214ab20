"""The page of reliability: its rows are those of the list, their tests are there, and figures are told by the tests."""

from dataclasses import replace
from pathlib import Path

import chaos
from chaos import ROWS, Row

ROW = Row("kill", "Nothing is lost", "0 lost", ("tests/fault/test_kill.py",), r"\d+ killed: .*")


def test_the_page_has_the_rows_and_the_tests_are_there() -> None:
    assert chaos.check() == []
    assert len({row.name for row in ROWS}) == len({row.claim for row in ROWS}) == len(ROWS)


def test_missing_tests_and_other_rows_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    rows = [replace(ROW, tests=("tests/fault/test_nothing.py", "tests/fault/test_kill.py::test_nothing"))]
    page.write_text(chaos.render(rows, {}))
    assert chaos.check(page, rows) == [f"there is no {test}" for test in rows[0].tests]
    page.write_text(chaos.render([ROW], {}))
    assert chaos.check(page, [ROW]) == []
    assert len(chaos.check(page, [replace(ROW, bar="1 lost")])) == 1
    assert len(chaos.check(page, [ROW, replace(ROW, claim="Another")])) == 1
    assert len(chaos.check(tmp_path / "none.md", [ROW])) == 1


def test_what_a_page_says_is_kept() -> None:
    ran = {ROW.claim: chaos.Ran("p99 | 3 ms", "2026-01-01, 2 cores, short")}
    assert chaos.read_page(chaos.render([ROW], ran)) == ran
    assert chaos.read_page(chaos.render([ROW], {}))[ROW.claim].figure == chaos.NOT_RUN


def test_figures_are_those_that_were_told() -> None:
    printed = "figure: p99 = 3 ms\n12 killed: none lost\nother\n=== 3 passed, 1 skipped in 2.00s ===\n"
    assert chaos.figures_of(ROW, printed) == "p99: 3 ms; 12 killed: none lost"
    assert chaos.figures_of(ROW, "==== 3 passed, 1 skipped in 2.00s ====") == "3 passed, 1 skipped"
    assert chaos.figures_of(ROW, "") == "nothing was told"
