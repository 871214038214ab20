"""Two servers on one PostgreSQL behind a balancer that takes turns: people notice nothing of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest

from fr_api.v1 import access_pb2, audit_pb2, common_pb2, training_pb2
from fr_core.storage.keys import key_beside
from fr_core.storage.location import Postgres
from fr_core.storage.opening import open_shelf
from fr_core.storage.postgres.registry import Registry
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Role
from support.browser import TRAINEE_PLAN, at_hand
from support.callers import Caller, Staffed, reason_of, staffed
from support.courses import Stub, create, finish, link_footage, link_people
from support.faults import until
from support.lti import Lms, lms
from support.postgres import Cluster
from support.servers import Running, running
from support.surfer import Surfer, Trainee, signed_in, words
from support.web import Balanced, web

pb: Any = training_pb2
TRAINEES = 4


@dataclass
class Two:
    staff: Staffed
    second: Running
    site: Balanced
    database: Postgres
    course: training_pb2.Course
    cohort: training_pb2.CreateCohortResponse
    extra: training_pb2.CreateCohortResponse  # another one of the same course
    lms: Lms

    def caller(self, number: int, *roles: Role) -> Caller:
        """Somebody who calls the first or the second server."""
        token = self.staff.caller(*roles).token
        return Caller((self.staff.server.channel, self.second.channel)[number], token)

    def surfer(self, *roles: Role) -> Surfer:
        return signed_in(self.site, self.staff.caller(*roles).token)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[Two]:
    folder, database = tmp_path_factory.mktemp("two"), postgres.database()
    storage = {"url": database.url}
    with ExitStack() as stack:
        (folder / "catalogues").mkdir()
        stack.enter_context(at_hand(folder))
        link_people(folder / "people", 40)
        link_footage(folder / "footage")
        staff = stack.enter_context(staffed(folder / "data", storage=storage, server={"name": "first"}))
        second = running(
            folder / "data", clock=staff.clock, storage=storage, access={"mode": "keys"}, server={"name": "second"}
        )
        other = stack.enter_context(second)
        trainer = staff.caller(Role.TRAINER).training
        course = create(trainer, TRAINEE_PLAN)
        request = training_pb2.CreateCohortRequest(course_id=course.course_id, trainees=TRAINEES)
        key = key_beside(folder / "data", new=False)
        platform = stack.enter_context(lms(staff.caller(Role.TRAINER).token, staff.caller(Role.TRAINEE).token))
        sites = []
        for address in (staff.server.address, other.address):
            shelf = open_shelf(database, key)
            stack.callback(shelf.close)
            sites.append(stack.enter_context(web(address, shelf=shelf, lti=platform.tool)))
        site = Balanced("localhost", 8080, sites=tuple(sites))
        yield Two(
            staff, other, site, database, course, trainer.CreateCohort(request), trainer.CreateCohort(request), platform
        )


def trainee_at(two: Two, number: int) -> Trainee:
    token, code = two.staff.caller(Role.TRAINEE).token, two.cohort.enrolled[number].code
    return Trainee(signed_in(two.site, token, code), two.caller(0, Role.TRAINEE).training, code)


def test_a_trainee_takes_a_course_on_two_servers_in_turns(two: Two) -> None:
    alternating, alone = trainee_at(two, 0), trainee_at(two, 1)
    alternating.take()
    alone.surfer.site = two.site.sites[0]
    alone.surfer.cookies = {f"fr-{two.site.sites[0].port}": next(iter(alone.surfer.cookies.values()))}
    alone.take()  # control: the same answers at one server
    stores = two.staff.stores.training
    sessions = [stores.sessions_of(two.cohort.enrolled[number].trainee_id)[0] for number in (0, 1)]
    assert all(one.done for session in sessions for one in session.trials)
    assert len({len(session.trials) for session in sessions}) == 1
    assert len(alternating.steps) == len(alone.steps)
    right = []
    for number in (0, 1):
        for server in (0, 1):
            request = pb.GetSittingScoreRequest(code=two.cohort.enrolled[number].code, sitting="all")
            right.append(two.caller(server, Role.TRAINEE).training.GetSittingScore(request))
    assert right[0] == right[1]  # each server says the same of the same answers
    assert right[2] == right[3]
    assert right[0].finished


class InTurns:
    """The training service of both servers: each call goes to the other one."""

    def __init__(self, *stubs: Stub) -> None:
        self._stubs = itertools.cycle(stubs)

    def __getattr__(self, name: str) -> Any:
        return lambda *request: getattr(next(self._stubs), name)(*request)


def test_a_sitting_that_began_on_one_server_goes_on_and_ends_on_the_other(two: Two) -> None:
    callers = [two.caller(number, Role.TRAINEE).training for number in (0, 1)]
    request = training_pb2.CreateCohortRequest(course_id=two.course.course_id, trainees=1)
    code = two.caller(1, Role.TRAINER).training.CreateCohort(request).enrolled[0].code
    finish(cast("Stub", InTurns(*callers)), code)
    scores = [one.GetSittingScore(pb.GetSittingScoreRequest(code=code, sitting="all")) for one in callers]
    assert scores[0] == scores[1]
    assert scores[0].finished


def test_a_launch_from_a_platform_ends_on_either_server_and_only_once(two: Two) -> None:
    first, second = (Surfer(site) for site in two.site.sites)
    begun = two.lms.begin(first)
    form = two.lms.message(begun, custom={"cohort": two.cohort.cohort.cohort_id, "sitting": "all"})
    second.cookies = dict(first.cookies)
    assert two.lms.post(second, form).status == 200
    for surfer in (first, second):
        surfer.cookies = dict(first.cookies)
        again = two.lms.post(surfer, form)
        assert (again.status, "(check: state)" in words(again)) == (403, True)


def test_many_trainees_answer_both_servers_at_once_and_the_audits_hold(two: Two) -> None:
    def take(number: int) -> int:
        trainee = trainee_at(two, number)
        trainee.take()
        return len(trainee.steps)

    with ThreadPoolExecutor(2) as pool:
        steps = list(pool.map(take, (2, 3)))
    assert min(steps) > 10
    for server in (0, 1):
        auditor = two.caller(server, Role.AUDITOR)
        verdicts = auditor.audit.VerifyAudit(audit_pb2.VerifyAuditRequest()).verdicts
        assert {one.chain for one in verdicts} == {"galleries", "training", "cases", "access"}
        assert all(one.intact and one.records for one in verdicts if one.chain in ("training", "access")), verdicts


def test_a_class_follows_its_wall_and_votes_on_either_server(two: Two) -> None:
    finish(two.caller(0, Role.TRAINEE).training, two.extra.enrolled[0].code)
    trainer, projector, place = two.surfer(Role.TRAINER), Surfer(two.site), f"/cohorts/{two.extra.cohort.cohort_id}"
    trainer.get(place)
    assert trainer.post(f"{place}/release", {"block.pairs": "1", "sure": "1", "ahead": "1"}).status == 303
    item = re.findall(rf'href="({place}/items/[0-9a-f]+)"', words(trainer.get(f"{place}/items")))[0]
    made = trainer.post(f"{place}/wall", {})
    link = re.findall(r'href="http[^"]*(/wall/[\w-]+)"', words(trainer.get(made.headers["location"])))[0]
    for step, shows in (("photos", False), ("answers", True)):
        trainer.get(f"{item}?step={step}")
        pages = [words(projector.get(link)) for _ in range(4)]
        assert [(page.count("<img"), "answers-head" in page) for page in pages] == [(2, shows)] * 4
    assert trainer.post(f"{item}/vote", {"step": "photos"}).status == 303
    key = two.staff.caller(Role.TRAINEE).token
    trainees = [signed_in(two.site, key, one.code) for one in two.extra.enrolled]

    def gives(number: int) -> int:
        page = words(trainees[number].get("/course/vote"))
        vote = re.findall(r'name="vote" value="(\w+)"', page)[0]
        return trainees[number].post("/course/vote", {"vote": vote, "rating": str(number % 2)}).status

    with ThreadPoolExecutor(TRAINEES) as pool:
        assert [*pool.map(gives, range(TRAINEES))] == [303] * TRAINEES
    for _ in range(4):
        assert f"Votes so far: {TRAINEES} of {TRAINEES}" in words(trainer.get(item))
    assert trainer.post(f"{item}/vote", {"step": "photos", "close": "1"}).status == 303
    for _ in range(4):
        counts = re.findall(r'class="number">(\d)<', words(projector.get(link)))
        assert counts == list("000") + [str(TRAINEES // 2)] * 2 + list("00")
    trainer.post("/sign-out", {})
    assert [projector.get(link).status for _ in range(4)] == [404] * 4


def test_a_course_that_one_server_makes_is_followed_on_the_other(two: Two) -> None:
    trainer = two.surfer(Role.TRAINER)
    wanted = {"plan": "", "toml": TRAINEE_PLAN, "dataset.people_folder": "1"}
    draft = trainer.post("/courses/new", wanted).headers["location"]
    alone = Surfer(two.site.sites[1], {f"fr-{two.site.sites[1].port}": next(iter(trainer.cookies.values()))})
    other = Surfer(two.site.sites[0], {f"fr-{two.site.sites[0].port}": next(iter(trainer.cookies.values()))})
    other.get(draft)
    assert other.post(draft, {"do": "make"}).status == 303  # the first server makes it
    page = words(alone.get(draft))
    assert 'value="stop"' in page or "The course is made" in page
    assert 'value="make"' not in page
    until(lambda: "The course is made" in words(alone.get(draft)))
    assert words(alone.get(f"{draft}/events")).endswith("event: over\ndata: -\n\n")
    (made,) = set(re.findall(r'href="(/courses/[0-9a-f]{16})"', words(alone.get(draft)) + words(other.get(draft))))
    for _ in range(2):
        assert trainer.get(made).status == 200
        assert "The course is made" in words(trainer.get("/courses"))


def test_who_signs_out_on_one_server_is_out_on_the_other(two: Two) -> None:
    operator = two.surfer(Role.OPERATOR)
    before = dict(operator.cookies)
    for _ in range(4):
        assert "Sign out" in words(operator.get("/"))
    assert operator.post("/sign-out", {}).status == 303
    operator.cookies = before
    for _ in range(4):
        assert "Sign out" not in words(operator.get("/"))


def test_a_purpose_that_was_stated_on_one_server_holds_on_the_other(two: Two) -> None:
    operator = two.surfer(Role.OPERATOR)
    operator.get("/purpose")
    given = {"purpose": str(common_pb2.PURPOSE_INVESTIGATION), "case_reference": "AZ 7/7", "next": "/"}
    assert operator.post("/purpose", given).status == 303
    for _ in range(4):
        assert "AZ 7/7" in words(operator.get("/purpose"))


def test_a_form_of_one_server_is_taken_by_the_other_and_no_foreign_one(two: Two) -> None:
    operator, stranger = two.surfer(Role.OPERATOR), two.surfer(Role.OPERATOR)
    for _ in range(3):
        operator.get("/")
        assert operator.post("/language", {"language": "fr", "next": "/"}).status == 303
    operator.token = stranger.token
    assert operator.post("/language", {"language": "fr", "next": "/"}).status == 403


def test_nobody_reads_or_forges_a_session_in_the_database(two: Two) -> None:
    token = two.staff.caller(Role.OPERATOR).token
    operator = two.surfer(Role.OPERATOR)
    registry = Registry(two.database, 5.0)
    rows = registry.run("SELECT name, value FROM shelf")
    shelved = b"".join(bytes(name) + bytes(value) for name, value in rows)
    assert rows
    for secret in (token, token.partition(".")[2], next(iter(operator.cookies.values())), "operator"):
        assert secret.encode() not in shelved
    registry.run("UPDATE shelf SET value = set_byte(value, 20, 255 - get_byte(value, 20)), version = version + 1")
    answers = [operator.get("/") for _ in range(2)]
    registry.close()
    assert {answer.status for answer in answers} == {503}
    assert "does not answer" in words(answers[0])


def test_a_key_that_is_revoked_on_one_server_is_at_once_refused_by_the_other(two: Two) -> None:
    made = two.staff.stores.access
    admin = two.caller(0, Role.ADMIN)
    request = access_pb2.CreateKeyRequest(label="short", roles=[access_pb2.ROLE_OPERATOR], galleries=["*"])
    answer = admin.access.CreateKey(request)
    other = Caller(two.second.channel, answer.token)
    assert other.access.WhoAmI(access_pb2.WhoAmIRequest()).principal_id
    admin.access.RevokeKey(access_pb2.RevokeKeyRequest(key_id=answer.key.key_id))
    assert reason_of(lambda: other.access.WhoAmI(access_pb2.WhoAmIRequest())) == "CREDENTIAL_INVALID"
    assert made.any_keys()


def test_one_budget_is_granted_by_both_servers_together(two: Two) -> None:
    token = two.staff.caller(Role.OPERATOR, number=9, budget=Budget(0.1, 6, 3)).token
    callers = [Caller(channel, token) for channel in (two.staff.server.channel, two.second.channel)]
    outcomes = [reason_of(partial(one.access.WhoAmI, access_pb2.WhoAmIRequest())) for one in callers * 5]
    assert sorted(outcomes) == ["OK"] * 6 + ["RATE_LIMITED"] * 4
