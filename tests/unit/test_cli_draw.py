"""Pictures of answers, on synthetic photos."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.cli.drawing import open_photo
from fr_client.cli.files import require_drawing, write_picture
from fr_client.cli.gallery.pictures import (
    GOOD,
    GREY,
    MARGIN,
    MAX_CANDIDATES,
    POOR,
    PROBE,
    TILE,
    face_crop,
    faces_picture,
    find_photos,
    search_picture,
)
from fr_client.cli.state import Unusable

BLUE, RED = (0, 0, 200), (200, 0, 0)


def face(left: float, top: float, right: float, bottom: float, *, poor: bool = False) -> common_pb2.Face:
    reasons = [common_pb2.QUALITY_REASON_BLURRED] if poor else []
    x, y = (left + right) / 2, (top + bottom) / 2
    points = common_pb2.Landmarks(
        left_eye=common_pb2.Point(x=left, y=top),
        right_eye=common_pb2.Point(x=right, y=top),
        nose=common_pb2.Point(x=x, y=y),
        mouth_left=common_pb2.Point(x=left, y=bottom),
        mouth_right=common_pb2.Point(x=right, y=bottom),
    )
    return common_pb2.Face(
        box=common_pb2.BoundingBox(left=left, top=top, right=right, bottom=bottom),
        landmarks=points,
        quality=common_pb2.Quality(reasons=reasons),
    )


def encoded(photo: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    out = io.BytesIO()
    photo.save(out, kind, **settings)
    return out.getvalue()


def colours(picture: Image.Image, box: tuple[int, int, int, int]) -> set[tuple[int, ...]]:
    found = picture.crop(box).getcolors(1 << 24)
    assert found is not None
    return {colour for _, colour in found if isinstance(colour, tuple)}


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (6000, 4000)])
def test_boxes_landmarks_and_numbers_are_drawn_whatever_the_size(size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, BLUE)
    width, height = size
    box = (round(width * 0.4), round(height * 0.4), round(width * 0.6), round(height * 0.7))
    picture = faces_picture(photo, [face(*box)])
    assert picture.size == size
    assert photo.getpixel((box[0], box[1] + 8)) == BLUE
    assert picture.getpixel((box[0], (box[1] * 2 + box[3]) // 3)) == GOOD
    assert GOOD in colours(picture, (box[0], box[3] - 2, box[2], box[3] + 2))
    nose = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    assert picture.getpixel(nose) == GOOD
    assert picture.getpixel((width - 1, height - 1)) == BLUE
    poor = faces_picture(photo, [face(*box, poor=True)])
    assert poor.getpixel((box[0], (box[1] * 2 + box[3]) // 3)) == POOR


@pytest.mark.parametrize("box", [(-50, -40, 20, 30), (280, 180, 400, 300), (-10, -10, 310, 210), (50, 60, 50, 60)])
def test_boxes_beyond_the_edges_and_without_an_area_are_drawn(box: tuple[float, float, float, float]) -> None:
    assert faces_picture(Image.new("RGB", (300, 200), BLUE), [face(*box)]).size == (300, 200)


def test_the_crop_is_square_around_the_face_and_ends_at_the_edges() -> None:
    photo = Image.new("RGB", (1000, 800))
    inside = common_pb2.BoundingBox(left=400, top=300, right=480, bottom=400)
    assert face_crop(photo, inside, margin=0.5).size == (200, 200)
    at_the_edge = common_pb2.BoundingBox(left=-20, top=0, right=80, bottom=100)
    assert face_crop(photo, at_the_edge, margin=0.5).size == (130, 150)
    outside = common_pb2.BoundingBox(left=2000, top=0, right=2100, bottom=100)
    assert face_crop(photo, outside).size == photo.size


def test_a_photo_is_upright_and_on_white() -> None:
    turned = Image.new("RGB", (40, 20), BLUE)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_photo(encoded(turned, "JPEG", exif=exif)).size == (20, 40)
    assert open_photo(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))).getpixel((0, 0)) == (255, 255, 255)
    assert open_photo(encoded(Image.new("I;16", (4, 4), 0x8080))).getpixel((0, 0)) == (128, 128, 128)
    assert open_photo(encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "JPEG")).mode == "RGB"


@pytest.mark.parametrize("data", [b"", b"no photo", encoded(Image.new("RGB", (64, 64)), "PNG")[:60]])
def test_what_cannot_be_decoded_is_one_sentence(data: bytes) -> None:
    with pytest.raises(Unusable, match="cannot decode"):
        open_photo(data)


def answer(*similarities: float, threshold: float = 0.5, name: str = "") -> gallery_pb2.SearchResponse:
    candidates = [
        gallery_pb2.Candidate(
            rank=rank,
            subject_id=name or f"subject {rank}",
            display_name=name,
            template_id=rank,
            similarity=similarity,
            above_threshold=similarity >= threshold,
        )
        for rank, similarity in enumerate(similarities, start=1)
    ]
    result = gallery_pb2.SearchResult(face=face(40, 40, 120, 140), candidates=candidates)
    return gallery_pb2.SearchResponse(results=[result], threshold=threshold, notice="Leads for an examiner. " * 8)


def test_no_candidate_is_framed_unlike_the_others_and_the_head_counts_the_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe, crops = Image.new("RGB", (200, 200), BLUE), {rank: Image.new("RGB", (50, 50), RED) for rank in (1, 2, 3)}
    beside = search_picture(probe, answer(*[0.1] * (MAX_CANDIDATES + 30)), crops)
    assert beside.getpixel((MARGIN + PROBE // 2, MARGIN + 40 + PROBE // 2)) == BLUE
    written: list[str] = []
    write = ImageDraw.ImageDraw.text

    def text(pen: ImageDraw.ImageDraw, place: tuple[float, float], words: str, **how: Any) -> None:
        assert pen.textbbox(place, words, font=how["font"])[2] <= pen.im.size[0]
        written.append(words)
        write(pen, place, words, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    for similarities, head in (
        ((0.7, 0.1, -0.07), "1 of 3 candidates is a lead at threshold 0.500"),
        ((0.4, 0.1), "0 of 2 candidates are leads at threshold 0.500"),
        ((), "No lead at threshold 0.500"),
    ):
        picture, y = search_picture(probe, answer(*similarities), crops), MARGIN + 40
        assert head in written
        assert not any("potential" in words.lower() for words in written)
        for rank in range(len(similarities)):
            x = MARGIN + PROBE + 32 + rank * (TILE + 16)
            assert colours(picture, (x, y + 10, x + 1, y + TILE - 10)) == {GREY}
            assert colours(picture, (x + 1, y + 10, x + TILE - 1, y + TILE - 10)) == {RED}
    assert {"1.  0.700  lead", "2.  0.100  no lead", "3.  -0.070  no lead"} <= set(written)


@pytest.mark.parametrize(
    "response",
    [
        gallery_pb2.SearchResponse(),
        gallery_pb2.SearchResponse(results=[gallery_pb2.SearchResult()], notice="x"),
        answer(0.5, name="Zoë Ångström 田中 🙂 \x1b[31m\n" * 9),
        answer(0.5, name="עברית العربية"),
    ],
)
def test_no_candidates_and_names_in_any_script_are_drawn(response: gallery_pb2.SearchResponse) -> None:
    assert search_picture(Image.new("RGB", (50, 300), BLUE), response, {}).width > PROBE


def test_a_picture_that_could_not_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    require_drawing(None)
    require_drawing(tmp_path / "x.PNG")
    with pytest.raises(Unusable, match="must end in"):
        require_drawing(tmp_path / "x.txt")
    with pytest.raises(Unusable, match="folder does not exist"):
        require_drawing(tmp_path / "nowhere" / "x.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(Unusable, match="cannot be written"):
        write_picture(Image.new("RGB", (1, 1)), tmp_path / "taken.png")


def test_photos_are_found_by_their_content(tmp_path: Path) -> None:
    deep = tmp_path / "some" / "where" / "b.JPG"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"two")
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.txt").write_bytes(b"three")
    one, two, three = (sha256(data).hexdigest() for data in (b"one", b"two", b"three"))
    assert find_photos(tmp_path, [one, two, three], ["where"]) == {one: tmp_path / "a.png", two: deep}
    assert find_photos(tmp_path, []) == {}
    manifest = tmp_path / "people.csv"
    manifest.write_text("subject_id,path\nx,some/where/b.JPG\ny,missing.jpg\nz,a.png\n")
    assert find_photos(manifest, [one, two]) == {one: tmp_path / "a.png", two: tmp_path / "some/where/b.JPG"}
    with pytest.raises(Unusable, match="cannot be read"):
        find_photos(tmp_path / "nowhere.csv", [one])


def test_picture_never_replaces_a_photo_that_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = folder / "a.png"
    photo.write_bytes(b"a photo")
    link = tmp_path / "link.png"
    link.symlink_to(photo)
    for target, source in ((photo, photo), (link, photo), (photo, folder)):
        with pytest.raises(Unusable, match="photos themselves"):
            require_drawing(target, source)
    require_drawing(folder / "new.png", photo, folder)
    require_drawing(None, photo)
