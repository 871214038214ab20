"""`fr gallery calibrate`: sets, shows and removes the calibration of a gallery."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.cli.files import read_text
from fr_client.cli.gallery.error_rates import measured_text, small_text, source_text, support_text
from fr_client.cli.show import console, pairs, plain, print_json, shown
from fr_client.cli.state import AsJson, GalleryId, Unusable, argument, connected
from fr_client.errors import FrApiError
from fr_client.requests import MAX_CALIBRATION_BYTES
from fr_client.sync.client import Client
from fr_client.unpack import message_keys
from fr_files.reading import read_json

_FILE = "calibration.json"
Answer = gallery_pb2.GetCalibrationResponse | gallery_pb2.SetCalibrationResponse | gallery_pb2.DeleteCalibrationResponse


def calibrate(
    context: typer.Context,
    gallery_id: GalleryId,
    file: Annotated[
        Path | None,
        argument("FILE", "The calibration.json of a report on the gallery's model, or the folder of the report."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only show the calibration that searches use.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Return to the calibration of the model pack.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the calibration of a gallery. Searches then report error rates, and you can ask for one.

    A calibration is measured on photos with known answers (`fr report create verification`). It holds for people and
    photos like those.
    """
    if (file is not None) + show + remove != 1:
        raise typer.BadParameter("Give one of FILE, --show and --remove.")
    with connected(context, as_json) as client:
        if show:
            found = client.calibration(gallery_id)
            print_calibration(gallery_id, found, as_json, {"calibration_json": found.calibration_json})
            return
        changed = client.delete_calibration(gallery_id) if file is None else _set(client, gallery_id, _read(file))
        print_calibration(gallery_id, changed, as_json, {})


def _set(client: Client, gallery_id: str, text: str) -> gallery_pb2.SetCalibrationResponse:
    """Set a calibration; if it is for another model, the error names both."""
    try:
        return client.set_calibration(gallery_id, text)
    except FrApiError as error:
        expected = error.metadata.get("expected")
        if error.reason == "CALIBRATION_INVALID" and expected:
            error.message = _other_model(text, expected)
        raise


def _other_model(text: str, expected: str) -> str:
    measured = json.loads(text)["provenance"]  # the server has read it
    flip = "with" if measured["settings"].get("flip") == "true" else "without"
    return (
        f"The calibration is for another model than the gallery's: it was measured with {measured['model_id']}, {flip} "
        f"--flip, and the gallery has {expected}. Measure with that, and with --flip where its version ends in +flip."
    )


def _read(file: Path) -> str:
    if file.is_dir():
        file /= _FILE
    text = read_text(file, MAX_CALIBRATION_BYTES)
    if not text.strip():
        raise Unusable("FILE_UNREADABLE", f"{shown(file)} is empty.")
    if _is_report(text):
        raise Unusable(
            "CALIBRATION_INVALID",
            f"{shown(file)} is the report; give {shown(file.with_name(_FILE))}, which is beside it.",
        )
    return text


def _is_report(text: str) -> bool:
    try:
        document = read_json(text.encode(), MAX_CALIBRATION_BYTES)
    except ValueError:
        return False  # the server says what is wrong with it
    return isinstance(document, dict) and "kind" in document and "dataset" in document


def print_calibration(gallery_id: str, answer: Answer, as_json: bool, more: dict[str, str]) -> None:
    """Print the calibration that searches of a gallery use; `more` are further keys of the JSON document."""
    calibration = answer.calibration if answer.HasField("calibration") else None
    if as_json:
        print_json({"calibration": None if calibration is None else message_keys(calibration), **more})
        return
    if calibration is None:
        none = f"Neither gallery {gallery_id} nor its model has a calibration"
        unreadable = f"The server cannot read the calibration of gallery {gallery_id}: set it again, or remove it"
        console().print(
            plain(f"{unreadable if more.get('calibration_json') else none}. Searches report no error rates.")
        )
        return
    rows = [
        ("Gallery", gallery_id),
        ("Answers with", source_text(calibration)),
        ("Measured on", f"{measured_text(calibration)}, {calibration.measured_on}"),
        ("Comparisons", f"{calibration.mated:,} of one person, {calibration.nonmated:,} of different people"),
        *[("Supports", supported) for supported in [support_text(calibration)] if supported],
        *_failure_rows(calibration),
        ("sha256 of their list", calibration.list_sha256),
        ("sha256 of the calibration", calibration.id),
        *sorted(calibration.settings.items()),
    ]
    console().print(pairs(rows))
    if small := small_text(calibration):
        console().print(plain(small), style="bold")


def _failure_rows(calibration: common_pb2.Calibration) -> list[tuple[str, str]]:
    mated, nonmated = calibration.mated_failures, calibration.nonmated_failures
    if not mated and not nonmated:
        return []
    return [
        ("Could not be compared", f"{mated:,} of those of one person (missed), {nonmated:,} more of different people")
    ]
