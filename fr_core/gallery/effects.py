"""Describes the effects of committed changes on the memories of galleries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fr_core.gallery.store.values import GalleryRow
from fr_core.types import F32


@dataclass(frozen=True, slots=True, eq=False)
class AddedVector:
    """A vector f32[D] that a change added."""

    template_id: int
    subject_no: int
    vector: F32


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """The effect of a committed change on the memory of a gallery.

    `gallery`: as the change found it; a new one as it left it.
    """

    gallery: GalleryRow
    version: int
    added: Sequence[AddedVector] = ()
    removed: Sequence[int] = ()
    deleted: bool = False

    @property
    def since(self) -> int:
        """The version of the gallery before the change; 0 = there was no such gallery."""
        return self.version - 1


def of_each_gallery(effects: Iterable[Effect]) -> dict[int, list[Effect]]:
    """Return effects by the number of their gallery, those of each in their order."""
    by_gallery: dict[int, list[Effect]] = {}
    for effect in effects:
        by_gallery.setdefault(effect.gallery.gallery_no, []).append(effect)
    return by_gallery
