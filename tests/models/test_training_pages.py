"""The pages of a finished course of real faces, as a browser shows and prints them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fr_api.v1 import training_pb2
from fr_client.cli.main import build
from fr_core.engine import Engine
from fr_datasets.links import Link, datasets_folder, write_link
from fr_training.shipped_plans import plan_text
from support.browser import needs_browser
from support.courses import Chance, enrol, start, take
from support.paper import LANDSCAPE, PORTRAIT, SCREEN, Page, paper, require_one_screen, require_readable, require_sheets
from support.servers import Running, running

pb: Any = training_pb2

pytestmark = [pytest.mark.models, pytest.mark.nightly, needs_browser]

MORE = """
[[sittings]]
name = "more"
title = "The machine and the evidence"
blocks = [
  {id = "threshold", title = "Where to draw the line", exercise = "lab", about = "threshold", trials = 2},
  {id = "custody", title = "From the original to the crop", exercise = "evidence", trials = 1},
]
"""
TRAINEES = 4
TO_LOOK_AT = ["features", "practice", "lists", "aided", "triage", "threshold", "custody"]
# Names of fields, of the words of results and of codes, and what a program prints where it has nothing.
RAW = re.compile(r"\b[a-z]+_[a-z_]+\b|\b(?:odd|mate|row|record|candidate):|did:|urn:|not looked up|\bNone\b|\bnan\b")


def write_pages(server: Running, folder: Path) -> None:
    """Have a course taken to its end, and write all pages that come of it."""
    source = training_pb2.PlanSource(toml=plan_text("taster-90") + MORE)
    request = training_pb2.CreateCourseRequest(plan=source, datasets=["london"])
    course_id = list(server.training.CreateCourse(request))[-1].course.course_id
    made = enrol(server.training, course_id, TRAINEES)
    for number, one in enumerate(made.enrolled):
        for sitting in ("taster", "more"):
            list(take(server.training, start(server.training, one.code, sitting), Chance(random.Random(number))))
    cohort_id = made.cohort.cohort_id
    server.training.ReleaseItems(pb.ReleaseItemsRequest(cohort_id=cohort_id, block_ids=TO_LOOK_AT))
    of_one, of_all = {"code": made.enrolled[0].code}, {"cohort_id": cohort_id}
    for name, file, whom in (
        ("trainee", pb.TRAINING_REPORT_FILE_HTML, of_one),
        ("certificate", pb.TRAINING_REPORT_FILE_CERTIFICATE, of_one),
        ("cohort", pb.TRAINING_REPORT_FILE_HTML, of_all),
        ("deck", pb.TRAINING_REPORT_FILE_DECK, of_all),
    ):
        pieces = server.training.GetTrainingReport(pb.GetTrainingReportRequest(file=file, **whom))
        (folder / f"{name}.html").write_bytes(b"".join(one.content for one in pieces))
    sheets = ["train", "course", "sheet", course_id, "--out", str(folder / "sheets")]
    result = CliRunner().invoke(build(), ["--server", server.address, *sheets])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, testdata: Path, default_engine: Engine) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patching:
        patching.setenv("FR_HOME", str(folder))
        write_link("london", Link(testdata / "london"), datasets_folder())
        with running(folder / "data", engine=lambda config: replace(default_engine, batchers=())) as server:
            write_pages(server, folder)
    return folder


@pytest.fixture(scope="module")
def shown() -> Iterator[Page]:
    with paper() as page:
        yield page


def test_a_trainees_page_is_one_screen_and_one_sheet(shown: Page, pages: Path) -> None:
    shown.open((pages / "trainee.html").as_uri())
    require_one_screen(shown)
    require_sheets(shown, [PORTRAIT])


def test_a_certificate_is_one_sheet(shown: Page, pages: Path) -> None:
    shown.open((pages / "certificate.html").as_uri())
    shown.look(*SCREEN)
    require_readable(shown)
    require_sheets(shown, [LANDSCAPE])


def test_every_item_of_a_deck_is_asked_on_one_screen_and_fills_one_sheet(shown: Page, pages: Path) -> None:
    shown.open((pages / "deck.html").as_uri())
    shown.look(*SCREEN)
    heights = shown.value(
        "[...document.querySelectorAll('section')].map(one => [...one.querySelectorAll('summary')].at(-1)"
        ".getBoundingClientRect().bottom - one.getBoundingClientRect().top)"
    )
    assert len(heights) == 24
    assert max(heights) <= SCREEN[1]
    shown.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    require_sheets(shown, [PORTRAIT] * (1 + len(heights)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["trainee", "cohort", "deck", "certificate", "sheets/lists", "sheets/threshold", "sheets/test-a"]
)
def test_pages_are_readable_and_name_nothing_by_its_key(shown: Page, pages: Path, name: str, scheme: str) -> None:
    shown.open((pages / f"{name}.html").as_uri())
    shown.look(*SCREEN, scheme)
    shown.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    require_readable(shown)
    told = shown.value("document.body.innerText").replace("buffalo_s@", "")  # the name of the model
    assert RAW.findall(told) == []
