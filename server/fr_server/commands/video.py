"""`fr video`: finds leads in a video file, or proves their frames, in this process and without a server."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from fr_datasets.exit_status import errors_to_status, printable
from fr_datasets.progress import waiting
from fr_server.commands.gallery import ConfigFile, Data, Key, data_and_key
from fr_server.commands.reporting import AsJson, CommandFailed, counted, print_json, reporting

if TYPE_CHECKING:
    from fr_core.engine import Engine
    from fr_core.gallery.galleries import Galleries
    from fr_core.gallery.values import GalleryInfo
    from fr_core.packs.manifest import Pack
    from fr_video.leads import Leads
    from fr_video.values import Ending, Footage, Track, VideoLimits
    from fr_video.verify import Proven, ProvenFrame

MAX_LEADS_BYTES = 64 * 2**20

_READ = {
    "WHOLE": "to the end",
    "EARLY": "to its end, which comes before the length that the container states",
    "DAMAGED": "until damage that goes to the end",
    "BROKE_DECODER": "until it broke the decoder; what follows was not read",
    "TOO_COSTLY": "until it took more time or memory than the limit; what follows was not read",
    "MAX_FRAMES": "until the limit of frames; what follows was not read",
    "MAX_SECONDS": "until the limit of seconds; what follows was not read",
}


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter("It is not finite.")
    return value


def video(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Video file.", show_default=False)],
    gallery: Annotated[
        str | None,
        typer.Option("--gallery", metavar="ID", help="Search this gallery of the data folder with each track."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option("--verify", metavar="LEADS", help="Prove the frames of these leads (from --json) instead."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Maximum number of candidates of a track.")] = 10,
    threshold: Annotated[
        float | None, typer.Option(min=-1.0, max=1.0, help="Least similarity of a lead; the pack's default if unset.")
    ] = None,
    probe: Annotated[
        Literal["mean", "best-shot"],
        typer.Option(help="Search with the mean of a track's best faces, or with its best shot alone."),
    ] = "mean",
    every: Annotated[
        float,
        typer.Option(
            min=0.001, metavar="SECONDS", callback=_finite, help="Seconds from one frame looked at to the next."
        ),
    ] = 1.0,
    motion_every: Annotated[
        float,
        typer.Option(min=0.001, metavar="SECONDS", callback=_finite, help="As --every, while the picture moves."),
    ] = 0.2,
    max_seconds: Annotated[int, typer.Option(min=1, help="Maximum number of seconds of footage to read.")] = 7_200,
    pack: Annotated[str, typer.Option(help="Model pack.")] = "buffalo_s",
    device: Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N] or tensorrt[:N].")] = "auto",
    detection: Annotated[
        Literal["fast", "thorough"], typer.Option(help="Thorough also finds small faces beside large ones.")
    ] = "fast",
    data: Data = None,
    key: Key = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Follow the faces of a video file and search a gallery for each: leads for an examiner, never an identity.

    It runs here, without a server: stop the server of the data folder first. It refuses an operational gallery, because
    a search of one needs an audit record. Exit status 1: it failed, or --verify found another file or frame.
    """
    _require_used(context, gallery, verify)
    with reporting_video(as_json):
        from fr_core.packs.manifest import load_pack
        from fr_video.analysis import analyze
        from fr_video.reading import VideoFile
        from fr_video.values import Sampling, VideoLimits

        limits = VideoLimits(max_seconds=max_seconds)
        if verify is not None:
            _prove(file, verify, limits, as_json)
            return
        sampling = Sampling(Fraction(str(every)), Fraction(str(min(every, motion_every))))
        with ExitStack() as opened:
            footage_file = opened.enter_context(VideoFile(file, limits))
            galleries, info = opened.enter_context(_gallery(gallery, data, key, config))
            engine = opened.enter_context(engine_of(load_pack(pack), device, detection))
            if info is not None:
                info.model.require_same(engine.pipeline.model)
            with waiting("Analyzing the footage"):
                footage = analyze(footage_file, engine, sampling)
            if galleries is None or info is None:
                leads = None
            else:
                lowest = engine.pack.thresholds.similarity if threshold is None else threshold
                leads = _leads(footage, galleries, info, probe, top_k, lowest)
        _print(footage, leads, as_json)


def _require_used(context: typer.Context, gallery: str | None, verify: Path | None) -> None:
    """End the command if it would ignore an option that is given."""
    if gallery is not None and verify is not None:
        raise typer.BadParameter("It contradicts --gallery; give one of both.", param_hint="--verify")
    for name in ("threshold", "top_k", "probe"):
        source = context.get_parameter_source(name)
        if gallery is None and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter("It needs --gallery.", param_hint=f"--{name.replace('_', '-')}")


def _leads(
    footage: Footage, galleries: Galleries, info: GalleryInfo, probe: str, top_k: int, threshold: float
) -> Leads:
    from fr_video.leads import Probe, search_tracks

    return search_tracks(
        footage, info.gallery_id, Probe(probe), lambda one: galleries.search(info, one, top_k, threshold)
    )


@contextmanager
def engine_of(pack: Pack, device: str, detection: str) -> Iterator[Engine]:
    """Open the engine of a pack, for as long as the block lasts."""
    from fr_core.engine import EngineOptions, open_engine
    from fr_core.packs.cache import ModelCache, cache_folder

    with waiting(f"Loading the models of {pack.name}"):
        options = EngineOptions(device=device, detection=detection)
        engine = open_engine(pack, ModelCache(cache_folder()), options)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def _gallery(
    gallery_id: str | None, data: Path | None, key: str, config: Path | None
) -> Iterator[tuple[Galleries | None, GalleryInfo | None]]:
    if gallery_id is None:
        yield None, None
        return
    from fr_core.gallery.galleries import Galleries
    from fr_core.gallery.values import GalleryUse

    location, opened = data_and_key(data, key, config)
    with waiting("Reading the gallery"):
        galleries = Galleries.open(location, key=opened)
    with galleries:
        info = galleries.get(gallery_id)
        if info.use is GalleryUse.OPERATIONAL:
            raise CommandFailed(
                "OPERATIONAL_GALLERY",
                "The gallery is operational: each search of it needs a purpose, a case and a record in the audit, "
                "which only a server makes. Send the file to the server with `fr footage analyze`, and search with "
                "`fr footage search`.",
            )
        yield galleries, info


@contextmanager
def reporting_video(as_json: bool, *, writes: bool = False) -> Iterator[None]:
    """Report errors as `reporting` does, and those of footage that no call ends with by their codes."""
    with errors_to_status(1), reporting(as_json, writes=writes):
        from fr_video.errors import WithoutReason

        try:
            yield
        except WithoutReason as error:
            raise CommandFailed(error.code, error.message) from error


def _print(footage: Footage, leads: Leads | None, as_json: bool) -> None:
    from fr_video.leads import NOTICE, to_json

    if as_json:
        print_json(to_json(footage, leads))
        return
    facts = footage.facts
    typer.echo(f"File: sha256 {footage.sha256}, {counted(footage.size_bytes, 'byte')}")
    typer.echo(f"Video: {printable(facts.codec)} in {printable(facts.container)}, {facts.width} x {facts.height}")
    typer.echo(footage_read(footage.ending, footage.frames_looked_at))
    typer.echo(NOTICE)
    for place, track in enumerate(footage.tracks):
        typer.echo("\n" + _track(track))
        if leads is not None:
            found = leads.lists[place]
            names = {one: name.display_name for one, name in found.subjects.items()}
            rows = Table("Rank", "Similarity", "Counts as", "Subject", "Name")
            for one in found.identification.candidates:
                mark = "lead" if one.above_threshold else "no lead"
                name = printable(names.get(one.subject_id, ""))
                rows.add_row(str(one.rank), f"{one.similarity:.4f}", mark, printable(one.subject_id), name)
            Console(highlight=False, markup=False).print(rows)
    if not footage.tracks:
        typer.echo("No face was found.")


def footage_read(ending: Ending, looked_at: int) -> str:
    """Return a sentence on how far a file was read."""
    until = "" if ending.read_until is None else f", until {_s(ending.read_until)}"
    untimed = f", {counted(ending.untimed, 'frame')} without a time left out" if ending.untimed else ""
    decoded = f"{counted(ending.decoded, 'frame')} decoded{until}{untimed}, {looked_at:,} looked at"
    gaps = ", ".join(f"{_s(begin)} to {_s(end)}" for begin, end in ending.gaps)
    left_out = f" Left out because of damage: {gaps}." if gaps else ""
    return f"Read {_READ[ending.why]}: {decoded}.{left_out}"


def _track(track: Track) -> str:
    shots = ", ".join(
        f"{_s(look.at.time)} (frame {look.at.number}, quality {look.quality.score:.2f})" for look in track.best_shots
    )
    seen = f"{counted(len(track.sightings), 'frame')}, {counted(track.independent_looks, 'independent look')}"
    first, last = track.sightings[0].time, track.sightings[-1].time
    return f"Track {track.number}: {_s(first)} to {_s(last)}, {seen}. Best shots: {shots}"


def _s(time: Fraction) -> str:
    return f"{float(time):.3f} s"


def _prove(file: Path, leads: Path, limits: VideoLimits, as_json: bool) -> None:
    from fr_files.reading import read_whole
    from fr_video.reading import VideoFile
    from fr_video.verify import read_cited
    from fr_video.verify import verify as proven_by

    cited = read_cited(json_of(read_whole(leads, MAX_LEADS_BYTES)))
    with waiting("Decoding the frames"), VideoFile(file, limits) as opened:
        proven = proven_by(cited, opened)
    if as_json:
        print_json({"holds": proven.holds, **asdict(proven)})
    else:
        typer.echo("The file is the one of the leads." if proven.same_file else "Another file: its SHA-256 differs.")
        for one in proven.frames:
            typer.echo(_proof(one))
        if not proven.same_decoder:
            typer.echo("The leads were made with another version of the decoder, which may give other pixels.")
        if not proven.same_time_base:
            typer.echo("The container differs: it counts time in other ticks.")
        typer.echo(_verdict(proven))
    if not proven.holds:
        raise typer.Exit(1)


def _verdict(proven: Proven) -> str:
    if not proven.same_frames:
        return "The leads do not hold for this file."
    if not proven.same_file:
        return "The frames are the same, but this is not the file of the leads."
    return "The file and every frame are the same."


def json_of(data: bytes) -> Any:
    """Return a JSON document; None where there is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _proof(one: ProvenFrame) -> str:
    cited = one.cited
    what = {
        "SAME": "the same",
        "SHIFTED": f"shifted: the file has it at {one.found_s} s, as frame {one.found_number}",
        "CHANGED": "changed: the file has other pixels at this time",
        "MISSING": "missing: the file has no frame at this time",
    }[one.proof]
    return f"Track {cited.track}, frame {cited.number} at {cited.time_s} s: {what}."
