"""The people of a course that is measured: faces of the registry's two group photos, each with its mirror image."""

from __future__ import annotations

import io
from pathlib import Path

import grpc
import PIL.Image
import PIL.ImageOps

from fr_api.v1 import common_pb2, recognition_pb2, recognition_pb2_grpc
from fr_core.packs.download import NullProgress
from fr_core.packs.photos import fetch_photos, photos_folder

GROUPS = ("solvay", "t1")

# Room around a face, as a share of its box on each side: enough for the detector to find it again, and little enough
# that no neighbour fills more of the picture.
_MARGIN = 0.35


def cut_out_people(channel: grpc.Channel, root: Path) -> int:
    """Make a folder for each face of the group photos, with the face cut out and its mirror image.

    To the model both are much alike. That makes the course an easy one, and changes nothing of what is measured.

    Args:
        channel: to a server, which finds the faces.
        root: folder that gets the folders.

    Returns:
        How many people there are.

    Raises:
        FetchFailed: a photo could not be had.
    """
    photos = fetch_photos(photos_folder(), NullProgress())
    detect = recognition_pb2_grpc.RecognitionServiceStub(channel).Detect
    number = 0
    for key in GROUPS:
        data = photos[key].read_bytes()
        with PIL.Image.open(io.BytesIO(data)) as opened:
            group = PIL.ImageOps.exif_transpose(opened).convert("RGB")
        for face in detect(recognition_pb2.DetectRequest(image=common_pb2.Image(data=data))).faces:
            _write(group.crop(around(face.box, group.size)), root / f"person-{number:03}")
            number += 1
    return number


def around(box: common_pb2.BoundingBox, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square around a face: left, top, right, bottom in pixels, within a photo of that width and height."""
    half = max(box.right - box.left, box.bottom - box.top) * (0.5 + _MARGIN)
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    width, height = size
    return max(0, round(x - half)), max(0, round(y - half)), min(width, round(x + half)), min(height, round(y + half))


def _write(face: PIL.Image.Image, folder: Path) -> None:
    folder.mkdir(parents=True)
    face.save(folder / "face.png")
    PIL.ImageOps.mirror(face).save(folder / "mirrored.png")
