"""Answers several photos in one run: photos, folders, a list of paths, and standard input."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from fr_client.cli import files
from fr_client.cli.gallery.photo_sources import read_unnamed, tell_passed_over
from fr_client.cli.progress import progress
from fr_client.cli.show import console, counted, plain, print_line, shown
from fr_client.cli.state import (
    SOME_REFUSED,
    Unusable,
    argument,
    error_keys,
    fail,
    options_of,
    remedy_of,
    require_one_of,
)
from fr_client.errors import FrApiError

if TYPE_CHECKING:
    from PIL.Image import Image

    from fr_client.sync.client import Client

# Reasons that concern one photo, so the run goes on: those of `fr_core.errors.photos`, and that of its file.
OF_A_PHOTO = frozenset(
    {
        "UNDECODABLE",
        "UNSUPPORTED_FORMAT",
        "IMAGE_TOO_MANY_BYTES",
        "IMAGE_TOO_MANY_PIXELS",
        "IMAGE_TOO_COSTLY",
        "SEVERAL_FRAMES",
        "NO_FACE",
        "SEVERAL_FACES",
        "TOO_MANY_FACES",
        "TOO_SMALL",
        "LOW_QUALITY",
        "FILE_UNREADABLE",
    }
)
# Calls at the same time, in a run of several photos.
_AT_ONCE = 8
_MAX_LIST_BYTES = 64 * 2**20

PhotoPaths = Annotated[
    list[Path] | None,
    argument("PHOTO", "Photo, or folder with photos in it; - reads a photo from standard input.", files.typed_path),
]
Listed = Annotated[
    Path | None,
    typer.Option(
        "--list",
        metavar="FILE",
        help="A file with more photos, one path on each line; - is standard input.",
        parser=files.typed_path,
    ),
]
Brief = Annotated[bool, typer.Option("--brief", help="Print one line for each photo.")]
AsLines = Annotated[bool, typer.Option("--json", help="Print one JSON document, in one line, for each photo.")]


@dataclass(frozen=True, slots=True)
class Probes:
    """The photos of a run; `several` if the arguments may name more than one, as a folder does."""

    paths: tuple[Path, ...]
    several: bool


def find_probes(photos: Sequence[Path] | None, listed: Path | None, *others: Path) -> Probes:
    """Return the photos that PHOTO... and --list name, in their order; `others` are further files of the command.

    Raises `Unusable` if a folder or the list cannot be read, or holds no photo.
    """
    typed = list(photos or ())
    if not typed and listed is None:
        raise typer.BadParameter("Name a photo, a folder of photos, or - for standard input; or give --list FILE.")
    if [*typed, listed, *others].count(files.STDIN) > 1:
        raise typer.BadParameter("Standard input can be read once only; name - once.")
    paths: list[Path] = []
    for one in typed:
        paths += _in_folder(one) if one.is_dir() else (one,)
    if listed is not None:
        paths += _read_list(listed)
    return Probes(tuple(paths), listed is not None or len(typed) > 1 or typed[0].is_dir())


def _in_folder(folder: Path) -> Iterator[Path]:
    with files.reading(folder):
        found = read_unnamed(folder)
    tell_passed_over(folder, found.ignored)
    if not found.photos:
        raise Unusable("NO_PHOTOS", f"{shown(folder)} holds no photo. Name a folder with photos in it.")
    return (photo.path for photo in found.photos)


def _read_list(listed: Path) -> list[Path]:
    data = files.standard_input(_MAX_LIST_BYTES) if listed == files.STDIN else files.read_file(listed, _MAX_LIST_BYTES)
    if b"\0" in data:
        raise Unusable("LIST_INVALID", f"{shown(listed)} is no list: that is a text with the path of a photo a line.")
    lines = data.removeprefix(codecs.BOM_UTF8).splitlines()
    found = [files.typed_path(os.fsdecode(line)) for line in lines if line.strip()]
    if not found:
        raise Unusable("NO_PHOTOS", f"The list {shown(listed)} names no photo. Write the path of a photo in each line.")
    if files.STDIN in found:
        raise Unusable("LIST_INVALID", f"The list {shown(listed)} names -; name it on the command line instead.")
    return found


def pictures_to(
    target: Path | None, probes: Probes, *sources: Path | None
) -> Callable[[Path, Callable[[], Image]], None]:
    """Return the function that writes the picture of a photo: to `target`, or to a new folder if there are several.

    Raises the errors of `require_drawing`, and `Unusable` if the folder exists already.
    """
    if target is None:
        return lambda photo, draw: None
    if not probes.several:
        files.require_drawing(target, *probes.paths, *sources)
        return lambda photo, draw: files.write_picture(draw(), target)
    files.require_pillow()
    if os.path.lexists(target):
        raise Unusable("FILE_EXISTS", f"{shown(target)} is there already; several photos need a new folder.")
    numbers = {path: number for number, path in enumerate(probes.paths, start=1)}

    def write(photo: Path, draw: Callable[[], Image]) -> None:
        # Of bytes that every file system takes, and not too many of them.
        drawn, name = draw(), "stdin" if photo == files.STDIN else os.fsencode(photo.stem)[:200].decode(errors="ignore")
        with files.writing(target):
            target.mkdir(mode=0o700, exist_ok=True)
        files.write_picture(drawn, target / f"{numbers[photo]:04}-{name}.png", tell=False)

    return write


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a photo: the keys of its JSON, its line of `--brief`, the full text, and its notice.

    `shared` are sentences of the full text that answers to other photos have too. They are printed once, before the
    notice. `named`: the full text begins with the name of the photo.
    """

    keys: Mapping[str, Any]
    line: str
    show: Callable[[], None]
    notice: str = ""
    shared: Sequence[str] = ()
    named: bool = False


# Returns the answer to a photo: the bytes to send, and its path.
Ask: TypeAlias = Callable[[bytes, Path], Answered]


@dataclass(frozen=True, slots=True)
class Form:
    """The form of the answers; in JSON, `key` names the photo, and `names` are added to each document."""

    as_json: bool
    brief: bool
    key: str = "photo"
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_one_of(self.brief, self.as_json, "--brief", "--json")

    def print(self, photo: Path, answered: Answered, titled: bool) -> None:
        """Print an answer; if `titled`, the full text has the name of the photo as its title."""
        if self.as_json:
            print_line({**self.names, self.key: shown(photo), **answered.keys})
        elif self.brief:
            typer.echo(plain(f"{shown(photo)}: {answered.line}").plain)
        else:
            if titled and not answered.named:
                console().print(plain(shown(photo)), style="bold underline")
            answered.show()

    def print_refusal(self, photo: Path, error: FrApiError | Unusable) -> None:
        """Print the error of a photo."""
        if self.as_json:
            print_line({**self.names, self.key: shown(photo), "error": error_keys(error)})
        else:
            told = error.message.removeprefix(f"{shown(photo)} ")
            typer.echo(plain(f"{shown(photo)}: {error.reason}: {told}").plain)

    def print_apart(self) -> None:
        """Print what separates two answers."""
        if not (self.as_json or self.brief):
            typer.echo()

    def print_end(self, shared: Iterable[str], notice: str) -> None:
        """Print what the answers share."""
        if self.brief:
            typer.echo(notice, err=True, nl=bool(notice))
        elif not self.as_json:
            for sentence in shared:
                console().print(plain(sentence))
            if notice:
                console().print(plain(notice), style="italic")


def answer_each(
    context: typer.Context, client: Client, probes: Probes, form: Form, ask: Ask, draw: Path | None = None
) -> None:
    """Print the answers of `ask` to photos, in their order.

    If there are several, threads ask at the same time. A refusal of one of several photos is an answer too: the command
    goes on, and ends with exit status 3. Any other error ends the command. `draw` is the target of `pictures_to`.
    """
    if not probes.several:
        _answer_one(context, client, probes.paths[0], form, ask)
        return
    refused: list[str] = []
    shared: dict[str, None] = {}
    total, notice = len(probes.paths), ""
    with progress("Asking", "photos", total, beside_output=True) as advance, _asking(client, probes, ask) as answers:
        for number, (path, answer) in enumerate(answers, start=1):
            if number > 1:
                form.print_apart()
            try:
                answered = answer.result()
            except (FrApiError, Unusable) as error:
                if error.reason not in OF_A_PHOTO:
                    raise
                form.print_refusal(path, error)
                refused.append(error.reason)
            else:
                form.print(path, answered, titled=True)
                shared |= dict.fromkeys(answered.shared)
                notice = answered.notice
            advance(number, len(refused))
    if notice:
        form.print_apart()
    form.print_end(shared, notice)
    if draw is not None and draw.is_dir():
        typer.echo(f"The pictures are in {shown(draw)}.", err=True)
    if refused:
        for reason in dict.fromkeys(refused):
            if hint := remedy_of(reason, options_of(context)):
                typer.echo(f"{reason}: {hint}", err=True)
        were = "was" if len(refused) == 1 else "were"
        typer.echo(f"{len(refused):,} of {counted(total, 'photo')} {were} refused or could not be read.", err=True)
        raise typer.Exit(SOME_REFUSED)


def _answer_one(context: typer.Context, client: Client, path: Path, form: Form, ask: Ask) -> None:
    try:
        answered = ask(files.read_photo(path, client), path)
    except (FrApiError, Unusable) as error:
        if not (form.as_json and error.reason in OF_A_PHOTO):
            raise
        form.print_refusal(path, error)
        fail(error, options_of(context))
    form.print(path, answered, titled=False)
    form.print_end(answered.shared, answered.notice)


@contextmanager
def _asking(client: Client, probes: Probes, ask: Ask) -> Iterator[Iterator[tuple[Path, Future[Answered]]]]:
    """Yield each photo with its answer; the end of the block does not wait for running calls."""
    pool = ThreadPoolExecutor(_AT_ONCE)

    def answer(path: Path) -> Answered:
        return ask(files.read_photo(path, client), path)

    def ahead() -> Iterator[tuple[Path, Future[Answered]]]:
        waiting: list[tuple[Path, Future[Answered]]] = []
        for path in probes.paths:
            waiting.append((path, pool.submit(answer, path)))
            if len(waiting) > 2 * _AT_ONCE:
                yield waiting.pop(0)
        yield from waiting

    try:
        yield ahead()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
