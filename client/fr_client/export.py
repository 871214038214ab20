"""Everything that is kept of a subject as one archive, for the person who asks for it: shared by both clients."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fr_api.v1 import gallery_pb2
from fr_client.private import private_file
from fr_client.unpack import message_keys

_README = """What is kept of one person in a gallery of FR Core.

subject.json      the id, the name and the metadata, and a description of each template
templates/N.json  template N, with its embedding and the model that made it; an operational gallery leaves the
                  embedding out
photos/N.EXT      the photo that template N was made from, where the gallery keeps photos
"""
_ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an archive holds.

    Attributes:
        templates: how many.
        photos: how many; of galleries that keep none, 0.
    """

    templates: int
    photos: int


def write_export(
    subject: gallery_pb2.Subject, template: Callable[[int], gallery_pb2.GetTemplateResponse], target: Path
) -> Exported:
    """Write the archive, for its owner alone; it is whole, or it is not there.

    Args:
        subject: with all its templates.
        template: reads a template; what it raises ends the export.
        target: the file to write.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: the archive cannot be written.
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
    """Return how the name of a photo's file ends, such as "jpg", by its first bytes; "bin" of an unknown format."""
    return next((ending for head, ending in _ENDINGS.items() if photo.startswith(head)), "bin")
