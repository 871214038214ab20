"""Footage in the console, on a real server with null faces: sent, followed, searched for, sent to a case, deleted."""

import hashlib
import json
import re
from collections.abc import Iterator

import pytest

from fr_api.v1 import gallery_pb2, recognition_pb2, review_pb2
from fr_api.v1 import video_pb2 as pb
from fr_trust.access.principal import Role
from fr_web.console.views.footage import WIDE, clock, line_of
from support.callers import BLUES, Staffed, staffed
from support.faults import until
from support.surfer import Surfer, signed_in
from support.surfer import words as words_of
from support.video_calls import DONE, actor, footage, state, tracks
from support.web import Answered, Web, form, web

REFERENCE = "AZ 1/2026"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("filmed"), video={"max_mib": 1, "per_caller": 100}) as made:
        made.gallery("wanted")
        made.gallery("practice", operational=False)
        yield made


@pytest.fixture(scope="module")
def site(at: Staffed) -> Iterator[Web]:
    with web(at.server.address, at.operator.token) as started:
        yield started


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Footage of two people of the galleries."""
    path = tmp_path_factory.mktemp("footage") / "two.mp4"
    return footage(path, actor(BLUES[0], 50), actor(BLUES[2], 280, 60, -20)).read_bytes()


@pytest.fixture
def operator(at: Staffed, site: Web) -> Surfer:
    return signed_in(site, at.operator.token)


@pytest.fixture(scope="module")
def filmed(at: Staffed, site: Web, data: bytes) -> str:
    """The path of a video that was sent whole, by a browser without scripts; its faces are in both galleries."""
    surfer = signed_in(site, at.operator.token)
    surfer.get("/footage")
    path = sent(surfer, data)
    video_id = path.rpartition("/")[2]
    until(lambda: state(at.operator, video_id).state in DONE)
    for one in tracks(at.operator, video_id, crops=True):
        face = recognition_pb2.Probe(image=one.best_shots[0].crop)
        for gallery in ("practice", "wanted"):
            named = gallery_pb2.EnrolRequest(gallery_id=gallery, subject_id=f"of track {one.track}", face=face)
            at.operator.gallery.Enrol(named)
    return path


def sent(surfer: Surfer, data: bytes) -> str:
    """Send a file whole, as the form does; return the path of its video."""
    body, kind = form(token=surfer.token, file=data)
    answer = surfer.send("/footage", body, kind)
    assert answer.status == 303, words_of(answer)
    return str(answer.headers["location"])


def as_program(surfer: Surfer, path: str, **parts: str | bytes) -> Answered:
    """Send what the program of the page sends."""
    return surfer.send(path, *form(token=surfer.token, **parts), Accept="application/json")


def test_footage_is_sent_followed_and_shown_as_a_timeline_and_a_list(
    operator: Surfer, filmed: str, data: bytes
) -> None:
    told = words_of(operator.get(filmed))
    assert len(re.findall(r'<rect class="span"', told)) == 2
    assert re.findall(r"/tracks/(\d)\">Track", told) == ["1", "2"]
    assert "independent looks: 3" in told
    assert told.count("data:image/png") == told.count('<rect class="shot"')
    assert hashlib.sha256(data).hexdigest() in told
    assert "h264" in told
    assert "to its end" in told
    listed = words_of(operator.get("/footage"))
    assert f'href="{filmed}"' in listed
    assert "analyzed" in listed


def test_a_track_is_looked_at_shot_by_shot(operator: Surfer, filmed: str) -> None:
    page = words_of(operator.get(f"{filmed}/tracks/2?shot=1"))
    assert "Track 2, shot 1" in page
    assert page.count("data:image/png") == 1
    assert f'href="{filmed}/tracks/1"' in page
    crop = operator.get(f"{filmed}/tracks/2/crop")
    assert (crop.headers["content-type"], crop.body[:4]) == ("image/png", b"\x89PNG")
    assert operator.get(f"{filmed}/tracks/3").status == operator.get(f"{filmed}/tracks/x").status == 400


def test_tracks_are_searched_each_with_leads_and_never_an_identity(operator: Surfer, filmed: str) -> None:
    assert "checked" in words_of(operator.get(f"{filmed}/search"))
    wanted = {"gallery": "practice", "probe": "1", "candidates": "2"}
    told = words_of(operator.post(f"{filmed}/search", {**wanted, "track.1": "1", "track.2": "1"}))
    found = re.findall(r'id="track-(\d)".*?<bdi>([^<]+)</bdi></a>', told, re.DOTALL)
    assert found == [("1", "of track 1"), ("2", "of track 2")]
    assert "human examiner" in told
    assert not re.search(r"\b(match|identified|same person)\b", told.lower())
    assert operator.post(f"{filmed}/search", wanted).status == 400
    assert operator.post(f"{filmed}/search", {**wanted, "probe": "9", "track.1": "1"}).status == 400
    assert operator.post(f"{filmed}/search", {**wanted, "track.7": "1"}).status == 400


def test_an_operational_gallery_wants_a_purpose_and_a_case(operator: Surfer, filmed: str) -> None:
    asked = {"gallery": "wanted", "track.1": "1"}
    assert 'action="/purpose"' in words_of(operator.get(f"{filmed}/search"))
    assert operator.post(f"{filmed}/search", asked).status == 400
    operator.post("/purpose", {"purpose": "1", "case_reference": REFERENCE})
    assert "of track 1" in words_of(operator.post(f"{filmed}/search", asked))


def test_a_best_shot_becomes_the_probe_of_an_examination(at: Staffed, operator: Surfer, filmed: str) -> None:
    case_id = at.operator.opens(REFERENCE)
    assert REFERENCE in words_of(operator.get(f"{filmed}/tracks/2"))
    assert operator.post(f"{filmed}/tracks/2", {"shot": "1"}).status == 400
    led = operator.post(f"{filmed}/tracks/2", {"case": case_id, "shot": "1"}).headers["location"]
    assert "data:image/png" in words_of(operator.get(led))
    video = filmed.rpartition("/")[2]
    wanted = {"gallery": "wanted", "notes": "frontal", "video": video, "track": "2", "shot": "1", "candidates": "1"}
    told = words_of(operator.upload(f"/cases/{case_id}/search", **wanted))
    assert "human examiner" in told
    found = at.operator.review.GetCase(review_pb2.GetCaseRequest(case_id=case_id)).case.examinations
    assert len(found) == 1
    assert at.operator.examination(found[0].examination_id).candidates[0].subject_id == "of track 2"
    assert operator.upload(f"/cases/{case_id}/search", **{**wanted, "track": "9"}).status == 400


def test_an_upload_that_broke_off_goes_on(at: Staffed, operator: Surfer, data: bytes) -> None:
    data += b"more"  # another file
    announcement = {"sha256": hashlib.sha256(data).hexdigest(), "size": str(len(data))}
    operator.get("/footage")
    begun = json.loads(as_program(operator, "/footage", **announcement).body)
    path = f"/footage/{begun['video']}"
    first = json.loads(as_program(operator, path, offset="0", file=data[:1000]).body)
    assert (begun["received"], first["received"]) == (0, 1000)
    assert "Choose the same file again" in words_of(operator.get(path))
    beyond = as_program(operator, path, offset="2000", file=data[2000:])
    assert (beyond.status, "1,000" in beyond.body.decode() or "1000" in beyond.body.decode()) == (400, True)
    assert json.loads(as_program(operator, "/footage", **announcement).body)["received"] == 1000
    rest = json.loads(as_program(operator, path, offset="1000", file=data[1000:]).body)
    assert rest["received"] == len(data)
    until(lambda: state(at.operator, begun["video"]).state in DONE)
    assert [as_program(operator, path, offset=one, file=b"x").status for one in ("", "-1", "1e3")] == [400] * 3


def test_what_is_no_video_is_refused_in_words(at: Staffed, operator: Surfer) -> None:
    operator.get("/footage")
    path = sent(operator, b"no video at all")
    until(lambda: state(at.operator, path.rpartition("/")[2]).state in DONE)
    told = words_of(operator.get(path))
    assert 'id="video-refused"' in told
    assert "not a video" in told
    operator.get("/footage")
    too_large = operator.upload("/footage", file=b"\0" * (2**20 + 1))
    assert (too_large.status, "the limit is" in words_of(too_large)) == (400, True)
    assert operator.upload("/footage", file=b"").status == operator.upload("/footage").status == 400


def test_a_file_that_no_form_can_hold_is_refused_with_what_to_do(at: Staffed) -> None:
    with web(at.server.address, max_message_bytes=300_000) as started:
        surfer = signed_in(started, at.operator.token)
        surfer.get("/footage")
        answer = surfer.upload("/footage", file=b"\0" * 900_000)
        assert (answer.status, "Switch JavaScript on" in words_of(answer)) == (400, True)


def test_a_video_is_of_its_operator_alone(at: Staffed, site: Web, filmed: str) -> None:
    other = signed_in(site, at.caller(Role.OPERATOR, number=2).token)
    assert filmed not in words_of(other.get("/footage"))
    for path in ("", "/search", "/tracks/1", "/tracks/1/crop"):
        assert other.get(filmed + path).status == 404
    assert other.post(f"{filmed}/delete", {"sure": "1"}).status == 404
    for role in (Role.AUDITOR, Role.ADMIN, Role.EXAMINER):
        surfer = signed_in(site, at.caller(role).token)
        assert 'href="/footage"' not in words_of(surfer.get("/"))
        assert surfer.get("/footage").status == 403


def test_a_video_is_deleted_when_somebody_is_sure(operator: Surfer, data: bytes) -> None:
    operator.get("/footage")
    path = sent(operator, data + b"to delete")
    assert operator.post(f"{path}/delete", {}).status == 400
    assert operator.post(f"{path}/delete", {"sure": "1"}).headers["location"] == "/footage"
    assert "deleted" in words_of(operator.get("/footage"))
    assert operator.get(path).status == 404


def test_the_state_comes_as_events_until_the_end(operator: Surfer, filmed: str) -> None:
    told = operator.get(f"{filmed}/events").body.decode()
    assert "analyzed" in told
    assert told.rstrip().endswith("event: over\ndata: -")


def test_times_and_places_of_a_timeline() -> None:
    assert [clock(one) for one in (0.0, 59.999, 3_661.5)] == ["0:00:00.00", "0:01:00.00", "1:01:01.50"]
    sightings = [pb.TrackSighting(time_s=one) for one in (2.5, 5.0)]
    line = line_of(pb.Track(track=3, sightings=sightings, best_shots=[pb.TrackShot(sighting=sightings[1])]), 10.0)
    assert (line.span, line.shots) == ((WIDE / 4, WIDE / 4), (WIDE / 2,))
