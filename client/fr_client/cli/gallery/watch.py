"""`fr watch`: has a server watch a live stream, and prints its gaps and leads."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import timestamp_pb2

from fr_api.v1 import video_pb2
from fr_client.cli.files import writing
from fr_client.cli.show import console, counted, plain, print_line
from fr_client.cli.state import GalleryId, argument, connected
from fr_client.private import private_file
from fr_client.unpack import message_keys
from fr_client.words import Purpose

AsLines = Annotated[bool, typer.Option("--json", help="Print one JSON document on each line instead of text.")]

_REASONS = {
    video_pb2.WATCH_GAP_REASON_LOST: "the connection was lost",
    video_pb2.WATCH_GAP_REASON_DAMAGED: "frames were damaged",
    video_pb2.WATCH_GAP_REASON_MISSING: "frames were missing",
    video_pb2.WATCH_GAP_REASON_UNREADABLE: "the stream could not be decoded",
    video_pb2.WATCH_GAP_REASON_RENEWED: "the server renewed the session",
}


def watch(
    context: typer.Context,
    stream: Annotated[str, argument("STREAM", "Name of the stream in the server's configuration.")],
    gallery_id: GalleryId,
    purpose: Annotated[Purpose, typer.Option(help="Purpose of the watch.")],
    case: Annotated[str, typer.Option(metavar="REFERENCE", help="Reference of the case.")],
    false_leads_per_day: Annotated[
        float, typer.Option(min=1e-6, metavar="N", help="Number of false leads per day that you accept.")
    ],
    tracks_per_day: Annotated[
        float, typer.Option(min=1e-3, metavar="N", help="Number of tracks per day that you expect.")
    ],
    top_k: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Maximum number of candidates for each track.")
    ] = 10,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the face of each lead here as PNG; a new folder.")
    ] = None,
    as_lines: AsLines = False,
) -> None:
    """Watch a live stream that the server's configuration allows, and search a gallery once for each track.

    Each lead is for a human examiner, never an identity; most may be false. It runs until Ctrl-C. The server keeps
    nothing of the stream.
    """
    with connected(context, as_lines, lines=True) as client:
        if pictures is not None:
            with writing(pictures):
                pictures.mkdir(mode=0o700)
        events = client.video.watch(
            stream,
            gallery_id,
            purpose=purpose,
            case_reference=case,
            false_leads_per_day=false_leads_per_day,
            tracks_per_day=tracks_per_day,
            top_k=top_k,
        )
        written = 0
        with closing(events):  # type: ignore[type-var] # a generator
            for event in events:
                picture, name = event.searched.picture.data, ""
                if pictures is not None and picture:
                    written += 1
                    name = f"lead-{written}.png"
                    with writing(pictures), private_file(pictures / name, replace=False) as file:
                        file.write(picture)
                if picture:
                    event.searched.ClearField("picture")
                if as_lines:
                    print_line(message_keys(event))
                else:
                    for line in _lines(event, name):
                        console().print(plain(line))


def _lines(event: video_pb2.WatchStreamResponse, picture: str) -> list[str]:
    match event.WhichOneof("event"):
        case "status":
            return _status(event.status)
        case "gap":
            return [_gap(event.gap)]
        case _:
            return _searched(event.searched, picture)


def _status(status: video_pb2.WatchStatus) -> list[str]:
    point = status.point
    expected = f"{point.false_leads_per_day:.3g} false leads a day expected ({point.low:.3g} to {point.high:.3g})"
    lines = [status.notice] if status.notice else []
    lines.append(
        f"{_time(status.time)} {'watching' if status.connected else 'not connected'}: "
        f"{counted(status.frames_looked_at, 'frame')} looked at, {status.frames_dropped:,} dropped, "
        f"{counted(status.tracks_searched, 'track')} searched, {status.tracks_unfit:,} unfit, "
        f"{counted(status.leads, 'lead')}, {counted(status.gaps, 'gap')}; threshold {point.threshold:.4f}, {expected}"
    )
    if not point.meets_target:
        lines.append("The calibration supports no threshold for this target: more false leads are expected.")
    return lines


def _gap(gap: video_pb2.WatchGap) -> str:
    end = f"to {_time(gap.end_time)}" if gap.HasField("end_time") else "on"
    return f"GAP from {_time(gap.begin_time)} {end}: {_REASONS.get(gap.reason, 'for another reason')}"


def _searched(track: video_pb2.WatchedTrack, picture: str) -> list[str]:
    what = "LEAD" if track.lead else "no lead"
    looks = counted(track.independent_looks, "independent look")
    candidates = (f"  {one.rank}. {one.similarity:.4f} {one.subject_id} {one.display_name}" for one in track.candidates)
    return [
        f"{_time(track.begin_time)} to {_time(track.end_time)}: {what}, {looks}{picture and f', {picture}'}",
        *candidates,
    ]


def _time(moment: timestamp_pb2.Timestamp) -> str:
    return moment.ToDatetime().isoformat(sep=" ", timespec="milliseconds") + "Z"
