"""The report of a verification."""

from collections.abc import Mapping
from dataclasses import dataclass

from fr_core.scoring.calibration import Calibration
from fr_evaluation.report import Report
from fr_evaluation.verification.calibrate import HeldOut
from fr_evaluation.verification.compare import ComparedPairs
from fr_evaluation.verification.figures import VerificationFigures
from fr_evaluation.verification.groups import LabelFigures
from fr_evaluation.verification.quality import QualityFigures


@dataclass(frozen=True, slots=True, eq=False)
class VerificationReport(Report):
    """Everything that a verification found. A figure is None or empty where `undefined` says why."""

    compared: ComparedPairs
    figures: VerificationFigures
    calibration: Calibration | None
    held_out: tuple[HeldOut, ...]  # calibrations of all folds but one, each tried on that one
    groups: tuple[LabelFigures, ...]  # error rates by group for each kind of label
    quality: QualityFigures | None
    undefined: Mapping[str, str]  # what the pairs lack by name of a figure, those of `figures` too
