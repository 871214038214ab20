"""Covers every face of a video file but those of named tracks, for disclosure, and checks the copy frame by frame.

Faces are covered with one colour, which leaves nothing of a face to recover. A blur only weakens the face: networks and
deconvolution recover faces from it, and a matcher may still match (McPherson, Shokri and Shmatikov, "Defeating image
obfuscation with deep learning", arXiv:1609.00408, 2016, for blurs and mosaics).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from fr_core.engine import Engine
from fr_core.errors import message
from fr_core.packs.manifest import Pack
from fr_core.storage.durable import name_whole, unfinished
from fr_core.types import Detection
from fr_video.analysis import analyze, worked
from fr_video.boxes import overlap
from fr_video.encoding import Encoder, Sound
from fr_video.errors import CopyRefused, LeadsInvalid, RedactionFailed
from fr_video.leads import FORMAT, VERSION, read_json, stream_json
from fr_video.reading import VideoFile
from fr_video.regions import SAME_FACE, Covered, Regions, covered_of, shown_times, sighted, without
from fr_video.values import EVERY_FRAME, Box, Footage, Frame

MIN_SCORE = 0.3
"""Score of the detector from which a region of a frame is covered as a face, in [0, 1]; a pack may have a lower one."""

ROUNDS = 6
"""Maximum number of copies that are made and checked."""

_MOST_PX = 2**32  # of a side of a box: far beyond a picture; nor NaN
_CONTAINERS = {".webm": "webm", ".mkv": "matroska"}
_PLAYED_RATE = Fraction(25)  # frames per second for players, if the original states no rate

Kept = Mapping[int, Mapping[int, Box]]
"""Boxes of the tracks that stay visible, by their number, then by ticks, in the order of time."""


def sensitive(pack: Pack) -> Pack:
    """Return the pack with a detector that reports faces from `MIN_SCORE` on."""
    lower = min(MIN_SCORE, pack.detector.score_threshold)
    return replace(pack, detector=replace(pack.detector, score_threshold=lower))


def read_kept(said: Any, keep: Sequence[int], sha256: str) -> Kept:
    """Return the tracks to keep, of a JSON document of `fr_video.leads.to_json`.

    `sha256`: of the file that is redacted. Raises `LeadsInvalid`: it is no list of leads, is of another file, or has no
    track of a number.
    """
    match said:
        case {
            "format": str(name),
            "version": int(version),
            "file": {"sha256": str(of_file)},
            "tracks": [*tracks],
        } if (name, version) == (FORMAT, VERSION):
            if of_file != sha256:
                raise LeadsInvalid(message("error.video.leads_of_another_file"))
            found = dict(map(_kept_track, tracks))
        case _:
            raise LeadsInvalid(message("error.video.no_leads"))
    for number in keep:
        if number not in found:
            raise LeadsInvalid(message("error.video.no_such_track", track=number))
    return {number: found[number] for number in keep}


def _kept_track(track: Any) -> tuple[int, dict[int, Box]]:
    match track:
        case {"track": int(number), "sightings": [*sightings]}:
            return number, dict(map(_kept_box, sightings))
    raise LeadsInvalid(message("error.video.no_leads"))


def _kept_box(sighting: Any) -> tuple[int, Box]:
    match sighting:
        case {"pts": int(pts), "box": [left, top, right, bottom]} if all(
            isinstance(side, int | float) and abs(side) <= _MOST_PX for side in (left, top, right, bottom)
        ):
            return pts, (float(left), float(top), float(right), float(bottom))
    raise LeadsInvalid(message("error.video.no_leads"))


@dataclass(frozen=True, slots=True)
class Redaction:
    """The result of a redaction that held."""

    footage: Footage  # of the original, every frame
    kept: tuple[int, ...]  # numbers of the tracks that stay visible
    output_sha256: str  # 64 hexadecimal digits
    output_bytes: int
    encoder: str
    sound: str  # "copied"; "dropped"; "none": it was to be copied, and the original has none
    frames: int  # of the copy; each was checked
    rounds: int  # copies that were made
    regions: int  # that were covered, of all frames
    visible: int  # detections of the last check that are kept tracks

    def to_json(self, pack: str, detection: str, min_score: float) -> dict[str, Any]:
        """Return the record of the redaction as a JSON document. `min_score`: of the detector that found the faces."""
        footage, ending = self.footage, self.footage.ending
        return {
            "format": "fr-core video redaction",
            "version": 1,
            "original": {"sha256": footage.sha256, "bytes": footage.size_bytes},
            "stream": stream_json(footage.facts),
            "read": read_json(footage),
            "copy": {"sha256": self.output_sha256, "bytes": self.output_bytes, "encoder": self.encoder},
            "sound": self.sound,
            "metadata": "dropped",
            "detector": {"pack": pack, "mode": detection, "min_score": min_score},
            "kept_tracks": list(self.kept),
            "tracks_found": len(footage.tracks),
            "covering": "one colour",
            "regions_covered": self.regions,
            "copies_made": self.rounds,
            "check": {
                "frames": self.frames,
                "faces_of_kept_tracks": self.visible,
                "faces_uncovered": 0,
                "gaps": len(ending.gaps),
            },
        }


def container_of(path: Path, sound: bool) -> str:
    """Return FFmpeg's name of the container of a copy; raises `CopyRefused` for another ending of its name."""
    container = _CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise CopyRefused(message("error.video.no_such_copy"))
    if sound and container == "webm":
        raise CopyRefused(message("error.video.sound_needs_mkv"))
    return container


def redact(
    video: VideoFile,
    engine: Engine,
    kept: Kept,
    out: Path,
    *,
    sound: bool = False,
    on_frame: Callable[[int, Fraction], None] = lambda step, time: None,
) -> Redaction:
    """Make a copy that shows no face but those of the kept tracks.

    Args:
        video: the original.
        engine: of a `sensitive` pack, so that the detector reports every face from `MIN_SCORE` on.
        kept: tracks that stay visible; `shown_times` says which sightings are in doubt, and so covered.
        out: the copy, ".webm" or ".mkv"; it gets this name once it is checked; until then it has another.
        sound: copy the sound; else there is none. Voices identify people, too.
        on_frame: called with a number of the step, from 0, and the time of each frame that was looked at.

    Raises:
        VideoError: as `fr_video.analysis.analyze`, for the original and for the copy; `EncodingFailed`;
            `RedactionFailed`: after `ROUNDS` copies there is still a face, or the copy has other frames; `CopyRefused`:
            its name has another ending, or another run is making it.
        OSError: the copy cannot be written.
    """
    container = container_of(out, sound)
    times: list[Fraction] = []

    def looked_at(time: Fraction) -> None:
        times.append(time)
        on_frame(0, time)

    partial = out.with_name(f"{out.name}.unchecked")
    with _unchecked(partial) as file:
        footage = analyze(video, engine, EVERY_FRAME, looked_at)
        work = _Work(video, engine, footage, times, list(kept.values()), container, sound)
        for number in range(1, ROUNDS + 1):
            encoder, has_sound, regions = work.copy(file)
            with VideoFile(partial, video.limits) as copy:
                visible, uncovered = work.check(copy, lambda time, step=number: on_frame(step, time))  # type: ignore[misc]
                if not uncovered:
                    video.require_unchanged()
                    name_whole(partial, out)
                    return Redaction(
                        footage=footage,
                        kept=tuple(kept),
                        output_sha256=copy.sha256,
                        output_bytes=copy.size_bytes,
                        encoder=encoder,
                        sound=("copied" if has_sound else "none") if sound else "dropped",
                        frames=len(times),
                        rounds=number,
                        regions=regions,
                        visible=visible,
                    )
        raise RedactionFailed(message("error.video.still_shown", faces=uncovered))


@contextmanager
def _unchecked(path: Path) -> Iterator[int]:
    with ExitStack() as opened:
        try:
            file = opened.enter_context(unfinished(path))
        except BlockingIOError as error:
            raise CopyRefused(message("error.video.copy_being_made")) from error
        yield file


class _Work:
    """A redaction in progress; the covered regions grow with each check."""

    def __init__(
        self,
        video: VideoFile,
        engine: Engine,
        footage: Footage,
        times: Sequence[Fraction],
        kept: Sequence[Mapping[int, Box]],
        container: str,
        sound: bool,
    ) -> None:
        self._video, self._engine, self._footage, self._times = video, engine, footage, times
        self._container, self._sound = container, sound
        self._covered: list[Covered] = []
        self._visible: dict[Fraction, list[Box]] = {}
        for track in footage.tracks:
            shown = shown_times(track, kept)
            self._covered += covered_of(track, shown)
            for time, box in shown.items():
                self._visible.setdefault(time, []).append(box)

    def copy(self, file: int) -> tuple[str, bool, int]:
        """Write the copy; returns what `Encoder.finish` does, and the number of regions of all frames."""
        os.ftruncate(file, 0)
        regions, count, last = Regions(self._covered), 0, -1
        with ExitStack() as opened:
            reading = opened.enter_context(self._video.sampled(EVERY_FRAME))
            encoder: Encoder | None = None
            for frame in reading:
                if encoder is None:
                    encoder = opened.enter_context(self._encoder(file, frame))
                boxes = regions.at(frame.time)
                count += len(boxes)
                last = max(last + 1, round(frame.time * 1000))  # Matroska counts milliseconds
                encoder.add(last, without(frame.pixels, boxes))
            assert encoder is not None  # a file without a frame is refused
            return *encoder.finish(), count

    def check(self, copy: VideoFile, on_frame: Callable[[Fraction], None]) -> tuple[int, int]:
        """Look at each frame of the copy, and cover what is not; returns the faces of kept tracks, and all others."""
        visible = uncovered = number = 0
        with copy.sampled(EVERY_FRAME) as reading:
            for number, (_, photo) in enumerate(worked(reading, self._engine.pipeline.detect_image), start=1):
                if number > len(self._times):
                    break
                time = self._times[number - 1]
                others = _others([one.detection for one in photo.faces], self._visible.get(time, []))
                self._covered += [sighted(time, box) for box in others]
                visible, uncovered = visible + len(photo.faces) - len(others), uncovered + len(others)
                on_frame(time)
        if number != len(self._times):
            raise RedactionFailed(message("error.video.other_frames"))
        return visible, uncovered

    def _encoder(self, file: int, first: Frame) -> Encoder:
        facts = self._footage.facts
        high, wide, _ = first.pixels.shape
        aspect = facts.sample_aspect_ratio or Fraction(1)
        sound = None
        if self._sound:
            sound = Sound(self._video.fileno(), self._video.demuxer, (facts.start_pts or 0) * facts.time_base)
        return Encoder(
            file,
            self._container,
            (wide, high),
            facts.average_rate or _PLAYED_RATE,
            1 / aspect if first.rotation in (90, 270) else aspect,
            self._video.limits,
            sound,
        )


def _others(found: Sequence[Detection], visible: Sequence[Box]) -> list[Box]:
    """Return the boxes of faces that match no visible box; each visible box matches one face at most."""
    left, others = list(visible), []
    for one in found:
        x, y, right, bottom = (float(side) for side in one.box)
        box = (x, y, right, bottom)
        best = max(left, key=lambda place: overlap(place, box), default=None)
        if best is not None and overlap(best, box) >= SAME_FACE:
            left.remove(best)
        else:
            others.append(box)
    return others
