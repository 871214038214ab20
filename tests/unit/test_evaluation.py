"""Verification without models: coloured squares are faces, and equal squares are one person."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.scoring.bootstrap import fnmr_at_fmr_statistic, subject_bootstrap
from fr_core.types import Embedding, ModelId
from fr_datasets.manifests import load_manifest
from fr_datasets.values import VerificationPair
from fr_evaluation.report import part_of
from fr_evaluation.verification import words
from fr_evaluation.verification.as_json import report_keys
from fr_evaluation.verification.compare import ComparedPairs, across_people
from fr_evaluation.verification.figures import verification_figures
from fr_evaluation.verification.page import figures, page
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import counted, in_words, threshold_text
from fr_evaluation.write import write_report
from support.evaluations import verified_set
from support.people import made_pairs
from support.photos import PEOPLE, draw_lfw, face


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    return draw_lfw(tmp_path / "lfw")


def report_of(root: Path, name: str = "lfw") -> VerificationReport:
    return verified_set(name, root)


def test_every_pair_is_right_and_every_photo_gave_a_template(lfw: Path) -> None:
    keys = report_keys(report_of(lfw))
    rates = keys["fnmr_at_fmr"]
    assert list(rates) == ["0.01", "0.001", "0.0001", "1e-05", "1e-06"]
    assert {(rate["supported"], rate["note"]) for rate in rates.values()} == {
        (False, "not supported by this many comparisons")
    }
    assert (keys["accuracy"]["mean"], keys["accuracy"]["standard_error"]) == (1.0, 0.0)
    assert keys["failures_to_acquire"] == 0
    assert (keys["pairs"]["mated"], keys["pairs"]["nonmated"], keys["dataset"]["people"]) == (6, 6, 6)
    assert keys["across_people"]["people"] == PEOPLE
    assert keys["measured_at"] == "2026-01-02T03:04:05+00:00"
    assert "never an identity" in keys["notice"]
    json.dumps(keys, allow_nan=False)


def test_a_photo_without_a_face_counts_as_wrong_and_is_named(lfw: Path) -> None:
    face(lfw / "images" / "Jane_Roe_0" / "Jane_Roe_0_0001.jpg", None)
    (lfw / "images" / "Jane_Roe_4" / "Jane_Roe_4_0002.jpg").write_bytes(b"no photo")
    report = report_of(lfw)
    keys = report_keys(report)
    assert keys["failures_to_acquire"] == 2
    assert keys["failure_reasons"] == {"NO_FACE": 1, "UNDECODABLE": 1}
    assert (keys["pairs"]["mated_failures"], keys["pairs"]["nonmated_failures"]) == (2, 2)
    assert keys["accuracy"]["pooled"]["count"] == 8
    assert keys["at_default_threshold"]["fnmr"]["count"] == 2
    assert (
        "2 photos gave no template, so that 2 pairs of one person and 2 of different people could not be compared: "
        "those of one person count as missed, false match rates leave out the others" in in_words(words.summary(report))
    )


def test_pairs_without_folds_have_no_accuracy_over_folds_and_say_why(tmp_path: Path) -> None:
    for name, blue in (("a", 0), ("b", 0), ("c", 90)):
        face(tmp_path / f"{name}.png", blue)
    (tmp_path / "pairs.csv").write_text("a,b,mated\na.png,b.png,1\na.png,c.png,0\n", encoding="utf-8")
    report = report_of(tmp_path, "pairs_csv")
    keys = report_keys(report)
    assert keys["accuracy"] is None
    assert keys["undefined"]["accuracy"] == "The list of pairs has no folds."
    assert keys["across_people"] is None
    assert all(row[1] != "undefined" for row in words.rows(report))
    told = in_words(words.sections(report)[0].text)
    assert told.startswith("Some figures are undefined: accuracy (The list of pairs has no folds); ")
    assert keys["dataset"]["part"] == ""  # nobody has counted the pairs of one's own


def test_a_part_of_a_data_set_is_called_one(lfw: Path) -> None:
    report = report_of(lfw)
    assert report_keys(report)["dataset"]["part"] == "12 of 6,000 pairs"
    assert report.calibration is not None
    assert report.calibration.provenance.part == "folds 1, 2; 12 of 6,000 pairs"
    assert "were compared, a part of the data set: 12 of 6,000 pairs." in in_words(words.summary(report))
    assert "<td>part of it</td><td>12 of 6,000 pairs</td>" in page(report)
    manifest = report.dataset.manifest
    assert part_of(manifest, {"pairs": 6000}) == part_of(manifest, {"pairs": None}) == part_of(manifest, {}) == ""
    assert part_of(load_manifest("london"), {"pairs": 9, "people": 100}) == "100 of 102 people"


def test_pairs_of_every_two_people_are_told_and_drawn_once(lfw: Path) -> None:
    compared, across = made_pairs()
    everybody = replace(
        compared,
        similarities=np.concatenate([compared.mated_similarities, across.similarities[::-1] + 1e-9]),
        mated=np.arange(60 + len(across.similarities)) < 60,
        folds=np.zeros(60 + len(across.similarities), dtype=np.int64),
        pairs=(*compared.pairs[:60], *[compared.pairs[60]] * len(across.similarities)),
    )
    report = report_of(lfw)
    for pairs, once in ((everybody, True), (compared, False)):
        told = replace(report, figures=verification_figures(pairs, across, 0.3, seed=1, replicates=20))
        assert words.lists_everybody(told.figures) is once
        titles = [in_words(table.title) for table in words.sections(told)[1].tables]
        everyone = "By every two of 60 people"
        one, both = [f"{everyone}, which are the pairs of the list"], ["By the pairs of the list", everyone]
        assert titles == (one if once else both[1:])  # 60 pairs of the list support no rate
        lacking = [f"{one[0]}, rates of 0.0001 and less need more"] if once else [f"{both[0]}, rates of 0.01 and less"]
        assert all(f" {said}" in in_words(words.sections(told)[1].text) for said in lacking)
        assert len(figures(told)["roc"].axes[0].lines) == (1 if once else 2)
        assert (
            "one in 100 of these pairs of different people was accepted (on 17 errors: hardly known), and"
            in in_words(words.summary(told))
        )


def test_thresholds_are_shown_rounded_up_and_numbers_with_their_noun() -> None:
    assert [threshold_text(value) for value in (0.22543, 0.226, np.float64(0.3), 0.2250001, -0.0004, -0.2251)] == [
        *("0.226", "0.226", "0.300", "0.226", "0.000", "-0.225")
    ]
    assert threshold_text(0.22543, 4) == "0.2255"
    assert [counted(1, "pair"), counted(1200, "pair"), counted(2, "person", "people")] == [
        *("1 pair", "1,200 pairs", "2 people")
    ]


def test_the_same_run_gives_the_same_report(lfw: Path) -> None:
    first, second = (report_keys(report_of(lfw)) for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    face(lfw / "images" / "Jane_Roe_0" / "Jane_Roe_0_0001.jpg", 200)
    text = (lfw / "pairs.txt").read_text(encoding="utf-8")
    lines = text.replace("Jane_Roe_0\t1\tJane_Roe_1\t2", "Jane_Roe_0\t1\tJane_Roe_2\t2")
    (lfw / "pairs.txt").write_text(lines, encoding="utf-8")
    assert report_keys(report_of(lfw))["dataset"]["list_sha256"] != first["dataset"]["list_sha256"]


def test_the_files_are_whole_and_need_nothing_beside_them(lfw: Path, tmp_path: Path) -> None:
    report = report_of(lfw)
    out = tmp_path / "out"
    files = write_report(report, out)
    names = {"report.json", "report.html", "scores.csv", "histogram.png", "det.png", "roc.png"}
    names |= {"calibration.json", "quality.png"}
    assert {file.name for file in files} == {file.name for file in out.iterdir()} == names
    html = (out / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 4
    assert not re.search(r"""(src|href)=["'](?!#)""", html)
    assert "url(http" not in html
    assert page(report) == html  # the same bytes, pictures included
    with (out / "scores.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 12
    assert rows[0] == {
        "pair": "1",
        "photo_a": "images/Jane_Roe_0/Jane_Roe_0_0001.jpg",
        "photo_b": "images/Jane_Roe_0/Jane_Roe_0_0002.jpg",
        "mated": "1",
        "fold": "1",
        "similarity": repr(float(report.compared.similarities[0])),
        "failure": "",
    }
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == report_keys(report)


def test_a_report_that_cannot_be_written_is_told_before_the_photos(lfw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ["verification", "--dataset", "lfw", "--root", str(lfw), "--out", str(tmp_path / "file" / "out")]
    result = CliRunner().invoke(evaluate, arguments)
    assert (result.exit_code, "cannot be written" in result.output) == (2, True)


@pytest.mark.parametrize("row", ["a.png,c.png,1,1", "a.png,b.png,0,1", "a.png,b.png,1,2"])
def test_the_hash_of_a_list_tells_photos_labels_and_folds_apart(tmp_path: Path, row: str) -> None:
    for name, blue in (("a", 0), ("b", 0), ("c", 90)):
        face(tmp_path / f"{name}.png", blue)

    def list_hash(row: str) -> str:
        (tmp_path / "pairs.csv").write_text(f"a,b,mated,fold\n{row}\nb.png,c.png,0,2\n", encoding="utf-8")
        return report_of(tmp_path, "pairs_csv").dataset.list_sha256

    assert list_hash(row) != list_hash("a.png,b.png,1,1")


def embedding(*values: float) -> Embedding:
    vector = np.array(values, dtype=np.float32)
    return Embedding(vector / np.linalg.norm(vector), ModelId("null", "1", "0" * 64))


def test_everybody_is_compared_with_everybody_by_the_first_photo_that_has_an_embedding() -> None:
    a1, a2, a3, b1, c1 = (Path(name) for name in ("a1", "a2", "a3", "b1", "c1"))
    pairs = (
        VerificationPair(a1, a2, True, people=("a", "a")),
        VerificationPair(a3, b1, False, people=("a", "b")),
        VerificationPair(b1, c1, False, people=("b", "c")),
    )
    embeddings = {a1: None, a2: embedding(1, 0), a3: embedding(0, 1), b1: embedding(1, 0), c1: embedding(1, 1)}
    across = across_people(pairs, embeddings)
    assert across is not None
    assert across.people == 3
    assert across.similarities == pytest.approx([1.0, 0.5**0.5, 0.5**0.5])
    few = across_people(pairs, {**embeddings, c1: None}, most=2)
    assert few is not None
    assert (few.names, few.photos, few.absent, few.left_out, few.failures) == (("a", "b"), (a2, b1), 1, 0, 2)
    few = across_people(pairs, embeddings, most=2)
    assert few is not None
    assert (few.names, few.absent, few.left_out) == (("a", "b"), 0, 1)
    assert across_people((*pairs, VerificationPair(a1, a2, True)), embeddings) is None
    assert across_people(pairs[:1], embeddings) is None


def test_the_interval_by_people_resamples_the_people_of_the_pairs() -> None:
    chance = np.random.default_rng(1)
    mated = tuple(VerificationPair(Path("a"), Path("b"), True, people=(f"{n % 40}",) * 2) for n in range(200))
    nonmated = tuple(
        VerificationPair(Path("a"), Path("b"), False, people=(f"{n % 40}", f"{(n + 7) % 40}")) for n in range(200)
    )
    failed = tuple(VerificationPair(Path("a"), Path("b"), True, people=(f"{n}", f"{n}")) for n in range(3))
    similarities = np.concatenate([chance.normal(0.5, 0.2, 200), chance.normal(0.0, 0.2, 200)])
    is_mated = np.arange(400) < 200
    compared = ComparedPairs(similarities, is_mated, np.zeros(400, dtype=np.int64), (*mated, *nonmated), failed)
    found = verification_figures(compared, None, 0.3, seed=5, replicates=200).at_fmr[0].by_subject
    numbers = [[int(pair.people[side]) for pair in (*mated, *failed, *nonmated) if pair.people] for side in (0, 1)]
    statistic = fnmr_at_fmr_statistic(similarities[:200], similarities[200:], 1e-2, 3)
    expected = subject_bootstrap(statistic, np.array(numbers[0]), np.array(numbers[1]), seed=5, replicates=200)
    assert found == expected


DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("evaluation.md", "packs.md", "gallery.md")
GUIDES = "".join((DOCS / name).read_text("utf-8") for name in NAMES)
COMMANDS = re.findall(r"(?m)^(?: {4})?fr evaluate ((?:verification|identification) .*)$", GUIDES)


def test_each_command_of_the_guides_asks_for_its_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) >= 13
    for command in COMMANDS:
        result = CliRunner().invoke(evaluate, command.replace("/data/", "data/").replace("NAME", "sface").split())
        assert (result.exit_code, result.output.partition(":")[0]) == (2, "DATASET_MISSING"), command
