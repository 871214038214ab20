"""Identification without models: coloured squares are faces, and equal squares are one person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.types import Embedding, ModelId
from fr_datasets.errors import DatasetIncomplete, DatasetUnknown
from fr_datasets.values import Person
from fr_evaluation.identification import words as identification_words
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.identification.run import read_people, run_identification
from fr_evaluation.identification.searches import OpenSet, open_set, search
from fr_evaluation.keys import report_keys
from fr_evaluation.write import write_report
from squares import engine, face

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PEOPLE = 6


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six people with three photos each."""
    for number in range(PEOPLE):
        for photo in (1, 2, 3):
            face(tmp_path / "people" / f"p{number}" / f"{photo}.png", 40 * number)
    return tmp_path / "people"


def report_of(root: Path, sizes: Sequence[int] = ()) -> IdentificationReport:
    return run_identification(
        engine(),
        read_people("people_folder", root),
        sizes=sizes,
        flip=False,
        seed=1,
        workers=2,
        clock=lambda: NOW,
        on_progress=lambda done, total: None,
    )


def person(name: str, photos: int) -> Person:
    return Person(name, tuple(Path(f"{name}{number}") for number in range(photos)))


def test_half_of_the_people_are_enrolled_and_everything_else_is_searched_for() -> None:
    people = [person("a", 1), person("b", 3), person("c", 2), person("d", 1), person("e", 2)]
    chosen = open_set(people, seed=3)
    assert len(chosen.enrolled) == 3
    assert all(photo.name.endswith("0") for photo in chosen.enrolled)
    assert [(number, photo.name[0]) for number, photo in chosen.mated] == [
        (number, chosen.enrolled[number].name[0]) for number, _ in chosen.mated
    ]
    assert sorted(chosen.photos) == sorted(photo for one in people for photo in one.photos)
    assert {photo.name[0] for photo in chosen.nonmated}.isdisjoint(photo.name[0] for photo in chosen.enrolled)
    assert open_set(people, seed=3) == chosen
    assert any(open_set(people, seed=seed) != chosen for seed in range(10))


def unit(*values: float) -> Embedding:
    vector = np.array(values, dtype=np.float32)
    return Embedding(vector / np.linalg.norm(vector), ModelId("null", "1", "0" * 64))


def test_ranks_similarities_and_failures_are_those_that_a_direct_search_finds() -> None:
    a, b, lost, a2, b2, lost2, none, stranger = (Path(name) for name in ("a", "b", "l", "a2", "b2", "l2", "n", "s"))
    given = OpenSet((a, lost, b), ((0, a2), (1, lost2), (2, b2), (2, none)), (stranger, none))
    embeddings = {
        a: unit(1, 0, 0, 0),
        lost: None,
        b: unit(0, 1, 0, 0),
        a2: unit(1, 2, 0, 0),  # nearer to b
        b2: unit(0, 1, 1, 0),
        lost2: unit(0, 0, 1, 0),
        none: None,
        stranger: unit(3, 4, 0, 0),
    }
    found = search(given, embeddings, [], seed=1)
    (mated,), (nonmated,) = found.mated, found.nonmated
    assert (found.people, found.not_enrolled, mated.gallery_size) == (2, 1, 2)
    assert mated.ranks.tolist() == [2, 1]
    assert mated.similarities == pytest.approx([5**-0.5, 0.5**0.5])
    assert mated.failures == 2  # of somebody who could not be enrolled, and of a photo without a template
    assert nonmated.top_similarities == pytest.approx([0.8])
    assert nonmated.failures == 1


def test_strangers_fill_the_larger_galleries_and_the_smaller_is_part_of_each() -> None:
    chance = np.random.default_rng(1)
    photos = [Path(f"{n}") for n in range(12)]
    embeddings: dict[Path, Embedding | None] = {photo: unit(*chance.standard_normal(8)) for photo in photos}
    given = OpenSet(tuple(photos[:4]), tuple((n, photos[4 + n]) for n in range(4)), tuple(photos[8:]))
    found = search(given, embeddings, [2, 4, 100, 5_000], seed=1)
    assert [one.gallery_size for one in found.mated] == [4, 100, 5_000]
    assert found.mated[0].ranks.tolist() == search(given, embeddings, [], seed=2).mated[0].ranks.tolist()
    for smaller, larger in ((0, 1), (1, 2)):
        assert (found.mated[smaller].ranks <= found.mated[larger].ranks).all()
        assert (found.nonmated[smaller].top_similarities <= found.nonmated[larger].top_similarities).all()
    assert found.mated[2].ranks.max() > 4
    assert found.nonmated[2].top_similarities.max() < 1.0
    again = search(given, embeddings, [100, 5_000], seed=1)
    assert again.mated[2].ranks.tolist() == found.mated[2].ranks.tolist()


def test_everybody_is_found_and_the_report_says_so(root: Path) -> None:
    keys = report_keys(report_of(root, [1_000]))
    assert keys["kind"] == "identification"
    assert keys["enrolled"] == {"people": 3, "failures_to_enrol": 0}
    assert keys["searches"] == {"mated": 6, "mated_failures": 0, "nonmated": 9, "nonmated_failures": 0}
    assert [gallery["gallery_size"] for gallery in keys["galleries"]] == [3, 1_000]
    assert keys["galleries"][0]["cmc"][0]["count"] == 6
    assert not keys["galleries"][0]["fnir_at_fpir"]["0.01"]["supported"]
    json.dumps(keys, allow_nan=False)


def test_who_could_not_be_enrolled_or_read_counts_as_missed(root: Path) -> None:
    for number in range(PEOPLE):
        face(root / f"p{number}" / "1.png", None if number % 2 else 40 * number)
    report = report_of(root)
    keys = report_keys(report)
    missing = keys["enrolled"]["failures_to_enrol"]
    assert keys["failures_to_acquire"] == 3
    assert keys["searches"]["mated_failures"] == 2 * missing
    hits = keys["galleries"][0]["cmc"][-1]
    assert (hits["count"], hits["total"]) == (6 - 2 * missing, 6)
    assert "could not be done" in identification_words.summary(report)


def test_the_files_are_whole(root: Path, tmp_path: Path) -> None:
    report = report_of(root, [100])
    files = write_report(report, tmp_path / "out")
    names = {"report.json", "report.html", "cmc.png", "det.png", "sizes.png"}
    assert {file.name for file in files} == {file.name for file in (tmp_path / "out").iterdir()} == names
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 3
    assert "never an identity" in html


def test_a_set_in_which_nobody_has_a_second_photo_leaves_the_figures_undefined(tmp_path: Path) -> None:
    for number in range(4):
        face(tmp_path / f"p{number}" / "1.png", 40 * number)
    report = report_of(tmp_path)
    keys = report_keys(report)
    assert (keys["galleries"], list(keys["undefined"])) == ([], ["identification"])
    assert identification_words.summary(report) == keys["undefined"]["identification"]
    assert {file.name for file in write_report(report, tmp_path / "out")} == {"report.json", "report.html"}


def test_what_cannot_be_measured_is_one_sentence(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetUnknown, match="of people; those are"):
        read_people("deepface", root)
    face(tmp_path / "one" / "p" / "1.png", 0)
    with pytest.raises(DatasetIncomplete, match="two at least"):
        read_people("people_folder", tmp_path / "one")
    arguments = ["identification", "--dataset", "people_folder", "--root", str(root)]
    result = CliRunner().invoke(evaluate, [*arguments, "--sizes", "10,many"])
    assert (result.exit_code, "whole numbers" in result.output) == (2, True)
    result = CliRunner().invoke(evaluate, [*arguments[:-1], str(tmp_path / "nowhere")])
    assert (result.exit_code, result.output.partition(":")[0]) == (2, "DATASET_MISSING")
