"""Calibrations of a verification: learnt, written, tried on people who were not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fr_core.errors import CallEnded
from fr_core.runtime.ticket import Ticket, hold
from fr_core.scoring.bootstrap import fmr_by_people
from fr_core.scoring.calibration import Calibration, Provenance
from fr_core.scoring.intervals import Interval, UndefinedRate, rate
from fr_datasets.manifests import load_manifest
from fr_datasets.values import VerificationPair
from fr_evaluation.report import Dataset, Settings
from fr_evaluation.verification import calibrate as module
from fr_evaluation.verification.calibrate import HeldOut, calibrate, held_out, method_of, provenance_of
from fr_evaluation.verification.compare import AcrossPeople
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.section_words import about_calibration
from fr_evaluation.words import in_words
from support.people import made_pairs

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
    assert (alone.rates.nonmated, alone.rates.bootstrap) == (60, ())


def test_many_matches_have_fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, across = made_pairs()
    asked: list[int] = []

    def recorded(*arguments: Any, replicates: int, **named: Any) -> Mapping[float, Interval]:
        asked.append(replicates)
        return {}

    monkeypatch.setattr(module, "fmr_by_people", recorded)
    for most in (10**9, 177 * 500, 0):
        monkeypatch.setattr(module, "MOST_WEIGHTS", most)
        calibrate(compared, across, SOURCE, seed=1)
    assert asked[0] == 1000
    assert 500 <= asked[1] < 520  # up to 177 matches have a row
    assert asked[2] == 200


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


def test_similarities_that_do_not_overlap_are_calibrated_with_steps() -> None:
    compared, _ = made_pairs()
    apart = replace(compared, similarities=np.where(compared.mated, 0.9, 0.1))
    assert method_of(calibrate(apart, None, SOURCE, seed=1)) == "steps"
    assert method_of(calibrate(compared, None, SOURCE, seed=1)) == "logistic"


def test_a_fold_is_tried_by_people_whom_it_does_not_hold() -> None:
    compared, across = made_pairs()
    first, second = held_out(compared, across, SOURCE, seed=1, replicates=100)
    names = [f"P{number}" for number in range(30)]
    inside = across.among(names)
    outside = across.among(set(across.names) - set(names))
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
    assert "of 60 people" in words
    assert "if they were independent; they share people" in words
    assert "whose people it has not seen: in 2 of 3 folds the observed rate agrees" in words
    assert "In 2 it also lies in the stated interval" in words
    assert words.endswith("Intervals are by resampling people.")
    assert "in 2 of 3 folds; others are Wilson's" in said(
        found, first, second, replace(third, observed_by_people=False)
    )
    nobody = replace(found, provenance=replace(SOURCE, people=None))
    words = said(nobody, replace(first, disjoint=False, by_people=False))
    assert "people whom the list does not name" in words
    assert "the list names nobody, so folds may share people" in words
    assert "Intervals are Wilson's" in words


def test_without_folds_nothing_is_tried() -> None:
    compared, across = made_pairs(folds=1)
    with pytest.raises(UndefinedRate, match="there are no two"):
        held_out(compared, across, SOURCE, seed=1)


def test_comparisons_among_some_are_those_of_both() -> None:
    across = AcrossPeople(np.array([0.1, 0.2, 0.3]), ("a", "b", "c"), (Path("a"), Path("b"), Path("c")))
    some = across.among({"a", "c"})
    assert some is not None
    assert (some.similarities.tolist(), some.names, some.photos) == ([0.2], ("a", "c"), (Path("a"), Path("c")))
    assert across.among({"a"}) is None


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
    from fr_evaluation.report import settings_of
    from support.photos import engine

    return settings_of(engine(), flip=True, pick="largest", seed=1, version="0")
