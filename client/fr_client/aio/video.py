"""Footage for the asynchronous client: sends files, waits for their tracks, and searches for these."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from fr_api.v1 import common_pb2, video_pb2, video_pb2_grpc
from fr_client import requests, videos
from fr_client.aio.calls import AsyncCalls
from fr_client.errors import FrApiError
from fr_client.photos import Fit
from fr_client.tasks import run, sleep
from fr_client.videos import Chunk
from fr_client.words import TRACK_PROBES, Purpose, TrackProbe, purpose_value, value_of


class AsyncVideo:
    """Video files, and the faces that the server follows through them: `AsyncClient.video`.

    Errors are those of `AsyncClient`. A search returns leads for a human examiner, never an identity.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls
        self._stub = video_pb2_grpc.VideoServiceStub(calls.unary)
        self._streams = video_pb2_grpc.VideoServiceStub(calls.streams)

    async def analyze(
        self,
        path: Path,
        *,
        every_s: float | None = None,
        motion_every_s: float | None = None,
        on_progress: Callable[[video_pb2.Video], object] = lambda video: None,
    ) -> video_pb2.Video:
        """Send a video file, and wait until the server has analyzed or refused it; `state` says which.

        If the connection breaks, the upload goes on where it was; so it does if you call again after an error, or from
        another process. `timeout_s` limits each call, not the whole. If the wait ends early, the server goes on;
        `delete` ends its work.

        Args:
            every_s: seconds from one frame looked at to the next; None for the server's default.
            motion_every_s: the same while the picture moves; None for the server's default.
            on_progress: called at intervals with the current state of the video.

        Raises `OSError` if the file cannot be read, and `FrApiError` (VIDEO_UNREADABLE) if it is empty.
        """
        request = await run(videos.announcement, path, every_s, motion_every_s)
        video = await self._sent(path, request, on_progress)
        while video.state == video_pb2.VIDEO_STATE_ANALYZING:
            await sleep(videos.LOOK_S)
            video = await self.get(video.video_id)
            on_progress(video)
        return video

    async def get(self, video_id: str) -> video_pb2.Video:
        """Describe a video; raises `FrApiError` (UNKNOWN_VIDEO) if the caller has none with this id."""
        return (await self._calls.call(self._stub.GetVideo, video_pb2.GetVideoRequest(video_id=video_id))).video

    async def announced(self) -> Sequence[video_pb2.Video]:
        """Return the videos that the caller has announced and the server still has, the newest first."""
        return (await self._calls.call(self._stub.ListVideos, video_pb2.ListVideosRequest())).videos

    def tracks(self, video_id: str, *, crops: bool = False) -> AsyncIterator[video_pb2.Track]:
        """Yield the tracks of an analyzed video, page by page, with the crops of their best shots if you ask for them.

        Raises `FrApiError` (VIDEO_INCOMPLETE) if the video is not analyzed.
        """
        request = video_pb2.ListTracksRequest(video_id=video_id, include_crops=crops)
        return self._calls.pages(self._stub.ListTracks, request, "tracks")

    async def search(
        self,
        video_id: str,
        gallery_id: str,
        tracks: Sequence[int],
        *,
        probe: TrackProbe = "mean",
        top_k: int | None = None,
        threshold: float | None = None,
        only_above_threshold: bool = False,
        purpose: Purpose | None = None,
        case_reference: str = "",
    ) -> video_pb2.SearchTracksResponse:
        """Search a gallery once for each of up to 100 tracks; each counts as a search.

        `probe` is the template to search with: the mean of a track's best faces, or its best shot. The other arguments
        are those of `AsyncClient.search`.
        """
        search = requests.track_search(gallery_id, top_k, threshold, only_above_threshold, purpose, case_reference)
        request = video_pb2.SearchTracksRequest(
            video_id=video_id, tracks=tracks, probe=value_of("probe", probe, TRACK_PROBES), search=search
        )
        return await self._calls.call(self._stub.SearchTracks, request)

    def watch(
        self,
        stream: str,
        gallery_id: str,
        *,
        purpose: Purpose,
        case_reference: str,
        false_leads_per_day: float,
        tracks_per_day: float,
        top_k: int = 10,
    ) -> AsyncIterator[video_pb2.WatchStreamResponse]:
        """Yield the events of a live stream that the server's configuration names: its state, gaps, and tracks.

        The watch begins with the first step of the iterator, and ends when that is closed. `timeout_s` is the longest
        wait for the next answer; the server sends its state every 10 seconds. Show the `notice` of the first state.

        Args:
            stream: its name in the configuration.
            gallery_id: the gallery to search, which the configuration allows for the stream.
            purpose: of the search; required for every gallery.
            case_reference: of the case; required for every gallery.
            false_leads_per_day: acceptable number if no track shows an enrolled person, above 0.
            tracks_per_day: number that you expect, above 0.
            top_k: candidates of a track, 1 to 100.
        """
        request = video_pb2.WatchStreamRequest(
            stream=stream,
            gallery_id=gallery_id,
            purpose=purpose_value(purpose),
            case_reference=case_reference,
            false_leads_per_day=false_leads_per_day,
            tracks_per_day=tracks_per_day,
            top_k=top_k,
        )
        return self._calls.answers(lambda: self._streams.WatchStream(request), self._calls.timeout_s)

    async def delete(self, video_id: str) -> None:
        """Delete a video with its footage and tracks; an analysis in progress ends."""
        await self._calls.call(self._stub.DeleteVideo, video_pb2.DeleteVideoRequest(video_id=video_id))

    async def _sent(
        self, path: Path, request: video_pb2.CreateVideoRequest, on_progress: Callable[[video_pb2.Video], object]
    ) -> video_pb2.Video:
        """Send what the server lacks of a file; after a lost connection again, as long as some of it arrives."""
        received, attempt = 0, 1
        while True:
            try:
                created = await self._calls.call(self._stub.CreateVideo, request)
                video = created.video
                if video.received_bytes > received:
                    received, attempt = video.received_bytes, 1
                if video.state != video_pb2.VIDEO_STATE_RECEIVING:
                    return video
                return await self._sent_from(path, video, created.max_chunk_bytes, on_progress)
            except FrApiError as error:
                delay_s = videos.send_again_after_s(error, attempt)
                if delay_s is None:
                    raise
            attempt += 1
            await sleep(delay_s)

    async def _sent_from(
        self,
        path: Path,
        video: video_pb2.Video,
        chunk_bytes: int,
        on_progress: Callable[[video_pb2.Video], object],
    ) -> video_pb2.Video:
        def build(chunk: Chunk, _: Fit) -> video_pb2.AnalyzeVideoRequest:
            return videos.chunk_request(path, video.video_id, chunk)

        chunks: Iterator[Chunk] = videos.chunks(video.received_bytes, video.size_bytes, chunk_bytes)
        start = self._streams.AnalyzeVideo
        last = video
        async with aclosing(self._calls.exchange(start, chunks, build, videos.arrived, 1, videos.GOES_ON)) as answers:
            async for _, answer in answers:
                if isinstance(answer, common_pb2.Refusal):
                    raise videos.refused(answer)
                last = answer
                on_progress(answer)
        return last
