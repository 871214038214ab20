"""`fr report`: measures the errors of the model on the server, and reads the reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from fr_api.v1 import evaluation_pb2
from fr_client.cli.files import new_folder
from fr_client.cli.progress import staged_progress
from fr_client.cli.show import every, model_name, pairs, print_answer, print_list, shown, table, when
from fr_client.cli.state import AsJson, Yes, argument, confirm, connected
from fr_client.private import private_file
from fr_client.requests import OnProgress
from fr_client.sync.client import Client
from fr_client.words import REPORT_FILES, ReportFile

report = typer.Typer(help="Measure the errors of the model on the server, and read the reports.", no_args_is_help=True)

create = typer.Typer(help="Measure on the server, and keep the report there.", no_args_is_help=True)
dataset = typer.Typer(help="List the data sets for measurements.", no_args_is_help=True)
report.add_typer(create, name="create")
report.add_typer(dataset, name="dataset")


DatasetName = Annotated[str, argument("DATASET", "Name of the data set; `fr report dataset list` lists them.")]
ReportId = Annotated[str, argument("ID", "Id of the report; `fr report list` lists them.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Of the random draws; 1 if unset.")]

_KINDS = {
    evaluation_pb2.EVALUATION_KIND_VERIFICATION: "verification",
    evaluation_pb2.EVALUATION_KIND_IDENTIFICATION: "identification",
}
_FILES: dict[ReportFile, str] = {
    "json": "report.json",
    "html": "report.html",
    "scores": "scores.csv",
    "calibration": "calibration.json",
}
# `fr_evaluation.report.LARGEST_GALLERY`, which a client alone does not have.
MAX_SIZE = 10_000_000
MOST_DIGITS = len(str(MAX_SIZE))


class File(StrEnum):
    """The words of `ReportFile`, for an option that may be repeated."""

    JSON = "json"
    HTML = "html"
    SCORES = "scores"
    CALIBRATION = "calibration"


@dataset.command("list")
def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the data sets for measurements, and which of them the server has."""
    with connected(context, as_json) as client:
        rows = table("Data set", "Title", "Measures", "On the server", "Licence")

        def row(one: evaluation_pb2.Dataset) -> tuple[str, ...]:
            kinds, there = ", ".join(map(_kind, one.kinds)), "yes" if one.available else "no"
            return one.name, one.title, kinds, there, one.licence

        print_list(as_json, "datasets", client.datasets(), rows, row, "The server knows no data set.")


@create.command("verification")
def run_verification(context: typer.Context, dataset: DatasetName, seed: Seed = None, as_json: AsJson = False) -> None:
    """Compare the pairs of a data set on the server: accuracy, error rates and thresholds.

    Ctrl-C stops it, and leaves no report.
    """
    with connected(context, as_json) as client, _shown() as tell:
        made = client.run_verification(dataset, seed=seed, on_progress=tell)
    _print_made(made, as_json)


@create.command("identification")
def run_identification(
    context: typer.Context,
    dataset: DatasetName,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Galleries to fill up with drawn strangers, such as 10000,1000000.")
    ] = "",
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Enrol half of a data set's people on the server and search for all others; this changes no gallery.

    Ctrl-C stops it, and leaves no report.
    """
    galleries = _sizes(sizes)
    with connected(context, as_json) as client, _shown() as tell:
        made = client.run_identification(dataset, seed=seed, gallery_sizes=galleries, on_progress=tell)
    _print_made(made, as_json)


@report.command("list")
def list_reports(context: typer.Context, as_json: AsJson = False) -> None:
    """List the reports that the server keeps, the newest first."""
    with connected(context, as_json) as client:
        rows = table("Report", "Model", "Made", "FR Core", whole=("Report",))  # the id has the kind and the data set

        def row(one: evaluation_pb2.ReportSummary) -> tuple[str, ...]:
            return one.report_id, model_name(one.model), when(one.create_time), one.version

        print_list(as_json, "reports", every(client.reports()), rows, row, "There is no report yet.")


@report.command("get")
def get_report(
    context: typer.Context,
    report_id: ReportId,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the files.")],
    files: Annotated[
        list[File] | None,
        typer.Option("--file", help="Only json, html, scores or calibration; may be repeated. All if unset."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the files of a report: its figures, its page, the scores of its pairs or searches, its calibration.

    Only you can read the folder: the files may name and show photos.
    """
    with connected(context, as_json) as client:
        written: list[str] = []
        with new_folder(out) as folder:
            for word, name in _wanted(client, report_id, files):
                with private_file(folder / name, replace=True) as file:
                    file.writelines(part.content for part in client.report_parts(report_id, word))
                written.append(name)
        print_answer(as_json, {"folder": shown(out), "files": written}, f"{shown(out)}: {', '.join(written)}.")


@report.command("delete")
def delete_report(context: typer.Context, report_id: ReportId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a report with all its files."""
    with connected(context, as_json) as client:
        confirm(f"Delete report {report_id}?", yes)
        client.delete_report(report_id)
        print_answer(as_json, {}, f"Deleted report {report_id}.")


def _wanted(client: Client, report_id: str, wanted: list[File] | None) -> list[tuple[ReportFile, str]]:
    there = () if wanted else client.report(report_id).report.files
    return [(word, name) for word, name in _FILES.items() if word in (wanted or ()) or REPORT_FILES[word] in there]


def _sizes(text: str) -> list[int]:
    """Return the sizes of galleries, ascending; ends the command if one is not a number from 1 to `MAX_SIZE`."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(
        part.isascii() and part.isdigit() and len(part) <= MOST_DIGITS and 1 <= int(part) <= MAX_SIZE for part in parts
    ):
        what = f"Sizes are whole numbers from 1 to {MAX_SIZE}, such as 10000,1000000."
        raise typer.BadParameter(what, param_hint="--sizes")
    return sorted(set(map(int, parts)))


@contextmanager
def _shown() -> Iterator[OnProgress]:
    with staged_progress() as show:
        figures = False

        def tell(done: int, total: int) -> None:
            nonlocal figures
            show("Measuring", "photos", done, total)
            if done == total and not figures:
                figures = True
                typer.echo(
                    "All photos are done. The server now computes the figures: for a large list, that takes minutes.",
                    err=True,
                )

        yield tell


def _print_made(made: evaluation_pb2.ReportSummary, as_json: bool) -> None:
    measured = f"{_kind(made.kind)} on {made.dataset}, {when(made.create_time)}"
    model = f"{model_name(made.model)}, FR Core {made.version}"
    print_answer(
        as_json,
        made,
        made.summary,
        pairs([("Report", made.report_id), ("Measured", measured), ("Model", model)]),
        f"Its files: fr report get {made.report_id} --out DIR",
        Text("The findings of a model are leads for a human examiner, never an identity.", "italic"),
    )


def _kind(kind: evaluation_pb2.EvaluationKind.ValueType) -> str:
    return _KINDS.get(kind, "newer than this command")
