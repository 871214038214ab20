"""Calls of both clients: errors and repetitions, and what is asked of access, audit, review and training."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import datetime, timedelta
from operator import methodcaller
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from fr_api.v1 import access_pb2, audit_pb2, common_pb2, error_reason_pb2, gallery_pb2, review_pb2, training_pb2
from fr_client import AsyncClient, Client, FrApiError, RetryPolicy, reason_of
from fr_client.errors import Wire, parse
from fr_client.handshake import Endpoint
from fr_client.streams import STORES_NOTHING, SendAgain, StreamSettings, Window
from support.scripted import QUICK, Kind, Script, asked, both, released, scripted, serving, serving_trust
from support.scripted_training import ScriptedTraining, picture, serving_training, trial


def enrol_one(kind: Kind, target: str, **settings: Any) -> gallery_pb2.EnrolResponse:
    settings = {"retry": QUICK, "timeout_s": 5.0} | settings
    found: gallery_pb2.EnrolResponse = asked(
        kind,
        target,
        lambda client: client.enrol("g", "s", b"photo", metadata={"k": "v"}, several_faces="largest"),
        **settings,
    )
    return found


@both
@pytest.mark.parametrize("reason", ["OVERLOADED", "SHUTTING_DOWN", "RATE_LIMITED"])
def test_a_call_that_was_not_begun_is_made_again(kind: Kind, reason: str) -> None:
    gallery = scripted(busy=2, reason=reason)
    with serving(gallery) as target:
        assert enrol_one(kind, target).template_id == 7
    assert gallery.calls == 3
    (request,) = gallery.requests
    assert request.gallery_id == "g"
    assert request.face.image.data == b"photo"
    assert request.metadata == {"k": "v"}
    assert request.several_faces == common_pb2.SEVERAL_FACES_POLICY_LARGEST


@both
@pytest.mark.parametrize(("reason", "calls"), [("OVERLOADED", 3), ("STORE_FAILED", 1)])
def test_a_call_is_made_again_only_so_often_and_only_where_nothing_was_done(
    kind: Kind, reason: str, calls: int
) -> None:
    gallery = scripted(busy=99, reason=reason)
    with serving(gallery) as target, pytest.raises(FrApiError) as caught:
        enrol_one(kind, target)
    assert gallery.calls == calls
    assert (caught.value.reason, caught.value.request_id, caught.value.retry_after_s) == (reason, "id-1", 0.02)


@both
def test_no_call_waits_beyond_its_time(kind: Kind) -> None:
    gallery = scripted(busy=99, retry_after_s=30.0)
    begun = time.monotonic()
    with serving(gallery) as target, pytest.raises(FrApiError) as caught:
        enrol_one(kind, target, timeout_s=20.0)
    assert (caught.value.reason, caught.value.retry_after_s, gallery.calls) == ("OVERLOADED", 30.0, 1)
    assert time.monotonic() - begun < 20.0


@both
def test_a_slow_answer_is_a_timeout_with_the_address(kind: Kind) -> None:
    released.clear()
    with serving(scripted()) as target:
        with pytest.raises(FrApiError, match=r"did not answer within 0\.2 s") as caught:
            asked(kind, target, lambda client: client.detect(b"x"), timeout_s=0.2)
        released.set()
    assert caught.value.reason == "TIMED_OUT"
    assert target in caught.value.message


@both
def test_a_request_larger_than_the_channel_carries_is_not_sent(kind: Kind) -> None:
    with serving(scripted()) as target, pytest.raises(FrApiError) as caught:
        asked(kind, target, lambda client: client.enrol("g", "s", bytes(5000)), max_message_bytes=4096)
    assert (caught.value.reason, caught.value.metadata["limit"]) == ("IMAGE_TOO_MANY_BYTES", "4096")


@both
def test_a_call_that_the_server_does_not_know_names_the_cause(kind: Kind) -> None:
    with serving(scripted()) as target, pytest.raises(FrApiError, match="not FR Core") as caught:
        asked(kind, target, lambda client: client.server_info())
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


@both
def test_every_page_is_listed(kind: Kind) -> None:
    gallery = scripted()
    with serving(gallery) as target:
        found = asked(kind, target, lambda client: client.list_subjects("g", page_size=2))
    ids = [subject.subject_id for subject in found]
    assert ids == ["a", "b", "c", "d", "e"]
    assert [request.page_size for request in gallery.requests] == [2, 2, 2]


TARGET = "example:50061"


def wire(code: grpc.StatusCode, details: str = "", *metadata: tuple[str, str | bytes]) -> Wire:
    return Wire(code, details, metadata)


@pytest.mark.parametrize(
    ("code", "details", "reason", "says"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: x", "UNREACHABLE", "fr serve"),
        (grpc.StatusCode.UNAVAILABLE, "errors resolving example:50061: [...]", "UNREACHABLE", "does not resolve"),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", "CONNECTION_LOST", "Socket closed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "TIMED_OUT", "within 2.5 s"),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", "", "not FR Core"),
        (grpc.StatusCode.UNKNOWN, "", "", "UNKNOWN: no details"),
    ],
)
def test_what_is_found_on_the_way_is_one_sentence(code: grpc.StatusCode, details: str, reason: str, says: str) -> None:
    error = parse(wire(code, details), TARGET, 2.5)
    assert error.reason == reason
    assert says in error.message
    assert TARGET in error.message
    assert error.request_id == ""


def test_details_that_nobody_can_read_leave_the_code_and_the_message() -> None:
    error = parse(wire(grpc.StatusCode.INTERNAL, "boom", ("grpc-status-details-bin", b"\xff\xff\xff")), TARGET, None)
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "")
    assert "boom" in error.message


def test_a_refusal_names_its_reason_as_an_error_does() -> None:
    assert reason_of(common_pb2.Refusal(reason=error_reason_pb2.ERROR_REASON_NO_FACE)) == "NO_FACE"
    assert reason_of(common_pb2.Refusal(reason=9999)) == "9999"  # type: ignore[arg-type]


def failed(reason: str, retry_after_s: float | None = None) -> FrApiError:
    return FrApiError(grpc.StatusCode.UNAVAILABLE, reason, "x", retry_after_s=retry_after_s)


@pytest.mark.parametrize("reason", ["UNREACHABLE", "CONNECTION_LOST", "TIMED_OUT", "STORE_FAILED", "NO_FACE", ""])
def test_only_what_was_not_begun_is_tried_again(reason: str) -> None:
    assert RetryPolicy().delay_s(failed(reason), 1, 0.0) is None


@pytest.mark.parametrize("reason", ["OVERLOADED", "SHUTTING_DOWN"])
def test_the_wait_is_the_one_that_the_server_asks_for(reason: str) -> None:
    policy = RetryPolicy(attempts=3, first_delay_s=0.2, max_delay_s=5.0)
    assert policy.delay_s(failed(reason, 1.0), 1, 0.0) == 1.0
    assert policy.delay_s(failed(reason, 1.0), 2, 0.8) == pytest.approx(1.2)
    assert policy.delay_s(failed(reason, 1.0), 3, 0.0) is None
    assert policy.delay_s(failed(reason, 6.0), 1, 0.0) is None
    assert [policy.delay_s(failed(reason), n, 0.0) for n in (1, 2, 3)] == [0.2, 0.4, None]


# --- access, audit and review -----------------------------------------------------------------------------------------


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def target(script: Script) -> Iterator[str]:
    with serving_trust(script) as where:
        yield where


SUMMARY = review_pb2.ExaminationSummary(examination_id="e1")
EXAMINATION = review_pb2.Examination(summary=SUMMARY)
KEY = access_pb2.ApiKey(key_id="k1")

# What `fr` asks for is tested with the command; these are asked by both clients, or are nothing that `fr` asks for.
ASKED: list[tuple[Callable[[Any], Any], Message, Message, Any]] = [
    (
        lambda client: client.access.create_key(["auditor"], burst=3, lifetime=timedelta(days=2)),
        access_pb2.CreateKeyRequest(
            roles=[access_pb2.ROLE_AUDITOR], budget=access_pb2.Budget(burst=3), lifetime=Duration(seconds=2 * 86_400)
        ),
        access_pb2.CreateKeyResponse(key=KEY, token="k1.s"),
        access_pb2.CreateKeyResponse(key=KEY, token="k1.s"),
    ),
    (
        lambda client: client.access.revoke_key("k1"),
        access_pb2.RevokeKeyRequest(key_id="k1"),
        access_pb2.RevokeKeyResponse(key=KEY),
        KEY,
    ),
    (
        lambda client: client.audit.verify(),
        audit_pb2.VerifyAuditRequest(),
        audit_pb2.VerifyAuditResponse(verdicts=[audit_pb2.ChainVerdict(chain="cases", intact=True)]),
        [audit_pb2.ChainVerdict(chain="cases", intact=True)],
    ),
    (
        lambda client: client.review.delete_case("c1"),
        review_pb2.DeleteCaseRequest(case_id="c1"),
        review_pb2.DeleteCaseResponse(deleted_examinations=2),
        review_pb2.DeleteCaseResponse(deleted_examinations=2),
    ),
    (
        lambda client: client.review.examination("e1"),
        review_pb2.GetExaminationRequest(examination_id="e1"),
        review_pb2.GetExaminationResponse(examination=EXAMINATION),
        EXAMINATION,
    ),
]


@both
@pytest.mark.parametrize(("ask", "request_", "answer", "made"), ASKED)
def test_each_method_asks_one_thing(
    kind: Kind,
    script: Script,
    target: str,
    ask: Callable[[Any], Any],
    request_: Message,
    answer: Message,
    made: Any,
) -> None:
    name = request_.DESCRIPTOR.name.removesuffix("Request")
    script.answers[name] = [answer]
    found = asked(kind, target, ask)
    assert script.asked == [(name, request_)]
    assert (list(found) if isinstance(made, list) else found) == made


@both
def test_a_file_comes_in_pieces_and_breaks_off_with_an_error(kind: Kind, script: Script, target: str) -> None:
    def ask(client: Any) -> Any:
        return client.review.evidence_parts("c1", include_unfinished=True)

    script.answers["ExportEvidence"] = [review_pb2.ExportEvidenceResponse(data=one) for one in (b"one", b"two")]
    assert asked(kind, target, ask) == [b"one", b"two"]
    script.refusals["ExportEvidence"] = ["STORE_CORRUPT"]
    with pytest.raises(FrApiError) as caught:
        asked(kind, target, ask)
    assert caught.value.reason == "STORE_CORRUPT"


WRONG: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda client: client.access.create_key("admin"), TypeError, "are lists"),
    (lambda client: client.access.create_key(["admin"], galleries="mine"), TypeError, "are lists"),
    (lambda client: client.audit.search("cases", start=datetime(2026, 1, 1)), ValueError, "start has no time zone"),
]


@both
@pytest.mark.parametrize(("ask", "error", "words"), WRONG)
def test_what_no_server_takes_is_not_sent(
    kind: Kind, script: Script, target: str, ask: Callable[[Any], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        asked(kind, target, ask)
    assert script.asked == []


def window(retry: RetryPolicy) -> Window[Any, Any, Any]:
    settings = StreamSettings(Endpoint("somewhere"), 4, 1.0, 1_000, retry, STORES_NOTHING)
    return Window(settings, lambda response: response.refusal, jitter=lambda: 0.0)


@pytest.mark.parametrize(
    ("reason", "said", "after_s"),
    [
        ("RATE_LIMITED", "2.5", 2.5),
        ("RATE_LIMITED", "nan", 0.01),
        ("RATE_LIMITED", "-1", 0.01),
        ("RATE_LIMITED", "", 0.01),
        ("RATE_LIMITED", "60", None),
        ("QUOTA_EXCEEDED", "1", None),
    ],
)
def test_an_item_that_came_too_often_is_sent_again_when_the_server_says(
    reason: str, said: str, after_s: float | None
) -> None:
    one = window(QUICK)
    assert one.admit("mine", gallery_pb2.StreamSearchRequest()) is None
    number = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}")
    refusal = common_pb2.Refusal(reason=number, metadata={"retry_after_s": said})
    settled = one.settle(gallery_pb2.StreamSearchResponse(item_id="1", refusal=refusal))
    if after_s is None:
        assert settled == ("mine", refusal)
    else:
        assert isinstance(settled, SendAgain)
        assert settled.delay_s == pytest.approx(after_s)


# --- training ---------------------------------------------------------------------------------------------------------


Served = tuple[ScriptedTraining, str]


@pytest.fixture
def served() -> Iterator[Served]:
    service = ScriptedTraining([trial("RATE", [picture("x"), picture("y")])])
    with serving_training(service) as target:
        yield service, target


def of_training(kind: Kind, target: str, ask: Callable[[Any], Any], **more: Any) -> Any:
    return asked(kind, target, lambda client: ask(client.training), **more)


@both
def test_a_making_tells_how_far_it_has_come_and_ends_with_its_course(kind: Kind, served: Served) -> None:
    service, target = served
    told: list[tuple[int, int, int]] = []

    def on_progress(now: training_pb2.CourseProgress) -> None:
        told.append((now.stage, now.done, now.total))

    def ask(training: Any) -> Any:
        return training.create_course("taster-90", ["lfw", "slow"], seed=0, on_progress=on_progress)

    # A making may take longer than a call.
    assert of_training(kind, target, ask, timeout_s=0.2).course_id == "c1"
    assert told == [(1, 1, 20), (1, 20, 20), (2, 1, 3), (2, 3, 3), (3, 1, 40), (3, 40, 40)]
    (request,) = service.calls("CreateCourse")
    assert (request.plan.name, list(request.datasets), request.HasField("seed"), request.seed) == (
        "taster-90",
        ["lfw", "slow"],
        True,
        0,
    )
    of_training(
        kind,
        target,
        lambda training: training.create_course("taster-90", ["lfw"], learn_from=["c0"], exclude_photos=["ab"]),
    )
    request = service.calls("CreateCourse")[-1]
    assert (request.HasField("seed"), list(request.learn_from), list(request.exclude_photos)) == (False, ["c0"], ["ab"])


@both
def test_a_plan_is_a_name_or_a_file_or_a_message(kind: Kind, served: Served, tmp_path: Path) -> None:
    service, target = served
    file = tmp_path / "plan.toml"
    file.write_text('title = "Größe"', encoding="utf-8")
    for plan in ("taster-90", file, training_pb2.PlanSource(toml="x = 1")):
        found = of_training(kind, target, methodcaller("check_plan", plan, ["lfw"]))
        assert (found.needs.people, found.missing) == (212, 0)
    sources = [request.plan for request in service.calls("CheckPlan")]
    assert [(one.name, one.toml) for one in sources] == [("taster-90", ""), ("", 'title = "Größe"'), ("", "x = 1")]
    with pytest.raises(FileNotFoundError):
        of_training(kind, target, lambda training: training.check_plan(tmp_path / "none.toml"))


@both
def test_a_cohort_is_watched_until_nobody_asks_any_more(kind: Kind, served: Served) -> None:
    service, target = served
    changes = of_training(kind, target, lambda training: training.watch_cohort("k1"))
    assert [[(one.trainee_id, one.answered) for one in change] for change in changes] == [
        [("p1", 3), ("p2", 0)],
        [("p1", 4)],
    ]
    service.cancelled.clear()

    async def first() -> None:
        async with AsyncClient(target, timeout_s=0.2) as client:
            async with aclosing(client.training.watch_cohort("live")) as watched:
                assert len(await anext(watched)) == 2
            assert await asyncio.to_thread(service.cancelled.wait, 5)

    if kind == "async":
        asyncio.run(first())
    else:
        with Client(target, timeout_s=0.2) as client:
            watched = client.training.watch_cohort("live")
            assert len(next(watched)) == 2
            watched.close()
            assert service.cancelled.wait(5)


@both
def test_every_kind_of_answer_goes_where_it_belongs(kind: Kind) -> None:
    steps = [trial(step) for step in ("SEND_PROBE", "NOTE", "OBSERVE", "CHOOSE", "DECIDE", "TRIAGE", "RATE")]
    service = ScriptedTraining(steps)
    observed = training_pb2.Observation(component_id="nose", comparison=training_pb2.COMPARISON_NOT_VISIBLE)
    listed = training_pb2.CandidateDecision(none=True, ratings={"x": -3})
    quality = training_pb2.QualityDecision(usability=training_pb2.USABILITY_USABLE)
    with serving_training(service) as target:
        sent = of_training(kind, target, lambda training: training.submit_probe("s", "t1", b"photo"))
        assert sent.step == training_pb2.TRIAL_STEP_NOTE
        of_training(kind, target, lambda training: training.lock_notes("s", "t1", "a scar"))
        following = of_training(kind, target, lambda training: training.lock_notes("s", "t1", [observed]))
        assert following.step == training_pb2.TRIAL_STEP_CHOOSE
        for answer in ("picture-2", listed, quality):
            of_training(kind, target, methodcaller("submit_decision", "s", steps[3], answer))
        with pytest.raises(TypeError, match="A decision is a PairRating"):
            of_training(kind, target, lambda training: training.submit_decision("s", steps[3], 3))
    assert service.calls("SubmitProbe")[0].image.data == b"photo"
    assert [one.notes for one in service.calls("LockNotes")] == ["a scar", ""]
    assert list(service.calls("LockNotes")[1].observations) == [observed]
    decisions = service.calls("SubmitDecision")
    assert [one.WhichOneof("answer") for one in decisions] == ["odd_picture_id", "candidates", "quality"]
    assert not any(one.HasField("difficulty") or one.known_to_me for one in decisions)


@both
def test_reports_and_exports_come_in_pieces(kind: Kind, served: Served) -> None:
    service, target = served
    assert of_training(kind, target, lambda training: training.report(cohort_id="k1")) == b"{}"
    assert of_training(kind, target, lambda training: training.report_parts(code="c", file="html")) == [
        b"<",
        b"p",
        b">",
    ]
    assert of_training(kind, target, lambda training: training.export("k1", "xapi")) == b"a,b\n"
    first, second = service.calls("GetTrainingReport")
    assert (first.WhichOneof("whom"), first.file) == ("cohort_id", training_pb2.TRAINING_REPORT_FILE_JSON)
    assert (second.code, second.file) == ("c", training_pb2.TRAINING_REPORT_FILE_HTML)
    assert service.calls("ExportResults")[0].format == training_pb2.EXPORT_FORMAT_XAPI


@both
def test_what_cannot_be_asked_for_is_not_sent(kind: Kind, served: Served) -> None:
    service, target = served
    with pytest.raises(ValueError, match="give one of them"):
        of_training(kind, target, lambda training: training.report_parts(code="c", cohort_id="k1"))
    with pytest.raises(ValueError, match="give one of them"):
        of_training(kind, target, lambda training: training.report_parts())
    with pytest.raises(ValueError, match="it can be 'json', 'html'"):
        of_training(kind, target, lambda training: training.report_parts(code="c", file="pdf"))
    with pytest.raises(ValueError, match="it can be 'csv', 'xapi', 'ags', 'open-badges'"):
        of_training(kind, target, lambda training: training.export_parts("k1", "badges"))
    assert service.requests == []
