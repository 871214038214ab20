"""`fr redact`: makes a copy of a video file in which every face is covered but those of named tracks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fr_datasets.progress import waiting
from fr_server.commands.reporting import AsJson, CommandFailed, counted, print_json
from fr_server.commands.video import MAX_LEADS_BYTES, engine_of, footage_read, json_of, reporting_video

if TYPE_CHECKING:
    from fr_video.redaction import Kept, Redaction


def redact(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Video file.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="OUT", help="The copy, .webm or .mkv; its record is OUT.json.")],
    keep: Annotated[
        list[int] | None, typer.Option("--keep", metavar="TRACK", help="Leave this track visible; may be repeated.")
    ] = None,
    tracks: Annotated[
        Path | None,
        typer.Option("--tracks", metavar="LEADS", help="The tracks of the file, from `fr video FILE --json`."),
    ] = None,
    audio: Annotated[
        Literal["drop", "copy"], typer.Option(help="Drop the sound, or copy it. Voices identify people, too.")
    ] = "drop",
    max_seconds: Annotated[int, typer.Option(min=1, help="Maximum number of seconds of footage to read.")] = 7_200,
    pack: Annotated[str, typer.Option(help="Model pack.")] = "buffalo_s",
    device: Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N] or tensorrt[:N].")] = "auto",
    detection: Annotated[
        Literal["fast", "thorough"], typer.Option(help="Thorough also finds small faces beside large ones.")
    ] = "thorough",
    as_json: AsJson = False,
) -> None:
    """Copy a video file with every face covered except those of named tracks, and check each frame of the copy.

    Without --keep, it covers all faces. Metadata are dropped. Watch the copy before you disclose it: a face that the
    detector does not find stays visible, and clothes, gait and places identify people, too. Exit status 1: it failed,
    and there is no copy.
    """
    with reporting_video(as_json):
        from fr_core.packs.manifest import load_pack
        from fr_video.reading import VideoFile
        from fr_video.redaction import container_of, sensitive
        from fr_video.redaction import redact as redacted
        from fr_video.values import VideoLimits

        if bool(keep) != (tracks is not None):
            raise CommandFailed("TRACKS_MISSING", "Give --keep and --tracks together: tracks have numbers in a list.")
        record = out.with_name(f"{out.name}.json")
        for path in (out, record):
            if os.path.lexists(path):  # a link to nowhere is a name that is taken, too
                raise CommandFailed("FILE_EXISTS", f"{path} exists. Delete it, or choose another name.")
        container_of(out, audio == "copy")
        with VideoFile(file, VideoLimits(max_seconds=max_seconds)) as video:
            kept = {} if tracks is None else _kept(tracks, keep or [], video.sha256)
            chosen = sensitive(load_pack(pack))
            with (
                engine_of(chosen, device, detection) as engine,
                waiting("Covering the faces"),
                reporting_video(as_json, writes=True),
            ):
                done = redacted(video, engine, kept, out, sound=audio == "copy")
        said = done.to_json(pack, detection, chosen.detector.score_threshold)
        with reporting_video(as_json, writes=True):
            _write(record, said, out)
        if as_json:
            print_json(said)
        else:
            _print(done, out)


def _kept(tracks: Path, keep: Sequence[int], sha256: str) -> Kept:
    from fr_files.reading import read_whole
    from fr_video.redaction import read_kept

    return read_kept(json_of(read_whole(tracks, MAX_LEADS_BYTES)), keep, sha256)


def _write(record: Path, said: dict[str, Any], out: Path) -> None:
    """Write the record of a copy, or delete the copy."""
    from fr_core.storage.durable import write_new

    try:
        write_new(record, json.dumps(said, indent=2).encode() + b"\n", 0o644)
    except BaseException:  # no copy without its record
        out.unlink()
        raise


def _print(done: Redaction, out: Path) -> None:
    typer.echo(footage_read(done.footage.ending, done.footage.frames_looked_at))
    kept = ", ".join(map(str, done.kept))
    seen = f"{kept}, seen {counted(done.visible, 'time')} in the copy; covered where in doubt" if kept else "none"
    typer.echo(
        f"Tracks that stay visible: {seen}. {counted(done.regions, 'region')} of frames covered with one colour."
    )
    typer.echo(
        f"Checked: {counted(done.frames, 'frame')} of the copy, no face except those of kept tracks, "
        f"{counted(done.rounds, 'copy' if done.rounds == 1 else 'copie')} made."
    )
    typer.echo(f"{'No sound' if done.sound == 'none' else f'Sound {done.sound}'}, metadata dropped.")
    typer.echo(f"{out}: sha256 {done.output_sha256}, {counted(done.output_bytes, 'byte')}")
    typer.echo("Watch the copy before you disclose it: the check finds no face that the detector does not find.")
