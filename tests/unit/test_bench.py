"""Unit tests of the evaluation, without models: coloured squares are faces, and equal squares are one person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from fr_bench.bench_commands.options import SetName
from fr_bench.cli import evaluate
from fr_bench.evaluate import Evaluation, count_groups, count_nonface, count_odd_formats, of_pairs, run
from fr_bench.report import interval_text, to_json, value_text
from fr_bench.speed.workload import find_testdata
from fr_bench.values import Measure, Report
from fr_core.scoring.intervals import rate
from fr_datasets.errors import DatasetMissing
from fr_datasets.values import CountedPhoto, CountedSet, PairSet, PeopleSet, Person, VerificationPair
from fr_evaluation.photos import Photos, largest, most_central
from support.evaluations import ignore
from support.photos import engine

Square = tuple[int, int, int, int]  # left, top, side, blue


def photo(path: Path, *squares: Square) -> Path:
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    for left, top, side, blue in squares:
        pixels[top : top + side, left : left + side] = (255, 0, blue)
    PIL.Image.fromarray(pixels).save(path)
    return path


def person(folder: Path, name: str, blue: int | None) -> Path:
    """A photo of one person, or of nobody."""
    return photo(folder / f"{name}.png", *([] if blue is None else [(100, 50, 100, blue)]))


def photos_of(workers: int = 2) -> Photos:
    return Photos(engine().pipeline, workers, ignore)


def report_of(pack: str, sets: Mapping[SetName, Evaluation]) -> Report:
    return run(engine(pack), sets, 2, lambda name, done, total: None)


def measures(evaluation: Evaluation, threshold: float = 0.5) -> dict[str, Measure]:
    return {m.key: m for outcome in evaluation.run(photos_of(), threshold) for m in outcome.measures}


def counts(measure: Measure) -> tuple[int, int]:
    assert measure.rate is not None
    return measure.rate.count, measure.rate.total


@pytest.fixture
def people(tmp_path: Path) -> dict[str, Path]:
    """Two photos of each of two people, and one without a face."""
    shown = {"a1": 10, "a2": 10, "b1": 200, "b2": 200, "empty": None}
    return {name: person(tmp_path, name, blue) for name, blue in shown.items()}


def pair_set(people: dict[str, Path], *pairs: tuple[str, str, bool, int | None]) -> PairSet:
    return PairSet("lfw", "terms", tuple(VerificationPair(people[a], people[b], m, fold) for a, b, m, fold in pairs))


# --- photos -------------------------------------------------------------------------------------------------


def test_each_photo_is_opened_once(people: dict[str, Path]) -> None:
    photos = photos_of()
    first = photos.embed([people["a1"], people["b1"], people["a1"]])
    people["a1"].unlink()
    again = photos.embed([people["a1"]])
    assert list(first) == [people["a1"], people["b1"]]
    assert again[people["a1"]] is first[people["a1"]]
    assert first[people["a1"]].size == (300, 200)


def test_a_refused_photo_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no photo")
    found = photos_of().embed([path])[path]
    assert (found.faces, found.refusal) == ((), "UNDECODABLE")


def test_the_central_face_is_not_always_the_largest(tmp_path: Path) -> None:
    path = photo(tmp_path / "two.png", (0, 0, 80, 10), (120, 70, 60, 200))
    found = photos_of().embed([path])[path]
    central, biggest = most_central(found), largest(found)
    assert central is not None
    assert biggest is not None
    assert (central.face.detection.area, biggest.face.detection.area) == (3600, 6400)


# --- pairs --------------------------------------------------------------------------------------------------


def test_pairs_give_accuracy_and_error_rates(people: dict[str, Path]) -> None:
    pairs = pair_set(
        people, ("a1", "a2", True, 1), ("a1", "b1", False, 1), ("b1", "b2", True, 2), ("a2", "b2", False, 2)
    )
    found = measures(of_pairs(pairs, most_central))
    assert counts(found["best_threshold_accuracy"]) == (4, 4)
    assert counts(found["fold_accuracy"]) == (4, 4)
    assert counts(found["photos_without_face"]) == (0, 4)
    assert counts(found["default_accuracy"]) == (4, 4)
    assert counts(found["default_fmr"]) == (0, 2)
    assert counts(found["default_fnmr"]) == (0, 2)


def test_pairs_that_cannot_be_compared_are_wrong(people: dict[str, Path]) -> None:
    pairs = pair_set(
        people,
        ("a1", "a2", True, None),
        ("a1", "b1", False, None),
        ("a1", "empty", True, None),
        ("b1", "empty", False, None),
    )
    found = measures(of_pairs(pairs, most_central))
    assert found["best_threshold_accuracy"].value == 0.5
    assert "fold_accuracy" not in found
    assert (found["photos_without_face"].value, counts(found["photos_without_face"])) == (1, (1, 4))
    assert counts(found["default_accuracy"]) == (2, 4)
    assert counts(found["default_fmr"]) == (0, 1)
    assert counts(found["default_fnmr"]) == (1, 2)


def test_a_refused_photo_of_a_pair_is_noted_with_the_reason(people: dict[str, Path]) -> None:
    people["b2"].write_bytes(b"")
    pairs = pair_set(people, ("a1", "a2", True, None), ("a1", "b1", False, None), ("b1", "b2", True, None))
    (outcome,) = of_pairs(pairs, most_central).run(photos_of(), 0.5)
    assert outcome.notes == ("b2.png: UNDECODABLE.",)
    assert counts(outcome.measures[0]) == (2, 3)


def test_the_default_threshold_is_the_packs(people: dict[str, Path]) -> None:
    pairs = pair_set(people, ("a1", "a2", True, None), ("a1", "b1", False, None))
    found = measures(of_pairs(pairs, most_central), threshold=-1.0)
    assert counts(found["default_fmr"]) == (1, 1)
    assert counts(found["default_accuracy"]) == (1, 2)


def test_all_people_are_compared_with_each_other(tmp_path: Path, people: dict[str, Path]) -> None:
    # 50 people, of whom the first two look alike, and one without a face: 50 * 49 / 2 comparisons.
    blues = [0, 0, *range(1, 49)]
    crowd = [Person(str(n), (person(tmp_path, f"p{n}", blue),)) for n, blue in enumerate(blues)]
    crowd.append(Person("nobody", (people["empty"],)))
    pairs = pair_set(people, ("a1", "a2", True, None), ("a1", "b1", False, None))
    found = measures(of_pairs(pairs, most_central, PeopleSet("crowd", "terms", tuple(crowd))), threshold=0.9)
    assert counts(found["across_people_fmr"]) == (1, 1225)
    # 1,225 comparisons can show a rate of 1e-3 with the one that is alike, and none below.
    assert 0.1 < found["across_people_threshold_at_fmr_1e-3"].value < 0.9
    assert "across_people_threshold_at_fmr_1e-4" not in found


# --- counts -------------------------------------------------------------------------------------------------


def test_detections_and_refusals_where_there_is_no_face(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    files = (photo(tmp_path / "0.png"), photo(tmp_path / "1.png", (0, 0, 50, 0)), broken)
    part = CountedSet("nonface/hard", "terms", tuple(CountedPhoto(path, (0,)) for path in files))
    (outcome,) = count_nonface([part], photos_of())
    assert [(m.key, m.value, counts(m)) for m in outcome.measures] == [
        ("photos_with_detections", 1, (1, 3)),
        ("photos_refused", 1, (1, 3)),
    ]
    assert outcome.notes == ("1.png: expected 0, got 1.", "broken.jpg: expected 0, got UNDECODABLE.")


def test_group_photos_are_right_only_with_the_exact_count(tmp_path: Path) -> None:
    two = photo(tmp_path / "two.png", (0, 0, 50, 0), (200, 0, 50, 0))
    group = CountedSet("groups", "terms", (CountedPhoto(two, (2,)), CountedPhoto(two, (1,)), CountedPhoto(two, (3,))))
    (outcome,) = count_groups(group, photos_of())
    assert (outcome.measures[0].value, counts(outcome.measures[0])) == (1, (1, 3))
    assert outcome.notes == ("two.png: expected 1, got 2.", "two.png: expected 3, got 2.")


def test_odd_files_have_wide_limits_and_say_what_the_default_refuses(tmp_path: Path) -> None:
    face = photo(tmp_path / "face.png", (0, 0, 50, 0))
    PIL.Image.open(face).save(tmp_path / "face.bmp")
    (tmp_path / "text.jpg").write_text("text")
    expected = [
        CountedPhoto(face, (0, 1)),
        CountedPhoto(tmp_path / "face.bmp", (1,)),
        CountedPhoto(tmp_path / "text.jpg", ()),
        CountedPhoto(tmp_path / "text.jpg", (0, 1)),
        CountedPhoto(face, ()),
        CountedPhoto(face, (2,)),
    ]
    (outcome,) = count_odd_formats(CountedSet("odd_formats", "terms", tuple(expected)), photos_of())
    assert [(m.key, m.value) for m in outcome.measures] == [("files_not_as_expected", 3), ("refused_by_default", 3)]
    assert outcome.notes[0].startswith("Limits widened to 40 MP")
    assert outcome.notes[1] == "Refused by the default limits: 2 UNDECODABLE, 1 UNSUPPORTED_FORMAT."
    assert outcome.notes[2:] == (
        "text.jpg: expected 0 or 1, got UNDECODABLE.",
        "face.png: expected a refusal, got 1.",
        "face.png: expected 2, got 1.",
    )


# --- bars and reports ---------------------------------------------------------------------------------------


@pytest.fixture
def lfw_sets(people: dict[str, Path]) -> Mapping[SetName, Evaluation]:
    """Four right pairs and one that cannot be compared: both bars of LFW are missed."""
    pairs = pair_set(
        people,
        ("a1", "a2", True, 1),
        ("a1", "b1", False, 1),
        ("b1", "b2", True, 2),
        ("a2", "b2", False, 2),
        ("b1", "empty", False, 2),
    )
    return {SetName.LFW: of_pairs(pairs, most_central)}


def test_a_missed_bar_is_in_the_report(lfw_sets: Mapping[SetName, Evaluation]) -> None:
    report = report_of("buffalo_s", lfw_sets)
    assert [(name, m.key) for name, m in report.missed] == [
        ("lfw", "best_threshold_accuracy"),
        ("lfw", "photos_without_face"),
    ]
    assert (report.sets[0].photos, report.sets[0].terms) == (5, "terms")
    content = json.loads(json.dumps(to_json(report)))
    assert content["ok"] is False
    best = content["sets"][0]["parts"][0]["measures"][0]
    assert {key: best[key] for key in ("key", "value", "count", "total", "bar", "met")} == {
        "key": "best_threshold_accuracy",
        "value": 0.8,
        "count": 4,
        "total": 5,
        "bar": ">= 0.998",
        "met": False,
    }
    assert 0.0 < best["threshold"] < 1.0


def test_a_rare_rate_is_not_shown_as_none_at_all() -> None:
    rare = Measure("k", "l", 28 / 667590, rate(28, 667590))
    assert value_text(rare) == "4.19e-05 (28 of 667590)"
    assert interval_text(rare) == "2.90e-05 .. 6.06e-05"
    none = Measure("k", "l", 0.0, rate(0, 600))
    assert (value_text(none), interval_text(none)) == ("0.0000 (0 of 600)", "0.0000 .. 0.0064")
    assert value_text(Measure("k", "l", 0.33142)) == "0.3314"


def test_another_pack_has_no_bars(lfw_sets: Mapping[SetName, Evaluation]) -> None:
    report = report_of("sface", lfw_sets)
    assert report.missed == ()
    assert to_json(report)["verdict"] == "No bars are set for the pack sface."


# --- the command --------------------------------------------------------------------------------------------


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(evaluate, list(arguments))
    return result.exit_code, result.output


def test_the_command_says_which_photo_is_missing(tmp_path: Path) -> None:
    (tmp_path / "deepface").mkdir()
    (tmp_path / "deepface" / "pairs_master.csv").write_text("file_x,file_y,Decision\na.jpg,b.jpg,Yes\n")
    status, output = call("--testdata", str(tmp_path), "--only", "deepface")
    assert status == 2
    assert "a.jpg, named by line 2 of pairs_master.csv, is not there." in output


def test_the_command_refuses_what_does_not_exist(tmp_path: Path) -> None:
    assert call("--testdata", str(tmp_path / "nowhere"))[0] == 2
    status, output = call("--only", "nothing")
    assert (status, "celeba_wild" in output) == (2, True)


def test_the_test_data_are_where_they_were_named(tmp_path: Path) -> None:
    assert find_testdata(tmp_path, {"FR_TESTDATA": "elsewhere"}) == tmp_path
    assert find_testdata(None, {"FR_TESTDATA": str(tmp_path)}) == tmp_path
    with pytest.raises(DatasetMissing, match="nowhere"):
        find_testdata(None, {"FR_TESTDATA": str(tmp_path / "nowhere")})
