"""From compared pairs to the whole report of a verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from fr_datasets.values import PairSet
from fr_evaluation.report import Dataset, Settings, part_of
from fr_evaluation.verification.calibrate import calibrate, held_out, provenance_of
from fr_evaluation.verification.compare import AcrossPeople, ComparedPairs
from fr_evaluation.verification.figures import verification_figures
from fr_evaluation.verification.groups import group_figures
from fr_evaluation.verification.quality import quality_figures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.undefined import Undefined


def assemble(
    dataset: Dataset,
    settings: Settings,
    measured_at: datetime,
    seconds: float,
    failures: Mapping[Path, str],
    pairs: PairSet,
    compared: ComparedPairs,
    across: AcrossPeople | None,
    scores: Mapping[Path, float],
) -> VerificationReport:
    """Compute all that the pairs support.

    Args:
        dataset: what was compared; how much of the set that is, is found here.
        settings: with what.
        measured_at: when, with a time zone.
        seconds: how long the photos took.
        failures: photo -> why it gave no embedding.
        pairs: the list, with the labels of its people.
        compared: its pairs.
        across: every two of its people; None where it names nobody.
        scores: photo -> quality of its face in [0, 1], of each photo that gave an embedding.
    """
    dataset = replace(dataset, part=part_of(dataset.manifest, {"pairs": len(pairs.pairs), "people": dataset.people}))
    threshold, seed = settings.threshold, settings.seed
    figures = verification_figures(compared, across, threshold, seed=seed)
    undefined = Undefined(figures.undefined)
    source = undefined.unless(
        "calibration", lambda: provenance_of(dataset, settings, measured_at.date(), pairs.pairs, across)
    )
    calibration, tried = None, None
    if source is None:
        undefined["held_out"] = undefined["calibration"]
    else:
        calibration = undefined.unless("calibration", lambda: calibrate(compared, across, source, seed=seed))
        tried = undefined.unless("held_out", lambda: held_out(compared, across, source, seed=seed))
    groups = undefined.unless(
        "differentials", lambda: group_figures(compared, across, pairs.labels, threshold, seed=seed)
    )
    quality = undefined.unless("quality", lambda: quality_figures(compared, across, scores, threshold))
    return VerificationReport(
        dataset,
        settings,
        measured_at,
        seconds,
        failures,
        compared,
        figures,
        calibration,
        tried or (),
        groups or (),
        quality,
        undefined,
    )
