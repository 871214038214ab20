"""Defines the observer of the engine: the interface to metrics and traces, which the core does not know."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol, get_args

Stage = Literal["decode", "detect", "align", "embed", "assess"]
"""A step of the work on one photo; detect and embed include the wait for a batch."""

STAGES: tuple[Stage, ...] = get_args(Stage)  # in their order

ModelRole = Literal["detector", "embedder"]

MODELS: tuple[ModelRole, ...] = get_args(ModelRole)  # in the order in which a photo meets them


class Observer(Protocol):
    """Is told what happens, from many threads at once; must be quick, and must not raise."""

    def stage(self, name: Stage) -> AbstractContextManager[object]:
        """Surround a step of the work on one photo."""

    def analyzed(self, faces: int) -> None:
        """Hear that a photo is done, with the number of faces found in it."""

    def queued(self, model: ModelRole, items: int) -> None:
        """Hear how many items (tiles for the detector, faces for the embedder) wait now."""

    def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
        """Hear that a batch is done: how long each of its items had waited, and how long the model ran, in seconds."""

    def failed(self, model: ModelRole, items: int) -> None:
        """Hear that a batch of so many items failed; its items run once more, one by one."""

    def dropped(self, model: ModelRole, items: int) -> None:
        """Hear that items were dropped unrun, since their call had been cancelled or its deadline had passed."""


class NullObserver:
    """Listens to nothing."""

    def stage(self, name: Stage) -> AbstractContextManager[object]:
        """As `Observer.stage`."""
        return nullcontext()

    def analyzed(self, faces: int) -> None:
        """As `Observer.analyzed`."""

    def queued(self, model: ModelRole, items: int) -> None:
        """As `Observer.queued`."""

    def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
        """As `Observer.batch`."""

    def failed(self, model: ModelRole, items: int) -> None:
        """As `Observer.failed`."""

    def dropped(self, model: ModelRole, items: int) -> None:
        """As `Observer.dropped`."""
