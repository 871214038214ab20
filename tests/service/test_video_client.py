"""Both clients and the command send footage, go on after a lost connection, and search for the tracks."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fr_api.v1 import video_pb2
from fr_client import AsyncClient, Client, FrApiError
from support.callers import BLUES, Staffed, staffed
from support.commands import commands, page, require_understood
from support.cutting import cutting
from support.servers import Fr, Running
from support.video_calls import actor, analyzed, announced, footage, tracks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return footage(tmp_path / "two.mp4", actor(BLUES[0], 50), actor(BLUES[2], 280, 60, -20))


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.address) as opened:
        opened.create_gallery("wanted", use="test")
        yield opened


def test_the_client_sends_footage_and_searches_for_its_tracks(client: Client, file: Path) -> None:
    seen: list[int] = []
    video = client.video.analyze(file, every_s=0.5, on_progress=lambda now: seen.append(now.received_bytes))
    assert video.state == video_pb2.VIDEO_STATE_ANALYZED
    assert seen[-1] == file.stat().st_size
    for track in client.video.tracks(video.video_id, crops=True):
        client.enrol("wanted", f"of track {track.track}", track.best_shots[0].crop.data)
    leads = client.video.search(video.video_id, "wanted", [1, 2], probe="best-shot", top_k=1).leads
    assert [one.found.results[0].candidates[0].subject_id for one in leads] == ["of track 1", "of track 2"]
    assert client.video.analyze(file, every_s=0.5).video_id == video.video_id
    assert [one.video_id for one in client.video.announced()] == [video.video_id]
    client.video.delete(video.video_id)
    assert not client.video.announced()
    with pytest.raises(FrApiError, match="UNKNOWN_VIDEO"):
        client.video.get(video.video_id)


def test_an_upload_goes_on_after_lost_connections(server: Running, file: Path) -> None:
    with cutting(server.app.port, 60_000, 2) as (port, cut), Client(f"127.0.0.1:{port}") as client:
        video = client.video.analyze(file)
    assert len(cut) == 2
    assert (video.state, video.track_count) == (video_pb2.VIDEO_STATE_ANALYZED, 2)


def test_so_does_the_asynchronous_client(server: Running, file: Path) -> None:
    async def numbers() -> list[int]:
        async with AsyncClient(server.address) as client:
            video = await client.video.analyze(file)
            assert [one.video_id for one in await client.video.announced()] == [video.video_id]
            return [one.track async for one in client.video.tracks(video.video_id)]

    assert asyncio.run(numbers()) == [1, 2]


def test_the_command_lists_tracks_writes_crops_and_searches(fr: Fr, file: Path, tmp_path: Path) -> None:
    status, printed, errors = fr("footage", "analyze", file, "--json", "--crops", tmp_path / "crops")
    assert status == 0, errors
    said = json.loads(printed)
    video_id = said["video"]["video_id"]
    assert [one["track"] for one in said["tracks"]] == [1, 2]
    assert {path.name for path in (tmp_path / "crops").iterdir()} >= {"track-1-shot-1.png", "track-2-shot-1.png"}
    assert fr("gallery", "create", "wanted", "--use", "test")[0] == 0
    (tmp_path / "people" / "jane").mkdir(parents=True)
    (tmp_path / "crops" / "track-2-shot-1.png").rename(tmp_path / "people" / "jane" / "1.png")
    assert fr("enrol", "wanted", tmp_path / "people")[0] == 0
    status, printed, errors = fr("footage", "search", video_id, "wanted")
    assert (status, "jane" in printed, "Track 2" in printed) == (0, True, True), errors
    status, printed, _ = fr("footage", "search", video_id, "wanted", "--track", 1, "--json")
    assert [one["track"] for one in json.loads(printed)["leads"]] == [1]
    status, printed, _ = fr("footage", "show", video_id)
    assert (status, "h264" in printed, "read to the end" in printed) == (0, True, True)
    assert fr("footage", "delete", video_id, "--yes")[0] == 0
    status, _, errors = fr("footage", "show", video_id)
    assert (status, "UNKNOWN_VIDEO" in errors) == (1, True)


def test_the_command_lists_videos_with_their_state(fr: Fr, file: Path, tmp_path: Path) -> None:
    status, printed, _ = fr("footage", "list")
    assert (status, printed) == (0, "The server has no video of yours: `fr footage analyze FILE` sends one.\n")
    assert json.loads(fr("footage", "list", "--json")[1]) == {"videos": []}
    (tmp_path / "text.mp4").write_text("no video at all")
    assert fr("footage", "analyze", tmp_path / "text.mp4")[0] == 1
    assert fr("footage", "analyze", file)[0] == 0
    said = json.loads(fr("footage", "list", "--json")[1])["videos"]
    assert [one["state"] for one in said] == ["VIDEO_STATE_ANALYZED", "VIDEO_STATE_REFUSED"]
    assert [one.get("track_count", 0) for one in said] == [2, 0]
    rows = [row.split() for row in fr("footage", "list")[1].splitlines()]
    head, first, second = (row for row in rows if len(row) > 1)  # without the rule below the head
    assert head == ["Video", "SHA-256", "State", "Bytes", "Tracks", "Sent", "Expires"]
    starts = [hashlib.sha256(one.read_bytes()).hexdigest()[:12] for one in (file, tmp_path / "text.mp4")]
    assert first[:-2] == [said[0]["video_id"], starts[0], "analyzed", f"{file.stat().st_size:,}", "2"]
    assert second[:-2] == [said[1]["video_id"], starts[1], "refused:", "VIDEO_UNREADABLE", "15"]
    assert [first[-2], second[-1]] == [said[0]["create_time"][:19] + "Z", said[1]["expire_time"][:19] + "Z"]


def test_the_command_says_why_a_file_was_refused(fr: Fr, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all")
    status, _, errors = fr("footage", "analyze", tmp_path / "text.mp4")
    assert (status, "VIDEO_UNREADABLE" in errors) == (1, True)
    status, _, errors = fr("footage", "analyze", tmp_path / "nowhere.mp4")
    assert (status, "nowhere.mp4" in errors) == (1, True)
    assert fr("gallery", "create", "wanted", "--use", "test")[0] == 0
    (refused,) = json.loads(fr("footage", "list", "--json")[1])["videos"]
    status, printed, errors = fr("footage", "search", refused["video_id"], "wanted")
    assert (status, printed, errors.partition(":")[0]) == (1, "", "VIDEO_UNREADABLE")


def test_the_command_refuses_a_folder_and_an_empty_file_before_it_sends_anything(fr: Fr, tmp_path: Path) -> None:
    status, _, errors = fr("footage", "analyze", tmp_path)
    assert (status, errors) == (1, f"FILE_UNREADABLE: {tmp_path} cannot be read: not a regular file.\n")
    (tmp_path / "empty.mp4").touch()
    status, _, errors = fr("footage", "analyze", tmp_path / "empty.mp4")
    assert (status, errors.startswith("VIDEO_UNREADABLE: The file is empty. Use the file as")) == (1, True), errors
    assert json.loads(fr("footage", "list", "--json")[1]) == {"videos": []}


def test_a_search_of_a_video_that_is_not_analyzed_says_so(server: Running, fr: Fr, file: Path) -> None:
    assert fr("gallery", "create", "wanted", "--use", "test")[0] == 0
    video_id = announced(server, file.read_bytes()).video_id
    status, printed, errors = fr("footage", "search", video_id, "wanted")
    assert (status, printed, errors.partition(":")[0]) == (1, "", "VIDEO_INCOMPLETE")
    assert "waits for its bytes" in errors


def test_the_folder_of_crops_is_checked_before_a_file_is_sent(fr: Fr, file: Path, tmp_path: Path) -> None:
    status, _, errors = fr("footage", "analyze", file, "--crops", tmp_path / "no" / "such")
    assert (status, errors.partition(":")[0]) == (1, "FILE_UNWRITABLE")
    status, _, errors = fr("footage", "analyze", file, "--crops", tmp_path)
    assert (status, errors.partition(":")[0]) == (1, "FILE_EXISTS")
    assert json.loads(fr("footage", "list", "--json")[1]) == {"videos": []}


def test_a_search_of_a_track_that_is_not_there_names_those_that_are(fr: Fr, file: Path) -> None:
    assert fr("gallery", "create", "wanted", "--use", "test")[0] == 0
    video_id = json.loads(fr("footage", "analyze", file, "--json")[1])["video"]["video_id"]
    status, _, errors = fr("footage", "search", video_id, "wanted", "--track", 9)
    assert (status, errors) == (1, "INVALID_FIELD: There is no track 9. Give a number from 1 to 2.\n")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Staffed]:
    with staffed(tmp_path / "staffed") as made:
        made.gallery("wanted")
        yield made


def test_the_commands_of_the_page_work(
    at: Staffed, fr_as: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = footage(tmp_path / "footage.mp4").read_bytes()
    case_id, done = at.operator.opens("AZ-2026-014"), []
    for line in commands(page("docs/video.md").partition("\n## On a server\n")[2]):
        require_understood(line)
        video_id = analyzed(at.operator, data).video_id
        if "evidence" in line:
            (tmp_path / "case-2026-014.zip").write_bytes(at.operator.exports(case_id, unfinished=True))
        words = line.replace("--connection operator.toml ", "").replace("VIDEO", video_id).replace("CASE", case_id)
        status, printed, errors = fr_as(at.operator, *words.split()[1:])
        assert status == 0, (line, errors)
        done.append(printed)
    assert len(done) == 6
    assert "analyzed" in done[1]
    assert "Track 1, 3 independent looks" in done[2]
    assert "examinations/01: frame " in done[-1]
    assert (tmp_path / "crops" / "track-1-shot-1.png").exists()


def test_a_search_in_a_case_names_the_tracks_and_shots_that_are_there(
    at: Staffed, fr_as: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    video_id = analyzed(at.operator, footage(tmp_path / "footage.mp4").read_bytes()).video_id
    shots = len(tracks(at.operator, video_id)[0].best_shots)
    words = ("case", "search-footage", at.operator.opens("AZ"), "wanted", video_id, "--track")
    status, _, errors = fr_as(at.operator, *words, 9)
    assert (status, errors) == (1, "INVALID_FIELD: There is no track 9. The only one is 1.\n")
    status, _, errors = fr_as(at.operator, *words, 1, "--shot", 7)
    assert (status, errors) == (1, f"INVALID_FIELD: There is no best shot 7. Give a number from 1 to {shots}.\n")
