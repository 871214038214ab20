"""Refusals of photos and of faces."""

from fr_core.errors.base import InputRefused


class NoFaceFound(InputRefused, reason="NO_FACE"):
    """No face was found in the photo."""


class SeveralFaces(InputRefused, reason="SEVERAL_FACES"):
    """The photo has more than one face, and the call asked for one."""


class TooManyFaces(InputRefused, reason="TOO_MANY_FACES"):
    """The photo has more faces than the limit."""


class FaceTooSmall(InputRefused, reason="TOO_SMALL"):
    """The face has too few pixels between its eyes to be enrolled."""


class LowQuality(InputRefused, reason="LOW_QUALITY"):
    """The face is too blurred, too dark, too bright, too far from frontal, or too doubtful to be enrolled."""


class Undecodable(InputRefused, reason="UNDECODABLE"):
    """The bytes are not a complete photo: empty, truncated, damaged, or not an image at all."""


class UnsupportedFormat(InputRefused, reason="UNSUPPORTED_FORMAT"):
    """The bytes are an image of a format that this server does not accept."""


class ImageTooManyBytes(InputRefused, reason="IMAGE_TOO_MANY_BYTES"):
    """The encoded photo is larger than the limit."""


class ImageTooManyPixels(InputRefused, reason="IMAGE_TOO_MANY_PIXELS"):
    """The photo has more pixels than the limit."""


class SeveralFrames(InputRefused, reason="SEVERAL_FRAMES"):
    """The file is an animation or a multi-page image."""


class ImageTooCostly(InputRefused, reason="IMAGE_TOO_COSTLY"):
    """Decoding the photo took more time or memory than the limit."""
