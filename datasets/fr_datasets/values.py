"""Values of data sets: pairs of photos or crops, people, templates, videos, photos with a known number of faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

# What is counted in a set, by name, such as "pairs" or "people".
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VerificationPair:
    """Two photos, and whether the label says that they show one person.

    `a` and `b` are files that were there when the set was read, or names of crops or templates. `fold` is that of the
    cross-validation, from 1; `people` are those whom the list says that they show. None where the set says nothing.
    """

    a: Path
    b: Path
    mated: bool
    fold: int | None = None
    people: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PairSet:
    """A list of pairs, never empty, in the order of its file, with the terms on which its photos may be used.

    `labels` say of people, identity -> kind -> text, such as "age": "24". `content_sha256` is of the crops or templates
    that the pairs name, 64 hex digits; empty where they name files.
    """

    name: str
    terms: str
    pairs: Sequence[VerificationPair]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    content_sha256: str = ""

    @property
    def photos(self) -> tuple[Path, ...]:
        """Each photo once, in the order in which the pairs name them."""
        return tuple(dict.fromkeys(photo for pair in self.pairs for photo in (pair.a, pair.b)))

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of "pairs" and of "mated" ones."""
        return {"pairs": len(self.pairs), "mated": sum(pair.mated for pair in self.pairs)}


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A face of a frame, whose person is known, by a point near its middle; pixels, origin top-left."""

    identity: str
    x: float
    y: float
    reach: float  # a detected face whose middle is further from the point is another one
    clear: bool = True  # whether it is whole and in sight, so that it has to be found

    def distance(self, box: Sequence[float] | npt.NDArray[np.float32]) -> float:
        """Return how far the middle of a box (left, top, right, bottom) is from the point; 1 = `reach`."""
        across, down = ((float(box[side]) + float(box[side + 2])) / 2 for side in (0, 1))
        return max(abs(self.x - across), abs(self.y - down)) / self.reach


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """A frame of a video that lies as a photo."""

    photo: Path
    number: int  # its place in the recording, from 0; frames that are left out have numbers, too
    faces: tuple[LabelledFace, ...]


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """A video as a folder of frames, in the order of their numbers; at least one."""

    name: str
    frames: tuple[LabelledFrame, ...]

    @property
    def people(self) -> tuple[str, ...]:
        """The people in the video, in the order in which they appear."""
        return tuple(dict.fromkeys(face.identity for frame in self.frames for face in frame.faces))


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a set, by name or number, with one photo or more, or with videos.

    `labels` are by kind, such as "age": "24"; `conditions` say how a photo was taken, such as "smiling", and `sessions`
    when, where that is said; a session is a name within a person. `videos` have the labels of this person alone, at
    `rate` frames a second.
    """

    identity: str
    photos: tuple[Path, ...]
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    conditions: Mapping[Path, str] = field(default_factory=dict, hash=False)
    sessions: Mapping[Path, str] = field(default_factory=dict, hash=False)
    videos: tuple[LabelledVideo, ...] = ()
    rate: int = 1

    @property
    def taken(self) -> tuple[tuple[str, str, bool], ...]:
        """The condition and the session of each photo, "" if the set states none, and whether it is a track.

        The photos come first, then the videos, each a session. If there are no photos, a shot of the first video stands
        for one.
        """
        photos = [(self.conditions.get(photo, ""), self.sessions.get(photo, ""), False) for photo in self.photos]
        tracks = [("", video.name, bool(photos) or place > 0) for place, video in enumerate(self.videos)]
        return (*photos, *tracks)


@dataclass(frozen=True, slots=True)
class PeopleSet:
    """People with their photos, and the terms on which these may be used."""

    name: str
    terms: str
    people: tuple[Person, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of "people" and of their "photos"."""
        return {"people": len(self.people), "photos": sum(len(person.photos) for person in self.people)}


@dataclass(frozen=True, slots=True)
class CropPairs:
    """Pairs of aligned faces in memory, in the order of their file: JPEG or PNG files, of which 2i and 2i + 1 make
    pair i.
    """

    name: str
    terms: str
    crops: tuple[bytes, ...]
    mated: tuple[bool, ...]
    folds: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TemplateSet:
    """Templates of several media each, and the pairs of templates to compare; `photos` are n names in `folder`.

    Of each photo `templates` and `media`, i64[n], are the numbers of its template and of the still or video that it
    comes from, `landmarks` f32[n, 5, 2] (x, y) pixels, origin top-left: left eye, right eye, nose, mouth corners, and
    `scores` f32[n] the confidence of the set's own face detector. `pairs` i64[m, 2] are numbers of templates, `mated`
    bool[m].
    """

    name: str
    terms: str
    folder: Path
    photos: tuple[str, ...]
    templates: npt.NDArray[np.int64]
    media: npt.NDArray[np.int64]
    landmarks: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    pairs: npt.NDArray[np.int64]
    mated: npt.NDArray[np.bool_]

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of "photos", "templates", "pairs" and "mated" ones."""
        sizes = {"photos": len(self.photos), "templates": len(np.unique(self.templates)), "pairs": len(self.pairs)}
        return sizes | {"mated": int(self.mated.sum())}


@dataclass(frozen=True, slots=True)
class VideoSet:
    """Videos of people, and the terms on which they may be used.

    `rate` is of frames a second. `stills` are photos of people, by identity; empty where the set has none. `pairs` are
    (video, video, fold) whose people are compared; None where the set does not list them.
    """

    name: str
    terms: str
    rate: int
    videos: tuple[LabelledVideo, ...]
    stills: Mapping[str, tuple[Path, ...]] = field(default_factory=dict, hash=False)
    pairs: tuple[tuple[str, str, int], ...] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of "people", of their "videos", of "frames", and of "pairs" if the set lists them."""
        people = {person for video in self.videos for person in video.people}
        found = {"people": len(people), "videos": len(self.videos)}
        found["frames"] = sum(len(video.frames) for video in self.videos)
        return found if self.pairs is None else found | {"pairs": len(self.pairs)}

    def people_in(self, most: int) -> PeopleSet:
        """Return the people who have a photo and a video, or two videos: up to `most` of both."""
        videos: dict[str, list[LabelledVideo]] = {}
        for video in self.videos:
            for identity in video.people:
                own = videos.setdefault(identity, [])
                if len(own) < most:
                    own.append(_of_person(video, identity))
        found = (
            Person(identity, self.stills.get(identity, ())[:most], videos=tuple(own), rate=self.rate)
            for identity, own in videos.items()
        )
        return PeopleSet(self.name, self.terms, tuple(one for one in found if len(one.photos) + len(one.videos) > 1))


def _of_person(video: LabelledVideo, identity: str) -> LabelledVideo:
    """Return the frames of a video in which a person is labelled, with these labels."""
    frames = []
    for frame in video.frames:
        faces = tuple(face for face in frame.faces if face.identity == identity)
        if faces:
            frames.append(LabelledFrame(frame.photo, frame.number, faces))
    return LabelledVideo(video.name, tuple(frames))


@dataclass(frozen=True, slots=True)
class CountedPhoto:
    """A photo that was there when the set was read, with the numbers of faces that are right.

    There are none where the file must be refused; `kind` says what is special about it, in words.
    """

    path: Path
    counts: tuple[int, ...]
    kind: str = ""

    @property
    def must_be_refused(self) -> bool:
        """Return whether an error is the only right answer."""
        return not self.counts


@dataclass(frozen=True, slots=True)
class CountedSet:
    """Photos with known numbers of faces, and the terms on which they may be used."""

    name: str
    terms: str
    photos: tuple[CountedPhoto, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The number of "photos"."""
        return {"photos": len(self.photos)}


def fold_of(index: int, count: int, folds: int = 10) -> int:
    """The fold, from 1, of item `index` of `count` that are dealt in their order, in blocks as equal as can be.

    The first `count % folds` folds hold one item more than the others, as those of scikit-learn's `KFold` do.
    """
    size, larger = divmod(count, folds)
    edge = larger * (size + 1)
    return 1 + (index // (size + 1) if index < edge else larger + (index - edge) // size)
