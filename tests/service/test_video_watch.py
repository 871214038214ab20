"""WatchStream over a real server: only what the configuration allows, audited, and with nothing kept."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import PIL.Image
import psycopg
import pytest

from fr_api.v1 import audit_pb2, common_pb2, gallery_pb2, recognition_pb2
from fr_api.v1 import video_pb2 as pb
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import ConfigInvalid
from fr_core.scoring.calibration import Provenance, fit_calibration
from fr_core.scoring.calibration_json import to_json
from fr_core.storage.location import Postgres
from fr_server.config import load_config
from fr_server.config.streams import allowed_streams
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Role
from support.callers import BLUES, Caller, Staffed, in_case, reason_of, staffed
from support.cli import fr_at
from support.commands import blocks, commands, page
from support.faults import until
from support.footage import Scene, at_rate
from support.postgres import Cluster
from support.servers import ended
from support.streams import Camera, encoded
from support.video_calls import actor

INVESTIGATION = common_pb2.PURPOSE_INVESTIGATION
STRANGER = 200  # blue of a face that no gallery holds
FRIEND = actor(BLUES[0], 60, 60, 0)  # of the galleries
ENDS = {"BEGUN", "CANCELLED"}
AUTHORITY = "Order 12-345 of the court of Atlantis"
LAST_DAY = date(2999, 12, 31)  # far off: the tests may run across midnight


def calibration() -> str:
    rng = np.random.default_rng(0)
    day = date(2026, 1, 1)
    provenance = Provenance("made", "0" * 64, None, str(NULL_MODEL), day, {})
    return to_json(fit_calibration(rng.normal(0.7, 0.15, 500), rng.normal(0.0, 0.15, 20_000), provenance))


def entry(name: str, address: str, *galleries: str, until: date = LAST_DAY) -> str:
    ids = ", ".join(f'"{one}"' for one in galleries)
    return f'[{name}]\naddress = "{address}"\ngalleries = [{ids}]\nauthority = "{AUTHORITY}"\nuntil = {until}\n'


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def camera() -> Iterator[Camera]:
    """Send a face of the galleries, then one of a stranger, to each who connects."""
    scene = Scene([FRIEND, actor(STRANGER, 60, 180, 0)], (360, 240))
    seconds = encoded(((moment, scene.draw(float(moment))) for moment in at_rate(Fraction(25), 8)), lossless=True)
    with Camera([seconds] * 50, speed=4.0) as made:
        yield made


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, camera: Camera) -> Iterator[Staffed]:
    folder = tmp_path_factory.mktemp("watched")
    with Camera([]) as gone:
        gone.finished.wait(30)
    entries = [
        entry("entrance", camera.address, "wanted", "practice"),
        entry("exit", camera.address, "wanted"),
        entry("over", camera.address, "wanted", until=datetime.now(UTC).date() - timedelta(days=1)),
        entry("gone", gone.address, "wanted"),
    ]
    with staffed(folder, video={"watch": str(private(folder / "streams.toml", "".join(entries)))}) as made:
        made.gallery("wanted", people=0)
        enrol(made)
        made.gallery("practice", operational=False)
        admin = made.caller(Role.ADMIN)
        request = gallery_pb2.SetCalibrationRequest(gallery_id="wanted", calibration_json=calibration())
        admin.gallery.SetCalibration(request)
        yield made


def enrol(at: Staffed) -> None:
    file = io.BytesIO()
    PIL.Image.fromarray(Scene([FRIEND], (360, 240)).draw(0)).save(file, "PNG")
    face = recognition_pb2.Probe(image=common_pb2.Image(data=file.getvalue()))
    at.operator.gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="wanted", subject_id="friend", face=face))


def asked(stream: str = "entrance", gallery_id: str = "wanted", **more: Any) -> pb.WatchStreamRequest:
    usual = {
        "purpose": INVESTIGATION,
        "case_reference": "C-7",
        "false_leads_per_day": 5.0,
        "tracks_per_day": 100.0,
    }
    return pb.WatchStreamRequest(stream=stream, gallery_id=gallery_id, **{**usual, **more})


def watched(
    caller: Caller, ends: Callable[[list[pb.WatchStreamResponse]], bool], **more: Any
) -> list[pb.WatchStreamResponse]:
    """Watch until the events are enough; then end the call."""
    call, first = begun(caller, **more)
    events = [first]
    try:
        while not ends(events):
            events.append(next(call))
    finally:
        call.cancel()
    return events


def begun(caller: Caller, **more: Any) -> tuple[Any, pb.WatchStreamResponse]:
    """Return a call, and its first event; the call of another test may still be ending."""
    made: list[Any] = []

    def begins() -> bool:
        call = caller.video.WatchStream(asked(**more), timeout=120)
        try:
            made[:] = [call, next(call)]
        except grpc.RpcError as error:
            if ended(error).info.reason != "STREAM_WATCHED":
                raise
        return bool(made)

    until(begins)
    return made[0], made[1]


def of(events: list[pb.WatchStreamResponse], kind: str) -> list[Any]:
    return [getattr(one, kind) for one in events if one.WhichOneof("event") == kind]


def test_a_lead_has_its_candidate_and_a_picture_that_a_case_takes(at: Staffed) -> None:
    events = watched(at.operator, lambda found: len(of(found, "searched")) == 2)
    first, *_ = of(events, "status")
    assert AUTHORITY in first.notice
    assert LAST_DAY.isoformat() in first.notice
    assert "Article 5" in first.notice
    assert first.point.meets_target
    assert 0 <= first.point.low <= first.point.false_leads_per_day <= first.point.high
    (lead,) = [one for one in of(events, "searched") if one.lead]
    (stranger,) = [one for one in of(events, "searched") if not one.lead]
    assert [one.subject_id for one in lead.candidates] == ["friend"]
    assert [one.above_threshold for one in lead.candidates] == [True]
    assert (list(stranger.candidates), stranger.HasField("picture")) == ([], False)
    assert lead.candidates[0].similarity > 0.99
    assert lead.end_time.ToDatetime() - lead.begin_time.ToDatetime() >= timedelta(seconds=4)
    picture = np.asarray(PIL.Image.open(io.BytesIO(lead.picture.data)))
    assert (picture[..., 2] == BLUES[0]).any()
    case = at.operator.opens("C-7")
    found = at.operator.review.SearchInCase(in_case(case, "wanted", lead.picture.data))
    assert found.found.results[0].candidates[0].subject_id == lead.candidates[0].subject_id
    assert found.examination.examination_id


def records(at: Staffed, **more: Any) -> list[dict[str, Any]]:
    request = audit_pb2.SearchAuditRequest(
        chain="access", action="video.watch_stream", case_reference="C-audited", page_size=1000, **more
    )
    found = [json.loads(one.json) for one in at.caller(Role.AUDITOR).audit.SearchAudit(request).records]
    return [one for one in found if one["outcome"] in ENDS]


def test_a_watch_is_audited_from_its_first_event_to_its_end(at: Staffed) -> None:
    watched(at.operator, lambda found: any(one.lead for one in of(found, "searched")), case_reference="C-audited")
    until(lambda: len(records(at)) == 2)
    for one in records(at):
        assert (one["actor"], one["purpose"]) == (at.operator.principal_id, "investigation")
        assert one["detail"]["stream"] == "entrance"
    assert {one["outcome"] for one in records(at)} == ENDS
    of_friend = records(at, gallery_id="wanted", subject_id="friend")
    assert [one["outcome"] for one in of_friend] == ["CANCELLED"]


def refusal(caller: Caller, **more: Any) -> str:
    return reason_of(lambda: list(caller.video.WatchStream(asked(**more), timeout=60)))


def test_only_what_the_configuration_allows_is_watched(at: Staffed) -> None:
    for more, reason in (
        ({"stream": "elsewhere"}, "WATCH_NOT_ALLOWED"),
        ({"stream": "rtsp://127.0.0.1/"}, "WATCH_NOT_ALLOWED"),
        ({"stream": "exit", "gallery_id": "practice"}, "WATCH_NOT_ALLOWED"),
        ({"stream": "over"}, "WATCH_NOT_ALLOWED"),
        ({"stream": "gone"}, "STREAM_UNREADABLE"),
        ({"purpose": 0}, "PURPOSE_REQUIRED"),
        ({"case_reference": ""}, "PURPOSE_REQUIRED"),
        ({"gallery_id": "practice", "purpose": 0}, "PURPOSE_REQUIRED"),
        ({"purpose": common_pb2.PURPOSE_GALLERY_MAINTENANCE}, "INVALID_FIELD"),
        ({"false_leads_per_day": 0.0}, "INVALID_FIELD"),
        ({"tracks_per_day": float("nan")}, "INVALID_FIELD"),
        ({"top_k": 101}, "INVALID_FIELD"),
        ({"gallery_id": "practice"}, "NO_CALIBRATION"),
    ):
        assert refusal(at.operator, **more) == reason, more
    for role in set(Role) - {Role.OPERATOR}:
        assert refusal(at.caller(role)) == "NOT_PERMITTED"
    elsewhere = at.caller(Role.OPERATOR, galleries=("practice",))
    assert refusal(elsewhere) == "UNKNOWN_GALLERY"


def test_a_stream_has_one_watcher_at_a_time_and_each_track_counts_as_a_search(at: Staffed) -> None:
    budget = Budget(requests_per_s=100, burst=100, searches_per_day=2)
    caller = at.caller(Role.OPERATOR, number=2, budget=budget)
    events = caller.video.WatchStream(asked("exit"))
    assert next(events).HasField("status")
    again = at.operator.video.WatchStream(asked("exit"))
    assert reason_of(lambda: list(again)) == "STREAM_WATCHED"
    assert reason_of(lambda: list(events)) == "QUOTA_EXCEEDED"


@pytest.fixture
def two(tmp_path: Path, camera: Camera, postgres: Cluster) -> Iterator[tuple[Caller, Caller, Postgres]]:
    """Return an operator of each of two servers on one database, and the database."""
    database = postgres.database()
    # The last day itself is allowed, so this is today. In the hour before midnight it is tomorrow.
    last_day = (datetime.now(UTC) + timedelta(hours=1)).date()
    streams = private(tmp_path / "streams.toml", entry("entrance", camera.address, "wanted", until=last_day))
    sections: dict[str, Any] = {"video": {"watch": str(streams)}, "storage": {"url": database.url}}
    with staffed(tmp_path / "data", **sections) as one, staffed(tmp_path / "data", **sections) as other:
        one.gallery("wanted", people=0)
        request = gallery_pb2.SetCalibrationRequest(gallery_id="wanted", calibration_json=calibration())
        one.caller(Role.ADMIN).gallery.SetCalibration(request)
        yield one.operator, other.caller(Role.OPERATOR, number=2), database


def test_two_servers_do_not_watch_one_stream(two: tuple[Caller, Caller, Postgres]) -> None:
    first, second, _ = two
    call, _ = begun(first)
    assert refusal(second) == "STREAM_WATCHED"
    call.cancel()
    again, event = begun(second)
    assert event.HasField("status")
    again.cancel()


def test_a_watch_ends_when_another_server_may_watch_the_stream(two: tuple[Caller, Caller, Postgres]) -> None:
    first, second, database = two
    call, _ = begun(first)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("UPDATE fr_servers.leases SET expires = '-infinity' WHERE name = 'watch-entrance'")
    again, _ = begun(second)
    assert reason_of(lambda: list(call)) == "REPLICA_BEHIND"
    assert refusal(first) == "STREAM_WATCHED"
    again.cancel()


def test_the_command_prints_the_law_gaps_and_leads_and_writes_their_faces(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of the page: the camera is cut, and the budget of the key ends with the next session."""
    folder = tmp_path_factory.mktemp("commanded")
    streams = private(folder / "streams.toml", entry("entrance", camera.address, "wanted"))
    with staffed(folder, video={"watch": str(streams)}) as made:
        made.gallery("wanted", people=0)
        enrol(made)
        request = gallery_pb2.SetCalibrationRequest(gallery_id="wanted", calibration_json=calibration())
        made.caller(Role.ADMIN).gallery.SetCalibration(request)
        key = made.caller(Role.OPERATOR, budget=Budget(requests_per_s=100, burst=100, searches_per_day=3)).token
        monkeypatch.chdir(tmp_path)
        (command,) = commands(page("docs/watching.md"))
        code, out, error = fr_at(made.server.address, *command.split()[1:], FR_KEY=key)
    assert (code, error.partition(":")[0]) == (1, "QUOTA_EXCEEDED")
    out = " ".join(out.split())
    assert AUTHORITY in out
    assert "prohibited in many countries" in out
    assert ": LEAD, 6 independent looks, lead-1.png" in out
    assert " friend" in out
    assert "no lead" in out
    assert "the connection was lost" in out
    assert "false leads a day expected" in out
    assert [path.name for path in (tmp_path / "faces").iterdir()] == ["lead-1.png"]
    assert (tmp_path / "faces" / "lead-1.png").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        entry("Entrance", "rtsp://camera/", "wanted"),
        entry("entrance", "http://camera/", "wanted"),
        entry("entrance", "rtsp://camera/"),
        entry("entrance", "rtsp://camera/", "Wanted!"),
        entry("entrance", "rtsp://camera/", "wanted").replace(AUTHORITY, " "),
        entry("entrance", "rtsp://camera/", "wanted") + "more = 1\n",
        entry("entrance", "rtsp://camera/", "wanted").replace("until", "since"),
        entry("entrance", "rtsp://camera/", "wanted").replace(str(LAST_DAY), f"{LAST_DAY}T23:59:59Z"),
        entry("entrance", "tcp://.a..b:99", "wanted"),
    ],
)
def test_a_list_of_streams_that_is_not_complete_stops_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        allowed_streams(str(private(tmp_path / "streams.toml", text)))
    assert refused.value.metadata["key"] == "video.watch"


def test_passwords_of_cameras_are_for_the_owner_of_the_list_alone(tmp_path: Path) -> None:
    path = private(tmp_path / "streams.toml", entry("entrance", "rtsp://me:secret@camera/", "wanted"))
    (stream,) = allowed_streams(str(path)).values()
    assert "secret" in stream.address
    assert "secret" not in repr(stream)
    path.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="others than its owner"):
        allowed_streams(str(path))
    assert allowed_streams("") == {}
    setting, streams = blocks(page("docs/watching.md"), "toml")
    assert load_config(private(tmp_path / "server.toml", setting)).video.watch == "/srv/faces/streams.toml"
    assert allowed_streams(str(private(path, streams)))["entrance"].galleries == {"wanted"}
