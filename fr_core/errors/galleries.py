"""Refusals of galleries, subjects and templates."""

from __future__ import annotations

from fr_core.errors.base import Failure, InputRefused
from fr_locales.messages import message


class UnknownGallery(InputRefused):
    """There is no gallery with this id."""

    reason = "UNKNOWN_GALLERY"
    remedy = message("remedy.unknown_gallery")


class GalleryReplaced(Failure):
    """The gallery was deleted during the call, and another gallery now has its id. The call did not change that
    gallery.
    """

    reason = "GALLERY_REPLACED"
    remedy = message("remedy.gallery_replaced")


class UnknownSubject(InputRefused):
    """The gallery has no subject with this id."""

    reason = "UNKNOWN_SUBJECT"
    remedy = message("remedy.unknown_subject")


class UnknownTemplate(InputRefused):
    """The gallery has no template with this id."""

    reason = "UNKNOWN_TEMPLATE"
    remedy = message("remedy.unknown_template")


class GalleryExists(InputRefused):
    """A gallery with this id exists already."""

    reason = "GALLERY_EXISTS"
    remedy = message("remedy.gallery_exists")


class GalleryExpired(InputRefused):
    """The gallery has expired. It accepts no enrolments and no searches."""

    reason = "GALLERY_EXPIRED"
    remedy = message("remedy.gallery_expired")


class DuplicateImage(InputRefused):
    """The gallery already holds a template of exactly this photo."""

    reason = "DUPLICATE_IMAGE"
    remedy = message("remedy.duplicate_image")
