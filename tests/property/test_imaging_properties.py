"""Imaging by property: whatever the bytes, the outcome is a photo or a refusal; whatever the photo, it comes back."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import FrError, Undecodable
from fr_core.imaging import KNOWN_FORMATS, ImageLimits, decode
from fr_core.types import U8

WIDE = ImageLimits(max_pixels=1_000_000, formats=tuple(sorted(KNOWN_FORMATS)))

# First bytes by which each format is known, so that random bytes get past the door.
SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"RIFF\x20\0\0\0WEBPVP8 ",
    b"RIFF\x20\0\0\0WEBPVP8X",
    b"RIFF\x20\0\0\0WEBPVP8L",
    b"GIF89a",
    b"BM" + bytes(12) + b"\x28\0\0\0",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"\0\0\0\x1cftypavif",
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cjP  \r\n\x87\n",
)


@st.composite
def photos(draw: st.DrawFn) -> U8:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(photo: U8, name: str) -> bytes:
    buffer = io.BytesIO()
    options = {"lossless": True} if name == "WEBP" else {}
    PIL.Image.fromarray(photo).save(buffer, name, **options)
    return buffer.getvalue()


@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
def test_any_bytes_are_a_photo_or_a_refusal(signature: bytes, rest: bytes) -> None:
    try:
        assert decode(signature + rest, WIDE).pixels.shape[2] == 3
    except FrError as refused:
        assert refused.reason  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "BMP"])
@given(photo=photos())
def test_a_photo_written_without_loss_comes_back_exactly(name: str, photo: U8) -> None:
    assert np.array_equal(decode(encoded(photo, name), WIDE).pixels, photo)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
@given(photo=photos(), share=st.floats(0, 1, exclude_max=True))
def test_no_part_of_a_photo_passes_for_the_whole(name: str, photo: U8, share: float) -> None:
    data = encoded(photo, name)
    with pytest.raises(Undecodable):
        decode(data[: int(share * len(data))], WIDE)
