"""Prints the figures of speed beside their bars: `make speed-bars`; ends with 2 where one could not be measured.

In every part, the peers take turns with FR Core on two processors: InsightFace's FaceAnalysis with one caller, as in
its examples, and the stand-in of InsightFace Server. Beside other work nothing is measured (ADR 63). A missed bar is
told; with --bar, the exit status is then 1.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import PIL.Image

from fr_bench.bench_commands.options import tell_round, tell_step
from fr_bench.speed.pipeline import bench_pipeline
from fr_bench.speed.report import BenchReport
from fr_bench.speed.requests import Method
from fr_bench.speed.rest_peer import STAND_IN, RestOrder
from fr_bench.speed.search import SearchOrder, bench_search
from fr_bench.speed.search_report import SearchDetail, SearchSettings
from fr_bench.speed.serve import BATCH, ServeOrder, bench_serve
from fr_bench.speed.values import PIPELINE, SERVER, EngineSettings, LoadSettings, PipelineDetail, ServeDetail
from fr_bench.speed.workload import LFW, T1, PhotoList, find_testdata, read_photos
from fr_bench.values import Bar
from fr_core.errors import FrError

PROCESSORS = 2
CONCURRENCY = 16
INSIGHTFACE, AS_SERVER = "insightface", "insightface-96+512"
IN_BATCHES = f"secured gRPC, {BATCH} a call"
PEER_ONE = "peer (1 caller)"

# Of the gallery for which the bar of a search is.
TEMPLATES = 1_000_000

# Pixels of the large photo: a square of 12 megapixels.
LARGE = 3464


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its bar, None where none is set, and what belongs to it."""

    name: str
    value: float
    bar: Bar | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """The amounts to measure: photos of a round, rounds, templates of the gallery."""

    photos: int
    repeat: int
    templates: int
    testdata: Path | None
    allow_busy: bool


def fast() -> EngineSettings:
    """The fast settings of `fr bench`."""
    return EngineSettings(detection="fast")


DEFAULT = EngineSettings()  # those of the server


def served(
    size: Size,
    photos: PhotoList,
    engine: EngineSettings,
    *,
    method: Method = Method.EMBED,
    concurrency: int = CONCURRENCY,
    peer: str | None = INSIGHTFACE,
    stand_in: bool = False,
    in_process: bool = True,
) -> BenchReport:
    """Measure a secured server, in turn with the same engine in process and the peers."""
    channels = 1 if method is Method.STREAM else min(2, concurrency)
    load = LoadSettings(method, "closed", concurrency, None, 1.0, 1.0, 1, channels, 1, None, None, (), secured=True)
    order = ServeOrder(
        engine=engine,
        load=load,
        address=None,
        repeat=size.repeat,
        peer=peer,
        with_pipeline=in_process,
        rest=RestOrder(STAND_IN) if stand_in else None,
        allow_busy=size.allow_busy,
    )
    return bench_serve(order, photos, tell_round)


def rate(report: BenchReport, subject: str) -> float:
    """Photos per second of the subject whose name begins so."""
    return next(r.photos_per_s for r in report.rates if r.subject.startswith(subject))


def ratio(report: BenchReport, ours: str, theirs: str) -> float:
    """Photos per second of one subject, divided by those of another."""
    return rate(report, ours) / rate(report, theirs)


def at_least(limit: float) -> Bar:
    """A bar from below."""
    return Bar(limit, at_least=True)


def lfw(size: Size) -> Iterator[Figure]:
    """LFW's photos, one small face each."""
    photos = read_photos([LFW], size.photos, size.testdata)
    for name, engine, bars in (("fast", fast(), (10.0, 8.0, 6.0)), ("defaults", DEFAULT, (8.0, 6.5, 3.5))):
        report = served(size, photos, engine, stand_in=True)
        what = f"LFW, {name}"
        batches = served(size, photos, engine, method=Method.BATCH, concurrency=4 * BATCH)
        in_process, over_network, stand_in = map(at_least, bars)
        yield _to_peer(report, f"{what}, in process / FaceAnalysis", PIPELINE, in_process)
        yield _to_peer(report, f"{what}, secured gRPC / FaceAnalysis", SERVER, over_network)
        of_stand_in = ratio(report, SERVER, f"peer ({STAND_IN}")
        yield Figure(f"{what}, secured gRPC / stand-in of InsightFace Server", of_stand_in, stand_in)
        kept = at_least(0.88) if name == "fast" else None
        yield Figure(f"{what}, secured gRPC / in process", ratio(report, SERVER, PIPELINE), kept)
        yield _to_peer(batches, f"{what}, {IN_BATCHES} / FaceAnalysis", SERVER, over_network)
        yield Figure(f"{what}, {IN_BATCHES} / in process", ratio(batches, SERVER, PIPELINE), kept)


def t1(size: Size) -> Iterator[Figure]:
    """InsightFace's sample photo of six people."""
    photos = read_photos([T1], min(size.photos, 40), size.testdata)
    report = served(size, photos, fast())
    yield _to_peer(report, "t1, fast, in process / FaceAnalysis", PIPELINE, at_least(6.0))
    yield _to_peer(report, "t1, fast, secured gRPC / FaceAnalysis", SERVER, at_least(5.5))
    yield Figure("t1, fast, secured gRPC / in process", ratio(report, SERVER, PIPELINE), at_least(0.92))
    report = served(size, photos, fast(), method=Method.BATCH, concurrency=2 * BATCH)
    yield _to_peer(report, f"t1, fast, {IN_BATCHES} / FaceAnalysis", SERVER, at_least(5.5))
    yield Figure(f"t1, fast, {IN_BATCHES} / in process", ratio(report, SERVER, PIPELINE), at_least(0.92))


def stream(size: Size) -> Iterator[Figure]:
    """One stream, and one caller whose calls follow each other, as the frames of a camera do."""
    photos = read_photos([T1], min(size.photos, 40), size.testdata)
    for name, method, concurrency in (
        ("one stream", Method.STREAM, CONCURRENCY),
        ("one call after the other", Method.EMBED, 1),
    ):
        report = served(size, photos, fast(), method=method, concurrency=concurrency, peer=None)
        more_ms = 1e3 / rate(report, SERVER) - 1e3 / rate(report, PIPELINE)
        what = f"t1, {name}, secured gRPC / in process"
        yield Figure(what, ratio(report, SERVER, PIPELINE), at_least(0.95), f"{more_ms:.1f} ms more for a photo")


def large(size: Size) -> Iterator[Figure]:
    """A photo of 12 megapixels that one face fills: LFW's first one, enlarged."""
    with tempfile.TemporaryDirectory(prefix="fr-bench-") as folder:
        first = min((find_testdata(size.testdata) / "lfw" / "images").rglob("*.jpg"))
        with PIL.Image.open(first) as photo:
            photo.resize((LARGE, LARGE), PIL.Image.Resampling.LANCZOS).save(Path(folder) / "large.jpg", quality=92)
        photos = read_photos([folder], min(size.photos, 20), None)
    report = bench_pipeline(
        replace(fast(), workers=1), photos, size.repeat, INSIGHTFACE, None, tell_round, allow_busy=size.allow_busy
    )
    assert isinstance(report.detail, PipelineDetail)
    assert report.detail.latency is not None  # a photo was measured
    decoding = f"{report.detail.stages.decode_ms:.1f} ms of it to decode"
    yield Figure("12 megapixels, one large face, p50 in ms", report.detail.latency.p50_ms, note=decoding)
    yield Figure("12 megapixels, one caller, in process / FaceAnalysis", ratio(report, PIPELINE, PEER_ONE))


def groups(size: Size) -> Iterator[Figure]:
    """Photos of groups, with the server's defaults, beside FaceAnalysis at the sizes of InsightFace Server."""
    folder = str(find_testdata(size.testdata) / "groups")
    photos = read_photos([folder], 0 if size.photos > 20 else size.photos, None)
    for method, bar in ((Method.EMBED, 1.5), (Method.DETECT, 0.5)):
        report = served(size, photos, DEFAULT, method=method, peer=AS_SERVER, in_process=False)
        yield _to_peer(report, f"groups, defaults, {method} / FaceAnalysis at 96+512", SERVER, at_least(bar))
        assert isinstance(report.detail, ServeDetail)
        faces = report.detail.agreement
        assert faces is not None  # both found faces
        told = f"{faces.faces}, the peer {faces.peer_faces}, both {faces.matched}, in {faces.photos} photos"
        yield Figure(f"groups, defaults, {method}: faces more", faces.faces - faces.peer_faces, at_least(0.0), told)


def search(size: Size) -> Iterator[Figure]:
    """A gallery of random templates."""
    probes = min(200, size.templates)
    settings = SearchSettings("compact", (), size.templates, 512, 20, probes, 5, 64, PROCESSORS, 1, ())
    report = bench_search(SearchOrder(settings, allow_busy=size.allow_busy), tell_step)
    assert isinstance(report.detail, SearchDetail)
    p50_ms = report.detail.point.figures[0].p50_ms
    bar = Bar(10.0, at_least=False) if size.templates == TEMPLATES else None
    yield Figure(f"search among {size.templates:,}, p50 in ms", p50_ms, bar)


def _to_peer(report: BenchReport, name: str, ours: str, bar: Bar) -> Figure:
    return Figure(name, ratio(report, ours, PEER_ONE), bar, f"{ratio(report, ours, 'peer (2'):.2f} to two callers")


PARTS: dict[str, Callable[[Size], Iterator[Figure]]] = {
    "lfw": lfw,
    "t1": t1,
    "stream": stream,
    "large": large,
    "groups": groups,
    "search": search,
}


def line(figure: Figure) -> str:
    """A figure, its bar, and whether that is reached."""
    if figure.bar is None:
        told = "no bar"
    else:
        met = figure.bar.met(figure.value)
        told = f"bar {'>=' if figure.bar.at_least else '<='} {figure.bar.limit:g}: {'reached' if met else 'MISSED'}"
    return f"{figure.name:62} {figure.value:8.2f}  {told}{f' ({figure.note})' if figure.note else ''}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="The figures of speed beside their bars.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--photos", type=int, default=100, help="of a round")
    parser.add_argument("--repeat", type=int, default=3, help="rounds of each subject")
    parser.add_argument("--templates", type=int, default=TEMPLATES)
    parser.add_argument("--testdata", type=Path)
    parser.add_argument("--allow-busy", action="store_true", help="measure beside other work: figures are worthless")
    parser.add_argument("--bar", action="store_true", help="exit status 1 if a bar is missed")
    chosen = parser.parse_args(arguments)
    processors = sorted(os.sched_getaffinity(0))[:PROCESSORS]
    if len(processors) < PROCESSORS:
        print("The bars are for two processors, and this process may use one only.", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, processors)  # what it starts inherits that
    size = Size(chosen.photos, chosen.repeat, chosen.templates, chosen.testdata, chosen.allow_busy)
    figures: list[Figure] = []
    failed = []
    for part in chosen.parts:
        try:
            for figure in PARTS[part](size):
                figures.append(figure)
                print(line(figure), flush=True)
        except FrError as error:
            failed.append(part)
            print(f"{part}: not measured. {error.message}", flush=True)
    missed = [one.name for one in figures if one.bar is not None and not one.bar.met(one.value)]
    if size.allow_busy:
        print("Other work was allowed beside this measurement: the ratios may be worthless.")
    print(f"Missed: {'; '.join(missed) or 'none'}. Not measured: {', '.join(failed) or 'none'}.")
    return 2 if failed else int(bool(missed) and chosen.bar)


if __name__ == "__main__":
    sys.exit(main())
