"""The report of a verification."""

from __future__ import annotations

from dataclasses import dataclass

from fr_evaluation.report import Report
from fr_evaluation.verification.compare import ComparedPairs
from fr_evaluation.verification.figures import VerificationFigures


@dataclass(frozen=True, slots=True, eq=False)
class VerificationReport(Report):
    """Everything that a verification found.

    Attributes:
        compared: every pair with its similarity.
        figures: of them.
    """

    compared: ComparedPairs
    figures: VerificationFigures
