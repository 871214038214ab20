"""Reads and writes files for commands, and reports what prevents it."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from fr_client.cli.show import shown, waiting
from fr_client.cli.state import Unusable
from fr_client.private import private_file, private_folder, private_opener
from fr_client.requests import MAX_PHOTO_BYTES
from fr_files.reading import read_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from fr_client.sync.client import Client

MAX_TEXT_BYTES = 2**20
STDIN = Path("-")  # stands for standard input; `typed_path` makes another path of a file with this name
# Writes the cells of a row.
WriteRow = Callable[[Sequence[str]], None]


def typed_path(text: str) -> Path:
    """Return the path of what somebody typed: only "-" is `STDIN`, and "./-" is the file of that name."""
    path = Path(text)
    return path.absolute() if path == STDIN and text != "-" else path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise `Unusable` if the block cannot write a file or folder."""
    try:
        yield
    except FileExistsError as error:
        raise Unusable("FILE_EXISTS", f"{shown(path)} is there already; choose another name.") from error
    except OSError as error:
        raise Unusable("FILE_UNWRITABLE", f"{shown(path)} cannot be written: {error.strerror}.") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise `Unusable` if the block cannot read a file or folder."""
    try:
        yield
    except OSError as error:
        where = shown(Path(error.filename)) if error.filename else shown(path)
        raise Unusable("FILE_UNREADABLE", f"{where} cannot be read: {error.strerror or error}.") from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a new file of mode 0600, complete or absent; raises `Unusable` if it exists or cannot be written."""
    with writing(path):
        if os.path.lexists(path):
            raise FileExistsError
        with waiting(f"Writing {shown(path)}"), private_file(path, replace=False) as file:
            yield file


def write_parts(path: Path, parts: Generator[bytes]) -> int:
    """Write a new file as `new_file` from the parts of an answer, which end with it; return its size in bytes."""
    with new_file(path) as file, closing(parts):
        file.writelines(parts)
    return path.stat().st_size


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a new folder of mode 0700, complete or absent; raises `Unusable` if it exists or cannot be made."""
    with writing(path), waiting(f"Writing {shown(path)}"), private_folder(path) as folder:
        yield folder


def require_new_folder(path: Path) -> None:
    """Raise `Unusable` before any work if `new_folder` cannot make a folder."""
    with writing(path):
        if os.path.lexists(path):
            raise FileExistsError
        Path(tempfile.mkdtemp(".part", ".fr-", path.parent)).rmdir()


def read_file(path: Path, most: int = MAX_TEXT_BYTES) -> bytes:
    """Return the bytes of a regular file; raises `Unusable` if it cannot be read, or has more than `most`."""
    with reading(path):
        return read_whole(path, most)


def read_text(path: Path, most: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file, without a byte order mark; raises `Unusable` as `read_file`, or if not text."""
    try:
        return read_file(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable("FILE_UNREADABLE", f"{shown(path)} is not text in UTF-8.") from error


def read_photo(path: Path, client: Client | None = None) -> bytes:
    """Return the bytes of a photo that `client` sends; say on standard error if the photo was scaled down.

    "-" is standard input. Raises the errors of `read_file` and `Client.fit_photo`, and `Unusable` if it is empty.
    """
    data = standard_input(MAX_PHOTO_BYTES) if path == STDIN else read_file(path, MAX_PHOTO_BYTES)
    name = "Standard input" if path == STDIN else shown(path)
    if not data:
        raise Unusable("FILE_UNREADABLE", f"{name} is empty; give the file of a photo.")
    sent = data if client is None else client.fit_photo(data)
    if client is not None and sent != data:
        typer.echo(f"{name} {_limit_exceeded(len(data), client)}, and is sent scaled down.", err=True)
    return sent


def _limit_exceeded(size: int, client: Client) -> str:
    """Return which limit of the server a photo of `size` bytes exceeds."""
    limits = client.server_info().limits
    if size > limits.max_image_bytes:
        return f"has {size:,} bytes, more than the server's limit of {limits.max_image_bytes:,}"
    return f"has more pixels than the server's limit of {limits.max_image_pixels:,}"


def standard_input(most: int) -> bytes:
    """Return the bytes of standard input; raises `Unusable` if it is a terminal or has more than `most`."""
    if sys.stdin is None or sys.stdin.isatty():
        raise Unusable("FILE_UNREADABLE", "Standard input is a terminal; send a file, such as with < photo.jpg.")
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        raise Unusable("FILE_UNREADABLE", f"Standard input has more than {most:,} bytes.")
    return data


def require_replaceable(path: Path, columns: Sequence[str]) -> None:
    """Raise `Unusable` if there is a file that is not a table with these columns."""
    head = ",".join(columns).encode()
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return
        with path.open("rb") as file:
            own = file.read(len(head) + 2).splitlines()[:1] == [head]
    except OSError:
        return  # writing it says what is wrong
    if not own:
        raise Unusable("FILE_EXISTS", f"{shown(path)} is another file, which stays as it is; choose another name.")


@contextmanager
def refused_file(path: Path | None, columns: Sequence[str]) -> Iterator[WriteRow]:
    """Open a CSV file of mode 0600 with a header; yield a function that writes a row at once.

    Replaces the table of an earlier run, but no other file. Writes nothing if `path` is None. Raises `Unusable` if the
    file cannot be written.
    """
    if path is None:
        yield lambda _: None
        return
    require_replaceable(path, columns)
    # For the owner alone: names of files are often names of people.
    with writing(path), open(path, "w", 1, "utf-8", errors="replace", newline="", opener=private_opener) as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        yield writer.writerow


def require_drawing(target: Path | None, *sources: Path | None) -> None:
    """Raise `Unusable` before any work if a picture cannot be drawn or written, or would replace a source."""
    if target is None:
        return
    require_pillow()
    fault = ""
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        fault = "must end in .png, .jpg or .webp."
    elif not target.parent.is_dir():
        fault = "cannot be written: its folder does not exist."
    elif target.exists() and any(_holds(one, target) for one in sources if one is not None):
        fault = "is one of the photos themselves; choose another name."
    if fault:
        raise Unusable("PICTURE_UNWRITABLE", f"{shown(target)} {fault}")


def require_pillow() -> None:
    """Raise `Unusable` if Pillow is not installed."""
    try:
        import PIL.Image
    except ModuleNotFoundError as error:
        raise Unusable(
            "DRAWING_UNAVAILABLE",
            "Drawing needs Pillow, which is not installed; in a clone of FR Core: pip install './client[draw]'.",
        ) from error
    PIL.Image.init()


def _holds(source: Path, target: Path) -> bool:
    return source.resolve() in (target.resolve(), *target.resolve().parents)


def write_picture(picture: Image, target: Path, tell: bool = True) -> None:
    """Write a picture of mode 0600 in the format of its name's ending; `tell` says so on standard error."""
    from PIL import Image

    try:
        with private_file(target, replace=True) as file:
            picture.save(file, Image.registered_extensions()[target.suffix.lower()])
    except OSError as error:
        raise Unusable("PICTURE_UNWRITABLE", f"{shown(target)} cannot be written: {error.strerror}.") from error
    if tell:
        typer.echo(f"Wrote {shown(target)}", err=True)
