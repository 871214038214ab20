"""Access, audit and review of both clients: what is asked of the server, and what is made of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from fr_api.v1 import access_pb2, audit_pb2, common_pb2, error_reason_pb2, gallery_pb2, review_pb2
from fr_client import FrApiError, RetryPolicy
from fr_client.handshake import Endpoint
from fr_client.streams import STORES_NOTHING, SendAgain, StreamSettings, Window
from support.scripted import QUICK, Kind, Script, asked, both, serving_trust


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
    (lambda client: client.access.create_key(["boss"]), ValueError, "roles has 'boss'"),
    (lambda client: client.access.create_key("admin"), TypeError, "are lists"),
    (lambda client: client.access.create_key(["admin"], galleries="mine"), TypeError, "are lists"),
    (lambda client: client.audit.search("cases", start=datetime(2026, 1, 1)), ValueError, "start has no time zone"),
    (lambda client: client.review.open_case("r", "fun"), ValueError, "purpose is 'fun'"),
    (lambda client: client.review.submit_finding("e", "match"), ValueError, "finding is 'match'"),
    (lambda client: client.review.submit_finding("e", "potential-candidate"), ValueError, "has a template_id"),
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
