"""`fr search`: lists the subjects of a gallery that are most similar to a face, as text, JSON or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli.gallery.error_rates import answer_keys, rates_text
from fr_client.cli.gallery.probes import (
    Answered,
    AsLines,
    Brief,
    Form,
    Listed,
    PhotoPaths,
    answer_each,
    find_probes,
    pictures_to,
)
from fr_client.cli.gallery.recognise import TargetFmr, ThresholdOption
from fr_client.cli.show import (
    console,
    counted,
    face_text,
    lead_mark,
    leads_text,
    number,
    plain,
    quality_text,
    shown,
    table,
)
from fr_client.cli.state import GalleryId, NoDownscale, connected, key_values, require_one_criterion
from fr_client.sync.client import Client
from fr_client.words import Fusion, Purpose, SeveralFaces

if TYPE_CHECKING:
    from fr_client.cli.drawing import Photo

_FUSED = {
    gallery_pb2.SCORE_FUSION_UNSPECIFIED: "the server does not say how it fused those of a subject",
    gallery_pb2.SCORE_FUSION_MAX: "a subject counts by its best",
    gallery_pb2.SCORE_FUSION_MEAN_TOP_2: "a subject counts by the mean of its best two",
    gallery_pb2.SCORE_FUSION_MEAN_TEMPLATE: "a subject counts by the mean of its templates",
}

# Candidates without a photo to name; further ones are only counted.
_NAMED = 5

TopK = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Candidates at most; the server's default if unset.")
]
TargetFpir = Annotated[
    float | None,
    typer.Option(
        "--target-fpir",
        min=0.0,
        max=1.0,
        metavar="RATE",
        help="In place of a threshold: the share of searches for strangers that may give a lead, such as 0.01.",
    ),
]
OnlyAbove = Annotated[bool, typer.Option("--only-above", help="Leave out candidates below the threshold.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="KEY=VALUE", help="Only subjects with this pair of metadata; may be repeated."),
]
OnlySubjects = Annotated[
    list[str] | None, typer.Option("--subject", metavar="SUBJECT", help="Only this subject; may be repeated.")
]
Fused = Annotated[
    Fusion,
    typer.Option(
        "--fusion", help="How to fuse the templates of a subject: the best, the mean of the best two, or their mean."
    ),
]


def search(
    context: typer.Context,
    gallery_id: GalleryId,
    photos: PhotoPaths = None,
    listed: Listed = None,
    top_k: TopK = None,
    threshold: ThresholdOption = None,
    target_fmr: TargetFmr = None,
    target_fpir: TargetFpir = None,
    only_above: OnlyAbove = False,
    several_faces: Annotated[
        SeveralFaces,
        typer.Option(
            "--several-faces",
            help="For a photo of several faces: take the clear subject or the largest, refuse it, or search all.",
        ),
    ] = "prominent",
    where: Where = None,
    only_subjects: OnlySubjects = None,
    fusion: Fused = "max",
    purpose: Annotated[
        Purpose | None, typer.Option(help="Purpose of the search; required for an operational gallery.")
    ] = None,
    case: Annotated[
        str, typer.Option(metavar="REFERENCE", help="Reference of the case; required for an operational gallery.")
    ] = "",
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Draw the probe beside its candidates here; for several photos, a new folder."
        ),
    ] = None,
    candidate_photos: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --draw, if the gallery keeps no photos: their folder, or the manifest of `fr enrol`.",
        ),
    ] = None,
    at_least: Annotated[
        str,
        typer.Option(
            metavar="TOKEN", help="The version_token of an earlier answer: search that version of the gallery or later."
        ),
    ] = "",
    no_downscale: NoDownscale = False,
    brief: Brief = False,
    as_lines: AsLines = False,
) -> None:
    """Search a gallery for the face of each photo: leads for a human examiner, never an identity.

    Exit status 3: you gave several photos, and some were refused or could not be read.
    """
    require_one_criterion(threshold=threshold, target_fmr=target_fmr, target_fpir=target_fpir)
    if candidate_photos is not None and draw is None:
        raise typer.BadParameter("It works only with --draw.", param_hint="--candidate-photos")
    form, metadata = Form(as_lines, brief), key_values(where or [], "--where")
    with connected(context, as_lines, lines=True) as client:
        probes = find_probes(photos, listed)
        write_drawn = pictures_to(draw, probes, candidate_photos)

        def ask(data: bytes, photo: Path) -> Answered:
            answer = client.search(
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
                purpose=purpose,
                case_reference=case,
                at_least=at_least,
            )
            write_drawn(photo, lambda: _drawn(client, gallery_id, photo, data, answer, candidate_photos, purpose, case))
            keys, line = answer_keys(answer), search_line(answer)
            shared = search_text(answer, filter_text(where, only_subjects))
            return Answered(keys, line, lambda: print_search(gallery_id, answer), answer.notice, shared)

        answer_each(context, client, probes, form, ask, draw)


def search_line(answer: gallery_pb2.SearchResponse) -> str:
    """Return the best candidate of each face in one line."""
    if len(answer.results) == 1:
        result = answer.results[0]
        return _best(result, face_text(result.face, result.choice))
    return "; ".join(
        f"face {place}: {_best(result, quality_text(result.face.quality))}"
        for place, result in enumerate(answer.results, start=1)
    )


def _best(result: gallery_pb2.SearchResult, face: str) -> str:
    quality = f", {face}" if result.HasField("face") else ""
    if not result.candidates:
        return f"no candidate{quality}"
    best, leads = result.candidates[0], sum(one.above_threshold for one in result.candidates)
    found = f"{best.subject_id} ({number(best.similarity, '.4f')})"
    if not leads:
        return f"no lead, the most similar is {found}{quality}"
    return f"{counted(leads, 'lead')}, {'first ' if leads > 1 else ''}{found}{quality}"


def filter_text(where: Sequence[str] | None, only_subjects: Sequence[str] | None) -> str:
    """Return the filter of a search for people; empty without one."""
    return ", ".join([*(where or []), *(f"subject {one}" for one in only_subjects or [])])


def search_text(answer: gallery_pb2.SearchResponse, among: str = "") -> list[str]:
    """Return the filter, the way of the search, and its error rates: the same for each photo of a run."""
    fused = _FUSED.get(answer.fusion, "the server fused those of a subject in a way that is newer than this command")
    how = "each compared exactly" if answer.exhaustive else "those that a first scan picked compared exactly"
    searched = f"{counted(answer.searched_templates, 'template')} searched, {how}; {fused}."
    return [
        *([f"Searched only: {among}."] if among else []),
        *([searched] if answer.searched_templates else []),
        *rates_text(answer),
    ]


def print_search(gallery_id: str, answer: gallery_pb2.SearchResponse) -> None:
    """Print the candidate lists."""
    out = console()
    several = len(answer.results) > 1
    for place, result in enumerate(answer.results, start=1):
        face = f"Face {place} of {len(answer.results)}: " if several else ""
        leads = f"{leads_text(result)} at threshold {answer.threshold:.4f}"
        out.print(plain(f"{face}{leads} in gallery {gallery_id}"), style="bold")
        if result.HasField("face"):
            probe = quality_text(result.face.quality) if several else face_text(result.face, result.choice)
            out.print(plain(f"Probe: {probe}."))
        if result.HasField("rates_withheld"):
            out.print(plain(result.rates_withheld.sentence))
        if not result.candidates:
            continue
        rows = table("Rank", "Similarity", "Counts as", "Subject", "Name", "Template", right=("Rank", "Similarity"))
        for one in result.candidates:
            rows.add_row(
                str(one.rank),
                number(one.similarity, ".4f"),
                lead_mark(one),
                plain(one.subject_id),
                plain(one.display_name),
                str(one.template_id),
                style="" if one.above_threshold else "dim",
            )
        out.print(rows)
    if not answer.searched_templates:
        out.print("Nobody was searched: no template fits the filter.", style="bold")


def _drawn(
    client: Client,
    gallery_id: str,
    photo: Path,
    data: bytes,
    answer: gallery_pb2.SearchResponse,
    photos: Path | None,
    purpose: Purpose | None,
    case: str,
) -> Photo:
    from fr_client.cli import drawing
    from fr_client.cli.gallery import pictures

    crops = pictures.crops(client, gallery_id, answer, photos, purpose, case)
    subject_of = {one.template_id: one.subject_id for result in answer.results for one in result.candidates}
    missing = [subject for number, subject in subject_of.items() if number not in crops]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        hint = "not found there" if photos else "name the enrolled folder with --candidate-photos"
        told = f"The picture of {shown(photo)} lacks photos of {', '.join(missing[:_NAMED])}{more}: {hint}."
        typer.echo(plain(told).plain, err=True)
    return pictures.search_picture(drawing.open_photo(data), answer, crops)
