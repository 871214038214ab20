"""Refusals of galleries, subjects and templates."""

from fr_core.errors.base import Failure, InputRefused


class UnknownGallery(InputRefused, reason="UNKNOWN_GALLERY"):
    """There is no gallery with this id."""


class GalleryReplaced(Failure, reason="GALLERY_REPLACED"):
    """The gallery was deleted during the call, and another gallery now has its id. The call did not change that
    gallery.
    """


class UnknownSubject(InputRefused, reason="UNKNOWN_SUBJECT"):
    """The gallery has no subject with this id."""


class UnknownTemplate(InputRefused, reason="UNKNOWN_TEMPLATE"):
    """The gallery has no template with this id."""


class GalleryExists(InputRefused, reason="GALLERY_EXISTS"):
    """A gallery with this id exists already."""


class GalleryExpired(InputRefused, reason="GALLERY_EXPIRED"):
    """The gallery has expired. It accepts no enrolments and no searches."""


class DuplicateImage(InputRefused, reason="DUPLICATE_IMAGE"):
    """The gallery already holds a template of exactly this photo."""
