"""Frozen values of a measurement of searches; they become the JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """The settings of a measurement.

    Attributes:
        index: as `gallery.index` of the server has it.
        peers: names of what is measured beside it, in this order.
        size: vectors of the gallery.
        dimension: values per vector.
        k: candidates of one probe.
        probes: how many.
        repeat: rounds of each; the probes are dealt out among them.
        concurrency: probes of one search together.
        threads: of each subject.
        seed: of the gallery and of drawn probes.
        sweep: further sizes.
    """

    index: str
    peers: tuple[str, ...]
    size: int
    dimension: int
    k: int
    probes: int
    repeat: int
    concurrency: int
    threads: int
    seed: int
    sweep: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SubjectMemory:
    """The memory of a built index, in bytes.

    Attributes:
        scan_bytes: codes that a search reads from end to end, by the index's own account; None where it gives none, 0
            where a search reads the exact vectors.
        store_bytes: exact vectors, by its own account; None as above.
        other_bytes: the rest, by its own account; None as above.
        resident_bytes: growth of the resident memory of its process while it was built; None where that is not told.
    """

    scan_bytes: int | None
    store_bytes: int | None
    other_bytes: int | None
    resident_bytes: int | None

    @property
    def total_bytes(self) -> int | None:
        """By its own account, else by the growth of its process; None where neither is known."""
        if self.scan_bytes is None or self.store_bytes is None or self.other_bytes is None:
            return self.resident_bytes
        return self.scan_bytes + self.store_bytes + self.other_bytes

    @property
    def read_bytes(self) -> int | None:
        """Return what a search reads from end to end: the codes, or the exact vectors where there are none; None as
        above.
        """
        return self.scan_bytes or self.store_bytes

    @property
    def source(self) -> str:
        """Return where `total_bytes` comes from: "own account", "resident memory" or "unknown"."""
        if self.scan_bytes is not None:
            return "own account"
        return "unknown" if self.resident_bytes is None else "resident memory"


@dataclass(frozen=True, slots=True)
class Built:
    """An index that holds the whole gallery.

    Attributes:
        settings: of the index, for people.
        build_s: seconds to add every vector, and for what is done once they are there.
        memory: what it takes.
    """

    settings: str
    build_s: float
    memory: SubjectMemory


@dataclass(frozen=True, slots=True)
class SearchRound:
    """One turn of one subject.

    Attributes:
        subject: who.
        probes: searched one at a time.
        p50_ms: of one probe alone, nearest rank.
        p95_ms: likewise.
        alone_per_s: probes per second, one after another.
        together_per_s: probes per second, `concurrency` in one search.
    """

    subject: str
    probes: int
    p50_ms: float
    p95_ms: float
    alone_per_s: float
    together_per_s: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Answers, alone and together, against an exact search.

    Attributes:
        answers: how many.
        rank1: share whose first candidate is that of the exact search.
        recall: share of the exact search's candidates that were found.
        score_error: the largest difference of a returned similarity from the exact one.
    """

    answers: int
    rank1: float
    recall: float
    score_error: float


@dataclass(frozen=True, slots=True)
class SubjectFigures:
    """All of one subject at one size; times are medians over the rounds.

    Attributes:
        subject: the name of the index, or "peer" and that of the peer.
        linear: whether a search looks at every vector, so that its time grows in a straight line.
        settings: for people.
        build_s: as in `Built`.
        memory: as in `Built`.
        scan_bytes_per_template: what a search reads from end to end; None where the subject gives no account.
        bytes_per_template: all in all; None where it is not known.
        memory_source: of `bytes_per_template`, as in `SubjectMemory`.
        p50_ms: as in `SearchRound`.
        p95_ms: as in `SearchRound`.
        alone_per_s: as in `SearchRound`.
        together_per_s: as in `SearchRound`.
        shared_ratio: together_per_s / alone_per_s.
        accuracy: against the exact search.
    """

    subject: str
    linear: bool
    settings: str
    build_s: float
    memory: SubjectMemory
    scan_bytes_per_template: float | None
    bytes_per_template: float | None
    memory_source: str
    p50_ms: float
    p95_ms: float
    alone_per_s: float
    together_per_s: float
    shared_ratio: float
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """One size of gallery.

    Attributes:
        size: vectors.
        exact_s: seconds that the exact search of all probes took.
        exact_rank1_mated: share of the probes whose best vector by the exact search is their mate.
        figures: our index, then the peers.
        rounds: in the order in which they were run.
    """

    size: int
    exact_s: float
    exact_rank1_mated: float
    figures: tuple[SubjectFigures, ...]
    rounds: tuple[SearchRound, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """An extrapolation from the two largest sizes, for work that grows linearly; never measured.

    Attributes:
        subject: who.
        size: vectors.
        p50_ms: on the line through the two sizes.
        bytes_total: memory, at as much per vector as at the larger size; None where it is not known.
        sizes: the two.
    """

    subject: str
    size: int
    p50_ms: float
    bytes_total: float | None
    sizes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PhotoProbes:
    """Probes that are faces of photos.

    Attributes:
        name: of the set of photos.
        pairs: of photos of one person: one enrolled, one searched.
        without_face: pairs that were left out, since a photo shows no face.
        cosine_min: lowest similarity of a probe to its mate.
        cosine_median: median of the same.
    """

    name: str
    pairs: int
    without_face: int
    cosine_min: float
    cosine_median: float


@dataclass(frozen=True, slots=True)
class SearchDetail:
    """The figures of `fr bench search`.

    Attributes:
        settings: what was asked for.
        photos: where the probes come from; None where they are drawn.
        mated_cosine: of drawn probes to their mates; None with photos.
        point: the gallery of `settings.size`.
        sweep: all sizes, ascending, `point` among them; empty without a sweep.
        predictions: empty without a sweep.
    """

    settings: SearchSettings
    photos: PhotoProbes | None
    mated_cosine: float | None
    point: SearchPoint
    sweep: tuple[SearchPoint, ...]
    predictions: tuple[Prediction, ...]

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
