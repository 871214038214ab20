"""The photos of candidates: those that the gallery keeps, else found among the files that were enrolled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from fr_api.v1 import gallery_pb2
from fr_client.cli import draw
from fr_client.cli.photos import read_photo
from fr_client.cli.show import shown
from fr_client.cli.sources import is_photo, read_manifest
from fr_client.cli.state import Unusable
from fr_client.client import Client
from fr_client.errors import FrApiError
from fr_client.requests import MAX_PHOTO_BYTES, Purpose
from fr_core.reading import read_whole


def crops(
    client: Client,
    gallery_id: str,
    answer: gallery_pb2.SearchResponse,
    source: Path | None,
    purpose: Purpose | None,
    case: str,
) -> dict[int, draw.Photo]:
    """Return the face of each candidate's photo, by template id.

    Args:
        client: reads what the gallery keeps.
        gallery_id: that was searched.
        answer: of the search.
        source: folder or manifest of the photos; None = the photos that the gallery keeps.
        purpose: of the search.
        case: the reference of its case.
    """
    shown_ids = sorted({one.template_id for result in answer.results for one in result.candidates})
    if source is not None:
        get_subject = partial(client.get_subject, gallery_id, purpose=purpose, case_reference=case)
        return _found(client, answer, source, get_subject)
    if not client.get_gallery(gallery_id).keeps_photos:
        return {}
    get_template = partial(client.get_template, gallery_id, photo=True, purpose=purpose, case_reference=case)
    kept = {number: get_template(number) for number in shown_ids}
    return {number: _largest_face(client, one.photo.data) for number, one in kept.items() if one.HasField("photo")}


def _found(
    client: Client,
    answer: gallery_pb2.SearchResponse,
    source: Path,
    get_subject: Callable[[str], gallery_pb2.Subject],
) -> dict[int, draw.Photo]:
    sha256_of: dict[int, str] = {}
    subject_ids = {one.subject_id for result in answer.results for one in result.candidates}
    for subject_id in sorted(subject_ids):
        sha256_of |= {one.template_id: one.image_sha256 for one in get_subject(subject_id).templates}
    shown_ids = {one.template_id for result in answer.results for one in result.candidates}
    wanted = {sha256_of[number] for number in shown_ids if sha256_of.get(number)}
    paths = find_photos(source, wanted, subject_ids)
    made: dict[int, draw.Photo] = {}
    for number in sorted(shown_ids):
        path = paths.get(sha256_of.get(number, ""))
        if path is not None:
            made[number] = _largest_face(client, read_photo(path))
    return made


def find_photos(source: Path, wanted: Iterable[str], subject_ids: Iterable[str] = ()) -> dict[str, Path]:
    """Find photos by the sha256 of their files, below a folder or in a manifest.

    Args:
        source: a folder, which is searched through and through, or a manifest of `fr enrol`.
        wanted: sha256 of the photos, 64 hexadecimal digits each.
        subject_ids: names of folders that are looked into first, for speed.

    Returns:
        The paths of those that were found, by sha256.
    """
    missing = set(wanted)
    found: dict[str, Path] = {}
    for path in _photo_paths(source, frozenset(subject_ids)):
        if not missing:
            break
        try:
            sha256 = hashlib.sha256(read_whole(path, MAX_PHOTO_BYTES)).hexdigest()
        except OSError:
            continue  # a photo that cannot be read is drawn as one that was not found
        if sha256 in missing:
            missing.remove(sha256)
            found[sha256] = path
    return found


def _photo_paths(source: Path, first: frozenset[str]) -> Iterator[Path]:
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if is_photo(path))
        yield from sorted(paths, key=lambda path: path.parent.name not in first)
        return
    try:
        photos = read_manifest(source).photos
    except OSError as error:
        raise Unusable("FILE_UNREADABLE", f"{shown(source)} cannot be read: {error.strerror}.") from error
    yield from (photo.path for photo in sorted(photos, key=lambda photo: photo.subject_id not in first))


def _largest_face(client: Client, data: bytes) -> draw.Photo:
    """Return the face that an enrolment took from a photo: its only one, or the largest."""
    photo = draw.open_photo(data)
    try:
        faces = client.detect(data).faces
    except FrApiError:
        return photo  # this server does not take the photo any more: it is shown as a whole
    return draw.face_crop(photo, faces[0].box) if faces else photo
