"""Draws answers: the faces of a photo, and a probe beside its candidates, whose photos it finds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.cli.drawing import Font, Photo, open_photo
from fr_client.cli.files import read_photo, reading
from fr_client.cli.gallery.photo_sources import is_photo, read_manifest
from fr_client.cli.show import counted, lead_mark, leads_text
from fr_client.errors import FrApiError
from fr_client.photos import Fit
from fr_client.requests import MAX_PHOTO_BYTES
from fr_client.sync.client import Client
from fr_client.words import Purpose
from fr_files.reading import read_whole

Colour = tuple[int, int, int]

# They differ in lightness too, for people who confuse red and green.
GOOD: Colour = (90, 220, 120)
POOR: Colour = (255, 170, 40)
DARK: Colour = (20, 20, 24)
INK: Colour = (32, 33, 36)
GREY: Colour = (140, 143, 150)
PALE: Colour = (228, 230, 234)
PAPER: Colour = (255, 255, 255)

# The search picture, in pixels.
MARGIN, PROBE, TILE, GAP = 24, 320, 184, 16
_TEXT, _HEAD, _TILE_LINES = 15, 18, 3
MIN_COLUMNS, MAX_COLUMNS = 3, 5
MAX_CANDIDATES = 20
# With more than `CROWD` faces, each has one row of candidates; a picture has `MAX_FACES` faces at most.
CROWD, MAX_FACES = 4, 12
# Landmarks would cover a face of fewer pixels.
SMALL = 40
# The longer side of a drawn photo, pixels: every face of a crowd can be seen, and the file stays small.
MAX_SIDE = 4096


def faces_picture(photo: Photo, faces: Sequence[common_pb2.Face]) -> Photo:
    """Return a copy of a photo, of `MAX_SIDE` pixels at most, with the box, the landmarks and the number of each face.

    A face of low quality has a box of another colour.
    """
    picture = photo.copy()
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    scale = max(picture.size) / max(photo.size)
    for number, face in enumerate((_scaled(one, scale) for one in faces), start=1):
        colour = POOR if face.quality.reasons else GOOD
        pens = Pens.for_face(picture.size, face.box)
        _draw_box(pen, face.box, colour, pens.line)
        if min(face.box.right - face.box.left, face.box.bottom - face.box.top) >= SMALL:
            for point in _points(face.landmarks):
                _draw_dot(pen, point, colour, pens.dot)
        _draw_label(pen, picture.size, face.box, f"{number}", Font(pens.letter), colour)
    return picture


def _scaled(face: common_pb2.Face, scale: float) -> common_pb2.Face:
    if scale == 1.0:
        return face
    made = common_pb2.Face()
    made.CopyFrom(face)
    for name in ("left", "top", "right", "bottom"):
        setattr(made.box, name, getattr(face.box, name) * scale)
    for point in _points(made.landmarks):
        point.x, point.y = point.x * scale, point.y * scale
    return made


@dataclass(frozen=True, slots=True)
class Pens:
    """The thickness of lines in pixels: in proportion to the face, but visible in the whole photo."""

    line: int
    dot: float
    letter: int

    @classmethod
    def for_face(cls, size: tuple[int, int], box: common_pb2.BoundingBox) -> Pens:
        """Return the pens for a face with this box in a photo of this (width, height)."""
        photo, face = max(size), min(abs(box.right - box.left), abs(box.bottom - box.top))
        return cls(
            line=round(_clamp(face / 30, max(1.0, photo / 900), max(2.0, photo / 250))),
            dot=_clamp(face / 45, max(1.0, photo / 1800), max(1.5, photo / 250)),
            letter=round(_clamp(face / 3, max(10.0, photo / 90), max(12.0, photo / 30))),
        )


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def face_crop(photo: Photo, box: common_pb2.BoundingBox, margin: float = 0.5) -> Photo:
    """Return the square around a face, within the photo; the margin is a share of the box's longer side."""
    half = max(box.right - box.left, box.bottom - box.top) * (0.5 + margin)
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    left, top = max(0, round(x - half)), max(0, round(y - half))
    right, bottom = min(photo.width, round(x + half)), min(photo.height, round(y + half))
    if right <= left or bottom <= top:
        return photo
    return photo.crop((left, top, right, bottom))


def search_picture(probe: Photo, answer: gallery_pb2.SearchResponse, crops: Mapping[int, Photo]) -> Photo:
    """Return each probe face with its candidates beside it in the order of their ranks, and the notice below.

    `crops` has pictures of candidates by template id; a candidate without one gets an empty frame. Shows `MAX_FACES`
    faces at most, and says how many more there are.
    """
    results = answer.results[:MAX_FACES]
    most = MAX_CANDIDATES if len(answer.results) <= CROWD else MAX_COLUMNS
    columns = max([MIN_COLUMNS, *(min(len(result.candidates), MAX_COLUMNS) for result in results)])
    width = MARGIN + PROBE + 2 * GAP + columns * (TILE + GAP) + MARGIN
    notice = Font(_TEXT)
    lines = notice.wrapped(answer.notice, width - 2 * MARGIN)
    if len(answer.results) > len(results):
        lines.insert(0, f"and {counted(len(answer.results) - len(results), 'more face')}, which the text lists")
    heights = [_row_height(result, most) for result in results]
    height = MARGIN + sum(heights) + GAP + len(lines) * notice.line_height + MARGIN
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture)
    top = MARGIN
    for number, (result, row_height) in enumerate(zip(results, heights, strict=True), start=1):
        title = f"Probe, face {number} of {len(answer.results)}" if len(answer.results) > 1 else "Probe"
        pen.text((MARGIN, top), title, fill=INK, font=Font(_HEAD).font)
        _draw_result(picture, pen, top, probe, result, answer.threshold, crops, most)
        top += row_height
    for number, line in enumerate(lines):
        pen.text((MARGIN, top + GAP + number * notice.line_height), line, fill=INK, font=notice.font)
    return picture


def _tile_height() -> int:
    return TILE + 6 + _TILE_LINES * Font(_TEXT).line_height + GAP


def _head_height() -> int:
    return Font(_HEAD).line_height + 8


def _row_height(result: gallery_pb2.SearchResult, most: int) -> int:
    count = min(len(result.candidates), most)
    rows = -(-count // MAX_COLUMNS)
    more = Font(_TEXT).line_height if len(result.candidates) > most else 0
    return _head_height() + max(PROBE + GAP, rows * _tile_height() + more) + GAP


def _draw_result(
    picture: Photo,
    pen: ImageDraw.ImageDraw,
    top: int,
    probe: Photo,
    result: gallery_pb2.SearchResult,
    threshold: float,
    crops: Mapping[int, Photo],
    most: int,
) -> None:
    head, text = Font(_HEAD), Font(_TEXT)
    left = MARGIN + PROBE + 2 * GAP
    title = f"{leads_text(result)} at threshold {threshold:.3f}".capitalize()
    pen.text((left, top), title, fill=INK, font=head.font)
    top += _head_height()
    _paste_fitted(picture, _probe_view(probe, result), (MARGIN, top), PROBE)
    drawn = result.candidates[:most]
    for number, one in enumerate(drawn):
        row, column = divmod(number, MAX_COLUMNS)
        corner = (left + column * (TILE + GAP), top + row * _tile_height())
        _draw_candidate(picture, pen, corner, one, crops.get(one.template_id))
    if len(result.candidates) > len(drawn):
        below = top + -(-len(drawn) // MAX_COLUMNS) * _tile_height()
        more = f"and {len(result.candidates) - len(drawn)} more"
        pen.text((left, below), more, fill=GREY, font=text.font)


def _probe_view(probe: Photo, result: gallery_pb2.SearchResult) -> Photo:
    """Return the surroundings of the probe's face with its box; the whole photo if the probe was an embedding."""
    if not result.HasField("face"):
        return probe
    box = result.face.box
    marked = probe.copy()
    _draw_box(ImageDraw.Draw(marked), box, GOOD, max(1, round((box.right - box.left) / 60)))
    return face_crop(marked, box, margin=0.6)


def _draw_candidate(
    picture: Photo,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    candidate: gallery_pb2.Candidate,
    crop: Photo | None,
) -> None:
    text = Font(_TEXT)
    x, y = corner
    if crop is None:
        pen.rectangle((x, y, x + TILE - 1, y + TILE - 1), fill=PALE)
        words = "photo not found"
        pen.text((x + TILE / 2, y + TILE / 2), words, fill=GREY, font=text.font, anchor="mm")
    else:
        _paste_fitted(picture, crop, corner, TILE)
    # All frames are alike: another colour around a lead would say "this one".
    pen.rectangle((x, y, x + TILE - 1, y + TILE - 1), outline=GREY)
    lines = (
        (f"{candidate.rank}.  {candidate.similarity:.3f}  {lead_mark(candidate)}", INK),
        (candidate.subject_id, INK),
        (candidate.display_name, GREY),
    )
    for number, (line, ink) in enumerate(lines):
        place = (x, y + TILE + 6 + number * text.line_height)
        pen.text(place, text.fitted(line, TILE), fill=ink, font=text.font)


def _paste_fitted(picture: Photo, photo: Photo, corner: tuple[int, int], side: int) -> None:
    fitted = ImageOps.contain(photo, (side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), PALE)
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    picture.paste(square, corner)


def _draw_box(pen: ImageDraw.ImageDraw, box: common_pb2.BoundingBox, colour: Colour, width: int) -> None:
    """Draw a frame around a box, with a dark edge to show on any ground."""
    edge = max(1, width // 3)
    left, top, right, bottom = sorted_box(box)
    pen.rectangle((left - edge, top - edge, right + edge, bottom + edge), outline=DARK, width=width + 2 * edge)
    pen.rectangle((left, top, right, bottom), outline=colour, width=width)


def sorted_box(box: common_pb2.BoundingBox) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom with left <= right and top <= bottom, as Pillow wants them."""
    left, right = sorted((box.left, box.right))
    top, bottom = sorted((box.top, box.bottom))
    return left, top, right, bottom


def _draw_dot(pen: ImageDraw.ImageDraw, point: common_pb2.Point, colour: Colour, radius: float) -> None:
    outer = radius * 1.5
    pen.ellipse((point.x - outer, point.y - outer, point.x + outer, point.y + outer), fill=DARK)
    pen.ellipse((point.x - radius, point.y - radius, point.x + radius, point.y + radius), fill=colour)


def _draw_label(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: common_pb2.BoundingBox,
    words: str,
    lettering: Font,
    colour: Colour,
) -> None:
    """Write words on a plate above a box, or within it if there is no room above; always inside the picture."""
    left, top, _, _ = sorted_box(box)
    plate_width, plate_height = lettering.width(words) + lettering.size * 0.6, lettering.size * 1.3
    x = min(max(0.0, left), max(0.0, size[0] - plate_width))
    y = top - plate_height if top >= plate_height else max(0.0, top)
    y = min(y, max(0.0, size[1] - plate_height))
    pen.rectangle((x, y, x + plate_width, y + plate_height), fill=colour)
    pen.text((x + plate_width / 2, y + plate_height / 2), words, fill=DARK, font=lettering.font, anchor="mm")


def _points(landmarks: common_pb2.Landmarks) -> tuple[common_pb2.Point, ...]:
    return (landmarks.left_eye, landmarks.right_eye, landmarks.nose, landmarks.mouth_left, landmarks.mouth_right)


def crops(
    client: Client,
    gallery_id: str,
    answer: gallery_pb2.SearchResponse,
    source: Path | None,
    purpose: Purpose | None,
    case: str,
) -> dict[int, Photo]:
    """Return the face of each candidate's photo, by template id.

    The photos are in `source`, a folder or a manifest; None for those in the gallery.
    """
    subject_of = {one.template_id: one.subject_id for result in answer.results for one in result.candidates}
    if source is None:
        if not client.get_gallery(gallery_id).keeps_photos:
            return {}
        get_template = partial(client.get_template, gallery_id, photo=True, purpose=purpose, case_reference=case)
        kept = {number: get_template(number) for number in sorted(subject_of)}
        return {number: _enrolled_face(client, one.photo.data) for number, one in kept.items() if one.HasField("photo")}
    sha256_of: dict[int, str] = {}
    for subject_id in sorted(set(subject_of.values())):
        subject = client.get_subject(gallery_id, subject_id, purpose=purpose, case_reference=case)
        sha256_of |= {one.template_id: one.image_sha256 for one in subject.templates if one.template_id in subject_of}
    paths = find_photos(source, filter(None, sha256_of.values()), subject_of.values(), client.fit_photo)
    wanted = {number: paths[sha256] for number, sha256 in sorted(sha256_of.items()) if sha256 in paths}
    return {number: _enrolled_face(client, client.fit_photo(read_photo(path))) for number, path in wanted.items()}


def find_photos(
    source: Path, wanted: Iterable[str], subject_ids: Iterable[str] = (), fit: Fit = lambda photo: photo
) -> dict[str, Path]:
    """Return the paths of photos by their sha256, from a folder with all its folders, or from a manifest of `fr enrol`.

    It first searches the folders of `subject_ids`, for speed. `fit` returns the bytes that were enrolled for a photo.
    """
    missing = set(wanted)
    found: dict[str, Path] = {}
    for path in _photo_paths(source, frozenset(subject_ids)):
        if not missing:
            break
        try:
            sha256 = hashlib.sha256(fit(read_whole(path, MAX_PHOTO_BYTES))).hexdigest()
        except (FrApiError, OSError):
            continue  # the picture shows it as not found
        if sha256 in missing:
            missing.remove(sha256)
            found[sha256] = path
    return found


def _photo_paths(source: Path, first: frozenset[str]) -> Iterator[Path]:
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if is_photo(path))
        yield from sorted(paths, key=lambda path: path.parent.name not in first)
        return
    with reading(source):
        photos = read_manifest(source).photos
    yield from (photo.path for photo in sorted(photos, key=lambda photo: photo.subject_id not in first))


def _enrolled_face(client: Client, data: bytes) -> Photo:
    """Return the face that an enrolment takes from a photo: its subject, or the largest if it has none."""
    photo = open_photo(data)
    try:
        found = client.detect(data)
    except FrApiError:
        return photo  # this server no longer accepts the photo: the picture shows all of it
    return face_crop(photo, found.faces[max(found.prominent, 1) - 1].box) if found.faces else photo
