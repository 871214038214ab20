"""Converts the events of a watched stream to messages of VideoService, and requests to searches."""

from __future__ import annotations

from fr_api.v1 import common_pb2, gallery_pb2
from fr_api.v1 import video_pb2 as pb
from fr_core.errors import InvalidField, message
from fr_server.rpc.convert import common
from fr_server.rpc.convert.gallery import SearchedFace, search_response
from fr_trust.errors import PurposeRequired
from fr_video.false_leads import LeadPoint
from fr_video.live import Why
from fr_video.watching import Event, Gap, Searched, Status

_MOST_PER_DAY = 1_000_000_000
_MOST_CANDIDATES, _USUAL_CANDIDATES = 100, 10
_REASONS = common.by_name(Why, pb.WatchGapReason, "WATCH_GAP_REASON")


def search_of(request: pb.WatchStreamRequest) -> gallery_pb2.SearchRequest:
    """Return the search that is made for each track; raises `PurposeRequired` or `InvalidField`."""
    if not (request.purpose and request.case_reference):
        raise PurposeRequired(message("error.video.watch_purpose"))
    for field in ("false_leads_per_day", "tracks_per_day"):
        if not 0.0 < getattr(request, field) <= _MOST_PER_DAY:  # nor NaN
            raise InvalidField(message("error.video.watch_target", field=field, most=_MOST_PER_DAY), field=field)
    if request.top_k > _MOST_CANDIDATES:
        raise InvalidField(message("error.video.watch_target", field="top_k", most=_MOST_CANDIDATES), field="top_k")
    return gallery_pb2.SearchRequest(
        gallery_id=request.gallery_id,
        purpose=request.purpose,
        case_reference=request.case_reference,
        top_k=request.top_k or _USUAL_CANDIDATES,
    )


def event_message(event: Event) -> pb.WatchStreamResponse:
    """Return the message of an event."""
    match event:
        case Gap():
            return pb.WatchStreamResponse(gap=_gap(event))
        case Status():
            return pb.WatchStreamResponse(status=_status(event))
        case Searched():
            return pb.WatchStreamResponse(searched=_searched(event))


def _gap(gap: Gap) -> pb.WatchGap:
    end = None if gap.end is None else common.timestamp(gap.end)
    return pb.WatchGap(begin_time=common.timestamp(gap.begin), end_time=end, reason=_REASONS[gap.why])


def _status(status: Status) -> pb.WatchStatus:
    return pb.WatchStatus(
        time=common.timestamp(status.at),
        connected=status.is_connected,
        frames_looked_at=status.frames_looked_at,
        frames_dropped=status.frames_dropped,
        frames_refused=status.frames_refused,
        gaps=status.gaps,
        tracks_searched=status.tracks_searched,
        tracks_unfit=status.tracks_unfit,
        leads=status.leads,
        tracks_of_day=status.rate.tracks,
        watched_s_of_day=status.rate.watched_s,
        point=_point(status.point),
    )


def _point(point: LeadPoint) -> pb.WatchPoint:
    return pb.WatchPoint(
        threshold=point.threshold,
        false_leads_per_day=point.false_leads_per_day,
        low=point.interval.low,
        high=point.interval.high,
        confidence=point.interval.confidence,
        assumed_tracks_per_day=point.assumed_tracks_per_day,
        meets_target=point.meets_target,
    )


def _searched(searched: Searched) -> pb.WatchedTrack:
    result = search_response([SearchedFace(None, searched.found)]).results[0]
    picture = None if searched.picture is None else common_pb2.Image(data=searched.picture.to_png())
    return pb.WatchedTrack(
        track=searched.track.number,
        begin_time=common.timestamp(searched.first),
        end_time=common.timestamp(searched.last),
        independent_looks=searched.track.independent_looks,
        quality=common.quality_message(searched.track.best.quality),
        lead=searched.is_lead,
        candidates=[one for one in result.candidates if one.above_threshold],
        picture=picture,
        point=_point(searched.point),
    )
