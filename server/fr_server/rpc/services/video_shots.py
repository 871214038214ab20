"""Reads the tracks and the crops that an analysis has kept, and names the source of a crop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fr_api.v1 import video_pb2 as pb
from fr_core.errors import InvalidField, message
from fr_server.rpc.convert.video import StoredTrack, cited_of
from fr_server.storage.footage import FootageFolder, StoredVideo
from fr_trust.casework.footage import CitedFrame
from fr_video.errors import VideoIncomplete


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A look at a track: its crop as PNG, and the source of the crop."""

    png: bytes
    cited: CitedFrame


def track_name(number: int) -> str:
    """Return the name of the part of a result that holds a track."""
    return f"track-{number}"


def crop_name(number: int, place: int) -> str:
    """Return the name of the part of a result that holds the crop of a best shot, as PNG; the first place is 0."""
    return f"crop-{number}-{place}"


def tracks_of(
    video: StoredVideo, numbers: Sequence[int], with_crops: bool = False, most_bytes: float = math.inf
) -> list[StoredTrack]:
    """Return tracks of an analyzed video, with the crops of their best shots if they are wanted.

    The list ends with the first track that goes beyond `most_bytes`, so that an answer fits into memory.
    """
    found: list[StoredTrack] = []
    size = 0
    for number in numbers:
        one = StoredTrack.from_bytes(video.get(track_name(number)))
        for place, shot in enumerate(one.track.best_shots if with_crops else ()):
            shot.crop.data = video.get(crop_name(number, place))
        found.append(one)
        size += one.track.ByteSize()
        if size > most_bytes:
            break
    return found


def shot_of(footage: FootageFolder, owner: str, video_id: str, number: int, place: int) -> Shot:
    """Return a look at a track of the owner's video; the first place is 1.

    Raises `UnknownVideo`, `VideoIncomplete` if it is not analyzed, and `InvalidField` for a track or place that it
    does not have.
    """
    video = footage.video(owner, video_id)
    result = video.result()
    said = None if result is None else pb.Video.FromString(result)
    if said is None or said.HasField("refusal"):
        raise VideoIncomplete(message("error.video.not_analyzed"), received_bytes=str(video.received_bytes))
    if not 1 <= number <= said.track_count:
        raise InvalidField(message("error.video.no_track", tracks=said.track_count), field="shot.track")
    (stored,) = tracks_of(video, [number])
    if not 1 <= place <= len(stored.track.best_shots):
        raise InvalidField(message("error.video.no_shot", shots=len(stored.track.best_shots)), field="shot.place")
    cited = cited_of(video.announced, said.facts, stored.track, place)
    return Shot(video.get(crop_name(number, place - 1)), cited)
