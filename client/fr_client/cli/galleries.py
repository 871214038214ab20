"""`fr gallery`, `fr subject` and `fr template`: what is in the galleries, and how it is taken out again."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli import duplicates, importing
from fr_client.cli.export import write_export
from fr_client.cli.plugins import GalleryGroup
from fr_client.cli.show import console, message_keys, model_name, pairs, plain, print_json, shown, table, when
from fr_client.cli.state import AsJson, GalleryId, Yes, connected

gallery = typer.Typer(cls=GalleryGroup, help="Create, list, show, delete and back up galleries.", no_args_is_help=True)
subject = typer.Typer(help="List, show and delete the subjects of a gallery.", no_args_is_help=True)
template = typer.Typer(help="Delete a single template.", no_args_is_help=True)

SubjectId = Annotated[str, typer.Argument(metavar="SUBJECT", help="Id of the subject.", show_default=False)]


@gallery.command("create")
def create_gallery(
    context: typer.Context,
    gallery_id: GalleryId,
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    expires: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            metavar="DATE",
            help="When it is closed: the beginning of the day, UTC; never if unset.",
        ),
    ] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36_500, metavar="DAYS", help="Delete each template so long after its enrolment."),
    ] = None,
    keep_photos: Annotated[bool, typer.Option("--keep-photos", help="Keep the photos too, encrypted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create an empty gallery, bound to the server's model."""
    with connected(context, as_json) as client:
        created = client.create_gallery(
            gallery_id,
            display_name=name,
            expires=None if expires is None else expires.replace(tzinfo=UTC),
            retention=None if retention_days is None else timedelta(days=retention_days),
            keeps_photos=keep_photos,
        )
        _print_gallery(created, as_json)


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
        rows = table("Gallery", "Name", "Subjects", "Templates", "Model", "Created", right=("Subjects", "Templates"))
        for one in found:
            rows.add_row(
                plain(one.gallery_id),
                plain(one.display_name),
                str(one.subject_count),
                str(one.template_count),
                plain(model_name(one.model)),
                when(one.create_time),
            )
        console().print(rows)


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
        _confirm(
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


@subject.command("list")
def list_subjects(context: typer.Context, gallery_id: GalleryId, as_json: AsJson = False) -> None:
    """List the subjects of a gallery."""
    with connected(context, as_json) as client:
        found = list(client.list_subjects(gallery_id))
        if as_json:
            print_json({"subjects": [message_keys(one) for one in found]})
            return
        rows = table("Subject", "Name", "Templates", "Created", right=("Templates",))
        for one in found:
            rows.add_row(plain(one.subject_id), plain(one.display_name), str(len(one.templates)), when(one.create_time))
        console().print(rows if found else "The gallery is empty.")


@subject.command("show")
def show_subject(context: typer.Context, gallery_id: GalleryId, subject_id: SubjectId, as_json: AsJson = False) -> None:
    """Show a subject and its templates."""
    with connected(context, as_json) as client:
        found = client.get_subject(gallery_id, subject_id)
        if as_json:
            print_json(message_keys(found))
            return
        _print_subject(found)


@subject.command("delete")
def delete_subject(
    context: typer.Context,
    gallery_id: GalleryId,
    subject_id: SubjectId,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a subject with its templates."""
    with connected(context, as_json) as client:
        found = client.get_subject(gallery_id, subject_id)
        _confirm(f"Delete subject {subject_id} with {len(found.templates)} templates from gallery {gallery_id}?", yes)
        deleted = client.delete_subject(gallery_id, subject_id)
        if as_json:
            print_json(message_keys(deleted))
            return
        console().print(plain(f"Deleted subject {subject_id}: {deleted.deleted_templates} templates."))


@subject.command("erase")
def erase_subject(
    context: typer.Context,
    gallery_id: GalleryId,
    subject_id: SubjectId,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a subject so that no byte of it is left in the store, and print the receipt."""
    with connected(context, as_json) as client:
        found = client.get_subject(gallery_id, subject_id)
        _confirm(f"Erase subject {subject_id} with {len(found.templates)} templates from gallery {gallery_id}?", yes)
        erased = client.erase_subject(gallery_id, subject_id)
        if as_json:
            print_json(message_keys(erased))
            return
        what = f"{erased.erased_templates} templates, {erased.erased_photos} photos"
        out = console()
        out.print(plain(f"Erased subject {subject_id} from gallery {gallery_id}: {what}."))
        out.print(plain(f"Receipt {erased.receipt_id} of {when(erased.erase_time)}."))
        if not erased.scrubbed:
            out.print(
                "Its last bytes are overwritten as soon as those who read the store now, such as a backup, have ended."
            )


@subject.command("export")
def export_subject(
    context: typer.Context,
    gallery_id: GalleryId,
    subject_id: SubjectId,
    target: Annotated[
        Path, typer.Argument(metavar="OUT.zip", help="Archive to write; it must not exist.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Write everything that is kept of a subject into an archive, for the person who asks for it."""
    with connected(context, as_json) as client:
        written = write_export(client, gallery_id, subject_id, target)
        if as_json:
            print_json({"file": shown(target), "templates": written.templates, "photos": written.photos})
            return
        console().print(plain(f"{shown(target)}: {written.templates} templates, {written.photos} photos."))


@template.command("delete")
def delete_template(
    context: typer.Context,
    gallery_id: GalleryId,
    template_id: Annotated[
        int, typer.Argument(metavar="TEMPLATE", help="Number, as `fr subject show` has it.", show_default=False)
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete one template; a subject without templates stays until it is deleted."""
    with connected(context, as_json) as client:
        _confirm(f"Delete template {template_id} from gallery {gallery_id}?", yes)
        deleted = client.delete_template(gallery_id, template_id)
        if as_json:
            print_json(message_keys(deleted))
            return
        console().print(f"Deleted template {template_id}.")


def _confirm(question: str, yes: bool) -> None:
    """Ask on standard error unless told not to; ends the command with exit status 1 where the answer is no."""
    if yes:
        return
    # Not `typer.confirm`, which writes to standard output: that belongs to the answer.
    typer.echo(f"{question} [y/N]: ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        typer.echo("Nothing was deleted.", err=True)
        raise typer.Exit(1)


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
        ("Keeps photos", "yes" if found.keeps_photos else "no"),
        ("Expires", when(found.expire_time) if found.HasField("expire_time") else "never"),
        (
            "Retention",
            f"{found.retention.ToTimedelta() / timedelta(days=1):g} days"
            if found.HasField("retention")
            else "no limit",
        ),
    ]
    console().print(pairs(rows))


def _print_subject(found: gallery_pb2.Subject) -> None:
    out = console()
    details = [("Subject", found.subject_id), ("Name", found.display_name), ("Created", when(found.create_time))]
    out.print(pairs([*details, *sorted(found.metadata.items())]))
    rows = table("Template", "Enrolled", "Quality", "sha256 of the photo", right=("Template", "Quality"))
    for one in found.templates:
        quality = f"{one.quality:.2f}" if one.HasField("quality") else ""
        rows.add_row(str(one.template_id), when(one.create_time), quality, plain(one.image_sha256))
    out.print(rows)
