"""Parts made by hand for the tests of detectors and embedders: a session with given outputs, a manifest's entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fr_core.packs.manifest import DetectorSpec, load_pack
from fr_core.runtime.devices import ActiveDevice
from fr_core.types import F32, U8


class HandmadeSession:
    """Gives the same outputs at each run, as many rows as it was asked; keeps what it was asked."""

    def __init__(self, outputs: list[F32], input_shape: tuple[int | None, ...], names: tuple[str, ...] = ()) -> None:
        self.input_shape = input_shape
        self.output_names = names
        self.device = ActiveDevice("cpu", "cpu", "handmade 1")
        self.batches: list[U8] = []
        self._outputs = outputs

    def run(self, batch: U8) -> list[F32]:
        self.batches.append(np.array(batch))
        return [output[: len(batch)] if output.ndim == 3 else output for output in self._outputs]


def detector_spec(family: str, **changes: Any) -> DetectorSpec:
    """A detector that takes pixels as they are, of any size."""
    pack = load_pack("sface" if family == "yunet" else "buffalo_s")
    plain: dict[str, Any] = {"colour": "RGB", "mean": (0.0,) * 3, "std": (1.0,) * 3, "input_size": None}
    return replace(pack.detector, **{**plain, **changes})
