"""Footage: a video file is sent, its faces are followed, and what was found is looked at."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2, video_pb2
from fr_client.errors import NOT_BEGUN, FrApiError, reason_of
from fr_locales.messages import Message, message
from fr_web.console.addresses import embedded
from fr_web.console.forms import Part
from fr_web.console.visit import Screen, Visit
from fr_web.errors import refused

SENDS = frozenset({access_pb2.ROLE_OPERATOR})
SHEET = 12  # tracks of a contact sheet
WIDE = 1000  # units of a timeline
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_LOOK_S = 2.0  # between two looks at an analysis
STATES: Mapping[int, Message] = {
    video_pb2.VIDEO_STATE_RECEIVING: message("console.footage.receiving"),
    video_pb2.VIDEO_STATE_ANALYZING: message("console.footage.analyzing"),
    video_pb2.VIDEO_STATE_ANALYZED: message("console.footage.analyzed"),
    video_pb2.VIDEO_STATE_REFUSED: message("console.footage.refused"),
}
ENDS: Mapping[int, Message] = {
    video_pb2.VIDEO_END_WHOLE: message("console.footage.end.whole"),
    video_pb2.VIDEO_END_EARLY: message("console.footage.end.early"),
    video_pb2.VIDEO_END_DAMAGED: message("console.footage.end.damaged"),
    video_pb2.VIDEO_END_BROKE_DECODER: message("console.footage.end.broke_decoder"),
    video_pb2.VIDEO_END_TOO_COSTLY: message("console.footage.end.too_costly"),
    video_pb2.VIDEO_END_MAX_FRAMES: message("console.footage.end.max_frames"),
    video_pb2.VIDEO_END_MAX_SECONDS: message("console.footage.end.max_seconds"),
}
_UNDER_WAY = (video_pb2.VIDEO_STATE_RECEIVING, video_pb2.VIDEO_STATE_ANALYZING)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A file that a program of the page is about to send: its SHA-256, and its size in bytes as text."""

    sha256: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a chunk in its file, in bytes."""

    offset: str = ""


async def read_video(visit: Visit) -> video_pb2.Video:
    """Return the video that the path names; raises `FrApiError`."""
    request = video_pb2.GetVideoRequest(video_id=visit.path["video"])
    return (await visit.ask(request, video_pb2.GetVideoResponse)).video


async def footage(visit: Visit) -> Response:
    """List the videos of the visitor, with the form that sends another one."""
    return await _footage(visit)


async def _footage(visit: Visit, error: FrApiError | None = None) -> Response:
    found = await visit.ask(video_pb2.ListVideosRequest(), video_pb2.ListVideosResponse)
    return visit.page("footage.html", error, videos=found.videos, states=STATES)


async def send(visit: Visit) -> Response:
    """Announce a file that a program of the page sends in chunks; or take a small one, which comes whole."""
    assert visit.files is not None
    if "sha256" in visit.fields:
        form = visit.form(Announcement)
        made = await _announced(visit, form.sha256, _bytes_of(visit, form.size, "size"))
        return _told(made.video, chunk=made.max_chunk_bytes)
    try:
        part = await _file(visit)
        if not part.content:
            raise visit.invalid(message("console.footage.no_file"), "file")
        made = await _announced(visit, hashlib.sha256(part.content).hexdigest(), len(part.content))
        for offset in range(made.video.received_bytes, len(part.content), made.max_chunk_bytes):
            await _add(visit, made.video.video_id, offset, part.content[offset : offset + made.max_chunk_bytes])
    except FrApiError as error:
        return await _footage(visit, error)
    return visit.go(f"/footage/{made.video.video_id}")


async def add(visit: Visit) -> Response:
    """Take a chunk of a file from a program of the page, and tell as JSON what has arrived."""
    offset = _bytes_of(visit, visit.form(Place).offset, "offset")
    part = await _file(visit)
    return _told(await _add(visit, visit.path["video"], offset, part.content))


async def _file(visit: Visit) -> Part:
    """Return the file of a form; raises `FrApiError` if there is none, or it is too large to come in one piece."""
    assert visit.files is not None
    found: Part | None = None
    async for part in visit.files:
        if part.name == "file":
            found = part
    if found is None or not found.file:
        raise visit.invalid(message("console.footage.no_file"), "file")
    if found.is_too_large:
        raise visit.invalid(message("console.footage.too_large"), "file")
    return found


async def _announced(visit: Visit, sha256: str, size: int) -> video_pb2.CreateVideoResponse:
    request = video_pb2.CreateVideoRequest(sha256=sha256, size_bytes=size)
    return await visit.ask(request, video_pb2.CreateVideoResponse)


async def _add(visit: Visit, video_id: str, offset: int, data: bytes) -> video_pb2.Video:
    request = video_pb2.AnalyzeVideoRequest(video_id=video_id, offset=offset, data=data)
    async for answer in visit.each(request, video_pb2.AnalyzeVideoResponse):
        if answer.WhichOneof("result") == "refusal":
            raise _refused(answer.refusal)
        return answer.video
    raise visit.invalid(message("console.footage.no_file"), "file")


def _bytes_of(visit: Visit, text: str, field: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise visit.invalid(message("web.form_whole_number"), field)
    return int(text)


def _told(video: video_pb2.Video, **more: int) -> Response:
    known = {"video": video.video_id, "received": video.received_bytes, "state": video.state, **more}
    return Response(json.dumps(known), media_type="application/json")


def _refused(refusal: common_pb2.Refusal) -> FrApiError:
    """Return the refusal of a chunk; the program of the page sends one again that the server was too busy for."""
    reason = reason_of(refusal)
    code, wait_s = (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0) if reason in NOT_BEGUN else (_INVALID, None)
    return refused(code, reason, refusal.message, wait_s, **refusal.metadata)


async def video(visit: Visit) -> Response:
    """Show a video: how far it is, or its tracks in the order of time with their best shots."""
    found = await read_video(visit)
    told: dict[str, Any] = {"video": found, "states": STATES, "ends": ENDS}
    if found.state != video_pb2.VIDEO_STATE_ANALYZED:
        return visit.page("footage_state.html", **told, clock=clock)
    request = video_pb2.ListTracksRequest(
        video_id=found.video_id, page_size=SHEET, page_token=visit.query("page"), include_crops=True
    )
    listed = await visit.ask(request, video_pb2.ListTracksResponse)
    end_s = _end_of(found, listed.tracks)
    lines = [line_of(one, end_s) for one in listed.tracks]
    gaps = [(_place(one.begin_s, end_s), _place(one.end_s - one.begin_s, end_s)) for one in found.reading.gaps]
    sheet = [(one, [embedded(shot.crop.data) for shot in one.best_shots]) for one in listed.tracks]
    return visit.page(
        "footage_video.html", **told, listed=listed, lines=lines, gaps=gaps, end=clock(end_s), sheet=sheet, clock=clock
    )


async def events(visit: Visit) -> Response:
    """Follow how far a video is, until its analysis ends."""

    async def states() -> AsyncGenerator[Mapping[str, Any] | None, None]:
        before = None
        while True:
            found = await read_video(visit)
            yield {"video": found, "states": STATES} if found != before else None
            if found.state not in _UNDER_WAY:
                return
            before = found
            await asyncio.sleep(_LOOK_S)

    return await visit.events("footage_progress.html", states())


async def delete(visit: Visit) -> Response:
    """Delete a video with its footage and its tracks."""
    visit.require_sure()
    await visit.ask(video_pb2.DeleteVideoRequest(video_id=visit.path["video"]), video_pb2.DeleteVideoResponse)
    return visit.go("/footage", message("console.footage.deleted"))


@dataclass(frozen=True, slots=True)
class Line:
    """A track on the timeline: its first and last time, and the places of its span and its best shots, in `WIDE`ths."""

    track: int
    begin: str
    end: str
    looks: int
    span: tuple[float, float]  # place and length
    shots: tuple[float, ...]


def line_of(track: video_pb2.Track, end_s: float) -> Line:
    """Return a track on the timeline of a video that ends so many seconds after its beginning."""
    begin_s, last_s = track.sightings[0].time_s, track.sightings[-1].time_s
    span = _place(begin_s, end_s), max(_place(last_s - begin_s, end_s), 2.0)
    shots = tuple(_place(one.sighting.time_s, end_s) for one in track.best_shots)
    return Line(track.track, clock(begin_s), clock(last_s), track.independent_looks, span, shots)


def clock(seconds: float) -> str:
    """Return a time of a video as hours, minutes and seconds with hundredths."""
    hundredths = round(max(seconds, 0.0) * 100)
    minutes, rest = divmod(hundredths, 6_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _end_of(found: video_pb2.Video, tracks: Sequence[video_pb2.Track]) -> float:
    seen = [track.sightings[-1].time_s for track in tracks]
    return max([found.reading.sound_until_s, found.analyzed_s, 0.01, *seen])


def _place(seconds: float, end_s: float) -> float:
    return round(min(max(seconds / end_s, 0.0), 1.0) * WIDE, 2)


SCREENS = (
    Screen(
        "/footage", footage, roles=SENDS, nav=message("console.nav.footage"), about=message("console.about.footage")
    ),
    Screen("/footage", send, method="POST", roles=SENDS, streams=True),
    Screen("/footage/{video}", video, roles=SENDS),
    Screen("/footage/{video}", add, method="POST", roles=SENDS, streams=True),
    Screen("/footage/{video}/events", events, roles=SENDS),
    Screen("/footage/{video}/delete", delete, method="POST", roles=SENDS),
)
