"""VideoService: takes video files, follows their faces, and searches galleries for them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from fr_api.v1 import video_pb2 as pb
from fr_api.v1 import video_pb2_grpc
from fr_core.errors import InvalidField, InvalidPage, MissingField, StoreCorrupt, message
from fr_core.gallery.pages import last_of, page_token
from fr_core.types import Embedding
from fr_locales.rendering import render
from fr_server.authz.callers import current_principal
from fr_server.authz.record import note
from fr_server.pools import Work
from fr_server.rpc.convert.common import NOTICE
from fr_server.rpc.convert.video import (
    DEFAULT_PAGE,
    MAX_CHUNK_BYTES,
    MAX_TRACKS,
    probe_of,
    ratios,
    refused,
    sampling_of,
    sha256_of,
    size_of,
    track_numbers,
    video_message,
)
from fr_server.rpc.interceptors.boundary import as_item_error
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.gallery_faces import GalleryFaces
from fr_server.rpc.services.items import answer_items
from fr_server.rpc.services.paging import number_of
from fr_server.rpc.services.video_analysis import Analyses, require_decoder
from fr_server.rpc.services.video_shots import tracks_of
from fr_server.rpc.services.watching import Watches
from fr_server.storage.footage import FootageFolder, StoredVideo
from fr_video.errors import VideoIncomplete
from fr_video.leads import Probe

_TRACKS = "tracks"
# Of a page of tracks: the track that goes beyond it is the last one.
PAGE_BYTES = 16 * 2**20


class VideoService(video_pb2_grpc.VideoServiceServicer):
    """Keeps videos in `footage` for those who announced them; `count_search` counts one more search of the caller."""

    def __init__(
        self,
        footage: FootageFolder,
        analyses: Analyses,
        faces: GalleryFaces,
        watches: Watches,
        work: Work,
        count_search: Callable[[], Awaitable[None]],
    ) -> None:
        self._footage = footage
        self._analyses = analyses
        self._faces = faces
        self._watches = watches
        self._work = work
        self._count_search = count_search

    async def CreateVideo(self, request: pb.CreateVideoRequest, context: Context) -> pb.CreateVideoResponse:
        require_decoder()
        asked = current_principal().principal_id, sha256_of(request), size_of(request), ratios(sampling_of(request))
        video = await self._own(await self._work.storage(self._footage.announce, *asked))
        said = await self._said(video)
        if said.state == pb.VIDEO_STATE_REFUSED:  # perhaps for a reason that has passed
            await self._work.storage(video.delete)
            said = await self._said(await self._own(await self._work.storage(self._footage.announce, *asked)))
        return pb.CreateVideoResponse(video=said, max_chunk_bytes=MAX_CHUNK_BYTES)

    def AnalyzeVideo(
        self, request_iterator: AsyncIterator[pb.AnalyzeVideoRequest], context: Context
    ) -> AsyncIterator[pb.AnalyzeVideoResponse]:
        async def fill(request: pb.AnalyzeVideoRequest, response: pb.AnalyzeVideoResponse) -> None:
            video, data = await self._own(request.video_id), request.data
            if not data:
                raise MissingField(message("error.video.no_chunk"), field="data")
            if len(data) > MAX_CHUNK_BYTES:
                told = message("error.video.chunk_too_long", most=MAX_CHUNK_BYTES)
                raise InvalidField(told, field="data", limit=str(MAX_CHUNK_BYTES))
            await self._work.storage(video.add, request.offset, data)
            response.video.CopyFrom(await self._said(video))

        # One at a time: the bytes of a file come in their order.
        return answer_items(request_iterator, pb.AnalyzeVideoResponse, fill, 1, self._work)

    async def GetVideo(self, request: pb.GetVideoRequest, context: Context) -> pb.GetVideoResponse:
        return pb.GetVideoResponse(video=await self._said(await self._own(request.video_id)))

    async def ListVideos(self, request: pb.ListVideosRequest, context: Context) -> pb.ListVideosResponse:
        own = await self._work.storage(self._footage.own, current_principal().principal_id)
        return pb.ListVideosResponse(videos=[await self._listed(one) for one in own])

    async def ListTracks(self, request: pb.ListTracksRequest, context: Context) -> pb.ListTracksResponse:
        video = await self._own(request.video_id)
        size = request.page_size or DEFAULT_PAGE
        if size > MAX_TRACKS:
            raise InvalidPage(message("error.video.page_size", most=MAX_TRACKS), limit=str(MAX_TRACKS))
        last = last_of(_TRACKS, request.page_token)
        begin, count = (number_of(last) if last else 0), (await self._analyzed(video)).track_count
        numbers = range(begin + 1, min(count, begin + size) + 1)
        tracks = await self._work.storage(tracks_of, video, numbers, request.include_crops, PAGE_BYTES)
        last_shown = begin + len(tracks)
        token = page_token(_TRACKS, str(last_shown)) if tracks and last_shown < count else ""
        return pb.ListTracksResponse(tracks=[one.track for one in tracks], next_page_token=token)

    async def SearchTracks(self, request: pb.SearchTracksRequest, context: Context) -> pb.SearchTracksResponse:
        search = request.search
        if search.WhichOneof("criterion") not in (None, "threshold"):
            raise InvalidField(message("error.video.rates"), field="search.criterion")
        if search.HasField("probe"):
            raise InvalidField(message("error.video.probe_sent"), field="search.probe")
        order = await self._faces.begin_search(search)
        numbers, probe = track_numbers(request), probe_of(request)
        video = await self._own(request.video_id)
        count = (await self._analyzed(video)).track_count
        if not all(1 <= number <= count for number in numbers):
            raise InvalidField(message("error.video.no_track", tracks=count), field="tracks")
        tracks = await self._work.storage(tracks_of, video, numbers, False)
        for _ in tracks[1:]:  # the call itself counted as the first
            await self._count_search()
        templates: list[Embedding] = [one.template(probe) for one in tracks]
        found = await self._faces.search_each(order, search, templates)
        leads = [
            pb.TrackLeads(
                track=one.track.track,
                independent_looks=one.track.independent_looks if probe is Probe.MEAN else 1,
                found=list_,
            )
            for one, list_ in zip(tracks, found, strict=True)
        ]
        listed = [candidate for list_ in found for result in list_.results for candidate in result.candidates]
        note(
            subject_ids=[one.subject_id for one in listed],
            model=order.info.model,
            gallery_version=min(one.gallery_version for one in found),
            threshold=order.threshold,
            counts={"tracks": len(tracks), "candidates": len(listed)},
        )
        return pb.SearchTracksResponse(leads=leads, notice=render(NOTICE))

    async def DeleteVideo(self, request: pb.DeleteVideoRequest, context: Context) -> pb.DeleteVideoResponse:
        await self._work.storage((await self._own(request.video_id)).delete)
        return pb.DeleteVideoResponse()

    async def WatchStream(
        self, request: pb.WatchStreamRequest, context: Context
    ) -> AsyncIterator[pb.WatchStreamResponse]:
        async with aclosing(self._watches.watch(request)) as events:
            async for event in events:
                yield event

    async def _own(self, video_id: str) -> StoredVideo:
        """Return a video of the caller, and tell the audit which one the call is about."""
        video = await self._work.storage(self._footage.video, current_principal().principal_id, video_id)
        note(detail={"video_id": video.video_id, "video_sha256": video.announced.sha256})
        return video

    async def _said(self, video: StoredVideo) -> pb.Video:
        """Return the message of a video; begin its analysis if all bytes are there, and there is no result yet."""

        def read() -> pb.Video:
            received, told, result = video.received_bytes, video.told(), video.result()
            keep_ms = self._footage.rules.keep_ms
            return video_message(video.video_id, video.announced, received, keep_ms, told, result)

        said = await self._work.storage(read)
        if said.state == pb.VIDEO_STATE_ANALYZING:
            self._analyses.begin(video)
        return said

    async def _listed(self, video: StoredVideo) -> pb.Video:
        """Return the same message; refused if the result is damaged, so that the caller can find it and delete it."""
        try:
            return await self._said(video)
        except StoreCorrupt as error:
            result, keep_ms = refused(as_item_error(error)).SerializeToString(), self._footage.rules.keep_ms
            size = video.announced.size_bytes
            return video_message(video.video_id, video.announced, size, keep_ms, (0, 0.0), result)

    async def _analyzed(self, video: StoredVideo) -> pb.Video:
        """Return a video that was analyzed; raises `VideoIncomplete` for another."""
        said = await self._said(video)
        if said.state != pb.VIDEO_STATE_ANALYZED:
            raise VideoIncomplete(message("error.video.not_analyzed"), received_bytes=str(said.received_bytes))
        return said
