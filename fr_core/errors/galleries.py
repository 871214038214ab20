"""Refusals of galleries, subjects and templates."""

from __future__ import annotations

from fr_core.errors.base import Failure, InputRefused


class UnknownGallery(InputRefused):
    """There is no gallery with this id."""

    reason = "UNKNOWN_GALLERY"
    remedy = "List the galleries, or create this one. Your key's scope may not include it; WhoAmI shows the scope."


class GalleryReplaced(Failure):
    """The gallery was deleted during the call, and another gallery now has its id. The call did not change that
    gallery.
    """

    reason = "GALLERY_REPLACED"
    remedy = "Check the gallery that has the id now (GetGallery), then call again."


class UnknownSubject(InputRefused):
    """The gallery has no subject with this id."""

    reason = "UNKNOWN_SUBJECT"
    remedy = "List the subjects of the gallery."


class UnknownTemplate(InputRefused):
    """The gallery has no template with this id."""

    reason = "UNKNOWN_TEMPLATE"
    remedy = "Get the subject to see its templates."


class GalleryExists(InputRefused):
    """A gallery with this id exists already."""

    reason = "GALLERY_EXISTS"
    remedy = "Choose another id, or use the gallery that exists."


class GalleryExpired(InputRefused):
    """The gallery has expired. It accepts no enrolments and no searches."""

    reason = "GALLERY_EXPIRED"
    remedy = "If it is still needed, set a later expiry, or none, with UpdateGallery; otherwise delete it."


class DuplicateImage(InputRefused):
    """The gallery already holds a template of exactly this photo."""

    reason = "DUPLICATE_IMAGE"
    remedy = "Nothing needs to be done; delete the earlier template first to enrol the photo elsewhere."
