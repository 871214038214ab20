"""Writes all data of a subject into one archive, for the person who asks for it; for both clients."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fr_api.v1 import gallery_pb2
from fr_client.private import private_file
from fr_client.unpack import message_keys

_README = """The data of one person in a gallery of FR Core.

subject.json      the id, the name and the metadata, and a description of each template
templates/N.json  template N, with its embedding and the model that made it; an operational gallery leaves the
                  embedding out
photos/N.EXT      the photo of template N, if the gallery keeps photos
"""
_ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}


@dataclass(frozen=True, slots=True)
class Exported:
    """The numbers of templates and photos in an archive."""

    templates: int
    photos: int


def write_export(
    subject: gallery_pb2.Subject, template: Callable[[int], gallery_pb2.GetTemplateResponse], target: Path
) -> Exported:
    """Write the archive, for its owner alone, complete or absent.

    `template` reads a template; its errors end the export. Raises `FileExistsError` if there is a file of that name,
    and `OSError` if the archive cannot be written.
    """
    photos = 0
    with private_file(target, replace=False) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README)
        archive.writestr("subject.json", json.dumps(message_keys(subject), indent=2))
        for one in subject.templates:
            kept = template(one.template_id)
            keys = message_keys(kept)
            keys.pop("photo", None)
            archive.writestr(f"templates/{one.template_id}.json", json.dumps(keys, indent=2))
            if kept.HasField("photo"):
                name = f"photos/{one.template_id}.{photo_ending(kept.photo.data)}"
                archive.writestr(name, kept.photo.data, zipfile.ZIP_STORED)
                photos += 1
    return Exported(len(subject.templates), photos)


def photo_ending(photo: bytes) -> str:
    """Return the ending of a photo's file name, such as "jpg", by its first bytes; "bin" for an unknown format."""
    return next((ending for head, ending in _ENDINGS.items() if photo.startswith(head)), "bin")
