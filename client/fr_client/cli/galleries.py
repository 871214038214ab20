"""`fr gallery`: which galleries there are, and what they are called and keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli import calibrations, duplicates, importing
from fr_client.cli.plugins import GalleryGroup
from fr_client.cli.show import console, end_of, model_name, pairs, plain, print_json, retention_of, table, when
from fr_client.cli.state import AsJson, GalleryId, Yes, confirm, connected, require_one_of
from fr_client.requests import KEEP, USE_WORDS, Use
from fr_client.unpack import message_keys

gallery = typer.Typer(
    cls=GalleryGroup, help="Create, list, show, change, delete and back up galleries.", no_args_is_help=True
)

Expires = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
        metavar="DATE",
        help="When it is closed: the beginning of the day, UTC.",
    ),
]
RetentionDays = Annotated[
    float | None,
    typer.Option(min=0.001, max=36_500, metavar="DAYS", help="Delete each template so long after its enrolment."),
]


@gallery.command("create")
def create_gallery(
    context: typer.Context,
    gallery_id: GalleryId,
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    expires: Expires = None,
    retention_days: RetentionDays = None,
    keep_photos: Annotated[bool, typer.Option("--keep-photos", help="Keep the photos too, encrypted.")] = False,
    use: Annotated[
        Use | None,
        typer.Option(
            help="What it is for, for ever. Unset: operational where the server asks who calls, else test.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an empty gallery, bound to the server's model; where nothing else is said, for ever."""
    with connected(context, as_json) as client:
        created = client.create_gallery(
            gallery_id,
            display_name=name,
            expires=None if expires is None else expires.replace(tzinfo=UTC),
            retention=None if retention_days is None else timedelta(days=retention_days),
            keeps_photos=keep_photos,
            use=use,
        )
        _print_gallery(created, as_json)


@gallery.command("update")
def update_gallery(
    context: typer.Context,
    gallery_id: GalleryId,
    name: Annotated[str | None, typer.Option(help="A name for people; '' for none.")] = None,
    expires: Expires = None,
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="Never close it.")] = False,
    retention_days: RetentionDays = None,
    no_retention: Annotated[
        bool, typer.Option("--no-retention", help="Keep templates until they are deleted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Change the name, the end or the retention of a gallery; what is not given stays as it is.

    A gallery that has expired is open again with a later end, or with none. A shorter retention holds for the templates
    that are there already, too: the next purge deletes those that have been kept for longer.
    """
    require_one_of(expires is not None, no_expiry, "--expires", "--no-expiry")
    require_one_of(retention_days is not None, no_retention, "--retention-days", "--no-retention")
    if (name, expires, retention_days) == (None, None, None) and not (no_expiry or no_retention):
        raise typer.BadParameter("Nothing is to change: give a name, an end or a retention.")
    with connected(context, as_json) as client:
        changed = client.update_gallery(
            gallery_id,
            display_name=KEEP if name is None else name,
            expires=None if no_expiry else KEEP if expires is None else expires.replace(tzinfo=UTC),
            retention=None if no_retention else KEEP if retention_days is None else timedelta(days=retention_days),
        )
        _print_gallery(changed, as_json)


@gallery.command("list")
def list_galleries(context: typer.Context, as_json: AsJson = False) -> None:
    """List the galleries."""
    with connected(context, as_json) as client:
        found = list(client.list_galleries())
        if as_json:
            print_json({"galleries": [message_keys(one) for one in found]})
            return
        if not found:
            console().print("There is no gallery yet: `fr gallery create GALLERY` creates one.", markup=False)
            return
        _print_galleries(found)


@gallery.command("show")
def show_gallery(context: typer.Context, gallery_id: GalleryId, as_json: AsJson = False) -> None:
    """Show a gallery."""
    with connected(context, as_json) as client:
        _print_gallery(client.get_gallery(gallery_id), as_json)


@gallery.command("delete")
def delete_gallery(context: typer.Context, gallery_id: GalleryId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a gallery with its subjects and templates."""
    with connected(context, as_json) as client:
        found = client.get_gallery(gallery_id)
        confirm(
            f"Delete gallery {gallery_id} with {found.subject_count} subjects and {found.template_count} templates?",
            yes,
        )
        deleted = client.delete_gallery(gallery_id)
        if as_json:
            print_json(message_keys(deleted))
            return
        what = f"{deleted.deleted_subjects} subjects, {deleted.deleted_templates} templates"
        console().print(plain(f"Deleted gallery {gallery_id}: {what}."))


gallery.command("import")(importing.import_embeddings)
gallery.command("calibrate")(calibrations.calibrate)
gallery.command("duplicates")(duplicates.duplicates)
gallery.command("cluster")(duplicates.cluster)


@gallery.command("purge")
def purge_expired(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the templates whose retention has passed, of all galleries, as the server does every hour."""
    with connected(context, as_json) as client:
        purged = client.purge_expired(dry_run=dry_run)
        if as_json:
            print_json(message_keys(purged))
            return
        verb = "Would delete" if dry_run else "Deleted"
        for one in purged.galleries:
            what = f"{one.templates} templates and {one.subjects} subjects that have none left"
            console().print(plain(f"{verb} from gallery {one.gallery_id}: {what}."))
        if not purged.galleries:
            console().print("Nothing has expired.")


def _print_galleries(found: Sequence[gallery_pb2.Gallery]) -> None:
    """Print a line for each; ends and retentions have a column where there are any."""
    optional = {"Expires": end_of, "Retention": retention_of}
    shown_too = {name: of for name, of in optional.items() if any(map(of, found))}
    numbers = ("Subjects", "Templates")
    rows = table("Gallery", "Name", "Use", *numbers, "Model", "Created", *shown_too, right=numbers)
    for one in found:
        rows.add_row(
            plain(one.gallery_id),
            plain(one.display_name),
            _use_of(one),
            str(one.subject_count),
            str(one.template_count),
            plain(model_name(one.model)),
            when(one.create_time),
            *(of(one) for of in shown_too.values()),
        )
    console().print(rows)


def _use_of(found: gallery_pb2.Gallery) -> str:
    return USE_WORDS.get(found.use, "newer than this command")


def _print_gallery(found: gallery_pb2.Gallery, as_json: bool) -> None:
    if as_json:
        print_json(message_keys(found))
        return
    rows = [
        ("Gallery", found.gallery_id),
        ("Name", found.display_name),
        ("Subjects", str(found.subject_count)),
        ("Templates", str(found.template_count)),
        ("Model", model_name(found.model)),
        ("Created", when(found.create_time)),
        ("Version", str(found.version)),
        ("Calibration", "its own" if found.has_calibration else "that of the model pack, if it has one"),
        ("Keeps photos", "yes" if found.keeps_photos else "no"),
        ("Use", _use_of(found)),
        ("Expires", end_of(found) or "never"),
        ("Retention", retention_of(found) or "no limit"),
    ]
    console().print(pairs(rows))
