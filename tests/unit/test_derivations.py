"""What is noted of a photo on its way to an embedding."""

from __future__ import annotations

import pytest

from fr_api.v1 import common_pb2
from fr_core.align import ARCFACE_TEMPLATE
from fr_core.types import ModelId
from fr_server.rpc.services.review_evidence import derived
from support.cases import noise

MODEL = ModelId("null", "1", "0" * 64)


def a_face() -> common_pb2.Face:
    """A face that lies where the crop wants it."""
    points = [common_pb2.Point(x=x, y=y) for x, y in ARCFACE_TEMPLATE.tolist()]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    return common_pb2.Face(
        box=common_pb2.BoundingBox(left=1, top=2, right=3, bottom=4),
        landmarks=common_pb2.Landmarks(**dict(zip(names, points, strict=True))),
        score=0.5,
        quality=common_pb2.Quality(score=0.25, reasons=[common_pb2.QUALITY_REASON_BLURRED]),
    )


@pytest.mark.parametrize(
    ("photo", "form"),
    [
        (noise(1), "JPEG"),
        (noise(1, form="PNG"), "PNG"),
        (noise(1, form="WEBP"), "WEBP"),
        (noise(1, form="GIF"), "GIF"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "another format"),
    ],
)
def test_the_format_is_that_by_which_it_was_decoded(photo: bytes, form: str) -> None:
    assert derived(photo, a_face(), MODEL)["1_decoded"].startswith(f"{form}, EXIF orientation applied")


def test_each_step_is_told() -> None:
    told = derived(noise(1), a_face(), MODEL)
    assert told["2_box_px"] == "1.00 2.00 3.00 4.00"
    assert [float(one) for one in told["4_similarity_matrix"].split()] == pytest.approx([1, 0, 0, 0, 1, 0], abs=1e-4)
    assert told["5_quality"] == "0.2500 BLURRED"
    assert told["6_embedding"] == "of the crop, by null@1:000000000000, brought to length 1"
