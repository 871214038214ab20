"""Analyzes footage in the background, one file at a time, and keeps what it found."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import time
from collections.abc import Callable
from fractions import Fraction

from fr_core.engine import Engine
from fr_core.errors import CallEnded, Failure, InputRefused, InternalError, ShuttingDown, message
from fr_core.imaging.confine import unavailable
from fr_core.runtime.ticket import Ticket, hold
from fr_server.authz.callers import calling, current_principal, current_sharer
from fr_server.pools import Work
from fr_server.rpc.convert.video import announced_sampling, refused, result_of, stored_track
from fr_server.rpc.services.video_shots import crop_name, track_name
from fr_server.storage.footage import StoredVideo
from fr_server.telemetry.logs import describe
from fr_video.analysis import analyze
from fr_video.crops import Crop, crops_of
from fr_video.errors import UnknownVideo, VideoChanged, VideoTooCostly, VideoUnavailable
from fr_video.reading import VideoFile
from fr_video.values import Footage, Look, VideoLimits

log = logging.getLogger("fr_server.video")

_TELL_S = 0.5  # between two notes of how far an analysis is


def require_decoder() -> None:
    """Raise `VideoUnavailable` if this server cannot decode videos."""
    if importlib.util.find_spec("av") is None:  # which only the decoder's process imports
        raise VideoUnavailable(message("error.video.no_decoder"))
    if (why := unavailable()) is not None:
        raise VideoUnavailable(message("error.video.no_sandbox", why=why))


class Analyses:
    """The analyses of a process.

    The frames of footage go through `engine` like items of streams: calls that people wait for go first. `limits` are
    those of a file; its analysis may take `longest_s` seconds.
    """

    def __init__(self, engine: Engine, work: Work, limits: VideoLimits, longest_s: float) -> None:
        self._engine = engine
        self._work = work
        self._limits = limits
        self._longest_s = longest_s
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, video: StoredVideo) -> None:
        """Analyze a video whose bytes are all there, for the current caller, unless that is going on; does not wait."""
        if video.video_id in self._running or self._work.draining.is_set():
            return
        task = asyncio.create_task(self._run(video))
        self._running[video.video_id] = task
        task.add_done_callback(lambda _: self._running.pop(video.video_id))

    async def _run(self, video: StoredVideo) -> None:
        with calling(current_principal()):  # the call ends before, and with it its ticket and its credential's check
            hold(Ticket(bulk=True, caller=current_sharer()))
            try:
                await self._work.footage(self._analyze, video)
            except (ShuttingDown, UnknownVideo):  # it begins again when it is asked for; or it was deleted
                pass
            except Failure as error:
                log.error("A video could not be analyzed: %s", describe(error))

    def _analyze(self, video: StoredVideo) -> None:
        with video.analyzing() as alone:
            if not alone or video.result() is not None:
                return
            try:
                result = result_of(self._followed(video))
            except (ShuttingDown, UnknownVideo, CallEnded):
                raise
            except (InputRefused, Failure) as error:
                result = refused(error)
            except Exception as error:  # noqa: BLE001 - the boundary of the job: its caller must hear of the end
                log.error("The analysis of a video failed: %s", describe(error))
                result = refused(InternalError(message("error.rpc.server_failed_call")))
            video.finish(result.SerializeToString())

    def _followed(self, video: StoredVideo) -> Footage:
        """Follow the faces of a video, and keep its tracks and their crops."""
        with VideoFile(video.footage, self._limits) as file:
            if file.sha256 != video.announced.sha256:
                raise VideoChanged(message("error.video.other_sha256"))
            footage = analyze(file, self._engine, announced_sampling(video.announced), self._watching(video))
            crops: dict[tuple[int, int], Crop] = {}
            places = {id(look): (one.number, at) for one in footage.tracks for at, look in enumerate(one.best_shots)}
            looks: list[Look] = [look for one in footage.tracks for look in one.best_shots]
            for look, crop in crops_of(file, looks):
                self._require_going_on()
                number, place = places[id(look)]
                video.put(crop_name(number, place), crop.to_png())
                crops[number, place] = Crop(crop.box, crop.pixels[:0], crop.sha256)
            file.require_unchanged()
        for one in footage.tracks:
            own = [crops[one.number, place] for place in range(len(one.best_shots))]
            video.put(track_name(one.number), stored_track(one, own).to_bytes())
        return footage

    def _watching(self, video: StoredVideo) -> Callable[[Fraction], None]:
        began = told = time.monotonic()
        frames = 0

        def on_frame(at: Fraction) -> None:
            nonlocal frames, told
            frames += 1
            self._require_going_on()
            now = time.monotonic()
            if now - began > self._longest_s:
                raise VideoTooCostly(message("error.video.analysis_too_long", limit_s=self._longest_s))
            if frames == 1 or now - told >= _TELL_S:
                told = now
                video.tell(frames, float(at))

        return on_frame

    def _require_going_on(self) -> None:
        if self._work.draining.is_set():
            raise ShuttingDown(message("error.rpc.server_shutting_down_start"))
