"""How long the requests of each call may be."""

from __future__ import annotations

import pytest

from apimethods import METHODS
from fr_server.interceptors.sizes import MOST_BYTES, most_bytes


def test_every_call_of_the_api_has_a_length_and_those_with_photos_that_of_any_message() -> None:
    sizes = {method.removeprefix("/fr_api.v1."): most_bytes(method) for method in METHODS}
    with_photos = {method for method, size in sizes.items() if size is None}
    assert with_photos == {
        "GalleryService/Enrol",
        "GalleryService/Search",
        "GalleryService/StreamEnrol",
        "GalleryService/StreamEnrolEmbeddings",
        "GalleryService/StreamSearch",
        "RecognitionService/Compare",
        "RecognitionService/Detect",
        "RecognitionService/Embed",
        "RecognitionService/StreamEmbed",
        "ReviewService/SearchInCase",
        "TrainingService/SubmitProbe",
    }
    assert sizes["TrainingService/LockNotes"] == MOST_BYTES
    assert sizes["TrainingService/SubmitDecision"] == MOST_BYTES
    assert all(size is None or MOST_BYTES <= size <= 8 * 2**20 for size in sizes.values())


def test_a_call_that_is_none_has_no_length() -> None:
    with pytest.raises(KeyError):
        most_bytes("/fr_api.v1.TrainingService/None")
