"""Calls that go through a whole gallery, a step at a time: a call that ends in between takes no further step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TypeVar

from fr_api.v1 import gallery_pb2
from fr_core.errors import ShuttingDown
from fr_core.gallery.scan.clusters import ClusterSteps, clusters
from fr_core.gallery.scan.duplicates import DuplicateSteps, duplicates
from fr_core.gallery.values import GalleryRef
from fr_server.convert.scans import cluster_messages, pair_message, progress_message
from fr_server.work import Work

Step = TypeVar("Step")


class Scans:
    """Runs the scans of a process, one step at a time however many there are: other calls wait for one pass at most.

    Args:
        work: runs the steps, and ends the scans when it drains.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._turn = asyncio.Lock()  # here, and not only in the core: who waits for a turn must hold no thread

    async def duplicates(
        self, galleries: DuplicateSteps, gallery: GalleryRef, threshold: float
    ) -> AsyncIterator[gallery_pb2.FindDuplicatesResponse]:
        """Yield the pairs of each step, and before the first and after each how far the search has come."""
        begun = False
        async for step in self._steps(duplicates(galleries, gallery, threshold)):
            if not begun:
                begun = True
                beginning = progress_message(replace(step.progress, searched=0), threshold)
                yield gallery_pb2.FindDuplicatesResponse(progress=beginning)
            for pair in step.pairs:
                yield gallery_pb2.FindDuplicatesResponse(pair=pair_message(pair))
            yield gallery_pb2.FindDuplicatesResponse(progress=progress_message(step.progress, threshold))

    async def clusters(
        self, galleries: ClusterSteps, gallery: GalleryRef, threshold: float
    ) -> AsyncIterator[gallery_pb2.ClusterGalleryResponse]:
        """Yield how far the search has come after each of its steps, then the clusters."""
        async for step in self._steps(clusters(galleries, gallery, threshold)):
            if step.progress is not None:
                yield gallery_pb2.ClusterGalleryResponse(progress=progress_message(step.progress, threshold))
            for cluster in step.clusters:
                for message in cluster_messages(cluster):
                    yield gallery_pb2.ClusterGalleryResponse(cluster=message)

    async def _steps(self, steps: Iterator[Step]) -> AsyncIterator[Step]:
        while True:
            async with self._turn:
                if self._work.draining.is_set():
                    raise ShuttingDown("The server is shutting down; begin the search anew when it is back.")
                step = await self._work.storage(next, steps, None)
            if step is None:
                return
            yield step
