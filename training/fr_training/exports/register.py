"""Every form of export by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fr_training.exports.ags import ags
from fr_training.exports.csv_rows import csv_rows
from fr_training.exports.open_badges import open_badges
from fr_training.exports.values import CohortResults
from fr_training.exports.xapi import xapi

FORMS: Final[Mapping[str, Callable[[CohortResults], str]]] = {
    "csv": csv_rows,
    "xapi": xapi,
    "ags": ags,
    "open-badges": open_badges,
}
