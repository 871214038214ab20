"""Faces without labels, grouped at the pack's own threshold: held against the names that the photos have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from fr_core.engine import Engine, photos_at_once
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.packs.manifest import load_pack
from fr_core.types import Embedding
from fr_evaluation.photos import Photos

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]


class Quality(NamedTuple):
    """How well clusters agree with labels: of pairs, and B-cubed in the mean of templates (Bagga and Baldwin 1998)."""

    precision: float
    recall: float
    b_precision: float
    b_recall: float


def quality(labels: Sequence[str], clusters: Sequence[int]) -> Quality:
    (_, wrong), (missed, right) = import_module("sklearn.metrics.cluster").pair_confusion_matrix(labels, clusters)
    both, by_label, by_cluster = Counter(zip(labels, clusters, strict=True)), Counter(labels), Counter(clusters)
    b_precision = sum(count * count / by_cluster[cluster] for (_, cluster), count in both.items()) / len(labels)
    b_recall = sum(count * count / by_label[label] for (label, _), count in both.items()) / len(labels)
    return Quality(right / (right + wrong), right / (right + missed), b_precision, b_recall)


def embedded(engine: Engine, photos: Sequence[tuple[str, Path]]) -> list[tuple[str, Embedding]]:
    """The largest face of each photo that shows one, with its label."""
    seen = Photos(engine.pipeline, photos_at_once(engine.device), lambda done, total: None).embed(
        path for _, path in photos
    )
    return [(label, face.embedding) for label, path in photos for face in seen[path].faces[:1]]


def clustered(faces: Sequence[tuple[str, Embedding]], folder: Path, index: str) -> Quality:
    threshold = load_pack("buffalo_s").thresholds.similarity
    model = faces[0][1].model
    with Galleries.open(folder, index=index) as galleries:
        galleries.create("g", "", model, len(faces[0][1].vector))
        labels = {}
        for n, (label, embedding) in enumerate(faces):
            labels[galleries.enrol("g", Enrolment(str(n), NewTemplate(embedding))).template_id] = label
        found = {
            member.template_id: cluster.number
            for step in galleries.clusters("g", threshold)
            for cluster in step.clusters
            for member in cluster.members
        }
    assert found.keys() == labels.keys()
    ids = sorted(labels)
    return quality([labels[one] for one in ids], [found[one] for one in ids])


@pytest.mark.nightly
def test_people_of_lfw(default_engine: Engine, testdata: Path, tmp_path: Path) -> None:
    """Every photo of the people of two folds; a few labels of LFW are known to be wrong, and stay as they are."""
    photos = [(path.parent.name, path) for path in sorted((testdata / "lfw" / "images").glob("*/*.jpg"))]
    faces = embedded(default_engine, photos)
    told = clustered(faces, tmp_path / "numpy", "numpy")
    print(f"lfw, {len(photos) - len(faces)} photos without a face: {told}")  # noqa: T201 - the figures
    assert len(faces) > 2600
    assert told.precision >= 0.99
    assert told.recall >= 0.99
    assert min(told.b_precision, told.b_recall) >= 0.98
    assert clustered(faces, tmp_path / "compact", "compact") == told


def test_people_in_the_wild(default_engine: Engine, testdata: Path, tmp_path: Path) -> None:
    """Uncropped photos of 30 people with bystanders; the largest face is not always the one that is named."""
    photos = [(path.parent.name, path) for path in sorted((testdata / "celeba_wild" / "images").glob("*/*.jpg"))]
    faces = embedded(default_engine, photos)
    told = clustered(faces, tmp_path / "numpy", "numpy")
    print(f"celeba_wild, {len(photos) - len(faces)} photos without a face: {told}")  # noqa: T201 - the figures
    assert len(faces) > 160
    assert told.precision >= 0.98
    assert told.recall >= 0.85
    assert clustered(faces, tmp_path / "compact", "compact") == told
