"""Lists the comparisons that a model got most wrong, with photos if a report may show them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image

from fr_core.errors import InputRefused
from fr_core.imaging import ImageLimits, decode
from fr_evaluation.html import Html, image, paragraph, table
from fr_evaluation.report import Report
from fr_files.reading import read_at_most
from fr_locales.messages import Message, message

# (width, height) in pixels that a picture fills at most: as high as an aligned face.
BOX = (224, 112)
QUALITY = 75


def thumbnail(path: Path, limits: ImageLimits) -> str | None:
    """The photo as a small JPEG in a data: URI; None where it cannot be read as a file, or `limits` refuse it."""
    try:
        image = decode(read_at_most(path, limits.max_bytes), limits)
    except (OSError, InputRefused):
        return None
    small = PIL.Image.fromarray(image.pixels)
    small.thumbnail(BOX)
    file = io.BytesIO()
    small.save(file, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


# Errors that are listed one by one.
HARDEST = 20


@dataclass(frozen=True, slots=True)
class Error:
    """A comparison of photos `a` and `b` that came out on the wrong side; `what` says what it is."""

    a: Path
    b: Path
    what: Message
    similarity: float


def hardest(
    report: Report, errors: Sequence[Error], about: Message, header: tuple[Message, Message], thumbnails: bool | None
) -> str:
    """A table of at most `HARDEST` errors as HTML, in their order, below a paragraph about them.

    `header` says what the two photos are, and what `Error.what` says. `thumbnails` says whether the photos are shown;
    None = as the manifest of the set says.
    """
    shown = report.dataset.manifest.shows_photos if thumbnails is None else thumbnails
    photos = [_photos(error, report) if shown else Html() for error in errors]
    rows = [
        (picture, _names(error, report), error.what, f"{error.similarity:.3f}")
        for error, picture in zip(errors, photos, strict=True)
    ]
    head = (message("evaluation.hardest.photos"), *header, message("evaluation.hardest.similarity"))
    first = 0 if any(photos) else 1
    return (
        paragraph(about)
        + (paragraph(_why_not_shown(thumbnails, shown)) if first and rows else "")
        + table(head[first:], [row[first:] for row in rows])
    )


def _photos(error: Error, report: Report) -> Html:
    names = message("evaluation.hardest.first"), message("evaluation.hardest.second")
    uris = (thumbnail(photo, report.settings.images) for photo in (error.a, error.b))
    return Html("".join(image(uri, name) for uri, name in zip(uris, names, strict=True) if uri))


def _why_not_shown(thumbnails: bool | None, shown: bool) -> Message:
    if shown:
        return message("evaluation.hardest.no_files")
    if thumbnails is None:
        return message("evaluation.hardest.not_allowed")
    return message("evaluation.hardest.not_wanted")


def _names(error: Error, report: Report) -> Message:
    first, second = (photo.relative_to(report.dataset.root).as_posix() for photo in (error.a, error.b))
    return message("evaluation.hardest.both", first=first, second=second)
