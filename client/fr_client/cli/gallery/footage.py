"""`fr footage`: has a server follow the faces of a video file, and searches its galleries for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import video_pb2
from fr_client.cli.files import new_folder, reading, require_new_folder
from fr_client.cli.gallery.recognise import ThresholdOption
from fr_client.cli.gallery.search import OnlyAbove, TopK, print_search
from fr_client.cli.progress import progress
from fr_client.cli.show import console, counted, number, plain, print_json, print_list, table, when
from fr_client.cli.state import AsJson, GalleryId, Unusable, Yes, argument, confirm, connected
from fr_client.errors import FrApiError
from fr_client.sync.client import Client
from fr_client.unpack import message_keys
from fr_client.videos import refused
from fr_client.words import Purpose, TrackProbe

footage = typer.Typer(
    help="Have the server follow the faces of a video file, and search its galleries for them.", no_args_is_help=True
)

VideoId = Annotated[str, argument("VIDEO", "Id of the video; `fr footage analyze` prints it.")]
Crops = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write the best shots of each track here as PNG files; a new folder."),
]
Every = Annotated[
    float | None, typer.Option(min=0.001, metavar="SECONDS", help="Seconds between the frames to look at.")
]
MotionEvery = Annotated[
    float | None, typer.Option(min=0.001, metavar="SECONDS", help="Likewise, while the picture moves.")
]

_ENDS = {
    video_pb2.VIDEO_END_WHOLE: "to the end",
    video_pb2.VIDEO_END_EARLY: "to its end, which comes before the length that the container states",
    video_pb2.VIDEO_END_DAMAGED: "until damage that goes to the end",
    video_pb2.VIDEO_END_BROKE_DECODER: "until it broke the decoder; what follows was not read",
    video_pb2.VIDEO_END_TOO_COSTLY: "until it took more time or memory than the limit; what follows was not read",
    video_pb2.VIDEO_END_MAX_FRAMES: "until the limit of frames; what follows was not read",
    video_pb2.VIDEO_END_MAX_SECONDS: "until the limit of seconds; what follows was not read",
}
_STATES = {
    video_pb2.VIDEO_STATE_RECEIVING: "waits for its bytes; `fr footage analyze` sends them",
    video_pb2.VIDEO_STATE_ANALYZING: "is being analyzed",
}
_WORDS = {
    video_pb2.VIDEO_STATE_RECEIVING: "waits for bytes",
    video_pb2.VIDEO_STATE_ANALYZING: "in analysis",
    video_pb2.VIDEO_STATE_ANALYZED: "analyzed",
    video_pb2.VIDEO_STATE_REFUSED: "refused",
}


@footage.command()
def analyze(
    context: typer.Context,
    file: Annotated[Path, argument("FILE", "Video file.")],
    every: Every = None,
    motion_every: MotionEvery = None,
    crops: Crops = None,
    as_json: AsJson = False,
) -> None:
    """Send a video file, wait until it is analyzed, and list its tracks.

    If the command stops, call it again: it goes on from there. The server deletes the footage when it is analyzed,
    and the tracks when they expire.
    """
    with connected(context, as_json) as client:
        if crops is not None:
            require_new_folder(crops)
        with reading(file), progress("Sending", "bytes", file.stat().st_size) as advance:
            video = client.video.analyze(
                file,
                every_s=every,
                motion_every_s=motion_every,
                on_progress=lambda now: advance(now.received_bytes, 0),
            )
        _print_video(client, video, crops, as_json)


@footage.command("list")
def list_videos(context: typer.Context, as_json: AsJson = False) -> None:
    """List the videos that you have sent and the server still has, the newest first."""
    with connected(context, as_json) as client:
        columns = ("Video", "SHA-256", "State", "Bytes", "Tracks", "Sent", "Expires")
        rows = table(*columns, right=("Bytes", "Tracks"), whole=("Video", "SHA-256"))
        empty = "The server has no video of yours: `fr footage analyze FILE` sends one."
        print_list(as_json, "videos", client.video.announced(), rows, _row, empty)


@footage.command()
def show(context: typer.Context, video_id: VideoId, crops: Crops = None, as_json: AsJson = False) -> None:
    """Show a video, and list its tracks."""
    with connected(context, as_json) as client:
        _print_video(client, client.video.get(video_id), crops, as_json)


@footage.command()
def search(
    context: typer.Context,
    video_id: VideoId,
    gallery_id: GalleryId,
    tracks: Annotated[
        list[int] | None, typer.Option("--track", min=1, metavar="N", help="Only this track; may be repeated.")
    ] = None,
    probe: Annotated[
        TrackProbe, typer.Option(help="Search with the mean of a track's good shots, or with its best shot alone.")
    ] = "mean",
    top_k: TopK = None,
    threshold: ThresholdOption = None,
    only_above: OnlyAbove = False,
    purpose: Annotated[
        Purpose | None, typer.Option(help="Purpose of the search; required for an operational gallery.")
    ] = None,
    case: Annotated[
        str, typer.Option(metavar="REFERENCE", help="Reference of the case; required for an operational gallery.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Search a gallery once for each track: leads for a human examiner, never an identity."""
    with connected(context, as_json) as client:
        numbers = _numbers(_analyzed(client.video.get(video_id)).track_count, tracks)
        leads: list[video_pb2.TrackLeads] = []
        for begin in range(0, len(numbers), 100):
            answer = client.video.search(
                video_id,
                gallery_id,
                numbers[begin : begin + 100],
                probe=probe,
                top_k=top_k,
                threshold=threshold,
                only_above_threshold=only_above,
                purpose=purpose,
                case_reference=case,
            )
            leads += answer.leads
        if as_json:
            print_json({"leads": [message_keys(one) for one in leads]})
            return
        for one in leads:
            looks = counted(one.independent_looks, "independent look")
            console().print(plain(f"Track {one.track}, {looks}"), style="bold")
            print_search(gallery_id, one.found)
        for one in leads[:1]:
            console().print(plain(one.found.notice))
        if not leads:
            console().print("The video has no tracks.")


@footage.command()
def delete(context: typer.Context, video_id: VideoId, yes: Yes = False) -> None:
    """Delete a video with its footage and its tracks; an analysis in progress ends."""
    with connected(context, False) as client:
        confirm(f"Delete video {video_id} with its tracks?", yes)
        client.video.delete(video_id)
        console().print(plain(f"Deleted video {video_id}."))


def _analyzed(video: video_pb2.Video) -> video_pb2.Video:
    """Return a video; raises an error with the reason if it was refused, or is not yet analyzed."""
    if video.state == video_pb2.VIDEO_STATE_REFUSED:
        raise refused(video.refusal)
    if video.state != video_pb2.VIDEO_STATE_ANALYZED:
        raise Unusable("VIDEO_INCOMPLETE", f"The video {_state(video)}.")
    return video


def _numbers(count: int, wanted: list[int] | None) -> list[int]:
    """Return the numbers of the tracks to search, of a video with `count`: those wanted, or all."""
    for one in wanted or ():
        _require_number("track", one, count)
    return wanted or list(range(1, count + 1))


def _require_number(what: str, number: int, count: int) -> None:
    if number > count:
        there = {0: "The video has none.", 1: "The only one is 1."}.get(count, f"Give a number from 1 to {count}.")
        raise Unusable("INVALID_FIELD", f"There is no {what} {number}. {there}")


@contextmanager
def naming_shots(client: Client, video_id: str, track: int, shot: int) -> Iterator[None]:
    """Name the tracks or best shots that there are if the server refuses the block for another number."""
    try:
        yield
    except FrApiError as error:
        if error.reason == "INVALID_FIELD" and error.metadata.get("field", "").startswith("shot."):
            _require_number("track", track, client.video.get(video_id).track_count)
            found = next(one for one in client.video.tracks(video_id) if one.track == track)
            _require_number("best shot", shot, len(found.best_shots))
        raise


def _state(video: video_pb2.Video) -> str:
    return _STATES.get(video.state, "is in a state that is newer than this command")


def _print_video(client: Client, video: video_pb2.Video, crops: Path | None, as_json: bool) -> None:
    if video.state == video_pb2.VIDEO_STATE_REFUSED:
        raise refused(video.refusal)
    done = video.state == video_pb2.VIDEO_STATE_ANALYZED
    tracks = list(client.video.tracks(video.video_id, crops=crops is not None)) if done else []
    if crops is not None:
        with new_folder(crops) as folder:
            _write(folder, tracks)
    if as_json:
        print_json({"video": message_keys(video), "tracks": [message_keys(one) for one in tracks]})
        return
    out = console()
    out.print(plain(f"Video {video.video_id}: sha256 {video.sha256}, {counted(video.size_bytes, 'byte')}"))
    if not done:
        out.print(plain(f"It {_state(video)}."))
        return
    out.print(plain(_read(video)))
    rows = table("Track", "From", "To", "Frames", "Looks", "Best shot", "Quality", right=("Track", "Frames", "Looks"))
    for one in tracks:
        first, last, best = one.sightings[0], one.sightings[-1], one.best_shots[0]
        times = (f"{first.time_s:.3f} s", f"{last.time_s:.3f} s")
        seen = (str(len(one.sightings)), str(one.independent_looks))
        rows.add_row(str(one.track), *times, *seen, f"{best.sighting.time_s:.3f} s", number(best.quality.score, ".2f"))
    out.print(rows if tracks else "No face was found.")


def _row(video: video_pb2.Video) -> list[str]:
    state = _WORDS.get(video.state, "newer than this command")
    if video.state == video_pb2.VIDEO_STATE_REFUSED:
        state = f"{state}: {refused(video.refusal).reason}"
    tracks = str(video.track_count) if video.state == video_pb2.VIDEO_STATE_ANALYZED else ""
    times = when(video.create_time), when(video.expire_time)
    return [video.video_id, video.sha256[:12], state, f"{video.size_bytes:,}", tracks, *times]


def _read(video: video_pb2.Video) -> str:
    facts, reading = video.facts, video.reading
    what = f"{facts.codec} in {facts.container}, {facts.width} x {facts.height}"
    gaps = ", ".join(f"{one.begin_s:.3f} to {one.end_s:.3f} s" for one in reading.gaps)
    until = _ENDS.get(reading.end, "in a way that is newer than this command")
    looked = f"{counted(reading.frames_decoded, 'frame')} decoded, {reading.frames_looked_at:,} looked at"
    return f"{what}, read {until}: {looked}.{f' Left out because of damage: {gaps}.' if gaps else ''}"


def _write(folder: Path, tracks: list[video_pb2.Track]) -> None:
    for track in tracks:
        for place, shot in enumerate(track.best_shots, start=1):
            (folder / f"track-{track.track}-shot-{place}.png").write_bytes(shot.crop.data)
            shot.ClearField("crop")  # printed, it would be long
