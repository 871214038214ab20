"""`fr report`: how the model of a server errs, measured on the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import evaluation_pb2
from fr_client.cli.progress import progress
from fr_client.cli.show import console, model_name, pairs, plain, print_json, shown, table, when
from fr_client.cli.state import AsJson, Unusable, Yes, confirm, connected
from fr_client.client import Client
from fr_client.private import private_file, private_folder
from fr_client.requests import OnProgress, ReportFile
from fr_client.unpack import message_keys

report = typer.Typer(help="Measure on the server how its model errs, and read the reports.", no_args_is_help=True)

DatasetName = Annotated[
    str,
    typer.Argument(metavar="DATASET", help="Name of the data set, as `fr report datasets` has it.", show_default=False),
]
ReportId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the report, as `fr report list` has it.", show_default=False)
]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Of what is drawn; 1 if unset.")]

_KINDS = {
    evaluation_pb2.EVALUATION_KIND_VERIFICATION: "verification",
    evaluation_pb2.EVALUATION_KIND_IDENTIFICATION: "identification",
}
_FILES: dict[evaluation_pb2.ReportFile.ValueType, tuple[ReportFile, str]] = {
    evaluation_pb2.REPORT_FILE_JSON: ("json", "report.json"),
    evaluation_pb2.REPORT_FILE_HTML: ("html", "report.html"),
    evaluation_pb2.REPORT_FILE_SCORES_CSV: ("scores", "scores.csv"),
    evaluation_pb2.REPORT_FILE_CALIBRATION: ("calibration", "calibration.json"),
}
# `fr_evaluation.kinds.LARGEST_GALLERY`, which a client without the rest of FR Core does not have.
MAX_SIZE = 10_000_000
MOST_DIGITS = len(str(MAX_SIZE))


class File(StrEnum):
    """The words of `ReportFile` as an option that may be repeated takes them."""

    JSON = "json"
    HTML = "html"
    SCORES = "scores"
    CALIBRATION = "calibration"


@report.command("datasets")
def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the data sets that something can be measured on, and which of them lie on the server."""
    with connected(context, as_json) as client:
        found = client.datasets()
        if as_json:
            print_json({"datasets": [message_keys(one) for one in found]})
            return
        rows = table("Data set", "Title", "Measures", "On the server", "Licence")
        for one in found:
            kinds = ", ".join(map(_kind, one.kinds))
            there = "yes" if one.available else "no"
            rows.add_row(plain(one.name), plain(one.title), kinds, there, plain(one.licence))
        console().print(rows if found else "The server knows no data set.")


@report.command("verification")
def run_verification(context: typer.Context, dataset: DatasetName, seed: Seed = None, as_json: AsJson = False) -> None:
    """Compare the pairs of a data set on the server: accuracy, error rates and thresholds.

    Ctrl-C ends it, and leaves no report.
    """
    with connected(context, as_json) as client, _shown() as tell:
        made = client.run_verification(dataset, seed=seed, on_progress=tell)
    _print_made(made, as_json)


@report.command("identification")
def run_identification(
    context: typer.Context,
    dataset: DatasetName,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Galleries to fill up with drawn strangers, such as 10000,1000000.")
    ] = "",
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Enrol half of a data set's people on the server and search for all others; no gallery is touched.

    Ctrl-C ends it, and leaves no report.
    """
    galleries = _sizes(sizes)
    with connected(context, as_json) as client, _shown() as tell:
        made = client.run_identification(dataset, seed=seed, gallery_sizes=galleries, on_progress=tell)
    _print_made(made, as_json)


@report.command("list")
def list_reports(context: typer.Context, as_json: AsJson = False) -> None:
    """List the reports that the server keeps, the newest first."""
    with connected(context, as_json) as client:
        found = list(client.reports())
        if as_json:
            print_json({"reports": [message_keys(one) for one in found]})
            return
        rows = table("Report", "Model", "Made", "FR Core")  # an id tells kind and data set, and is copied whole
        rows.columns[0].no_wrap = True
        for one in found:
            model = plain(model_name(one.model))
            made = (when(one.create_time), plain(one.version))
            rows.add_row(plain(one.report_id), model, *made)
        console().print(rows if found else "There is no report yet.")


@report.command("get")
def get_report(
    context: typer.Context,
    report_id: ReportId,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make, with the files; it must not exist.")],
    files: Annotated[
        list[File] | None,
        typer.Option(
            "--file", help="Only json, html, scores or calibration; may be repeated. All that there are if unset."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the files of a report: its figures, its page, the scores of its pairs or searches, its calibration.

    They may name and show photos: the folder is for its owner alone.
    """
    with connected(context, as_json) as client:
        written: list[str] = []
        try:
            with private_folder(out) as folder:
                for word, name in _wanted(client, report_id, files):
                    with private_file(folder / name, replace=True) as file:
                        file.writelines(part.content for part in client.report_parts(report_id, word))
                    written.append(name)
        except FileExistsError as error:
            raise Unusable("FILE_EXISTS", f"{shown(out)} is there already; choose another name.") from error
        except OSError as error:
            raise Unusable("FILE_UNWRITABLE", f"{shown(out)} cannot be written: {error.strerror}.") from error
        if as_json:
            print_json({"folder": shown(out), "files": written})
            return
        console().print(plain(f"{shown(out)}: {', '.join(written)}."))


@report.command("delete")
def delete_report(context: typer.Context, report_id: ReportId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a report with all its files."""
    with connected(context, as_json) as client:
        confirm(f"Delete report {report_id}?", yes)
        client.delete_report(report_id)
        if as_json:
            print_json({})
            return
        console().print(plain(f"Deleted report {report_id}."))


def _wanted(client: Client, report_id: str, wanted: list[File] | None) -> list[tuple[ReportFile, str]]:
    """Word and name of the files that are wanted; without a wish, of all that there are."""
    if wanted:
        return [(word, name) for word, name in _FILES.values() if word in wanted]
    there = client.report(report_id).report.files
    return [_FILES[file] for file in there if file in _FILES]


def _sizes(text: str) -> list[int]:
    """The sizes of galleries, ascending; ends the command where one is no number from 1 to `MAX_SIZE`."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(
        part.isascii() and part.isdigit() and len(part) <= MOST_DIGITS and 1 <= int(part) <= MAX_SIZE for part in parts
    ):
        what = f"Sizes are whole numbers from 1 to {MAX_SIZE}, such as 10000,1000000."
        raise typer.BadParameter(what, param_hint="--sizes")
    return sorted(set(map(int, parts)))


@contextmanager
def _shown() -> Iterator[OnProgress]:
    """Tell on standard error how far an evaluation has come, from its first word on until the block ends."""
    with ExitStack() as stack:
        advance: Callable[[int, int], None] | None = None
        figures = False

        def tell(done: int, total: int) -> None:
            nonlocal advance, figures
            if advance is None:
                advance = stack.enter_context(progress("Measuring", "photos", total))
            advance(done, 0)
            if done == total and not figures:
                figures = True
                typer.echo("All photos are done. The figures are computed, of a large list within minutes.", err=True)

        yield tell


def _print_made(made: evaluation_pb2.ReportSummary, as_json: bool) -> None:
    if as_json:
        print_json(message_keys(made))
        return
    out = console()
    out.print(plain(made.summary))
    out.print(
        pairs(
            [
                ("Report", made.report_id),
                ("Measured", f"{_kind(made.kind)} on {made.dataset}, {when(made.create_time)}"),
                ("Model", f"{model_name(made.model)}, FR Core {made.version}"),
            ]
        )
    )
    out.print(plain(f"Its files: fr report get {made.report_id} --out DIR"))
    out.print("What a model finds is a lead for a human examiner, never an identity.", style="italic")


def _kind(kind: evaluation_pb2.EvaluationKind.ValueType) -> str:
    return _KINDS.get(kind, "newer than this command")
