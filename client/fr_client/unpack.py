"""Turns response messages into values, and the data of a subject into an archive, for both clients and the command."""

import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from fr_api.v1 import evaluation_pb2, gallery_pb2
from fr_client.private import private_file


def message_keys(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it: protobuf's mapping, with the names of the .proto files.

    It has every field except optional ones that are not set; 64-bit integers are strings, and enums are names.
    """
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def result(field: str) -> Callable[[Any], Any]:
    """Return the function that reads the response to an item of a stream or a batch: its refusal, or a field."""
    return lambda response: response.refusal if response.WhichOneof("result") == "refusal" else getattr(response, field)


@dataclass(frozen=True, slots=True)
class FileOfReport:
    """A file of a report, UTF-8, and the description of the report, which lists its files."""

    report: evaluation_pb2.ReportSummary
    content: bytes


def whole_file(parts: Iterable[evaluation_pb2.GetReportResponse]) -> FileOfReport:
    """Return the file from all messages of the answer."""
    report, content = evaluation_pb2.ReportSummary(), bytearray()
    for part in parts:
        if part.WhichOneof("part") == "report":
            report = part.report
        content += part.content
    return FileOfReport(report, bytes(content))


_README = """The data of one person in a gallery of FR Core.

subject.json      the id, the name and the metadata, and a description of each template
templates/N.json  template N, with its embedding and the model that made it; an operational gallery leaves the
                  embedding out
photos/N.EXT      the photo of template N, if the gallery keeps photos
"""
_ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}
_BRANDS = {b"ftypavif": "avif", **dict.fromkeys((b"ftypheic", b"ftypheix", b"ftypmif1"), "heic")}


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
    named = (ending for head, ending in _ENDINGS.items() if photo.startswith(head))
    return next(named, _BRANDS.get(photo[4:12], "bin"))
