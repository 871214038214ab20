"""Refusals of galleries, and of what is in them."""

from __future__ import annotations

from fr_core.errors.base import Failure, InputRefused


class UnknownGallery(InputRefused):
    """There is no gallery of that id."""

    reason = "UNKNOWN_GALLERY"
    remedy = "List the galleries, or create this one first; or it is not in your key's scope, which WhoAmI tells."


class GalleryReplaced(Failure):
    """The gallery was deleted during the call, and another one now has its id; the call did nothing in that one."""

    reason = "GALLERY_REPLACED"
    remedy = "Check the gallery that has the id now (GetGallery), then call again."


class UnknownSubject(InputRefused):
    """The gallery holds no subject of that id."""

    reason = "UNKNOWN_SUBJECT"
    remedy = "List the subjects of the gallery."


class UnknownTemplate(InputRefused):
    """The gallery holds no template of that id."""

    reason = "UNKNOWN_TEMPLATE"
    remedy = "Get the subject to see its templates."


class GalleryExists(InputRefused):
    """A gallery of that id exists already."""

    reason = "GALLERY_EXISTS"
    remedy = "Choose another id, or use the gallery that exists."


class GalleryExpired(InputRefused):
    """The gallery has reached its end, and takes no enrolments and searches."""

    reason = "GALLERY_EXPIRED"
    remedy = "Give it a later end with UpdateGallery, or none, if its purpose still holds; else delete it."


class DuplicateImage(InputRefused):
    """The gallery already holds a template of exactly this photo."""

    reason = "DUPLICATE_IMAGE"
    remedy = "Nothing needs to be done; delete the earlier template first to enrol the photo elsewhere."
