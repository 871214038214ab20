"""`fr gallery`, `fr subject` and `fr template`: what is in the galleries, and how it is taken out again."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli.show import console, message_keys, model_name, pairs, plain, print_json, table, when
from fr_client.cli.state import AsJson, GalleryId, Yes, connected

gallery = typer.Typer(help="Create, list, show and delete galleries.", no_args_is_help=True)
subject = typer.Typer(help="List, show and delete the subjects of a gallery.", no_args_is_help=True)
template = typer.Typer(help="Delete a single template.", no_args_is_help=True)

SubjectId = Annotated[str, typer.Argument(metavar="SUBJECT", help="Id of the subject.", show_default=False)]


@gallery.command("create")
def create_gallery(
    context: typer.Context,
    gallery_id: GalleryId,
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    as_json: AsJson = False,
) -> None:
    """Create an empty gallery, bound to the server's model."""
    with connected(context, as_json) as client:
        _print_gallery(client.create_gallery(gallery_id, display_name=name), as_json)


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
