"""Embedders on a session made by hand: one run a batch, the pixels as they are, plain and flip-fused vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fr_core.embed.onnx import FlipFusion, OnnxEmbedder, PlainEmbedder
from fr_core.types import F32, U8, AlignedFace, ModelId
from support.engines import HandmadeSession

MODEL = ModelId("p", "1", "0" * 64)


class Means(HandmadeSession):
    """Gives the mean of each channel of each crop."""

    def __init__(self, batch: int | None = None) -> None:
        super().__init__([], (batch, 112, 112, 3))

    def run(self, batch: U8) -> list[F32]:
        self.batches.append(batch)
        return [batch.mean(axis=(1, 2), dtype=np.float32)]


def crop(red: int, green: int = 1, blue: int = 2) -> AlignedFace:
    return AlignedFace(np.full((112, 112, 3), (red, green, blue), np.uint8), np.eye(2, 3, dtype=np.float32))


def embedder() -> tuple[OnnxEmbedder, Means]:
    session = Means()
    return OnnxEmbedder(session, 3), session


def test_a_batch_is_one_run_in_its_order_with_the_pixels_as_they_are() -> None:
    made, session = embedder()
    assert made.vectors([crop(n, 12, 13) for n in range(1, 6)]).tolist() == [[n, 12, 13] for n in range(1, 6)]
    (batch,) = session.batches
    assert batch.dtype == np.uint8
    assert batch[3, 50, 50].tolist() == [4, 12, 13]


def test_plain_embeddings_are_the_vectors_at_length_one() -> None:
    (made,) = PlainEmbedder(embedder()[0], MODEL).embed([crop(0, 3, 4)])
    assert np.allclose(made.embedding.vector, [0, 0.6, 0.8])
    assert made.norm == pytest.approx(5)
    assert made.embedding.model == MODEL


def test_flip_fusion_adds_raw_vectors_and_keeps_the_scale_of_the_norm() -> None:
    class Halves(Means):
        """Sees the left half only."""

        def run(self, batch: U8) -> list[F32]:
            return super().run(batch[:, :, :56])

    raw = OnnxEmbedder(Halves(), 3)
    face = crop(0, 0, 0)
    pixels = face.pixels.copy()
    pixels[:, :56] = (6, 0, 0)
    pixels[:, 56:] = (0, 8, 0)
    fused = FlipFusion(raw, replace(MODEL, version="1+flip"))
    (both,) = fused.embed([replace(face, pixels=pixels)])
    assert np.allclose(both.embedding.vector, [0.6, 0.8, 0])
    assert both.norm == pytest.approx(5)
    assert both.embedding.model.version == "1+flip"
