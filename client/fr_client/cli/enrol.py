"""`fr enrol`: a folder or a manifest of photos into a gallery, through one stream; safe to run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fr_client.cli.enrolment import Enrolment, Tally
from fr_client.cli.show import console, pairs, plain, print_json, shown
from fr_client.cli.sources import PhotoSet, read_source
from fr_client.cli.state import AsJson, GalleryId, connected, error_keys, fail
from fr_client.client import Client
from fr_client.errors import FrApiError
from fr_client.requests import OneFace

# Exit status where every photo was sent and some were refused.
SOME_REFUSED = 3
# That of a command stopped by Ctrl-C, as shells have it.
_INTERRUPTED = 130
# Subjects, files and folders that are told by name; further ones are counted.
_TOLD = 10


def enrol(
    context: typer.Context,
    gallery_id: GalleryId,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder with a folder for each subject, or a CSV manifest.", show_default=False
        ),
    ],
    create: Annotated[bool, typer.Option("--create", help="Create the gallery where it does not exist.")] = False,
    several_faces: Annotated[
        OneFace,
        typer.Option(
            "--several-faces", help="What to do with a photo of several faces: refuse it, or take the largest."
        ),
    ] = "error",
    as_json: AsJson = False,
) -> None:
    """Enrol the photos of many subjects; safe to run again.

    FOLDER is a folder that holds a folder of photos for each subject (FOLDER/SUBJECT/PHOTO.jpg), or a CSV file with
    the header subject_id,path and, if wanted, display_name and columns of metadata.

    Exit status 0: every photo is in the gallery. 3: some were refused. 1: the run stopped early.
    """
    with connected(context, as_json) as client:
        photo_set = read_source(source)
        _require_gallery(client, gallery_id, create)
        stopped: FrApiError | None = None
        interrupted = False
        with _progress(len(photo_set.photos)) as advance:
            run = Enrolment(client, gallery_id, several_faces, advance)
            try:
                run.run(photo_set.photos)
            except FrApiError as error:
                stopped = error
            except KeyboardInterrupt:
                interrupted = True
        run.tally.refused.sort(key=lambda one: one.photo.path)
        if as_json:
            print_json(_as_keys(gallery_id, photo_set, run.tally, stopped))
        else:
            _print_tally(gallery_id, photo_set, run.tally)
    if stopped is not None:
        fail(stopped)
    if interrupted:
        typer.echo("Stopped. Run the same command again to go on.", err=True)
        raise typer.Exit(_INTERRUPTED)
    if run.tally.refused:
        raise typer.Exit(SOME_REFUSED)


def _require_gallery(client: Client, gallery_id: str, create: bool) -> None:
    """Raise `FrApiError` (UNKNOWN_GALLERY) where there is no such gallery, unless it is to be created."""
    try:
        client.get_gallery(gallery_id)
    except FrApiError as error:
        if not (create and error.reason == "UNKNOWN_GALLERY"):
            raise
        client.create_gallery(gallery_id)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Tally], None]]:
    """A bar on standard error where that is a terminal."""
    out = console(stderr=True)
    columns = (
        TextColumn("Enrolling"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=out, disable=not out.is_terminal) as bars:
        bar = bars.add_task("", total=total)
        yield lambda tally: bars.update(
            bar, completed=tally.done, description=f"{len(tally.refused)} refused" if tally.refused else ""
        )


def _as_keys(gallery_id: str, photo_set: PhotoSet, tally: Tally, stopped: FrApiError | None) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "gallery_id": gallery_id,
        "photos": len(photo_set.photos),
        "stored": tally.stored,
        "already_enrolled": tally.already,
        "refused": len(tally.refused),
        "unanswered": len(photo_set.photos) - tally.done,
        "new_subjects": tally.new_subjects,
        "refusals": [
            {
                "file": shown(one.photo.path),
                "subject_id": shown(Path(one.photo.subject_id)),
                "reason": one.reason,
                "message": one.message,
            }
            for one in tally.refused
        ],
        "empty_subjects": [shown(Path(subject_id)) for subject_id in photo_set.empty_subjects],
        "ignored_files": [shown(path) for path in photo_set.ignored],
    }
    return keys if stopped is None else keys | {"error": error_keys(stopped)}


def _print_tally(gallery_id: str, photo_set: PhotoSet, tally: Tally) -> None:
    out = console()
    unanswered = len(photo_set.photos) - tally.done
    parts = [
        f"{_count(tally.stored, 'photo')} stored ({_count(tally.new_subjects, 'new subject')})",
        f"{tally.already} already enrolled",
        f"{len(tally.refused)} refused",
        *([f"{unanswered} without an answer"] if unanswered else []),
    ]
    out.print(plain(f"Gallery {gallery_id}: {', '.join(parts)}."), style="bold")
    _print_told("Subjects without a photo", photo_set.empty_subjects)
    _print_told("Not a photo of a subject", [shown(path) for path in photo_set.ignored])
    counts = Counter(one.reason for one in tally.refused)
    for reason, count in counts.most_common():
        refused = [one for one in tally.refused if one.reason == reason]
        remedy = refused[0].message.partition(". ")[2]
        out.print(plain(f"Refused as {reason} ({count}). {remedy}".rstrip()))
        # What to do is the same for all of a reason; what was found is of each.
        out.print(pairs((shown(one.photo.path), one.message.partition(". ")[0]) for one in refused))


def _print_told(title: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        console().print(plain(f"{title} ({len(names)}): {', '.join(names[:_TOLD])}{more}"))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
