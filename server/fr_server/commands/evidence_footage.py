"""`fr evidence verify --footage`: cuts the probes of a bundle out of their footage again, and compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from fr_core.errors import FrError
from fr_core.imaging import ImageLimits
from fr_core.imaging.decode import decode_pixels
from fr_locales.messages import Message, message
from fr_server.commands.reporting import CommandFailed
from fr_trust.casework.footage import CitedFrame
from fr_trust.evidence.verify_footage import FootageProbe
from fr_video.crops import CropBox, crop_hashes_at, sha256_of
from fr_video.reading import VideoFile
from fr_video.verify import Cited, CitedFile, Proof, ProvenFrame, verify


@dataclass(frozen=True, slots=True)
class ProbeFound:
    """The result for one probe; `proof` is None if no file was given for it."""

    folder: str  # of the examination in the bundle
    footage_sha256: str  # that the bundle cites
    frame: int
    time_s: float
    same_file: bool
    proof: str | None  # of the frame, as `Proof`
    found_frame: int | None  # where the file has its pixels; None if nowhere
    found_s: float | None
    same_probe: bool  # whether the probe is what the frame shows at the noted place

    @property
    def holds(self) -> bool:
        """Return true if the file, the frame, its time and the probe are those that the bundle cites."""
        return self.same_file and self.proof == Proof.SAME and self.same_probe


@dataclass(frozen=True, slots=True)
class FootageFound:
    """The result of comparing a bundle with footage."""

    probes: tuple[ProbeFound, ...]
    other_files: tuple[str, ...]  # paths of files that the bundle does not cite
    other_decoder: bool  # the frames were hashed with another version, which may give other pixels

    @property
    def holds(self) -> bool:
        """Return true if every probe holds, and no file is another one."""
        return not self.other_files and all(one.holds for one in self.probes)


def compare(probes: Sequence[FootageProbe], files: Sequence[Path]) -> FootageFound:
    """Compare the probes of a bundle with footage; a file that it does not cite is compared too, as altered footage.

    Raises `CommandFailed`: the decoder is not installed; `VideoError`; `OSError`.
    """
    found = {one.folder: _unchecked(one) for one in probes}
    others, other_decoder = [], False
    for path in files:
        try:
            video = VideoFile(path)
        except ModuleNotFoundError as error:
            needed = "The decoder of video files is missing; in a clone of FR Core: pip install '.[video]'."
            raise CommandFailed("VIDEO_UNAVAILABLE", needed) from error
        with video:
            own = [one for one in probes if one.cited.sha256 == video.sha256]
            if not own:
                others.append(str(path))
                own = [one for one in probes if found[one.folder].proof is None]
            for alike in _by_source(own):
                told, decoder = _compared(alike, video)
                found |= told
                other_decoder |= not decoder
    return FootageFound(tuple(found.values()), tuple(others), other_decoder)


def sentences(found: FootageFound) -> Iterator[Message]:
    """Yield the results in words."""
    if not found.probes:
        yield message("evidence.no_footage")
    for path in found.other_files:
        yield message("evidence.footage_other", path=path)
    for one in found.probes:
        yield _sentence(one)
        if one.proof == Proof.SAME and not one.same_probe:
            yield message("evidence.crop_other", folder=one.folder)
    if found.other_decoder:
        yield message("evidence.footage_decoder")


def _sentence(one: ProbeFound) -> Message:
    folder, frame, time = one.folder, one.frame, _s(one.time_s)
    if one.proof is None:
        return message("evidence.footage_unchecked", folder=folder, sha256=one.footage_sha256)
    if one.proof == Proof.SAME:
        return message("evidence.frame_same", folder=folder, frame=frame, time=time)
    if one.proof == Proof.CHANGED:
        return message("evidence.frame_changed", folder=folder, frame=frame, time=time)
    if one.found_frame is None or one.found_s is None:
        return message("evidence.frame_missing", folder=folder, frame=frame, time=time)
    found, number = _s(one.found_s), one.found_frame
    return message("evidence.frame_shifted", folder=folder, frame=frame, time=time, found=found, number=number)


def _s(seconds: float) -> str:
    return f"{seconds:.6f}"


def _unchecked(one: FootageProbe) -> ProbeFound:
    cited = one.cited
    return ProbeFound(one.folder, cited.sha256, cited.frame, cited.time_s, False, None, None, None, False)


def _by_source(probes: Iterable[FootageProbe]) -> Iterable[list[FootageProbe]]:
    """Return the probes of each file, decoder and time base: a pass through the footage compares them all."""
    found: dict[tuple[str, str, Fraction], list[FootageProbe]] = {}
    for one in probes:
        found.setdefault((one.cited.sha256, one.cited.decoder, one.cited.time_base), []).append(one)
    return found.values()


def _compared(probes: Sequence[FootageProbe], video: VideoFile) -> tuple[dict[str, ProbeFound], bool]:
    """Return the results for probes of one source by folder, and whether the decoder has the version of the bundle."""
    of = probes[0].cited
    noted = [one.cited for one in probes]
    frames = tuple(Cited(1, one.frame, one.pts, one.time_s, one.frame_sha256) for one in noted)
    proven = verify(CitedFile(of.sha256, of.decoder, of.time_base, frames), video)
    boxes: dict[int, list[CropBox]] = {}
    for cited, told in zip(noted, proven.frames, strict=True):
        boxes.setdefault(_shown_at(cited, told), []).append(cited.crop)
    crops = crop_hashes_at(video, boxes)

    def found(one: FootageProbe, told: ProvenFrame) -> ProbeFound:
        crop = crops.get((_shown_at(one.cited, told), one.cited.crop))
        return _found(one, video, told, crop is not None and crop == one.cited.crop_sha256 == _pixels_sha256(one.probe))

    return {one.folder: found(one, told) for one, told in zip(probes, proven.frames, strict=True)}, proven.same_decoder


def _shown_at(cited: CitedFrame, told: ProvenFrame) -> int:
    """Return the time, in ticks of the file, of the frame that is to show the probe."""
    return cited.pts if told.found_pts is None or told.proof is not Proof.SAME else told.found_pts


def _found(one: FootageProbe, video: VideoFile, told: ProvenFrame, same_probe: bool) -> ProbeFound:
    cited = one.cited
    return ProbeFound(
        one.folder,
        cited.sha256,
        cited.frame,
        cited.time_s,
        video.sha256 == cited.sha256,
        told.proof.value,
        told.found_number,
        told.found_s,
        same_probe,
    )


def _pixels_sha256(photo: bytes) -> str | None:
    """Return the SHA-256 of the pixels of a photo; None if it cannot be decoded."""
    try:
        return sha256_of(decode_pixels(photo, ImageLimits()))
    except FrError:
        return None
