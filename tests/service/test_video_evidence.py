"""Footage as evidence: a track is the probe of a case's examination, and the bundle proves its frame."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_api.v1 import audit_pb2, gallery_pb2, review_pb2
from fr_api.v1 import video_pb2 as pb
from fr_locales.rendering import render
from fr_server.commands.evidence_footage import ProbeFound, compare, sentences
from fr_trust.casework.footage import CitedFrame, cited_frame
from fr_trust.evidence.verify_footage import footage_probes
from support.callers import BLUES, PROBE, Staffed, in_case, reason_of, staffed
from support.cli import fr
from support.footage import LOSSLESS, Scene, at_rate, encode, remuxed, texture
from support.video_calls import actor, analyzed, footage, tracks

SECONDS, RATE = 2.2, Fraction(25)
# Coarse, so that every place looks different, and the file stays small.
WALL = np.kron(texture((18, 12)), np.ones((20, 20, 1), np.uint8))


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("proved")) as made:
        made.gallery("wanted")
        yield made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage(tmp_path_factory.mktemp("footage") / "one.mp4", seconds=SECONDS, background=WALL)


def searched(
    at: Staffed, case_id: str, video_id: str, track: int = 1, place: int = 1
) -> review_pb2.SearchInCaseResponse:
    shot = pb.VideoShot(video_id=video_id, track=track, place=place)
    search = gallery_pb2.SearchRequest(gallery_id="wanted")
    request = review_pb2.SearchInCaseRequest(case_id=case_id, search=search, shot=shot)
    return at.operator.review.SearchInCase(request)


@pytest.fixture(scope="module")
def bundle(at: Staffed, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evidence of a case in which two shots of a track were searched for."""
    case_id, video = at.operator.opens("AZ footage"), analyzed(at.operator, file.read_bytes())
    for place in (1, 2):
        searched(at, case_id, video.video_id, place=place)
    path = tmp_path_factory.mktemp("bundle") / "case.zip"
    path.write_bytes(at.operator.exports(case_id, unfinished=True))
    return path


def verified(bundle: Path, *files: Path) -> tuple[int, dict[str, Any]]:
    words = [word for one in files for word in ("--footage", str(one))]
    status, printed, _ = fr("evidence", "verify", bundle, *words, "--json")
    return status, json.loads(printed)


def test_the_probe_is_the_crop_and_the_case_notes_its_frame(at: Staffed, file: Path) -> None:
    case_id, video = at.operator.opens("AZ noted"), analyzed(at.operator, file.read_bytes())
    examination_id = searched(at, case_id, video.video_id).examination.examination_id
    shot = tracks(at.operator, video.video_id, crops=True)[0].best_shots[0]
    examination = at.stores.cases.examination(examination_id)
    cited = cited_frame(examination.searched.derivations)
    assert examination.probe == shot.crop.data
    assert cited is not None
    assert (cited.sha256, cited.pts, cited.frame_sha256) == (video.sha256, shot.sighting.pts, shot.frame_sha256)
    assert (cited.crop_sha256, cited.decoder, cited.size_bytes) == (
        shot.crop_sha256,
        video.facts.decoder,
        file.stat().st_size,
    )
    assert "4_similarity_matrix" in examination.searched.derivations
    request = audit_pb2.SearchAuditRequest(chain="access", action="review.search_in_case", outcome="OK")
    record = json.loads(at.auditor.audit.SearchAudit(request).records[-1].json)
    assert (record["detail"]["case_id"], record["detail"]["video_sha256"]) == (case_id, video.sha256)


def test_the_case_keeps_its_probe_when_the_video_is_deleted(at: Staffed, tmp_path: Path) -> None:
    path = footage(tmp_path / "two.mp4", actor(BLUES[1]))
    case_id, video = at.operator.opens("AZ kept"), analyzed(at.operator, path.read_bytes())
    examination_id = searched(at, case_id, video.video_id).examination.examination_id
    at.operator.video.DeleteVideo(pb.DeleteVideoRequest(video_id=video.video_id))
    assert at.stores.cases.examination(examination_id).probe.startswith(b"\x89PNG")
    assert reason_of(lambda: searched(at, case_id, video.video_id)) == "UNKNOWN_VIDEO"


@pytest.mark.parametrize(("track", "place"), [(0, 1), (2, 1), (1, 0), (1, 9)])
def test_a_shot_that_is_not_there_is_refused(at: Staffed, file: Path, track: int, place: int) -> None:
    case_id, video = at.operator.opens(f"AZ {track} {place}"), analyzed(at.operator, file.read_bytes())
    assert reason_of(lambda: searched(at, case_id, video.video_id, track, place)) == "INVALID_FIELD"


def test_a_search_has_a_photo_or_a_shot(at: Staffed, file: Path) -> None:
    case_id, video = at.operator.opens("AZ both"), analyzed(at.operator, file.read_bytes())
    request = in_case(case_id, "wanted", PROBE)
    request.shot.CopyFrom(pb.VideoShot(video_id=video.video_id, track=1, place=1))
    assert reason_of(lambda: at.operator.review.SearchInCase(request)) == "INVALID_FIELD"


def test_control_the_footage_itself_holds(bundle: Path, file: Path) -> None:
    status, said = verified(bundle, file)
    probes = said["footage"]["probes"]
    assert status == 0
    assert [one["folder"] for one in probes] == ["examinations/01", "examinations/02"]
    assert all((one["proof"], one["same_file"], one["same_probe"]) == ("SAME", True, True) for one in probes)


def test_without_its_footage_the_bundle_says_that_frames_are_unchecked(bundle: Path, tmp_path: Path) -> None:
    status, printed, _ = fr("evidence", "verify", bundle)
    assert (status, "--footage" in printed) == (0, True)


def pictures() -> Iterator[tuple[Fraction, Any]]:
    scene = Scene((actor(BLUES[0]),), (360, 240), WALL)
    return ((time, scene.draw(float(time))) for time in at_rate(RATE, SECONDS))


def with_frame_changed(path: Path, cited: CitedFrame, _: Path) -> Path:
    def changed() -> Iterator[tuple[Fraction, Any]]:
        for number, (time, picture) in enumerate(pictures()):
            if number == cited.frame:
                picture[0, 0] ^= 1
            yield time, picture

    return encode(path, changed(), **LOSSLESS)


def with_time_shifted(path: Path, *_: object) -> Path:
    return encode(path, ((time + (time > 0) * Fraction(1, 100), picture) for time, picture in pictures()), **LOSSLESS)


def with_frame_cut_out(path: Path, cited: CitedFrame, _: Path) -> Path:
    return encode(path, (one for number, one in enumerate(pictures()) if number != cited.frame), **LOSSLESS)


def with_frame_put_before(path: Path, cited: CitedFrame, _: Path) -> Path:
    def more() -> Iterator[tuple[Fraction, Any]]:
        for number, (time, picture) in enumerate(pictures()):
            if number == cited.frame:
                yield time - Fraction(1, 50), picture ^ 1
            yield time, picture

    return encode(path, more(), **LOSSLESS)


def of_another_person(path: Path, *_: object) -> Path:
    return footage(path, actor(BLUES[2], 80), seconds=SECONDS, background=WALL)


def with_bytes_added(path: Path, _: CitedFrame, file: Path) -> Path:
    path.write_bytes(file.read_bytes() + b"\0\0\0\x08free")
    return path


def with_other_ticks(path: Path, _: CitedFrame, file: Path) -> Path:
    return remuxed(file, path, video_track_timescale="1000")


@pytest.mark.parametrize(
    ("change", "proofs"),
    [
        (with_frame_changed, {"CHANGED"}),
        (with_time_shifted, {"SHIFTED"}),
        (with_frame_cut_out, {"MISSING"}),
        (with_frame_put_before, {"SHIFTED"}),
        (of_another_person, {"CHANGED"}),
        (with_bytes_added, {"SAME"}),
        (with_other_ticks, {"SAME"}),
    ],
)
def test_another_file_is_named_and_so_is_what_changed_in_its_frames(
    at: Staffed,
    bundle: Path,
    file: Path,
    tmp_path: Path,
    change: Callable[[Path, CitedFrame, Path], Path],
    proofs: set[str],
) -> None:
    shot = tracks(at.operator, analyzed(at.operator, file.read_bytes()).video_id)[0].best_shots[0]
    probes = list(footage_probes(bundle))
    cited = probes[0].cited
    assert cited.frame == shot.sighting.frame
    altered = change(tmp_path / "altered.mp4", cited, file)
    found = compare(probes, [altered])
    assert (found.holds, found.other_files) == (False, (str(altered),))
    probe = found.probes[0]
    assert probe.proof in proofs
    assert probe.same_probe or probe.proof != "SAME"
    printed = [render(one) for one in sentences(found)]
    assert "is another file" in printed[0]
    assert printed[1].startswith(f"examinations/01: frame {cited.frame} at ")


def test_the_command_says_which_file_is_another(bundle: Path, file: Path, tmp_path: Path) -> None:
    cited = next(footage_probes(bundle)).cited
    altered = with_bytes_added(tmp_path / "altered.mp4", cited, file)
    status, said = verified(bundle, altered)
    assert (status, said["footage"]["other_files"]) == (1, [str(altered)])
    status, printed, _ = fr("evidence", "verify", bundle, "--footage", altered)
    assert (status, f"examinations/01: frame {cited.frame} at " in printed, "is another file" in printed) == (
        1,
        True,
        True,
    )


OTHER = "0" * 64


NOTES: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "SAME", True),
    ({"crop_sha256": OTHER}, "SAME", False),
    ({"crop": (0, 0, 10, 10)}, "SAME", False),
    ({"crop": (-5, 0, 10_000, 10)}, "SAME", False),
    ({"frame_sha256": OTHER}, "CHANGED", True),
    ({"pts": 7}, "SHIFTED", False),
    ({"time_base": Fraction(1, 1000)}, "SHIFTED", True),
    ({"time_s": 1.5}, "SHIFTED", True),
    ({"frame": 3}, "SHIFTED", True),
]


@pytest.fixture(scope="module")
def compared(bundle: Path, file: Path) -> dict[str, ProbeFound]:
    """The results for all `NOTES`, by their numbers."""
    first = next(footage_probes(bundle))
    noted = [replace(first.cited, **change) for change, _, _ in NOTES]
    found = compare([replace(first, folder=str(n), cited=cited) for n, cited in enumerate(noted)], [file])
    return {one.folder: one for one in found.probes}


@pytest.mark.parametrize("number", range(len(NOTES)), ids=[", ".join(change) or "none" for change, _, _ in NOTES])
def test_a_note_of_another_frame_does_not_hold(compared: dict[str, ProbeFound], number: int) -> None:
    change, proof, same_probe = NOTES[number]
    found = compared[str(number)]
    assert (found.proof, found.same_probe, found.holds) == (proof, same_probe, not change)


def test_a_probe_that_is_not_from_the_frame_does_not_hold(bundle: Path, file: Path) -> None:
    first = next(footage_probes(bundle))
    for photo in (PROBE, b"no photo"):
        (found,) = compare([replace(first, probe=photo)], [file]).probes
        assert (found.proof, found.same_probe, found.holds) == ("SAME", False, False)


def test_notes_of_another_form_are_refused() -> None:
    cited = CitedFrame(OTHER, 1, 0, "h264", "PyAV", "1", 2, 3, Fraction(1, 4), 0.5, 90, OTHER, "", (1, 2, 3, 4), OTHER)
    said = cited.to_derivations()
    assert cited_frame(said) == cited
    assert cited_frame({"1_decoded": "png"}) is None
    for name in said:
        for text in ("", "x", "1e9999", "\N{ARABIC-INDIC DIGIT ONE}"):
            if name.removeprefix("0_footage_") not in ("container", "decoder", "track", "box_px"):
                with pytest.raises(ValueError):
                    cited_frame({**said, name: text})
        with pytest.raises(ValueError, match="other derivations"):
            cited_frame({other: text for other, text in said.items() if other != name})
