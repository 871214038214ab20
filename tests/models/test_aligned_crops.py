"""Crops of a .bin file, and templates with given landmarks, against the photos that they come from."""

from __future__ import annotations

import io
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest

from fr_core.align import align
from fr_core.imaging import ImageLimits, decode
from fr_datasets import lfw
from fr_datasets.values import TemplateSet, VerificationPair
from fr_evaluation.photos import Photos, most_central
from fr_evaluation.verification.compare import compare
from fr_evaluation.verification.run import read_pairs, run_verification
from fr_evaluation.verification.templates import templates_to_compare

if TYPE_CHECKING:
    from fr_core.engine import Engine
    from fr_core.types import EmbeddedFace
    from fr_evaluation.verification.compare import ComparedPairs
    from fr_evaluation.verification.report import VerificationReport
    from fr_evaluation.verification.sources import PairsToCompare

pytestmark = pytest.mark.models
PAIRS = 40


def ignore(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def pairs(testdata: Path) -> list[VerificationPair]:
    """As many mated as non-mated pairs."""
    listed = lfw.view2(testdata / "lfw").pairs
    return [pair for label in (True, False) for pair in [one for one in listed if one.mated is label][: PAIRS // 2]]


@pytest.fixture(scope="module")
def faces(default_engine: Engine, pairs: list[VerificationPair]) -> dict[Path, EmbeddedFace]:
    """The face that each photo is about."""
    found = Photos(default_engine.pipeline, 8, ignore).embed(photo for pair in pairs for photo in (pair.a, pair.b))
    picked = {path: most_central(photo) for path, photo in found.items()}
    return {path: face for path, face in picked.items() if face is not None}


@pytest.fixture(scope="module")
def by_photos(pairs: list[VerificationPair], faces: dict[Path, EmbeddedFace]) -> ComparedPairs:
    compared = compare(pairs, {path: face.embedding for path, face in faces.items()})
    assert len(compared.pairs) == PAIRS
    return compared


def report_of(engine: Engine, given: PairsToCompare) -> VerificationReport:
    return run_verification(
        engine, given, flip=False, seed=1, workers=8, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC), on_progress=ignore
    )


def test_crops_of_our_own_aligner_give_the_similarities_of_their_photos(
    default_engine: Engine,
    pairs: list[VerificationPair],
    faces: dict[Path, EmbeddedFace],
    by_photos: ComparedPairs,
    tmp_path: Path,
) -> None:
    def crop(path: Path) -> bytes:
        pixels = decode(path.read_bytes(), ImageLimits()).pixels
        file = io.BytesIO()
        PIL.Image.fromarray(align(pixels, faces[path].face.detection.landmarks).pixels).save(file, format="PNG")
        return file.getvalue()

    crops = [crop(photo) for pair in pairs for photo in (pair.a, pair.b)]
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((crops, [pair.mated for pair in pairs]), protocol=4))
    report = report_of(default_engine, read_pairs("insightface_bins", path))
    assert report.compared.mated.tolist() == by_photos.mated.tolist()
    np.testing.assert_allclose(report.compared.similarities, by_photos.similarities, atol=1e-3)


def test_a_template_of_one_photo_gives_the_similarities_of_photos(
    default_engine: Engine, faces: dict[Path, EmbeddedFace], by_photos: ComparedPairs, testdata: Path
) -> None:
    paths, folder = tuple(faces), testdata / "lfw"
    numbers = np.arange(len(paths))
    templates = TemplateSet(
        "ijbc",
        "terms",
        folder,
        tuple(path.relative_to(folder).as_posix() for path in paths),
        templates=numbers,
        media=np.ones(len(paths), dtype=np.int64),
        landmarks=np.array([faces[path].face.detection.landmarks for path in paths]),
        scores=np.full(len(paths), 0.9, dtype=np.float32),
        pairs=np.array([[paths.index(pair.a), paths.index(pair.b)] for pair in by_photos.pairs]),
        mated=by_photos.mated,
    )
    report = report_of(default_engine, templates_to_compare("ijbc", folder, templates))
    np.testing.assert_allclose(report.compared.similarities, by_photos.similarities, atol=1e-3)
