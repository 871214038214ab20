"""`fr subject` and `fr template`: lists, shows, changes, exports and deletes the subjects of a gallery."""

from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli.files import writing
from fr_client.cli.show import counted, every, pairs, plain, print_answer, print_list, shown, table, when
from fr_client.cli.state import (
    AsJson,
    ForCase,
    ForPurpose,
    GalleryId,
    Yes,
    argument,
    confirm,
    connected,
    key_values,
    require_one_of,
)
from fr_client.requests import KEEP

subject = typer.Typer(help="List, show, change and delete the subjects of a gallery.", no_args_is_help=True)
template = typer.Typer(help="Delete a single template.", no_args_is_help=True)

SubjectId = Annotated[str, argument("SUBJECT", "Id of the subject.")]


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
        found = every(client.list_subjects(gallery_id, purpose=purpose, case_reference=case))
        print_list(
            as_json,
            "subjects",
            found,
            table("Subject", "Name", "Templates", "Created", right=("Templates",)),
            lambda one: (one.subject_id, one.display_name, str(len(one.templates)), when(one.create_time)),
            "The gallery is empty.",
        )


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
            metavar="KEY=VALUE", help="A pair of metadata; may be repeated. These replace all existing metadata."
        ),
    ] = None,
    no_metadata: Annotated[bool, typer.Option("--no-metadata", help="Remove all metadata.")] = False,
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_json: AsJson = False,
) -> None:
    """Change the name or the metadata of a subject; options that you leave out change nothing."""
    require_one_of(bool(metadata), no_metadata, "--metadata", "--no-metadata")
    if name is None and not metadata and not no_metadata:
        raise typer.BadParameter("There is nothing to change: give a name or metadata.")
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
    context: typer.Context, gallery_id: GalleryId, subject_id: SubjectId, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Delete a subject with its templates."""
    with connected(context, as_json) as client:
        confirm(f"Delete subject {subject_id} with all its templates from gallery {gallery_id}?", yes)
        deleted = client.delete_subject(gallery_id, subject_id)
        print_answer(
            as_json, deleted, f"Deleted subject {subject_id}: {counted(deleted.deleted_templates, 'template')}."
        )


@subject.command("erase")
def erase_subject(
    context: typer.Context, gallery_id: GalleryId, subject_id: SubjectId, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Delete a subject with its templates, photos and key, and print the receipt.

    With galleries in a folder, no byte of it is left in the files. With PostgreSQL, encrypted bytes may stay in free
    space, in the log and in backups, and earlier backups still open the data.
    """
    with connected(context, as_json) as client:
        confirm(f"Erase subject {subject_id} with all its templates from gallery {gallery_id}?", yes)
        erased = client.erase_subject(gallery_id, subject_id)
        what = f"{counted(erased.erased_templates, 'template')}, {counted(erased.erased_photos, 'photo')}"
        late = "Its last bytes are not overwritten yet: a backup reads, or the disk refused. The server tries again."
        print_answer(
            as_json,
            erased,
            f"Erased subject {subject_id} from gallery {gallery_id}: {what}.",
            f"Receipt {erased.receipt_id} of {when(erased.erase_time)}.",
            *(() if erased.scrubbed else (late,)),
        )


@subject.command("export")
def export_subject(
    context: typer.Context,
    gallery_id: GalleryId,
    subject_id: SubjectId,
    target: Annotated[Path, argument("OUT.zip", "Archive to write; it must not exist.")],
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_json: AsJson = False,
) -> None:
    """Write all data of a subject into an archive, for the person who asks for it.

    For an operational gallery the archive holds no embeddings: they never leave the server.
    """
    with connected(context, as_json) as client:
        with writing(target):
            written = client.export_subject(gallery_id, subject_id, target, purpose=purpose, case_reference=case)
        keys = {"file": shown(target), "templates": written.templates, "photos": written.photos}
        told = f"{shown(target)}: {counted(written.templates, 'template')}, {counted(written.photos, 'photo')}."
        print_answer(as_json, keys, told)


@template.command("delete")
def delete_template(
    context: typer.Context,
    gallery_id: GalleryId,
    template_id: Annotated[int, argument("TEMPLATE", "Number; `fr subject show` lists them.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete one template; a subject without templates stays until it is deleted."""
    with connected(context, as_json) as client:
        confirm(f"Delete template {template_id} from gallery {gallery_id}?", yes)
        deleted = client.delete_template(gallery_id, template_id)
        print_answer(as_json, deleted, f"Deleted template {template_id}.")


def _print_subject(found: gallery_pb2.Subject, as_json: bool) -> None:
    details = [("Subject", found.subject_id), ("Name", found.display_name), ("Created", when(found.create_time))]
    rows = table("Template", "Enrolled", "Quality", "sha256 of the photo", right=("Template", "Quality"))
    for one in found.templates:
        quality = f"{one.quality:.2f}" if one.HasField("quality") else ""
        rows.add_row(str(one.template_id), when(one.create_time), quality, plain(one.image_sha256))
    print_answer(as_json, found, pairs([*details, *sorted(found.metadata.items())]), rows)
