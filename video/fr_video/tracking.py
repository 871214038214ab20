"""Follows faces through frames: tracking by detection, with the overlap of boxes and the similarity of embeddings.

As SORT (Bewley et al., "Simple online and realtime tracking", ICIP 2016) with a constant velocity, and, as DeepSORT
(Wojke et al., ICIP 2017), with the appearance; here the embedding that the search uses anyway. A running mean of it
stands for the track, as in StrongSORT (Du et al., IEEE TMM 2023), because the last face before a pause is often half
covered. An ID switch puts two people into one template, and so spoils a candidate list; a fragment costs a second list.
So the thresholds prefer breaking a track to switching it, and a track that broke is put together again once its face
is clear, which may be after the lost one would have ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fr_core.scoring.calibration import Calibration
from fr_core.types import EmbeddedFace, Embedding, frozen_array
from fr_video.boxes import distance, middle, moved, overlap
from fr_video.values import Box, Frame, Look, Sighting, Track, fitness

LOOK_S = 1
"""Seconds of one independent look."""

MAX_GAP_S = 2
"""A track ends after so many seconds without its face. A face that returns later gets a new track and its own list,
unless that track proves to be the rest of the old one before the old one is returned."""

# The longest pause after which another track may prove to be the rest of one, and for how long it may take to prove it.
_REST_S = 2 * MAX_GAP_S
_SAME_PLACE = 0.3  # intersection over union, as SORT has it
# Seconds without a face after which its place alone decides no more; frames are looked at once a second or more often.
_IN_PLACE_S = 1.0
# Box sides that a face may be away without an overlap, at once and for each second, from where it was or from where it
# is expected, if the embeddings say it is the same; "at first" is before a second sighting tells its velocity. People
# who walk by near a camera cross up to six sides of their face in a second. Chosen on `fr bench video --tuning`.
_REACH, _REACH_PER_S, _REACH_PER_S_AT_FIRST = 1.0, 1.5, 6.0
_COVERED_S = 1  # a track that lasted no longer may be the covered face of another
_BEST_SHOTS = 3


@dataclass(frozen=True, slots=True)
class Appearance:
    """The similarities of a model that matter to the tracker.

    At `same` or above, a face may belong to a track without an overlap or after a pause, at `surely` after a longer one
    than `MAX_GAP_S`. Below `different` to the mean of the track, it goes on in none; see also `Tracker._take_back`.
    """

    same: float
    different: float
    surely: float


def appearance_of(calibration: Calibration | None) -> Appearance | None:
    """Return the similarities at false match rates of .1, 5 and .01 %; without a calibration None, for boxes alone.

    With fewer than 10,000 non-mated comparisons, the lowest rate that they can show stands in for .01 %.
    """
    if calibration is None:
        return None
    surely = max(0.0001, 1 / calibration.rates.nonmated)
    return Appearance(*(calibration.threshold_at_fmr(rate) for rate in (0.001, 0.05, surely)))


class Tracker:
    """Assigns the faces of frames, in the order of time, to tracks. `appearance`: None = by boxes alone."""

    def __init__(self, appearance: Appearance | None) -> None:
        self._appearance = appearance
        self._open: list[OpenTrack] = []
        self._all: list[OpenTrack] = []
        self._given = 0  # tracks, by `due`

    def add(self, frame: Frame, faces: Sequence[EmbeddedFace]) -> list[Look]:
        """Assign the faces of a frame to tracks, each track getting one at most; returns these faces.

        A face that was found twice goes on in no second track, and begins none.
        """
        self._open = [track for track in self._open if frame.time - track.last <= 2 * _REST_S]
        looks = [look_of(frame, face) for face in faces]
        pairs = sorted(
            (-score, place, number)
            for place, track in enumerate(self._open)
            for number, look in enumerate(looks)
            if (score := self._affinity(track, look)) is not None
        )
        taken: dict[int, int] = {}
        for _, place, number in pairs:  # greedy: faces of a frame are few, and rarely compete
            if place not in taken.values() and number not in taken:
                taken[number] = place
        gone_on = [self._open[place] for place in taken.values()]
        for number, track in zip(taken, gone_on, strict=True):
            self._take_back(track, looks[number], gone_on)
            track.add(looks[number])
        for track in gone_on:
            self._join(track)
        known = [looks[number] for number in taken]
        left = [look for number, look in enumerate(looks) if number not in taken]
        for look in left:
            better = [other for other in left if fitness(other) > fitness(look)]
            if not any(self._is_double(look, other) for other in (*known, *better)):
                self._begin(look)
        return looks

    def _begin(self, look: Look) -> None:
        """Begin a track. A doubtful face where another may be coming back counts from its second sighting on."""
        track = OpenTrack(look)
        track.is_doubtful = bool(look.quality.reasons) and any(old.may_be_back_as(track) for old in self._open)
        self._open.append(track)
        self._all.append(track)

    def _take_back(self, track: OpenTrack, look: Look, gone_on: Sequence[OpenTrack]) -> None:
        """Give a track the faces that began another one in its place, between its last face and this one.

        A covered face may look like no one, so that their similarity is not asked.
        """
        if self._appearance is None:
            return
        for other in tuple(self._open):
            if other in gone_on or not other.is_within(track, look):
                continue
            for seen in other.looks:
                track.add(seen)
            self._open.remove(other)
            self._all.remove(other)

    def _join(self, track: OpenTrack) -> None:
        """Put a track to the one that was lost before it began, if their means look the same by now."""
        if self._appearance is None:
            return
        lost = [old for old in self._open if old.leads_to(track)]
        old = max(lost, key=track.likeness, default=track)
        if old is track:
            return
        pause = track.looks[0].at.time - old.last
        if old.likeness(track) >= (self._appearance.same if pause <= MAX_GAP_S else self._appearance.surely):
            for look in track.looks:
                old.add(look)
            self._open.remove(track)
            self._all.remove(track)

    def tracks(self) -> tuple[Track, ...]:
        """Return the tracks so far."""
        counting = [track for track in self._all if track.counts]
        return tuple(track.closed(number) for number, track in enumerate(counting, start=1))

    def due(self, now: Fraction, longest_s: int) -> list[Track]:
        """Return each track once: when it has ended, or lasted for `longest_s` seconds. For streams without an end.

        A track that goes on is followed further, so that its face begins no other track; nothing else of it is kept.
        One whose rest another track may still prove to be ends up to `MAX_GAP_S` seconds later.
        """
        lost = [track for track in self._all if now - track.last > MAX_GAP_S]
        young = [track for track in self._open if track.looks and now - track.looks[0].at.time <= MAX_GAP_S]
        held = [track for track in lost if any(track.may_be_back_as(other) for other in young)]
        ended = [track for track in lost if track not in held]
        due = [track for track in self._all if track.lasted >= longest_s or track in ended]
        given = []
        for track in due:
            if track.counts and not track.is_given:
                self._given += 1
                given.append(track.closed(self._given))
                track.is_given = True
        self._all = [track for track in self._all if track not in ended]
        self._open = [track for track in self._open if track not in ended]
        return given

    def _affinity(self, track: OpenTrack, look: Look) -> float | None:
        """Return how well a face fits a track; None where it does not."""
        after_s = float(look.at.time - track.last)
        if after_s > MAX_GAP_S:
            return None
        expected = track.expected(after_s)
        shared = overlap(expected, look.at.box)
        if self._appearance is None:
            return shared if shared >= _SAME_PLACE else None
        mean = track.similarity_to_mean(look.embedding)
        if mean < self._appearance.different:
            return None
        similarity = max(mean, look.embedding.similarity(track.latest))
        near = track.away(look.at.box, after_s) <= track.reach(after_s)
        in_place = shared >= _SAME_PLACE and after_s <= _IN_PLACE_S
        if in_place or (near and similarity >= self._appearance.same):
            return shared + similarity
        return None

    def _is_double(self, one: Look, other: Look) -> bool:
        """Return True if the detector found one face of a frame twice; two people who overlap do not look the same."""
        if self._appearance is None or overlap(one.at.box, other.at.box) < _SAME_PLACE:
            return False
        return one.embedding.similarity(other.embedding) >= self._appearance.same


class OpenTrack:
    """A track that may go on."""

    def __init__(self, look: Look) -> None:
        # Of the middle of the box, f64[2], pixels per second; None = it was seen once.
        self._velocity: npt.NDArray[np.float64] | None = None
        self._sightings = [look.at]
        self.latest = look.embedding  # of its last face
        self._sum = _weighted(look)  # of all its embeddings
        self._began = look.at.time  # of the second that is one look
        self._best = [look]  # of each second
        self.is_given = False  # whether `Tracker.due` has returned it
        self.is_doubtful = False  # whether its first face may be one of another track, half covered
        self.looks = [look]  # all its faces, until it lasts too long to be the rest of another track

    @property
    def lasted(self) -> Fraction:
        """Return the seconds from its first frame to its last."""
        return self.last - self._sightings[0].time

    @property
    def last(self) -> Fraction:
        """Return the time of the last frame with the face."""
        return self._sightings[-1].time

    @property
    def box(self) -> Box:
        """Return where the face was last."""
        return self._sightings[-1].box

    @property
    def counts(self) -> bool:
        """Return False for a doubtful face that was seen once."""
        return not self.is_doubtful or len(self.looks) != 1

    def add(self, look: Look) -> None:
        """Go on with a face of a later frame."""
        may_be_rest = not self.is_given and look.at.time - self._sightings[0].time <= _REST_S
        self.looks = [*self.looks, look] if may_be_rest else []
        self._velocity = (middle(look.at.box) - middle(self.box)) / float(look.at.time - self.last)
        self.latest = look.embedding
        self._sum += _weighted(look)
        if self.is_given:  # only the place, the last face and the mean go on
            self._sightings, self._best = [look.at], [look]
            return
        self._sightings.append(look.at)
        if look.at.time - self._began >= LOOK_S:
            self._began = look.at.time
            self._best.append(look)
        elif fitness(look) > fitness(self._best[-1]):
            self._best[-1] = look

    def expected(self, after_s: float) -> Sequence[float]:
        """Return the box after so many seconds at the velocity that was seen last."""
        if self._velocity is None:
            return self.box
        return moved(self.box, self._velocity * after_s)

    def reach(self, after_s: float) -> float:
        """Return how far from the expected place the face may be after so many seconds, in sides of its box."""
        return _REACH + after_s * (_REACH_PER_S_AT_FIRST if self._velocity is None else _REACH_PER_S)

    def may_be_back_as(self, other: OpenTrack, pause_s: float = MAX_GAP_S) -> bool:
        """Return True if the other began within `pause_s` seconds of the end of this one, and within its reach."""
        if not other.looks or other.is_given or self.last >= other.looks[0].at.time:
            return False
        first = other.looks[0].at
        after_s = float(first.time - self.last)
        return after_s <= pause_s and self.away(first.box, after_s) <= self.reach(after_s)

    def leads_to(self, other: OpenTrack) -> bool:
        """Return True if this track may be back as the other, by the velocities of both.

        The other must have been seen twice. A track that `Tracker.due` has returned takes less of a rest, because it is
        not returned again.
        """
        longest_s = MAX_GAP_S if self.is_given else _REST_S
        if other.lasted > longest_s or not self.may_be_back_as(other, longest_s):
            return False
        first, latest = other.looks[0].at, other.looks[-1].at
        after_s = float(first.time - self.last)
        velocity = (middle(latest.box) - middle(first.box)) / float(latest.time - first.time)
        back = distance(self.box, moved(first.box, -velocity * after_s))
        ahead = distance(self.expected(after_s), first.box)
        return ahead <= self.reach(after_s) and back <= _REACH + after_s * _REACH_PER_S

    def is_within(self, track: OpenTrack, look: Look) -> bool:
        """Return True if this track lasted for a second at most, and in the place of one that goes on after it."""
        if not self.looks or self.is_given or self.lasted > _COVERED_S:
            return False
        first, latest = self.looks[0].at, self.looks[-1].at
        in_place = min(overlap(track.box, first.box), overlap(latest.box, look.at.box)) >= _SAME_PLACE
        return in_place and track.last < first.time

    def away(self, box: Box, after_s: float) -> float:
        """Return how far a box is from where the face was, or from where it is expected, in sides of its box."""
        return min(distance(self.box, box), distance(self.expected(after_s), box))

    def likeness(self, other: OpenTrack) -> float:
        """Return the similarity of the means of two tracks."""
        return float(self._sum @ other._sum) / float(np.linalg.norm(self._sum) * np.linalg.norm(other._sum))

    def similarity_to_mean(self, embedding: Embedding) -> float:
        """Return the similarity to the mean of all its faces by quality, which one half covered face hardly changes."""
        embedding.model.require_same(self.latest.model)
        return float(self._sum @ embedding.vector) / float(np.linalg.norm(self._sum))

    def closed(self, number: int) -> Track:
        """Return the track as it is now."""
        good = [look for look in self._best if not look.quality.reasons] or self._best
        shots = tuple(sorted(good, key=fitness, reverse=True))
        template = mean_template([(look.embedding, look.quality.score) for look in good])
        return Track(number, tuple(self._sightings), len(good), shots[:_BEST_SHOTS], template)


def _weighted(look: Look) -> npt.NDArray[np.float64]:
    """Return an embedding by its quality, f64[D]; one of quality 0 still counts a little, as a mean needs a weight."""
    return look.embedding.vector.astype(np.float64) * max(look.quality.score, 0.01)


def mean_template(looks: Iterable[tuple[Embedding, float]]) -> Embedding:
    """Return the mean of embeddings by weights in [0, 1], of length 1.

    Weights that are all 0 count as equal. Raises `ModelMismatch`: embeddings of two models.
    """
    pairs = list(looks)
    model = pairs[0][0].model
    for embedding, _ in pairs:
        model.require_same(embedding.model)
    weights = np.array([weight for _, weight in pairs], np.float64)
    vectors = np.array([embedding.vector for embedding, _ in pairs], np.float64)
    total = (weights if weights.any() else np.ones_like(weights)) @ vectors
    return Embedding(frozen_array((total / np.linalg.norm(total)).astype(np.float32)), model)


def look_of(frame: Frame, face: EmbeddedFace) -> Look:
    """Return a face of a frame with what a track keeps of both."""
    left, top, right, bottom = (float(value) for value in face.face.detection.box)
    quality = face.face.quality
    at = Sighting(frame.number, frame.pts, frame.time, (left, top, right, bottom), quality.score)
    return Look(at, frame.rotation, frame.sha256, quality, face.embedding)
