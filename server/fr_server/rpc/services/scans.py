"""Calls that go through a whole gallery, a step at a time: a call that ends in between takes no further step."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TypeVar

from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import ShuttingDown, message
from fr_core.gallery.scan.blocks import Progress
from fr_core.gallery.scan.clusters import Cluster, ClusterSteps, clusters
from fr_core.gallery.scan.duplicates import DuplicatePair, DuplicateSteps, duplicates
from fr_core.gallery.values import GalleryRef
from fr_core.runtime.ticket import current_ticket
from fr_locales.rendering import render
from fr_server.pools import Work
from fr_server.rpc.convert.common import NOTICE

# Templates of one message, some 150 bytes each.
_MEMBERS = 1000


def progress_message(progress: Progress, threshold: float) -> pb.ScanProgress:
    """Build the message that says how far a scan has come."""
    return pb.ScanProgress(
        searched=progress.searched,
        total=progress.total,
        gallery_version=progress.gallery_version,
        threshold=threshold,
        exhaustive=progress.exhaustive,
        notice=render(NOTICE),
    )


def pair_message(pair: DuplicatePair) -> pb.DuplicatePair:
    """Build the message of a pair."""
    return pb.DuplicatePair(
        subject_a=pair.subject_a,
        template_a=pair.template_a,
        subject_b=pair.subject_b,
        template_b=pair.template_b,
        similarity=pair.similarity,
    )


def cluster_messages(cluster: Cluster) -> Iterator[pb.Cluster]:
    """Build the messages of a cluster: one, or more where it is large."""
    for start in range(0, len(cluster.members), _MEMBERS):
        yield pb.Cluster(
            number=cluster.number,
            size=len(cluster.members),
            cohesion=cluster.cohesion,
            members=[
                pb.ClusterMember(
                    template_id=member.template_id, subject_id=member.subject_id, similarity=member.similarity
                )
                for member in cluster.members[start : start + _MEMBERS]
            ],
        )


Step = TypeVar("Step")


class Scans:
    """Runs the scans of a process, one step at a time, until `work` drains; their callers take turns."""

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
                for part in cluster_messages(cluster):
                    yield pb.ClusterGalleryResponse(cluster=part)

    async def _steps(self, steps: Iterator[Step]) -> AsyncIterator[Step]:
        while (step := await self._work.scan(self._step, steps)) is not None:
            yield step

    def _step(self, steps: Iterator[Step]) -> Step | None:
        current_ticket().require_wanted()
        if self._work.draining.is_set():
            raise ShuttingDown(message("error.rpc.server_shutting_down_start"))
        return next(steps, None)
