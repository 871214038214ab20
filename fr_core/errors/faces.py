"""Refusals of faces."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class NoFaceFound(InputRefused):
    """No face was found in the photo."""

    reason = "NO_FACE"
    remedy = "Send a photo in which a face can be seen from the front, upright and unobstructed."


class SeveralFaces(InputRefused):
    """The photo has more than one face, and the call asked for one."""

    reason = "SEVERAL_FACES"
    remedy = "Crop the photo to one face, or ask for the largest face."


class TooManyFaces(InputRefused):
    """The photo has more faces than the limit."""

    reason = "TOO_MANY_FACES"
    remedy = "Cut the photo into several, or raise `images.max_faces` of the server."


class FaceTooSmall(InputRefused):
    """The face has too few pixels between its eyes to be enrolled."""

    reason = "TOO_SMALL"
    remedy = "Send a photo with more pixels on the face, or lower `quality.min_inter_eye_px` of the server."


class LowQuality(InputRefused):
    """The face is too blurred, too dark, too bright, too far from frontal, or too doubtful to be enrolled."""

    reason = "LOW_QUALITY"
    remedy = "Send a sharper, evenly lit, frontal photo, or lower the limits under `quality` of the server."
