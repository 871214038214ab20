"""Chooses the threshold of a watched stream by its false leads per day, at the measured rate of its tracks.

A track is one search. If no track is of an enrolled person, F = FPIR x R leads are expected a day, for R tracks a day.
The threshold is the lowest one at which the calibration expects no more than the target.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import NormalDist

from fr_core.scoring.calibration import Calibration
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, UndefinedRate

DAY_S = 86_400
_MINUTE_S = 60
# Until the stream was watched for so long, a rate says little.
_LEAST_WATCHED_S = 600.0
_ROUNDING = 1e-9


def poisson_limits(count: int, confidence: float = DEFAULT_CONFIDENCE) -> Interval:
    """Return the limits of the mean of a Poisson count, by Byar's approximation of the exact ones.

    It is within 3 % of the exact limits; below 5 events, the lower one is up to half too low. Source: N. E. Breslow and
    N. E. Day, "Statistical methods in cancer research", volume II, IARC (1987), page 69.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    low = 0.0 if count == 0 else count * (1 - 1 / (9 * count) - z / (3 * count**0.5)) ** 3
    above = count + 1
    return Interval(low, above * (1 - 1 / (9 * above) + z / (3 * above**0.5)) ** 3, confidence)


@dataclass(frozen=True, slots=True)
class RateOfTracks:
    """Tracks that were searched in the last 24 hours of a stream, and the rate per day that follows."""

    tracks: int
    watched_s: float  # of these 24 hours, without gaps
    expected_per_day: float  # what the caller said before

    @property
    def per_day(self) -> Interval:
        """Return the limits of the tracks per day."""
        limits = poisson_limits(self.tracks)
        days = max(self.watched_s, _LEAST_WATCHED_S) / DAY_S
        return Interval(limits.low / days, limits.high / days, limits.confidence)

    @property
    def assumed_per_day(self) -> float:
        """Return the rate that the threshold is chosen for.

        It is the upper limit of the measured rate; until a whole day was watched, it is at least what the
        caller expects, since a night says nothing about a day.
        """
        measured = self.per_day.high
        return measured if self.watched_s >= DAY_S - _MINUTE_S else max(measured, self.expected_per_day)


class TrackCounter:
    """Counts tracks and seconds by the minute; holds a day of them."""

    def __init__(self, expected_per_day: float) -> None:
        self._expected = expected_per_day
        self._minutes: deque[list[float]] = deque()  # number of the minute, tracks, seconds watched

    def add(self, now_s: float, tracks: int, watched_s: float) -> None:
        """Count tracks and seconds up to a time in seconds, which is not before that of the last call."""
        minute = now_s // _MINUTE_S
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append([minute, 0, 0.0])
        self._minutes[-1][1] += tracks
        self._minutes[-1][2] += watched_s
        while self._minutes[0][0] <= minute - DAY_S // _MINUTE_S:
            self._minutes.popleft()

    @property
    def rate(self) -> RateOfTracks:
        """Return the rate of the last day."""
        tracks, watched = (sum(one[place] for one in self._minutes) for place in (1, 2))
        return RateOfTracks(int(tracks), watched, self._expected)


@dataclass(frozen=True, slots=True)
class LeadPoint:
    """The threshold at or above which a candidate of a track is a lead, and the false leads to expect at it."""

    threshold: float  # similarity, in [-1, 1]
    assumed_tracks_per_day: float
    # False leads per day if no track is of an enrolled person, and the limits that follow from those of the false
    # positive identification rate and of the tracks per day. The model of the rate may be wrong beyond them: see
    # `Calibration.fpir_at`.
    false_leads_per_day: float
    interval: Interval
    target: float  # false leads per day
    # Whether the expected number is at most the target. It is not where the calibration rests on too few comparisons;
    # then the threshold is the highest that it supports.
    meets_target: bool


def lead_point(calibration: Calibration, templates: int, target: float, rate: RateOfTracks) -> LeadPoint:
    """Return the threshold for a target of false leads per day.

    Args:
        calibration: of the gallery, or of the model.
        templates: that are searched, at least 1.
        target: false leads per day, above 0.
        rate: of tracks.

    Raises `UndefinedRate`: the calibration supports no threshold up to 1.
    """
    assumed = rate.assumed_per_day
    share = min(target / assumed, 1 - _ROUNDING)
    try:
        threshold = calibration.threshold_at_fpir(share, templates)
    except UndefinedRate:
        lowest = max(1 / calibration.rates.nonmated, calibration.fmr_at(1.0).value)
        threshold = calibration.threshold_at_fmr(min(1.0, lowest * (1 + _ROUNDING)))
    threshold = min(1.0, max(-1.0, threshold))
    found = calibration.fpir_at(threshold, templates)
    per_day = rate.per_day
    interval = Interval(found.interval.low * per_day.low, found.interval.high * assumed, found.interval.confidence)
    expected = found.value * assumed
    return LeadPoint(threshold, assumed, expected, interval, target, expected <= target * (1 + _ROUNDING))
