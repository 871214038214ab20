"""VideoService over a real server: footage arrives in pieces, is analyzed, searched for and deleted."""

import hashlib
import io
import json
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_api.v1 import audit_pb2, common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2
from fr_api.v1 import video_pb2 as pb
from fr_server.rpc.convert.video import sampling_of
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Role
from fr_video.reading import VideoFile
from support.callers import BLUES, Caller, Staffed, reason_of, staffed
from support.counts import NIGHTLY
from support.faults import until
from support.servers import GatedDetector, refusal_of
from support.video_calls import actor, analyzed, announced, chunks, footage, sent, state, tracks

INVESTIGATION = common_pb2.PURPOSE_INVESTIGATION


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("filmed"), video={"max_mib": 1, "per_caller": 1000}) as made:
        made.gallery("wanted")
        made.gallery("practice", operational=False)
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Footage of two people of the galleries."""
    path = tmp_path_factory.mktemp("footage") / "two.mp4"
    return footage(path, actor(BLUES[0], 50), actor(BLUES[2], 280, 60, -20)).read_bytes()


def folder(at: Staffed) -> Path:
    return Path(at.server.app.config.gallery.folder) / "footage"


def search(at: Staffed, video_id: str, *numbers: int, gallery: str = "practice", **more: Any) -> pb.SearchTracksRequest:
    return pb.SearchTracksRequest(
        video_id=video_id, tracks=numbers, search=gallery_pb2.SearchRequest(gallery_id=gallery, **more)
    )


def test_footage_becomes_tracks_with_a_candidate_list_each(at: Staffed, data: bytes) -> None:
    video = analyzed(at.operator, data)
    assert (video.state, video.track_count, video.sha256) == (
        pb.VIDEO_STATE_ANALYZED,
        2,
        hashlib.sha256(data).hexdigest(),
    )
    assert (video.facts.codec, video.facts.width, video.reading.end) == ("h264", 360, pb.VIDEO_END_WHOLE)
    assert video.received_bytes == video.size_bytes == len(data)
    for track in tracks(at.operator, video.video_id, crops=True):
        face = recognition_pb2.Probe(image=track.best_shots[0].crop)
        enrol = gallery_pb2.EnrolRequest(gallery_id="practice", subject_id=f"of track {track.track}", face=face)
        at.operator.gallery.Enrol(enrol)
    for probe, looks in ((pb.TRACK_PROBE_MEAN, 3), (pb.TRACK_PROBE_BEST_SHOT, 1)):
        request = search(at, video.video_id, 2, 1)
        request.probe = probe
        found = at.operator.video.SearchTracks(request).leads
        best = {one.track: one.found.results[0].candidates[0] for one in found}
        assert [one.track for one in found] == [2, 1]
        assert {number: one.subject_id for number, one in best.items()} == {1: "of track 1", 2: "of track 2"}
        assert all(one.similarity > 0.99 for one in best.values())
        assert all(one.independent_looks == looks and not one.found.HasField("error_rates") for one in found)


def test_a_caller_lists_their_own_videos_the_newest_first(at: Staffed, data: bytes) -> None:
    caller, other = (at.caller(Role.OPERATOR, number=number) for number in (21, 22))
    first, second = (announced(caller, data + more).video_id for more in (b"1", b"2"))
    at.clock.ahead_ms += 1_000
    third = announced(caller, data + b"3").video_id
    listed = caller.video.ListVideos(pb.ListVideosRequest()).videos
    assert (listed[0].video_id, {one.video_id for one in listed[1:]}) == (third, {first, second})
    assert list(listed) == [state(caller, one.video_id) for one in listed]
    assert not other.video.ListVideos(pb.ListVideosRequest()).videos
    caller.video.DeleteVideo(pb.DeleteVideoRequest(video_id=third))
    assert third not in {one.video_id for one in caller.video.ListVideos(pb.ListVideosRequest()).videos}


@pytest.mark.parametrize("damaged", [b"", b"\0" * 200])
def test_a_damaged_result_hides_no_other_video_and_can_be_deleted(at: Staffed, data: bytes, damaged: bytes) -> None:
    bad, good = (analyzed(at.operator, data + salt).video_id for salt in (b"bad" + damaged, b""))
    (folder(at) / bad / "result").write_bytes(damaged)

    def listed() -> dict[str, pb.Video]:
        return {one.video_id: one for one in at.operator.video.ListVideos(pb.ListVideosRequest()).videos}

    found = listed()
    assert found[good].state == pb.VIDEO_STATE_ANALYZED
    assert found[bad].state == pb.VIDEO_STATE_REFUSED
    assert refused_for(found[bad].refusal) == "STORE_CORRUPT"
    for call in (lambda: state(at.operator, bad), lambda: tracks(at.operator, bad)):
        assert reason_of(call) == "STORE_CORRUPT"
    at.operator.video.DeleteVideo(pb.DeleteVideoRequest(video_id=bad))
    assert listed().keys() == found.keys() - {bad}


def test_a_crop_is_the_part_of_the_frame_that_it_says(at: Staffed, data: bytes, tmp_path: Path) -> None:
    video = analyzed(at.operator, data)
    path = tmp_path / "footage.mp4"
    path.write_bytes(data)
    for track in tracks(at.operator, video.video_id, crops=True):
        for shot in track.best_shots:
            crop, box = np.asarray(PIL.Image.open(io.BytesIO(shot.crop.data))), shot.crop_box
            with VideoFile(path) as file, file.frames_at([shot.sighting.pts]) as reading:
                (frame,) = [one for one in reading if one.pts == shot.sighting.pts]
            assert frame.sha256 == shot.frame_sha256
            assert (crop == frame.pixels[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]).all()
            assert hashlib.sha256(crop.tobytes()).hexdigest() == shot.crop_sha256
    assert not any(shot.HasField("crop") for one in tracks(at.operator, video.video_id) for shot in one.best_shots)


def test_nothing_of_the_footage_stays_in_the_clear(at: Staffed, data: bytes) -> None:
    video = analyzed(at.operator, data)
    own = folder(at) / video.video_id
    assert (own.stat().st_mode & 0o777, own.parent.stat().st_mode & 0o777) == (0o700, 0o700)
    kept = {path.name: path.read_bytes() for path in own.iterdir()}
    assert "footage" not in kept
    assert not any(b"PNG" in one or data[1000:1064] in one for one in kept.values())
    at.operator.video.DeleteVideo(pb.DeleteVideoRequest(video_id=video.video_id))
    assert not own.exists()
    assert reason_of(lambda: state(at.operator, video.video_id)) == "UNKNOWN_VIDEO"


@settings(max_examples=200 if NIGHTLY else 3, deadline=None)
@given(cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 90_000)), max_size=4), salt=st.binary(max_size=40))
def test_an_upload_that_breaks_anywhere_goes_on_where_it_was(
    at: Staffed, data: bytes, cuts: list[tuple[float, int]], salt: bytes
) -> None:
    """Each attempt ends within a chunk, or begins with bytes that the server has; the whole file must arrive."""
    whole = data + b"\0\0\0\x08free" + salt  # another file each time
    seldom = pb.VideoSampling(interval_s=10)
    video = announced(at.operator, whole, sampling=seldom)
    for share, size in cuts:
        last = int(share * len(whole))
        sends = chunks(video.video_id, whole, max(0, video.received_bytes - size), size)
        some = islice(sends, 300)  # of one byte each, all would take long
        list(at.operator.video.AnalyzeVideo(one for one in some if one.offset < last))
        again = announced(at.operator, whole, sampling=seldom)
        assert again.video_id == video.video_id
        assert again.received_bytes >= video.received_bytes
        video = again
    if video.received_bytes < len(whole):
        list(at.operator.video.AnalyzeVideo(chunks(video.video_id, whole, video.received_bytes)))
    until(lambda: state(at.operator, video.video_id).state != pb.VIDEO_STATE_ANALYZING)
    assert state(at.operator, video.video_id).track_count == 2


def test_bytes_that_do_not_fit_are_refused_and_say_where_to_go_on(at: Staffed, data: bytes) -> None:
    other = data + b"\0\0\0\x10free-fit"
    video = announced(at.operator, other)
    list(at.operator.video.AnalyzeVideo(iter([next(chunks(video.video_id, other, size=1000))])))
    sends = [
        pb.AnalyzeVideoRequest(item_id="gap", video_id=video.video_id, offset=2000, data=b"x"),
        pb.AnalyzeVideoRequest(item_id="long", video_id=video.video_id, offset=1000, data=bytes(len(other))),
        pb.AnalyzeVideoRequest(item_id="empty", video_id=video.video_id, offset=1000),
        pb.AnalyzeVideoRequest(item_id="whose", video_id="0" * 32, offset=0, data=b"x"),
        pb.AnalyzeVideoRequest(item_id="where", video_id="../../etc", offset=0, data=b"x"),
    ]
    answers = {one.item_id: one.refusal for one in at.operator.video.AnalyzeVideo(iter(sends))}
    assert answers["gap"].metadata["received_bytes"] == "1000"
    reasons = {name: refused_for(one) for name, one in answers.items()}
    assert reasons == {
        "gap": "VIDEO_INCOMPLETE",
        "long": "VIDEO_TOO_LARGE",
        "empty": "MISSING_FIELD",
        "whose": "UNKNOWN_VIDEO",
        "where": "UNKNOWN_VIDEO",
    }
    assert state(at.operator, video.video_id).received_bytes == 1000
    assert reason_of(lambda: tracks(at.operator, video.video_id)) == "VIDEO_INCOMPLETE"


def refused_for(refusal: common_pb2.Refusal) -> str:
    return error_reason_pb2.ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")


@pytest.mark.parametrize("harm", ["noise", "text", "cut", "altered"])
def test_hostile_files_are_refused_or_read_as_far_as_they_are_sound(at: Staffed, data: bytes, harm: str) -> None:
    rng = np.random.default_rng(7)
    hostile = {
        "noise": rng.bytes(20_000),
        "text": b"#!/bin/sh\nrm -rf /\n" * 100,
        "cut": data[: len(data) // 2],
        "altered": data[:3000] + rng.bytes(2000) + data[5000:],
    }[harm]
    video = analyzed(at.operator, hostile)
    if harm in ("noise", "text"):
        assert video.state == pb.VIDEO_STATE_REFUSED
        assert refused_for(video.refusal) == "VIDEO_UNREADABLE"
    elif video.state == pb.VIDEO_STATE_ANALYZED:
        assert video.reading.end != pb.VIDEO_END_WHOLE or video.reading.gaps
    assert not (folder(at) / video.video_id / "footage").exists()


def test_other_bytes_than_announced_are_refused(at: Staffed, data: bytes) -> None:
    video = announced(at.operator, data[:-1] + bytes([data[-1] ^ 1]))
    list(at.operator.video.AnalyzeVideo(chunks(video.video_id, data)))
    until(lambda: state(at.operator, video.video_id).state == pb.VIDEO_STATE_REFUSED)
    assert refused_for(state(at.operator, video.video_id).refusal) == "VIDEO_CHANGED"
    again = announced(at.operator, data[:-1] + bytes([data[-1] ^ 1]))
    assert (again.state, again.received_bytes) == (pb.VIDEO_STATE_RECEIVING, 0)
    assert reason_of(lambda: state(at.operator, video.video_id)) == "UNKNOWN_VIDEO"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size_bytes": 2**20 + 1}, "VIDEO_TOO_LARGE"),
        ({"size_bytes": 0}, "INVALID_FIELD"),
        ({"sha256": "A" * 64}, "INVALID_FIELD"),
        ({"sampling": pb.VideoSampling(interval_s=float("nan"))}, "INVALID_FIELD"),
        ({"sampling": pb.VideoSampling(interval_s=1, motion_interval_s=2)}, "INVALID_FIELD"),
        ({"sampling": pb.VideoSampling(interval_s=-1)}, "INVALID_FIELD"),
    ],
)
def test_announcements_beyond_the_limits_are_refused(at: Staffed, change: dict[str, Any], reason: str) -> None:
    sent = {"sha256": "a" * 64, "size_bytes": 100, **change}
    assert reason_of(lambda: at.operator.video.CreateVideo(pb.CreateVideoRequest(**sent))) == reason


@pytest.mark.parametrize(
    ("sent", "taken"), [(5e-324, Fraction(1, 10**6)), (4e-7, Fraction(1, 10**6)), (0.25, Fraction(1, 4)), (0, 1)]
)
def test_an_interval_is_never_longer_than_asked_for(sent: float, taken: Fraction) -> None:
    sampling = sampling_of(pb.CreateVideoRequest(sampling=pb.VideoSampling(interval_s=sent)))
    assert (sampling.interval, sampling.motion_interval) == (taken, min(taken, Fraction(1, 5)))
    sampling = sampling_of(pb.CreateVideoRequest(sampling=pb.VideoSampling(motion_interval_s=sent)))
    assert sampling.motion_interval == (taken if sent else Fraction(1, 5))


def test_a_caller_has_a_limited_number_of_videos(tmp_path: Path) -> None:
    with staffed(tmp_path, video={"per_caller": 2}) as at:
        first, _ = announced(at.operator, b"1"), announced(at.operator, b"2")
        refused = refusal_of(lambda: announced(at.operator, b"3"))
        assert (refused.info.reason, refused.retry) == ("TOO_MANY_VIDEOS", None)
        assert refused.status.message.endswith("Delete one that you no longer need, or wait until one expires.")
        assert announced(at.operator, b"1").video_id == first.video_id
        at.operator.video.DeleteVideo(pb.DeleteVideoRequest(video_id=first.video_id))
        announced(at.operator, b"3")


def test_a_video_ends_at_its_time(tmp_path: Path, data: bytes) -> None:
    with staffed(tmp_path) as at:
        video = analyzed(at.operator, data)
        at.clock.ahead_ms += 86_400_000
        assert reason_of(lambda: tracks(at.operator, video.video_id)) == "UNKNOWN_VIDEO"
        announced(at.operator, b"another")
        assert not (folder(at) / video.video_id).exists()


def test_videos_are_of_the_caller_who_announced_them(at: Staffed, data: bytes) -> None:
    video = analyzed(at.operator, data)
    other = at.caller(Role.OPERATOR, number=2)
    video_id = video.video_id
    calls = (
        lambda: state(other, video_id),
        lambda: tracks(other, video_id),
        lambda: other.video.SearchTracks(search(at, video_id, 1)),
        lambda: other.video.DeleteVideo(pb.DeleteVideoRequest(video_id=video_id)),
    )
    assert [reason_of(call) for call in calls] == ["UNKNOWN_VIDEO"] * 4
    assert announced(other, data).video_id != video_id
    for role in set(Role) - {Role.OPERATOR}:
        assert reason_of(partial(state, at.caller(role), video_id)) == "NOT_PERMITTED"


def test_a_search_of_an_operational_gallery_states_purpose_and_case_and_is_audited(at: Staffed, data: bytes) -> None:
    video = analyzed(at.operator, data)
    assert (
        reason_of(lambda: at.operator.video.SearchTracks(search(at, video.video_id, 1, gallery="wanted")))
        == "PURPOSE_REQUIRED"
    )
    asked = search(at, video.video_id, 1, 2, gallery="wanted", purpose=INVESTIGATION, case_reference="AZ 9")
    at.operator.video.SearchTracks(asked)
    request = audit_pb2.SearchAuditRequest(chain="access", action="video.search_tracks", outcome="OK")
    record = json.loads(at.auditor.audit.SearchAudit(request).records[-1].json)
    assert (record["purpose"], record["detail"]["video_sha256"]) == ("investigation", video.sha256)
    assert record["case"]
    assert record["counts"]["tracks"] == 2


def test_each_track_counts_as_a_search(at: Staffed, data: bytes) -> None:
    caller = at.caller(Role.OPERATOR, number=3, budget=Budget(1e6, 1_000_000, 3))
    video = analyzed(caller, data)
    caller.video.SearchTracks(search(at, video.video_id, 1, 2))
    assert reason_of(lambda: caller.video.SearchTracks(search(at, video.video_id, 1, 2))) == "QUOTA_EXCEEDED"


@pytest.mark.parametrize(
    ("numbers", "more", "reason"),
    [
        ((), {}, "INVALID_FIELD"),
        ((1, 1), {}, "INVALID_FIELD"),
        ((3,), {}, "INVALID_FIELD"),
        ((0,), {}, "INVALID_FIELD"),
        ((1,), {"target_fmr": 0.01}, "INVALID_FIELD"),
        ((1,), {"threshold": 0.3}, "OK"),
    ],
)
def test_a_search_names_tracks_that_are_there(
    at: Staffed, data: bytes, numbers: tuple[int, ...], more: dict[str, Any], reason: str
) -> None:
    video = analyzed(at.operator, data)
    assert reason_of(lambda: at.operator.video.SearchTracks(search(at, video.video_id, *numbers, **more))) == reason


def test_a_video_that_is_deleted_ends_its_analysis_and_lets_the_next_begin(tmp_path: Path) -> None:
    """Sixty frames are looked at; the gate lets one go at a time, until the video is deleted."""
    detector = GatedDetector()
    long = footage(tmp_path / "long.mp4", actor(BLUES[0], speed=0), seconds=60, rate=1).read_bytes()
    short = footage(tmp_path / "short.mp4", actor(BLUES[1])).read_bytes()
    with staffed(tmp_path / "data", detector=detector) as at:
        first, second = sent(at.operator, long), sent(at.operator, short)
        assert detector.entered.acquire(timeout=60)
        assert state(at.operator, second).state == pb.VIDEO_STATE_ANALYZING
        at.operator.video.DeleteVideo(pb.DeleteVideoRequest(video_id=first))
        detector.gate.set()
        until(lambda: state(at.operator, second).state == pb.VIDEO_STATE_ANALYZED)
        assert reason_of(lambda: state(at.operator, first)) == "UNKNOWN_VIDEO"
        assert not (folder(at) / first).exists()
        assert detector.calls < 30


def test_an_analysis_goes_on_after_a_restart(tmp_path: Path, data: bytes) -> None:
    with staffed(tmp_path / "data") as at:
        video_id, token = sent(at.operator, data), at.operator.token
    with staffed(tmp_path / "data") as at:
        again = Caller(at.server.channel, token)
        until(lambda: state(again, video_id).state == pb.VIDEO_STATE_ANALYZED)


def test_logs_hold_nothing_of_the_footage(at: Staffed, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    video = analyzed(at.operator, data[: len(data) // 2] + b"x" * 3000)
    analyzed(at.operator, b"no video at all: Jane Doe" * 10)
    assert "Jane Doe" not in caplog.text
    assert video.sha256 not in caplog.text


def test_a_server_without_the_decoder_says_so(at: Staffed, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    assert reason_of(lambda: announced(at.operator, data)) == "VIDEO_UNAVAILABLE"


def test_tracks_come_page_by_page_and_a_page_of_large_crops_is_short(
    at: Staffed, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_id = analyzed(at.operator, data).video_id

    def pages(**more: Any) -> list[list[int]]:
        found, token = [], ""
        while True:
            request = pb.ListTracksRequest(video_id=video_id, page_token=token, **more)
            page = at.operator.video.ListTracks(request)
            found.append([one.track for one in page.tracks])
            token = page.next_page_token
            if not token:
                return found

    assert pages() == [[1, 2]]
    assert pages(page_size=1) == [[1], [2]]
    monkeypatch.setattr("fr_server.rpc.services.video.PAGE_BYTES", 100)
    assert pages(include_crops=True) == [[1], [2]]
    assert reason_of(lambda: pages(page_size=101)) == "INVALID_PAGE"
