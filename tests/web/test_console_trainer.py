"""A trainer's pages over HTTP: courses, cohorts, the live board, items for the class, and what stays where it is."""

import http.client
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from zipfile import ZipFile

import pytest

from fr_api.v1 import access_pb2
from fr_training.lessons import lesson
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Role
from support.browser import World
from support.courses import finish
from support.faults import until
from support.surfer import HOSTILE, Surfer, escaped, signed_in, words
from support.web import Answered

PLAN = """
format = 1
title = "Squares of a trainer"
claims = false
[[sittings]]
name = "pairs"
title = "Pairs"
blocks = [
  {id = "practice", exercise = "verification", same = 2, different = 2, feedback = true},
  {id = "test", exercise = "verification", same = 1, different = 1, minutes = 30, occasion = "pre", equated = "t"},
  {id = "after", exercise = "verification", same = 1, different = 1, minutes = 30, occasion = "post", equated = "t"},
]
[[sittings]]
name = "own"
blocks = [{id = "own", exercise = "own_probe", trials = 1, size = 3}]
"""
DAY = """
format = 1
title = "A day of <lessons>"
[[sittings]]
name = "day"
starts = "09:00"
blocks = [
  {id = "bias", exercise = "lesson", lesson = "bias", minutes = 20},
  {id = "lines", exercise = "lesson", lesson = "thresholds", minutes = 20},
]
slots = [
  {kind = "welcome", minutes = 10}, {after = "bias", kind = "talk", title = "Us & them", minutes = 15},
  {after = "lines", kind = "break", minutes = 10}, {after = "lines", kind = "debrief", minutes = 20},
]
"""
WANTED = {"plan": "", "toml": PLAN, "dataset.people_folder": "1"}


pytestmark = pytest.mark.usefixtures("console_world")


@pytest.fixture
def trainer(console_world: World) -> Surfer:
    return signed_in(console_world.site, console_world.key("trainer"))


def led(answer: Answered) -> str:
    assert answer.status == 303, words(answer)
    return answer.headers["location"]


def made_course(trainer: Surfer, toml: str = PLAN) -> str:
    """Make a course by the pages, and return its address."""
    draft = led(trainer.post("/courses/new", {**WANTED, "toml": toml}))
    led(trainer.post(draft, {"do": "make"}))
    until(lambda: "The course is made" in words(trainer.get(draft)), 60)
    found = re.search(r'href="(/courses/[0-9a-f]+)"', words(trainer.get(draft)))
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def course(console_world: World) -> str:
    return made_course(signed_in(console_world.site, console_world.key("trainer")))


def slips(trainer: Surfer, course: str, **fields: str) -> tuple[str, list[str], Answered]:
    """Make a cohort, and return its address, its codes, and the page."""
    assert trainer.get(course).status == 200
    page = trainer.post(f"{course}/cohorts", {"trainees": "3", **fields})
    assert page.status == 200, words(page)
    place = re.search(r'href="(/cohorts/[0-9a-f]+)"', words(page))
    assert place is not None
    return place[1], re.findall(r"Code: <code[^>]*>([^<]+)</code>", words(page)), page


def answers_all(world: World, code: str) -> None:
    finish(world.staff.caller(Role.TRAINEE).training, code, "pairs")


def test_a_plan_is_checked_before_a_course_is_made(trainer: Surfer) -> None:
    page = words(trainer.get("/courses/new"))
    assert "people_folder" in page
    assert re.search(r"[1-9][0-9]* people, [1-9][0-9]* of them with two photos or more", page)
    assert 'value="taster-90"' in page
    refused = trainer.post("/courses/new", {"plan": "", "toml": PLAN})
    assert refused.status == 400
    assert "Squares of a trainer" in words(refused)  # nothing typed is lost
    assert trainer.post("/courses/new", {**WANTED, "leave_out": "photo.jpg"}).status == 400
    assert trainer.post("/courses/new", {**WANTED, "toml": "format = 1"}).status == 400
    before = words(trainer.get("/courses")).count('href="/courses/')
    draft = led(trainer.post("/courses/new", WANTED))
    page = words(trainer.get(draft))
    assert "The data sets have enough people." in page
    led(trainer.post(draft, {"do": "check"}))
    until(lambda: "How hard the forms will be" in words(trainer.get(draft)), 60)
    told = trainer.get(f"{draft}/events")
    assert told.headers["content-type"].startswith("text/event-stream")
    assert "data:" in words(told)
    assert words(told).endswith("event: over\ndata: -\n\n")
    assert words(trainer.get("/courses")).count('href="/courses/') == before + 1  # the draft, and no course
    many = led(trainer.post("/courses/new", {**WANTED, "plan": "three-day"}))
    lacking = words(trainer.get(many))
    assert "people are missing" in lacking
    assert ('value="make"' in page, 'value="make"' in lacking, "too few people" in lacking) == (True, False, True)


def test_the_work_on_a_course_stands_above_its_plan(trainer: Surfer) -> None:
    draft = led(trainer.post("/courses/new", WANTED))
    assert re.findall('id="work"|<table', words(trainer.get(draft))) == ["<table", 'id="work"']
    led(trainer.post(draft, {"do": "make"}))
    assert re.findall('id="work"|<table', words(trainer.get(draft))) == ['id="work"', "<table"]
    until(lambda: "The course is made" in words(trainer.get(draft)), 60)  # the server makes one at a time


def test_an_error_of_the_work_is_on_the_page_of_the_draft(trainer: Surfer) -> None:
    draft = led(trainer.post("/courses/new", {**WANTED, "plan": "three-day"}))
    led(trainer.post(draft, {"do": "make"}))
    until(lambda: "This was refused" in words(trainer.get(draft)) or 'class="refusal"' in words(trainer.get(draft)), 60)
    assert trainer.get("/courses/drafts/0123").status == 404


def test_items_are_left_out_of_the_next_course(trainer: Surfer, course: str) -> None:
    page = words(trainer.get(f"{course}/items"))
    assert "Not for trainees" in page
    assert "Jane_Roe" not in page
    items = re.findall(r'name="item\.([0-9a-f]{16})"', page)
    assert len(items) > 4
    marked = trainer.post(f"{course}/items", {f"shown.{items[0]}": "1", f"item.{items[0]}": "1", "again": "1"})
    form = words(trainer.get(led(marked)))
    assert items[0] in form
    assert 'title = "Squares of a trainer"' in form
    assert 'title = "Squares of a trainer"' in words(trainer.get(course))
    like = words(trainer.get(f"/courses/new?like={course.rpartition('/')[2]}"))
    assert 'title = "Squares of a trainer"' in like
    assert items[0] not in like
    assert 'name="dataset.people_folder" value="1" checked' in form
    assert "1 item is marked" in words(trainer.get(f"{course}/items"))
    trainer.post(f"{course}/items", {f"shown.{items[0]}": "1"})
    assert "0 items are marked" in words(trainer.get(f"{course}/items"))


def test_codes_are_shown_once_and_a_slip_holds_no_other_key(trainer: Surfer, console_world: World, course: str) -> None:
    before = words(trainer.get("/cohorts")).count('href="/cohorts/')
    refused = trainer.post(f"{course}/cohorts", {"trainees": "1", "class_key": console_world.key("trainer")})
    assert refused.status == 400
    assert console_world.key("trainer") not in words(refused)
    mistyped = trainer.post(f"{course}/cohorts", {"trainees": "1", "class_key": "mistyped"})
    assert (mistyped.status, "not the key of a class" in words(mistyped)) == (400, True), "401 asks to sign in again"
    assert words(trainer.get("/cohorts")).count('href="/cohorts/') == before
    place, codes, page = slips(trainer, course, name=HOSTILE, class_key=console_world.key("trainee"))
    assert len(codes) == 3
    for piece in ("data:image/svg+xml", f">{trainer.origin}/<", f">{console_world.key('trainee')}<"):
        assert words(page).count(piece) == 3
    assert f'value="{trainer.origin}/#key={console_world.key("trainee")}"' in words(page)
    assert HOSTILE not in page.body.decode()
    assert HOSTILE in words(page)
    for path in (place, "/cohorts", course, f"{place}/release", f"{place}/items"):
        shown = trainer.get(path)
        assert not any(code in words(shown) for code in codes), path
        assert HOSTILE not in shown.body.decode()
    key, spelled = (
        console_world.key("trainee"),
        (codes[0], f" {codes[0].lower()}", codes[0].replace("-", " "), codes[1]),
    )
    pages = [words(signed_in(console_world.site, key, one).get("/")) for one in spelled]
    marks = [re.findall(r'data-who="(\w+)"', one) for one in pages]
    assert [one == marks[0] for one in marks] == [True, True, True, False], "one person, however the code is typed"
    more = trainer.post(f"{place}/trainees", {"trainees": "2"})
    assert len(re.findall(r"Code: <code", words(more))) == 2
    assert words(more).count("your trainer has it") == 2
    assert "#key=" not in words(more)
    for form in (f"{place}/trainees", f"{course}/cohorts"):  # as a browser that loads the slips again
        above = led(trainer.get(form))
        assert ["The slips were shown once" in words(trainer.get(above)) for _ in range(2)] == [True, False]
    assert words(trainer.get(place)).count("/trainees/") == 5


@contextmanager
def events(surfer: Surfer, path: str) -> Iterator[http.client.HTTPResponse]:
    with closing(surfer.site.connect()) as connection:
        connection.request("GET", path, headers={"Accept": "text/html, text/event-stream", "Cookie": surfer.cookie})
        answer = connection.getresponse()
        assert answer.status == 200
        yield answer


def event(answer: http.client.HTTPResponse) -> str:
    lines: list[str] = []
    while (line := answer.readline().decode().rstrip("\n")) or not lines:
        lines.append(line)
    return "\n".join(lines)


def test_the_board_follows_the_class_and_never_says_what_was_right(
    trainer: Surfer, console_world: World, course: str
) -> None:
    place, codes, _ = slips(trainer, course)
    with events(trainer, f"{place}/events") as answer:
        first = event(answer)
        assert "0 / 8" in first
        answers_all(console_world, codes[0])
        seen = first
        while "finished" not in seen:
            seen = event(answer)
        assert "8 / 8" in seen
        assert "right" not in seen.lower()
        trainer.post("/sign-out", {})
        while "event: over" not in seen:
            before, seen = seen, event(answer)
        assert "Sign in again" in before
    assert trainer.get(f"{place}/events").status == 401


def test_a_release_says_what_is_ahead_and_a_class_sees_an_item_step_by_step(
    trainer: Surfer, console_world: World, course: str
) -> None:
    place, codes, _ = slips(trainer, course)
    for code in codes[:2]:
        answers_all(console_world, code)
    empty, _, _ = slips(trainer, course)
    assert "Nobody has answered an item yet." in words(trainer.get(f"{empty}/items"))
    page = words(trainer.get(f"{place}/release"))
    assert "1 of 3 trainees has not finished" in page
    assert f'href="/keyboard?next={escaped(f"{place}/release")}"' in page
    listed = words(trainer.get(f"{place}/items"))
    items = re.findall(r'<code dir="ltr">([0-9a-f]{16})</code>', listed)
    assert listed.count("not released") == len(items)
    assert trainer.get(f"{place}/items/{items[0]}").status == 400
    assert trainer.post(f"{place}/release", {"block.practice": "1", "ahead": "1"}).status == 400
    ahead = trainer.post(f"{place}/release", {"block.practice": "1", "sure": "1"})
    assert ahead.status == 400
    assert "still ahead" in words(ahead)
    tests = trainer.post(f"{place}/release", {"block.test": "1", "sure": "1", "ahead": "1"})
    assert tests.status == 400
    assert "belong to a test" in words(tests)
    led(trainer.post(f"{place}/release", {"block.practice": "1", "sure": "1", "ahead": "1"}))
    released = re.findall(rf'href="({place}/items/[0-9a-f]+)"', words(trainer.get(f"{place}/items")))
    assert 0 < len(released) < len(items)
    again = words(trainer.get(f"{place}/items"))
    assert max(map(again.index, released)) < again.index("not released</span>")
    assert "Right, of all answers" in again
    path = released[0]
    assert all(trainer.get(one).status == 200 for one in released)
    release = words(trainer.get(f"{place}/release"))
    assert [">test<" in one for one in release.split("<p><label")[1:4]] == [False, True, True]
    steps = {step: words(trainer.get(f"{path}?step={step}")) for step in ("photos", "answers", "average", "truth")}
    assert 'href="/courses"' not in steps["photos"]
    assert steps["photos"].count("<img") == 2
    for step in ("photos", "answers", "average"):
        assert "What is right" not in steps[step]
        assert not re.search("was right|Right: ", steps[step])
        assert "✓" not in steps[step]
    assert "<svg" not in steps["photos"]
    assert "Its members" not in steps["answers"]
    assert steps["answers"].count("<svg") == 7
    assert "Its members: " in steps["average"]
    assert re.search(r"Right: [012] of 2 trainees\.", steps["truth"])
    for page in steps.values():
        assert "Jane_Roe" not in page
        assert not any(code in page for code in codes)


def test_a_projector_shows_what_the_trainer_shows_and_nothing_else(
    trainer: Surfer, console_world: World, course: str
) -> None:
    place, codes, _ = slips(trainer, course, name="Secret name")
    answers_all(console_world, codes[0])
    led(trainer.post(f"{place}/release", {"block.practice": "1", "sure": "1", "ahead": "1"}))
    item = re.findall(rf'href="({place}/items/[0-9a-f]+)"', words(trainer.get(f"{place}/items")))[0]

    def linked() -> str:
        page = trainer.get(led(trainer.post(f"{place}/wall", {})))
        found = re.search(r'href="http[^"]*(/wall/[\w-]+)"', words(page))
        assert found is not None
        return found[1]

    assert led(trainer.get(f"{place}/wall")) == place, "no link yet"

    first, projector = linked(), Surfer(console_world.site)
    assert projector.get(first).status == 200
    link = linked()
    assert [projector.get(one).status for one in (first, f"{link}x", link)] == [404, 404, 200]
    assert "The trainer shows nothing yet." in words(projector.get(link))
    with events(projector, f"{link}/events") as told:
        assert "nothing yet" in event(told)
        trainer.get(f"{item}?step=answers")
        shown = event(told)
        while "answers-head" not in shown:
            shown = event(told)
        assert "truth-head" not in shown
        trainer.get(f"{item}?step=truth")
        while "truth-head" not in shown:
            shown = event(told)
        page = words(projector.get(link))
        for one in (shown, page):
            assert one.count("<img") == 2
            assert not any(secret in one for secret in ("Secret name", "Jane_Roe", "/cohorts/", *codes))
        assert {projector.get(one).status for one in ("/", place, item)} == {200, 401}  # "/" asks who they are
        led(trainer.post(f"{place}/delete", {"sure": "1"}))
        while "event: over" not in shown:
            before, shown = shown, event(told)
        assert ("This link has ended" in before, "<img" in before) == (True, False)
    assert projector.get(link).status == projector.get(f"{link}/events").status == 404


def test_a_link_ends_with_its_trainer_and_takes_nobody_along(
    trainer: Surfer, console_world: World, course: str
) -> None:
    place, codes, _ = slips(trainer, course)
    answers_all(console_world, codes[0])
    led(trainer.post(f"{place}/release", {"block.practice": "1", "sure": "1", "ahead": "1"}))
    item = re.findall(rf'href="({place}/items/[0-9a-f]+)"', words(trainer.get(f"{place}/items")))[0]
    staff = console_world.staff
    guest = signed_in(console_world.site, staff.caller(Role.TRAINER, number=7).token)
    links = []
    for one in (trainer, guest):
        page = words(one.get(led(one.post(f"{place}/wall", {}))))
        links += re.findall(r'href="http[^"]*(/wall/[\w-]+)"', page)
        assert one.get(item).status == 200
    visitor = signed_in(console_world.site, console_world.key("operator"))
    assert [visitor.get(one).status for one in links] == [200, 200]
    key_id = staff.caller(Role.TRAINER, number=7).token.partition(".")[0]
    staff.admin.access.RevokeKey(access_pb2.RevokeKeyRequest(key_id=key_id))
    with events(visitor, f"{links[0]}/events") as told:
        shown = event(told)
        assert "<img" in shown
        until(lambda: [visitor.get(one).status for one in links] == [200, 404], 5)
        assert visitor.get("/galleries").status == 200, "the key of somebody else was revoked"
        trainer.post("/sign-out", {})
        while "event: over" not in shown:
            before, shown = shown, event(told)
        assert ("This link has ended" in before, "Sign in" in before) == (True, False)
    assert [visitor.get(one).status for one in links] == [404, 404]


def test_a_class_votes_on_what_its_trainer_shows(trainer: Surfer, console_world: World, course: str) -> None:
    place, codes, _ = slips(trainer, course, name="Secret name")
    answers_all(console_world, codes[0])
    led(trainer.post(f"{place}/release", {"block.practice": "1", "sure": "1", "ahead": "1"}))
    item, other = re.findall(rf'href="({place}/items/[0-9a-f]+)"', words(trainer.get(f"{place}/items")))[:2]
    key = console_world.key("trainee")
    one, two, stranger = (
        signed_in(console_world.site, key, code) for code in (*codes[:2], slips(trainer, course)[1][0])
    )
    assert "asks for no vote now" in words(one.get("/course/vote"))
    assert "Open a vote" in words(trainer.get(item))
    assert "Open a vote" not in words(trainer.get(f"{item}?step=truth"))
    refused = trainer.post(f"{item}/vote", {"step": "truth"})
    assert (refused.status, "before you show what is right" in words(refused)) == (400, True)
    assert led(trainer.post(f"{item}/vote", {"step": "photos"})) == f"{item}?step=photos"
    link = re.search(r'href="http[^"]*(/wall/[\w-]+)"', words(trainer.get(led(trainer.post(f"{place}/wall", {})))))
    assert link is not None
    projector = Surfer(console_world.site)
    page = words(one.get("/course/vote"))
    assert (page.count("<img"), page.count('name="rating"'), "<svg" in page) == (2, 7, False)
    assert all(f'aria-keyshortcuts="{number}"' in page for number in range(1, 8))
    vote = re.findall(r'name="vote" value="(\w+)"', page)[0]
    assert "asks for no vote now" in words(stranger.get("/course/vote"))
    assert ("not for your class" in words(stranger.post("/course/vote", {"vote": vote, "rating": "3"}))) is True
    for bad in ("4", "-4", "1.5", "", HOSTILE):
        answer = one.post("/course/vote", {"vote": vote, "rating": bad})
        assert (answer.status, HOSTILE in answer.body.decode()) == (400, False), bad
    assert one.post("/course/vote", {"vote": HOSTILE, "rating": "1"}).status == 400
    with events(projector, f"{link[1]}/events") as told, events(trainer, f"{item}/vote/events") as counted:
        assert all("Votes so far: 0 of 3" in event(each) for each in (told, counted))
        for rating in ("-3", "0"):  # the last one counts
            assert led(one.post("/course/vote", {"vote": vote, "rating": rating})) == "/course/vote"
        assert re.search(r'value="0" class="kept"', words(one.get("/course/vote")))
        led(two.post("/course/vote", {"vote": vote, "rating": "2"}))
        for each in (told, counted):
            seen = event(each)
            while "Votes so far: 2 of 3" not in seen:
                seen = event(each)
            assert "<svg" not in seen, "nobody follows the others"
        with events(two, "/course/vote/events") as own:
            assert "Your vote: +2" in event(own)
            led(trainer.post(f"{item}/vote", {"step": "photos", "close": "1"}))
            seen = event(own)
            while "The vote is closed" not in seen:
                seen = event(own)
        while "event: over" not in event(counted):
            pass
    late = one.post("/course/vote", {"vote": vote, "rating": "3"})
    assert (late.status, "This vote is closed" in words(late)) == (400, True)
    for surfer, path in ((trainer, item), (projector, link[1])):
        page = words(surfer.get(path))
        assert re.findall(r'class="number">(\d)<', page) == list("0001010"), "a closed vote, and no answer before"
        assert not any(secret in page for secret in ("Jane_Roe", *codes))
    page = words(trainer.get(f"{item}?step=answers"))
    assert re.findall(r'class="number">(\d)<', page)[1::2] == list("0001010"), "beside the answers"
    assert "What is right" not in page
    led(trainer.post(f"{item}/vote", {"step": "answers"}))
    trainer.get(f"{item}?step=truth")
    assert "The vote is closed" in words(one.get("/course/vote")), "nobody votes beside the right answer"
    trainer.get(other)
    assert "<svg" not in words(projector.get(link[1]))
    assert "asks for no vote now" in words(one.get("/course/vote"))


def test_a_class_has_one_vote_whoever_comes_and_goes(trainer: Surfer, console_world: World, course: str) -> None:
    place, codes, _ = slips(trainer, course)
    answers_all(console_world, codes[0])
    led(trainer.post(f"{place}/release", {"block.practice": "1", "sure": "1", "ahead": "1"}))
    item, other = re.findall(rf'href="({place}/items/[0-9a-f]+)"', words(trainer.get(f"{place}/items")))[:2]
    staff = console_world.staff
    thrifty = staff.caller(Role.TRAINER, number=8, budget=Budget(0.1, 20, None)).token
    key = staff.caller(Role.TRAINEE, number=8).token
    trainer = signed_in(console_world.site, thrifty)
    seen = signed_in(console_world.site, console_world.key("trainer"))

    def vote_of(trainee: Surfer) -> str:
        return words(trainee.get("/course/vote")).partition('name="vote" value="')[2].partition('"')[0]

    one, two = (signed_in(console_world.site, key, code) for code in codes[:2])
    led(trainer.post(f"{item}/vote", {}))
    first = vote_of(one)
    for each in (two, signed_in(console_world.site, key, codes[1].lower())):  # one person in two browsers
        led(each.post("/course/vote", {"vote": first, "rating": "3"}))
    late = re.findall(r"Code: <code[^>]*>([^<]+)</code>", words(seen.post(f"{place}/trainees", {"trainees": "1"})))[0]
    added = signed_in(console_world.site, key, late)
    led(added.post("/course/vote", {"vote": vote_of(added), "rating": "1"}))
    assert "Votes so far: 2 of 4" in words(trainer.get(item)), "somebody came late"
    for _ in range(25):  # more than the trainer's key may ask
        assert one.get("/course/vote").status == 200
    assert trainer.get(item).status == 200, "a class uses up the calls of its trainer"

    led(seen.post(f"{other}/vote", {}))  # the trainer has lost the browser, or another trainer goes on
    second = vote_of(one)
    assert second != first
    assert one.post("/course/vote", {"vote": first, "rating": "1"}).status == 400
    assert "Open another vote" in words(trainer.get(item)), "the vote of before is closed"
    led(two.post("/course/vote", {"vote": second, "rating": "-3"}))
    led(seen.post(f"{other}/vote", {"close": "1"}))
    assert "Your vote: -3." in words(two.get("/course/vote")), "a vote of before came back"
    assert seen.post(f"{other}/vote", {}).status == 303
    names = re.findall(rf'href="({place}/trainees/[^"]+)"', words(seen.get(place)))
    third = vote_of(two)
    for trainee in (one, two):
        led(trainee.post("/course/vote", {"vote": third, "rating": "2"}))
    assert "Votes so far: 2 of 4" in words(seen.get(other))
    for name in names[:3]:
        led(seen.post(name, {"sure": "1"}))
    assert "Votes so far: 0 of 1" in words(seen.get(other)), "who is deleted votes no more"
    assert two.get("/course/vote").status == two.post("/course/vote", {"vote": third, "rating": "1"}).status == 404
    key_id = key.partition(".")[0]
    staff.admin.access.RevokeKey(access_pb2.RevokeKeyRequest(key_id=key_id))
    assert added.get("/course/vote").status == 401, "the key of the class was revoked"
    assert {trainer.get("/cohorts").status for _ in range(25)} == {200, 429}, "the control of the calls"


def test_a_sitting_is_closed_to_a_class_and_gets_more_time(trainer: Surfer, console_world: World, course: str) -> None:
    place, (code, other, _), _ = slips(trainer, course, name="<b>Closed</b>")
    key = console_world.key("trainee")
    trainee, late = (signed_in(console_world.site, key, one) for one in (code, other))
    assert words(trainee.get("/course")).count("deleted on") == 1
    assert "Les résultats sont supprimés le" not in words(trainee.get("/course", Accept_Language="fr"))
    sitting = led(trainee.post("/course", {"sitting": "pairs", "consent": "1"}))
    led(trainee.post(sitting, {"block": "practice"}))
    assert led(trainer.post(f"{place}/time", {"minutes": "5", "trainee": ""})) == place
    assert ["Nobody got more time" in words(trainer.get(place)) for _ in range(2)] == [True, False]
    assert trainer.post(f"{place}/time", {"minutes": "1441", "trainee": ""}).status == 400
    led(trainer.post(f"{place}/sittings", {"sitting": "pairs", "closed": "1"}))
    assert "Open Pairs" in words(trainer.get(place))
    assert 'value="pairs"' not in words(late.get("/course"))
    assert "Your trainer has closed this sitting" in words(late.get("/course"))
    assert led(late.post("/course", {"sitting": "pairs", "consent": "1"})) == "/course"
    for one in (trainee.post(sitting, {"resume": "1"}), trainee.get(sitting)):
        assert 'id="refusal-head"' not in words(one), "which would stay when the sitting is open again"
        assert ("Your trainer has closed this sitting" in words(one), 'name="resume"' in words(one)) == (True, False)
    with events(late, "/course/events") as course_told, events(trainee, f"{sitting.replace('?', '/events?')}") as told:
        for stream in (course_told, told):
            assert "Your trainer has closed this sitting" in event(stream)
        led(trainer.post(f"{place}/sittings", {"sitting": "pairs"}))
        for stream, opened in ((course_told, 'value="pairs"'), (told, 'name="resume"')):
            seen = event(stream)
            while seen.startswith(":"):
                seen = event(stream)
            assert (opened in seen, "has closed this sitting" in seen) == (True, False)
            assert "event: over" in event(stream)
    led(trainee.post(sitting, {"resume": "1"}))
    assert 'name="trial"' in words(trainee.get(sitting))
    led(late.post("/course", {"sitting": "pairs", "consent": "1"}))


def test_reports_and_exports_are_files(trainer: Surfer, console_world: World, course: str) -> None:
    place, codes, _ = slips(trainer, course)
    answers_all(console_world, codes[0])
    for path, kind in {
        "report?file=html": "text/html; charset=utf-8",
        "report?file=json": "application/json",
        "export?format=csv": "text/csv; charset=utf-8",
        "export?format=xapi": "application/json",
        "export?format=ags": "application/json",
    }.items():
        file = trainer.get(f"{place}/{path}")
        assert (file.status, file.headers["content-type"]) == (200, kind), path
        assert file.headers["content-disposition"].startswith("attachment")
        assert file.body
    names = re.findall(rf'href="({place}/trainees/[^"]+)"', words(trainer.get(place)))
    assert sorted(trainer.get(f"{one}/report?file=json").status for one in names) == [200, 400, 400]
    assert {trainer.get(f"{one}/report?file=certificate").status for one in names} == {400}  # a sitting is open


def test_the_person_of_a_probe_is_set_without_sending_the_photo(trainer: Surfer, course: str) -> None:
    assert trainer.upload(f"{course}/probe", photo=b"a photo", identity="Jane_Roe_001", absent="1").status == 400
    assert trainer.upload(f"{course}/probe", photo=b"a photo").status == 400
    assert trainer.upload(f"{course}/probe", photo=b"a photo", identity="nobody of them").status in (400, 404)
    done = trainer.upload(f"{course}/probe", photo=b"a photo", absent="1")
    assert "The person is set" in words(trainer.get(led(done)))


def test_what_is_deleted_is_meant(trainer: Surfer, console_world: World) -> None:
    course = made_course(trainer)
    place, _, _ = slips(trainer, course)
    name = re.findall(rf'href="({place}/trainees/[^"]+)"', words(trainer.get(place)))[0]
    assert trainer.post(name, {}).status == 400
    assert led(trainer.post(name, {"sure": "1"})) == place
    assert name not in words(trainer.get(place))
    assert trainer.post(f"{place}/delete", {}).status == 400
    assert led(trainer.post(f"{place}/delete", {"sure": "1"})) == "/cohorts"
    assert trainer.get(place).status == 404
    assert trainer.post(f"{course}/delete", {}).status == 400
    assert led(trainer.post(f"{course}/delete", {"sure": "1"})) == "/courses"
    assert trainer.get(course).status == 404


def test_other_roles_get_nothing_of_a_course(console_world: World, course: str) -> None:
    surfer = signed_in(console_world.site, console_world.key("operator"))
    assert 'href="/courses"' not in words(surfer.get("/"))
    for path in ("/courses", "/courses/new", course, f"{course}/items", "/cohorts"):
        answer = surfer.get(path)
        assert answer.status == 403, path
        assert "Squares of a trainer" not in words(answer)


def test_a_course_has_its_timetable_and_everything_that_a_trainer_hands_out(trainer: Surfer) -> None:
    course = made_course(trainer, DAY)
    told = words(trainer.get(f"{course}/timetable"))
    rows = [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in re.findall("<tr.*?</tr>", told, re.DOTALL)]
    welcome = "9:00 10 Welcome Slips with codes; set-up card Slides for welcome, talks, breaks and debrief The trainer"
    assert rows[1].startswith(welcome)
    assert rows[6].endswith("Slides for welcome, talks, breaks and debrief How to lead the debrief The trainer")
    assert [row.split()[0] for row in rows[1:]] == ["9:00", "9:10", "9:30", "9:45", "10:05", "10:15", "10:35"]
    assert "Us & them" in told
    assert set(re.findall(rf'href="({course}/kit/[a-z]+)"', told)) == {f"{course}/kit/slides", f"{course}/kit/debrief"}
    kit = words(trainer.get(f"{course}/kit"))
    links = re.findall(rf'href="({course}/[^"]+)"', kit)
    assert len(links) == 13
    pages = {one.removeprefix(course): trainer.get(one) for one in links}
    assert {one.status for one in pages.values()} == {200}
    for block, name in (("bias", "bias"), ("lines", "thresholds")):
        slides = pages[f"/kit/slides/{block}"]
        assert slides.headers["content-disposition"].startswith("attachment")
        noted = words(pages[f"/kit/slides/{block}?notes=1"])
        parts = lesson(name).sections
        shown = words(slides)
        assert words(slides).count("<section>") == 2 * len(parts) + 2
        assert "<script" not in shown
        assert not re.search(r'(src|href)="(?!data:)', shown)
        for part in parts:
            assert part.part.title in shown
            assert part.part.question in shown
            assert all(reason not in shown for reason in part.key.reasons)
            assert all(reason in noted for reason in part.key.reasons)
            assert f"Right:</strong> {part.key.reasons[part.key.right]}" in noted
        assert noted.count("Right:") == len(parts)
        assert all(goal in words(pages["/kit/handouts"]) for goal in lesson(name).goals)
    assert words(pages["/kit/handouts"]).count('class="handout"') == 2
    glossary = words(pages["/kit/glossary"])
    assert "<dt>threshold</dt>" in glossary
    assert "Automation bias: you rely on a machine more than it deserves." in glossary
    assert words(pages["/kit/questions"]).count("<h2>") == 15
    assert words(pages["/kit/debrief"]).count("<li><p>") == 10
    shown = words(pages["/kit/slides"])
    assert re.findall("<h2><bdi>(.*?)</bdi>", shown) == ["Welcome", "Us & them", "Break", "Debrief"]
    assert not re.search(r'<script|(src|href)="(?!data:)', shown)
    assert re.findall("Back at [0-9:]+", shown) == ["Back at 10:15"]
    assert "data:image/svg+xml" in words(pages["/kit/card"])
    for form, manifest in (("scorm-2004", "imsmanifest.xml"), ("cmi5", "cmi5.xml")):
        sent = pages[f"/kit/package/{form}"]
        assert sent.headers["content-disposition"] == f'attachment; filename="2-lessons-en-{form}.zip"'
        with ZipFile(BytesIO(sent.body)) as archive:
            assert set(archive.namelist()) == {manifest, "bias.html", "thresholds.html", "lesson.js"}
    assert trainer.get(f"{course}/kit/slides/none").status == 400
    assert trainer.get(f"{course}/kit/package/none").status == 400
