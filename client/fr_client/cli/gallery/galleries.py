"""`fr gallery`: creates, lists, shows, changes, deletes and purges galleries."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli import show
from fr_client.cli.gallery import calibrations, duplicates, import_embeddings
from fr_client.cli.plugins import plugin_group
from fr_client.cli.state import AsJson, GalleryId, Yes, confirm, connected, days_long, require_one_of
from fr_client.requests import KEEP
from fr_client.words import USE_NAMES, Use

gallery = typer.Typer(
    cls=plugin_group("gallery"), help="Create, list, show, change, delete and back up galleries.", no_args_is_help=True
)

Expires = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], metavar="DATE", help="When it closes: the beginning of the day, UTC."
    ),
]
RetentionDays = Annotated[
    float | None,
    typer.Option(min=0.001, max=36_500, metavar="DAYS", help="Delete each template this long after its enrolment."),
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
            help="Its use, which cannot change. Unset: operational if the server checks callers, else test.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an empty gallery, bound to the server's model; it has no end unless you give one."""
    with connected(context, as_json) as client:
        created = client.create_gallery(
            gallery_id,
            display_name=name,
            expires=None if expires is None else expires.replace(tzinfo=UTC),
            retention=days_long(retention_days),
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
    """Change the name, the end or the retention of a gallery; options that you leave out change nothing.

    A later end, or none, opens an expired gallery again. A shorter retention applies to existing templates, too: the
    next purge deletes those that are older.
    """
    require_one_of(expires is not None, no_expiry, "--expires", "--no-expiry")
    require_one_of(retention_days is not None, no_retention, "--retention-days", "--no-retention")
    if (name, expires, retention_days) == (None, None, None) and not (no_expiry or no_retention):
        raise typer.BadParameter("There is nothing to change: give a name, an end or a retention.")
    with connected(context, as_json) as client:
        changed = client.update_gallery(
            gallery_id,
            display_name=KEEP if name is None else name,
            expires=None if no_expiry else KEEP if expires is None else expires.replace(tzinfo=UTC),
            retention=None if no_retention else days_long(retention_days) or KEEP,
        )
        _print_gallery(changed, as_json)


@gallery.command("list")
def list_galleries(context: typer.Context, as_json: AsJson = False) -> None:
    """List the galleries."""
    with connected(context, as_json) as client:
        _print_galleries(show.every(client.list_galleries()), as_json)


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
        held = f"{show.counted(found.subject_count, 'subject')} and {show.counted(found.template_count, 'template')}"
        confirm(f"Delete gallery {gallery_id} with {held}?", yes)
        deleted = client.delete_gallery(gallery_id)
        subjects = show.counted(deleted.deleted_subjects, "subject")
        templates = show.counted(deleted.deleted_templates, "template")
        show.print_answer(as_json, deleted, f"Deleted gallery {gallery_id}: {subjects}, {templates}.")


gallery.command("import")(import_embeddings.import_embeddings)
gallery.command("calibrate")(calibrations.calibrate)
gallery.add_typer(duplicates.duplicate, name="duplicate")
gallery.command("cluster")(duplicates.cluster)


@gallery.command("purge")
def purge_expired(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the templates whose retention has passed, in all galleries, as the server does every hour."""
    with connected(context, as_json) as client:
        purged = client.purge_expired(dry_run=dry_run)
        verb = "Would delete" if dry_run else "Deleted"
        lines = [
            f"{verb} from gallery {one.gallery_id}: {show.counted(one.templates, 'template')}, and "
            f"{show.counted(one.subjects, 'subject')} with no other template."
            for one in purged.galleries
        ]
        show.print_answer(as_json, purged, *(lines or ["Nothing has expired."]))


def _print_galleries(found: Sequence[gallery_pb2.Gallery], as_json: bool) -> None:
    optional = {"Expires": show.end_of, "Retention": show.retention_of}
    shown_too = {name: of for name, of in optional.items() if any(map(of, found))}
    numbers = ("Subjects", "Templates")
    rows = show.table("Gallery", "Name", "Use", *numbers, "Model", "Created", *shown_too, right=numbers)

    def row(one: gallery_pb2.Gallery) -> list[str]:
        numbers = (str(one.subject_count), str(one.template_count))
        optional = (of(one) for of in shown_too.values())
        model, created = show.model_name(one.model), show.when(one.create_time)
        return [one.gallery_id, one.display_name, _use_of(one), *numbers, model, created, *optional]

    empty = "There is no gallery yet: `fr gallery create GALLERY` creates one."
    show.print_list(as_json, "galleries", found, rows, row, empty)


def _use_of(found: gallery_pb2.Gallery) -> str:
    return USE_NAMES.get(found.use, "newer than this command")


def _print_gallery(found: gallery_pb2.Gallery, as_json: bool) -> None:
    rows = [
        ("Gallery", found.gallery_id),
        ("Name", found.display_name),
        ("Subjects", str(found.subject_count)),
        ("Templates", str(found.template_count)),
        ("Model", show.model_name(found.model)),
        ("Created", show.when(found.create_time)),
        ("Version", str(found.version)),
        ("Calibration", "its own" if found.has_calibration else "that of the model pack, if it has one"),
        ("Keeps photos", "yes" if found.keeps_photos else "no"),
        ("Use", _use_of(found)),
        ("Expires", show.end_of(found) or "never"),
        ("Retention", show.retention_of(found) or "no limit"),
    ]
    show.print_answer(as_json, found, show.pairs(rows))
