"""A trainee takes every exercise over HTTP, without scripts: answers arrive, drafts stay, nothing tells."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from fr_api.v1 import training_pb2
from fr_training.build.pictures import SIDE, TEMPLATE
from fr_training.exercises.checks import COMPONENTS
from fr_training.lessons import lesson
from fr_training.store.training_store import TrainingStore
from fr_trust.access.principal import Role
from fr_web.console.views.looks import PLACES
from support.browser import World
from support.courses import finish, store_of
from support.leaks import forbidden
from support.servers import photo
from support.surfer import HOSTILE, Surfer, Trainee, signed_in, words
from support.web import Answered

pb: Any = training_pb2
NAMES = ("Jane", "Roe", "people_folder", ".png", "low_prevalence")


@dataclass
class Class:
    """The course of every exercise in the world of the console."""

    world: World
    made: training_pb2.CreateCohortResponse

    @property
    def store(self) -> TrainingStore:
        return store_of(self.world.staff.server)

    def trainee(self) -> Trainee:
        caller, code = self.world.staff.caller(Role.TRAINEE), next(self.world.others)
        return Trainee(signed_in(self.world.site, caller.token, code), caller.training, code)

    def at(self, step: str, sitting: str = "all") -> tuple[Trainee, Answered]:
        """Somebody new at a step, and its page."""
        trainee = self.trainee()
        trainee.sitting = sitting
        trainee.begin()
        return trainee, trainee.until(step)


@pytest.fixture(scope="module")
def room(console_world: World) -> Class:
    return Class(console_world, console_world.every_exercise())


@pytest.fixture(scope="module")
def taken(room: Class) -> Trainee:
    trainee = room.trainee()
    trainee.take()
    return trainee


def test_every_step_of_every_exercise_is_answered_without_scripts(room: Class, taken: Trainee) -> None:
    elsewhere = {pb.TRIAL_STEP_SEND_PROBE, pb.TRIAL_STEP_READ, pb.TRIAL_STEP_ANSWER}
    expected = {*pb.TrialStep.values()} - {pb.TRIAL_STEP_UNSPECIFIED} - elsewhere
    assert {*taken.steps} - {0} == expected
    (trainee_id,) = (one.trainee_id for one in room.made.enrolled if one.code == taken.code)
    (session,) = room.store.sessions_of(trainee_id)
    assert all(one.done for one in session.trials)
    said = json.dumps([str(one.answer) for trial in session.trials for one in trial.locked])
    assert "0.805" in said
    assert "difficulty=3" in said


def test_nothing_tells_what_is_right_before_the_answer(room: Class, taken: Trainee) -> None:
    course = room.store.course(room.made.cohort.course_id)
    photos = [hashlib.sha256(path.read_bytes()).hexdigest() for path in room.world.folder.rglob("Jane*/*.png")]
    assert photos
    secrets = [one for one in forbidden(course, photos, NAMES) if len(one) >= 4]
    sessions = re.compile(rb"[0-9a-f]{32}")

    def told(around: bytes) -> list[bytes]:
        return [one for one in secrets if one in around]

    assert told(b"<img alt=" + secrets[-1] + b">")  # control
    kept = (room.store.sessions_of(one.trainee_id) for one in room.made.enrolled)
    ids = {one.session_id.encode() for sessions_of_one in kept for one in sessions_of_one}
    for page in taken.seen:
        around = str(page.headers).encode() + page.body
        if taken.step(page) == pb.TRIAL_STEP_CONCLUDE:  # a threshold to choose may equal a number of another item
            around = re.sub(rb"<td>0\.\d{3}</td>", b"", around)
        assert not told(around)
        assert not ids & {*sessions.findall(around)}
        assert b"similarit" not in around.lower() or taken.step(page) == pb.TRIAL_STEP_OBSERVE


def photos_of(page: Answered) -> list[str]:
    return re.findall(r'<img src="(data:[^"]+)"', page.body.decode())


def test_right_answers_stand_beside_the_photos_of_their_trials(taken: Trainee) -> None:
    counts = {pb.TRIAL_STEP_RATE: 2, pb.TRIAL_STEP_RATE_AGAIN: 2, pb.TRIAL_STEP_CHOOSE: 3, pb.TRIAL_STEP_TRIAGE: 1}
    counts |= {pb.TRIAL_STEP_DECIDE: 4, pb.TRIAL_STEP_CONCLUDE: 0}
    told = [(page, reveal) for page, reveal in taken.reveals if page is not None]
    assert {taken.step(page) for page, _ in told} == {*counts}
    for page, reveal in told:
        step, shown = taken.step(page), photos_of(reveal)
        is_footage = b'name="shot"' in page.body
        assert len(shown) == (11 if is_footage else counts[step]) or (
            step == pb.TRIAL_STEP_CONCLUDE and len(shown) == 1
        )
        if step == pb.TRIAL_STEP_DECIDE:
            assert shown[0] in photos_of(page)
            assert re.findall("<figcaption>(.*?)</figcaption>", words(reveal)) == ["Probe"]
            assert len(re.findall(r'alt="Candidate [123]">', words(reveal))) == 3
            assert len(re.findall(r'<bdi dir="ltr">[+-]\d\.\d{3}</bdi>', words(reveal))) == 3
        elif step != pb.TRIAL_STEP_CONCLUDE:
            assert shown == photos_of(page)
        assert (b"Similarity of the photo and the track" in reveal.body) == is_footage


def test_two_tabs_and_signing_in_again_leave_the_photos_of_a_right_answer(room: Class) -> None:
    trainee, page = room.at("RATE")
    fields, path = trainee.answer(page), trainee.path
    trainee.sitting = "own"
    trainee.begin()
    trainee.until("SEND_PROBE")
    first = trainee.surfer.post(path, fields)
    assert photos_of(first) == photos_of(page)
    following = trainee.surfer.get(path)
    assert photos_of(following) != photos_of(page)
    again = trainee.surfer.post(path, fields)  # of a tab that stood still
    assert (photos_of(again), again.status) == (photos_of(page), 200)
    other = signed_in(room.world.site, room.world.key("trainee"), trainee.code)
    assert photos_of(other.post(path, trainee.answer(following))) == photos_of(following)


def test_what_a_trainee_types_stays_text(taken: Trainee) -> None:
    assert not any(HOSTILE.encode() in page.body for page in taken.seen)


def test_the_result_says_what_the_answers_come_to(taken: Trainee) -> None:
    page = words(taken.surfer.get("/course/result"))
    assert "What your answers show" in page
    assert "<details" in page
    assert "Trials shown" in page
    refused = taken.surfer.get("/course/certificate")  # the other sitting is not finished
    assert (refused.status, "<h1" in words(refused)) == (400, True)


def test_a_certificate_follows_the_last_sitting(room: Class) -> None:
    trainee = room.trainee()
    for sitting in ("all", "own", "lesson"):
        finish(trainee.stub, trainee.code, sitting)
    found = trainee.surfer.get("/course/certificate")
    assert (found.status, found.headers["content-disposition"]) == (200, 'attachment; filename="certificate.html"')
    assert b"<html" in found.body


def test_an_answer_sent_twice_is_one_answer(room: Class) -> None:
    trainee, page = room.at("RATE")
    fields = trainee.answer(page)
    first = trainee.surfer.post(trainee.path, fields)
    again = trainee.surfer.post(trainee.path, fields)
    assert (first.status, again.status) == (200, 200)
    assert "The right answer" in words(first)
    shown = [re.search("<main.*</main>", words(one), re.DOTALL) for one in (first, again)]
    assert None not in shown
    assert len({one[0] for one in shown if one}) == 1
    other = trainee.surfer.post(trainee.path, {**fields, "rating": "-3", "p_same": ""})
    assert other.status == 409
    assert "Trial 2 of" in words(other)


def test_a_probability_against_the_rating_is_asked_about_once(room: Class) -> None:
    trainee, page = room.at("RATE")
    fields = {**trainee.answer(page), "rating": "3", "p_same": "10"}
    blocked, field, rating = (
        words(page).index(one) for one in ("<button disabled hidden>", 'aria-keyshortcuts="%"', 'name="rating"')
    )
    assert blocked < rating < field, "Enter in the field is no rating"
    asked = trainee.surfer.post(trainee.path, fields)
    assert "opposite" in words(asked)
    assert 'value="10"' in words(asked)
    assert trainee.surfer.post(trainee.path, {**fields, "sure": "1"}).status == 200
    for typed in ("101", "x", "1e1"):
        page = trainee.surfer.post(trainee.path, {**trainee.answer(trainee.page()), "p_same": typed})
        assert page.status == 400
        assert f'value="{typed}"' in words(page)


def test_notes_stay_when_they_are_saved_and_when_they_are_only_typed(room: Class) -> None:
    trainee, page = room.at("NOTE")
    fields = trainee.answer(page)
    assert trainee.surfer.post(trainee.path, {**fields, "notes": HOSTILE, "save": "1"}).status == 303
    page = trainee.page()
    assert HOSTILE in words(page)
    assert HOSTILE.encode() not in page.body
    kept = trainee.surfer.post(trainee.path.replace("?", "/draft?"), {**fields, "notes": "typed"})
    assert (kept.status, kept.body) == (204, b"")
    assert ">typed</textarea>" in words(trainee.page())
    empty = trainee.surfer.post(trainee.path, {**fields, "notes": ""})
    assert (empty.status, trainee.step(empty)) == (400, pb.TRIAL_STEP_NOTE)
    assert trainee.surfer.post(trainee.path, {**fields, "notes": HOSTILE}).status == 303
    for candidate in ("", "&at=2"):
        page = trainee.page(candidate)
        assert f'<p class="lines" dir="auto">{HOSTILE}</p>' in words(page)
        assert HOSTILE.encode() not in page.body


def test_parts_go_back_and_are_kept(room: Class) -> None:
    trainee, page = room.at("OBSERVE")
    assert "Part 1 of 12" in words(page)
    assert page.body.count(b"<ellipse") == 2
    page = trainee.go_on(page)
    assert "Part 2 of 12" in words(page)
    back = trainee.page("&at=1")
    assert re.search(r'value="7"[^>]*class="kept"', back.body.decode())
    changed = {**trainee.answer(back), "unseen": "1"}
    assert "Part 2 of 12" in words(trainee.after(changed))
    assert "Not visible" in words(trainee.page("&at=all"))
    assert 'name="lock"' not in words(trainee.page("&at=all"))
    refused = trainee.surfer.post(trainee.path, {k: v for k, v in trainee.answer(page).items() if k != "comparison"})
    assert refused.status == 400


def test_a_list_is_rated_before_it_is_decided(room: Class) -> None:
    trainee, page = room.at("DECIDE")
    assert "not rated yet" in words(page)
    fields = trainee.answer(page)
    early = {"trial": fields["trial"], "step": fields["step"], "choice": "none"}
    assert trainee.surfer.post(trainee.path, early).status == 400
    while "candidate" in (fields := trainee.answer(page)):
        page = trainee.after(fields)
        if "candidate" not in page.body.decode().partition('name="candidate"')[1]:
            page = trainee.page()
    confirm = trainee.surfer.post(trainee.path, {**early, "choice": "inconclusive", "known": "1"})
    assert "You leave this list inconclusive" in words(confirm)
    sent = trainee.answer(confirm)
    assert sent["choice"] == "inconclusive"
    assert trainee.surfer.post(trainee.path, {**early, "choice": HOSTILE}).status == 400
    assert trainee.surfer.post(trainee.path, sent).status in (200, 303)


def test_trainers_see_which_photo_of_a_list_is_the_probe(room: Class) -> None:
    trainer = signed_in(room.world.site, room.world.key("trainer"))
    page = words(trainer.get(f"/courses/{room.made.cohort.course_id}/items?form=lists"))
    named = re.findall(r'<p dir="ltr">(Probe|Candidate \d)', page)
    assert named == ["Probe", "Candidate 1", "Candidate 2", "Candidate 3"] * 2


def test_the_own_rating_stands_beside_the_advice(room: Class) -> None:
    trainee, page = room.at("RATE_AGAIN")
    found = trainee.page("&own=2")
    assert re.search(r"locked: <b[^>]*>\+2</b>", found.body.decode())
    assert "The machine leans towards" in words(page)
    assert HOSTILE not in words(trainee.page(f"&own={quote(HOSTILE)}"))


def test_evidence_is_examined_with_what_the_page_gives(room: Class) -> None:
    trainee, page = room.at("HASH")
    files = trainee.path.replace("?", "/file?")
    original = trainee.surfer.get(f"{files}&file=original.jpg")
    assert original.headers["content-disposition"] == 'attachment; filename="original.jpg"'
    assert trainee.surfer.get(f"{files}&file=../trial.jpg").status == 303
    assert trainee.surfer.get(f"{files}&file=trial-records.jsonl").status == 303  # only at its step
    upload = {name: value for name, value in trainee.answer(page).items() if name != "sha256"}
    hashed = trainee.surfer.upload(files, **upload, file=original.body)
    digest = hashlib.sha256(original.body).hexdigest()
    assert f'value="{digest}"' in words(hashed)
    page = trainee.after({**upload, "sha256": digest})
    box = re.search(
        r"(\d+) x (\d+) pixels, whose upper left corner is (\d+) pixels from the left and (\d+)", words(page)
    )
    assert box is not None
    width, height, x, y = box.groups()
    crop = trainee.surfer.get(f"{files}&file=crop.ppm&x={x}&y={y}&width={width}&height={height}")
    assert crop.body.startswith(b"P6\n")
    outside = trainee.surfer.get(f"{files}&file=crop.ppm&x=500&y=0&width=99&height=1")
    assert outside.status == 400
    page = trainee.after({**trainee.answer(page), "sha256": hashlib.sha256(crop.body).hexdigest()})
    page = trainee.after(trainee.answer(page))
    assert trainee.surfer.get(f"{files}&file=trial-public.pem").body.startswith(b"-----BEGIN PUBLIC KEY")
    rows = re.findall(
        r'<th scope="row" class="number">(\d+)</th>.*?<code>([0-9a-f]{64})</code></td><td><code>([0-9a-f]{64})<',
        words(page),
    )
    numbers = [int(number) for number, _, _ in rows]
    wrong = [int(number) for number, written, computed in rows if written != computed]
    gaps = [number for number in range(1, 7) if number not in numbers]
    broken = gaps or wrong
    assert len(rows) >= 5
    trainee.after({**trainee.answer(page), "row": str(broken[0] if broken else 0)})
    assert re.search(r'<p class="lines">Right', words(trainee.reveals[-1][1]))


def test_an_own_photo_is_searched_and_stays_on_one_page(room: Class) -> None:
    trainee, page = room.at("SEND_PROBE", "own")
    files = trainee.path.replace("?", "/file?")
    upload: dict[str, str] = dict(re.findall(r'name="(trial|step)" value="(\w+)"', page.body.decode()))
    assert trainee.surfer.upload(files, **upload, file=b"").status == 400
    assert trainee.surfer.upload(files, **upload, file=b"no photo").status == 400
    noted = trainee.surfer.upload(files, **upload, file=photo(6))
    assert trainee.step(noted) == pb.TRIAL_STEP_NOTE
    assert b"data:image/png" in noted.body
    assert b"data:image/png" not in trainee.page().body
    page = trainee.after(trainee.answer(noted))
    assert "Rate the next candidate" in words(page)
    assert "Keep your photo at hand" in words(page)


def test_pausing_stops_where_there_is_no_pause_left(room: Class) -> None:
    trainee, page = room.at("RATE")
    for _ in range(3):
        assert "Paused" in words(trainee.after({"pause": "1"}))
        page = trainee.after({"resume": "1"})
        page = trainee.after(trainee.answer(page))
    assert trainee.surfer.post(trainee.path, {"pause": "1"}).status in (303, 409, 400)


def test_released_answers_are_looked_at_again(room: Class, taken: Trainee) -> None:
    page = words(taken.surfer.get("/course/review"))
    assert "There is nothing to look at yet" in page
    room.world.release(room.made.cohort)
    listed = words(taken.surfer.get("/course/review?all=1"))
    links = re.findall(r'href="(/course/review/trial\?id=\w+)"', listed)
    assert len(links) >= 10
    for link in links:
        found = taken.surfer.get(link)
        assert found.status == 200
        shown, _, folded = words(found).partition("<details")
        assert "Your answers" in shown
        assert "reveal" not in shown.lower()
        assert folded
        assert HOSTILE.encode() not in found.body
    assert taken.surfer.get("/course/review/trial?id=0123456789abcdef").status in (403, 404, 409)
    trainer = signed_in(room.world.site, room.world.key("trainer"))
    place = f"/cohorts/{room.made.cohort.cohort_id}/items"
    items = re.findall(rf'href="({place}/\w+)"', words(trainer.get(place)))
    named = {tuple(re.findall("<figcaption[^>]*>(.*?)</figcaption>", words(trainer.get(one)))) for one in items}
    photos = {("Photo A", "Photo B"), ("Photo 1", "Photo 2", "Photo 3"), ("Photo",), ()}
    photos.add(("Photo", *(f"Shot {number}" for number in range(1, 6))))
    assert named == {*photos, ("Probe", "Candidate 1", "Candidate 2", "Candidate 3")}


def test_a_lesson_is_read_and_answered_part_by_part(room: Class) -> None:
    trainee = room.trainee()
    trainee.sitting = "lesson"
    trainee.take()
    assert trainee.steps == [pb.TRIAL_STEP_READ, pb.TRIAL_STEP_ANSWER] * 6
    sections = lesson("thresholds").sections
    for number, page in enumerate(trainee.seen):
        text, section = words(page), sections[number // 2]
        assert section.part.title in text
        assert text.count("<figure") == len(section.part.figures)
        assert not any(one in text for one in section.key.reasons)
        assert ('name="option"' in text) == bool(number % 2)
        assert ("Show the text again" in text) == bool(number % 2)
    told = [words(reveal) for _, reveal in trainee.reveals]
    for text, section in zip(told, sections, strict=True):
        assert all(one in text for one in section.key.reasons)
        assert text.count("The right one") == 1
    room.world.release(room.made.cohort)
    listed = words(trainee.surfer.get("/course/review?all=1"))
    link = re.search(r'href="(/course/review/trial\?id=\w+)"', listed)
    assert link is not None
    again = words(trainee.surfer.get(link[1]))
    assert sections[0].part.question in again
    assert all(one in again.partition("Your answers")[2] for one in sections[0].key.reasons)


def test_only_a_trainee_has_these_pages(room: Class) -> None:
    stranger = Surfer(room.world.site)
    for path in ("/course/result", "/course/review", "/course/certificate", "/course/sitting/file?name=all"):
        assert stranger.get(path).status == 401


def test_places_of_parts_lie_where_pictures_have_them() -> None:
    assert {*PLACES} == {one.component_id for one in COMPONENTS} - {"lines", "marks"}
    eyes = TEMPLATE[:2].mean(axis=0) * 100 / SIDE
    nose, mouth = TEMPLATE[2] * 100 / SIDE, TEMPLATE[3:].mean(axis=0) * 100 / SIDE
    for part, (x, y) in {"eyes": eyes, "nose": nose, "mouth": mouth}.items():
        ((middle_x, middle_y, wide, high),) = PLACES[part]
        assert ((x - middle_x) / wide) ** 2 + ((y - middle_y) / high) ** 2 < 1
