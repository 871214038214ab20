"""`fr case`: cases, and searches within them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import grpc
import typer

from fr_api.v1 import access_pb2, review_pb2
from fr_client.cli.case_words import conclusion_words, purpose_words, state_words
from fr_client.cli.error_rates import answer_keys
from fr_client.cli.photos import read_photo
from fr_client.cli.recognise import PhotoPath, SeveralFacesOption, TargetFmr, ThresholdOption
from fr_client.cli.search import print_search
from fr_client.cli.show import console, pairs, plain, print_json, table, when
from fr_client.cli.state import AsJson, GalleryId, Yes, confirm, connected, key_values, require_one_criterion
from fr_client.client import Client
from fr_client.errors import FrApiError
from fr_client.requests import Fusion, Purpose
from fr_client.unpack import message_keys

case = typer.Typer(help="Open, list, show, close and delete cases, and search within them.", no_args_is_help=True)

CaseId = Annotated[
    str, typer.Argument(metavar="CASE", help="Id of the case, as `fr case list` has it.", show_default=False)
]


@case.command("open")
def open_case(
    context: typer.Context,
    reference: Annotated[
        str,
        typer.Argument(metavar="REFERENCE", help="By which people know it; at most 128 letters.", show_default=False),
    ],
    purpose: Annotated[Purpose, typer.Option(help="What its searches are for.", show_default=False)],
    retention_days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36_500, metavar="DAYS", help="Delete it after so long; never if unset."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open a case; the same reference cannot be open twice."""
    with connected(context, as_json) as client:
        retention = None if retention_days is None else timedelta(days=retention_days)
        _print_case(client.review.open_case(reference, purpose, retention=retention), as_json)


@case.command("list")
def list_cases(context: typer.Context, as_json: AsJson = False) -> None:
    """List the cases, the newest first."""
    with connected(context, as_json) as client:
        found = list(client.review.cases())
        if as_json:
            print_json({"cases": [message_keys(one) for one in found]})
            return
        rows = table("Case", "Reference", "Purpose", "State", "Opened", "Deleted on", whole=("Case",))
        for one in found:
            words = map(plain, (one.case_id, one.case_reference, purpose_words(one.purpose)))
            rows.add_row(*words, _open_or_closed(one), when(one.create_time), _end_of(one))
        console().print(rows if found else "There is no case yet.")


@case.command("show")
def show_case(context: typer.Context, case_id: CaseId, as_json: AsJson = False) -> None:
    """Show a case and its examinations."""
    with connected(context, as_json) as client:
        _print_case(client.review.case(case_id), as_json)


@case.command("close")
def close_case(context: typer.Context, case_id: CaseId, as_json: AsJson = False) -> None:
    """Close a case: it takes no more searches."""
    with connected(context, as_json) as client:
        _print_case(client.review.close_case(case_id), as_json)


@case.command("delete")
def delete_case(context: typer.Context, case_id: CaseId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a case with its photos and findings; its audit stays."""
    with connected(context, as_json) as client:
        if not yes:
            _require_admin(client)
        confirm(f"Delete case {case_id} with its examinations, their photos and findings?", yes)
        deleted = client.review.delete_case(case_id)
        if as_json:
            print_json(message_keys(deleted))
            return
        console().print(plain(f"Deleted case {case_id} with {_counted(deleted.deleted_examinations)}."))


@case.command("search")
def search_in_case(
    context: typer.Context,
    case_id: CaseId,
    gallery_id: GalleryId,
    photo: PhotoPath,
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Candidates at most; the server's default if unset.")
    ] = None,
    threshold: ThresholdOption = None,
    target_fmr: TargetFmr = None,
    target_fpir: Annotated[
        float | None,
        typer.Option(
            "--target-fpir",
            min=0.0,
            max=1.0,
            metavar="RATE",
            help="In place of a threshold: the share of searches for strangers to answer with a lead, such as 0.01.",
        ),
    ] = None,
    only_above: Annotated[bool, typer.Option("--only-above", help="Leave out candidates below the threshold.")] = False,
    several_faces: SeveralFacesOption = "error",
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only subjects with this pair of metadata; may be repeated."),
    ] = None,
    only_subjects: Annotated[
        list[str] | None,
        typer.Option("--subject", metavar="SUBJECT", help="Only this subject; may be repeated."),
    ] = None,
    fusion: Annotated[
        Fusion,
        typer.Option(
            help="How the templates of a subject are fused: the best, the mean of the best two, or their mean."
        ),
    ] = "max",
    as_json: AsJson = False,
) -> None:
    """Search a gallery for a face within a case: leads for its examiners, never an identity.

    The photo and the candidate list are kept with the case. Purpose and reference are those of the case.
    """
    require_one_criterion(threshold=threshold, target_fmr=target_fmr, target_fpir=target_fpir)
    with connected(context, as_json) as client:
        answer = client.review.search(
            case_id,
            gallery_id,
            read_photo(photo),
            top_k=top_k,
            threshold=threshold,
            only_above_threshold=only_above,
            several_faces=several_faces,
            fusion=fusion,
            metadata=key_values(where or [], "--where"),
            subject_ids=only_subjects,
            target_fmr=target_fmr,
            target_fpir=target_fpir,
        )
        kept = answer.examination
        if as_json:
            print_json({"found": answer_keys(answer.found), "examination": message_keys(kept)})
            return
        kept_to = ", ".join([*(where or []), *(f"subject {one}" for one in only_subjects or [])])
        print_search(gallery_id, answer.found, kept_to)
        sentence = f"Its examiners find it as examination {kept.examination_id}."
        if not kept.candidate_count:
            sentence = f"There is no candidate to examine; the search is kept as examination {kept.examination_id}."
        console().print(plain(sentence))


def _require_admin(client: Client) -> None:
    """Raise `FrApiError` (NOT_PERMITTED) for whoever may delete no case, so that nothing is asked in vain."""
    if access_pb2.ROLE_ADMIN not in client.access.who_am_i().roles:
        message = "Admins alone delete cases; docs/access.md says who may do what. `fr whoami` tells your roles."
        raise FrApiError(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", message)


def _print_case(found: review_pb2.Case, as_json: bool) -> None:
    if as_json:
        print_json(message_keys(found))
        return
    rows = [
        ("Case", found.case_id),
        ("Reference", found.case_reference),
        ("Purpose", purpose_words(found.purpose)),
        ("State", _open_or_closed(found)),
        ("Opened", when(found.create_time)),
        ("Closed", when(found.close_time) if found.HasField("close_time") else ""),
        ("Deleted on", _end_of(found) or "never"),
    ]
    console().print(pairs([(name, value) for name, value in rows if value]))
    if not found.examinations:
        return
    columns = ("Examination", "Gallery", "Searched", "Candidates", "State", "Conclusion")
    made = table(*columns, right=("Candidates",), whole=("Examination",))
    for one in found.examinations:
        words = map(plain, (one.examination_id, one.gallery_id, when(one.create_time)))
        made.add_row(*words, str(one.candidate_count), state_words(one.state), conclusion_words(one))
    console().print(made)


def _open_or_closed(one: review_pb2.Case) -> str:
    return "closed" if one.HasField("close_time") else "open"


def _end_of(one: review_pb2.Case) -> str:
    return when(one.expire_time) if one.HasField("expire_time") else ""


def _counted(examinations: int) -> str:
    return f"{examinations:,} examination{'' if examinations == 1 else 's'}"
