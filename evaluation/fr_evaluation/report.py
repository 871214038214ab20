"""Reports: what was measured, of what, with what, and everything needed to measure it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fr_core.engine import Engine
from fr_datasets.manifests import Manifest

NOTICE = (
    "Error rates of this model on this data set, for people and photos like its own. "
    "A match is a lead for a human examiner, never an identity."
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was compared.

    Attributes:
        manifest: of the set.
        root: its folder.
        list_sha256: of the list of pairs as it was read, 64 hex digits.
        photos: number of photos that it names.
        people: number of people that it names; None where it names nobody.
    """

    manifest: Manifest
    root: Path
    list_sha256: str
    photos: int
    people: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the figures depend on beside the data set: the same settings give the same figures.

    Attributes:
        model: id of the model whose embeddings were compared.
        threshold: the pack's default, similarity.
        device: that ran the models, with its runtime.
        precision: of the models' numbers.
        detection: thorough or fast.
        flip: whether embeddings were fused with those of the mirrored face.
        pick: which face of a photo with several was taken.
        seed: of the bootstrap's draws.
        version: of FR Core.
    """

    model: str
    threshold: float
    device: str
    precision: str
    detection: str
    flip: bool
    pick: str
    seed: int
    version: str


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What every report tells.

    Attributes:
        dataset: what was compared.
        settings: with what.
        measured_at: when, with a time zone.
        seconds: how long the photos took.
        failures: photo -> why it gave no embedding, such as "NO_FACE".
    """

    dataset: Dataset
    settings: Settings
    measured_at: datetime
    seconds: float
    failures: Mapping[Path, str]


def settings_of(engine: Engine, *, flip: bool, pick: str, seed: int, version: str) -> Settings:
    """Describe an engine."""
    return Settings(
        model=str(engine.pipeline.model),
        threshold=engine.pack.thresholds.similarity,
        device=f"{engine.device.active} ({engine.device.runtime})",
        precision=str(engine.device.precision),
        detection=str(engine.detection),
        flip=flip,
        pick=pick,
        seed=seed,
        version=version,
    )
