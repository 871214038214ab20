"""Access, audit and review of both clients: what is asked of the server, and what is made of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from fr_api.v1 import access_pb2, audit_pb2, common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2, review_pb2
from fr_client import FrApiError, RetryPolicy
from fr_client.handshake import Endpoint
from fr_client.streams import STORES_NOTHING, SendAgain, StreamSettings, Window
from support.scripted import QUICK, Kind, Script, asked, both, scripted, serving, serving_trust


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def target(script: Script) -> Iterator[str]:
    with serving_trust(script) as where:
        yield where


PROBE = b"a photo"
CASE = review_pb2.Case(case_id="c1", case_reference="2026/7")
SUMMARY = review_pb2.ExaminationSummary(examination_id="e1")
EXAMINATION = review_pb2.Examination(summary=SUMMARY)
CHECKPOINT = audit_pb2.Checkpoint(chain="cases", json="{}")
KEY = access_pb2.ApiKey(key_id="k1")

# What is asked, the call and its request, the answer, and what is made of it.
ASKED: list[tuple[Callable[[Any], Any], str, Message, Message, Any]] = [
    (
        lambda client: client.access.who_am_i(),
        "WhoAmI",
        access_pb2.WhoAmIRequest(),
        access_pb2.WhoAmIResponse(principal_id="key:k1"),
        access_pb2.WhoAmIResponse(principal_id="key:k1"),
    ),
    (
        lambda client: client.access.create_key(["operator"]),
        "CreateKey",
        access_pb2.CreateKeyRequest(roles=[access_pb2.ROLE_OPERATOR]),
        access_pb2.CreateKeyResponse(key=KEY, token="k1.s"),
        access_pb2.CreateKeyResponse(key=KEY, token="k1.s"),
    ),
    (
        lambda client: client.access.create_key(
            ["trainee", "examiner"],
            label="room 4",
            galleries=["*"],
            courses=["autumn-*"],
            requests_per_s=2.5,
            burst=9,
            searches_per_day=0,
            lifetime=timedelta(days=2),
            certificate_sha256="ab" * 32,
        ),
        "CreateKey",
        access_pb2.CreateKeyRequest(
            label="room 4",
            roles=[access_pb2.ROLE_TRAINEE, access_pb2.ROLE_EXAMINER],
            galleries=["*"],
            courses=["autumn-*"],
            budget=access_pb2.Budget(requests_per_s=2.5, burst=9, searches_per_day=0),
            lifetime=Duration(seconds=2 * 86_400),
            certificate_sha256="ab" * 32,
        ),
        access_pb2.CreateKeyResponse(),
        access_pb2.CreateKeyResponse(),
    ),
    (
        lambda client: client.access.create_key(["auditor"], burst=3),
        "CreateKey",
        access_pb2.CreateKeyRequest(roles=[access_pb2.ROLE_AUDITOR], budget=access_pb2.Budget(burst=3)),
        access_pb2.CreateKeyResponse(),
        access_pb2.CreateKeyResponse(),
    ),
    (
        lambda client: client.access.rotate_key("k1"),
        "RotateKey",
        access_pb2.RotateKeyRequest(key_id="k1"),
        access_pb2.RotateKeyResponse(key=KEY, token="k1.t"),
        access_pb2.RotateKeyResponse(key=KEY, token="k1.t"),
    ),
    (
        lambda client: client.access.rotate_key("k1", overlap=timedelta(hours=1)),
        "RotateKey",
        access_pb2.RotateKeyRequest(key_id="k1", overlap=Duration(seconds=3_600)),
        access_pb2.RotateKeyResponse(),
        access_pb2.RotateKeyResponse(),
    ),
    (
        lambda client: client.access.revoke_key("k1"),
        "RevokeKey",
        access_pb2.RevokeKeyRequest(key_id="k1"),
        access_pb2.RevokeKeyResponse(key=KEY),
        KEY,
    ),
    (
        lambda client: client.audit.verify("cases", checkpoints=[CHECKPOINT]),
        "VerifyAudit",
        audit_pb2.VerifyAuditRequest(chain="cases", checkpoints=[CHECKPOINT]),
        audit_pb2.VerifyAuditResponse(verdicts=[audit_pb2.ChainVerdict(chain="cases", intact=True)]),
        [audit_pb2.ChainVerdict(chain="cases", intact=True)],
    ),
    (
        lambda client: client.audit.verify(),
        "VerifyAudit",
        audit_pb2.VerifyAuditRequest(),
        audit_pb2.VerifyAuditResponse(),
        [],
    ),
    (
        lambda client: client.audit.checkpoints(),
        "GetCheckpoints",
        audit_pb2.GetCheckpointsRequest(),
        audit_pb2.GetCheckpointsResponse(checkpoints=[CHECKPOINT]),
        audit_pb2.GetCheckpointsResponse(checkpoints=[CHECKPOINT]),
    ),
    (
        lambda client: client.review.open_case("2026/7", "missing-person", retention=timedelta(days=30)),
        "OpenCase",
        review_pb2.OpenCaseRequest(
            case_reference="2026/7",
            purpose=common_pb2.PURPOSE_MISSING_PERSON,
            retention=Duration(seconds=30 * 86_400),
        ),
        review_pb2.OpenCaseResponse(case=CASE),
        CASE,
    ),
    (
        lambda client: client.review.open_case("2026/7", "victim"),
        "OpenCase",
        review_pb2.OpenCaseRequest(case_reference="2026/7", purpose=common_pb2.PURPOSE_VICTIM),
        review_pb2.OpenCaseResponse(case=CASE),
        CASE,
    ),
    (
        lambda client: client.review.case("c1"),
        "GetCase",
        review_pb2.GetCaseRequest(case_id="c1"),
        review_pb2.GetCaseResponse(case=CASE),
        CASE,
    ),
    (
        lambda client: client.review.close_case("c1"),
        "CloseCase",
        review_pb2.CloseCaseRequest(case_id="c1"),
        review_pb2.CloseCaseResponse(case=CASE),
        CASE,
    ),
    (
        lambda client: client.review.delete_case("c1"),
        "DeleteCase",
        review_pb2.DeleteCaseRequest(case_id="c1"),
        review_pb2.DeleteCaseResponse(deleted_examinations=2),
        review_pb2.DeleteCaseResponse(deleted_examinations=2),
    ),
    (
        lambda client: client.review.search(
            "c1", "g", PROBE, top_k=5, target_fpir=0.01, several_faces="largest", metadata={"list": "missing"}
        ),
        "SearchInCase",
        review_pb2.SearchInCaseRequest(
            case_id="c1",
            search=gallery_pb2.SearchRequest(
                gallery_id="g",
                probe=recognition_pb2.Probe(image=common_pb2.Image(data=PROBE)),
                top_k=5,
                target_fpir=0.01,
                several_faces=common_pb2.SEVERAL_FACES_POLICY_LARGEST,
                filter=gallery_pb2.SubjectFilter(metadata={"list": "missing"}),
                fusion=gallery_pb2.SCORE_FUSION_MAX,
            ),
        ),
        review_pb2.SearchInCaseResponse(examination=SUMMARY),
        review_pb2.SearchInCaseResponse(examination=SUMMARY),
    ),
    (
        lambda client: client.review.examination("e1"),
        "GetExamination",
        review_pb2.GetExaminationRequest(examination_id="e1"),
        review_pb2.GetExaminationResponse(examination=EXAMINATION),
        EXAMINATION,
    ),
    (
        lambda client: client.review.submit_finding("e1", "potential-candidate", template_id=7, rating=1, notes="ears"),
        "SubmitFinding",
        review_pb2.SubmitFindingRequest(
            examination_id="e1",
            kind=review_pb2.FINDING_KIND_POTENTIAL_CANDIDATE,
            template_id=7,
            rating=1,
            notes="ears",
        ),
        review_pb2.SubmitFindingResponse(examination=EXAMINATION),
        EXAMINATION,
    ),
    (
        lambda client: client.review.submit_finding("e1", "no-candidate"),
        "SubmitFinding",
        review_pb2.SubmitFindingRequest(examination_id="e1", kind=review_pb2.FINDING_KIND_NO_CANDIDATE),
        review_pb2.SubmitFindingResponse(examination=EXAMINATION),
        EXAMINATION,
    ),
]


@both
@pytest.mark.parametrize(("ask", "name", "request_", "answer", "made"), ASKED)
def test_each_method_asks_one_thing(
    kind: Kind,
    script: Script,
    target: str,
    ask: Callable[[Any], Any],
    name: str,
    request_: Message,
    answer: Message,
    made: Any,
) -> None:
    script.answers[name] = [answer]
    found = asked(kind, target, ask)
    assert script.asked == [(name, request_)]
    assert (list(found) if isinstance(made, list) else found) == made


def pages(of: Any, field: str, ones: list[Any]) -> list[Message]:
    return [of(**{field: ones[:2], "next_page_token": "more"}), of(**{field: ones[2:]})]


@both
@pytest.mark.parametrize(
    ("ask", "name", "answers", "ids"),
    [
        (
            lambda client: client.access.keys(page_size=2),
            "ListKeys",
            pages(access_pb2.ListKeysResponse, "keys", [access_pb2.ApiKey(key_id=one) for one in "abc"]),
            lambda one: one.key_id,
        ),
        (
            lambda client: client.review.cases(page_size=2),
            "ListCases",
            pages(review_pb2.ListCasesResponse, "cases", [review_pb2.Case(case_id=one) for one in "abc"]),
            lambda one: one.case_id,
        ),
        (
            lambda client: client.review.awaiting(page_size=2),
            "ListAwaiting",
            pages(
                review_pb2.ListAwaitingResponse,
                "examinations",
                [review_pb2.ExaminationSummary(examination_id=one) for one in "abc"],
            ),
            lambda one: one.examination_id,
        ),
        (
            lambda client: client.audit.search("cases", page_size=2),
            "SearchAudit",
            pages(
                audit_pb2.SearchAuditResponse, "records", [audit_pb2.AuditRecord(seq=ord(one) - 96) for one in "abc"]
            ),
            lambda one: chr(one.seq + 96),
        ),
    ],
)
def test_every_page_is_listed(
    kind: Kind,
    script: Script,
    target: str,
    ask: Callable[[Any], Any],
    name: str,
    answers: list[Message],
    ids: Callable[[Any], str],
) -> None:
    script.answers[name] = list(answers)
    assert [ids(one) for one in asked(kind, target, ask)] == ["a", "b", "c"]
    assert [one.page_size for one in script.calls(name)] == [2, 2]
    assert [one.page_token for one in script.calls(name)][1] == "more"


@both
def test_a_search_of_the_audit_asks_for_all_that_it_is_given(kind: Kind, script: Script, target: str) -> None:
    day = datetime(2026, 5, 1, tzinfo=UTC)

    def ask(client: Any) -> Any:
        return client.audit.search(
            "galleries",
            start=day,
            end=day + timedelta(days=1),
            actor="key:k1",
            action="gallery.*",
            outcome="OK",
            gallery_id="g",
            subject_id="s",
            case_reference="2026/7",
            request_id="r",
        )

    assert asked(kind, target, ask) == []
    begin = Timestamp()
    begin.FromDatetime(day)
    assert script.asked == [
        (
            "SearchAudit",
            audit_pb2.SearchAuditRequest(
                chain="galleries",
                start_time=begin,
                end_time=Timestamp(seconds=begin.seconds + 86_400),
                actor="key:k1",
                action="gallery.*",
                outcome="OK",
                gallery_id="g",
                subject_id="s",
                case_reference="2026/7",
                request_id="r",
            ),
        )
    ]


STREAMS: list[tuple[Callable[[Any], Any], str, Message, Any]] = [
    (
        lambda client: client.audit.export_parts("cases", after_seq=4),
        "ExportAudit",
        audit_pb2.ExportAuditRequest(chain="cases", after_seq=4),
        audit_pb2.ExportAuditResponse,
    ),
    (
        lambda client: client.review.evidence_parts("c1", include_unfinished=True),
        "ExportEvidence",
        review_pb2.ExportEvidenceRequest(case_id="c1", include_unfinished=True),
        review_pb2.ExportEvidenceResponse,
    ),
]


@both
@pytest.mark.parametrize(("ask", "name", "request_", "part"), STREAMS)
def test_a_file_comes_in_pieces_and_breaks_off_with_an_error(
    kind: Kind, script: Script, target: str, ask: Callable[[Any], Any], name: str, request_: Message, part: Any
) -> None:
    script.answers[name] = [part(data=b"one"), part(data=b"two")]
    assert asked(kind, target, ask) == [b"one", b"two"]
    assert script.asked == [(name, request_)]
    script.refusals[name] = ["STORE_CORRUPT"]
    with pytest.raises(FrApiError) as caught:
        asked(kind, target, ask)
    assert caught.value.reason == "STORE_CORRUPT"


WRONG: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda client: client.access.create_key(["boss"]), ValueError, "roles has 'boss'"),
    (lambda client: client.access.create_key("admin"), TypeError, "are lists"),
    (lambda client: client.access.create_key(["admin"], galleries="mine"), TypeError, "are lists"),
    (lambda client: client.audit.search("cases", start=datetime(2026, 1, 1)), ValueError, "start has no time zone"),
    (lambda client: client.audit.search("cases", end=datetime(2026, 1, 1)), ValueError, "end has no time zone"),
    (lambda client: client.review.open_case("r", "fun"), ValueError, "purpose is 'fun'"),
    (lambda client: client.review.submit_finding("e", "match"), ValueError, "finding is 'match'"),
    (lambda client: client.review.submit_finding("e", "potential-candidate"), ValueError, "has a template_id"),
    (
        lambda client: client.review.submit_finding("e", "potential-candidate", template_id=1),
        ValueError,
        "has a template_id",
    ),
    (lambda client: client.review.submit_finding("e", "inconclusive", rating=0), ValueError, "Only a potential"),
    (lambda client: client.review.submit_finding("e", "no-candidate", template_id=1), ValueError, "Only a potential"),
    (lambda client: client.review.search("c", "g", "probe.jpg"), TypeError, "or the Path"),
    (
        lambda client: client.review.search("c", "g", b"x", threshold=0.1, target_fmr=0.1),
        ValueError,
        "contradict each other",
    ),
]


@both
@pytest.mark.parametrize(("ask", "error", "words"), WRONG)
def test_what_no_server_takes_is_not_sent(
    kind: Kind, script: Script, target: str, ask: Callable[[Any], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        asked(kind, target, ask)
    assert script.asked == []


@both
def test_the_photo_of_a_search_may_be_a_file(kind: Kind, script: Script, target: str, tmp_path: Path) -> None:
    photo = tmp_path / "probe.jpg"
    photo.write_bytes(PROBE)
    asked(kind, target, lambda client: client.review.search("c1", "g", photo))
    assert script.calls("SearchInCase")[0].search.probe.image.data == PROBE


@both
def test_a_call_that_came_too_often_is_made_again(kind: Kind) -> None:
    gallery = scripted(busy=2, reason="RATE_LIMITED")
    with serving(gallery) as where:
        asked(kind, where, lambda client: client.enrol("g", "s", b"photo"), retry=QUICK)
    assert gallery.calls == 3


def window(retry: RetryPolicy) -> Window[Any, Any, Any]:
    settings = StreamSettings(Endpoint("somewhere"), 4, 1.0, 1_000, retry, STORES_NOTHING)
    return Window(settings, lambda response: response.refusal, jitter=lambda: 0.0)


@pytest.mark.parametrize(
    ("reason", "said", "after_s"),
    [
        ("RATE_LIMITED", "2.5", 2.5),
        ("RATE_LIMITED", "0", 0.0),
        ("RATE_LIMITED", "nan", 0.01),
        ("RATE_LIMITED", "-1", 0.01),
        ("RATE_LIMITED", "soon", 0.01),
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
