"""`fr review`: examinations that wait for a finding, what they show, and the finding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import review_pb2
from fr_client.cli.case_words import conclusion_words, found_words, purpose_words, state_words
from fr_client.cli.saving import new_folder, read_file
from fr_client.cli.show import console, model_name, pairs, plain, print_json, shown, table, when
from fr_client.cli.state import AsJson, Unusable, connected, require_one_of
from fr_client.export import photo_ending
from fr_client.review_requests import Finding
from fr_client.unpack import message_keys

review = typer.Typer(help="Examine what searches found, and give findings.", no_args_is_help=True)

ExaminationId = Annotated[
    str,
    typer.Argument(
        metavar="EXAMINATION", help="Id of the examination, as `fr review list` has it.", show_default=False
    ),
]


@review.command("list")
def list_awaiting(context: typer.Context, as_json: AsJson = False) -> None:
    """List the examinations that wait for a finding of yours, the oldest first."""
    with connected(context, as_json) as client:
        found = list(client.review.awaiting())
        if as_json:
            print_json({"examinations": [message_keys(one) for one in found]})
            return
        columns = ("Examination", "Case", "Gallery", "Searched", "Candidates")
        rows = table(*columns, right=("Candidates",), whole=("Examination", "Case"))
        for one in found:
            words = map(plain, (one.examination_id, one.case_id, one.gallery_id, when(one.create_time)))
            rows.add_row(*words, str(one.candidate_count))
        console().print(rows if found else "No examination waits for a finding of yours.")


@review.command("show")
def show_examination(
    context: typer.Context,
    examination_id: ExaminationId,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the photos here; the folder is made, and must not exist."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show an examination; with --out, write the photos of the probe and of the candidates as files.

    The folder is for its owner alone. Nothing is opened: look at the photos with a viewer that you trust.
    """
    with connected(context, as_json) as client:
        found = client.review.examination(examination_id)
        files: dict[str, str] = {}
        if out is not None:
            with new_folder(out) as folder:
                files = _write_photos(found, folder)
        if as_json:
            print_json({**_without_photos(found), "folder": None if out is None else shown(out), "files": files})
            return
        _print_examination(found, files)
        if out is not None:
            console().print(plain(f"Wrote {len(files)} photos to {shown(out)}."))
        console().print(plain(found.notice), style="italic")


@review.command("submit")
def submit_finding(
    context: typer.Context,
    examination_id: ExaminationId,
    finding: Annotated[Finding, typer.Option(help="What you found.", show_default=False)],
    template_id: Annotated[
        int | None, typer.Option("--template", min=1, metavar="N", help="The potential candidate, by its template.")
    ] = None,
    rating: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=3,
            metavar="R",
            help="How strongly what you saw supports that it is the same person: 1 weakly, 2 moderately, 3 strongly.",
        ),
    ] = None,
    notes: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What you observed; at most 4,000 characters.")
    ] = None,
    notes_file: Annotated[
        Path | None,
        typer.Option("--notes-file", metavar="FILE", help="The same from a file, so that no history keeps it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give your finding, once and for good: nobody can change it afterwards."""
    require_one_of(notes is not None, notes_file is not None, "--notes", "--notes-file")
    picked = template_id is not None and rating is not None
    if finding == "potential-candidate" and not picked:
        raise typer.BadParameter("A potential candidate needs --template and --rating.", param_hint="--finding")
    if finding != "potential-candidate" and (template_id is not None or rating is not None):
        raise typer.BadParameter("Only a potential candidate has --template and --rating.", param_hint="--finding")
    with connected(context, as_json) as client:
        text = notes or "" if notes_file is None else _text(notes_file)
        found = client.review.submit_finding(
            examination_id, finding, template_id=template_id, rating=rating, notes=text
        )
        if as_json:
            print_json(_without_photos(found))
            return
        console().print(plain(f"Your finding is taken. The examination: {state_words(found.summary.state)}."))
        conclusion = conclusion_words(found.summary)
        if conclusion:
            console().print(plain(f"It concludes: {conclusion}."))
        console().print(plain(found.notice), style="italic")


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise Unusable("FILE_UNREADABLE", f"{shown(path)} is no text in UTF-8.") from error


def _write_photos(found: review_pb2.Examination, folder: Path) -> dict[str, str]:
    """Write the photos that there are; return the names of the files, by "probe" or the template."""
    photos = {"probe": found.probe.data}
    photos |= {str(one.template_id): one.photo.data for one in found.candidates if one.HasField("photo")}
    files: dict[str, str] = {}
    for whose, data in photos.items():
        name = "probe" if whose == "probe" else f"candidate-{int(whose)}"
        files[whose] = f"{name}.{photo_ending(data)}"
        (folder / files[whose]).write_bytes(data)
        (folder / files[whose]).chmod(0o600)
    return files


def _without_photos(found: review_pb2.Examination) -> dict[str, object]:
    """An examination as JSON has it; photos are for files."""
    bare = review_pb2.Examination()
    bare.CopyFrom(found)
    bare.ClearField("probe")
    for one in bare.candidates:
        one.ClearField("photo")
    return message_keys(bare)


def _print_examination(found: review_pb2.Examination, files: dict[str, str]) -> None:
    summary = found.summary
    rows = [
        ("Examination", summary.examination_id),
        ("Case", summary.case_id),
        ("Reference", found.case_reference),
        ("Purpose", purpose_words(found.purpose) if found.purpose else ""),
        ("Gallery", f"{summary.gallery_id}, version {found.gallery_version}"),
        ("Searched", when(summary.create_time)),
        ("Model", model_name(found.model)),
        ("Threshold", f"{found.threshold:.4f}"),
        ("Probe", " ".join(filter(None, (f"sha256 {found.probe_sha256}", files.get("probe"))))),
        ("State", state_words(summary.state)),
        ("Findings", f"{found.required_findings} where the examiners agree" if found.candidates else "none needed"),
        ("Conclusion", conclusion_words(summary)),
    ]
    console().print(pairs([(name, value) for name, value in rows if value]))
    ranked = any(one.HasField("similarity") for one in found.candidates)
    columns = ("Rank", "Similarity") if ranked else ()
    named = any(one.subject_id for one in found.candidates)
    made = table(*columns, "Template", *(("Subject",) if named else ()), "Photo", right=(*columns, "Template"))
    for one in found.candidates:
        kept = "kept" if one.HasField("photo") else "none kept"
        numbers = (str(one.rank), f"{one.similarity:.4f}") if ranked else ()
        words = (*((one.subject_id,) if named else ()), files.get(str(one.template_id), kept))
        made.add_row(*numbers, str(one.template_id), *map(plain, words))
    console().print(made if found.candidates else "There is no candidate.")
    for given in found.findings:
        console().print(plain(f"{given.examiner}, {when(given.create_time)}: {found_words(given)}."))
        for line in given.notes.splitlines():
            console().print(plain(f"  {line}"))
