"""The pictures of a trial with their labels, the places of the parts of a face, and the files of evidence."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from markupsafe import Markup
from PIL import Image

from fr_api.v1 import recognition_pb2
from fr_api.v1 import training_pb2 as pb
from fr_web.console.addresses import embedded

ORIGINAL, CROP = "original.jpg", "crop.ppm"
# The names that an evidence exercise gives to its files; the console sends no other.
RECORDS, KEPT = "trial-records.jsonl", ("trial-records.jsonl", "trial-public.pem")


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on a page.

    `label` is A or B of a pair, a number of three photos, of candidates or of the shots of a track, "" of others. A
    shot has its time after the first one, in seconds.
    """

    picture_id: str
    label: str
    src: Markup
    is_candidate: bool = False
    time: str = ""


def compared(pictures: Sequence[pb.Picture]) -> list[Shown]:
    """Return the pictures to compare, the candidates, or a photo and the shots of a track, in their order."""
    found = [one for one in pictures if one.role != pb.PICTURE_ROLE_PROBE]
    if any(one.role == pb.PICTURE_ROLE_SHOT for one in found):
        return [_shot(one, number) for number, one in enumerate(found)]
    is_pair = len(found) == 2 and found[0].role == pb.PICTURE_ROLE_COMPARED
    alone = len(found) == 1 and found[0].role == pb.PICTURE_ROLE_COMPARED
    labels = ["A", "B"] if is_pair else [""] if alone else [str(number + 1) for number in range(len(found))]
    return [
        Shown(one.picture_id, label, embedded(one.data), one.role == pb.PICTURE_ROLE_CANDIDATE)
        for one, label in zip(found, labels, strict=True)
    ]


def _shot(picture: pb.Picture, number: int) -> Shown:
    time = f"{picture.at.ToTimedelta().total_seconds():.1f}" if number else ""
    return Shown(picture.picture_id, str(number or ""), embedded(picture.data), time=time)


def probe_of(pictures: Sequence[pb.Picture]) -> Markup:
    """Return the probe of a list, "" where the server has none."""
    return next((embedded(one.data) for one in pictures if one.role == pb.PICTURE_ROLE_PROBE), Markup())


Ellipse = tuple[float, float, float, float]
# Middle, half width and half height in percent of a picture. Pictures are upright, the middle of the eyes at (50, 40),
# 20 between them (`fr_training.build.pictures`); faces reach from 14 to 76 (there) and are 44 wide. Lines and marks can
# be anywhere: they are only named.
PLACES: Mapping[str, Sequence[Ellipse]] = {
    "face_shape": ((50, 45, 25, 34),),
    "forehead": ((50, 22, 19, 9),),
    "brows": ((50, 33.5, 19, 4.5),),
    "eyes": ((50, 40, 18, 5),),
    "nose": ((50, 46, 8, 10),),
    "cheeks": ((35, 53, 8, 9), (65, 53, 8, 9)),
    "mouth": ((50, 63, 12, 5.5),),
    "jaw": ((50, 65, 23, 13),),
    "chin": ((50, 74, 9, 6),),
    "ears": ((25.5, 45, 5, 10), (74.5, 45, 5, 10)),
}


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The landmarks of the faces of a photo: middle and radius of each; the longer side of the photo is 100."""

    width: float
    height: float
    points: tuple[tuple[float, float, float], ...]


def landmarks_of(found: recognition_pb2.DetectResponse) -> Landmarks:
    """Return the landmarks of every face, five each."""
    scale = 100 / max(found.image_width, found.image_height)
    points: list[tuple[float, float, float]] = []
    for face in found.faces:
        of = face.landmarks
        radius = round(max(scale * abs(of.right_eye.x - of.left_eye.x) / 16, 0.3), 2)
        five = (of.left_eye, of.right_eye, of.nose, of.mouth_left, of.mouth_right)
        points += ((round(scale * one.x, 2), round(scale * one.y, 2), radius) for one in five)
    return Landmarks(round(scale * found.image_width, 2), round(scale * found.image_height, 2), tuple(points))


def crop_of(original: bytes, box: tuple[int, int, int, int]) -> bytes | None:
    """Return a part of a photo, (x, y, width, height), as a portable pixmap; None if it is not within."""
    x, y, width, height = box
    with Image.open(io.BytesIO(original)) as photo:
        if min(x, y) < 0 or min(width, height) < 1 or x + width > photo.width or y + height > photo.height:
            return None
        made = io.BytesIO()
        photo.convert("RGB").crop((x, y, x + width, y + height)).save(made, "PPM")
    return made.getvalue()


# A line of an export of the audit: the record is hashed as it stands.
_HEAD = re.compile(r'\{"after":\d+,"chain_id":"([0-9a-f]{32})","hash":"([0-9a-f]{64})","v":\d+\}')
_LINE = re.compile(r'\{"hash":"([0-9a-f]{64})","record":(.*)\}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """A record of custody: its number, its text, its hash, and the hash computed from it and from the one before."""

    number: int
    text: str
    written: str
    computed: str


def custody(files: Sequence[pb.QuestionFile]) -> list[Row]:
    """Return the records of an evidence exercise with both hashes of each; none where they cannot be read.

    The hash of a record is that of `fr_core.storage.audit.chain`. Which of them is wrong is for the trainee to see.
    """
    lines = next((one.text.splitlines() for one in files if one.name == RECORDS), [])
    head = _HEAD.fullmatch(lines[0]) if lines else None
    if head is None:
        return []
    chain_id, before = head[1].encode(), bytes.fromhex(head[2])
    rows = []
    for line in lines[1:]:
        if (found := _LINE.fullmatch(line)) is not None:
            body = sha256(found[2].encode()).digest()
            computed = sha256(b"fr-core audit 1\0" + chain_id + before + body).hexdigest()
            said: Any = json.loads(found[2])
            rows.append(Row(int(said["seq"]), found[2], found[1], computed))
            before = bytes.fromhex(found[1])
    return rows
