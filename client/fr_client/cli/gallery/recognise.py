"""`fr info`, `fr detect` and `fr compare`: need no gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from fr_api.v1 import recognition_pb2, server_pb2
from fr_client.cli.files import read_photo, require_drawing, write_picture
from fr_client.cli.gallery.error_rates import answer_keys, evidence_text, rates_text
from fr_client.cli.show import console, face_table, face_text, model_name, pairs, plain, print_answer, print_json, shown
from fr_client.cli.state import AsJson, NoDownscale, argument, connected, require_one_criterion
from fr_client.errors import FrApiError
from fr_client.words import OneFace

PhotoPath = Annotated[Path, argument("PHOTO", "File of a photo, in a format that `fr info` names.")]
SeveralFacesOption = Annotated[
    OneFace,
    typer.Option(
        "--several-faces",
        help="A photo of several faces: take the face that is clearly its subject, refuse it, or take the largest.",
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
    photo: PhotoPath,
    draw: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Write the photo with boxes, landmarks and numbers here.")
    ] = None,
    no_downscale: NoDownscale = False,
    as_json: AsJson = False,
) -> None:
    """Find every face of a photo, the largest first."""
    with connected(context, as_json) as client:
        require_drawing(draw, photo)
        data = read_photo(photo, client)
        answer = client.detect(data)
        if draw is not None:
            _draw_faces(data, answer, draw)
        count = len(answer.faces)
        faces = {0: "no face", 1: "1 face"}.get(count, f"{count} faces")
        found = f"{shown(photo)}: {faces} in {answer.image_width} x {answer.image_height} pixels"
        print_answer(as_json, answer, found, *([face_table(answer.faces)] if count else []))


def compare(
    context: typer.Context,
    a: Annotated[Path, argument("A", "Photo of the first face.")],
    b: Annotated[Path, argument("B", "Photo of the second face.")],
    several_faces: SeveralFacesOption = "prominent",
    threshold: ThresholdOption = None,
    target_fmr: TargetFmr = None,
    no_downscale: NoDownscale = False,
    as_json: AsJson = False,
) -> None:
    """Compare the faces of two photos."""
    require_one_criterion(threshold=threshold, target_fmr=target_fmr)
    with connected(context, as_json) as client:
        photos = read_photo(a, client), read_photo(b, client)
        with _naming({"a": f"First photo, {shown(a)}", "b": f"Second photo, {shown(b)}"}):
            answer = client.compare(*photos, several_faces=several_faces, threshold=threshold, target_fmr=target_fmr)
        if as_json:
            print_json(answer_keys(answer))
            return
        verdict = "reaches" if answer.above_threshold else "is below"
        out = console()
        out.print(f"Similarity {answer.similarity:.4f} {verdict} the threshold {answer.threshold:.4f}.", style="bold")
        out.print(plain(f"Model {model_name(answer.model)}"))
        out.print(face_table([answer.face_a, answer.face_b]))
        sides = (("first", answer.face_a, answer.choice_a), ("second", answer.face_b, answer.choice_b))
        for place, face, choice in sides:
            if choice.faces > 1:
                out.print(plain(f"In the {place} photo: {face_text(face, choice)}."))
        for sentence in (*rates_text(answer), *evidence_text(answer)):
            out.print(plain(sentence))
        out.print(plain(answer.notice), style="italic")


@contextmanager
def _naming(photos: Mapping[str, str]) -> Iterator[None]:
    """Name the photo in front of the sentence of a refusal, by the side of the comparison that it is."""
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
            f"{', '.join(limits.image_formats)}; at most {mebibytes:g} MiB and {limits.max_image_pixels:,} pixels",
        ),
        ("Calls in work", f"at most {limits.max_in_flight}"),
        ("Candidates of a search", f"at most {limits.max_top_k}"),
    ]


def _draw_faces(data: bytes, answer: recognition_pb2.DetectResponse, target: Path) -> None:

    from fr_client.cli import drawing
    from fr_client.cli.gallery import pictures

    write_picture(pictures.faces_picture(drawing.open_photo(data), answer.faces), target)
