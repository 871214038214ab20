"""Made footage of people of LFW who were not used for tuning: tracks, ID switches, and the rank of the right person."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fr_bench.footage.made import Filming, cast_of
from fr_bench.footage.report import video_page
from fr_bench.footage.run import MadeOrder, bench_made, follow_quiet, shows_one_face
from fr_bench.speed.engine import opened_engine
from fr_bench.speed.values import EngineSettings
from fr_core.engine import Engine
from fr_core.packs.cache import ModelCache
from support.counts import NIGHTLY, count

pytestmark = [pytest.mark.models, pytest.mark.slow]

SETTINGS = EngineSettings(device="auto", detection="fast")


def test_people_are_followed_and_found_in_every_recording(testdata: Path, pack_cache: ModelCache) -> None:
    """By day few people, for a short time, in small pictures; at night the footage of `fr bench video`."""
    people = count("FOOTAGE_PEOPLE")
    filming = Filming(people) if NIGHTLY else Filming(people, 12.0, (1280, 720))
    order = MadeOrder(testdata / "lfw" / "images", filming, strangers=500 if NIGHTLY else 30)
    report = bench_made(order, SETTINGS, print)
    page = video_page(report)
    print(page.markdown("fr bench video"))  # noqa: T201 - the figures of `make test-nightly`
    figures = report.figures
    assert report.followed.appearances == len(report.clips) * 2 * people
    assert (figures["tracks_found"] or 0) >= 0.95
    assert (figures["id_switches_per_20_tracks"] or 0) <= 1
    assert report.followed.mixed == 0
    _, best, mean = report.against[:3]
    assert mean.rank1.count >= best.rank1.count
    assert mean.rank1.value > 0.85
    assert report.quiet is not None
    assert (report.quiet.followed.found, report.quiet.followed.tracks) == (3, 3)


@pytest.fixture
def engine(pack_cache: ModelCache) -> Iterator[Engine]:
    with opened_engine(SETTINGS) as opened:
        yield opened


@pytest.mark.alone
@pytest.mark.nightly
def test_full_hd_of_three_faces_is_read_faster_than_it_was_filmed(
    tmp_path: Path, testdata: Path, engine: Engine
) -> None:
    cast = cast_of(testdata / "lfw" / "images", 3, fits=partial(shows_one_face, engine))
    clip = follow_quiet(engine, cast, Filming(3), tmp_path, np.random.default_rng(1))
    print(  # noqa: T201 - the figures
        f"1920 x 1080, {clip.frames} frames of 25 a second: {clip.frames_per_s:.1f} frames/s, {clip.looked_at} looked "
        f"at; {clip.frames_per_core_s:.1f} frames/s of a core; other load {clip.other_load}"
    )
    assert (clip.frames, clip.looked_at, clip.followed.tracks) == (500, 100, 3)
    assert clip.times_real_time >= 1
