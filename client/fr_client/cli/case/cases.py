"""`fr case` and `fr evidence`: opens, lists, shows, closes, deletes and exports cases, and searches within them."""

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import grpc
import typer

from fr_api.v1 import access_pb2, review_pb2
from fr_client.cli.files import new_file
from fr_client.cli.gallery import search
from fr_client.cli.gallery.error_rates import answer_keys
from fr_client.cli.gallery.footage import naming_shots
from fr_client.cli.gallery.probes import Answered, AsLines, Brief, Form, Listed, PhotoPaths, answer_each, find_probes
from fr_client.cli.gallery.recognise import SeveralFacesOption, TargetFmr, ThresholdOption
from fr_client.cli.plugins import plugin_group
from fr_client.cli.show import console, every, pairs, plain, print_answer, print_json, print_list, shown, table, when
from fr_client.cli.state import (
    AsJson,
    GalleryId,
    Yes,
    argument,
    confirm,
    connected,
    days_long,
    key_values,
    require_one_criterion,
)
from fr_client.errors import FrApiError
from fr_client.sync.client import Client
from fr_client.unpack import message_keys
from fr_client.words import FINDINGS, PURPOSES, Purpose

NEWER = "newer than this command"

_STATES: Mapping[int, str] = {
    review_pb2.EXAMINATION_STATE_AWAITING_FIRST: "awaits the first examiner",
    review_pb2.EXAMINATION_STATE_AWAITING_SECOND: "awaits the second examiner",
    review_pb2.EXAMINATION_STATE_DISPUTED: "the examiners disagree: awaits a third",
    review_pb2.EXAMINATION_STATE_CONCLUDED: "concluded",
    review_pb2.EXAMINATION_STATE_AWAITING_FINDING: "awaits a finding",
}
_FINDINGS: Mapping[int, str] = {value: word.replace("-", " ") for word, value in FINDINGS.items()}
_PURPOSES: Mapping[int, str] = {value: word for word, value in PURPOSES.items()}


def state_text(state: int) -> str:
    """Return the state of an examination, in words."""
    return _STATES.get(state, NEWER)


def finding_text(kind: int) -> str:
    """Return a finding, such as "potential candidate"."""
    return _FINDINGS.get(kind, NEWER)


def purpose_text(purpose: int) -> str:
    """Return a purpose, as in the option that sets it."""
    return _PURPOSES.get(purpose, NEWER)


def conclusion_text(one: review_pb2.ExaminationSummary) -> str:
    """Return the conclusion of an examination, with its candidate; "" before it has one."""
    if one.conclusion == review_pb2.FINDING_KIND_UNSPECIFIED:
        return ""
    return _with_template(one.conclusion, one.concluded_template_id)


def found_text(one: review_pb2.Finding) -> str:
    """Return an examiner's finding, with candidate and rating."""
    words = _with_template(one.kind, one.template_id)
    return f"{words}, rated {one.rating:+d}" if one.template_id else words


def _with_template(kind: int, template_id: int) -> str:
    return f"{finding_text(kind)}: template {template_id}" if template_id else finding_text(kind)


case = typer.Typer(help="Open, list, show, close and delete cases, and search within them.", no_args_is_help=True)

CaseId = Annotated[str, argument("CASE", "Id of the case; `fr case list` lists them.")]


@case.command("open")
def open_case(
    context: typer.Context,
    reference: Annotated[str, argument("REFERENCE", "Reference that people know it by; at most 128 letters.")],
    purpose: Annotated[Purpose, typer.Option(help="Purpose of its searches.", show_default=False)],
    retention_days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36_500, metavar="DAYS", help="Delete it after this long; never if unset."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open a case; no two open cases may have the same reference."""
    with connected(context, as_json) as client:
        _print_case(client.review.open_case(reference, purpose, retention=days_long(retention_days)), as_json)


@case.command("list")
def list_cases(context: typer.Context, as_json: AsJson = False) -> None:
    """List the cases, the newest first."""
    with connected(context, as_json) as client:
        found = every(client.review.cases())
        rows = table("Case", "Reference", "Purpose", "State", "Opened", "Deleted on", whole=("Case",))

        def row(one: review_pb2.Case) -> tuple[str, ...]:
            purpose, opened = purpose_text(one.purpose), when(one.create_time)
            return one.case_id, one.case_reference, purpose, _open_or_closed(one), opened, _end_of(one)

        print_list(as_json, "cases", found, rows, row, "There is no case yet.")


@case.command("show")
def show_case(context: typer.Context, case_id: CaseId, as_json: AsJson = False) -> None:
    """Show a case and its examinations."""
    with connected(context, as_json) as client:
        _print_case(client.review.case(case_id), as_json)


@case.command("close")
def close_case(context: typer.Context, case_id: CaseId, as_json: AsJson = False) -> None:
    """Close a case for further searches."""
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
        number = deleted.deleted_examinations
        told = f"Deleted case {case_id} with {number:,} examination{'' if number == 1 else 's'}."
        print_answer(as_json, deleted, told)


@case.command("search")
def search_in_case(
    context: typer.Context,
    case_id: CaseId,
    gallery_id: GalleryId,
    photos: PhotoPaths = None,
    listed: Listed = None,
    top_k: search.TopK = None,
    threshold: ThresholdOption = None,
    target_fmr: TargetFmr = None,
    target_fpir: search.TargetFpir = None,
    only_above: search.OnlyAbove = False,
    several_faces: SeveralFacesOption = "prominent",
    where: search.Where = None,
    only_subjects: search.OnlySubjects = None,
    fusion: search.Fused = "max",
    brief: Brief = False,
    as_lines: AsLines = False,
) -> None:
    """Search a gallery within a case for the face of each photo: leads for its examiners, never an identity.

    The server keeps each photo and its candidate list with the case, so a photo over the server's limits is refused,
    and not scaled down. Purpose and reference are those of the case. Exit status 3: you gave several photos, and some
    were refused or could not be read.
    """
    context.obj = replace(context.obj, downscale=False)
    require_one_criterion(threshold=threshold, target_fmr=target_fmr, target_fpir=target_fpir)
    form, metadata = Form(as_lines, brief), key_values(where or [], "--where")
    with connected(context, as_lines, lines=True) as client:
        probes = find_probes(photos, listed)

        def ask(data: bytes, photo: Path) -> Answered:
            answer = client.review.search(
                case_id,
                gallery_id,
                data,
                top_k=top_k,
                threshold=threshold,
                only_above_threshold=only_above,
                several_faces=several_faces,
                fusion=fusion,
                metadata=metadata,
                subject_ids=only_subjects,
                target_fmr=target_fmr,
                target_fpir=target_fpir,
            )
            found, kept = answer.found, answer.examination

            def show() -> None:
                search.print_search(gallery_id, found)
                console().print(plain(_kept_text(kept)))

            keys = {"found": answer_keys(found), "examination": message_keys(kept)}
            line = f"{search.search_line(found)}; examination {kept.examination_id}"
            return Answered(
                keys, line, show, found.notice, search.search_text(found, search.filter_text(where, only_subjects))
            )

        answer_each(context, client, probes, form, ask)


@case.command("search-footage")
def search_footage(
    context: typer.Context,
    case_id: CaseId,
    gallery_id: GalleryId,
    video_id: Annotated[str, argument("VIDEO", "Id of the video; `fr footage analyze` prints it.")],
    track: Annotated[int, typer.Option(min=1, metavar="N", help="Number of the track.", show_default=False)],
    shot: Annotated[int, typer.Option(min=1, metavar="N", help="Which of its best shots; 1 is the best.")] = 1,
    top_k: search.TopK = None,
    threshold: ThresholdOption = None,
    only_above: search.OnlyAbove = False,
    as_json: AsJson = False,
) -> None:
    """Search a gallery within a case for a track of footage: leads for its examiners, never an identity.

    The server keeps the crop and its frame's time and hash with the case, but not the footage: keep the file.
    """
    with connected(context, as_json) as client:
        with naming_shots(client, video_id, track, shot):
            answer = client.review.search_footage(
                case_id,
                gallery_id,
                video_id,
                track,
                shot=shot,
                top_k=top_k,
                threshold=threshold,
                only_above_threshold=only_above,
            )
        if as_json:
            print_json({"found": answer_keys(answer.found), "examination": message_keys(answer.examination)})
            return
        search.print_search(gallery_id, answer.found)
        console().print(plain(_kept_text(answer.examination)))
        console().print(plain(answer.found.notice))


def _kept_text(kept: review_pb2.ExaminationSummary) -> str:
    if not kept.candidate_count:
        return f"There is no candidate to examine; the case keeps the search as {kept.examination_id}."
    return f"Examiners see it as examination {kept.examination_id}."


def _require_admin(client: Client) -> None:
    if access_pb2.ROLE_ADMIN not in client.access.who_am_i().roles:
        message = "Only admins delete cases (see docs/access.md). `fr whoami` shows your roles."
        raise FrApiError(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", message)


def _print_case(found: review_pb2.Case, as_json: bool) -> None:
    rows = [
        ("Case", found.case_id),
        ("Reference", found.case_reference),
        ("Purpose", purpose_text(found.purpose)),
        ("State", _open_or_closed(found)),
        ("Opened", when(found.create_time)),
        ("Closed", when(found.close_time) if found.HasField("close_time") else ""),
        ("Deleted on", _end_of(found) or "never"),
    ]
    columns = ("Examination", "Gallery", "Searched", "Candidates", "State", "Conclusion")
    made = table(*columns, right=("Candidates",), whole=("Examination",))
    for one in found.examinations:
        cells = map(plain, (one.examination_id, one.gallery_id, when(one.create_time)))
        made.add_row(*cells, str(one.candidate_count), state_text(one.state), conclusion_text(one))
    described = pairs([(name, value) for name, value in rows if value])
    print_answer(as_json, found, described, *([made] if found.examinations else []))


def _open_or_closed(one: review_pb2.Case) -> str:
    return "closed" if one.HasField("close_time") else "open"


def _end_of(one: review_pb2.Case) -> str:
    return when(one.expire_time) if one.HasField("expire_time") else ""


evidence = typer.Typer(
    cls=plugin_group("evidence"),
    help="Export the evidence of a case, and check a bundle anywhere.",
    no_args_is_help=True,
)


@evidence.callback()
def _evidence() -> None:
    """Export the evidence of a case, and check a bundle anywhere."""


@evidence.command("export")
def export(
    context: typer.Context,
    case_id: CaseId,
    out: Annotated[Path, typer.Option(metavar="FILE.zip", help="New file for the bundle.", show_default=False)],
    include_unfinished: Annotated[
        bool,
        typer.Option("--include-unfinished", help="Include examinations that wait for a finding; the bundle says so."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the evidence bundle of a case. Only you can read the file: it holds photos of faces.

    The file appears once it is complete. `fr evidence verify` checks it on any machine. Note its sha256: the receiver
    of the bundle compares it.
    """
    digest = hashlib.sha256()
    with connected(context, as_json) as client:
        with (
            new_file(out) as file,
            closing(client.review.evidence_parts(case_id, include_unfinished=include_unfinished)) as parts,
        ):
            for part in parts:
                digest.update(part)
                file.write(part)
        size, sha256 = out.stat().st_size, digest.hexdigest()
        if as_json:
            print_json({"file": shown(out), "size_bytes": size, "sha256": sha256})
            return
        console().print(plain(f"Wrote {shown(out)}: {size:,} bytes."))
        typer.echo(f"sha256 {sha256}")  # in one line, however narrow the terminal is
