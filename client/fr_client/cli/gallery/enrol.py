"""`fr enrol`: enrols photos of a subject, a folder or a manifest through one stream; safe to run again."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fr_api.v1 import gallery_pb2
from fr_client.channel import DEFAULT_MAX_IN_FLIGHT
from fr_client.cli import state
from fr_client.cli.files import refused_file, require_replaceable
from fr_client.cli.gallery.enrol_log import EnrolLog
from fr_client.cli.gallery.enrol_run import Enrolment, Options, RefusedPhoto, Result, Tally
from fr_client.cli.gallery.photo_sources import PhotoFile, PhotoSet, is_photo, read_source, tell_passed_over
from fr_client.cli.gallery.probes import AsLines, Brief, Form, Listed, PhotoPaths, find_probes
from fr_client.cli.gallery.recognise import SeveralFacesOption
from fr_client.cli.progress import progress
from fr_client.cli.show import console, counted, face_text, number, pairs, plain, print_line, shown, table, when
from fr_client.errors import FrApiError
from fr_client.sync.client import Client
from fr_client.unpack import message_keys

# Subjects, files and folders to name; further ones are only counted.
_TOLD = 10
_COLUMNS = ("file", "subject_id", "reason", "message")


def enrol(
    context: typer.Context,
    gallery_id: state.GalleryId,
    source: Annotated[
        str,
        state.argument(
            "SUBJECT|FOLDER", "Subject of each PHOTO; or a folder with a folder for each subject, or a CSV manifest."
        ),
    ],
    photos: PhotoPaths = None,
    listed: Listed = None,
    name: Annotated[str, typer.Option(help="With SUBJECT: the name to display.", show_default=False)] = "",
    create: Annotated[bool, typer.Option("--create", help="Create the gallery if it does not exist.")] = False,
    unnamed: Annotated[
        bool,
        typer.Option("--unnamed", help="FOLDER holds photos of unknown people: each photo is a subject of its own."),
    ] = False,
    several_faces: SeveralFacesOption = "prominent",
    report_similar: Annotated[
        bool, typer.Option("--report-similar", help="List other subjects that are similar to those of this run.")
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Record the result of each photo here, and continue from it.", show_default=False
        ),
    ] = None,
    retry_refused: Annotated[
        bool, typer.Option("--retry-refused", help="Send photos again that the journal lists as refused.")
    ] = False,
    refused_to: Annotated[
        Path | None,
        typer.Option("--refused", metavar="FILE.csv", help="Write the refused photos here.", show_default=False),
    ] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, max=1024, help="Photos on their way at once; more for a server with a GPU.")
    ] = DEFAULT_MAX_IN_FLIGHT,
    purpose: state.ForPurpose = None,
    case: state.ForCase = "",
    no_downscale: state.NoDownscale = False,
    brief: Brief = False,
    as_lines: AsLines = False,
) -> None:
    """Enrol photos of one subject, or of many; safe to run again.

    fr enrol GALLERY SUBJECT PHOTO... enrols photos of one subject.

    fr enrol GALLERY FOLDER enrols many: FOLDER holds a folder of photos for each subject (FOLDER/SUBJECT/PHOTO.jpg). Or
    it is a CSV file with the header subject_id,path and optional columns: display_name, and metadata. With --unnamed
    each photo in FOLDER and its folders is a subject, and its path in FOLDER is the id. Then fr gallery cluster groups
    the photos that may show one person.

    An operational gallery that already holds some of the photos needs --purpose and --case, because the command reads
    the gallery to find their subjects. The purpose is gallery-maintenance, and REFERENCE is that of the request.

    With --journal, a later run sends only new photos and those whose file has changed. Each gallery needs a journal of
    its own.

    Exit status 0: every photo is in the gallery. 3: some were refused or could not be read, or were deleted since the
    journal recorded them. 1: the run stopped early.
    """
    if (purpose is None) != (not case):
        raise typer.BadParameter("--purpose and --case go together; give both.")
    form = Form(as_lines, brief)
    options = Options(several_faces, unnamed, report_similar, retry_refused, in_flight, purpose, case)
    ending = state.Ending()
    with state.connected(context, as_lines, lines=True) as client, ExitStack() as opened:
        photo_set = _photo_set(source, photos, listed, name, unnamed)
        gallery = _require_gallery(client, gallery_id, create)
        if refused_to is not None:
            require_replaceable(refused_to, _COLUMNS)
        kept = None if journal is None else opened.enter_context(EnrolLog(journal, gallery))
        write = opened.enter_context(refused_file(refused_to, _COLUMNS))

        def tell(photo: PhotoFile, result: Result) -> None:
            if isinstance(result, RefusedPhoto):
                write((shown(photo.path), shown(Path(photo.subject_id)), result.reason, result.message))
            _print_result(form, photo, result)

        run = Enrolment(client, gallery, options, kept, tell)
        left = run.left(photo_set.photos)
        known = run.tally.done
        gone = max(0, run.tally.already - gallery.template_count)
        if gone:
            told = "photos that the journal lists as stored were deleted since; this run does not send them again."
            typer.echo(f"{gone} or more {told}", err=True)
        printing = as_lines or brief
        advance = opened.enter_context(progress("Enrolling", "photos", len(left), beside_output=printing))
        with ending.noted():
            run.run(left, lambda tally: advance(tally.done - known, len(tally.refused)))
        opened.close()
        run.tally.refused.sort(key=lambda one: one.photo.path)
        if as_lines:
            print_line(_as_keys(gallery_id, photo_set, run.tally, ending, report_similar))
        else:
            _print_tally(gallery_id, photo_set, run.tally, brief)
            _print_remedies(context, run.tally)
    if ending.interrupted:
        typer.echo("Stopped. Run the same command again to continue.", err=True)
    ending.leave(bool(run.tally.refused) or gone > 0)


def _require_gallery(client: Client, gallery_id: str, create: bool) -> gallery_pb2.Gallery:
    try:
        found = client.get_gallery(gallery_id)
        if found.HasField("expire_time") and found.expire_time.ToDatetime(UTC) <= datetime.now(UTC):
            raise state.Unusable("GALLERY_EXPIRED", f"The gallery {gallery_id} closed at {when(found.expire_time)}.")
        return found
    except FrApiError as error:
        if not (create and error.reason == "UNKNOWN_GALLERY"):
            raise
        return client.create_gallery(gallery_id)


def _photo_set(source: str, photos: list[Path] | None, listed: Path | None, name: str, unnamed: bool) -> PhotoSet:
    """Return the photos of one subject, or of a folder or manifest, as the arguments say."""
    path = Path(source)
    if not photos and listed is None:
        if is_photo(path):
            raise typer.BadParameter(f"{shown(path)} is a photo; name its subject before it, then the photo.")
        if name:
            raise typer.BadParameter("It works only with a subject and its photos.", param_hint="--name")
        if not path.exists():
            words = "does not exist. Name a folder or a manifest; or the id of a subject, and its photos after it."
            raise state.Unusable("FILE_UNREADABLE", f"{shown(path)} {words}")
        found = read_source(path, unnamed)
        tell_passed_over(path, found.ignored)
        return found
    if unnamed or is_photo(path):
        words = "--unnamed takes one FOLDER." if unnamed else f"{shown(path)} is a photo; name its subject before it."
        raise typer.BadParameter(words)
    if path.is_dir() and not any(path in one.parents for one in photos or ()):
        words = f"{shown(path)} is a folder, too. It is taken as a subject: the photos in it are not enrolled."
        typer.echo(f"Warning: {words}", err=True)
    return PhotoSet(tuple(PhotoFile(one, source, name) for one in find_probes(photos, listed).paths))


def _print_result(form: Form, photo: PhotoFile, result: Result) -> None:
    if isinstance(result, RefusedPhoto):
        line = f"refused as {result.reason}: {result.message}"
        keys: dict[str, Any] = {"error": {"reason": result.reason, "message": result.message}}
    elif result is None:
        line, keys = "already enrolled", {"already_enrolled": True}
    else:
        line, keys = f"template {result.template_id}, {face_text(result.face, result.choice)}", message_keys(result)
    if form.as_json:
        print_line({"photo": shown(photo.path), "subject_id": shown(Path(photo.subject_id)), **keys})
    elif form.brief:
        typer.echo(plain(f"{shown(photo.path)}: {shown(Path(photo.subject_id))}, {line}").plain)


def _as_keys(
    gallery_id: str, photo_set: PhotoSet, tally: Tally, ending: state.Ending, report_similar: bool
) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "gallery_id": gallery_id,
        "photos": len(photo_set.photos),
        "stored": tally.stored,
        "stored_with_other_faces": tally.with_others,
        "already_enrolled": tally.already,
        "refused": len(tally.refused),
        "unanswered": len(photo_set.photos) - tally.done,
        "new_subjects": tally.new_subjects,
        "empty_subjects": [shown(Path(subject_id)) for subject_id in photo_set.empty_subjects],
        "ignored_files": [shown(path) for path in photo_set.ignored],
        "scaled_down": tally.scaled_down,
    }
    if report_similar:
        keys["similar_subjects"] = [
            {"subject_ids": list(pair), "similarity": similarity} for pair, similarity in _most_similar(tally)
        ]
        keys["similar_unknown"] = tally.similar_unknown
    return keys if ending.error is None else keys | {"error": state.error_keys(ending.error)}


def _print_tally(gallery_id: str, photo_set: PhotoSet, tally: Tally, brief: bool) -> None:
    out = console()
    unanswered = len(photo_set.photos) - tally.done
    parts = [
        f"{counted(tally.stored, 'photo')} stored ({counted(tally.new_subjects, 'new subject')})",
        f"{tally.already} already enrolled",
        f"{len(tally.refused)} refused",
        *([f"{unanswered} without an answer"] if unanswered else []),
    ]
    told = plain(f"Gallery {gallery_id}: {', '.join(parts)}.")
    if brief:  # a line for each photo stands above
        typer.echo(told.plain, err=True)
        return
    out.print(told, style="bold")
    if tally.with_others:
        out.print(plain(f"Other faces were passed over in {counted(tally.with_others, 'photo')}."))
    if tally.scaled_down:
        out.print(plain(f"Over the server's limits, and scaled down: {counted(tally.scaled_down, 'photo')}."))
    _print_told("Subjects without a photo", photo_set.empty_subjects)
    _print_told("Not a photo of a subject", [shown(path) for path in photo_set.ignored])
    counts = Counter(one.reason for one in tally.refused)
    for reason, count in counts.most_common():
        refused = [one for one in tally.refused if one.reason == reason]
        remedy = refused[0].message.partition(". ")[2]
        out.print(plain(f"Refused as {reason} ({count}). {remedy}".rstrip()))
        # All refusals of a reason have the same remedy.
        out.print(pairs((shown(one.photo.path), one.message.partition(". ")[0]) for one in refused))
    _print_similar(tally)


def _print_remedies(context: typer.Context, tally: Tally) -> None:
    for reason in dict.fromkeys(one.reason for one in tally.refused):
        if hint := state.remedy_of(reason, state.options_of(context)):
            typer.echo(f"{reason}: {hint}", err=True)


def _most_similar(tally: Tally) -> list[tuple[tuple[str, str], float]]:
    return sorted(tally.similar.items(), key=lambda one: (-one[1], one[0]))


def _print_similar(tally: Tally) -> None:
    out = console()
    if tally.similar_unknown:
        of = counted(tally.similar_unknown, "photo")
        out.print(f"Stored without a search for similar subjects, which failed: {of}.", markup=False)
        out.print("`fr gallery duplicate list` searches the whole gallery.", markup=False)
    if not tally.similar:
        return
    out.print(f"These subjects may be the same person: leads to check ({len(tally.similar)}).", markup=False)
    rows = table("Subject", "Subject", "Similarity", right=("Similarity",))
    for (one, other), similarity in _most_similar(tally):
        rows.add_row(plain(one), plain(other), number(similarity, ".4f"))
    out.print(rows)


def _print_told(title: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        console().print(plain(f"{title} ({len(names)}): {', '.join(names[:_TOLD])}{more}"))
