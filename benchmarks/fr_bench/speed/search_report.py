"""The report of searches: its main figures, its lines and its tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from fr_bench.speed.page import Rows
from fr_bench.speed.values import Held
from fr_bench.values import Bar


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """The settings of a measurement."""

    index: str  # as `gallery.index` of the server has it
    peers: tuple[str, ...]
    size: int
    dimension: int
    k: int  # candidates of one probe
    probes: int
    repeat: int  # rounds, among which the probes are dealt out
    concurrency: int  # probes of one search together
    threads: int  # of each subject
    seed: int
    sweep: tuple[int, ...]  # further sizes


@dataclass(frozen=True, slots=True)
class SubjectMemory:
    """The memory of a built index, in bytes, by the index's own account; None where it gives none."""

    scan_bytes: int | None  # codes that a search reads from end to end; 0 where it reads the exact vectors
    store_bytes: int | None  # exact vectors
    other_bytes: int | None
    resident_bytes: int | None  # how much its process grew while it was built

    @property
    def total_bytes(self) -> int | None:
        """By its own account, else by the growth of its process; None where neither is known."""
        if self.scan_bytes is None or self.store_bytes is None or self.other_bytes is None:
            return self.resident_bytes
        return self.scan_bytes + self.store_bytes + self.other_bytes

    @property
    def read_bytes(self) -> int | None:
        """The size of what a search reads in full: the codes, or the exact vectors if there are none; None as above."""
        return self.scan_bytes or self.store_bytes

    @property
    def source(self) -> str:
        """Return where `total_bytes` comes from: "own account", "resident memory" or "unknown"."""
        if self.scan_bytes is not None:
            return "own account"
        return "unknown" if self.resident_bytes is None else "resident memory"


@dataclass(frozen=True, slots=True)
class Built:
    """An index that holds the whole gallery; `settings` are for people, `build_s` adds every vector and finishes."""

    settings: str
    build_s: float
    memory: SubjectMemory


@dataclass(frozen=True, slots=True)
class SearchRound:
    """One turn of one subject: probes one at a time, then `concurrency` in one search; nearest-rank percentiles."""

    subject: str
    probes: int
    p50_ms: float
    p95_ms: float
    alone_per_s: float
    together_per_s: float
    # Share of the processors' time, in [0, 1], that processes used which were not measured; None where unknown.
    other_load: float | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Answers, alone and together, against an exact search."""

    answers: int
    rank1: float  # share whose first candidate is the exact one
    recall: float  # share of the exact candidates that were found
    score_error: float  # largest difference of a similarity from the exact one


@dataclass(frozen=True, slots=True)
class SubjectFigures:
    """All of one subject at one size: our index, or "peer" and its name; times are medians over the rounds."""

    subject: str
    linear: bool  # whether a search looks at every vector, so that its time grows in a straight line
    settings: str
    build_s: float
    memory: SubjectMemory
    scan_bytes_per_template: float | None  # None where it is not known
    bytes_per_template: float | None  # likewise
    memory_source: str  # that of `SubjectMemory`
    p50_ms: float
    p95_ms: float
    alone_per_s: float
    together_per_s: float
    shared_ratio: float  # together_per_s / alone_per_s
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """One size of gallery: our index, then the peers."""

    size: int
    exact_s: float  # seconds of the exact search of all probes
    exact_rank1_mated: float  # share of the probes whose best vector by it is their mate
    figures: tuple[SubjectFigures, ...]
    rounds: tuple[SearchRound, ...]  # in the order in which they were run


@dataclass(frozen=True, slots=True)
class Prediction:
    """An extrapolation from the two largest sizes, for work that grows linearly; never measured."""

    subject: str
    size: int
    p50_ms: float  # lies on the line through the two sizes
    bytes_total: float | None  # as much per vector as at the larger one; None where that is not known
    sizes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PhotoProbes:
    """Probes that are faces of photos: of each pair one is enrolled, and one searched for; cosines are to the mate."""

    name: str
    pairs: int
    without_face: int
    cosine_min: float
    cosine_median: float


@dataclass(frozen=True, slots=True)
class SearchDetail:
    """The figures of `fr bench search`."""

    settings: SearchSettings
    photos: PhotoProbes | None  # where other probes come from
    mated_cosine: float | None  # of drawn probes to their mates
    point: SearchPoint
    sweep: tuple[SearchPoint, ...]  # all sizes, ascending, `point` among them; empty where no sweep was asked for
    predictions: tuple[Prediction, ...]  # likewise

    @property
    def ours(self) -> SubjectFigures:
        """The figures of our index."""
        return self.point.figures[0]

    @property
    def peer(self) -> SubjectFigures | None:
        """Those of the first peer that was named; None without one."""
        return self.point.figures[1] if len(self.point.figures) > 1 else None

    @property
    def ratio(self) -> float | None:
        """The peer's p50 / ours; None without a peer."""
        return None if self.peer is None else self.peer.p50_ms / self.ours.p50_ms

    @property
    def top20_recall(self) -> float | None:
        """The recall of our index where 20 candidates were asked for; None for another number."""
        return self.ours.accuracy.recall if self.settings.k == 20 else None


# The speed of `compact` on two cores, and that of `gpu` on one H100.
COMPACT_SIZE, GPU_SIZE, DIMENSION = 1_000_000, 10_000_000, 512


def held_figures(detail: SearchDetail, *, decides: bool) -> tuple[Held, ...]:
    """The figures beside their bars; of speed only at the size, the width and the peer that a bar is meant for."""
    return tuple(Held(name, value, bar, decides) for name, value, bar in _figures(detail))


def _figures(detail: SearchDetail) -> Iterator[tuple[str, float, Bar]]:
    settings, ours = detail.settings, detail.ours
    yield "rank1", ours.accuracy.rank1, Bar(1.0, at_least=True)
    if detail.top20_recall is not None:
        yield "top20_recall", detail.top20_recall, Bar(0.99, at_least=True)
    yield "score_error", ours.accuracy.score_error, Bar(1e-5, at_least=False)
    if (settings.index, settings.size, settings.dimension) == ("compact", COMPACT_SIZE, DIMENSION):
        yield "p50_ms", ours.p50_ms, Bar(10.0, at_least=False)
        if detail.ratio is not None and settings.peers[0] == "flat":
            yield "ratio", detail.ratio, Bar(15.0, at_least=True)
        yield "shared_ratio", ours.shared_ratio, Bar(1.8, at_least=True)
        if ours.scan_bytes_per_template is not None:
            yield "bytes_per_template", ours.scan_bytes_per_template, Bar(140.0, at_least=False)
    if (settings.index, settings.size, settings.dimension) == ("gpu", GPU_SIZE, DIMENSION):
        yield "p50_ms", ours.p50_ms, Bar(3.8, at_least=False)
        yield "together_per_s", ours.together_per_s, Bar(20_000.0, at_least=True)


_UNKNOWN = "unknown"


def search_figures(detail: SearchDetail) -> dict[str, Any]:
    """The figures that the JSON begins with: those of our index, and of the first peer that was named."""
    ours, peer = detail.ours, detail.peer
    return {
        "p50_ms": ours.p50_ms,
        "p95_ms": ours.p95_ms,
        "peer_p50_ms": None if peer is None else peer.p50_ms,
        "ratio": detail.ratio,
        "rank1": ours.accuracy.rank1,
        "top20_recall": detail.top20_recall,
        "bytes_per_template": ours.scan_bytes_per_template,
        "build_s": ours.build_s,
        "score_error": ours.accuracy.score_error,
        "shared_ratio": ours.shared_ratio,
        "together_per_s": ours.together_per_s,
        "all_bytes_per_template": ours.bytes_per_template,
    }


def search_title(detail: SearchDetail) -> str:
    """A line that tells the measurements apart."""
    settings = detail.settings
    probes = "" if detail.photos is None else f", probes of {detail.photos.name}"
    return f"fr bench search: {settings.index}, {settings.size:,} templates of {settings.dimension} values{probes}"


def search_parts(detail: SearchDetail) -> list[str]:
    """Of the name of its files."""
    settings = detail.settings
    return ["search", settings.index, str(settings.size), "" if detail.photos is None else detail.photos.name]


def search_lines(detail: SearchDetail) -> list[str]:
    """Return what was searched for, what with, and what is only predicted."""
    settings, point = detail.settings, detail.point
    photos = detail.photos
    if photos is None:
        probes = f"{settings.probes} drawn probes, at a cosine of {detail.mated_cosine:g} to their mates"
    else:
        probes = (
            f"{photos.pairs} faces of {photos.name}, each with another photo of the person enrolled (cosine: lowest "
            f"{photos.cosine_min:.2f}, median {photos.cosine_median:.2f}; {photos.without_face} pairs left out, "
            "without a face on both)"
        )
    return [
        f"Gallery: uniform random unit vectors of {settings.dimension} values, seed {settings.seed}; {probes}",
        f"Each probe once alone, in {settings.repeat} rounds, and in searches of {settings.concurrency} together; "
        f"{settings.k} candidates; {settings.threads} threads",
        f"Exact search (float64): {point.exact_s:.1f} s for all probes with the drawing of the gallery; the mate is "
        f"first for {point.exact_rank1_mated:.4f} of them",
        *(f"{item.subject}: {item.settings}" for item in point.figures),
        *(
            f"Predicted, not measured, by the straight line through {item.sizes[0]:,} and {item.sizes[1]:,}: "
            f"{item.subject} at {item.size:,}: p50 {item.p50_ms:.0f} ms"
            + (f", {item.bytes_total / 1e9:.1f} GB" if item.bytes_total is not None else "")
            for item in detail.predictions
        ),
    ]


def search_tables(detail: SearchDetail) -> list[Rows]:
    """One table of times, one of what was found and of memory, and one of all sizes."""
    point, k = detail.point, detail.settings.k
    tables: list[Rows] = [_times(point, detail.settings.concurrency), _found(point, k)]
    return [*tables, _sizes(detail.sweep, k)] if detail.sweep else tables


def _times(point: SearchPoint, concurrency: int) -> Rows:
    first = point.figures[0].p50_ms
    rows = [
        (
            item.subject,
            _p50(point, item.subject),
            f"{item.p95_ms:.2f}",
            f"{item.p50_ms / first:.2f}",
            f"{item.alone_per_s:.0f}",
            f"{item.together_per_s:.0f}",
            f"{item.shared_ratio:.2f}",
            f"{item.build_s:.1f}",
        )
        for item in point.figures
    ]
    head = (
        "searched",
        "p50, ms (of the rounds)",
        "p95, ms",
        "p50 / ours",
        "probes/s alone",
        f"probes/s, {concurrency} together",
    )
    return [(*head, "together / alone", "built in, s"), *rows]


def _p50(point: SearchPoint, subject: str) -> str:
    """The median over the rounds, with the quickest and the slowest round."""
    own = [item.p50_ms for item in point.rounds if item.subject == subject]
    return f"{median(own):.2f} ({min(own):.2f} to {max(own):.2f})"


def _found(point: SearchPoint, k: int) -> Rows:
    rows = [
        (
            item.subject,
            f"{item.accuracy.rank1:.4f}",
            f"{item.accuracy.recall:.4f}",
            f"{item.accuracy.score_error:.1e}",
            _bytes(item.bytes_per_template),
            _bytes(item.scan_bytes_per_template),
            _bytes(None if item.memory.resident_bytes is None else item.memory.resident_bytes / point.size),
            item.memory_source,
        )
        for item in point.figures
    ]
    head = ("searched", "rank-1 as exact", f"recall of the top {k}", "scores off by at most", "bytes a template")
    return [(*head, "of them scanned", "growth of the process", "bytes told by"), *rows]


def _sizes(points: Sequence[SearchPoint], k: int) -> Rows:
    rows = [_at(point, item) for point in points for item in point.figures]
    return [
        ("templates", "searched", "p50, ms", f"recall of the top {k}", "rank-1 as exact", "built in, s", "GB"),
        *rows,
    ]


def _at(point: SearchPoint, item: SubjectFigures) -> Sequence[str]:
    total = item.memory.total_bytes
    return (
        f"{point.size:,}",
        item.subject,
        f"{item.p50_ms:.2f}",
        f"{item.accuracy.recall:.4f}",
        f"{item.accuracy.rank1:.4f}",
        f"{item.build_s:.1f}",
        _UNKNOWN if total is None else f"{total / 1e9:.3f}",
    )


def _bytes(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0f}"
