"""`fr subject` and `fr template`: who is in a gallery, and how it is taken out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli.show import console, pairs, plain, print_json, shown, table, when
from fr_client.cli.state import (
    AsJson,
    ForCase,
    ForPurpose,
    GalleryId,
    Unusable,
    Yes,
    confirm,
    connected,
    key_values,
    require_one_of,
)
from fr_client.requests import KEEP
from fr_client.unpack import message_keys

subject = typer.Typer(help="List, show, change and delete the subjects of a gallery.", no_args_is_help=True)
template = typer.Typer(help="Delete a single template.", no_args_is_help=True)

SubjectId = Annotated[str, typer.Argument(metavar="SUBJECT", help="Id of the subject.", show_default=False)]


@subject.command("list")
def list_subjects(
    context: typer.Context,
    gallery_id: GalleryId,
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_json: AsJson = False,
) -> None:
    """List the subjects of a gallery."""
    with connected(context, as_json) as client:
        found = list(client.list_subjects(gallery_id, purpose=purpose, case_reference=case))
        if as_json:
            print_json({"subjects": [message_keys(one) for one in found]})
            return
        rows = table("Subject", "Name", "Templates", "Created", right=("Templates",))
        for one in found:
            rows.add_row(plain(one.subject_id), plain(one.display_name), str(len(one.templates)), when(one.create_time))
        console().print(rows if found else "The gallery is empty.")


@subject.command("show")
def show_subject(
    context: typer.Context,
    gallery_id: GalleryId,
    subject_id: SubjectId,
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_json: AsJson = False,
) -> None:
    """Show a subject and its templates."""
    with connected(context, as_json) as client:
        _print_subject(client.get_subject(gallery_id, subject_id, purpose=purpose, case_reference=case), as_json)


@subject.command("update")
def update_subject(
    context: typer.Context,
    gallery_id: GalleryId,
    subject_id: SubjectId,
    name: Annotated[str | None, typer.Option(help="A name for people; '' for none.")] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="A pair of metadata; may be repeated: these take the place of all that there are."
        ),
    ] = None,
    no_metadata: Annotated[bool, typer.Option("--no-metadata", help="Take all metadata away.")] = False,
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_json: AsJson = False,
) -> None:
    """Change the name or the metadata of a subject; what is not given stays as it is."""
    require_one_of(bool(metadata), no_metadata, "--metadata", "--no-metadata")
    if name is None and not metadata and not no_metadata:
        raise typer.BadParameter("Nothing is to change: give a name or metadata.")
    given = key_values(metadata or [], "--metadata")
    with connected(context, as_json) as client:
        changed = client.update_subject(
            gallery_id,
            subject_id,
            display_name=KEEP if name is None else name,
            metadata=given if metadata or no_metadata else KEEP,
            purpose=purpose,
            case_reference=case,
        )
        _print_subject(changed, as_json)


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
        confirm(f"Delete subject {subject_id} with all its templates from gallery {gallery_id}?", yes)
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
        confirm(f"Erase subject {subject_id} with all its templates from gallery {gallery_id}?", yes)
        erased = client.erase_subject(gallery_id, subject_id)
        if as_json:
            print_json(message_keys(erased))
            return
        what = f"{erased.erased_templates} templates, {erased.erased_photos} photos"
        out = console()
        out.print(plain(f"Erased subject {subject_id} from gallery {gallery_id}: {what}."))
        out.print(plain(f"Receipt {erased.receipt_id} of {when(erased.erase_time)}."))
        if not erased.scrubbed:
            out.print("Its last bytes are not overwritten yet: a backup reads, or the disk refused. It is tried anew.")


@subject.command("export")
def export_subject(
    context: typer.Context,
    gallery_id: GalleryId,
    subject_id: SubjectId,
    target: Annotated[
        Path, typer.Argument(metavar="OUT.zip", help="Archive to write; it must not exist.", show_default=False)
    ],
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_json: AsJson = False,
) -> None:
    """Write all data of a subject into an archive, for the person who asks for it.

    For an operational gallery the archive holds no embeddings: they never leave the server.
    """
    with connected(context, as_json) as client:
        try:
            written = client.export_subject(gallery_id, subject_id, target, purpose=purpose, case_reference=case)
        except FileExistsError as error:
            raise Unusable("FILE_EXISTS", "The archive is there already; choose another name.") from error
        except OSError as error:
            raise Unusable("FILE_UNWRITABLE", f"The archive cannot be written: {error.strerror}.") from error
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
        confirm(f"Delete template {template_id} from gallery {gallery_id}?", yes)
        deleted = client.delete_template(gallery_id, template_id)
        if as_json:
            print_json(message_keys(deleted))
            return
        console().print(f"Deleted template {template_id}.")


def _print_subject(found: gallery_pb2.Subject, as_json: bool) -> None:
    if as_json:
        print_json(message_keys(found))
        return
    out = console()
    details = [("Subject", found.subject_id), ("Name", found.display_name), ("Created", when(found.create_time))]
    out.print(pairs([*details, *sorted(found.metadata.items())]))
    rows = table("Template", "Enrolled", "Quality", "sha256 of the photo", right=("Template", "Quality"))
    for one in found.templates:
        quality = f"{one.quality:.2f}" if one.HasField("quality") else ""
        rows.add_row(str(one.template_id), when(one.create_time), quality, plain(one.image_sha256))
    out.print(rows)
