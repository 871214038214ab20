"""Refusals of galleries, subjects and templates."""

from fr_core.errors.base import Failure, InputRefused


class UnknownGallery(InputRefused):
    """There is no gallery with this id."""

    reason = "UNKNOWN_GALLERY"


class GalleryReplaced(Failure):
    """The gallery was deleted during the call, and another gallery now has its id. The call did not change that
    gallery.
    """

    reason = "GALLERY_REPLACED"


class UnknownSubject(InputRefused):
    """The gallery has no subject with this id."""

    reason = "UNKNOWN_SUBJECT"


class UnknownTemplate(InputRefused):
    """The gallery has no template with this id."""

    reason = "UNKNOWN_TEMPLATE"


class GalleryExists(InputRefused):
    """A gallery with this id exists already."""

    reason = "GALLERY_EXISTS"


class GalleryExpired(InputRefused):
    """The gallery has expired. It accepts no enrolments and no searches."""

    reason = "GALLERY_EXPIRED"


class DuplicateImage(InputRefused):
    """The gallery already holds a template of exactly this photo."""

    reason = "DUPLICATE_IMAGE"
