"""Returns what the product measured, for the figures and the worked examples of lessons.

A calibration comes with each model that has been measured: error rates on pairs of the public data set LFW. `fr gallery
calibration GALLERY --show` prints the one that a gallery uses.
"""

from __future__ import annotations

import itertools
from functools import cache

from fr_core.packs.calibrated import calibration_text
from fr_core.packs.manifest import DEFAULT_PACK, load_pack
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.calibration_json import from_json
from fr_core.types import ModelId


@cache
def calibration() -> Calibration:
    """The calibration of the model that the product uses unless told otherwise."""
    pack = load_pack(DEFAULT_PACK)
    text = calibration_text(ModelId(pack.name, pack.version, pack.embedder.file.sha256))
    assert text is not None  # a test requires that the default pack has one
    return from_json(text)


def threshold_of_pack() -> float:
    """The default threshold of the pack: the similarity from which on a candidate is a lead."""
    return load_pack(DEFAULT_PACK).thresholds.similarity


def fmr_percent(threshold: float) -> float:
    """The false match rate at a threshold, percent."""
    return 100.0 * calibration().fmr_at(threshold).value


def fnmr_percent(threshold: float) -> float:
    """The false non-match rate at a threshold, percent."""
    return 100.0 * calibration().fnmr_at(threshold).value


def shares(edges: tuple[float, ...]) -> tuple[list[float], list[float]]:
    """The shares of comparisons whose similarity lies between each two edges, of one person and of two people."""
    found = calibration()
    above = [found.fmr_at(edge).value for edge in edges]
    below = [found.fnmr_at(edge).value for edge in edges]
    mated = [high - low for low, high in itertools.pairwise(below)]
    nonmated = [high - low for high, low in itertools.pairwise(above)]
    return mated, nonmated
