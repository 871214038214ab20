"""Gives a front-end the models and galleries of the engine's process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np

from fr_core.detect.protocol import TileFaces
from fr_core.gallery.search.searching import Ask
from fr_core.gallery.values import Found, GalleryRef
from fr_core.runtime.ticket import current_ticket
from fr_core.types import F32, U8, AlignedFace
from fr_server.storage.calls import AuditCalls, GalleryCalls
from fr_server.workers.link_client import Asker
from fr_server.workers.messages import AUDIT_METHODS, GALLERY_METHODS


class RemoteTileDetector:
    """A `TileDetector` whose tiles wait for their turn with those of all front-ends.

    Args:
        tile_shapes: (height, width) of the tiles that the model takes, the smallest first.
    """

    def __init__(self, asker: Asker, tile_shapes: tuple[tuple[int, int], ...]) -> None:
        self.tile_shapes = tile_shapes
        self._asker = asker

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`; raises what `Asker.pictures` raises."""
        parts = self._asker.pictures("detector", tiles, current_ticket())
        return [faces for part in parts for faces in part.unpacked()]


class RemoteRawEmbedder:
    """A `RawEmbedder` whose faces wait for their turn with those of all front-ends."""

    def __init__(self, asker: Asker, size: int) -> None:
        self.size = size
        self._asker = asker

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`; raises what `Asker.pictures` raises."""
        parts = self._asker.pictures("embedder", [face.pixels for face in faces], current_ticket())
        return np.concatenate(parts) if parts else np.empty((0, self.size), np.float32)


class RemoteGalleries(GalleryCalls, AuditCalls, Protocol):
    """The galleries of the engine's process, with their audit; see `remote_galleries`."""


def remote_galleries(asker: Asker) -> RemoteGalleries:
    """Return galleries whose methods run in the engine's process.

    The audit names the caller of this process for every change. Methods take positional arguments only.
    """
    return cast("RemoteGalleries", _Remote(asker))


class _Remote:
    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    def search_as(self, gallery: GalleryRef, ask: Ask) -> Found:
        """Let `ask` decide in this process, then search exactly the gallery that it has seen."""
        info = self.asker.gallery("get", gallery)
        asked = ask(info)
        found: Found = self.asker.gallery("search", info, *asked.arguments)
        return found

    def close(self) -> None:
        """Do nothing: the engine's process closes the galleries."""


def _asking(method: str) -> Callable[..., Any]:
    def call(self: _Remote, *arguments: object) -> Any:
        return self.asker.gallery(method, *arguments)

    return call


for _method in GALLERY_METHODS | AUDIT_METHODS:
    setattr(_Remote, _method, _asking(_method))
