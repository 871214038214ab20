"""Calibrations of a verification: learnt, written, tried on people who were not seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fr_core.scoring.bootstrap import fmr_statistic, subject_bootstrap
from fr_core.scoring.calibration import Provenance
from fr_core.scoring.intervals import UndefinedRate
from fr_datasets.manifests import load_manifest
from fr_datasets.values import VerificationPair
from fr_evaluation.report import Dataset, Settings
from fr_evaluation.verification.calibrate import calibrate, fmr_by_people, held_out, method_of, provenance_of
from fr_evaluation.verification.compare import AcrossPeople
from made_pairs import made_pairs

SOURCE = Provenance("made", "0" * 64, 60, "model", date(2026, 1, 2), {})


def test_the_interval_by_people_is_that_of_the_subject_bootstrap() -> None:
    across = made_pairs()[1]
    first, second = across.places()
    found = fmr_by_people(across, [0.2], seed=3, replicates=300)[0.2]
    expected = subject_bootstrap(fmr_statistic(across.similarities, 0.2), first, second, seed=3, replicates=300)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert fmr_by_people(across, [2.0], seed=3, replicates=300) == {}  # no match: all resamples agree


def test_everybody_is_a_non_mated_comparison_and_failures_are_counted() -> None:
    compared, across = made_pairs()
    failed = VerificationPair(Path("a"), Path("b"), True, 1, ("P0", "P0"))
    found = calibrate(replace(compared, failed=(failed,)), replace(across, absent=2), SOURCE, seed=1, replicates=50)
    rates = found.rates
    assert (rates.nonmated, rates.nonmated_failures) == (60 * 59 // 2, 60 + 61)
    assert (rates.mated, rates.mated_failures) == (61, 1)
    supported = {found.threshold_at_fmr(target) for target in (1e-1, 1e-2, 1e-3)}
    assert {threshold for threshold, _ in rates.bootstrap} == supported  # 1,770 comparisons show no 1e-4
    alone = calibrate(compared, None, SOURCE, seed=1, replicates=50)
    assert (alone.rates.nonmated, alone.rates.bootstrap) == (60, ())


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
    assert first.by_people
    assert first.observed_interval == fmr_by_people(inside, [first.threshold], seed=1, replicates=100)[first.threshold]
    assert first.inside is (first.interval.low <= first.observed.value <= first.interval.high)
    learnt = calibrate(compared.only(lambda pair: pair.fold == 2), outside, SOURCE, seed=1, replicates=100, targets=())
    assert (first.weakest, first.strongest) == (learnt.likelihood.weakest, learnt.likelihood.strongest)
    assert 0 < second.cllr < 0.5


def test_a_person_of_the_fold_is_not_in_its_calibration() -> None:
    compared, across = made_pairs()
    shared = VerificationPair(Path("P40/1"), Path("P40/2"), True, 1, ("P40", "P40"))
    pairs = (shared, *compared.pairs[1:])  # P40 is in both folds
    first = held_out(replace(compared, pairs=pairs), across, SOURCE, seed=1, replicates=50)[0]
    assert first.stated.total == 29 * 28 // 2
    others = compared.only(lambda pair: pair.fold == 2 and "P40" not in (pair.people or ()))
    learnt = calibrate(others, across.among({f"P{n}" for n in range(30, 60)} - {"P40"}), SOURCE, seed=1, targets=())
    assert (first.weakest, first.strongest) == (learnt.likelihood.weakest, learnt.likelihood.strongest)


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


def test_people_are_those_of_the_list_or_photos_that_pairs_link(settings: Settings) -> None:
    manifest = load_manifest("pairs_csv")
    a, b, c, d = (Path(name) for name in "abcd")
    pairs = (VerificationPair(a, b, True), VerificationPair(b, c, True), VerificationPair(c, d, False))
    dataset = Dataset(manifest, Path(), "1" * 64, 4, None)
    found = provenance_of(dataset, settings, date(2026, 1, 2), pairs)
    assert (found.people, found.dataset, found.manifest_sha256) == (2, "pairs_csv", "1" * 64)
    assert (found.model_id, found.settings["flip"], found.settings["pick"]) == (settings.model, "true", "largest")
    assert provenance_of(replace(dataset, people=9), settings, date(2026, 1, 2), pairs).people == 9
    with pytest.raises(UndefinedRate, match="two people"):
        provenance_of(dataset, settings, date(2026, 1, 2), pairs[:2])


@pytest.fixture
def settings() -> Settings:
    from fr_evaluation.report import settings_of
    from squares import engine

    return settings_of(engine(), flip=True, pick="largest", seed=1, version="0")
