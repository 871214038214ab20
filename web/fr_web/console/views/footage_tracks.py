"""Tracks of footage: one of them shot by shot, the way of a shot into a case, and searches with tracks."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.responses import Response

from fr_api.v1 import gallery_pb2, review_pb2, video_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.addresses import embedded
from fr_web.console.views.footage import SENDS, clock, read_video
from fr_web.console.views.galleries import list_galleries, must_state, name_of, read_gallery
from fr_web.console.visit import MOST_LISTED, Screen, Visit

_MOST_TRACKS = 100  # of a search, and of a page: `SearchTracksRequest.tracks`, `ListTracksRequest.page_size`
_PROBES = {"1": message("console.footage.mean"), "2": message("console.footage.best_shot")}


@dataclass(frozen=True, slots=True)
class Sent:
    """A best shot on its way to a case; the first `shot` is 1."""

    case: str = ""
    shot: int = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search with tracks: `track` has their numbers."""

    gallery: str = ""
    probe: int = video_pb2.TRACK_PROBE_MEAN
    candidates: int = 10
    track: dict[str, int] = field(default_factory=dict)


async def read_track(visit: Visit, video_id: str, number: int) -> video_pb2.Track:
    """Return a track with the crops of its best shots; raises `FrApiError`.

    A page of tracks begins after the one before it, so that the pages before are read without crops.
    """
    request = video_pb2.ListTracksRequest(video_id=video_id)
    before = number - 1
    while before > 0:
        request.page_size = min(before, _MOST_TRACKS)
        listed = await visit.ask(request, video_pb2.ListTracksResponse)
        if not listed.next_page_token:
            break
        before -= len(listed.tracks)
        request.page_token = listed.next_page_token
    request.page_size, request.include_crops = 1, True
    found = (await visit.ask(request, video_pb2.ListTracksResponse)).tracks if before == 0 else ()
    if not found:
        raise visit.invalid(message("console.footage.no_track"), "track")
    return found[0]


async def read_shot(visit: Visit, shot: video_pb2.VideoShot) -> bytes:
    """Return the crop of a best shot, as PNG; raises `FrApiError`."""
    found = await read_track(visit, shot.video_id, shot.track)
    if not 1 <= shot.place <= len(found.best_shots):
        raise visit.invalid(message("console.footage.no_track"), "shot")
    return found.best_shots[shot.place - 1].crop.data


async def track(visit: Visit) -> Response:
    """Show one best shot of a track, with the way to the others."""
    return await _track(visit)


async def _track(visit: Visit, error: FrApiError | None = None) -> Response:
    video = await read_video(visit)
    found = await read_track(visit, video.video_id, number_of(visit.path["track"]))
    shown = min(max(number_of(visit.query("shot")), 1), len(found.best_shots))
    shot = found.best_shots[shown - 1]
    known = await visit.ask(review_pb2.ListCasesRequest(page_size=MOST_LISTED), review_pb2.ListCasesResponse)
    cases = {one.case_id: one.case_reference for one in known.cases if not one.HasField("close_time")}
    return visit.page(
        "footage_track.html",
        error,
        video=video,
        track=found,
        shown=shown,
        shot=shot,
        photo=embedded(shot.crop.data),
        clock=clock,
        cases=cases,
    )


async def crop(visit: Visit) -> Response:
    """Send the crop of the best shot of a track."""
    found = await read_track(visit, visit.path["video"], number_of(visit.path["track"]))
    headers = {"cache-control": "no-store", "content-security-policy": "default-src 'none'; sandbox"}
    return Response(found.best_shots[0].crop.data, media_type="image/png", headers=headers)


async def to_case(visit: Visit) -> Response:
    """Lead to the search in a case that has a best shot as its probe."""
    try:
        form = visit.form(Sent)
        if not form.case:
            raise visit.invalid(message("console.footage.no_case"), "case")
    except FrApiError as error:
        return await _track(visit, error)
    shot = {"video": visit.path["video"], "track": visit.path["track"], "shot": str(form.shot)}
    return visit.go(f"/cases/{form.case}/search", **shot)


async def search(visit: Visit) -> Response:
    """Show the form of a search with tracks."""
    asked = visit.query("track")
    return await _search(visit, Wanted(gallery=visit.query("gallery"), track={asked: 1} if asked else {}))


async def _search(visit: Visit, form: Wanted, error: FrApiError | None = None) -> Response:
    video = await read_video(visit)
    kept = await list_galleries(visit)
    first = max(number_of(visit.query("first")), 1)
    return visit.page(
        "footage_search.html",
        error,
        video=video,
        form=form,
        galleries={one.gallery_id: name_of(one) for one in kept},
        must_state=must_state(visit, *kept),
        probes=_PROBES,
        first=first,
        last=min(first + _MOST_TRACKS - 1, video.track_count),
    )


async def run(visit: Visit) -> Response:
    """Search with tracks, and show a list of leads for each."""
    form = Wanted()
    try:
        form = visit.form(Wanted)
        numbers = sorted(number_of(one) for one in form.track)
        if not numbers:
            raise visit.invalid(message("console.footage.no_tracks"), "track")
        if str(form.probe) not in _PROBES:
            raise visit.invalid(message("console.footage.no_probe"), "probe")
        kept = await read_gallery(visit, form.gallery)
        request = video_pb2.SearchTracksRequest(
            video_id=visit.path["video"],
            tracks=numbers,
            probe=video_pb2.TrackProbe.ValueType(form.probe),
            search=gallery_pb2.SearchRequest(
                gallery_id=form.gallery, top_k=max(form.candidates, 0), **visit.stated_purpose
            ),
        )
        found = await visit.ask(request, video_pb2.SearchTracksResponse)
    except FrApiError as error:
        return await _search(visit, form, error)
    return visit.page(
        "footage_leads.html",
        video_id=visit.path["video"],
        gallery=kept,
        found=found,
        potential=gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES,
    )


def number_of(text: str) -> int:
    """Return a number of an address, 0 for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


SCREENS = (
    Screen("/footage/{video}/search", search, roles=SENDS),
    Screen("/footage/{video}/search", run, method="POST", roles=SENDS),
    Screen("/footage/{video}/tracks/{track}", track, roles=SENDS),
    Screen("/footage/{video}/tracks/{track}", to_case, method="POST", roles=SENDS),
    Screen("/footage/{video}/tracks/{track}/crop", crop, roles=SENDS),
)
