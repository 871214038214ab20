"""Fields of gallery messages that hold what they cannot: refused, and before they are copied."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest
from google.protobuf import duration_pb2

from fr_api.v1 import gallery_pb2
from fr_core.errors import InvalidField, InvalidFilter
from fr_core.gallery.query import MAX_FILTER_SUBJECTS
from fr_server.convert.gallery import retention, subject_filter


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(1, -1), (-1, 1), (1, 2**31 - 1), (0, 10**9), (0, -(2**31)), (2**63 - 1, 0)]
)
def test_a_duration_that_is_none_is_no_retention(seconds: int, nanos: int) -> None:
    sent = duration_pb2.Duration(seconds=seconds, nanos=nanos)
    with pytest.raises(InvalidField) as refused:
        retention(gallery_pb2.CreateGalleryRequest(retention=sent))
    assert refused.value.metadata == {"field": "retention"}


@pytest.mark.parametrize("expected", [timedelta(0, 1, 999_999), timedelta(0, -1, -5), timedelta(0, 0, 7), timedelta(9)])
def test_a_duration_is_read(expected: timedelta) -> None:
    sent = duration_pb2.Duration()
    sent.FromTimedelta(expected)
    assert retention(gallery_pb2.CreateGalleryRequest(retention=sent)) == expected


def test_too_many_subjects_of_a_filter_are_refused_before_they_are_copied() -> None:
    ids = [""] * 1_000_000
    request = gallery_pb2.SearchRequest(filter=gallery_pb2.SubjectFilter(subject_ids=ids))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidFilter, match=str(MAX_FILTER_SUBJECTS)):
            subject_filter(request)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
