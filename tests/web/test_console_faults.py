"""Connections, servers and sessions that break in mid-trial: nothing acknowledged is lost, and no clock begins anew.

Run as a script with a folder and two ports, this file serves without models, and its pages unless their port is 0.
"""

import csv
import io
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_bench.speed.server_process import free_port
from fr_trust.access.principal import Role
from support.browser import PLAN, Look, World, join, needs_browser, opened
from support.commands import Script, say, script
from support.courses import Chance, Clock, Stub, answer, create, enrol, link_people, next_trial, start, store_of
from support.faults import until
from support.servers import running
from support.walks import at_step
from support.web import Web, web

pytestmark = [needs_browser, pytest.mark.nightly]
CUT_S = 30
AHEAD_S = 300  # the clock of a server that starts again
BEGUN_S = 30 * 60  # of a block
NEVER_AGAIN = """document.addEventListener("htmx:error", () => {
  for (const form of document.querySelectorAll("[data-again]")) form.removeAttribute("data-again");
}, {capture: true})"""
BROKEN = "Failed to fetch|ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE"


@dataclass
class Seat:
    """A trainee before the first trial that is timed: the practice, of four trials, is over."""

    stub: Stub
    code: str
    key: str = ""
    trainee_id: str = ""

    def practise(self) -> None:
        session = start(self.stub, self.code, "pairs")
        how = Chance()
        for _ in range(4):
            trial = next_trial(self.stub, session)
            assert trial is not None
            answer(self.stub, session, trial, how)

    def enter(self, look: Look) -> None:
        look.expected, look.allowed = BROKEN, (401, 404, 409, 503)
        self.sign_in(look.open("/").page)
        look.page.locator("nav").wait_for()
        look.open("/course").page.locator("form[action='/course'] button").click()
        look.heading("Block 2 of 2").press("Begin the block").heading("Trial 1 of 2")

    def sign_in(self, place: Any) -> None:
        join(place, self.code, self.key)


@pytest.fixture
def seats(console_world: World) -> list[Seat]:
    trainee = console_world.staff.caller(Role.TRAINEE)
    made = enrol(console_world.staff.caller(Role.TRAINER).training, console_world.course.course_id, 2)
    found = [Seat(trainee.training, one.code, trainee.token, one.trainee_id) for one in made.enrolled]
    for one in found:
        one.practise()
    return found


@pytest.fixture
def seat(seats: list[Seat]) -> Seat:
    return seats[0]


def answers(world: World, seat: Seat) -> list[int]:
    """The ratings of the timed trials that the store has."""
    (kept,) = store_of(world.staff.server).sessions_of(seat.trainee_id)
    return [one.answer.given.rating for trial in kept.trials[4:] for one in trial.locked]  # type: ignore[union-attr]


def seconds_left(look: Look) -> int:
    minutes, _, seconds = look.page.locator("[data-left]").inner_text().partition(":")
    return 60 * int(minutes) + int(seconds)


def photos_on(look: Look) -> list[str]:
    return look.page.locator(".pane img").evaluate_all("all => all.map((one) => one.src)")  # type: ignore[no-any-return]


def as_seen_anew(browser: Any, look: Look, seat: Seat) -> tuple[str, list[str], int]:
    """The heading, the photos and the seconds left that somebody finds who signs in elsewhere."""
    with opened(browser, look.address) as other:
        seat.sign_in(other.open("/").page)
        other.page.locator("nav").wait_for()
        other.open("/course/sitting?name=pairs").page.locator(".pane").first.wait_for()
        return other.page.locator("h1").inner_text(), photos_on(other), seconds_left(other)


@pytest.mark.parametrize("sends_again", [True, False], ids=["sends again", "control: does not"])
def test_a_cut_of_half_a_minute_loses_no_answer(
    browser: Any, console_world: World, look: Look, seat: Seat, sends_again: bool
) -> None:
    look.page.clock.install()
    seat.enter(look)
    left = seconds_left(look)
    look.page.context.set_offline(True)
    look.page.locator("#lost").wait_for()
    if not sends_again:
        look.page.evaluate(NEVER_AGAIN)
    look.page.keyboard.press("7")
    look.page.clock.fast_forward(1000 * CUT_S)
    console_world.staff.clock.ahead_ms += 1000 * CUT_S
    assert look.page.locator("#lost").is_visible()
    assert seconds_left(look) <= left - CUT_S + 1
    assert answers(console_world, seat) == []
    look.page.context.set_offline(False)
    look.page.locator("#lost").wait_for(state="hidden")
    look.heading("Trial 2 of 2" if sends_again else "Trial 1 of 2")
    assert answers(console_world, seat) == ([3] if sends_again else [])
    assert seconds_left(look) <= left - CUT_S + 1
    heading, photos, there = as_seen_anew(browser, look, seat)
    assert (heading, photos) == (look.page.locator("h1").inner_text(), photos_on(look))
    assert there <= left


def test_a_page_whose_connection_is_back_shows_the_time_that_the_server_counted(
    console_world: World, look: Look, seat: Seat
) -> None:
    seat.enter(look)
    left = seconds_left(look)
    look.page.context.set_offline(True)
    look.page.locator(".unsure").wait_for()
    console_world.staff.clock.ahead_ms += 1000 * AHEAD_S  # and the clock of the page is not
    look.page.context.set_offline(False)
    look.page.locator(".unsure").wait_for(state="hidden")
    until(lambda: seconds_left(look) <= left - AHEAD_S)
    look.heading("Trial 1 of 2")


def test_an_answer_whose_acknowledgement_was_cut_off_counts_once(console_world: World, look: Look, seat: Seat) -> None:
    seat.enter(look)
    cut: list[str] = []

    def lose(route: Any) -> None:
        if route.request.method == "POST" and not cut:
            route.fetch(max_redirects=0)
            cut.append(route.request.post_data)
            route.abort("internetdisconnected")
        else:
            route.continue_()

    is_gone = [True]
    look.page.route("**/course/sitting?*", lose)
    look.page.route("**/readyz", lambda route: route.abort("internetdisconnected") if is_gone else route.continue_())
    look.page.keyboard.press("7")
    look.page.locator("#lost").wait_for()
    assert answers(console_world, seat) == [3]  # control: the answer had come
    is_gone.clear()
    look.heading("Trial 2 of 2")
    assert answers(console_world, seat) == [3]
    assert len(cut) == 1


def test_a_reload_shows_the_trial_of_before_with_the_clock_of_before(
    browser: Any, console_world: World, look: Look, seats: list[Seat]
) -> None:
    seat, other = seats
    seat.enter(look)
    photos, left = photos_on(look), seconds_left(look)
    console_world.staff.clock.ahead_ms += 1000 * CUT_S
    look.page.reload()
    look.heading("Trial 1 of 2")
    assert photos_on(look) == photos
    assert seconds_left(look) <= left - CUT_S
    look.page.keyboard.press("6")
    look.heading("Trial 2 of 2").page.reload()
    look.heading("Trial 2 of 2")
    assert photos_on(look) != photos  # control
    assert answers(console_world, seat) == [2]
    with opened(browser, look.address) as fresh:
        other.enter(fresh)
        assert seconds_left(fresh) > left - CUT_S  # control: a clock that begins has more


def test_a_person_who_was_signed_out_goes_on_at_their_trial(
    browser: Any, console_world: World, look: Look, seat: Seat
) -> None:
    """The time since the last answer counts as a pause, as wherever a trainee comes back; that before it does not."""
    seat.enter(look)
    left = seconds_left(look)
    console_world.staff.clock.ahead_ms += 1000 * CUT_S
    look.page.keyboard.press("5")
    look.heading("Trial 2 of 2")
    signed_out_elsewhere(look)
    console_world.staff.clock.ahead_ms += 1000 * CUT_S
    heading, photos, there = as_seen_anew(browser, look, seat)
    assert (heading, photos) == ("Trial 2 of 2", photos_on(look))
    assert there <= left - CUT_S
    look.page.keyboard.press("3")
    dialog = look.page.locator("#again")
    dialog.locator("form").first.wait_for()
    assert answers(console_world, seat) == [1]
    seat.sign_in(dialog)
    look.heading("The sitting is over")
    assert answers(console_world, seat) == [1, -1]


def test_an_answer_never_becomes_that_of_another_who_signs_in(
    console_world: World, look: Look, seats: list[Seat]
) -> None:
    """The control of the one before."""
    seat, other = seats
    seat.enter(look)
    signed_out_elsewhere(look)
    look.page.keyboard.press("5")
    other.sign_in(look.page.locator("#again"))
    look.page.wait_for_url(f"{look.address}/")
    assert (answers(console_world, seat), answers(console_world, other)) == ([], [])


def signed_out_elsewhere(look: Look) -> None:
    tab = Look(look.page.context.new_page(), look.address).open("/course")
    tab.press("Sign out").heading("Sign in")
    tab.page.close()


def test_notes_that_were_typed_without_a_connection_are_saved_when_it_is_back(console_world: World, look: Look) -> None:
    console_world.every_exercise()
    look.expected = BROKEN
    session = at_step(look, console_world, next(console_world.others), training_pb2.TRIAL_STEP_NOTE)
    stub = console_world.staff.caller(Role.TRAINEE).training
    look.page.context.set_offline(True)
    look.page.locator("#notes").press_sequentially("A mark")
    look.page.locator("[data-saved]", has_text="not").wait_for()
    kept = next_trial(stub, session)
    assert kept is not None
    assert kept.draft.notes == ""  # control
    look.page.context.set_offline(False)
    look.page.locator("[data-saved]", has_text="Saved.").wait_for()
    look.page.reload()
    assert look.page.locator("#notes").input_value() == "A mark"


# --- servers that die ---------------------------------------------------------------------------------------------


@dataclass
class Mortal:
    """A server in a process of its own, with or without its pages, which starts again at the same ports."""

    home: Path
    port: int
    web_port: int
    lives: ExitStack = field(default_factory=ExitStack)
    process: Script | None = None

    def live(self, ahead_s: int = 0) -> None:
        words = (self.home / "data", self.port, self.web_port, ahead_s)
        self.process = self.lives.enter_context(script(__file__, *words, FR_HOME=str(self.home)))
        assert self.process.line() == '["serves"]'

    def die(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    link_people(tmp_path / "people", 40)
    return tmp_path


@contextmanager
def course_of(port: int) -> Iterator[tuple[Stub, str]]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = training_pb2_grpc.TrainingServiceStub(channel)
        yield stub, create(stub, PLAN).course_id


def ratings(stub: Stub, cohort_id: str) -> list[str]:
    """The ratings of the timed trials that a report of the server has."""
    request = training_pb2.ExportResultsRequest(cohort_id=cohort_id, format=training_pb2.EXPORT_FORMAT_CSV)
    text = b"".join(piece.content for piece in stub.ExportResults(request, wait_for_ready=True)).decode()
    return [one["rating"] for one in csv.DictReader(io.StringIO(text)) if one["block_id"] == "test" and one["answer"]]


@pytest.mark.parametrize("how", ["server", "server and pages", "control: with the files of before"])
def test_a_server_that_is_killed_in_mid_trial_goes_on_there(browser: Any, home: Path, how: str) -> None:
    pages = how == "server and pages"
    server = Mortal(home, free_port(), free_port() if pages else 0)
    with server.lives, ExitStack() as after:
        server.live()
        stub, course_id = after.enter_context(course_of(server.port))
        made = enrol(stub, course_id)
        seat = Seat(stub, made.enrolled[0].code)
        seat.practise()
        own = nullcontext(Web("127.0.0.1", server.web_port)) if pages else web(f"127.0.0.1:{server.port}")
        site = after.enter_context(own)
        look = after.enter_context(opened(browser, f"http://localhost:{site.port}"))
        seat.enter(look)
        if how.startswith("control"):
            server.die()
            shutil.copytree(home / "data", home / "before")
            server.live()
            until(lambda: site.answers("/readyz"))
            look.page.reload()
        look.heading("Trial 1 of 2").page.keyboard.press("7")
        look.heading("Trial 2 of 2")
        photos = photos_on(look)
        server.die()
        look.page.keyboard.press("1")
        look.page.locator("#lost").wait_for()
        if how.startswith("control"):
            shutil.rmtree(home / "data")
            shutil.copytree(home / "before", home / "data")
            server.live()
            look.heading("Trial 1 of 2")
            assert ratings(stub, made.cohort.cohort_id) == []
            return
        server.live(AHEAD_S)
        if pages:  # they knew who had signed in
            look.page.locator("#again form").first.wait_for()
            assert photos_on(look) == photos
            seat.sign_in(look.page.locator("#again"))
        look.heading("The sitting is over")
        assert ratings(stub, made.cohort.cohort_id) == ["3", "-3"]


def test_the_death_of_a_server_gives_no_time_back(browser: Any, home: Path) -> None:
    server = Mortal(home, free_port(), 0)
    with server.lives, ExitStack() as after:
        server.live()
        stub, course_id = after.enter_context(course_of(server.port))
        seat, other = (Seat(stub, one.code) for one in enrol(stub, course_id, 2).enrolled)
        site = after.enter_context(web(f"127.0.0.1:{server.port}"))
        looks = []
        for one in (seat, other):
            one.practise()
            looks.append(after.enter_context(opened(browser, f"http://localhost:{site.port}")))
        seat.enter(looks[0])
        photos = photos_on(looks[0])
        server.die()
        server.live(AHEAD_S)
        until(lambda: site.answers("/readyz"))
        looks[0].page.reload()
        looks[0].heading("Trial 1 of 2")
        assert photos_on(looks[0]) == photos
        assert seconds_left(looks[0]) <= BEGUN_S - AHEAD_S
        looks[0].page.keyboard.press("5")
        looks[0].heading("Trial 2 of 2")
        server.die()
        server.live(2 * AHEAD_S)
        until(lambda: site.answers("/readyz"))
        heading, photos, there = as_seen_anew(browser, looks[0], seat)
        assert (heading, photos) == ("Trial 2 of 2", photos_on(looks[0]))
        assert there <= BEGUN_S - AHEAD_S
        other.enter(looks[1])
        assert seconds_left(looks[1]) > BEGUN_S - AHEAD_S  # control


def _serve(folder: Path, port: int, web_port: int, ahead_s: int) -> None:
    clock = Clock(ahead_ms=1000 * ahead_s)
    with running(folder, clock=clock, server={"port": port}) as server, ExitStack() as pages:
        if web_port:
            pages.enter_context(web(server.address, port=web_port))
        say("serves")
        time.sleep(600)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), *map(int, sys.argv[2:]))
