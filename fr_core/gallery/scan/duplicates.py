"""Duplicates: templates of different subjects that are so similar that both may be of one person."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fr_core.gallery.scan.blocks import Cursor, Progress, Scanner, older_near
from fr_core.gallery.values import GalleryRef


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two templates of different subjects: a lead for a human examiner."""

    subject_a: str  # whose the older template is
    template_a: int
    subject_b: str  # whose the newer template is
    template_b: int
    similarity: float  # of both, in [-1, 1]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The duplicates that a block of a scan found."""

    # By the newer template, then best first; a template with very many has them in several steps.
    pairs: tuple[DuplicatePair, ...]
    progress: Progress
    cursor: Cursor | None  # where to go on; None after the last block


class DuplicateSteps(Protocol):
    """Galleries that find duplicates block by block, in this process or another."""

    def duplicates_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Duplicates:
        """Return the pairs of the next block of templates."""


def duplicates(steps: DuplicateSteps, gallery: GalleryRef, threshold: float) -> Iterator[Duplicates]:
    """Yield the pairs of a gallery, each once, while it is searched; see `Galleries.duplicates`."""
    cursor: Cursor | None = None
    while True:
        found = steps.duplicates_after(gallery, threshold, cursor)
        yield found
        cursor = found.cursor
        if cursor is None:
            return


def duplicates_after(scanner: Scanner, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Duplicates:
    """Return the pairs whose newer template is of the next block; see `Galleries.duplicates_after`."""
    with scanner.block(gallery, cursor, older_near(threshold)) as (snapshot, block):
        near = block.near
        newer, own = near.template_ids[near.rows], block.owners[near.rows]
        # Only the newer of two tells of their pair: so it comes once, and the older was there to be found.
        found = np.flatnonzero(block.others != own)
        subject_ids = snapshot.subject_ids(np.union1d(block.others[found], own[found]))
        pairs = tuple(
            DuplicatePair(
                subject_ids[int(block.others[n])],
                int(near.ids[n]),
                subject_ids[int(own[n])],
                int(newer[n]),
                float(near.similarities[n]),
            )
            for n in found
        )
    return Duplicates(pairs, block.progress, block.cursor)
