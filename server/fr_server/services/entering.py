"""The way into a gallery, for every call that learns of persons in it or acts on what the gallery is."""

from __future__ import annotations

from typing import Any

from fr_core.gallery.values import GalleryInfo
from fr_server.access.stating import require_stated
from fr_server.services.gallery_calls import GalleryCalls


def entered(galleries: GalleryCalls, request: Any) -> GalleryInfo:
    """Return the gallery that a request names, once the request has said what its rule asks for; blocks.

    What the call does next names the gallery by what is returned here: so it is done in this one, or refused.

    Args:
        galleries: have it.
        request: with a `gallery_id`, of the current call or the part of it that names the gallery.

    Raises:
        UnknownGallery: there is no gallery of that id.
        PurposeRequired, InvalidField, NotPermitted: as `require_stated`.
    """
    info = galleries.get(request.gallery_id)
    require_stated(request, info)
    return info
