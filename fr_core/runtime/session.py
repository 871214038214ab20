"""The seam between the models and the libraries that run them."""

from __future__ import annotations

from typing import Protocol

from fr_core.runtime.devices import ActiveDevice
from fr_core.types import F32, U8


class Session(Protocol):
    """A model that is loaded and ready; several threads may call `run` at once."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Of the model's input, (N, H, W, 3); None where the model takes any number."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """In the order of the model's file."""
        ...

    @property
    def device(self) -> ActiveDevice:
        """Return what runs it."""
        ...

    def run(self, batch: U8) -> list[F32]:
        """Run the model on pixels, u8[N, H, W, 3] RGB.

        Returns:
            f32 outputs in the order of `output_names`, the caller's to keep.
        """
        ...
