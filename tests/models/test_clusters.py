"""Faces without labels, grouped at the pack's own threshold: held against the names that the photos have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

import pytest

from fr_core.engine import Engine, photos_at_once
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.packs.manifest import load_pack
from fr_core.types import Embedding
from fr_evaluation.photos import Photos

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True, slots=True)
class Quality:
    """How well clusters agree with labels; counts beside the rates.

    Attributes:
        templates: that were clustered.
        persons: labels.
        clusters: that were found.
        together: pairs of one label.
        put_together: pairs of one cluster.
        right: pairs of one label and one cluster.
        b_cubed: precision and recall of each template, in the mean (Bagga and Baldwin 1998).
    """

    templates: int
    persons: int
    clusters: int
    together: int
    put_together: int
    right: int
    b_cubed: tuple[float, float]

    @property
    def precision(self) -> float:
        return self.right / self.put_together

    @property
    def recall(self) -> float:
        return self.right / self.together

    def words(self) -> str:
        def f(p: float, r: float) -> float:
            return 2 * p * r / (p + r)

        return (
            f"{self.templates} templates of {self.persons} persons in {self.clusters} clusters; pairs: "
            f"{self.right} right of {self.put_together} put together, of {self.together} that belong together: "
            f"precision {self.precision:.4f}, recall {self.recall:.4f}, F {f(self.precision, self.recall):.4f}; "
            f"B-cubed precision {self.b_cubed[0]:.4f}, recall {self.b_cubed[1]:.4f}, F {f(*self.b_cubed):.4f}"
        )


def quality(labels: Sequence[str], clusters: Sequence[int]) -> Quality:
    both = Counter(zip(labels, clusters, strict=True))
    by_label, by_cluster = Counter(labels), Counter(clusters)
    n = len(labels)
    precision = sum(count * count / by_cluster[cluster] for (_, cluster), count in both.items()) / n
    recall = sum(count * count / by_label[label] for (label, _), count in both.items()) / n
    together, put_together, right = (
        sum(comb(count, 2) for count in counts.values()) for counts in (by_label, by_cluster, both)
    )
    return Quality(n, len(by_label), len(by_cluster), together, put_together, right, (precision, recall))


def test_the_measure_itself() -> None:
    """The example of two clusters of Bagga and Baldwin: 5 and 2, and 2 of 5 that belong to another."""
    told = quality("aaaaabbcccccdd"[:12], [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2])
    assert (told.together, told.put_together, told.right) == (10 + 1 + 10, 10 + 21, 10 + 1 + 10)
    assert told.b_cubed == pytest.approx(((5 + 2 * 2 / 7 + 5 * 5 / 7) / 12, 1.0))


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
    print(f"lfw, {len(photos) - len(faces)} photos without a face: {told.words()}")  # noqa: T201 - the figures
    assert told.templates > 2600
    assert told.precision >= 0.99
    assert told.recall >= 0.99
    assert min(told.b_cubed) >= 0.98
    assert clustered(faces, tmp_path / "compact", "compact") == told


def test_people_in_the_wild(default_engine: Engine, testdata: Path, tmp_path: Path) -> None:
    """Uncropped photos of 30 people with bystanders; the largest face is not always the one that is named."""
    photos = [(path.parent.name, path) for path in sorted((testdata / "celeba_wild" / "images").glob("*/*.jpg"))]
    faces = embedded(default_engine, photos)
    told = clustered(faces, tmp_path / "numpy", "numpy")
    print(f"celeba_wild, {len(photos) - len(faces)} photos without a face: {told.words()}")  # noqa: T201 - the figures
    assert told.templates > 160
    assert told.precision >= 0.98
    assert told.recall >= 0.85
    assert clustered(faces, tmp_path / "compact", "compact") == told
