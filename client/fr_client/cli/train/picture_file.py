"""Shows the picture of the present trial: one file that each trial replaces, in a folder that goes with the process."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.files import require_drawing
from fr_client.cli.show import shown as shown_path
from fr_client.cli.state import Unusable
from fr_client.cli.train.labels import Shown
from fr_client.private import private_file

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
        from fr_client.cli.train.pictures import compose

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
