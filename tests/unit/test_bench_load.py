"""The load generator against a real server with null models, and the command line's refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fr_api.v1 import gallery_pb2
from fr_bench.bench_cli import bench
from fr_bench.speed.generator import Generators, Target
from fr_bench.speed.pipeline import PipelineSubject
from fr_bench.speed.requests import PATHS, Method, connected, first_answers, serialised, temporary_gallery
from fr_bench.speed.serve import ServerSubject
from fr_bench.speed.values import LoadSettings
from fr_bench.speed.workload import read_photos
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NullEmbedder
from fr_core.imaging import ImageLimits
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from support.servers import photo, running

PHOTOS = (photo(10), photo(10, 200))
LOAD = LoadSettings("embed", "closed", 4, None, 0.5, 5.0, 2, 1, 1, None, None, ())


def test_a_closed_loop_answers_every_photo_of_the_round(tmp_path: Path) -> None:
    with running(tmp_path) as server, connected(server.address) as (channel, _):
        requests = serialised(Method.EMBED, PHOTOS, "")
        answers = first_answers(channel, Method.EMBED, requests)
        assert [answer.faces for answer in answers] == [1, 2]
        assert answers[1].found is not None
        assert answers[1].found.embeddings is not None
        assert answers[1].found.boxes.shape == (2, 4)
        with Generators(Target(server.address, PATHS[Method.EMBED], requests, 1), 2) as generators:
            subject = ServerSubject(generators, server.address, None, LOAD, (0, 1, 1), (1, 2))
            done = subject.run(0)
    assert (done.subject, done.photos, done.faces) == ("server", 3, 5)
    (point,) = subject.points
    assert (point.sent, [o.reason for o in point.outcomes]) == (3, ["OK"])
    assert point.health[0].status == "SERVING"
    assert point.memory is None


def test_an_open_loop_sends_on_schedule_and_tells_refusals(tmp_path: Path) -> None:
    # One call at a time is admitted: of many that arrive at once, most are refused, and told when to come again.
    with running(tmp_path, server={"max_in_flight": 1}) as server:
        requests = serialised(Method.DETECT, PHOTOS, "")
        with Generators(Target(server.address, PATHS[Method.DETECT], requests, 2), 1) as generators:
            sent = generators.open((0, 1) * 20, [0.0] * 39 + [0.3], 60.0)
    outcomes = {call.outcome for call in sent.calls}
    assert outcomes == {"OK", "OVERLOADED"}
    assert len(sent.calls) == 40
    assert all(call.retry_info == (call.outcome == "OVERLOADED") for call in sent.calls)
    assert all(call.ended > call.sent >= call.due for call in sent.calls)
    last = max(sent.calls, key=lambda call: call.due)
    assert last.due == pytest.approx(sent.start + 0.3)


def test_searches_have_a_gallery_that_is_deleted_again(tmp_path: Path) -> None:
    with running(tmp_path) as server, connected(server.address) as (channel, info):
        with temporary_gallery(channel, info, 25, seed=1) as gallery_id:
            requests = serialised(Method.SEARCH, PHOTOS, gallery_id)
            assert [answer.faces for answer in first_answers(channel, Method.SEARCH, requests)] == [1, 1]
            (made,) = server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest()).galleries
            assert (made.gallery_id, made.template_count) == (gallery_id, 25)
        assert not server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest()).galleries


def test_the_pipeline_goes_over_the_photos_of_a_round(tmp_path: Path) -> None:
    for i, data in enumerate(PHOTOS):
        (tmp_path / f"{i}.png").write_bytes(data)
    listed = read_photos([str(tmp_path)], 5, None)
    assert (listed.workload.distinct, listed.order) == (2, (0, 1, 0, 1, 0))
    pipeline = Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), QualityLimits())
    subject = PipelineSubject(pipeline, listed, 2)
    assert [len(found.boxes) for found in subject.warm_up()] == [1, 2]
    done = subject.run(0)
    assert (done.photos, done.faces) == (5, 7)
    assert len(subject.latencies) == 5
    assert len(read_photos([str(tmp_path)], 0, None).order) == 20
    assert read_photos([str(tmp_path)], 1, None).workload.distinct == 1


# --- refusals -----------------------------------------------------------------------------------------------


FEW = ("--probes", "1", "--repeat", "1", "--k", "1")


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(bench, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return done.output


def test_what_cannot_be_measured_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is not there" in refused("pipeline", "--photos", "nowhere")
    assert "holds no photo" in refused("pipeline", "--photos", ".")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    assert "is refused (UNDECODABLE)" in refused("serve", "--photos", ".")
    (tmp_path / "broken.jpg").unlink()
    (tmp_path / "a.png").write_bytes(PHOTOS[0])
    assert "No server of FR Core answers at 127.0.0.1:9" in refused("serve", "--photos", ".", "--server", "127.0.0.1:9")
    assert "UNKNOWN_PACK" in refused("pipeline", "--photos", ".", "--pack", "nothing")
    assert "The server did not start: UNKNOWN_PACK" in refused("serve", "--photos", ".", "--pack", "nothing")
    assert "There is no index named" in refused("search", "--index", "nothing", "--n", "10", *FEW)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pipeline", "--repeat", "0"), "repeat"),
        (("serve", "--repeat", "0"), "repeat"),
        (("serve", "--mode", "open"), "--rate"),
        (("serve", "--rate", "5"), "--rate"),
        (("serve", "--mode", "open", "--rate", "5", "--overload", "5"), "--overload"),
        (("serve", "--sweep", "1,many"), "no list of loads"),
        (("serve", "--sweep", "1,0"), "above 0"),
        (("serve", "--server", "h:1", "--batches"), "--server"),
        (("serve", "--metrics-url", "http://h:1"), "--server"),
        (("pipeline", "--peer", "nobody"), "peer"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], told: str) -> None:
    assert told in refused(*arguments)


def test_results_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    told: Any = refused("search", "--n", "10", "--dimension", "4", *FEW, "--out", str(blocked))
    assert "cannot be written" in told
