"""Error rates by group of people and by quality; calibrations, tried on people who were not seen."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from datetime import date
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.errors import CallEnded
from fr_core.runtime.ticket import Ticket, hold
from fr_core.scoring.bootstrap import fmr_by_people
from fr_core.scoring.calibration import Calibration, Provenance
from fr_core.scoring.intervals import Interval, Rate, UndefinedRate, rate
from fr_core.types import Quality
from fr_datasets.errors import DatasetError, DatasetMalformed
from fr_datasets.labels import with_labels
from fr_datasets.manifests import load_manifest
from fr_datasets.people_folder import pairs_of_people
from fr_datasets.values import PairSet, PeopleSet, Person, VerificationPair
from fr_evaluation.cli_parts import print_words
from fr_evaluation.report import Dataset, Settings, settings_of
from fr_evaluation.verification import calibrate as module
from fr_evaluation.verification import section_words
from fr_evaluation.verification.as_json import report_keys
from fr_evaluation.verification.calibrate import HeldOut, calibrate, held_out, method_of, provenance_of
from fr_evaluation.verification.groups import age_band, group_figures
from fr_evaluation.verification.page import page
from fr_evaluation.verification.quality import quality_figures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.run import read_pairs
from fr_evaluation.verification.section_words import about_calibration
from fr_evaluation.words import Section, Table, in_words
from support.evaluations import verified
from support.people import made_pairs
from support.photos import engine, face

COMPARED, ACROSS = made_pairs(people=100, folds=1)
SEX = {f"P{number}": {"sex": "f" if number < 40 else "m", "age": str(number)} for number in range(95)}


def counted(found: Rate | None) -> tuple[int, int]:
    assert found is not None
    return found.count, found.total


def test_rates_are_of_the_mated_pairs_of_the_group_and_of_two_people_of_it() -> None:
    sex = group_figures(COMPARED, ACROSS, SEX, 0.3, seed=1, draws=50)[0]
    assert (sex.kind, dict(sex.people), sex.unlabelled, sex.banded) == ("sex", {"f": 40, "m": 55}, 5, False)
    at = sex.at[0]
    missed = (COMPARED.mated_similarities < 0.3)[:40]
    assert (at.fnmr.groups[0].trials, at.fnmr.groups[1].trials) == (40, 55)
    assert counted(at.fnmr.groups[0].rate) == (missed.sum(), 40)
    first, second = ACROSS.places()
    women = ACROSS.similarities[(first < 40) & (second < 40)]
    assert counted(at.fmr.groups[0].rate) == ((women >= 0.3).sum(), 40 * 39 // 2)
    assert at.fmr.spread is not None
    assert at.fmr.ratios().keys() == {"f", "m"}
    overall = sex.at[1]
    assert (ACROSS.similarities >= overall.threshold).mean() == pytest.approx(0.01, abs=1e-3)
    assert overall.fmr.gini_by_chance is not None
    assert at.fmr.by_people.keys() == {"f", "m"}
    assert at.fmr.beyond_chance() is False  # drawn alike


def test_a_rate_is_of_the_people_behind_it_not_of_those_of_the_list() -> None:
    some = COMPARED.only(lambda pair: not pair.mated or int((pair.people or ("P0",))[0][1:]) >= 11)
    at = group_figures(some, ACROSS, SEX, 0.3, seed=1, draws=50)[0].at[0]
    assert [(one.group, one.people, one.rate is None) for one in at.fnmr.groups] == [("f", 29, True), ("m", 55, False)]
    assert "30 people" in at.fnmr.groups[0].note
    assert at.fmr.groups[0].people == 40
    assert at.fmr.groups[0].rate is not None


def test_a_difference_is_named_only_where_it_exceeds_chance() -> None:
    worse = np.where(np.arange(200) < 25, 0.0, COMPARED.similarities)  # 25 of 40 women are missed
    sex = group_figures(replace(COMPARED, similarities=worse), ACROSS, SEX, 0.4, seed=1, draws=200)[0]
    missed, accepted = sex.at[0].fnmr, sex.at[0].fmr
    assert (missed.beyond_chance(), missed.extremes()) == (True, ("m", "f"))
    assert accepted.beyond_chance() is False
    assert missed.max_to_min is not None
    assert missed.max_to_min.low > 1
    said = in_words(section_words.about_kind(sex))
    assert "more than chance alone sets apart: at 0.400, f is missed more often than m" in said
    assert "accepted" not in said
    none = np.where(np.arange(200) < 40, 0.0, 0.9)  # all women are missed, and no man
    sex = group_figures(replace(COMPARED, similarities=none), ACROSS, SEX, 0.3, seed=1, draws=200)[0]
    assert sex.at[0].fnmr.max_to_min is None
    assert sex.at[0].fnmr.beyond_chance() is True


def test_a_mated_pair_that_could_not_be_compared_is_a_miss_of_its_group() -> None:
    failed = tuple(VerificationPair(Path("a"), Path("b"), True, people=(name, name)) for name in ("P0", "P99"))
    sex = group_figures(replace(COMPARED, failed=failed), ACROSS, SEX, -1.0, seed=1, draws=50)[0]
    assert [counted(group.rate) for group in sex.at[0].fnmr.groups] == [(1, 41), (0, 55)]


def test_ages_are_put_into_bands_and_small_groups_have_no_rate() -> None:
    age = group_figures(COMPARED, ACROSS, SEX, 0.3, seed=1, draws=50)[1]
    people = {"under 18": 18, "18-29": 12, "30-44": 15, "45-59": 15, "60 and over": 35}
    assert (age.banded, dict(age.people)) == (True, people)
    for found in (age.at[0].fnmr, age.at[0].fmr):  # 18 people make 153 comparisons
        assert [group.group for group in found.groups if group.rate is not None] == ["60 and over"]
    assert "30 people" in age.at[0].fmr.groups[0].note
    assert age.at[0].fnmr.notes == ("A differential needs at least two groups with a rate.",)
    assert [age_band(text) for text in ("17.9", "18", "29", "30", "59", "60")] == [
        *("under 18", "18-29", "18-29", "30-44", "45-59", "60 and over")
    ]
    for text in ("old", "nan", "1e999", "-1", "150"):
        with pytest.raises(ValueError, match=r"age|float"):
            age_band(text)
    words = {name: {"age": "-1" if name == "P0" else said["age"]} for name, said in SEX.items()}
    assert not group_figures(COMPARED, ACROSS, words, 0.3, seed=1, draws=50)[0].banded


def test_without_labels_names_or_errors_there_are_no_groups_or_ratios() -> None:
    for across, labels in ((ACROSS, {}), (None, SEX)):
        with pytest.raises(UndefinedRate, match="in no groups"):
            group_figures(COMPARED, across, labels, 0.3, seed=1)
    similarities = np.where(COMPARED.mated, 0.9, 0.0)
    sex = group_figures(replace(COMPARED, similarities=similarities), ACROSS, SEX, 0.3, seed=1, draws=50)[0]
    missed = sex.at[0].fnmr
    assert (missed.ratios(), missed.max_to_min, missed.gini_by_chance, missed.beyond_chance()) == ({}, None, None, None)
    assert [note.partition(":")[0] for note in missed.notes] == ["Ratios", "Gini coefficient"]


def test_discarding_low_quality_leaves_fewer_misses_where_quality_tells() -> None:
    mated = COMPARED.mated_similarities
    telling = {Path(f"P{number}/2"): float(similarity) for number, similarity in enumerate(mated)}
    scores = {Path(f"P{number}/1"): 2.0 for number in range(100)} | telling
    found = quality_figures(replace(COMPARED, failed=COMPARED.pairs[:1]), ACROSS, scores, 0.3)
    half = found.discard[-1]
    misses = int((mated < 0.3).sum())
    assert (found.discard[0].fnmr.count, half.discarded, half.fnmr.count) == (misses + 1, 50, 1)  # the failure stays
    assert (found.without, len(found.bins)) == (1, 5)
    assert sum(one.fnmr.count for one in found.bins if one.fnmr) == misses
    assert [one.fmr is None for one in found.bins] == [True] * 4 + [False]  # all first photos are of quality 2
    assert found.bins[-1].fmr is not None
    assert (found.bins[-1].fmr.total, found.bins[-1].high) == (len(ACROSS.similarities), 2.0)
    alike = quality_figures(COMPARED, None, dict.fromkeys(scores, 0.5), 0.3)
    assert alike.bins == ()
    with pytest.raises(UndefinedRate, match="no quality"):
        quality_figures(COMPARED, None, {}, 0.3)


def people(photos: int, count: int) -> PeopleSet:
    return PeopleSet(
        "set", "terms", tuple(Person(f"P{n}", tuple(Path(f"{n}/{k}") for k in range(photos))) for n in range(count))
    )


def test_people_become_pairs_of_all_their_photos_and_of_every_two_of_them() -> None:
    pairs = pairs_of_people(people(3, 4)).pairs
    mated = [(pair.a.as_posix(), pair.b.as_posix()) for pair in pairs if pair.mated]
    assert (mated[:3], len(mated)) == ([("0/0", "0/1"), ("0/0", "0/2"), ("0/1", "0/2")], 12)
    assert {pair.people for pair in pairs if not pair.mated} == set(combinations(("P0", "P1", "P2", "P3"), 2))
    bounded = [pair.people for pair in pairs_of_people(people(2, 10), most_nonmated=20).pairs if not pair.mated]
    assert len(set(bounded)) == len(bounded) == 20
    assert bounded[:2] == [("P0", "P1"), ("P0", "P2")]
    assert bounded[-2:] == [("P9", "P0"), ("P9", "P1")]
    with pytest.raises(DatasetError, match="has two photos"):
        pairs_of_people(people(1, 4))


def test_one_person_has_at_most_a_hundred_pairs_from_all_of_their_photos() -> None:
    mated = [pair for pair in pairs_of_people(people(100, 2)).pairs if pair.mated]
    assert [pair.people for pair in mated] == [("P0", "P0")] * 100 + [("P1", "P1")] * 100
    numbers = [(int(pair.a.name), int(pair.b.name)) for pair in mated[:100]]
    places = [list(combinations(range(100), 2)).index(pair) for pair in numbers]
    assert places == [number * 4950 // 100 for number in range(100)]
    assert len(pairs_of_people(people(5, 2), most_mated_of_one=3).pairs) == 7


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("who,sex\nP0,f\nnobody,m\n", "line 3: the list of pairs names no such person"),
        ("who,sex\nP0,f\nP0,f\n", "line 3: the person is listed twice"),
        ("who\nP0\n", "at least one label"),
    ],
)
def test_labels_of_strangers_are_refused_with_their_line(tmp_path: Path, text: str, what: str) -> None:
    pairs = PairSet("made", "terms", COMPARED.pairs)
    path = tmp_path / "groups.csv"
    path.write_text("who,sex\nP3,f\n", encoding="utf-8")
    assert with_labels(pairs, path).labels == {"P3": {"sex": "f"}}
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetMalformed, match=what):
        with_labels(pairs, path)
    nameless = replace(pairs, pairs=tuple(replace(pair, people=None) for pair in pairs.pairs))
    with pytest.raises(DatasetError, match="names no people"):
        with_labels(nameless, path)


def test_groups_and_quality_are_told_in_json_page_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(9):
        for photo in range(2):
            face(tmp_path / f"P{number}" / f"{photo}.png", 20 * number)
    labels = tmp_path / "labels.csv"
    labels.write_text("person,sex\n" + "".join(f"P{n},{'fm'[n % 2]}\n" for n in range(9)), encoding="utf-8")
    groups = tmp_path / "groups.csv"
    groups.write_text("who,[/side]\nP1,<b>\nP2,[/x]\n", encoding="utf-8")
    given = read_pairs("people_folder", tmp_path)
    assert given.pairs.labels["P1"] == {"sex": "m"}
    arguments = ["verification", "--dataset", "people_folder", "--root", str(tmp_path), "--groups"]
    result = CliRunner().invoke(evaluate, [*arguments, str(tmp_path / "nowhere.csv")])
    assert (result.exit_code, result.output.partition(":")[0]) == (2, "DATASET_MISSING")
    report = verified(read_pairs("people_folder", tmp_path, groups))
    keys = report_keys(report)
    (side,) = keys["differentials"]
    assert (side["label"], side["people"], side["unlabelled"]) == ("[/side]", {"<b>": 1, "[/x]": 1}, 7)
    assert side["at"][0]["fnmr"]["groups"]["<b>"]["rate"] is None
    assert keys["quality"]["discard"][0]["fnmr"]["total"] == 9
    assert keys["calibration"]["nonmated"] == 36
    html = page(report)
    assert ("&lt;b&gt;" in html, "<b>" in html, "7 people; they are in no group of it" in html) == (True, False, True)
    sections = section_words.sections(report)
    tables = [table for section in sections for table in section.tables]
    assert {len(row) == len(table.header) for table in tables for row in table.rows} == {True}
    json.dumps(keys, allow_nan=False)
    odd = Section("[/x]", "\x1b[2J", (Table(["[/x]"], [["[red]\x9b"]], "[/x]"),))
    print_words("[/x]", [*sections, odd], "")
    told = capsys.readouterr().out
    assert told.count("[/x]") >= 4
    assert all(words in told for words in ("[/side]", r"\x1b[2J", r"[red]\x9b"))
    assert all(sign.isprintable() or sign == "\n" for sign in told)


SOURCE = Provenance("made", "0" * 64, 60, "model", date(2026, 1, 2), {})


def test_everybody_is_a_non_mated_comparison_and_failures_are_counted() -> None:
    compared, across = made_pairs()
    failed = VerificationPair(Path("a"), Path("b"), True, 1, ("P0", "P0"))
    found = calibrate(replace(compared, failed=(failed,)), replace(across, absent=2), SOURCE, seed=1, replicates=50)
    rates = found.rates
    assert (rates.nonmated, rates.nonmated_failures) == (60 * 59 // 2, 60 + 61)
    assert (rates.mated, rates.mated_failures) == (61, 1)
    rows = zip(rates.thresholds, rates.false_matches, strict=True)
    wanted = [threshold for threshold, matches in rows if 1 <= matches <= 177]  # of 1,770 comparisons
    assert [threshold for threshold, _ in rates.bootstrap] == wanted
    assert found.fmr_interval_at(0.3)[1]  # between two rows
    assert not found.fmr_interval_at(0.9)[1]
    expected = fmr_by_people(across.similarities, 60, wanted[40:41], seed=1, replicates=50)
    assert rates.fmr_bootstrap_at(wanted[40]) == expected[wanted[40]]
    alone = calibrate(compared, None, SOURCE, seed=1, replicates=50)
    assert (alone.rates.nonmated, alone.rates.bootstrap, method_of(alone)) == (60, (), "logistic")
    apart = replace(compared, similarities=np.where(compared.mated, 0.9, 0.1))  # which do not overlap
    assert method_of(calibrate(apart, None, SOURCE, seed=1)) == "steps"


def test_a_calibration_records_the_worst_faces_but_for_one_in_two_hundred() -> None:
    compared, across = made_pairs()
    plain = Quality(0.9, (), 40.0, 200.0, 0.5, 0.0, 0.0, 0.0, 0.8, 20.0)
    yaws = [(-1) ** n * n / 10 for n in range(400)]
    faces = [replace(plain, inter_eye_px=20.0 + n, sharpness=100.0 - n / 10, yaw=yaw) for n, yaw in enumerate(yaws)]
    faces[7] = replace(faces[7], brightness=0.0)  # one in 400 is no sample
    found = calibrate(compared, across, SOURCE, seed=1, replicates=20, faces=faces)
    assert found.faces is not None
    assert (found.faces.min_inter_eye_px, found.faces.min_sharpness) == pytest.approx((21.0, 60.2), abs=0.15)
    assert (found.faces.max_yaw, found.faces.max_pitch) == pytest.approx((39.8, 0.0), abs=0.15)
    assert (found.faces.min_brightness, found.faces.max_brightness) == (0.5, 0.5)
    assert calibrate(compared, across, SOURCE, seed=1, replicates=20).faces is None


def test_a_call_that_is_not_wanted_any_more_ends_between_two_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, across = made_pairs()
    ticket, resamples = Ticket(), iter(range(5))

    def later(*arguments: Any, check: Callable[[], None], **named: Any) -> Mapping[float, Interval]:
        def checked() -> None:
            if next(resamples, None) is None:
                ticket.cancel()
            check()

        return fmr_by_people(*arguments, check=checked, **named)

    monkeypatch.setattr(module, "fmr_by_people", later)

    def run() -> None:
        hold(ticket)
        calibrate(compared, across, SOURCE, seed=1)

    with pytest.raises(CallEnded):
        copy_context().run(run)
    assert next(resamples, None) is None


def test_a_fold_is_tried_by_people_whom_it_does_not_hold() -> None:
    compared, across = made_pairs()
    first, second = held_out(compared, across, SOURCE, seed=1, replicates=100)
    names = [f"P{number}" for number in range(30)]
    inside, outside = across.among(names), across.among(set(across.names) - set(names))
    assert inside is not None
    assert outside is not None
    assert (first.fold, first.stated.total, first.observed.total) == (1, 435, 435)
    assert first.stated.count == int((outside.similarities >= first.threshold).sum()) == 4
    assert first.observed.count == int((inside.similarities >= first.threshold).sum())
    assert (first.disjoint, first.by_people, first.observed_by_people) == (True, True, True)
    at = [first.threshold]
    assert first.observed_interval == fmr_by_people(inside.similarities, 30, at, seed=1, replicates=100)[at[0]]
    learnt = calibrate(compared.only(lambda pair: pair.fold == 2), outside, SOURCE, seed=1, replicates=100)
    assert (first.interval, True) == learnt.fmr_interval_at(first.threshold)
    assert (first.weakest, first.strongest) == (learnt.likelihood.weakest, learnt.likelihood.strongest)
    assert 0 < second.cllr < 0.5


def test_a_person_of_the_fold_is_not_in_its_calibration() -> None:
    compared, across = made_pairs()
    shared = VerificationPair(Path("P40/1"), Path("P40/2"), True, 1, ("P40", "P40"))
    pairs = (shared, *compared.pairs[1:])  # P40 is in both folds
    first = held_out(replace(compared, pairs=pairs), across, SOURCE, seed=1, replicates=50)[0]
    assert first.stated.total == 29 * 28 // 2
    others = compared.only(lambda pair: pair.fold == 2 and "P40" not in (pair.people or ()))
    learnt = calibrate(others, across.among({f"P{n}" for n in range(30, 60)} - {"P40"}), SOURCE, seed=1, replicates=2)
    assert (first.weakest, first.strongest) == (learnt.likelihood.weakest, learnt.likelihood.strongest)


def test_folds_of_people_who_are_not_named_may_share_some() -> None:
    alone, across = made_pairs(folds=1)
    with pytest.raises(UndefinedRate, match="that takes two parts"):
        held_out(alone, across, SOURCE, seed=1)
    compared, _ = made_pairs(people=400)
    pairs = tuple(replace(pair, people=None) for pair in compared.pairs)
    for one in held_out(replace(compared, pairs=pairs), None, SOURCE, seed=1):
        assert (one.disjoint, one.by_people, one.observed_by_people) == (False, False, False)
        assert (one.interval, one.observed_interval) == (one.stated.interval, one.observed.interval)


def tried(observed: int) -> HeldOut:
    """A fold in which so many of 1,000 comparisons match, where a tenth should."""
    limits = Interval(0.0, 0.06, 0.95), Interval(0.0, 0.08, 0.95)  # half of them .03 and .04, together .05
    stated, found = rate(100, 1000), rate(observed, 1000)
    return HeldOut(1, True, 0.1, 0.5, stated, limits[0], True, found, limits[1], True, "steps", 0, 0, 0, 0)


def test_rates_agree_that_differ_by_no_more_than_both_intervals_together() -> None:
    assert [tried(count).agrees for count in (49, 51, 100, 149, 151)] == [False, True, True, True, False]
    assert [tried(count).inside for count in (0, 60, 61)] == [True, True, False]


def test_words_say_how_many_folds_agree_whom_they_hold_and_whose_intervals_these_are() -> None:
    compared, across = made_pairs()
    found = calibrate(compared, across, SOURCE, seed=1, replicates=20)

    def said(calibration: Calibration, *folds: HeldOut) -> str:
        report = SimpleNamespace(calibration=calibration, held_out=folds)
        return in_words(about_calibration(cast(VerificationReport, report)))

    first, second, third = tried(40), tried(60), tried(120)
    words = said(found, first, second, third)
    for sentence in (
        "of 60 people",
        "if they were independent; they share people",
        "whose people it has not seen: in 2 of 3 folds the observed rate agrees",
        "In 2 it also lies in the stated interval",
    ):
        assert sentence in words
    assert words.endswith("Intervals are by resampling people.")
    third = replace(third, observed_by_people=False)
    assert "in 2 of 3 folds; others are Wilson's" in said(found, first, second, third)


def test_people_are_those_who_are_compared_or_named_and_nobody_is_made_up(settings: Settings) -> None:
    dataset = Dataset(load_manifest("pairs_csv"), Path(), "1" * 64, 4, None)
    across = made_pairs()[1]
    day = date(2026, 1, 2)
    found = provenance_of(dataset, settings, day, (), None)
    assert (found.people, found.dataset, found.list_sha256, found.part) == (None, "pairs_csv", "1" * 64, "")
    assert (found.model_id, found.settings["flip"], found.settings["pick"]) == (settings.model, "true", "largest")
    named = replace(dataset, people=9)
    assert provenance_of(named, settings, day, (), None).people == 9
    assert provenance_of(named, settings, day, (), across).people == 60
    with pytest.raises(UndefinedRate, match="two people"):
        provenance_of(replace(dataset, people=1), settings, day, (), None)


@pytest.mark.parametrize(
    ("folds", "part"),
    [((None,), ""), ((2, 2), "fold 2"), ((2, 1, 2), "folds 1, 2"), (range(1, 11), "10 folds, 1 to 10")],
)
def test_the_part_of_a_data_set_is_its_folds(settings: Settings, folds: Sequence[int | None], part: str) -> None:
    dataset = Dataset(load_manifest("pairs_csv"), Path(), "1" * 64, 4, None)
    pairs = [VerificationPair(Path("a"), Path("b"), True, fold) for fold in folds]
    assert provenance_of(dataset, settings, date(2026, 1, 2), pairs, None).part == part


@pytest.fixture
def settings() -> Settings:
    return settings_of(engine(), flip=True, pick="largest", seed=1, version="0")
