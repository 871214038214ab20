"""Refusals of video files."""

from typing import ClassVar

from fr_core.errors import FrError
from fr_locales.messages import Message, message


class VideoError(FrError):
    """A video file, or a list of leads from one, cannot be used.

    `code` names the refusal, as `fr video` prints it; `reason` is for answers of the API, and stays empty.
    """

    code: ClassVar[str] = "VIDEO_UNUSABLE"


class VideoUnreadable(VideoError):
    """The file is not a video in a known container, or it is damaged before its first frame."""

    code = "VIDEO_UNREADABLE"
    remedy: ClassVar[Message | None] = message("remedy.video.unreadable")


class VideoUnsupported(VideoError):
    """The video has a codec that is not decoded here, or no picture at all."""

    code = "VIDEO_UNSUPPORTED"
    remedy = message("remedy.video.unsupported")


class VideoTooLarge(VideoError):
    """The file has more bytes, or its frames more pixels, than the limit."""

    code = "VIDEO_TOO_LARGE"
    remedy = message("remedy.video.too_large")


class VideoTooCostly(VideoError):
    """Decoding took more time or memory than the limit before the first frame."""

    code = "VIDEO_TOO_COSTLY"
    remedy = message("remedy.video.too_costly")


class VideoChanged(VideoError):
    """The file was changed while it was read."""

    code = "VIDEO_CHANGED"
    remedy = message("remedy.video.changed")


class LeadsInvalid(VideoError):
    """A file is not a list of leads from `fr video --json`."""

    code = "LEADS_INVALID"
    remedy = message("remedy.video.leads_invalid")


class EncodingFailed(VideoError):
    """The redacted copy could not be encoded."""

    code = "ENCODING_FAILED"
    remedy = message("remedy.video.encoding_failed")


class RedactionFailed(VideoError):
    """The redacted copy cannot be made, or still shows a face that must be covered."""

    code = "REDACTION_FAILED"
    remedy = message("remedy.video.redaction_failed")


class StreamUnreadable(VideoError):
    """A live stream cannot be played: its server refuses it, or sends what is not decoded here."""

    code = "STREAM_UNREADABLE"
    remedy = message("remedy.video.stream_unreadable")
