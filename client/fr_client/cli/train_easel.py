"""Where the picture of the present trial lies, and what opens it: one file that each trial replaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fr_client.cli.photos import require_drawing
from fr_client.cli.show import shown as shown_path
from fr_client.cli.state import Unusable
from fr_client.cli.train_folder import temporary_folder
from fr_client.cli.train_labels import Shown
from fr_client.private import private_file

NAME = "trial.png"
# Opens a file for people; raises `OSError` where that cannot be done.
Viewer = Callable[[Path], None]


class Easel:
    """Shows the picture of a trial.

    Args:
        folder: where it lies.
        viewer: opens it; None = the path is told alone.
        say: shows a line.
    """

    def __init__(self, folder: Path, viewer: Viewer | None, say: Callable[[str], None]) -> None:
        self.path = folder / NAME
        self._viewer = viewer
        self._say = say
        self._last: tuple[Shown, ...] = ()

    def show(self, shown: Sequence[Shown]) -> None:
        """Draw, write and open what is shown; the same as before stays as it is, and nothing takes the picture away.

        Raises:
            Unusable: a photo cannot be decoded, or the picture cannot be written.
        """
        if tuple(shown) == self._last:
            return
        if not shown:
            self.clear()
            return
        from fr_client.cli.train_pictures import compose  # Pillow, which a client may lack

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
            self._say(f"No viewer could be started ({error.strerror}): open the picture yourself.")
            self._viewer = None

    def clear(self) -> None:
        """Take the picture away."""
        self._last = ()
        self.path.unlink(missing_ok=True)


@contextmanager
def easel(folder: Path | None, viewer: Viewer | None, say: Callable[[str], None]) -> Iterator[Easel]:
    """Show pictures for as long as the block lasts; none is left behind.

    Args:
        folder: where they lie, made where it is not there; None = see `temporary_folder`.
        viewer: see `Easel`.
        say: likewise.

    Raises:
        Unusable: Pillow is missing, or the folder cannot be made.
    """
    with ExitStack() as stack:
        try:
            made = stack.enter_context(temporary_folder()) if folder is None else folder
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            where = "A temporary folder" if folder is None else shown_path(folder)
            raise Unusable("FILE_UNWRITABLE", f"{where} cannot be made: {error.strerror}.") from error
        shows = Easel(made, viewer, say)
        stack.callback(shows.clear)
        require_drawing(shows.path)
        yield shows


def desktop_viewer(environment: Mapping[str, str] = os.environ) -> Viewer | None:
    """Return what opens a picture as a double click would; None where there is no desktop."""
    if sys.platform == "win32":
        return os.startfile
    if sys.platform == "darwin":
        return _Opener("open")
    if environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        found = shutil.which("xdg-open")
        return None if found is None else _Opener(found)
    return None


class _Opener:
    """Starts a program with the path, and does not wait for it."""

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(self, path: Path) -> None:
        nothing = subprocess.DEVNULL
        # In a session of its own: a viewer must not end with Ctrl-C, nor write into the questions.
        started = subprocess.Popen(
            [self._program, str(path)], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
        # Some desktops keep the program until the window is closed; its end is taken note of whenever that is.
        threading.Thread(target=started.wait, daemon=True).start()
