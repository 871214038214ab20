"""Fields of gallery messages that hold what they cannot: refused, and before they are copied."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from datetime import timedelta

import pytest
from google.protobuf import duration_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from fr_api.v1 import gallery_pb2
from fr_core.errors import FrError, InvalidField, InvalidFilter, InvalidPage, InvalidThreshold, InvalidTopK
from fr_core.gallery.query import MAX_FILTER_SUBJECTS
from fr_core.gallery.values import KEEP
from fr_server.rpc.convert.calibration import criterion
from fr_server.rpc.convert.gallery import page_size, retention, similar_threshold, subject_filter, top_k
from fr_server.rpc.convert.gallery_updates import subject_update


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


def test_metadata_that_the_mask_does_not_name_are_not_looked_at() -> None:
    request = gallery_pb2.UpdateSubjectRequest(
        metadata={str(number): "" for number in range(33)}, update_mask=FieldMask(paths=["display_name"])
    )
    assert subject_update(request).metadata is KEEP
    request.update_mask.paths.append("metadata")
    with pytest.raises(InvalidField) as refused:
        subject_update(request)
    assert refused.value.metadata == {"field": "metadata", "limit": "32"}


@pytest.mark.parametrize(
    ("read", "request_", "refusal", "metadata"),
    [
        (top_k, gallery_pb2.SearchRequest(top_k=0), InvalidTopK, ("top_k", "1000")),
        (top_k, gallery_pb2.SearchRequest(top_k=1001), InvalidTopK, ("top_k", "1000")),
        (page_size, gallery_pb2.ListGalleriesRequest(page_size=0), InvalidPage, ("page_size", "1000")),
        (criterion, gallery_pb2.SearchRequest(threshold=math.nan), InvalidThreshold, ("threshold",)),
        (similar_threshold, gallery_pb2.EnrolRequest(similar_threshold=1.5), InvalidThreshold, ("similar_threshold",)),
    ],
)
def test_a_number_out_of_range_is_refused_by_the_name_of_its_field(
    read: Callable[[Message], object], request_: Message, refusal: type[FrError], metadata: tuple[str, ...]
) -> None:
    with pytest.raises(refusal) as refused:
        read(request_)
    assert refused.value.metadata == dict(zip(("field", "limit"), metadata, strict=False))
