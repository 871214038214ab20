"""The report of an identification."""

from __future__ import annotations

from dataclasses import dataclass

from fr_evaluation.identification.figures import IdentificationFigures
from fr_evaluation.identification.searches import Searches
from fr_evaluation.report import Report


@dataclass(frozen=True, slots=True, eq=False)
class IdentificationReport(Report):
    """Everything that an identification found.

    Attributes:
        searches: every search, by size of the gallery.
        figures: of them.
    """

    searches: Searches
    figures: IdentificationFigures
