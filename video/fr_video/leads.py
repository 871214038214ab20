"""Searches a gallery with each track, and returns the leads for a human examiner as a JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from fr_core.gallery.values import Found
from fr_core.types import Candidate, Embedding
from fr_video.messages import fraction_json
from fr_video.values import Footage, Look, Sighting, StreamFacts, Track

FORMAT = "fr-core video leads"
VERSION = 1

NOTICE = (
    "Leads for a human examiner, never an identity. A track is one face as the tracker saw it; the examiner checks in "
    "the footage that it is one person throughout. Frames of one second count as one look: more of them add no "
    "evidence."
)


class Probe(StrEnum):
    """The template of a track that is searched with."""

    MEAN = "mean"  # `Track.template`
    BEST_SHOT = "best-shot"  # that of `Track.best`

    def of(self, track: Track) -> Embedding:
        """Return the template of a track."""
        return track.template if self is Probe.MEAN else track.best.embedding


@dataclass(frozen=True, slots=True, eq=False)
class Leads:
    """Candidate lists from one gallery, one for each track, in the order of the tracks."""

    gallery_id: str
    probe: Probe
    lists: tuple[Found, ...]


def search_tracks(footage: Footage, gallery_id: str, probe: Probe, search: Callable[[Embedding], Found]) -> Leads:
    """Search once for each track, however many frames it has; raises what `search` raises."""
    return Leads(gallery_id, probe, tuple(search(probe.of(track)) for track in footage.tracks))


def to_json(footage: Footage, leads: Leads | None) -> dict[str, Any]:
    """Return footage, and leads where a gallery was searched, as one JSON document."""
    lists: Iterable[Found | None] = [None] * len(footage.tracks) if leads is None else leads.lists
    one = footage.sampling
    return {
        "format": FORMAT,
        "version": VERSION,
        "notice": NOTICE,
        "file": {"sha256": footage.sha256, "bytes": footage.size_bytes},
        "stream": stream_json(footage.facts),
        "read": read_json(footage),
        "sampling": {
            "interval_s": float(one.interval),
            "motion_interval_s": float(one.motion_interval),
            "motion": one.motion,
        },
        "model": footage.model,
        "gallery": None if leads is None else _gallery(leads),
        "tracks": [_track(track, found) for track, found in zip(footage.tracks, lists, strict=True)],
    }


def seconds(time: Fraction) -> float:
    """Return a time rounded to the microsecond; only ticks are exact."""
    return round(float(time), 6)


def read_json(footage: Footage) -> dict[str, Any]:
    """Return how far a file was read."""
    ending = footage.ending
    return {
        "ended": ending.why.value,
        "frames_decoded": ending.decoded,
        "frames_looked_at": footage.frames_looked_at,
        "frames_without_time": ending.untimed,
        "gaps_s": [[seconds(begin), seconds(end)] for begin, end in ending.gaps],
        "sound_until_s": None if ending.read_until is None else seconds(ending.read_until),
    }


def stream_json(facts: StreamFacts) -> dict[str, Any]:
    """Return the facts of a stream."""
    values = {name: getattr(facts, name) for name in StreamFacts.__slots__}
    return {name: fraction_json(one) if isinstance(one, Fraction) else one for name, one in values.items()}


def _gallery(leads: Leads) -> dict[str, Any]:
    said: dict[str, Any] = {"id": leads.gallery_id, "probe": leads.probe.value}
    for found in leads.lists[:1]:  # they are all from searches alike; without a track there was none
        said["threshold"] = found.identification.threshold
        said["version"] = found.identification.gallery_version
        said["searched_templates"] = found.searched_templates
    return said


def _track(track: Track, found: Found | None) -> dict[str, Any]:
    return {
        "track": track.number,
        "first_s": seconds(track.sightings[0].time),
        "last_s": seconds(track.sightings[-1].time),
        "independent_looks": track.independent_looks,
        "best_shots": [_look(look) for look in track.best_shots],
        "sightings": [_sighting(at) for at in track.sightings],
        "candidates": None
        if found is None
        else [_candidate(one, found.subjects) for one in found.identification.candidates],
    }


def _look(look: Look) -> dict[str, Any]:
    proof = {"rotation": look.rotation, "frame_sha256": look.frame_sha256, "quality": asdict(look.quality)}
    return {**_sighting(look.at), **proof}


def _sighting(at: Sighting) -> dict[str, Any]:
    return {
        "frame": at.number,
        "pts": at.pts,
        "time_s": seconds(at.time),
        "box": [round(side, 2) for side in at.box],
        "quality_score": round(at.quality_score, 4),
    }


def _candidate(one: Candidate, names: Mapping[str, Any]) -> dict[str, Any]:
    return {**asdict(one), "display_name": names[one.subject_id].display_name if one.subject_id in names else ""}
