"""`fr train report get` and `fr train export`: write results for people, programs and other systems."""

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import grpc
import typer

from fr_client.cli.files import new_folder, write_parts
from fr_client.cli.show import plain, print_answer, shown
from fr_client.cli.state import AsJson, argument, connected
from fr_client.cli.train.codes import asked_code
from fr_client.cli.train.cohorts import CohortId
from fr_client.cli.train.messages import in_trainees_words
from fr_client.errors import FrApiError
from fr_client.private import private_file
from fr_client.sync.client import Client
from fr_client.words import ExportFormat, TrainingFile

# A server without matplotlib has no page; after the figures, that is not an error.
_HAS_NONE = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)


_NAMES: dict[TrainingFile, str] = {
    "json": "report.json",
    "html": "report.html",
    "deck": "deck.html",
    "certificate": "certificate.html",
}

report = typer.Typer(help="Write reports of cohorts and trainees.", no_args_is_help=True)


@report.command("get")
def get_report(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the files.")],
    cohort_id: Annotated[str | None, argument("COHORT", "Id of the cohort.")] = None,
    trainee: Annotated[str | None, typer.Option(metavar="ID", help="A trainee, in place of a cohort.")] = None,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Your own code, when you are done, in place of a cohort; - asks for it."),
    ] = None,
    file: Annotated[
        TrainingFile | None,
        typer.Option(
            help="Only this one; json and html if unset. deck: the released items, for a class; certificate: to print."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a cohort or of a trainee: its figures, and a page for people.

    Only you can read the folder. A report is training output, not evidence of anybody's identity.
    """
    if (cohort_id is not None) + (trainee is not None) + (code is not None) != 1:
        raise typer.BadParameter("Give one of COHORT, --trainee and --code.")
    with connected(context, as_json) as client, nullcontext() if code is None else in_trainees_words():
        whom = {"code": None if code is None else asked_code(code), "trainee_id": trainee, "cohort_id": cohort_id}
        written: list[str] = []
        wanted: tuple[TrainingFile, ...] = ("json", "html") if file is None else (file,)
        with new_folder(out) as folder:
            for word in wanted:
                if _written(client, whom, word, folder, must=file is not None or not written):
                    written.append(_NAMES[word])
        print_answer(as_json, {"folder": shown(out), "files": written}, f"{shown(out)}: {', '.join(written)}.")


def export(
    context: typer.Context,
    cohort_id: CohortId,
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format", help="Rows, xAPI statements, scores for LTI, or signed Open Badges.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="New file.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write the results of a cohort for other systems, with the pseudonyms of the trainees.

    Only you can read the file.
    """
    with connected(context, as_json) as client:
        write_parts(out, client.training.export_parts(cohort_id, form))
        print_answer(as_json, {"file": shown(out)}, f"Wrote {shown(out)}.")


def _written(client: Client, whom: dict[str, str | None], word: TrainingFile, folder: Path, must: bool) -> bool:
    try:
        with (
            private_file(folder / _NAMES[word], replace=True) as file,
            closing(client.training.report_parts(**whom, file=word)) as parts,
        ):
            file.writelines(parts)
    except FrApiError as error:
        if must or error.code not in _HAS_NONE:
            raise
        typer.echo(plain(f"No {_NAMES[word]}: {error.message}").plain, err=True)
        return False
    return True
