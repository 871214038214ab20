"""Embedders on a session made by hand: batches of few sizes, the input that the pack asks for, flip fusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fr_core.embed.flip import FlipFusion
from fr_core.embed.onnx import OnnxEmbedder
from fr_core.packs.manifest import EmbedderSpec, load_pack
from fr_core.types import F32, U8, AlignedFace, ModelId
from handmade import HandmadeSession

MODEL = ModelId("p", "1", "0" * 64)
SPEC = replace(load_pack("buffalo_s").embedder, embedding_size=3, mean=(0, 0, 0), std=(1, 1, 1), max_batch=None)


class Means(HandmadeSession):
    """Gives the mean of each channel of each crop."""

    def __init__(self, batch: int | None = None) -> None:
        super().__init__([], (batch, 112, 112, 3))

    def run(self, batch: U8) -> list[F32]:
        self.batches.append(batch)
        return [batch.mean(axis=(1, 2), dtype=np.float32)]


def crop(red: int, green: int = 1, blue: int = 2) -> AlignedFace:
    return AlignedFace(np.full((112, 112, 3), (red, green, blue), np.uint8), np.eye(2, 3, dtype=np.float32))


def embedder(spec: EmbedderSpec = SPEC, batch: int | None = None) -> tuple[OnnxEmbedder, Means]:
    session = Means(batch)
    return OnnxEmbedder(session, spec, MODEL), session


def test_faces_run_in_few_batch_sizes_and_keep_their_order() -> None:
    made, session = embedder()
    faces = [crop(n) for n in range(1, 30)]
    assert made.vectors(faces)[:, 0].tolist() == list(range(1, 30))
    assert [len(batch) for batch in session.batches] == [16, 8, 4, 1]


@pytest.mark.parametrize(("limit", "batch"), [(1, None), (None, 1)])
def test_model_that_takes_one_face_at_a_time_gets_one(limit: int | None, batch: int | None) -> None:
    made, session = embedder(replace(SPEC, max_batch=limit), batch)
    made.embed([crop(1), crop(2), crop(3)])
    assert [len(batch) for batch in session.batches] == [1, 1, 1]


def test_no_face_runs_nothing() -> None:
    made, session = embedder()
    assert made.embed([]) == ()
    assert session.batches == []


def test_session_is_given_the_pixels_as_they_are() -> None:
    made, session = embedder(replace(SPEC, colour="BGR", mean=(1, 2, 3), std=(2, 2, 4)))
    made.vectors([crop(11, 12, 13)])
    assert session.batches[0].dtype == np.uint8
    assert session.batches[0][0, 50, 50].tolist() == [11, 12, 13]


def test_flip_fusion_adds_raw_vectors_and_keeps_the_scale_of_the_norm() -> None:
    class Halves(Means):
        """Sees the left half only."""

        def run(self, batch: U8) -> list[F32]:
            return super().run(batch[:, :, :56])

    raw = OnnxEmbedder(Halves(), SPEC, MODEL)
    face = crop(0, 0, 0)
    pixels = face.pixels.copy()
    pixels[:, :56] = (6, 0, 0)
    pixels[:, 56:] = (0, 8, 0)
    fused = FlipFusion(raw, replace(MODEL, version="1+flip"))
    (both,) = fused.embed([replace(face, pixels=pixels)])
    assert np.allclose(both.embedding.vector, [0.6, 0.8, 0])
    assert both.norm == pytest.approx(5)
    assert both.embedding.model.version == "1+flip"
    assert fused.embed([]) == ()
