"""Calibrations for tests, fitted from made-up similarities."""

from __future__ import annotations

from datetime import date

import numpy as np

from fr_core.embed.null import NULL_MODEL
from fr_core.scoring.calibration import Calibration, Provenance, fit_calibration
from fr_core.types import ModelId

NONMATED = 2_000


def calibration(model: ModelId = NULL_MODEL, *, seed: int = 7, nonmated: int = NONMATED) -> Calibration:
    """One whose mated similarities lie around .7, and non-mated ones around 0."""
    rng = np.random.default_rng(seed)
    provenance = Provenance("made-up", "a" * 64, 50, str(model), date(2026, 11, 25), {"detection": "thorough"})
    mated = np.clip(rng.normal(0.7, 0.15, 500), -1.0, 1.0)
    return fit_calibration(mated, np.clip(rng.normal(0.0, 0.15, nonmated), -1.0, 1.0), provenance, mated_failures=3)
