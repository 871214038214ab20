"""Watching a stream: every gap is told, each track is searched once, and false leads stay at their target."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fr_core.detect.null import NullDetector
from fr_core.embed.null import NULL_MODEL, NullEmbedder
from fr_core.engine import Engine
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, Found, NewTemplate
from fr_core.imaging import ImageLimits
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.scoring.calibration import Calibration, Provenance, fit_calibration
from fr_core.scoring.intervals import UndefinedRate
from fr_core.types import U8, Detection, Embedding
from fr_video.errors import StreamUnreadable
from fr_video.false_leads import DAY_S, RateOfTracks, TrackCounter, lead_point, poisson_limits
from fr_video.live import Live, Why
from fr_video.sources import Feed
from fr_video.values import Sampling, VideoLimits
from fr_video.watching import LONGEST_S, Event, Gap, Searched, Status, Watch, Watcher
from support import photos
from support.counts import count
from support.faults import until as until_true
from support.footage import Actor, Scene, at_rate
from support.lazy_module import LazyModule
from support.streams import Camera, Unit, encoded

stats = LazyModule("scipy.stats")
RATE = Fraction(25)
SPEED = 5.0
UNHURRIED = 1.5  # so that a busy machine drops no face
PINK = np.full((60, 60, 3), (255, 0, 100), np.uint8)
WIDE, HIGH = 400, 260


class Squares(NullDetector):
    """As `NullDetector`, of the colours that a lossy encoder leaves."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        seen = (pixels[..., 0] > 180) & (pixels[..., 1] < 80) & (pixels[..., 2] > 50)
        clean = np.where(seen[..., None], np.array((255, 0, 100), np.uint8), np.uint8(0))
        return tuple(one for one in super().detect(clean) if one.area > 100)


def engine_of(detector: NullDetector, limits: QualityLimits | None = None) -> Engine:
    lenient = limits or QualityLimits(min_sharpness=0.0, min_brightness=0.0)
    return replace(photos.engine(), pipeline=Pipeline(detector, NullEmbedder(), ImageLimits(), lenient))


def calibration(nonmated: int = 100_000, seed: int = 0) -> Calibration:
    rng = np.random.default_rng(seed)
    provenance = Provenance("made", "0" * 64, None, str(NULL_MODEL), datetime(2026, 1, 1, tzinfo=UTC).date(), {})
    return fit_calibration(rng.normal(0.7, 0.1, 5_000), rng.normal(0.0, 0.1, nonmated), provenance)


def scene() -> Scene:
    """Return three faces, of which at most one is there at a time: from 1 to 3 s, from 4 to 5 s, and from 7 s on."""

    def there(begin: float, end: float, x: float) -> Callable[[float], tuple[float, float, float] | None]:
        return lambda time: (x + 5 * time, 100, 60) if begin <= time < end else None

    shown = [there(1, 3, 60), there(4, 5, 240), there(7, 1_000, 100)]
    return Scene([Actor(str(place), PINK, one, round=False) for place, one in enumerate(shown)], (WIDE, HIGH))


@pytest.fixture(scope="module")
def units() -> list[Unit]:
    made = scene()
    return encoded((moment, made.draw(float(moment))) for moment in at_rate(RATE, 20))


class Searches:
    """Searches a gallery of one subject, whose template is that of the first probe; counts."""

    def __init__(self, folder: Path) -> None:
        self.galleries = Galleries.open(folder)
        self.galleries.create("wanted", "", NULL_MODEL, 64)
        self.thresholds: list[float] = []

    def __call__(self, probe: Embedding, threshold: float) -> Found:
        if not self.thresholds:
            self.galleries.enrol("wanted", Enrolment("jane", NewTemplate(probe)))
        self.thresholds.append(threshold)
        return self.galleries.search("wanted", probe, 5, threshold)


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Searches]:
    made = Searches(tmp_path / "galleries")
    with made.galleries:
        yield made


def watcher(camera: str, search: Searches, stop: threading.Event, engine: Engine | None = None) -> Watcher:
    return Watcher(
        Watch(camera, 1.0, 100.0, Sampling(), VideoLimits()),
        engine or engine_of(Squares()),
        calibration(),
        lambda: 1,
        search,
        stop,
        lambda: datetime.now(UTC),
        time.monotonic,
    )


def until(events: Iterator[Event], stop: threading.Event, ends: Callable[[list[Event]], bool]) -> list[Event]:
    found: list[Event] = []
    for event in events:
        found.append(event)
        if ends(found):
            stop.set()
    return found


def of(kind: type, events: list[Event]) -> list:  # type: ignore[type-arg]
    return [one for one in events if isinstance(one, kind)]


def test_each_track_is_searched_once_and_a_lead_shows_its_face(units: list[Unit], search: Searches) -> None:
    stop = threading.Event()
    with Camera([units[:500]], speed=UNHURRIED) as camera:
        events = until(watcher(camera.address, search, stop).events(), stop, lambda found: bool(of(Gap, found)))
    searched = of(Searched, events)
    assert [one.track.number for one in searched] == [1, 2, 3]
    assert [round(float(one.track.sightings[0].time)) for one in searched] == [1, 4, 7]
    sightings = searched[2].track.sightings
    assert LONGEST_S <= sightings[-1].time - sightings[0].time <= LONGEST_S + 1  # its face is there longer
    first = searched[0]
    assert first.is_lead  # the gallery holds this face
    assert first.picture is not None
    # By the frame that is the best of those that arrived.
    assert first.picture.pixels.shape[:2] == pytest.approx((120, 120), abs=2)
    assert (first.last - first.first).total_seconds() == pytest.approx(1.8, abs=0.2)
    assert search.thresholds == [one.point.threshold for one in searched]
    assert all(one.picture is None for one in searched if not one.is_lead)
    (gap,) = of(Gap, events)
    assert (gap.end, gap.why) == (None, Why.LOST)


def test_every_cut_is_told_with_its_times(units: list[Unit], search: Searches) -> None:
    cuts = count("STREAM_CUTS")
    stop = threading.Event()
    with Camera([units[:100]] * (cuts + 1), speed=UNHURRIED) as camera:
        before = datetime.now(UTC)
        events = until(
            watcher(camera.address, search, stop).events(),
            stop,
            lambda found: len([one for one in of(Gap, found) if one.end is None]) == cuts + 1,
        )
        after = datetime.now(UTC)
    gaps = of(Gap, events)
    whole = [one for one in gaps if one.end is not None]
    assert [(one.why, one.end is None) for one in gaps] == [(Why.LOST, True), (Why.LOST, False)] * cuts + [
        (Why.LOST, True)
    ]
    moments = [moment for one in whole for moment in (one.begin, one.end)]
    assert [before, *moments, after] == sorted([before, *moments, after])
    assert all(one.end - one.begin > timedelta(seconds=0.9) for one in whole)  # of waiting
    assert len(of(Searched, events)) == cuts + 1  # the face of each session
    (status, *_), *_ = [of(Status, events)[::-1]]
    assert status.gaps <= cuts


def test_a_reader_who_is_too_slow_gets_the_newest_frames_and_a_count_of_the_others(units: list[Unit]) -> None:
    with Camera([units[:250]], speed=20.0) as camera, Live(Feed(camera.address), Sampling(), VideoLimits()) as live:
        dropped = 0

        def enough() -> bool:
            nonlocal dropped
            dropped += live.take_dropped()
            return dropped >= 8

        until_true(enough)
        taken = []
        while not live.is_over:
            if (frame := live.take(1.0)) is not None:
                taken.append(frame.time)
        dropped += live.take_dropped()
    assert taken == sorted(taken)
    assert taken[0] > 1  # second: eight frames were before
    everything = sampled(units[:250])
    assert dropped + len(taken) == everything


def sampled(units: list[Unit]) -> int:
    """Return how many frames the sampling takes."""
    with Camera([units], speed=20.0) as camera, Live(Feed(camera.address), Sampling(), VideoLimits()) as live:
        taken = 0
        while not live.is_over:
            taken += live.take(1.0) is not None
        return taken + live.take_dropped()


def test_drops_are_told_and_are_no_gaps(units: list[Unit], search: Searches) -> None:
    stop = threading.Event()
    with Camera([units[:250]], speed=20.0) as camera:
        made = watcher(camera.address, search, stop)
        events = until(made.events(), stop, lambda found: bool(of(Gap, found)))
    status = next(iter(made.events()))
    assert isinstance(status, Status)
    everything = sampled(units[:250])
    assert status.frames_dropped + status.frames_looked_at == everything
    assert len(of(Gap, events)) == 1


def test_damage_is_a_gap_and_no_picture_is_patched_up(units: list[Unit], search: Searches) -> None:
    """A packet of the frame at 1 s is lost; the next key frame is at 4 s. Before it, frames of 0 s were looked at."""
    rare = encoded(((moment, scene().draw(float(moment))) for moment in at_rate(RATE, 8)), every=100)

    def damaged(place: int, packets: list[bytes]) -> list[bytes]:
        return packets[1:] if place == 25 else packets

    stop = threading.Event()
    with Camera([rare], speed=SPEED, damaged=damaged) as camera:
        events = until(watcher(camera.address, search, stop).events(), stop, lambda found: len(of(Gap, found)) == 2)
    gap, lost = of(Gap, events)
    assert gap.why is Why.MISSING
    assert (gap.end - gap.begin).total_seconds() == pytest.approx(4, abs=0.3)
    assert lost.end is None


def test_faces_without_a_good_look_are_not_searched(units: list[Unit], search: Searches) -> None:
    stop = threading.Event()
    with Camera([units[:250]], speed=SPEED) as camera:
        made = watcher(camera.address, search, stop, engine_of(Squares(), QualityLimits(min_inter_eye_px=500)))
        events = until(made.events(), stop, lambda found: bool(of(Gap, found)))
    status = next(iter(made.events()))
    assert isinstance(status, Status)
    assert (of(Searched, events), search.thresholds, status.tracks_searched) == ([], [], 0)
    assert 1 <= status.tracks_unfit <= 3  # a busy machine may drop all frames with one of them


class EndsWhileItConnects(threading.Event):
    """Is set after the first wait, before what comes next."""

    def wait(self, timeout: float | None = None) -> bool:
        waited = super().wait(timeout)
        self.set()
        return waited


def test_a_watch_that_ends_while_it_connects_again_disconnects(search: Searches) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        seen: list[bytes] = []

        def serve() -> None:
            listener.accept()[0].close()
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                seen.append(connection.recv(1))

        serving = threading.Thread(target=serve)
        serving.start()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        events = list(watcher(address, search, EndsWhileItConnects()).events())
        serving.join()
    assert [type(event) for event in events] == [Status, Gap]
    assert seen == [b""], "the second connection stays"


def test_a_stream_that_was_never_there_is_refused(search: Searches) -> None:
    with Camera([]) as camera:
        camera.finished.wait(10)
    stop = threading.Event()
    with pytest.raises(OSError, match="refused"):
        list(watcher(camera.address, search, stop).events())
    with pytest.raises(StreamUnreadable, match="rtsp://"):
        list(watcher("http://127.0.0.1/", search, stop).events())


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_memory_stays_flat_over_half_an_hour_with_twenty_cuts(units: list[Unit], search: Searches) -> None:
    """In real time: 21 sessions of 86 seconds."""
    minutes = count("STREAM_MINUTES")
    session = [replace(one, time=one.time + 20 * turn) for turn in range(5) for one in units][: minutes * 60 * 25 // 21]
    stop = threading.Event()
    sizes: list[tuple[float, int]] = []

    def ends(found: list[Event]) -> bool:
        if isinstance(found[-1], Status):
            sizes.append((time.monotonic(), resident()))
        return len([one for one in of(Gap, found) if one.end is None]) == 21

    with Camera([session] * 21) as camera:
        events = until(watcher(camera.address, search, stop).events(), stop, ends)
    assert len([one for one in of(Gap, events) if one.end is not None]) == 20
    half = len(sizes) // 2
    first, second = (max(size for _, size in part) for part in (sizes[2:half], sizes[half:]))
    print(f"Memory: {first / 2**20:.1f} MiB at most in the first half, {second / 2**20:.1f} MiB in the second")  # noqa: T201
    assert second < first * 1.02 + 2 * 2**20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("events", [0, 1, 2, 5, 20, 100, 10_000])
def test_limits_of_a_count_are_near_the_exact_ones(events: int) -> None:
    """The exact ones are Garwood's, from the chi-squared distribution of SciPy."""
    found = poisson_limits(events)
    low = stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    high = stats.chi2.ppf(0.975, 2 * (events + 1)) / 2
    assert found.low <= low * 1.001
    assert found.low == pytest.approx(low, rel=0.03 if events >= 5 else 0.5)
    assert found.high == pytest.approx(high, rel=0.03)


def test_the_rate_is_of_the_last_day_and_at_least_the_expected_one_until_a_day_was_watched() -> None:
    counter = TrackCounter(500.0)
    assert counter.rate.assumed_per_day > 500  # nothing is known yet
    for minute in range(2 * 1440):
        counter.add(minute * 60.0, 1 if minute < 1440 else 2, 60.0)
        if minute == 700:
            assert counter.rate.assumed_per_day == max(500.0, counter.rate.per_day.high) > 1_440
    rate = counter.rate
    assert (rate.tracks, rate.watched_s) == (2 * 1440, DAY_S)
    low, high = (stats.chi2.ppf(share, 2 * tracks) / 2 for share, tracks in ((0.025, 2880), (0.975, 2881)))
    assert (rate.per_day.low, rate.per_day.high) == pytest.approx((low, high), rel=1e-3)
    quiet = TrackCounter(500.0)
    for minute in range(1440):
        quiet.add(minute * 60.0, 0, 60.0)
        if minute == 1_300:
            assert quiet.rate.assumed_per_day == 500.0
    assert quiet.rate.assumed_per_day == pytest.approx(3.69, abs=0.1)


@pytest.mark.parametrize(("per_day", "templates", "target"), [(200, 10, 0.5), (2_000, 50, 1.0), (20_000, 5, 5.0)])
def test_false_leads_of_made_scores_stay_in_the_stated_interval(per_day: int, templates: int, target: float) -> None:
    """Days of tracks of strangers, whose scores come from the known distribution; the reference is SciPy's."""
    rate = RateOfTracks(per_day, DAY_S, per_day)
    days = count("STREAM_DAYS")
    rng = np.random.default_rng(per_day)
    inside = 0
    made = count("STREAM_CALIBRATIONS")
    for seed in range(made):  # their limits hold for 95 % of them
        point = lead_point(calibration(300_000, seed), templates, target, rate)
        assert point.meets_target
        assert point.interval.low <= point.false_leads_per_day <= point.interval.high
        true = 1 - stats.norm.cdf(point.threshold, 0.0, 0.1) ** templates
        tracks = rng.poisson(per_day * days)
        tops = stats.norm.ppf(rng.uniform(size=tracks) ** (1 / templates), 0.0, 0.1)
        false = int((tops >= point.threshold).sum())
        assert stats.poisson.sf(false - 1, true * per_day * days) > 1e-6  # the simulation agrees with the formula
        inside += point.interval.low <= true * per_day <= point.interval.high
    assert inside >= 0.85 * made - 1


def test_a_target_that_the_comparisons_do_not_support_is_told() -> None:
    rate = RateOfTracks(100_000, DAY_S, 100_000)
    point = lead_point(calibration(10_000), 1_000, 0.01, rate)
    assert not point.meets_target
    assert point.false_leads_per_day > 0.01
    assert lead_point(calibration(10_000), 1_000, 0.01, RateOfTracks(10**6, DAY_S, 1)).threshold == point.threshold
    with pytest.raises(UndefinedRate):
        calibration(10_000).threshold_at_fpir(1e-7, 1_000)
