"""Refusals of photos."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class Undecodable(InputRefused):
    """The bytes are not a complete photo: empty, truncated, damaged, or not an image at all."""

    reason = "UNDECODABLE"
    remedy = "Send the complete bytes of one photo, as the camera or the editor wrote them."


class UnsupportedFormat(InputRefused):
    """The bytes are an image of a format that this server does not accept."""

    reason = "UNSUPPORTED_FORMAT"
    remedy = "Convert the photo to JPEG, PNG or WebP, or add the format to `images.formats` of the server."


class ImageTooManyBytes(InputRefused):
    """The encoded photo is larger than the limit."""

    reason = "IMAGE_TOO_MANY_BYTES"
    remedy = "Send a smaller file, or raise `images.max_bytes` of the server."


class ImageTooManyPixels(InputRefused):
    """The photo has more pixels than the limit."""

    reason = "IMAGE_TOO_MANY_PIXELS"
    remedy = "Scale the photo down, or raise `images.max_pixels` of the server."


class SeveralFrames(InputRefused):
    """The file is an animation or a multi-page image."""

    reason = "SEVERAL_FRAMES"
    remedy = "Send one frame as a separate photo."


class ImageTooCostly(InputRefused):
    """Decoding the photo took more time or memory than the limit."""

    reason = "IMAGE_TOO_COSTLY"
    remedy = "Save the photo again with an ordinary editor, or raise the limits in `isolation` of the server."
