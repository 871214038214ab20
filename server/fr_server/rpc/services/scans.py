"""Calls that go through a whole gallery, a step at a time: a call that ends in between takes no further step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TypeVar

from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import ShuttingDown
from fr_core.gallery.scan.clusters import ClusterSteps, clusters
from fr_core.gallery.scan.duplicates import DuplicateSteps, duplicates
from fr_core.gallery.values import GalleryRef
from fr_core.runtime.ticket import current_ticket
from fr_server.pools import Work
from fr_server.rpc.convert.scans import cluster_messages, pair_message, progress_message

Step = TypeVar("Step")


class Scans:
    """Runs the scans of a process, one step at a time; their callers take turns.

    Args:
        work: runs the steps, and ends the scans when it drains.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    async def duplicates(
        self, galleries: DuplicateSteps, gallery: GalleryRef, threshold: float
    ) -> AsyncIterator[pb.FindDuplicatesResponse]:
        """Yield the pairs of each step, and before the first and after each how far the search has come."""
        begun = False
        async for step in self._steps(duplicates(galleries, gallery, threshold)):
            if not begun:
                begun = True
                beginning = progress_message(replace(step.progress, searched=0), threshold)
                yield pb.FindDuplicatesResponse(progress=beginning)
            for pair in step.pairs:
                yield pb.FindDuplicatesResponse(pair=pair_message(pair))
            yield pb.FindDuplicatesResponse(progress=progress_message(step.progress, threshold))

    async def clusters(
        self, galleries: ClusterSteps, gallery: GalleryRef, threshold: float
    ) -> AsyncIterator[pb.ClusterGalleryResponse]:
        """Yield how far the search has come after each of its steps, then the clusters."""
        async for step in self._steps(clusters(galleries, gallery, threshold)):
            if step.progress is not None:
                yield pb.ClusterGalleryResponse(progress=progress_message(step.progress, threshold))
            for cluster in step.clusters:
                for message in cluster_messages(cluster):
                    yield pb.ClusterGalleryResponse(cluster=message)

    async def _steps(self, steps: Iterator[Step]) -> AsyncIterator[Step]:
        while (step := await self._work.scan(self._step, steps)) is not None:
            yield step

    def _step(self, steps: Iterator[Step]) -> Step | None:
        current_ticket().require_wanted()
        if self._work.draining.is_set():
            raise ShuttingDown("The server is shutting down; start the search again when it is back.")
        return next(steps, None)
