"""`fr review`: lists and shows examinations, and submits findings."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from fr_api.v1 import review_pb2
from fr_client.cli import show
from fr_client.cli.case.cases import conclusion_text, found_text, purpose_text, state_text
from fr_client.cli.files import new_folder, read_text
from fr_client.cli.state import AsJson, argument, connected, require_one_of
from fr_client.private import private_file
from fr_client.unpack import message_keys, photo_ending
from fr_client.words import Finding

review = typer.Typer(help="Examine the leads of searches, and give findings.", no_args_is_help=True)

ExaminationId = Annotated[str, argument("EXAMINATION", "Id of the examination; `fr review list` lists them.")]


@review.command("list")
def list_awaiting(context: typer.Context, as_json: AsJson = False) -> None:
    """List the examinations that wait for your finding, the oldest first."""
    with connected(context, as_json) as client:
        found = show.every(client.review.awaiting())
        columns = ("Examination", "Case", "Gallery", "Searched", "Candidates")
        rows = show.table(*columns, right=("Candidates",), whole=("Examination", "Case"))

        def row(one: review_pb2.ExaminationSummary) -> tuple[str, ...]:
            searched, candidates = show.when(one.create_time), str(one.candidate_count)
            return one.examination_id, one.case_id, one.gallery_id, searched, candidates

        show.print_list(as_json, "examinations", found, rows, row, "No examination waits for your finding.")


@review.command("show")
def show_examination(
    context: typer.Context,
    examination_id: ExaminationId,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="New folder for the photos.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show an examination; with --out, write the photos of the probe and of the candidates as files.

    Only you can read the folder. The command opens nothing: look at the photos with a viewer that you trust.
    """
    with connected(context, as_json) as client:
        found = client.review.examination(examination_id)
        files: dict[str, str] = {}
        if out is not None:
            with new_folder(out) as folder:
                files = _write_photos(found, folder)
        if as_json:
            show.print_json(
                {**_without_photos(found), "folder": None if out is None else show.shown(out), "files": files}
            )
            return
        _print_examination(found, files)
        if out is not None:
            show.console().print(show.plain(f"Wrote {show.counted(len(files), 'photo')} to {show.shown(out)}."))
        show.console().print(show.plain(found.notice), style="italic")


@review.command("submit")
def submit_finding(
    context: typer.Context,
    examination_id: ExaminationId,
    finding: Annotated[Finding, typer.Option(help="Your finding.", show_default=False)],
    template_id: Annotated[
        int | None, typer.Option("--template", min=1, metavar="N", help="The potential candidate, by its template.")
    ] = None,
    rating: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=3,
            metavar="R",
            help="How strongly your observations support the same person: 1 weakly, 2 moderately, 3 strongly.",
        ),
    ] = None,
    notes: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Your observations; at most 4,000 characters.")
    ] = None,
    notes_file: Annotated[
        Path | None,
        typer.Option(
            "--notes-file", metavar="FILE", help="Read the notes from a file, to keep them out of the shell's history."
        ),
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
        text = notes or "" if notes_file is None else read_text(notes_file).strip()
        found = client.review.submit_finding(
            examination_id, finding, template_id=template_id, rating=rating, notes=text
        )
        conclusion = conclusion_text(found.summary)
        show.print_answer(
            as_json,
            _without_photos(found),
            f"The server has your finding. The examination: {state_text(found.summary.state)}.",
            *([f"It concludes: {conclusion}."] if conclusion else []),
            Text(show.plain(found.notice).plain, "italic"),
        )


def _write_photos(found: review_pb2.Examination, folder: Path) -> dict[str, str]:
    """Write the photos; return the names of the files by "probe" or the template."""
    photos = {"probe": ("probe", found.probe.data)}
    photos |= {
        str(one.template_id): (f"candidate-{one.template_id}", one.photo.data)
        for one in found.candidates
        if one.HasField("photo")
    }
    files: dict[str, str] = {}
    for whose, (name, data) in photos.items():
        files[whose] = f"{name}.{photo_ending(data)}"
        with private_file(folder / files[whose], replace=True) as file:
            file.write(data)
    return files


def _without_photos(found: review_pb2.Examination) -> dict[str, object]:
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
        ("Purpose", purpose_text(found.purpose) if found.purpose else ""),
        ("Gallery", f"{summary.gallery_id}, version {found.gallery_version}"),
        ("Searched", show.when(summary.create_time)),
        ("Model", show.model_name(found.model)),
        ("Threshold", f"{found.threshold:.4f}"),
        ("Probe", " ".join(filter(None, (f"sha256 {found.probe_sha256}", files.get("probe"))))),
        ("State", state_text(summary.state)),
        ("Findings", f"{found.required_findings} if the examiners agree" if found.candidates else "none needed"),
        ("Conclusion", conclusion_text(summary)),
    ]
    show.console().print(show.pairs([(name, value) for name, value in rows if value]))
    ranked = any(one.HasField("similarity") for one in found.candidates)
    columns = ("Rank", "Similarity") if ranked else ()
    named = any(one.subject_id for one in found.candidates)
    made = show.table(*columns, "Template", *(("Subject",) if named else ()), "Photo", right=(*columns, "Template"))
    for one in found.candidates:
        kept = "kept" if one.HasField("photo") else "none kept"
        numbers = (str(one.rank), f"{one.similarity:.4f}") if ranked else ()
        words = (*((one.subject_id,) if named else ()), files.get(str(one.template_id), kept))
        made.add_row(*numbers, str(one.template_id), *map(show.plain, words))
    show.console().print(made if found.candidates else "There is no candidate.")
    for given in found.findings:
        show.console().print(show.plain(f"{given.examiner}, {show.when(given.create_time)}: {found_text(given)}."))
        for line in given.notes.splitlines():
            show.console().print(show.plain(f"  {line}"))
