"""Reads the photos for `fr enrol`: a folder for each subject, a folder of unnamed photos, or a CSV manifest."""

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from fr_client.cli.files import STDIN, reading
from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_files.reading import open_rows

# Files to send. The server decides which formats it accepts.
PHOTO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "heic", "heif", "hif"),
        *("gif", "bmp", "tif", "tiff", "jp2", "j2k"),
    )
)

SUBJECT_COLUMN, PATH_COLUMN, NAME_COLUMN = "subject_id", "path", "display_name"


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo to enrol, the id of the person on it, a name for people ("" for none), and metadata."""

    path: Path
    subject_id: str
    display_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """The photos of a source, in its order; ids of folders without a photo; and all other files and folders."""

    photos: tuple[PhotoFile, ...]
    empty_subjects: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()


def read_source(path: Path, unnamed: bool = False) -> PhotoSet:
    """Read a folder of subjects, a CSV manifest, or, if `unnamed`, a folder of photos of unknown people.

    Raises `Unusable` if it cannot be read, or holds no photo.
    """
    with reading(path):
        found = (read_unnamed if unnamed else read_folder if path.is_dir() else read_manifest)(path)
    if not found.photos:
        remedy = (
            "Name a folder with photos in it, or in its folders."
            if unnamed
            else "A folder needs a folder for each subject with photos in it: FOLDER/SUBJECT/PHOTO.jpg. For photos "
            "of unknown people, use --unnamed."
        )
        raise Unusable("NO_PHOTOS", f"{shown(path)} holds no photo to enrol. {remedy}")
    return found


def read_unnamed(folder: Path) -> PhotoSet:
    """Read the photos of a folder and of all folders in it: each is a subject, whose id is its path in the folder.

    Skips names that begin with a dot, and does not follow links to folders.
    """
    photos: list[PhotoFile] = []
    ignored: list[Path] = []
    folders = [folder]
    while folders:
        inner: list[Path] = []
        for entry in _entries(folders.pop()):
            if is_photo(entry):
                subject_id = unicodedata.normalize("NFC", entry.relative_to(folder).as_posix())
                photos.append(PhotoFile(entry, subject_id))
            elif entry.is_dir() and not entry.is_symlink():
                inner.append(entry)
            else:
                ignored.append(entry)
        folders += reversed(inner)
    return PhotoSet(tuple(photos), (), tuple(ignored))


def read_folder(folder: Path) -> PhotoSet:
    """Read FOLDER/SUBJECT/PHOTO: the name of a folder, in Unicode's NFC, is the id of its subject.

    Skips names that begin with a dot.
    """
    photos: list[PhotoFile] = []
    empty: list[str] = []
    ignored: list[Path] = []
    for entry in _entries(folder):
        if not entry.is_dir():
            ignored.append(entry)
            continue
        subject_id = unicodedata.normalize("NFC", entry.name)
        before = len(photos)
        for file in _entries(entry):
            if is_photo(file):
                photos.append(PhotoFile(file, subject_id))
            else:
                ignored.append(file)
        if len(photos) == before:
            empty.append(subject_id)
    return PhotoSet(tuple(photos), tuple(empty), tuple(ignored))


def read_manifest(file: Path) -> PhotoSet:
    """Read a CSV file in UTF-8 with the header `subject_id,path[,display_name][,...]`.

    Paths are relative to the folder of the manifest. Any other column is metadata of the subject, without empty cells.
    Raises `Unusable`, which names the line, if the file breaks these rules.
    """
    with open_rows(file) as rows:
        try:
            return PhotoSet(tuple(_rows(rows, file)))
        except UnicodeDecodeError as error:
            raise _broken(file, None, "it is not text in UTF-8") from error
        except csv.Error as error:
            raise _broken(file, None, str(error)) from error


def is_photo(path: Path) -> bool:
    """Return whether a file has the name of a photo."""
    return path.suffix.lower() in PHOTO_SUFFIXES and path.is_file()


def tell_passed_over(source: Path, ignored: Sequence[Path]) -> None:
    """Say on standard error how many entries of a folder were passed over, and why, if there are any."""
    if ignored:
        reasons = ", ".join(f"{why} ({count})" for why, count in sorted(Counter(map(_why, ignored)).items()))
        typer.echo(f"Passed over in {shown(source)}: {reasons}.", err=True)


def _why(path: Path) -> str:
    if is_photo(path):
        return "photos outside the folder of a subject"
    if path.is_file():
        return "files without the name of a photo, such as .jpg"
    if path.is_symlink():
        return "links to a folder or to nothing"
    return "folders inside the folder of a subject" if path.is_dir() else "pipes, sockets and devices"


def _rows(reader: Iterator[list[str]], file: Path) -> Iterator[PhotoFile]:
    header = [name.strip() for name in next(reader, [])]
    for needed in (SUBJECT_COLUMN, PATH_COLUMN):
        if needed not in header:
            raise _broken(file, 1, f"the header needs the column {needed!r}, such as subject_id,path,display_name")
    if "" in header or len(set(header)) < len(header):
        raise _broken(file, 1, "a column of the header is empty or occurs twice")
    for number, cells in enumerate(reader, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise _broken(file, number, f"there are {len(cells)} cells under {len(header)} columns")
        row = dict(zip(header, cells, strict=True))
        subject_id, path = row.pop(SUBJECT_COLUMN).strip(), row.pop(PATH_COLUMN).strip()
        if not subject_id or not path:
            raise _broken(file, number, f"{SUBJECT_COLUMN} or {PATH_COLUMN} is empty")
        name = row.pop(NAME_COLUMN, "").strip()
        photo = file.parent / path
        photo = photo.absolute() if photo == STDIN else photo
        yield PhotoFile(photo, subject_id, name, {key: value for key, value in row.items() if value})


def _broken(file: Path, row: int | None, what: str) -> Unusable:
    where = f", row {row}" if row is not None else ""
    return Unusable("MANIFEST_INVALID", f"The manifest {shown(file)}{where} cannot be used: {what}.")


def _entries(folder: Path) -> list[Path]:
    """Return the entries of a folder by name, without those that begin with a dot."""
    return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)
