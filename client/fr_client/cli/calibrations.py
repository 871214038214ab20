"""`fr gallery calibrate`: what the similarities of a gallery mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fr_api.v1 import common_pb2
from fr_client.cli.error_rates import source_words
from fr_client.cli.show import console, pairs, plain, print_json, shown
from fr_client.cli.state import AsJson, GalleryId, Unusable, connected
from fr_client.unpack import message_keys


def calibrate(
    context: typer.Context,
    gallery_id: GalleryId,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="The calibration.json of a report on the gallery's model.", show_default=False
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only show what searches answer with.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Go back to the calibration of the model pack.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set what similarities in a gallery mean, so that searches tell error rates and can be asked to hold one.

    A calibration is measured on photos with known answers (`fr report verification`). It holds for people and photos
    like those.
    """
    if (file is not None) + show + remove != 1:
        raise typer.BadParameter("Give one of FILE, --show and --remove.")
    with connected(context, as_json) as client:
        if show:
            answer = client.calibration(gallery_id)
            calibration = answer.calibration if answer.HasField("calibration") else None
            _print_calibration(gallery_id, calibration, as_json, {"calibration_json": answer.calibration_json})
            return
        changed = client.set_calibration(gallery_id, None if file is None else _read(file))
        _print_calibration(gallery_id, changed.calibration if changed.HasField("calibration") else None, as_json, {})


def _read(file: Path) -> str:
    """Return the text of a file; raises `Unusable` where there is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise Unusable("FILE_UNREADABLE", f"{shown(file)} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Unusable("FILE_UNREADABLE", f"{shown(file)} is no text in UTF-8.") from error
    if not text.strip():
        raise Unusable("FILE_UNREADABLE", f"{shown(file)} is empty.")
    return text


def _print_calibration(
    gallery_id: str, calibration: common_pb2.Calibration | None, as_json: bool, more: dict[str, Any]
) -> None:
    if as_json:
        print_json({"calibration": None if calibration is None else message_keys(calibration), **more})
        return
    if calibration is None:
        console().print(
            plain(f"Neither gallery {gallery_id} nor its model has a calibration: searches tell no error rates.")
        )
        return
    rows = [
        ("Gallery", gallery_id),
        ("Answers with", source_words(calibration)),
        ("Measured on", f"{calibration.dataset}, {calibration.people:,} people, {calibration.measured_on}"),
        ("Comparisons", f"{calibration.mated:,} of one person, {calibration.nonmated:,} of different people"),
        ("sha256 of their list", calibration.list_sha256),
        *sorted(calibration.settings.items()),
    ]
    console().print(pairs(rows))
