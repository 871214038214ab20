"""`fr train simulate`: what it prints and writes, and with which exit status."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from fr_training.simulation import report
from fr_training.simulation import study as study_room
from fr_training.simulation.claims import Claim
from fr_training.simulation.cli import simulate
from fr_training.simulation.study import Sizes, Study, run_study

SMALL = Sizes(pairs=3, aided=4, form=3, pool=6, adaptive=12, triads=2)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(simulate)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same study of fewer trials; everything else is as it is."""

    def smaller(trainees: int, seed: int, *, on_progress: Callable[[int, int], None]) -> Study:
        return run_study(trainees, seed, sizes=SMALL, replicates=2, on_progress=on_progress)

    monkeypatch.setattr(study_room, "run_study", smaller)
    monkeypatch.setenv("COLUMNS", "250")


def test_it_prints_every_claim_with_its_bar_and_what_was_found() -> None:
    found = run("--trainees", "10")
    assert found.exit_code == 0
    for text in (
        "10 simulated trainees, seed 1",
        "Bias of d'",
        "93% to 97%",
        "at most 60%",
        "Simulated trainees, and no person",
    ):
        assert text in found.stdout


def test_it_writes_a_page_and_all_numbers(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    found = run("--trainees", "10", "--seed", "4", "--out", str(out))
    assert found.exit_code == 0
    assert "Wrote simulation.json, simulation.html" in found.stderr
    assert sorted(one.name for one in out.iterdir()) == ["simulation.html", "simulation.json"]
    keys = json.loads((out / "simulation.json").read_text())
    assert (keys["seed"], keys["trainees"]) == (4, 10)
    assert (out / "simulation.html").read_text().startswith("<!doctype html>")
    assert stat.S_ISREG((out / "simulation.json").stat().st_mode)
    assert run("--trainees", "10", "--seed", "4", "--json").stdout == (out / "simulation.json").read_text()


@pytest.mark.parametrize(("met", "status"), [(True, 0), (None, 0), (False, 1)])
def test_bar_ends_with_one_where_a_claim_fails(met: bool | None, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "all_claims", lambda study: (Claim("a claim", "a bar", "a find", met),))
    assert run("--trainees", "10", "--bar").exit_code == status


def test_wrong_folders_and_numbers_are_told_before_the_study(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = run("--out", str(tmp_path / "file" / "out"))
    assert found.exit_code == 2
    assert "cannot be written" in found.stderr
    assert not found.stdout
    for wrong in (("--trainees", "9"), ("--seed", "-1"), ("--seed", str(2**32))):
        assert run(*wrong).exit_code == 2
