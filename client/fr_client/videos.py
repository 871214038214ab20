"""Prepares the requests that send a video file, and decides when to send again; for both clients."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from fr_api.v1 import common_pb2, video_pb2
from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError, reason_of
from fr_files.reading import open_regular

LOOK_S = 0.5
"""Seconds between two looks at how far an analysis is."""

GOES_ON = "Call again: the upload goes on where it was."
"""The remedy for chunks without an answer at the end of a stream."""

_EMPTY = "The file is empty. Use the file as the recorder exported it, complete, as MP4, Matroska, AVI or MPEG."

# Waits after lost connections in a row in which nothing arrived, as a server takes some seconds to start again.
_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
_LOST = frozenset({CONNECTION_LOST, TIMED_OUT, UNREACHABLE, "SHUTTING_DOWN", "NOT_READY"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file."""

    item_id: str
    offset: int  # bytes
    size: int  # bytes


def announcement(path: Path, every_s: float | None, motion_every_s: float | None) -> video_pb2.CreateVideoRequest:
    """Return the request that announces a file, which it reads to the end.

    Raises `OSError`, and `FrApiError` (VIDEO_UNREADABLE) if the file is empty.
    """
    with open_regular(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    if size == 0:
        raise FrApiError(grpc.StatusCode.INVALID_ARGUMENT, "VIDEO_UNREADABLE", _EMPTY)
    sampling = video_pb2.VideoSampling(interval_s=every_s or 0.0, motion_interval_s=motion_every_s or 0.0)
    return video_pb2.CreateVideoRequest(sha256=sha256, size_bytes=size, sampling=sampling)


def chunks(begin: int, end: int, chunk_bytes: int) -> Iterator[Chunk]:
    """Yield the parts of a file from one byte to another."""
    for offset in range(begin, end, chunk_bytes):
        yield Chunk(str(offset), offset, min(chunk_bytes, end - offset))


def chunk_request(path: Path, video_id: str, chunk: Chunk) -> video_pb2.AnalyzeVideoRequest:
    """Return the request that sends a part of a file; raises `OSError`."""
    with path.open("rb") as file:
        file.seek(chunk.offset)
        data = file.read(chunk.size)
    return video_pb2.AnalyzeVideoRequest(video_id=video_id, offset=chunk.offset, data=data)


def arrived(response: video_pb2.AnalyzeVideoResponse) -> video_pb2.Video | common_pb2.Refusal:
    """Return the answer to a part of a file."""
    return response.refusal if response.WhichOneof("result") == "refusal" else response.video


def refused(refusal: common_pb2.Refusal) -> FrApiError:
    """Return the refusal of a part of a file as an error."""
    return FrApiError(grpc.StatusCode.FAILED_PRECONDITION, reason_of(refusal), refusal.message, dict(refusal.metadata))


def send_again_after_s(error: FrApiError, attempt: int) -> float | None:
    """Return the seconds after which to go on with an upload; None if that would not mend the error.

    `attempt` is the number of failures in a row in which nothing arrived, from 1.
    """
    if error.reason not in _LOST or attempt > len(_DELAYS_S):
        return None
    return _DELAYS_S[attempt - 1]
