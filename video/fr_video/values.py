"""The values of footage. Times are exact: a number of ticks (PTS), and the seconds of a tick as a fraction."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from fr_core.errors import ConfigInvalid
from fr_core.types import U8, Embedding, Quality
from fr_locales.messages import message


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits for a video file. Raises `ConfigInvalid`: a limit below 1."""

    max_bytes: int = 8 * 2**30  # of the file
    max_pixels: int = 4096 * 2160  # of a frame, width times height; the default is 4K of cinema
    max_frames: int = 200_000  # that are decoded; two hours at 25 a second are 180,000
    max_seconds: int = 7_200  # of footage, from the first frame on
    memory_mib: int = 1_536  # that the decoder may take; a frame of 4K and 10 bits has 27 MB, and H.264 may keep 16
    answer_ms: int = 30_000  # that the decoder may take for one step, of at most `STEP_FRAMES` frames

    def __post_init__(self) -> None:
        for key in ("max_bytes", "max_pixels", "max_frames", "max_seconds", "memory_mib", "answer_ms"):
            if getattr(self, key) < 1:
                raise ConfigInvalid(message("error.video.limit", key=key), key=f"video.{key}")


@dataclass(frozen=True, slots=True)
class Sampling:
    """The frames that are looked at. Every frame is decoded, since frames build on those before them.

    Raises `ConfigInvalid`: an interval that is not positive, a motion interval above the other, or motion outside of
    0 to 1.
    """

    interval: Fraction = Fraction(1)  # seconds after which a frame is taken, whatever it shows
    motion_interval: Fraction = Fraction(1, 5)  # seconds after which a frame is taken if the picture moved
    # Change of the mean luma of any block of 32 x 32 pixels against the last frame taken, as a share of white.
    # In the still footage of the tests, compression alone stays below it.
    motion: float = 0.03

    def __post_init__(self) -> None:
        if not 0 < self.motion_interval <= self.interval or not 0.0 <= self.motion <= 1.0:
            raise ConfigInvalid(message("error.video.sampling"), key="video.sampling")


EVERY_FRAME = Sampling(Fraction(1, 10**9), Fraction(1, 10**9), 0.0)


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """The facts of the first video stream, as its container states them; None where it states nothing."""

    container: str  # FFmpeg's name of the demultiplexer, such as "mov,mp4,m4a,3gp,3g2,mj2"
    codec: str  # FFmpeg's name of the codec, such as "h264"
    width: int  # pixels, as stored, before the rotation
    height: int  # pixels
    pixel_format: str  # FFmpeg's name, such as "yuv420p"
    time_base: Fraction  # seconds of one tick of the stream
    start_pts: int | None  # ticks at which the stream begins
    duration_ticks: int | None  # length of the stream in ticks
    average_rate: Fraction | None  # frames for each second
    sample_aspect_ratio: Fraction | None  # width of a pixel by its height; frames are not stretched by it
    decoder: str  # versions of PyAV, libavcodec and libswscale


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded frame."""

    number: int  # its place among the decoded frames in the order of presentation, from 0
    pts: int  # presentation time in ticks
    time: Fraction  # seconds after the beginning of the stream, exact
    rotation: int  # degrees by which the stored frame was turned anticlockwise to be upright: 0, 90, 180 or 270
    pixels: U8  # u8[H, W, 3], RGB, upright, read-only
    sha256: str  # of the bytes of `pixels`, row by row, 64 hexadecimal digits


class Ended(StrEnum):
    """The reason why reading ended."""

    WHOLE = "WHOLE"  # every frame was read
    EARLY = "EARLY"  # the file ends at least a second and two frames before the length that its container states
    DAMAGED = "DAMAGED"  # what follows is damaged
    BROKE_DECODER = "BROKE_DECODER"  # what follows crashed the decoder, or made it give impossible answers
    TOO_COSTLY = "TOO_COSTLY"  # what follows takes more time or memory than the limit
    MAX_FRAMES = "MAX_FRAMES"  # `VideoLimits.max_frames` were decoded
    MAX_SECONDS = "MAX_SECONDS"  # `VideoLimits.max_seconds` were decoded


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a reading, and its extent."""

    why: Ended
    decoded: int  # frames
    read_until: Fraction | None  # seconds of the last frame before the end; None where there was no frame
    # Stretches that were left out because of damage, in seconds: the frames at both ends are sound. In order. The
    # first begins where the stream does, or is of one tick if its end is not after that: its length is not known.
    gaps: tuple[tuple[Fraction, Fraction], ...]
    # Of `decoded`, those without a presentation time, or with one that is not after that of the frame before; left out.
    untimed: int


Box = tuple[float, float, float, float]
"""Left, top, right, bottom, pixels of the upright frame; may reach beyond it."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The place of a face in a frame."""

    number: int  # of the frame, as `Frame.number`
    pts: int  # of the frame
    time: Fraction  # of the frame, seconds
    box: Box
    quality_score: float  # in [0, 1], 1 is best


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A face in a frame, with everything that a search and a proof of the frame need."""

    at: Sighting
    rotation: int  # of the frame, degrees
    frame_sha256: str  # of the frame
    quality: Quality
    embedding: Embedding


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face, followed through frames: at most one face of each frame.

    The tracker may be wrong: an ID switch puts two people into one track.
    """

    number: int  # from 1, in the order of their first frame
    sightings: tuple[Sighting, ...]  # in the order of time, at least one
    # Number of seconds of footage that the template rests on: frames of one second are one look, for they show the
    # same expression, pose and light, and are no further evidence.
    independent_looks: int
    best_shots: tuple[Look, ...]  # the best face of each of the best seconds, best first; at least one
    # The quality-weighted mean of the best face of each second, of length 1. A face with a reason against its quality
    # counts only if every face has one.
    template: Embedding

    @property
    def best(self) -> Look:
        """Return the best single look."""
        return self.best_shots[0]


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """A video file, and the faces that were followed through it."""

    sha256: str  # of the file, 64 hexadecimal digits
    size_bytes: int
    facts: StreamFacts
    sampling: Sampling
    ending: Ending
    frames_looked_at: int
    model: str  # id of the model that made the templates
    tracks: tuple[Track, ...]


def fitness(look: Look) -> tuple[float, float, float]:
    """Order looks: by quality; of equal quality, by how frontal they are, then by pixels between the eyes."""
    quality = look.quality
    return quality.score, -abs(quality.yaw) - abs(quality.pitch), quality.inter_eye_px
