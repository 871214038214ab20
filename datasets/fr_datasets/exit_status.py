"""Ends a command that failed: a line on standard error, and an exit status."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fr_core.errors import FrError


def printable(text: str) -> str:
    r"""The text on one line and without what commands a terminal: "\x1b" in place of escape, "\n" of a new line."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


@contextmanager
def errors_to_status(status: int) -> Iterator[None]:
    """Turn an error, or a part that is not installed, into a message and the exit status."""
    try:
        with opencv_to_status(status):
            yield
    except FrError as error:
        code = getattr(error, "code", error.reason)
        typer.echo(printable(f"{code}: {error.message}" if code else error.message), err=True)
        raise typer.Exit(status) from error
    except ModuleNotFoundError as error:
        typer.echo(_not_installed(error.name or ""), err=True)
        raise typer.Exit(status) from error


@contextmanager
def opencv_to_status(status: int) -> Iterator[None]:
    """Turn an OpenCV that is installed and cannot be loaded into a message and the exit status."""
    try:
        yield
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) or error.name != "cv2":
            raise
        remedy = "pip uninstall --yes opencv-python && pip install --force-reinstall --no-deps opencv-python-headless"
        typer.echo(f"OpenCV cannot be loaded ({error}). Install its build that needs no display: {remedy}.", err=True)
        raise typer.Exit(status) from error


def _not_installed(module: str) -> str:
    if module.partition(".")[0] == "matplotlib":
        return "Reports need matplotlib; in a clone of FR Core: pip install '.[report]'."
    if module.partition(".")[0] == "av":
        return "Video files need PyAV; in a clone of FR Core: pip install '.[video]'."
    return f"This command needs the server (`{module}` is missing); in a clone of FR Core: pip install '.[cpu]'."
