"""The client's photos: within a server's limits each is sent as it is, beyond them as the largest JPEG that fits."""

import io
import sys

import numpy as np
import PIL.Image
import pytest

from fr_api.v1 import server_pb2
from fr_client import FrApiError
from fr_client.photos import PhotoFit
from photo_mutants import drawn_seeds, saved

LIMITS = server_pb2.Limits(max_image_bytes=100_000, max_image_pixels=30_000, image_formats=["JPEG", "PNG"])
FIT = PhotoFit(LIMITS)
TURN = PIL.Image.Transpose
# The turn that a camera gives an upright scene, by the EXIF orientation that it writes.
STORED_AS = {3: TURN.ROTATE_180, 6: TURN.ROTATE_90, 7: TURN.TRANSVERSE}


def scene(width: int = 400, height: int = 300) -> PIL.Image.Image:
    """A smooth picture without any symmetry."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) * 255 // (width + 2 * height)], -1)
    return PIL.Image.fromarray(pixels.astype(np.uint8))


def opened(photo: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(photo))


def is_scene(photo: bytes) -> bool:
    """Return True if a photo is the scene, upright, scaled to as many pixels as the limits allow, and nothing else."""
    picture = opened(photo)
    width, height = picture.size
    close = np.abs(np.asarray(picture).astype(int) - np.asarray(scene(width, height))).mean() < 4
    assert (picture.format, picture.mode, len(picture.getexif())) == ("JPEG", "RGB", 0)
    assert LIMITS.max_image_pixels * 0.98 < width * height <= LIMITS.max_image_pixels
    return bool(close) and abs(width / height - 4 / 3) < 0.02


@pytest.mark.parametrize("name", sorted(drawn_seeds()))
def test_a_photo_within_the_limits_is_sent_to_the_byte(name: str) -> None:
    assert FIT(drawn_seeds()[name]) is drawn_seeds()[name]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "HEIC", "TIFF", "BMP"])
def test_a_photo_of_too_many_pixels_is_scaled_down(name: str) -> None:
    photo = saved(scene(), name)
    assert is_scene(FIT(photo))
    assert FIT(FIT(photo)) == FIT(photo)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "HEIC", "TIFF"])
def test_it_is_upright_once(name: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = scene().transpose(STORED_AS[orientation])
    assert is_scene(FIT(saved(stored, name, exif=exif.tobytes())))
    if name in ("PNG", "WEBP"):
        assert is_scene(FIT(saved(stored.convert("RGBA"), name, exif=exif.tobytes())))


@pytest.mark.parametrize(
    "exif",
    [b"II*\0", b"II*\0\xff\xff\xff\xff", b"no tags", b"II*\0\x08\0\0\0\1\0\x12\1\2\0\1\0\0\0a\0\0\0" + bytes(4)],
    ids=["cut off", "lost", "no tags", "a letter"],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_counts_as_none(name: str, exif: bytes) -> None:
    assert is_scene(FIT(saved(scene(), name, exif=b"Exif\0\0" + exif)))
    small = saved(scene(200, 150), name, exif=b"Exif\0\0" + exif)
    assert FIT(small) is small


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_animation_is_left_to_the_server(name: str) -> None:
    film = saved(scene(), name, save_all=True, append_images=[scene().transpose(TURN.ROTATE_180)])
    limits = server_pb2.Limits(max_image_bytes=len(film), max_image_pixels=30_000, image_formats=["JPEG"])
    assert PhotoFit(limits)(film) is film
    limits.max_image_bytes -= 1
    with pytest.raises(FrApiError, match="Send one picture: this file holds several"):
        PhotoFit(limits)(film)


def test_notes_of_the_camera_stay_behind() -> None:
    exif = PIL.Image.Exif()
    exif[0x010F] = "a secret"
    photo = saved(scene(), "JPEG", comment=b"a secret", exif=exif.tobytes(), icc_profile=b"a secret")
    assert photo.count(b"a secret") == 3
    assert b"a secret" not in FIT(photo)


def test_a_photo_of_too_many_bytes_is_written_anew_and_smaller_only_if_it_must() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (150, 200, 3), np.uint8)
    photo = saved(PIL.Image.fromarray(noise), "BMP")
    most = len(photo) - 1
    assert opened(
        PhotoFit(server_pb2.Limits(max_image_bytes=most, max_image_pixels=30_000, image_formats=["JPEG"]))(photo)
    ).size == (200, 150)
    tight = PhotoFit(server_pb2.Limits(max_image_bytes=9_000, max_image_pixels=30_000, image_formats=["JPEG"]))
    assert 4_500 < len(tight(photo)) <= 9_000


@pytest.mark.parametrize(
    ("picture", "value"),
    [
        (PIL.Image.new("RGBA", (400, 300), (9, 9, 9, 0)), 255),
        (PIL.Image.new("LA", (400, 300), (9, 0)), 255),
        (PIL.Image.fromarray(np.full((300, 400), 200 * 257, np.uint16)), 200),
        (PIL.Image.fromarray(np.full((300, 400), 0.4, np.float32)), 102),
        (PIL.Image.new("L", (400, 300), 77), 77),
        (PIL.Image.new("1", (400, 300), 1), 255),
        (PIL.Image.new("P", (400, 300), 0), 0),
    ],
    ids=["RGBA", "LA", "16 bits", "floating point", "grey", "bilevel", "palette"],
)
def test_pixels_of_other_kinds_are_what_the_server_would_see(picture: PIL.Image.Image, value: int) -> None:
    pixels = np.asarray(opened(FIT(saved(picture, "TIFF" if picture.mode == "F" else "PNG"))))
    assert pixels.shape[2] == 3
    assert np.abs(pixels.astype(int) - value).max() <= 1


def test_a_jpeg_beyond_the_pixels_that_pillow_decodes_is_decoded_to_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones have 200 megapixels. The client leaves other photos of this size to the server, and progressive JPEGs."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 50_000)
    assert is_scene(FIT(saved(scene(), "JPEG")))
    with pytest.raises(PIL.Image.DecompressionBombError):
        opened(saved(scene(), "PNG"))
    assert FIT(saved(scene(), "PNG")) == saved(scene(), "PNG")
    assert FIT(saved(scene(), "JPEG", progressive=True)) == saved(scene(), "JPEG", progressive=True)


@pytest.mark.parametrize("why", ["off", "no Pillow", "damaged", "no JPEG there", "no pillow-heif"])
def test_what_cannot_be_scaled_is_refused_for_its_bytes_with_a_remedy(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = server_pb2.Limits()
    limits.CopyFrom(LIMITS)
    photo = saved(scene(250, 200), "HEIC" if why == "no pillow-heif" else "PNG")
    if why == "damaged":
        photo = b"no photo" * 100
    if why == "no Pillow":
        monkeypatch.setitem(sys.modules, "PIL", None)
    if why == "no pillow-heif":
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
    if why == "no JPEG there":
        limits.image_formats[:] = ["PNG"]
    fit = PhotoFit(limits, downscale=why != "off")
    assert fit(photo) is photo  # the server says what it has against its pixels
    limits.max_image_bytes = len(photo) - 1
    with pytest.raises(
        FrApiError, match=f"{len(photo):,} bytes; the server accepts at most {len(photo) - 1:,}"
    ) as refused:
        fit(photo)
    assert refused.value.reason == "IMAGE_TOO_MANY_BYTES"
    assert refused.value.metadata == {"found": str(len(photo)), "limit": str(len(photo) - 1)}
    remedy = {
        "off": "does not scale this one",
        "no Pillow": "pip install pillow",
        "no JPEG there": "scales down to JPEG",
    }
    assert remedy.get(why, "Pillow cannot read it here") in refused.value.message
