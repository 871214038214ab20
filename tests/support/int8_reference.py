"""The first pass in int8 by NumPy in float64, as int8_scan.cu computes it on a GPU."""

from dataclasses import dataclass

import numpy as np

from fr_core.gallery.index.gpu_memory import F16
from fr_core.gallery.index.protocol import F64
from fr_core.types import I64


@dataclass(frozen=True)
class Coded:
    """Codes of vectors, and what is lost by them."""

    codes: I64  # i64[n, D], in [-127, 127]
    scales: F64  # f64[n]: a value is about its code times this
    residuals: F64  # f64[n], the length of what the codes miss
    lengths: F64  # f64[n], the length of the codes times the scale


def coded(halves: F16) -> Coded:
    """Code vectors f16[n, D]."""
    values = halves.astype(np.float64)
    scales = (np.abs(values).max(axis=1) / 127).astype(np.float32).astype(np.float64)
    codes = np.rint(values / np.where(scales > 0, scales, 1)[:, None]).clip(-127, 127)
    kept = codes * scales[:, None]
    lost, length = np.linalg.norm(values - kept, axis=1), np.linalg.norm(kept, axis=1)
    return Coded(codes.astype(np.int64), scales, lost, length)


def bounds(rows: Coded, probes: Coded, share: float = 1.0) -> tuple[F64, F64]:
    """Return bounds f64[probes, rows] of the inner products, from below and above; `share` < 1 makes them wrong."""
    products = probes.codes @ rows.codes.T
    values = products * rows.scales * probes.scales[:, None]
    reach = probes.lengths + probes.residuals
    errors = rows.residuals * reach[:, None] + rows.lengths * probes.residuals[:, None]
    # Float64 rounds too.
    errors = share * errors + 2.0**-45 * rows.lengths * reach[:, None]
    return values - errors, values + errors


def candidates(rows: Coded, probes: Coded, k: int, share: float = 1.0) -> list[I64]:
    """Return, for each probe, the rows whose upper bound reaches the k-th lower bound."""
    low, high = bounds(rows, probes, share)
    floors = -np.sort(-low, axis=1)[:, k - 1]
    return [np.flatnonzero(of_probe >= floor) for of_probe, floor in zip(high, floors, strict=True)]
