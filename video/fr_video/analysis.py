"""Analyzes footage: sends decoded frames through the pipeline for photos, several at a time, then to the tracker."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from typing import TypeVar

from fr_core.engine import Engine, available_cores
from fr_core.types import Image
from fr_video.reading import VideoFile
from fr_video.tracking import Tracker, appearance_of
from fr_video.values import Footage, Frame, Sampling

T = TypeVar("T")


def analyze(
    video: VideoFile,
    engine: Engine,
    sampling: Sampling | None = None,
    on_frame: Callable[[Fraction], None] = lambda time: None,
) -> Footage:
    """Follow the faces of a video file, for the call whose context this thread has (`fr_core.runtime.ticket`).

    Args:
        video: the open file.
        engine: finds and embeds the faces; its calibration tells the tracker what a similarity means.
        sampling: which frames are looked at; None = the defaults.
        on_frame: called with the time of each frame that was analyzed, in seconds; what it raises ends the analysis.

    Raises:
        VideoError: as `Reading`; and `VideoChanged`, if the file was written to meanwhile.
        TooManyFaces: a frame has more faces than the limit of the engine's pipeline.
    """
    sampling = sampling or Sampling()
    tracker, looked_at = Tracker(appearance_of(engine.calibration)), 0
    with video.sampled(sampling) as reading:
        for frame, photo in worked(reading, engine.pipeline.analyze_image):
            tracker.add(frame, photo.faces)
            looked_at += 1
            on_frame(frame.time)
        assert reading.ending is not None  # its frames are exhausted
        facts, ending = reading.facts, reading.ending
    video.require_unchanged()
    model = str(engine.pipeline.model)
    return Footage(video.sha256, video.size_bytes, facts, sampling, ending, looked_at, model, tracker.tracks())


def worked(frames: Iterable[Frame], work: Callable[[Image], T]) -> Iterator[tuple[Frame, T]]:
    """Yield each frame with what a function of its picture returns, in the order of the frames; a few are in work."""
    waiting: deque[tuple[Frame, Future[T]]] = deque()
    at_once = available_cores()
    with ThreadPoolExecutor(at_once, "footage") as workers:
        for frame in frames:
            image = Image(frame.pixels, frame.sha256)
            within = contextvars.copy_context().run
            waiting.append((frame, workers.submit(within, work, image)))
            if len(waiting) > at_once:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
