"""What a gallery refuses at its door."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fr_core.errors import (
    EmbeddingNotFinite,
    EmbeddingNotUnit,
    EmbeddingWrongSize,
    InvalidField,
    InvalidIdentifier,
    InvalidThreshold,
    InvalidTopK,
    ModelMismatch,
)
from fr_core.gallery import checks
from fr_core.gallery.values import NewTemplate
from fr_core.types import F32, Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)


def axis(size: int = 4) -> F32:
    vector = np.zeros(size, dtype=np.float32)
    vector[0] = 1.0
    return vector


@pytest.mark.parametrize("gallery_id", ["a", "watch-list_7", "x" * 128, "-"])
def test_a_gallery_id_may_be(gallery_id: str) -> None:
    checks.require_gallery_id(gallery_id)


@pytest.mark.parametrize("gallery_id", ["", "x" * 129, "A", "ä", "a b", "a\n", "a/b", "٣"])
def test_a_gallery_id_must_not_be(gallery_id: str) -> None:
    with pytest.raises(InvalidIdentifier):
        checks.require_gallery_id(gallery_id)


@pytest.mark.parametrize("subject_id", ["a", "Case 7/2", "Ærø", "名", "x" * 128, "😀"])
def test_a_subject_id_may_be(subject_id: str) -> None:
    checks.require_subject_id(subject_id)


@pytest.mark.parametrize(
    "subject_id", ["", " ", " a", "a ", "x" * 129, "a\tb", "a\0b", "a\u200bb", "\ud800", "a\u00a0"]
)
def test_a_subject_id_must_not_be(subject_id: str) -> None:
    with pytest.raises(InvalidIdentifier):
        checks.require_subject_id(subject_id)


def test_a_refusal_does_not_repeat_the_id() -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        checks.require_subject_id("Anna Muster\n")
    assert "Anna" not in str(refused.value) + str(refused.value.metadata)


@pytest.mark.parametrize("name", ["", "Name of a person", "x" * 256, "two\nlines"])
def test_a_display_name_may_be(name: str) -> None:
    checks.require_display_name(name)


@pytest.mark.parametrize("name", ["x" * 257, "a\0", "\udfff"])
def test_a_display_name_must_not_be(name: str) -> None:
    with pytest.raises(InvalidField):
        checks.require_display_name(name)


def test_metadata_up_to_the_limits_are_taken() -> None:
    checks.require_metadata({f"{n:064}": "v" * 64 for n in range(32)})
    checks.require_metadata({"k": "v" * 1024})


@pytest.mark.parametrize(
    "metadata",
    [{str(n): "" for n in range(33)}, {"": "v"}, {"k" * 65: "v"}, {"k": "v" * 1025}, {"k": "\0"}, {"\ud800": "v"}],
)
def test_metadata_beyond_the_limits_are_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidField):
        checks.require_metadata(metadata)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_a_sha256_must_be_one(sha256: str) -> None:
    with pytest.raises(InvalidField):
        checks.require_template(NewTemplate(Embedding(axis(), MODEL), sha256))


@pytest.mark.parametrize("quality", [-0.01, 1.01, math.nan, math.inf])
def test_a_quality_must_be_one(quality: float) -> None:
    with pytest.raises(InvalidField):
        checks.require_template(NewTemplate(Embedding(axis(), MODEL), None, quality))


@pytest.mark.parametrize("size", [0, -1, 4097])
def test_an_embedding_size_must_be_one(size: int) -> None:
    with pytest.raises(InvalidField):
        checks.require_model(MODEL, size)


def test_a_model_must_have_a_name() -> None:
    with pytest.raises(InvalidField):
        checks.require_model(ModelId("", "1", "0" * 64), 4)


def test_a_fit_vector_comes_back_unchanged() -> None:
    vector = axis()
    assert checks.unit_vector(Embedding(vector, MODEL), MODEL, 4) is vector


def test_the_model_is_checked_before_the_size() -> None:
    other = ModelId("null", "2", "0" * 64)
    with pytest.raises(ModelMismatch):
        checks.unit_vector(Embedding(axis(5), other), MODEL, 4)


@pytest.mark.parametrize("shape", [(3,), (5,), (1, 4), ()])
def test_a_vector_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EmbeddingWrongSize):
        checks.unit_vector(Embedding(np.zeros(shape, dtype=np.float32), MODEL), MODEL, 4)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_vector_that_is_not_finite_is_refused(value: float) -> None:
    vector = axis()
    vector[2] = value
    with pytest.raises(EmbeddingNotFinite):
        checks.unit_vector(Embedding(vector, MODEL), MODEL, 4)


@pytest.mark.parametrize("length", [0.0, 0.999, 1.001, 2.0, 3e38])
def test_a_vector_of_another_length_is_refused(length: float) -> None:
    with pytest.raises(EmbeddingNotUnit):
        checks.unit_vector(Embedding(axis() * np.float32(length), MODEL), MODEL, 4)


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_top_k_out_of_range_is_refused(k: int) -> None:
    with pytest.raises(InvalidTopK):
        checks.require_top_k(k)


@pytest.mark.parametrize("k", [1, 1000])
def test_top_k_within_range_is_taken(k: int) -> None:
    checks.require_top_k(k)


@pytest.mark.parametrize("threshold", [-1.0001, 1.0001, math.nan, math.inf])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidThreshold):
        checks.require_threshold(threshold)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 1.0])
def test_a_threshold_within_range_is_taken(threshold: float) -> None:
    checks.require_threshold(threshold)
