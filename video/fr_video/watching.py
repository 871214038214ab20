"""Watches a live stream: follows its faces, searches once for each track, and reports gaps, drops and leads.

Nothing is kept: a track, its template and its picture are deleted once it was searched. Memory is bounded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from fr_core.engine import Engine
from fr_core.errors import TooManyFaces
from fr_core.gallery.values import Found
from fr_core.scoring.calibration import Calibration
from fr_core.types import Embedding, Image
from fr_video.crops import Crop, crop_box, cut
from fr_video.errors import StreamUnreadable
from fr_video.false_leads import LeadPoint, RateOfTracks, TrackCounter, lead_point
from fr_video.live import Live, Why
from fr_video.sources import Feed
from fr_video.tracking import MAX_GAP_S, Tracker, appearance_of
from fr_video.values import Frame, Look, Sampling, Track, VideoLimits

LONGEST_S = 5
"""Seconds after which a track is searched, though its face is still there."""

_TAKE_S = 1.0  # for which a frame is waited for, before anything else is done
_NO_FRAME_S = 30.0  # after which a stream that sends no picture counts as lost
_STATUS_S = 10.0
_LONGEST_WAIT_S = 60.0  # between two attempts to connect
_FIRST_WAIT_S = 1.0
_HELD_S = LONGEST_S + 2 * MAX_GAP_S + 2  # of pictures; a track is searched before


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the stream was not watched. UTC; `end` is None while it lasts."""

    begin: datetime
    end: datetime | None
    why: Why


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a watch."""

    at: datetime  # UTC
    is_connected: bool
    frames_looked_at: int
    frames_dropped: int  # of the stream, for which the server was too slow
    frames_refused: int  # with more faces than the limit
    gaps: int
    tracks_searched: int
    tracks_unfit: int  # without one face that is good enough; they were not searched
    leads: int
    rate: RateOfTracks
    point: LeadPoint


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """A track that was searched. `found` has the candidates; if one reaches the threshold, it is a lead."""

    track: Track
    first: datetime  # UTC, of its first frame
    last: datetime
    found: Found
    point: LeadPoint
    picture: Crop | None  # the best face with its surroundings; for a lead only

    @property
    def is_lead(self) -> bool:
        """Return whether a candidate reaches the threshold."""
        return _is_lead(self.found)


def _is_lead(found: Found) -> bool:
    return any(one.above_threshold for one in found.identification.candidates)


Event = Gap | Status | Searched


@dataclass(frozen=True, slots=True)
class Watch:
    """The parameters of a watch."""

    address: str  # as `fr_video.sources.require_address` has it
    target: float  # false leads per day, above 0
    tracks_per_day: float  # that the caller expects, above 0
    sampling: Sampling
    limits: VideoLimits


class Watcher:
    """Watches one stream, until `stop` is set.

    Args:
        watch: the parameters.
        engine: finds and embeds the faces.
        calibration: of the gallery, else of the model: what a similarity means.
        templates: returns how many templates are searched now, at least 1.
        search: searches with a template at a threshold.
        stop: set by another thread to end the watch.
        now: the time, UTC.
        monotonic_s: a clock.
    """

    def __init__(
        self,
        watch: Watch,
        engine: Engine,
        calibration: Calibration,
        templates: Callable[[], int],
        search: Callable[[Embedding, float], Found],
        stop: threading.Event,
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._watch, self._engine, self._calibration = watch, engine, calibration
        self._templates, self._search = templates, search
        self._stop, self._now, self._clock = stop, now, monotonic_s
        self._counter = TrackCounter(watch.tracks_per_day)
        self._looked_at = self._dropped = self._refused = self._gaps = self._searched = self._unfit = self._leads = 0
        self._seen_until = now()
        self._why = Why.LOST  # of the last session's end
        self._told: float | None = None

    def events(self) -> Iterator[Event]:
        """Watch, in the thread of the caller.

        Raises `StreamUnreadable` or `OSError` if the first attempt to connect fails, `UndefinedRate` if the calibration
        supports no threshold, and what `search` raises.
        """
        yield self._status(False)
        feed: Feed | None = Feed(self._watch.address)
        wait_s = _FIRST_WAIT_S
        while feed is not None or not self._stop.is_set():  # a session disconnects its feed
            if feed is not None:
                before = self._looked_at
                yield from self._session(feed)
                if self._stop.is_set():
                    return
                wait_s = _FIRST_WAIT_S if self._looked_at > before else wait_s
                yield Gap(self._seen_until, None, self._why)
            yield from self._status_if_due(False)
            feed = None if self._stop.wait(wait_s) else self._connected()
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _connected(self) -> Feed | None:
        try:
            return Feed(self._watch.address)
        except (OSError, StreamUnreadable):  # the gap goes on, and its end is reported
            return None

    def _session(self, feed: Feed) -> Iterator[Event]:
        """Watch a connected stream to its end."""
        tracker, pictures = Tracker(appearance_of(self._engine.calibration)), _Pictures()
        began: datetime | None = None  # when the time of the stream was 0
        last, since = Fraction(0), self._clock()
        with Live(feed, self._watch.sampling, self._watch.limits) as live:
            while not (live.is_over or self._stop.is_set() or self._clock() - since > _NO_FRAME_S):
                frame = live.take(_TAKE_S)
                self._dropped += live.take_dropped()
                if frame is not None:
                    since, zero = self._clock(), self._now() - _s(frame.time)
                    if began is None:
                        began, last = zero, frame.time
                        yield from self._resumed(began + _s(frame.time))
                    began = min(began, zero)  # the frame with the least delay gives the best estimate
                    for hole in live.holes():
                        yield self._gap(began + _s(hole.begin), began + _s(hole.end), hole.why)
                    self._look(frame, frame.time - last, tracker, pictures)
                    last, self._seen_until = frame.time, began + _s(frame.time)
                    yield from self._searches(tracker.due(last, LONGEST_S), began, pictures)
                yield from self._status_if_due(began is not None)
        if began is not None:
            yield from self._searches(tracker.due(last + MAX_GAP_S + 1, LONGEST_S), began, pictures)
        self._why = live.why

    def _resumed(self, at: datetime) -> Iterator[Event]:
        if self._looked_at:
            yield self._gap(self._seen_until, at, self._why)

    def _gap(self, begin: datetime, end: datetime, why: Why) -> Gap:
        self._gaps += 1
        return Gap(begin, end, why)

    def _look(self, frame: Frame, after: Fraction, tracker: Tracker, pictures: _Pictures) -> None:
        watched = after <= self._watch.sampling.interval + 1  # else it is a gap
        self._counter.add(self._clock(), 0, float(after) if watched else 0.0)
        self._looked_at += 1
        try:
            photo = self._engine.pipeline.analyze_image(Image(frame.pixels, frame.sha256))
        except TooManyFaces:
            self._refused += 1
            return
        pictures.add(frame, tracker.add(frame, photo.faces))

    def _searches(self, tracks: Sequence[Track], began: datetime, pictures: _Pictures) -> Iterator[Event]:
        """Search once for each track that shows a face well enough."""
        for track in tracks:
            if track.best.quality.reasons:
                self._unfit += 1
                continue
            self._counter.add(self._clock(), 1, 0.0)
            point = self._point()
            found = self._search(track.template, point.threshold)
            is_lead = _is_lead(found)
            self._searched, self._leads = self._searched + 1, self._leads + is_lead
            first, last = (began + _s(track.sightings[place].time) for place in (0, -1))
            yield Searched(track, first, last, found, point, pictures.of(track.best) if is_lead else None)

    def _point(self) -> LeadPoint:
        return lead_point(self._calibration, self._templates(), self._watch.target, self._counter.rate)

    def _status_if_due(self, is_connected: bool) -> Iterator[Event]:
        if self._told is None or self._clock() - self._told >= _STATUS_S:
            yield self._status(is_connected)

    def _status(self, is_connected: bool) -> Status:
        self._told = self._clock()
        return Status(
            at=self._now(),
            is_connected=is_connected,
            frames_looked_at=self._looked_at,
            frames_dropped=self._dropped,
            frames_refused=self._refused,
            gaps=self._gaps,
            tracks_searched=self._searched,
            tracks_unfit=self._unfit,
            leads=self._leads,
            rate=self._counter.rate,
            point=self._point(),
        )


class _Pictures:
    """Holds the faces of the last seconds with their surroundings, so that a lead can show its best."""

    def __init__(self) -> None:
        self._held: deque[tuple[Look, Crop]] = deque()

    def add(self, frame: Frame, looks: Sequence[Look]) -> None:
        while self._held and frame.time - self._held[0][0].at.time > _HELD_S:
            self._held.popleft()
        height, width, _ = frame.pixels.shape
        self._held.extend((look, cut(frame, crop_box(look.at.box, width, height))) for look in looks)

    def of(self, look: Look) -> Crop | None:
        return next((crop for held, crop in self._held if held is look), None)


def _s(time: Fraction) -> timedelta:
    return timedelta(seconds=float(time))
