"""`fr info`, `fr detect` and `fr compare`: need no gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from fr_api.v1 import recognition_pb2, server_pb2
from fr_client.cli.files import read_photo, typed_path
from fr_client.cli.gallery.error_rates import answer_keys, evidence_text, rates_text
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
from fr_client.cli.show import (
    console,
    face_table,
    face_text,
    model_name,
    number,
    pairs,
    plain,
    print_answer,
    quality_text,
    shown,
)
from fr_client.cli.state import AsJson, NoDownscale, argument, connected, require_one_criterion
from fr_client.errors import FrApiError
from fr_client.unpack import message_keys
from fr_client.words import OneFace

if TYPE_CHECKING:
    from fr_client.cli.drawing import Photo

SeveralFacesOption = Annotated[
    OneFace,
    typer.Option(
        "--several-faces",
        help="For a photo of several faces: take the clear subject, refuse the photo, or take the largest face.",
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        min=-1.0,
        max=1.0,
        help="Similarity at or above which a candidate counts as a lead; the model's default if unset.",
    ),
]

TargetFmr = Annotated[
    float | None,
    typer.Option(
        "--target-fmr",
        min=0.0,
        max=1.0,
        metavar="RATE",
        help="In place of a threshold: the share of comparisons of different people to accept, such as 0.0001.",
    ),
]


def info(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the server's version, model, licences, device and limits."""
    with connected(context, as_json) as client:
        answer = client.server_info()
        described = pairs([("Server", client.target), *_info_rows(answer)])
        print_answer(as_json, answer, described, Text(plain(answer.notice).plain, "italic"))


def detect(
    context: typer.Context,
    photos: PhotoPaths = None,
    listed: Listed = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png",
            help="Write the photo with boxes, landmarks and numbers here; for several photos, a new folder.",
        ),
    ] = None,
    no_downscale: NoDownscale = False,
    brief: Brief = False,
    as_lines: AsLines = False,
) -> None:
    """Find every face of each photo, the largest first.

    Exit status 3: you gave several photos, and some were refused or could not be read.
    """
    form = Form(as_lines, brief)
    with connected(context, as_lines, lines=True) as client:
        probes = find_probes(photos, listed)
        write_drawn = pictures_to(draw, probes)

        def ask(data: bytes, photo: Path) -> Answered:
            answer = client.detect(data)
            write_drawn(photo, lambda: _drawn(data, answer))
            count = len(answer.faces)
            faces = {0: "no face", 1: "1 face"}.get(count, f"{count} faces")
            quality = f"; the largest: {quality_text(answer.faces[0].quality)}" if count else ""

            def show() -> None:
                size = f"{answer.image_width} x {answer.image_height} pixels"
                console().print(plain(f"{shown(photo)}: {faces} in {size}"))
                if count:
                    console().print(face_table(answer.faces))

            return Answered(message_keys(answer), f"{faces}{quality}", show, named=True)

        answer_each(context, client, probes, form, ask, draw)


def compare(
    context: typer.Context,
    a: Annotated[Path, argument("A", "Photo of the first face; - reads it from standard input.", typed_path)],
    photos: Annotated[
        list[Path] | None,
        argument("B", "Photo to compare it with, or folder of photos; - reads it from standard input.", typed_path),
    ] = None,
    listed: Listed = None,
    several_faces: SeveralFacesOption = "prominent",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1.0, max=1.0, help="Similarity to compare that of the faces with; the model's default if unset."
        ),
    ] = None,
    target_fmr: TargetFmr = None,
    no_downscale: NoDownscale = False,
    brief: Brief = False,
    as_lines: AsLines = False,
) -> None:
    """Compare the face of a photo with that of another photo, or of each of several others.

    Exit status 3: you gave several photos, and some were refused or could not be read.
    """
    require_one_criterion(threshold=threshold, target_fmr=target_fmr)
    if not photos and listed is None:
        raise typer.BadParameter(
            "Name the photo to compare A with, or a folder of photos; or give --list FILE.", param_hint="B"
        )
    form = Form(as_lines, brief, "photo_b", {"photo_a": shown(a)})
    with connected(context, as_lines, lines=True) as client:
        probes = find_probes(photos, listed, a)
        first = read_photo(a, client)

        def ask(data: bytes, photo: Path) -> Answered:
            # The line of one of several refused photos has its name.
            second = {} if probes.several else {"b": f"Second photo, {shown(photo)}"}
            with _naming({"a": f"First photo, {shown(a)}", **second}):
                answer = client.compare(
                    first, data, several_faces=several_faces, threshold=threshold, target_fmr=target_fmr
                )
            verdict = "reaches" if answer.above_threshold else "is below"
            similarity = number(answer.similarity, ".4f")
            verdict = f"{similarity} {verdict} the threshold {number(answer.threshold, '.4f')}"
            first_text, second_text = (
                face_text(face, choice)
                for face, choice in ((answer.face_a, answer.choice_a), (answer.face_b, answer.choice_b))
            )
            line = f"similarity {verdict}; {first_text} and {second_text}"
            shared = () if answer.HasField("rates_withheld") else tuple(rates_text(answer))
            return Answered(
                answer_keys(answer), line, lambda: _print_comparison(answer, verdict), answer.notice, shared
            )

        answer_each(context, client, probes, form, ask)


def _print_comparison(answer: recognition_pb2.CompareResponse, verdict: str) -> None:
    out = console()
    out.print(f"Similarity {verdict}.", style="bold")
    out.print(plain(f"Model {model_name(answer.model)}"))
    out.print(face_table([answer.face_a, answer.face_b], ("first", "second")))
    sides = (("first", answer.face_a, answer.choice_a), ("second", answer.face_b, answer.choice_b))
    for place, face, choice in sides:
        if choice.faces > 1:
            out.print(plain(f"In the {place} photo: {face_text(face, choice)}."))
    if answer.HasField("rates_withheld"):
        out.print(plain(answer.rates_withheld.sentence))
    for sentence in evidence_text(answer):
        out.print(plain(sentence))


@contextmanager
def _naming(photos: Mapping[str, str]) -> Iterator[None]:
    """Put the name of the refused photo before the sentence of a refusal; `photos`: the names by side, "a" or "b"."""
    try:
        yield
    except FrApiError as error:
        side = error.metadata.get("field", "").partition(".")[0]
        if side not in photos:
            raise
        words = f"{photos[side]}: {error.message}"
        raise FrApiError(
            error.code, error.reason, words, error.metadata, error.retry_after_s, error.request_id
        ) from error


def _info_rows(answer: server_pb2.GetServerInfoResponse) -> list[tuple[str, str]]:
    model, device, limits = answer.model, answer.device, answer.limits
    mebibytes = limits.max_image_bytes / 2**20
    return [
        ("Version", answer.version),
        ("Model", f"{model_name(model.id)}, {model.embedding_size} values"),
        ("Detector's licence", model.detector_licence),
        ("Embedder's licence", model.embedder_licence),
        ("Default threshold", f"{model.default_threshold:.4f} ({model.threshold_source})"),
        ("Device", f"{device.active} (asked for: {device.requested}), {device.runtime}, {device.precision}"),
        ("Detection", device.detection),
        (
            "Photos",
            f"{', '.join(limits.image_formats)}; at most {number(mebibytes, 'g')} MiB and "
            f"{limits.max_image_pixels:,} pixels",
        ),
        ("Calls in work", f"at most {limits.max_in_flight}"),
        ("Candidates of a search", f"at most {limits.max_top_k}"),
    ]


def _drawn(data: bytes, answer: recognition_pb2.DetectResponse) -> Photo:
    from fr_client.cli import drawing
    from fr_client.cli.gallery import pictures

    return pictures.faces_picture(drawing.open_photo(data), answer.faces)
