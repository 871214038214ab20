"""Videos of labelled people against photos: the template of a track, as `fr video` makes it, beside one photo.

So a calibration says what the similarities of tracks mean: a track counts once, however many frames it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from fr_core.errors import InputRefused, NoFaceFound
from fr_core.pipeline import AnalyzedPhoto, Pipeline
from fr_core.types import EmbeddedFace, Embedding
from fr_datasets.catalogue import VIDEO_READERS
from fr_datasets.errors import DatasetError, read_photo
from fr_datasets.manifests import load_manifest
from fr_datasets.values import LabelledFace, LabelledFrame, LabelledVideo, PairSet, VerificationPair, VideoSet
from fr_evaluation.photos import OnProgress, Photos, in_threads, most_central
from fr_evaluation.verification.compare import compare
from fr_evaluation.verification.sources import Comparison, PairsToCompare
from fr_locales.messages import message
from fr_video.tracking import OpenTrack, look_of
from fr_video.values import Frame, Sampling, Track

MOST_NONMATED = 100_000
_TRACKS, _SHOTS = "tracks", "best_shots"  # folders that are none: names of what is compared


def read_videos(name: str, root: Path) -> PairsToCompare:
    """The pairs of a photo and a track of "chokepoint" or "youtube_faces".

    Photos are stills, or, where the set has none, the best shots of other videos. The pairs of videos are those that
    the set lists; else those of each person's photo with each further track, and of two people. Errors are those of
    the set's reader, and `DatasetError`: it allows no such pair of one person, or of two.
    """
    found = VIDEO_READERS[name](root)
    pairs = tuple(_listed(found, root) if found.pairs is not None else _all_pairs(found, root))
    if len({pair.mated for pair in pairs}) != 2:
        raise DatasetError(message("error.dataset.nobody_set_two_photos"))
    return PairsToCompare(load_manifest(name), root, PairSet(name, found.terms, pairs), VideoSource(found, root))


def _listed(found: VideoSet, root: Path) -> Iterator[VerificationPair]:
    people = {video.name: video.people[0] for video in found.videos}
    for one, other, fold in found.pairs or ():
        both = people[one], people[other]
        shot, track = root / _SHOTS / one / both[0], root / _TRACKS / other / both[1]
        yield VerificationPair(shot, track, both[0] == both[1], fold, both)


def _all_pairs(found: VideoSet, root: Path) -> Iterator[VerificationPair]:
    tracks: dict[str, list[Path]] = {}
    photos = {person: stills[0] for person, stills in found.stills.items()}
    for video in found.videos:
        for person in video.people:
            if found.stills or person in photos:
                tracks.setdefault(person, []).append(root / _TRACKS / video.name / person)
            else:
                photos[person] = root / _SHOTS / video.name / person
    for person, photo in photos.items():
        for track in tracks.get(person, ()):
            yield VerificationPair(photo, track, True, people=(person, person))
    people, tracked = list(photos), list(tracks)
    each = max(1, MOST_NONMATED // max(1, len(people)))  # tracks of others for each photo, the next in their order
    for place, person in enumerate(people):
        following = (tracked[(place + step) % len(tracked)] for step in range(len(tracked)))
        others = [other for other in following if other != person][:each]
        for other in others:
            yield VerificationPair(photos[person], tracks[other][0], False, people=(person, other))


def frames_looked_at(video: LabelledVideo, rate: int) -> Iterator[tuple[Fraction, LabelledFrame]]:
    """Yield the frames that `fr video` would look at while the picture moves, each with its time in seconds."""
    last: Fraction | None = None
    for frame in video.frames:
        time = Fraction(frame.number, rate)
        if last is None or time - last >= Sampling().motion_interval:
            yield time, frame
            last = time


def labelled_face(label: LabelledFace, faces: Sequence[EmbeddedFace]) -> EmbeddedFace | None:
    """Return the face nearest to a label; None where none is within its reach."""
    fits = [(label.distance(face.face.detection.box), place) for place, face in enumerate(faces)]
    away, place = min(fits, default=(2.0, 0))
    return faces[place] if away <= 1 else None


@dataclass(frozen=True, slots=True)
class _Shown:
    """A frame that is looked at; `begins` tells that it is the first of its video."""

    video: str
    begins: bool
    frame: LabelledFrame
    time: Fraction


class VideoSource:
    """Frames in files, in which the labels choose the face; each person of a video is one track."""

    pick = "the labelled face; tracks: weighted mean of the best of each second"

    def __init__(self, videos: VideoSet, root: Path) -> None:
        self._videos, self._root = videos, root

    def compare(self, pairs: PairSet, pipeline: Pipeline, workers: int, on_progress: OnProgress) -> Comparison:
        """As `Source.compare`. Failures are stills without a face, and tracks without one that fits a label."""
        stills = [pair.a for pair in pairs.pairs if self._root / _SHOTS not in pair.a.parents]
        photos = Photos(pipeline, workers, lambda done, total: None).embed(stills)
        found: dict[Path, Embedding] = {}
        for path, photo in photos.items():
            face = most_central(photo)
            if face is not None:
                found[path] = face.embedding
        shown = list(self._shown())
        for (video, person), track in self._tracks(shown, pipeline, workers, on_progress):
            found[self._root / _TRACKS / video / person] = track.template
            found[self._root / _SHOTS / video / person] = track.best.embedding
        embeddings = {path: found.get(path) for path in pairs.photos}
        failures = {path: NoFaceFound.reason for path, one in embeddings.items() if one is None}
        return Comparison(compare(pairs.pairs, embeddings), None, failures, len(shown) + len(photos))

    def _shown(self) -> Iterator[_Shown]:
        for video in self._videos.videos:
            for place, (time, frame) in enumerate(frames_looked_at(video, self._videos.rate)):
                yield _Shown(video.name, place == 0, frame, time)

    def _tracks(
        self, shown: list[_Shown], pipeline: Pipeline, workers: int, on_progress: OnProgress
    ) -> Iterator[tuple[tuple[str, str], Track]]:
        def analyze(one: _Shown) -> AnalyzedPhoto | None:
            if not one.frame.faces:
                return None
            try:
                return pipeline.analyze(read_photo(one.frame.photo, pipeline.image_limits.max_bytes))
            except InputRefused:
                return None

        tracks: dict[tuple[str, str], OpenTrack] = {}
        with closing(in_threads(analyze, shown, workers, on_progress)) as answers:
            for one, photo in zip(shown, answers, strict=True):
                if one.begins:
                    yield from ((key, track.closed(1)) for key, track in tracks.items())
                    tracks.clear()
                if photo is not None:
                    _follow(tracks, one, photo)
        yield from ((key, track.closed(1)) for key, track in tracks.items())


def _follow(tracks: dict[tuple[str, str], OpenTrack], one: _Shown, photo: AnalyzedPhoto) -> None:
    """Add each labelled face of a frame to the track of its person."""
    frame = Frame(one.frame.number, one.frame.number, one.time, 0, photo.image.pixels, photo.image.sha256)
    for label in one.frame.faces:
        face = labelled_face(label, photo.faces)
        if face is not None:
            look = look_of(frame, face)
            key = one.video, label.identity
            if key in tracks:
                tracks[key].add(look)
            else:
                tracks[key] = OpenTrack(look)
