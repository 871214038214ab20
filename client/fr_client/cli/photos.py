"""Files on this machine: photos that are read, and pictures that are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fr_client.cli.saving import read_file
from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_client.requests import MAX_PHOTO_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image


def read_photo(path: Path) -> bytes:
    """Return the bytes of a photo; raises `Unusable` if it is empty, and as `read_file` does."""
    data = read_file(path, MAX_PHOTO_BYTES)
    if not data:
        raise Unusable("FILE_UNREADABLE", f"{shown(path)} is empty.")
    return data


def require_drawing(target: Path | None, *sources: Path | None) -> None:
    """Raise `Unusable` before any work where a picture could not be drawn or written, or would replace a photo.

    Args:
        target: the picture to write; None = none is asked for.
        sources: photos and folders of photos that the command reads.
    """
    if target is None:
        return
    try:
        import PIL.Image
    except ModuleNotFoundError as error:
        raise Unusable(
            "DRAWING_UNAVAILABLE",
            "Drawing needs Pillow, which is not installed; in a clone of FR Core: pip install '.[draw]'.",
        ) from error
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise Unusable("PICTURE_UNWRITABLE", f"{shown(target)} must end in .png, .jpg or .webp.")
    if not target.parent.is_dir():
        raise Unusable("PICTURE_UNWRITABLE", f"{shown(target)} cannot be written: its folder does not exist.")
    if target.exists() and any(_holds(source, target) for source in sources if source is not None):
        raise Unusable("PICTURE_UNWRITABLE", f"{shown(target)} is one of the photos themselves; choose another name.")
    PIL.Image.init()


def _holds(source: Path, target: Path) -> bool:
    return source.resolve() in (target.resolve(), *target.resolve().parents)


def write_picture(picture: Image, target: Path) -> None:
    """Write a picture in the format that the name ends in, and say so on standard error."""
    try:
        picture.save(target)
    except OSError as error:
        raise Unusable("PICTURE_UNWRITABLE", f"{shown(target)} cannot be written: {error.strerror}.") from error
    typer.echo(f"Wrote {shown(target)}", err=True)
