"""Photos of phones against a real server: HEIC and AVIF by default, and photos over its limits."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fr_client import Client, EmbedItem, EnrolItem, FrApiError, reason_of
from fr_core.detect.null import NullDetector
from fr_core.types import U8, Detection
from photo_mutants import saved
from support.scripted import Kind, asked, both
from support.servers import Fr, Running, running

MOST_PIXELS, MOST_BYTES = 100_000, 60_000


class Tolerant(NullDetector):
    """Finds the squares of `NullDetector` in photos whose compression changed their colours a little."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        close = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
        return super().detect(np.where(close[..., None], np.array([255, 0, 0], np.uint8), pixels))


def portrait(width: int = 400, height: int = 200, grain: int = 0) -> PIL.Image.Image:
    """A picture with one square face, at 1/8 to 5/8 of its height."""
    noise = np.random.default_rng(1).integers(0, grain + 1, (height, width, 3), np.uint8)
    picture = PIL.Image.fromarray(noise + np.uint8(60))
    picture.paste((255, 0, 20), (height // 8, height // 8, height * 5 // 8, height * 5 // 8))
    return picture


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    images = {"max_pixels": MOST_PIXELS, "max_bytes": MOST_BYTES}
    with running(tmp_path_factory.mktemp("galleries"), Tolerant(), images=images) as made:
        yield made


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "large.png").write_bytes(saved(portrait(1000, 500), "PNG"))
    (folder / "long.bmp").write_bytes(saved(portrait(400, 200, grain=40), "BMP"))
    return folder


@both
@pytest.mark.parametrize("name", ["HEIC", "AVIF"])
def test_formats_of_phones_are_accepted_by_default(server: Running, kind: Kind, name: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    stored = portrait().transpose(PIL.Image.Transpose.ROTATE_90)
    found = asked(kind, server.address, lambda client: client.detect(saved(stored, name, exif=exif.tobytes())))
    assert (found.image_width, found.image_height, len(found.faces)) == (400, 200, 1)
    assert found.faces[0].box.left == pytest.approx(25, abs=2)


def every_way(photo: bytes) -> list[Callable[[Any], Any]]:
    return [
        lambda client: client.detect(photo),
        lambda client: client.embed(photo),
        lambda client: client.compare(photo, photo),
        lambda client: client.enrol("g", f"s{np.random.default_rng().integers(2**60)}", photo),
        lambda client: client.search("g", photo),
        lambda client: client.embed_many([EmbedItem(photo)]),
        lambda client: client.enrol_many("g", [EnrolItem(f"s{np.random.default_rng().integers(2**60)}", photo)]),
    ]


@both
def test_photos_over_the_limits_are_scaled_down_unless_that_is_off(server: Running, kind: Kind, photos: Path) -> None:
    with Client(server.address) as client:
        if not any(one.gallery_id == "g" for one in client.list_galleries()):
            client.create_gallery("g")
    for file, reason, ways in (("large.png", "IMAGE_TOO_MANY_PIXELS", 7), ("long.bmp", "IMAGE_TOO_MANY_BYTES", 2)):
        for ask in every_way((photos / file).read_bytes())[-ways:]:
            try:
                found = asked(kind, server.address, ask)
            except FrApiError as error:
                assert error.reason == "DUPLICATE_IMAGE"  # noqa: PT017 - enrolled by another of the ways
            else:
                assert not isinstance(found, list) or reason_of_item(found) in ("", "DUPLICATE_IMAGE")
            try:
                found = asked(kind, server.address, ask, downscale=False)
            except FrApiError as error:
                assert error.reason == reason  # noqa: PT017
            else:
                assert reason_of_item(found) == reason


def reason_of_item(found: list[tuple[str, Any]]) -> str:
    ((_, answer),) = found
    return reason_of(answer) if hasattr(answer, "reason") else ""


def test_fit_photo_gives_what_is_sent(server: Running, photos: Path) -> None:
    with Client(server.address) as client:
        sent = client.fit_photo(photos / "large.png")
        found = client.detect(photos / "large.png")
        assert (found.image_width, found.image_height) == (447, 223)
        assert client.fit_photo(sent) == sent
        client.create_gallery("sent")
        client.enrol("sent", "s", photos / "large.png")
        (template,) = client.get_subject("sent", "s").templates
        assert template.image_sha256 == hashlib.sha256(sent).hexdigest()


@pytest.fixture
def at(server: Running, fr_alone: Fr, monkeypatch: pytest.MonkeyPatch) -> Fr:
    monkeypatch.setenv("FR_SERVER", server.address)
    return fr_alone


def test_commands_say_that_they_scale_and_draw_on_what_they_sent(at: Fr, photos: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "faces.png"
    status, out, errors = at("detect", photos / "large.png", "--draw", drawn)
    assert (status, "1 face in 447 x 223 pixels" in out) == (0, True)
    assert "large.png" in errors
    assert "has more pixels than the server's limit of 100,000, and is sent scaled down." in errors
    with PIL.Image.open(drawn) as picture:
        assert picture.width >= 447
    status, _, errors = at("detect", photos / "large.png", "--no-downscale")
    assert status == 1
    assert errors.startswith("IMAGE_TOO_MANY_PIXELS: The photo has 1000 x 500 pixels")
    assert "Without --no-downscale, `fr` scales it down" in errors
    status, _, errors = at("compare", photos / "large.png", photos / "long.bmp", "--no-downscale")
    assert (status, errors.split(":")[0]) == (1, "IMAGE_TOO_MANY_BYTES")
    assert at("compare", photos / "large.png", photos / "long.bmp")[0] == 0


@both
@pytest.mark.parametrize(
    ("file", "reason"), [("large.png", "IMAGE_TOO_MANY_PIXELS"), ("long.bmp", "IMAGE_TOO_MANY_BYTES")]
)
def test_a_case_refuses_a_photo_that_it_would_only_keep_scaled_down(
    at: Fr, server: Running, kind: Kind, photos: Path, file: str, reason: str
) -> None:
    status, out, errors = at("case", "open", f"Ref {kind} {file}", "--purpose", "investigation", "--json")
    assert status == 0, errors
    case = json.loads(out)["case_id"]
    status, _, errors = at("case", "search", case, "g", photos / file)
    assert (status, errors.split(":")[0]) == (1, reason), errors
    assert "scaled down" not in errors
    assert "scales it down" not in errors
    with pytest.raises(FrApiError, match=reason):
        asked(kind, server.address, lambda client: client.review.search(case, "g", photos / file))


def test_scaled_photos_are_enrolled_once_and_found_for_the_picture(at: Fr, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people" / "ada"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes((photos / "large.png").read_bytes())
    status, out, _ = at("enrol", "scaled", folder.parent, "--create", "--no-downscale", "--json")
    refused, told = map(json.loads, out.splitlines())
    assert (status, refused["error"]["reason"], told["refused"]) == (3, "IMAGE_TOO_MANY_PIXELS", 1)
    for already in (0, 1):
        status, out, _ = at("enrol", "scaled", folder.parent, "--json")
        told = json.loads(out.splitlines()[-1])
        assert (status, told["stored"], told["already_enrolled"], told["refused"]) == (0, 1 - already, already, 0)
        assert told["scaled_down"] == 1
    picture = tmp_path / "list.png"
    words = ("search", "scaled", folder / "1.png", "--draw", picture, "--candidate-photos", folder.parent)
    status, _, errors = at(*words)
    assert (status, "no photo in the picture" in errors) == (0, False)
    assert picture.exists()
