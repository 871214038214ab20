"""Everything that is kept of a subject as one archive, for the person who asks for it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from fr_client.cli.private import private_file
from fr_client.cli.show import message_keys
from fr_client.cli.state import Unusable
from fr_client.client import Client

_README = """What is kept of one person in a gallery of FR Core.

subject.json      the id, the name and the metadata, and a description of each template
templates/N.json  template N: the numbers that faces are compared by, and the model that made them
photos/N.EXT      the photo that template N was made from, where the gallery keeps photos
"""
_ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an archive holds."""

    templates: int
    photos: int


def write_export(client: Client, gallery_id: str, subject_id: str, target: Path) -> Exported:
    """Write the archive, for its owner alone; it is whole, or it is not there.

    Raises:
        FrApiError: the server refuses or fails.
        Unusable: the archive cannot be written, or is there already.
    """
    subject = client.get_subject(gallery_id, subject_id)
    photos = 0
    try:
        with private_file(target, replace=False) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", _README)
            archive.writestr("subject.json", json.dumps(message_keys(subject), indent=2))
            for template in subject.templates:
                kept = client.get_template(gallery_id, template.template_id)
                keys = message_keys(kept)
                keys.pop("photo", None)
                archive.writestr(f"templates/{template.template_id}.json", json.dumps(keys, indent=2))
                if kept.HasField("photo"):
                    name = f"photos/{template.template_id}.{_ending(kept.photo.data)}"
                    archive.writestr(name, kept.photo.data, zipfile.ZIP_STORED)
                    photos += 1
    except FileExistsError as error:
        raise Unusable("FILE_EXISTS", "The archive is there already; choose another name.") from error
    except OSError as error:
        raise Unusable("FILE_UNWRITABLE", f"The archive cannot be written: {error.strerror}.") from error
    return Exported(len(subject.templates), photos)


def _ending(photo: bytes) -> str:
    return next((ending for head, ending in _ENDINGS.items() if photo.startswith(head)), "bin")
