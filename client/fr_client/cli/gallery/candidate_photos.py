"""Finds the photos of candidates: in the gallery, or among the enrolled files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from fr_api.v1 import gallery_pb2
from fr_client.cli import drawing
from fr_client.cli.files import read_photo, reading
from fr_client.cli.gallery import pictures
from fr_client.cli.gallery.photo_sources import is_photo, read_manifest
from fr_client.errors import FrApiError
from fr_client.requests import MAX_PHOTO_BYTES
from fr_client.sync.client import Client
from fr_client.words import Purpose
from fr_core.reading import read_whole


def crops(
    client: Client,
    gallery_id: str,
    answer: gallery_pb2.SearchResponse,
    source: Path | None,
    purpose: Purpose | None,
    case: str,
) -> dict[int, drawing.Photo]:
    """Return the face of each candidate's photo, by template id.

    The photos are in `source`, a folder or a manifest; None for those in the gallery.
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
    client: Client, answer: gallery_pb2.SearchResponse, source: Path, get_subject: Callable[[str], gallery_pb2.Subject]
) -> dict[int, drawing.Photo]:
    sha256_of: dict[int, str] = {}
    subject_ids = {one.subject_id for result in answer.results for one in result.candidates}
    for subject_id in sorted(subject_ids):
        sha256_of |= {one.template_id: one.image_sha256 for one in get_subject(subject_id).templates}
    shown_ids = {one.template_id for result in answer.results for one in result.candidates}
    wanted = {sha256_of[number] for number in shown_ids if sha256_of.get(number)}
    paths = find_photos(source, wanted, subject_ids)
    made: dict[int, drawing.Photo] = {}
    for number in sorted(shown_ids):
        path = paths.get(sha256_of.get(number, ""))
        if path is not None:
            made[number] = _largest_face(client, read_photo(path))
    return made


def find_photos(source: Path, wanted: Iterable[str], subject_ids: Iterable[str] = ()) -> dict[str, Path]:
    """Return the paths of photos by their sha256, from a folder with all its folders, or from a manifest of `fr enrol`.

    It first searches the folders of `subject_ids`, for speed.
    """
    missing = set(wanted)
    found: dict[str, Path] = {}
    for path in _photo_paths(source, frozenset(subject_ids)):
        if not missing:
            break
        try:
            sha256 = hashlib.sha256(read_whole(path, MAX_PHOTO_BYTES)).hexdigest()
        except OSError:
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


def _largest_face(client: Client, data: bytes) -> drawing.Photo:
    """Return the face that an enrolment takes from a photo: its only one, or the largest."""
    photo = drawing.open_photo(data)
    try:
        faces = client.detect(data).faces
    except FrApiError:
        return photo  # this server no longer accepts the photo: the picture shows all of it
    return pictures.face_crop(photo, faces[0].box) if faces else photo
