"""Faces compare the same in HEIC, in AVIF, and in photos that the client scaled down."""

import io
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from fr_api.v1 import server_pb2
from fr_client.photos import PhotoFit
from fr_core.engine import Engine
from photo_mutants import saved

pytestmark = pytest.mark.models


def halved(photo: bytes) -> bytes:
    """As the client sends it to a server that accepts half of its pixels."""
    with PIL.Image.open(io.BytesIO(photo)) as picture:
        pixels = picture.width * picture.height
    return PhotoFit(server_pb2.Limits(max_image_bytes=2**23, max_image_pixels=pixels // 2, image_formats=["JPEG"]))(
        photo
    )


def written(name: str, **options: object) -> Callable[[bytes], bytes]:
    return lambda photo: saved(PIL.Image.open(io.BytesIO(photo)), name, quality=80, **options)


HEIC, AVIF = written("HEIC", enc_params={"preset": "ultrafast"}), written("AVIF", speed=10)


@pytest.mark.parametrize("changed", [halved, HEIC, AVIF], ids=["halved", "HEIC", "AVIF"])
def test_faces_compare_as_in_the_photo_itself(
    changed: Callable[[bytes], bytes], default_engine: Engine, testdata: Path
) -> None:
    for name in ("img20.jpg", "img35.jpg"):
        photo = (testdata / "deepface" / name).read_bytes()
        sent = changed(photo)
        assert sent != photo
        before, after = (default_engine.pipeline.analyze(one).faces for one in (photo, sent))
        assert len(before) == len(after) >= 1
        # Far above what two photos of one person give, .3 to .8.
        assert before[0].embedding.similarity(after[0].embedding) > 0.97
