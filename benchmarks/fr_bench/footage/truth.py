"""Compares tracks with the labelled people of footage: found, missed, and switched; assigns tracks to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fr_datasets.values import LabelledFace
from fr_video.tracking import MAX_GAP_S
from fr_video.values import Box, Sighting, Track

Truth = Mapping[Fraction, Sequence[LabelledFace]]
"""The faces that there are, by the time of each frame that was looked at, in the order of time."""

_FOUND = 0.5  # share of the frames with a clear face, in which a track has to follow it


@dataclass(frozen=True, slots=True)
class Followed:
    """The CLEAR MOT figures of tracks (Bernardin and Stiefelhagen, EURASIP JIVP 2008), of the frames looked at.

    An appearance is one person in sight without a pause of more than `MAX_GAP_S` seconds.
    """

    objects: int = 0  # clear faces that there were
    misses: int = 0  # of them without a track (false negatives)
    false_positives: int = 0  # sightings of tracks where no face was, clear or not, or one that has its track
    id_switches: int = 0  # changes of the track that follows a person, in one appearance
    tracks: int = 0
    mixed: int = 0  # tracks that follow more than one person
    appearances: int = 0  # with a clear face
    found: int = 0  # appearances that tracks follow in at least half of the frames with a clear face

    @property
    def mota(self) -> float:
        """Return the multiple object tracking accuracy; at most 1."""
        return 1 - (self.misses + self.false_positives + self.id_switches) / self.objects

    def __add__(self, other: Followed) -> Followed:
        return Followed(*(getattr(self, name) + getattr(other, name) for name in Followed.__slots__))


def followed(truth: Truth, tracks: Sequence[Track]) -> Followed:
    """Compare tracks with the faces of the frames that were looked at.

    A person has one track at a time, and keeps it while it follows; another one there is a false positive.
    """
    seen = _seen(truth, tracks)
    objects = misses = strange = switches = 0
    last: dict[str, int] = {}  # person -> track of the sighting before
    present: dict[str, Fraction] = {}  # person -> time of the last frame with the face in sight
    appearances: list[tuple[int, int]] = []  # frames with a clear face, and those of them with a track
    current: dict[str, int] = {}  # person -> place in `appearances`
    for time, faces in truth.items():
        at = seen.get(time, [])
        strange += sum(name is None for _, name in at)
        for face in faces:
            who = face.identity
            by = [number for number, name in at if name == who]
            if not (face.clear or by):
                continue
            if who not in present or time - present[who] > MAX_GAP_S:
                current.pop(who, None)
                last.pop(who, None)
            present[who] = time
            if by:
                one = last[who] if last.get(who) in by else by[0]
                strange += len(by) - 1
                switches += last.get(who, one) != one
                last[who] = one
            if face.clear:
                objects, misses = objects + 1, misses + (not by)
                place = current.setdefault(who, len(appearances))
                if place == len(appearances):
                    appearances.append((0, 0))
                clear, hit = appearances[place]
                appearances[place] = clear + 1, hit + bool(by)
    mixed = sum(len(people_of(truth, track)) > 1 for track in tracks)
    found = sum(hit >= _FOUND * clear for clear, hit in appearances)
    return Followed(objects, misses, strange, switches, len(tracks), mixed, len(appearances), found)


def people_of(truth: Truth, track: Track) -> Counter[str]:
    """Return the people whom a track follows, and in how many frames."""
    return Counter(name for _, name in _people_at(truth, track) if name is not None)


def nearest(faces: Iterable[LabelledFace], box: Box) -> LabelledFace | None:
    """Return the labelled face whose point is nearest to the middle of a box; None where none is in reach."""
    near = [(face.distance(box), place, face) for place, face in enumerate(faces)]
    far, _, face = min(near, default=(2.0, 0, None))
    return face if far <= 1 else None


def _seen(truth: Truth, tracks: Sequence[Track]) -> dict[Fraction, list[tuple[int, str | None]]]:
    """Return the track and the person of each sighting, by time."""
    seen: dict[Fraction, list[tuple[int, str | None]]] = {}
    for track in tracks:
        for one, person in _people_at(truth, track):
            seen.setdefault(one.time, []).append((track.number, person))
    return seen


def _people_at(truth: Truth, track: Track) -> Iterator[tuple[Sighting, str | None]]:
    """Yield the person of each sighting: that of the sighting before while in reach, as in CLEAR MOT, or the nearest.

    Where two people meet, the nearest point is often that of the person behind, and the face that of the one in front.
    """
    person: str | None = None
    for one in track.sightings:
        faces = truth[one.time]
        same = (face for face in faces if face.identity == person and face.distance(one.box) <= 1)
        face = next(same, None) or nearest(faces, one.box)
        person = None if face is None else face.identity
        yield one, person
