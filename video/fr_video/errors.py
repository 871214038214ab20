"""Refusals of video files."""

from typing import ClassVar

from fr_core.errors.base import InputRefused
from fr_locales.messages import message


class VideoError(InputRefused):
    """A video file, or a list of leads from one, cannot be used."""


class VideoUnreadable(VideoError, reason="VIDEO_UNREADABLE"):
    """The file is not a video in a known container, or it is damaged before its first frame."""


class VideoUnsupported(VideoError, reason="VIDEO_UNSUPPORTED"):
    """The video has a codec that is not decoded here, or no picture at all."""


class VideoTooLarge(VideoError, reason="VIDEO_TOO_LARGE"):
    """The file has more bytes, or its frames more pixels, than the limit."""


class VideoTooCostly(VideoError, reason="VIDEO_TOO_COSTLY"):
    """Reading or analyzing the video took more time or memory than the limit."""


class VideoChanged(VideoError, reason="VIDEO_CHANGED"):
    """The file was changed while it was read, or has another SHA-256 than announced."""


class VideoUnavailable(VideoError, reason="VIDEO_UNAVAILABLE"):
    """This server cannot decode videos: its decoder is not installed, or the system has no sandbox for it."""


class UnknownVideo(VideoError, reason="UNKNOWN_VIDEO"):
    """The caller has no video with this id."""


class VideoIncomplete(VideoError, reason="VIDEO_INCOMPLETE"):
    """The bytes do not continue those that the server has, or the analysis of the video has not ended."""


class TooManyVideos(VideoError, reason="TOO_MANY_VIDEOS"):
    """The caller has as many videos on the server as the limit allows."""


class StreamUnreadable(VideoError, reason="STREAM_UNREADABLE"):
    """A live stream cannot be played: its server refuses it, or sends what is not decoded here."""


class WatchNotAllowed(VideoError, reason="WATCH_NOT_ALLOWED"):
    """This server's configuration does not allow, or no longer allows, watching the stream with the gallery."""


class StreamWatched(VideoError, reason="STREAM_WATCHED"):
    """Another call is watching the stream, on this server or on another one."""


class WithoutReason(VideoError):
    """An error that only commands report; it has a code in place of a reason."""

    code: ClassVar[str] = "VIDEO_UNUSABLE"


class LeadsInvalid(WithoutReason):
    """A file is not a list of leads from `fr video --json`."""

    code = "LEADS_INVALID"
    remedy = message("remedy.video.leads_invalid")


class EncodingFailed(WithoutReason):
    """The redacted copy could not be encoded."""

    code = "ENCODING_FAILED"
    remedy = message("remedy.video.encoding_failed")


class RedactionFailed(WithoutReason):
    """The redacted copy still shows a face that must be covered, or lacks frames of the original."""

    code = "REDACTION_FAILED"
    remedy = message("remedy.video.redaction_failed")


class CopyRefused(RedactionFailed):
    """The redacted copy cannot have this name, or another run is making it."""

    remedy = message("remedy.video.copy_refused")
