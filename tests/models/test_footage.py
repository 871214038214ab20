"""Made footage of people of LFW who were not used for tuning: tracks, ID switches, and the rank of the right person."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fr_bench.footage.made import Filming, cast_of, quiet_scene
from fr_bench.footage.report import video_page
from fr_bench.footage.run import MadeOrder, bench_made, follow_quiet, shows_one_face
from fr_bench.speed.engine import opened_engine
from fr_bench.speed.values import EngineSettings
from fr_client import Client
from fr_core.engine import Engine, EngineOptions
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_server.commands.evidence_footage import compare
from fr_trust.evidence.verify_footage import footage_probes
from support.counts import NIGHTLY, count
from support.engines import Memory
from support.footage import at_rate, film
from support.servers import running

pytestmark = [pytest.mark.models, pytest.mark.slow]

SETTINGS = EngineSettings(device="auto", detection="fast")


# Of the people with several photos, `cast_of` leaves the first and each third after out, and films the others.
SEVERAL = ("Abdullah_Gul", "Abel_Pacheco", "George_Papandreou", "Hu_Jintao", "Mitchell_Daniels")


@pytest.fixture(scope="module")
def people(testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of LFW's people; by day one of few, since all who could be filmed are looked at."""
    everybody = testdata / "lfw" / "images"
    if NIGHTLY:
        return everybody
    few = tmp_path_factory.mktemp("few")
    strangers = [folder.name for folder in sorted(everybody.iterdir()) if len([*folder.iterdir()]) == 1]
    for name in (*SEVERAL, *strangers[:: len(strangers) // 30]):
        (few / name).symlink_to(everybody / name)
    return few


@pytest.mark.usefixtures("remembering")
def test_people_are_followed_and_found_in_every_recording(people: Path) -> None:
    """By day few people, for a short time, in small pictures; at night the footage of `fr bench video`."""
    filmed = count("FOOTAGE_PEOPLE")
    filming = Filming(filmed) if NIGHTLY else Filming(filmed, 8.0, (960, 540))
    order = MadeOrder(people, filming, strangers=500 if NIGHTLY else 30)
    report = bench_made(order, SETTINGS, print)
    page = video_page(report)
    print(page.markdown("fr bench video"))  # noqa: T201 - the figures of `make test-nightly`
    figures = report.figures
    assert report.followed.appearances >= len(report.clips) * 2 * filmed  # some are covered for long
    assert (figures["tracks_found"] or 0) >= 0.95
    assert (figures["id_switches_per_20_tracks"] or 0) <= 1
    assert report.followed.mixed <= report.followed.tracks / 100
    _, best, mean = report.against[:3]
    assert mean.rank1.count >= best.rank1.count
    assert mean.rank1.value > 0.85
    assert report.quiet is not None
    assert (report.quiet.followed.found, report.quiet.followed.tracks) == (3, 3)


@pytest.fixture
def engine(pack_cache: ModelCache, memory: Memory) -> Engine:
    return memory.open(load_pack("buffalo_s"), pack_cache, EngineOptions(detection="fast"))


@pytest.mark.alone
@pytest.mark.nightly
def test_full_hd_of_three_faces_is_read_faster_than_it_was_filmed(
    tmp_path: Path, people: Path, pack_cache: ModelCache
) -> None:
    with opened_engine(SETTINGS) as engine:
        cast = cast_of(people, 3, fits=partial(shows_one_face, engine))
        clip = follow_quiet(engine, cast, Filming(3), tmp_path, np.random.default_rng(1))
    print(  # noqa: T201 - the figures
        f"1920 x 1080, {clip.frames} frames of 25 a second: {clip.frames_per_s:.1f} frames/s, {clip.looked_at} looked "
        f"at; {clip.frames_per_core_s:.1f} frames/s of a core; other load {clip.other_load}"
    )
    assert (clip.frames, clip.looked_at, clip.followed.tracks) == (500, 100, 3)
    assert clip.times_real_time >= 1


def test_a_server_finds_the_people_of_footage(tmp_path: Path, people: Path, engine: Engine) -> None:
    cast = cast_of(people, 3, fits=partial(shows_one_face, engine))
    scene = quiet_scene(cast[:1], (640, 480))
    path = film(tmp_path / "a.mp4", scene, at_rate(Fraction(10), 4.0))
    with (
        running(tmp_path / "data", engine=lambda config: engine, model={"detection": "fast"}) as server,
        Client(server.address) as fr,
    ):
        fr.create_gallery("people", use="test")
        for one in cast:
            fr.enrol("people", one.name, one.enrolled, several_faces="largest")
        video = fr.video.analyze(path)
        assert video.track_count >= 1
        for leads in fr.video.search(video.video_id, "people", [1], probe="mean").leads:
            assert leads.found.results[0].candidates[0].subject_id == cast[0].name
        case = fr.review.open_case("AZ 1", "testing")
        kept = fr.review.search_footage(case.case_id, "people", video.video_id, 1)
        assert kept.found.results[0].candidates[0].subject_id == cast[0].name
        bundle = tmp_path / "case.zip"
        bundle.write_bytes(b"".join(fr.review.evidence_parts(case.case_id, include_unfinished=True)))
    (found,) = compare(list(footage_probes(bundle)), [path]).probes
    assert found.holds
