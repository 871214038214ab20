"""Converts footage and its tracks to messages of VideoService, and back."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from google.protobuf import proto

from fr_api.v1 import common_pb2
from fr_api.v1 import video_pb2 as pb
from fr_core.errors import ConfigInvalid, FrError, InvalidField, message
from fr_core.types import Embedding, ModelId, frozen_array
from fr_server.rpc.convert import common
from fr_server.storage.footage import Announced
from fr_trust.casework.footage import CitedFrame
from fr_video.crops import Crop
from fr_video.leads import Probe, seconds
from fr_video.values import Box, Ended, Footage, Look, Sampling, Sighting, StreamFacts, Track

MAX_CHUNK_BYTES = 4 * 2**20
MAX_TRACKS = 100  # of a search, and of a page
DEFAULT_PAGE = 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_S = 86_400
# Decimals of an interval: a time base is finer, and frames are not.
_DENOMINATOR = 1_000_000
_ENDS = common.by_name(Ended, pb.VideoEnd, "VIDEO_END")
_PROBES = {
    pb.TRACK_PROBE_UNSPECIFIED: Probe.MEAN,
    pb.TRACK_PROBE_MEAN: Probe.MEAN,
    pb.TRACK_PROBE_BEST_SHOT: Probe.BEST_SHOT,
}


def sha256_of(request: pb.CreateVideoRequest) -> str:
    """Return the SHA-256 of an announced file; raises `InvalidField` for anything else."""
    if not _SHA256.fullmatch(request.sha256):
        raise InvalidField(message("error.video.sha256"), field="sha256")
    return request.sha256


def size_of(request: pb.CreateVideoRequest) -> int:
    """Return the size of an announced file; raises `InvalidField` for an empty one."""
    if not request.size_bytes:
        raise InvalidField(message("error.video.no_bytes"), field="size_bytes")
    return request.size_bytes


def sampling_of(request: pb.CreateVideoRequest) -> Sampling:
    """Return the frames to look at; raises `InvalidField` for intervals that are none."""
    usual, sent = Sampling(), request.sampling
    for value in (sent.interval_s, sent.motion_interval_s):
        if not 0 <= value <= _MOST_S:  # nor NaN
            raise InvalidField(message("error.video.sampling"), field="sampling")
    interval = _interval(sent.interval_s) or usual.interval
    try:
        return Sampling(interval, _interval(sent.motion_interval_s) or min(usual.motion_interval, interval))
    except ConfigInvalid as error:
        raise InvalidField(message("error.video.sampling"), field="sampling") from error


def ratios(sampling: Sampling) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the two intervals of a sampling as numerators and denominators."""
    return sampling.interval.as_integer_ratio(), sampling.motion_interval.as_integer_ratio()


def announced_sampling(announced: Announced) -> Sampling:
    """Return the sampling that a video was announced with."""
    return Sampling(Fraction(*announced.interval), Fraction(*announced.motion_interval))


def track_numbers(request: pb.SearchTracksRequest) -> Sequence[int]:
    """Return the tracks to search for; raises `InvalidField` for none, too many, or one twice."""
    numbers = list(request.tracks)
    if not 1 <= len(numbers) <= MAX_TRACKS or len(set(numbers)) != len(numbers):
        raise InvalidField(message("error.video.tracks", most=MAX_TRACKS), field="tracks")
    return numbers


def probe_of(request: pb.SearchTracksRequest) -> Probe:
    """Return the template to search with; raises `InvalidField` for an unknown one."""
    if request.probe not in _PROBES:
        raise InvalidField(message("error.video.probe"), field="probe")
    return _PROBES[request.probe]


@dataclass(frozen=True, slots=True, eq=False)
class StoredTrack:
    """A track as it is kept: its message, without crops, and the templates to search with."""

    track: pb.Track
    mean: Embedding
    best: Embedding

    def template(self, probe: Probe) -> Embedding:
        """Return the template of a probe."""
        return self.mean if probe is Probe.MEAN else self.best

    def to_bytes(self) -> bytes:
        """Return the track as a file keeps it."""
        file = io.BytesIO()
        for one in (self.track, common.embedding_message(self.mean), common.embedding_message(self.best)):
            proto.serialize_length_prefixed(one, file)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> StoredTrack:
        """Return the track of `to_bytes`."""
        file = io.BytesIO(data)
        track = proto.parse_length_prefixed(pb.Track, file)
        mean, best = (_embedding(proto.parse_length_prefixed(common_pb2.Embedding, file)) for _ in range(2))
        return cls(track, mean, best)


def stored_track(track: Track, crops: Sequence[Crop]) -> StoredTrack:
    """Return a track with what a proof of its crops needs; `crops` are those of its best shots, in their order."""
    said = pb.Track(
        track=track.number,
        sightings=map(_sighting, track.sightings),
        independent_looks=track.independent_looks,
        best_shots=[_shot(look, crop) for look, crop in zip(track.best_shots, crops, strict=True)],
    )
    return StoredTrack(said, track.template, track.best.embedding)


def result_of(footage: Footage) -> pb.Video:
    """Return what a video found, without its tracks: the part of its message that an analysis fills in."""
    ending = footage.ending
    reading = pb.VideoReading(
        end=_ENDS[ending.why],
        frames_decoded=ending.decoded,
        frames_looked_at=footage.frames_looked_at,
        frames_without_time=ending.untimed,
        gaps=[pb.VideoGap(begin_s=seconds(begin), end_s=seconds(end)) for begin, end in ending.gaps],
        sound_until_s=None if ending.read_until is None else seconds(ending.read_until),
    )
    return pb.Video(facts=_facts(footage.facts), reading=reading, track_count=len(footage.tracks))


def refused(error: FrError) -> pb.Video:
    """Return the same of a video that was refused."""
    return pb.Video(refusal=common.refusal(error))


def video_message(
    video_id: str,
    announced: Announced,
    received_bytes: int,
    keep_ms: int,
    told: tuple[int, float],
    result: bytes | None,
) -> pb.Video:
    """Build the message of a video; `told` are the frames analyzed so far, and the seconds of the last one."""
    state = pb.VIDEO_STATE_RECEIVING if received_bytes < announced.size_bytes else pb.VIDEO_STATE_ANALYZING
    said = pb.Video() if result is None else pb.Video.FromString(result)
    if result is not None:
        state = pb.VIDEO_STATE_REFUSED if said.HasField("refusal") else pb.VIDEO_STATE_ANALYZED
    said.MergeFrom(
        pb.Video(
            video_id=video_id,
            sha256=announced.sha256,
            size_bytes=announced.size_bytes,
            received_bytes=received_bytes,
            state=state,
            create_time=common.timestamp_ms(announced.created_ms),
            expire_time=common.timestamp_ms(announced.created_ms + keep_ms),
            analyzed_frames=told[0],
            analyzed_s=told[1],
        )
    )
    return said


def cited_of(announced: Announced, facts: pb.VideoFacts, track: pb.Track, place: int) -> CitedFrame:
    """Return where the crop of a track's best shot comes from; the first place is 1."""
    shot, first, last = track.best_shots[place - 1], track.sightings[0], track.sightings[-1]
    at, face, crop = shot.sighting, shot.sighting.box, shot.crop_box
    what = f"{facts.codec} in {facts.container}, {facts.width} x {facts.height} as stored, {facts.pixel_format}"
    seen = f"{len(track.sightings)} frames from {first.time_s:.3f} to {last.time_s:.3f} s"
    return CitedFrame(
        sha256=announced.sha256,
        size_bytes=announced.size_bytes,
        received_ms=announced.created_ms,
        container=what,
        decoder=facts.decoder,
        track=f"{track.track}, best shot {place}; {seen}, independent looks: {track.independent_looks}",
        frame=at.frame,
        pts=at.pts,
        time_base=Fraction(facts.time_base_numerator, facts.time_base_denominator),
        time_s=at.time_s,
        rotation=shot.rotation,
        frame_sha256=shot.frame_sha256,
        box_px=" ".join(f"{side:.2f}" for side in (face.left, face.top, face.right, face.bottom)),
        crop=(int(crop.left), int(crop.top), int(crop.right), int(crop.bottom)),
        crop_sha256=shot.crop_sha256,
    )


def _interval(value: float) -> Fraction:
    """Return an interval in decimals; 0 only for 0, which stands for the usual one."""
    exact = Fraction(value).limit_denominator(_DENOMINATOR)
    return max(exact, Fraction(1, _DENOMINATOR)) if value else exact


def _facts(facts: StreamFacts) -> pb.VideoFacts:
    return pb.VideoFacts(
        container=facts.container,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        pixel_format=facts.pixel_format,
        time_base_numerator=facts.time_base.numerator,
        time_base_denominator=facts.time_base.denominator,
        start_pts=facts.start_pts,
        duration_ticks=facts.duration_ticks,
        decoder=facts.decoder,
    )


def _sighting(at: Sighting) -> pb.TrackSighting:
    return pb.TrackSighting(
        frame=at.number, pts=at.pts, time_s=seconds(at.time), box=_box(at.box), quality_score=at.quality_score
    )


def _shot(look: Look, crop: Crop) -> pb.TrackShot:
    return pb.TrackShot(
        sighting=_sighting(look.at),
        rotation=look.rotation,
        frame_sha256=look.frame_sha256,
        quality=common.quality_message(look.quality),
        crop_box=_box(crop.box),
        crop_sha256=crop.sha256,
    )


def _box(box: Box) -> common_pb2.BoundingBox:
    left, top, right, bottom = box
    return common_pb2.BoundingBox(left=left, top=top, right=right, bottom=bottom)


def _embedding(sent: common_pb2.Embedding) -> Embedding:
    model = sent.model
    vector = frozen_array(np.array(sent.vector, dtype=np.float32))
    return Embedding(vector, ModelId(model.pack, model.version, model.sha256))
