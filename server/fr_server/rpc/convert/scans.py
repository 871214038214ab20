"""Messages of the calls that go through a whole gallery, to and from values."""

from __future__ import annotations

from collections.abc import Iterator

from fr_api.v1 import gallery_pb2 as pb
from fr_core.gallery.scan.blocks import Progress
from fr_core.gallery.scan.clusters import Cluster
from fr_core.gallery.scan.duplicates import DuplicatePair
from fr_server.rpc.convert.notice import NOTICE

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
        notice=NOTICE,
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
