"""Draws and shows the picture of the present trial: one file, replaced by each trial, in a folder of the process."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageOps

from fr_api.v1 import training_pb2
from fr_client.cli.drawing import Font, Photo, open_photo
from fr_client.cli.files import require_drawing
from fr_client.cli.show import shown as shown_path
from fr_client.cli.state import Unusable
from fr_client.cli.train.labels import Shown
from fr_client.private import private_file

# In pixels: fits a common screen with room for a window's frame.
WIDTH, HEIGHT = 1760, 920
GAP, HEAD = 20, 40
LARGEST, SMALLEST, PROBE = 640, 150, 480
# A grey between the lightness of faces and of their background, so that no tile looks brighter for it.
GROUND, INK, PROBE_INK = (118, 118, 118), (255, 255, 255), (255, 224, 130)


@dataclass(frozen=True, slots=True)
class Layout:
    """The (width, height) of a picture, and (left, top, side) of each tile, its label above it; in pixels."""

    size: tuple[int, int]
    tiles: tuple[tuple[int, int, int], ...]


def compose(shown: Sequence[Shown]) -> Photo:
    """Return one picture of all photos; raises `Unusable` if a photo cannot be decoded."""
    found = layout([one.is_probe for one in shown])
    picture = Image.new("RGB", found.size, GROUND)
    pen, text = ImageDraw.Draw(picture), Font(26)
    for one, (left, top, side) in zip(shown, found.tiles, strict=True):
        # The photos of trials are small squares: smooth enlargement keeps pixels from looking like features.
        fitted = ImageOps.contain(open_photo(one.data), (side, side), Image.Resampling.LANCZOS)
        picture.paste(fitted, (left + (side - fitted.width) // 2, top + (side - fitted.height) // 2))
        ink = PROBE_INK if one.is_probe else INK
        pen.text((left + side / 2, top - HEAD / 2), text.fitted(one.label, side), fill=ink, font=text.font, anchor="mm")
    return picture


def layout(probes: Sequence[bool]) -> Layout:
    """Place tiles: a probe on the left, the others in a grid as large as the screen allows.

    `probes` says of each tile whether it is the probe; at most one is, and it comes first.
    """
    others = len(probes) - sum(probes)
    if not others:
        side = min(LARGEST, HEIGHT - HEAD - 2 * GAP)
        return Layout((side + 2 * GAP, side + HEAD + 2 * GAP), ((GAP, GAP + HEAD, side),))
    begin = GAP + (PROBE + 2 * GAP if any(probes) else 0)
    columns, side = _grid(others, WIDTH - begin - GAP, HEIGHT - 2 * GAP)
    places = [divmod(number, columns) for number in range(others)]
    tiles = [(begin + c * (side + GAP), GAP + HEAD + r * (side + HEAD + GAP), side) for r, c in places]
    if any(probes):
        tiles.insert(0, (GAP, GAP + HEAD, PROBE))
    width = max(left + one for left, _, one in tiles) + GAP
    height = max(top + one for _, top, one in tiles) + GAP
    return Layout((width, height), tuple(tiles))


def _grid(tiles: int, width: int, height: int) -> tuple[int, int]:
    """Return the number of columns with the largest tiles, and their side."""

    def side(columns: int) -> int:
        rows = -(-tiles // columns)
        across = (width - (columns - 1) * GAP) // columns
        down = (height - rows * HEAD - (rows - 1) * GAP) // rows
        return max(SMALLEST, min(across, down, LARGEST))

    # For equal sides the most columns, but never so many that the smallest tiles exceed the width.
    fitting = max(1, (width + GAP) // (SMALLEST + GAP))
    best = max(range(1, min(tiles, fitting) + 1), key=lambda columns: (side(columns), columns))
    return best, side(best)


NAME = "trial.png"
# Of an evidence exercise, beside the picture.
ORIGINAL, KEPT = "trial-original.jpg", ("trial-records.jsonl", "trial-public.pem")
PREFIX = "fr-train-"
# Opens a file for people; raises `OSError` if it cannot.
Viewer = Callable[[Path], None]
Pictures = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the picture of the present trial; a temporary one if unset."),
]
WithViewer = Annotated[
    bool | None,
    typer.Option("--viewer/--no-viewer", help="Open pictures with the desktop's viewer; if unset, only on a terminal."),
]


class PictureFile:
    """Shows the picture of a trial with a viewer; None to say only its path."""

    def __init__(self, folder: Path, viewer: Viewer | None, say: Callable[[str], None]) -> None:
        self.path = folder / NAME
        self._viewer = viewer
        self._say = say
        self._last: tuple[Shown, ...] = ()
        self._kept: dict[str, bytes] = {}

    def show(self, shown: Sequence[Shown]) -> None:
        """Draw, write and open a picture, unless it is the present one; without photos, remove the picture.

        Raises `Unusable` if a photo cannot be decoded, or the picture cannot be written.
        """
        if tuple(shown) == self._last:
            return
        if not shown:
            self.clear()
            return
        from fr_client.cli.train.picture_file import compose

        picture = compose(shown)
        try:
            with private_file(self.path, replace=True) as file:
                picture.save(file, "PNG")
        except OSError as error:
            raise Unusable(
                "PICTURE_UNWRITABLE", f"{shown_path(self.path)} cannot be written: {error.strerror}."
            ) from error
        self._last = tuple(shown)
        self._say(f"Picture: {shown_path(self.path)}")
        if self._viewer is None:
            return
        try:
            self._viewer(self.path)
        except OSError as error:
            self._say(f"No viewer starts ({error.strerror}): open the picture yourself.")
            self._viewer = None

    def keep_evidence(self, trial: training_pb2.Trial | training_pb2.GetClassItemResponse) -> None:
        """Keep the files of an evidence exercise, of no other, as `keep` does."""
        if trial.exercise != training_pb2.EXERCISE_EVIDENCE:
            return
        self.keep(ORIGINAL, trial.pictures[0].data)
        for one in trial.question.files:
            if one.name in KEPT:  # a server chooses no other file of this machine
                self.keep(one.name, one.text.encode())

    def keep(self, name: str, data: bytes) -> None:
        """Write a file of the trial beside its picture, and say where; raises `Unusable` if it cannot be written.

        It stays until another trial has one of that name, or the picture goes.
        """
        if self._kept.get(name) == data:
            return
        path = self.path.with_name(name)
        try:
            with private_file(path, replace=True) as file:
                file.write(data)
        except OSError as error:
            raise Unusable("PICTURE_UNWRITABLE", f"{shown_path(path)} cannot be written: {error.strerror}.") from error
        self._kept[name] = data
        self._say(f"File: {shown_path(path)}")

    def clear(self) -> None:
        """Remove the picture, and the files beside it."""
        self._last = ()
        for path in (self.path, *map(self.path.with_name, self._kept)):
            path.unlink(missing_ok=True)
        self._kept = {}


@contextmanager
def picture_file(folder: Path | None, viewer: Viewer | None, say: Callable[[str], None]) -> Iterator[PictureFile]:
    """Show pictures during the block, and leave none behind; the arguments are those of `PictureFile`.

    The folder is made if necessary; None for a temporary one. Raises `Unusable` if Pillow is missing, or the folder
    cannot be made.
    """
    with ExitStack() as stack:
        try:
            made = Path(stack.enter_context(_own_folder())) if folder is None else folder
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            where = "A temporary folder" if folder is None else shown_path(folder)
            raise Unusable("FILE_UNWRITABLE", f"{where} cannot be made: {error.strerror}.") from error
        shows = PictureFile(made, viewer, say)
        stack.callback(shows.clear)
        require_drawing(shows.path)
        yield shows


def _own_folder() -> AbstractContextManager[str | Path]:
    if sys.platform == "win32":  # which has no such locks: nothing deletes the folders of killed processes
        return tempfile.TemporaryDirectory(prefix=PREFIX)
    from fr_files.scratch import scratch_folder

    return scratch_folder(PREFIX)


def chosen_viewer(wanted: bool | None) -> Viewer | None:
    """Return the viewer of the desktop if it is wanted; if that is unset, only on a terminal."""
    return desktop_viewer() if (sys.stdin.isatty() if wanted is None else wanted) else None


def desktop_viewer(environment: Mapping[str, str] = os.environ) -> Viewer | None:
    """Return the viewer of the desktop; None without a desktop."""
    if sys.platform == "win32":
        return os.startfile
    if sys.platform == "darwin":
        return partial(_open, "open")
    if environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        found = shutil.which("xdg-open")
        return None if found is None else partial(_open, found)
    return None


def _open(program: str, path: Path) -> None:
    """Start a program with the path, without waiting for it."""
    nothing = subprocess.DEVNULL
    # In a session of its own: Ctrl-C must not end a viewer, nor may it write between the questions.
    started = subprocess.Popen(
        [program, str(path)], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    # On some desktops the program runs until the window closes; a thread waits for its end.
    threading.Thread(target=started.wait, daemon=True).start()
