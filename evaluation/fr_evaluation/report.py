"""Reports: what was measured, of what, with what, and everything needed to measure it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fr_core.engine import Engine
from fr_core.imaging import ImageLimits
from fr_core.quality.limits import QualityLimits
from fr_datasets.manifests import Manifest
from fr_locales.messages import message

NOTICE = message("evaluation.notice")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The data set of a report.

    `list_sha256` is of what was compared, `labels_sha256` of what is said of the people for the rates by group, empty
    where nothing is. `people` is None where the list names nobody. `part` says how much of the set it is, as `part_of`.
    """

    manifest: Manifest
    root: Path
    list_sha256: str
    photos: int
    people: int | None
    labels_sha256: str = ""
    part: str = ""


def part_of(manifest: Manifest, counts: Mapping[str, int | None]) -> str:
    """Return how much of a set was read, such as "1,200 of 6,000 pairs"; empty where it is all, or that is not known.

    Args:
        manifest: of the set.
        counts: what was read, by the manifest's names; the first that it counts tells. None is not known.
    """
    for name, count in counts.items():
        whole = manifest.counts.get(name)
        if whole is not None and count is not None:
            return f"{count:,} of {whole:,} {name}" if count < whole else ""
    return ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that determine the figures, beside the data set: equal settings give equal figures.

    Hashes have 64 hex digits; `threshold` is the pack's default similarity. `requested_device` was asked for, such as
    "auto", `device` ran the models, by the library `runtime`. `flip` says whether embeddings were fused with those of
    the mirrored face, `pick` which face of a photo with several was taken. `seed` is of everything that was drawn,
    `version` that of FR Core. Photos beyond `images` were refused; the quality score depends on `quality`.
    `gallery_sizes` were asked for beside the real people of an identification.
    """

    pack: str
    pack_version: str
    model: str
    embedder_sha256: str
    detector_sha256: str
    threshold: float
    requested_device: str
    device: str
    runtime: str
    precision: str
    detection: str
    flip: bool
    pick: str
    seed: int
    version: str
    images: ImageLimits
    quality: QualityLimits
    gallery_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The common part of every report; `failures` has for each photo without an embedding the reason, such as
    "NO_FACE".

    `measured_at` has a time zone; `seconds` are how long the photos took.
    """

    dataset: Dataset
    settings: Settings
    measured_at: datetime
    seconds: float
    failures: Mapping[Path, str]


def settings_of(
    engine: Engine, *, flip: bool, pick: str, seed: int, version: str, sizes: tuple[int, ...] = ()
) -> Settings:
    """Describe an engine, and what it is to do."""
    model = engine.pipeline.model
    return Settings(
        pack=engine.pack.name,
        pack_version=engine.pack.version,
        model=str(model),
        embedder_sha256=model.sha256,
        detector_sha256=engine.pack.detector.file.sha256,
        threshold=engine.pack.thresholds.similarity,
        requested_device=engine.device.requested,
        device=engine.device.active,
        runtime=engine.device.runtime,
        precision=str(engine.device.precision),
        detection=str(engine.detection),
        flip=flip,
        pick=pick,
        seed=seed,
        version=version,
        images=engine.pipeline.image_limits,
        quality=engine.pipeline.quality_limits,
        gallery_sizes=sizes,
    )
