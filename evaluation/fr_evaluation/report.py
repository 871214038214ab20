"""Kinds of evaluation, and reports: what was measured, of what, with what, and all that is needed to do so again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fr_core.engine import Engine
from fr_core.imaging import ImageLimits
from fr_core.quality.limits import QualityLimits
from fr_datasets.manifests import Manifest
from fr_locales.messages import message

KINDS = ("verification", "identification")
# Drawn strangers included; such a run takes hours.
LARGEST_GALLERY = 10_000_000
MOST_DIGITS = len(str(LARGEST_GALLERY))


NOTICE = message("evaluation.notice")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The data set of a report."""

    manifest: Manifest
    root: Path
    list_sha256: str  # of what was compared
    photos: int
    people: int | None  # None where the list names nobody
    labels_sha256: str = ""  # of what is said of the people for the rates by group; empty where nothing is
    part: str = ""  # how much of the set it is, as `part_of`


def part_of(manifest: Manifest, counts: Mapping[str, int | None]) -> str:
    """Return how much of a set was read, such as "1,200 of 6,000 pairs"; empty where it is all, or that is not known.

    `counts` are what was read, by the manifest's names; the first that it counts tells. None is not known.
    """
    for name, count in counts.items():
        whole = manifest.counts.get(name)
        if whole is not None and count is not None:
            return f"{count:,} of {whole:,} {name}" if count < whole else ""
    return ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that determine the figures, beside the data set: equal ones give equal figures."""

    pack: str
    pack_version: str
    model: str
    embedder_sha256: str  # 64 hex digits, as `detector_sha256`
    detector_sha256: str
    threshold: float  # the pack's default similarity
    requested_device: str  # such as "auto"
    device: str  # ran the models
    runtime: str  # library of the device
    precision: str
    detection: str
    flip: bool  # whether embeddings were fused with those of the mirrored face
    pick: str  # which face of a photo with several was taken
    seed: int  # of everything that was drawn
    version: str  # of FR Core
    images: ImageLimits  # photos beyond these were refused
    quality: QualityLimits  # the quality score depends on it
    gallery_sizes: tuple[int, ...]  # asked for beside the real people of an identification


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The common part of every report."""

    dataset: Dataset
    settings: Settings
    measured_at: datetime  # with a time zone
    seconds: float  # that the photos took
    failures: Mapping[Path, str]  # photo without an embedding -> the reason, such as "NO_FACE"


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
