"""`fr train report` and `fr train export`: what was learnt, for people, programs and other systems."""

from __future__ import annotations

from contextlib import closing, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import grpc
import typer

from fr_client.cli.show import console, plain, print_json, shown
from fr_client.cli.state import AsJson, Unusable, connected
from fr_client.cli.train_cohorts import CohortId
from fr_client.cli.train_refusals import in_trainees_words
from fr_client.cli.train_secret import asked_code
from fr_client.client import Client
from fr_client.errors import FrApiError
from fr_client.private import private_file, private_folder
from fr_client.training_requests import ExportFormat, TrainingFile

_FILES: tuple[TrainingFile, ...] = ("json", "html")
# A server without matplotlib has no page: where the figures were read before, that is told and no more.
_HAS_NONE = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)


class File(StrEnum):
    """The words of `TrainingFile` as an option takes them."""

    JSON = "json"
    HTML = "html"


class Format(StrEnum):
    """The words of `ExportFormat` as an option takes them."""

    CSV = "csv"
    XAPI = "xapi"
    AGS = "ags"
    OPEN_BADGES = "open-badges"


_FORMATS: dict[Format, ExportFormat] = {
    Format.CSV: "csv",
    Format.XAPI: "xapi",
    Format.AGS: "ags",
    Format.OPEN_BADGES: "open-badges",
}


def report(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make, with the files; it must not exist.")],
    cohort_id: Annotated[
        str | None, typer.Argument(metavar="COHORT", help="Id of the cohort.", show_default=False)
    ] = None,
    trainee: Annotated[str | None, typer.Option(metavar="ID", help="In place of a cohort: a trainee.")] = None,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="In place of a cohort: one's own, when done. - to be asked for it."),
    ] = None,
    file: Annotated[File | None, typer.Option(help="Only this one; both if unset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a cohort or of a trainee: its figures, and a page for people.

    The folder is for its owner alone. A report is training output, not evidence of anybody's identity.
    """
    if (cohort_id is not None) + (trainee is not None) + (code is not None) != 1:
        raise typer.BadParameter("Give one of COHORT, --trainee and --code.")
    with connected(context, as_json) as client, nullcontext() if code is None else in_trainees_words():
        whom = {"code": None if code is None else asked_code(code), "trainee_id": trainee, "cohort_id": cohort_id}
        written: list[str] = []
        try:
            with private_folder(out) as folder:
                for word in _FILES if file is None else (_word(file),):
                    if _written(client, whom, word, folder, must=file is not None or not written):
                        written.append(f"report.{word}")
        except FileExistsError as error:
            raise Unusable("FILE_EXISTS", f"{shown(out)} is there already; choose another name.") from error
        except OSError as error:
            raise Unusable("FILE_UNWRITABLE", f"{shown(out)} cannot be written: {error.strerror}.") from error
        if as_json:
            print_json({"folder": shown(out), "files": written})
            return
        console().print(plain(f"{shown(out)}: {', '.join(written)}."))


def export(
    context: typer.Context,
    cohort_id: CohortId,
    form: Annotated[
        Format,
        typer.Option(
            "--format", help="Rows, xAPI statements, scores for LTI, or signed Open Badges.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file; it must not exist.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write the results of a cohort for other systems; trainees are in it by their pseudonyms.

    The file is for its owner alone.
    """
    with connected(context, as_json) as client:
        try:
            with (
                private_file(out, replace=False) as file,
                closing(client.training.export_parts(cohort_id, _FORMATS[form])) as parts,
            ):
                file.writelines(parts)
        except FileExistsError as error:
            raise Unusable("FILE_EXISTS", f"{shown(out)} is there already; choose another name.") from error
        except OSError as error:
            raise Unusable("FILE_UNWRITABLE", f"{shown(out)} cannot be written: {error.strerror}.") from error
        if as_json:
            print_json({"file": shown(out)})
            return
        console().print(plain(f"Wrote {shown(out)}."))


def _word(file: File) -> TrainingFile:
    return "json" if file is File.JSON else "html"


def _written(client: Client, whom: dict[str, str | None], word: TrainingFile, folder: Path, must: bool) -> bool:
    """Write a file of the report; where it need not be there and is not, say so and return False."""
    try:
        with (
            private_file(folder / f"report.{word}", replace=True) as file,
            closing(client.training.report_parts(**whom, file=word)) as parts,
        ):
            file.writelines(parts)
    except FrApiError as error:
        if must or error.code not in _HAS_NONE:
            raise
        typer.echo(plain(f"No report.{word}: {error.message}").plain, err=True)
        return False
    return True
