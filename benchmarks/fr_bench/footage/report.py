"""Reports a measurement of footage: its figures beside their bars, its tables, and its JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add

from fr_bench.footage.against import PROBES, Against
from fr_bench.footage.follow import Clip
from fr_bench.footage.truth import Followed
from fr_bench.speed.page import Page, machine_text
from fr_bench.speed.values import Conditions, EngineSettings, Held
from fr_bench.values import Bar
from fr_core.runtime.devices import ActiveDevice
from fr_core.scoring.intervals import Rate, rate

_BARS = {
    "tracks_found": Bar(0.95, at_least=True),
    "id_switches_per_20_tracks": Bar(1.0, at_least=False),
    "rank1_of_mean_minus_best": Bar(0.0, at_least=True),
    "times_real_time": Bar(1.0, at_least=True),
}
_RANDOM, _BEST, _MEAN = range(len(PROBES))  # places in `VideoReport.against`


@dataclass(frozen=True, slots=True)
class VideoReport:
    """Footage that was followed, and photos that were searched with its tracks."""

    name: str
    conditions: Conditions
    settings: EngineSettings
    device: ActiveDevice
    clips: tuple[Clip, ...]
    quiet: Clip | None  # the footage for the bar of speed; None for a data set
    gallery_size: int  # photos, one for each person
    against: tuple[Against, ...]  # of the tracks of `clips`; the first as `PROBES` has them

    @property
    def followed(self) -> Followed:
        """Return the figures of all clips together."""
        return reduce(add, (clip.followed for clip in self.clips))

    @property
    def figures(self) -> dict[str, float | None]:
        """Return the figures that have a bar; None where there is no such footage."""
        all_of = self.followed
        return {
            "tracks_found": all_of.found / all_of.appearances,
            "id_switches_per_20_tracks": 20 * all_of.id_switches / all_of.tracks,
            "rank1_of_mean_minus_best": self.against[_MEAN].rank1.value - self.against[_BEST].rank1.value,
            "times_real_time": None if self.quiet is None else self.quiet.times_real_time,
        }


def video_page(report: VideoReport, *, decides: bool = False) -> Page:
    """Return the figures beside their bars, which may decide the exit status."""
    settings, device = report.settings, report.device
    lines = [
        *machine_text(report.conditions),
        f"Pack {settings.pack}, device {device.active} (asked for: {device.requested}), {device.runtime}, "
        f"precision {device.precision}, detection {settings.detection}",
        f"Each track searches {report.gallery_size} photos, one for each person, at the threshold of the pack. "
        "Intervals of 95 % treat searches as independent, although one person has several tracks.",
    ]
    held = [Held(name, value, _BARS[name], decides) for name, value in report.figures.items() if value is not None]
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", f"video-{report.name}-{device.active}-{device.precision}")
    tables = [list(_clips(report)), list(_tracks(report)), list(_against(report))]
    told = {**report.figures, "command": "video", **asdict(report), "followed": asdict(report.followed)}
    return Page(stem, f"fr bench video: {report.name}", lines, tables, held, told)


def _clips(report: VideoReport) -> Iterator[tuple[str, ...]]:
    yield "footage", "seconds", "frames", "looked at", "frames/s", "frames/s per core", "x real time", "other load"
    for clip in (*report.clips, *([] if report.quiet is None else [report.quiet])):
        load = "" if clip.other_load is None else f"{clip.other_load:.0%}"
        speeds = f"{clip.frames_per_s:.1f}", f"{clip.frames_per_core_s:.1f}", f"{clip.times_real_time:.2f}"
        yield clip.name, f"{clip.seconds:.1f}", f"{clip.frames}", f"{clip.looked_at}", *speeds, load


def _tracks(report: VideoReport) -> Iterator[tuple[str, ...]]:
    yield "tracks", "value", "95 % interval"
    one = report.followed
    shares = {
        "appearances found (a track follows half of the frames with a clear face, or more)": (
            one.found,
            one.appearances,
        ),
        "appearances missed": (one.appearances - one.found, one.appearances),
        "clear faces missed": (one.misses, one.objects),
        "tracks of more than one person": (one.mixed, one.tracks),
        "ID switches, for each clear face": (one.id_switches, one.objects),
    }
    for name, (count, total) in shares.items():
        share = rate(min(count, total), total)
        yield name, f"{share.value:.4f} ({count} of {total})", f"{share.interval.low:.4f} .. {share.interval.high:.4f}"
    yield "tracks; ID switches for 20 of them", f"{one.tracks}; {20 * one.id_switches / one.tracks:.2f}", ""
    yield "sightings of no known face, or of one with a track of its own", f"{one.false_positives}", ""
    yield "MOTA", f"{one.mota:.4f}", ""


def _against(report: VideoReport) -> Iterator[tuple[str, ...]]:
    yield "search with", "searches", "rank 1", "FNMR", "FMR", "FPIR"
    for row in report.against:
        yield row.probe, f"{row.rank1.total}", *map(_rate_text, (row.rank1, row.fnmr, row.fmr, row.fpir))


def _rate_text(share: Rate) -> str:
    form = ".2e" if 0 < share.value < 1e-3 or share.interval.high < 1e-3 else ".4f"
    return f"{share.value:{form}} ({share.interval.low:{form}} .. {share.interval.high:{form}})"
