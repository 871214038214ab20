"""ReviewService over a real server: the whole life of cases, who may know what of them, and their evidence."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from PIL import Image

import pseudo_locales
from fr_api.v1 import audit_pb2, common_pb2, gallery_pb2, recognition_pb2, review_pb2
from fr_core.errors import EvidenceUnusable
from fr_core.gallery.pages import page_token
from fr_core.scoring.calibration_json import to_json
from fr_trust.access.principal import Role
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Examination
from fr_trust.evidence.verify import verify_bundle
from support.callers import BLUES, NONE, POTENTIAL, PROBE, UNSURE, Caller, Staffed, how, paged, reason_of, staffed
from support.counts import NIGHTLY
from support.engines import calibration
from support.faults import until
from support.servers import Fr, photo, refusal_of

KEPT_MS = 30 * 86_400_000
FIRST, SECOND, DISPUTED, CONCLUDED, AWAITING = (
    review_pb2.ExaminationState.Value(f"EXAMINATION_STATE_{name}")
    for name in ("AWAITING_FIRST", "AWAITING_SECOND", "DISPUTED", "CONCLUDED", "AWAITING_FINDING")
)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("reviewed")) as made:
        made.gallery("wanted")
        made.gallery("practice", operational=False, photos=False)
        yield made


@pytest.fixture
def reference(request: pytest.FixtureRequest) -> str:
    return f"AZ {request.node.name}"[:128]


def examined(at: Staffed, reference: str, gallery_id: str = "wanted", **more: Any) -> tuple[str, str, list[int]]:
    """Open a case and search; return its id, that of the examination, and the templates, best first."""
    case_id = at.operator.opens(reference)
    answer = at.operator.searches(case_id, gallery_id, **more)
    return case_id, answer.examination.examination_id, [one.template_id for one in answer.found.results[0].candidates]


def listed(caller: Caller, size: int = 0) -> list[str]:
    request = review_pb2.ListAwaitingRequest(page_size=size)
    return [one.examination_id for one in paged(caller.review.ListAwaiting, request, "examinations")]


def cases(caller: Caller, size: int = 0) -> list[str]:
    found = paged(caller.review.ListCases, review_pb2.ListCasesRequest(page_size=size), "cases")
    assert not any(one.examinations for one in found)
    return [one.case_id for one in found]


def case(caller: Caller, case_id: str) -> review_pb2.Case:
    return caller.review.GetCase(review_pb2.GetCaseRequest(case_id=case_id)).case


def closed(caller: Caller, case_id: str) -> review_pb2.Case:
    return caller.review.CloseCase(review_pb2.CloseCaseRequest(case_id=case_id)).case


def deleted(caller: Caller, case_id: str) -> int:
    """Delete a case; return how many examinations went with it."""
    return caller.review.DeleteCase(review_pb2.DeleteCaseRequest(case_id=case_id)).deleted_examinations


def audited(at: Staffed, **asked: Any) -> list[dict[str, Any]]:
    found = at.auditor.audit.SearchAudit(audit_pb2.SearchAuditRequest(**asked)).records
    return [json.loads(one.json) for one in found]


def require_blind(seen: review_pb2.Examination) -> None:
    assert seen.candidates
    assert all(one.rank == 0 and not one.HasField("similarity") for one in seen.candidates)
    assert not any(one.subject_id for one in seen.candidates)  # which may be a name, or tell who was enrolled together
    assert not seen.findings
    assert (seen.summary.state, seen.summary.conclusion) == (AWAITING, review_pb2.FINDING_KIND_UNSPECIFIED)


def require_sighted(seen: review_pb2.Examination) -> None:
    assert [one.rank for one in seen.candidates] == [1, 2, 3, 4]
    assert all(one.subject_id for one in seen.candidates)
    similarities = [one.similarity for one in seen.candidates]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] > 0.99


def test_two_blind_examiners_conclude_a_search_of_an_operational_gallery(at: Staffed, reference: str) -> None:
    operator, (first, second, third) = at.operator, map(at.examiner, (1, 2, 3))
    opened = operator.review.OpenCase(opening(case_reference=reference, purpose=common_pb2.PURPOSE_VICTIM)).case
    assert (opened.case_reference, opened.purpose) == (reference, common_pb2.PURPOSE_VICTIM)
    assert opened.HasField("create_time")
    assert not any(opened.HasField(name) for name in ("close_time", "expire_time"))
    assert not opened.examinations
    answer = operator.searches(opened.case_id, "wanted", top_k=4)
    found, summary = answer.found, answer.examination
    (result,) = found.results
    assert (summary.case_id, summary.gallery_id, summary.state) == (opened.case_id, "wanted", FIRST)
    assert summary.candidate_count == len(result.candidates) == 4
    own = operator.examination(summary.examination_id)
    require_sighted(own)
    assert own.probe.data == PROBE
    assert [(one.template_id, one.subject_id) for one in own.candidates] == [
        (one.template_id, one.subject_id) for one in result.candidates
    ]
    by_subject = {f"wanted {blue}": photo(blue) for blue in BLUES}
    assert {one.subject_id: one.photo.data for one in own.candidates} == by_subject
    assert (own.threshold, own.gallery_version, own.required_findings) == (0.5, found.gallery_version, 2)
    assert own.model == found.model
    assert own.notice
    assert not own.calibration_id

    assert summary.examination_id in listed(first)
    require_blind(first.examination(summary.examination_id))
    mate = result.candidates[0].template_id
    after = first.finds(summary.examination_id, POTENTIAL, template_id=mate, rating=2, notes="ear lobes")
    require_sighted(after)
    assert after.summary.state == AWAITING
    (given,) = after.findings
    assert (given.examiner, given.kind, given.template_id) == (first.principal_id, POTENTIAL, mate)
    assert (given.rating, given.notes) == (2, "ear lobes")
    assert summary.examination_id not in listed(first)

    own = operator.examination(summary.examination_id)
    assert (own.summary.state, list(own.findings)) == (SECOND, [])
    assert summary.examination_id in listed(second)
    require_blind(second.examination(summary.examination_id))
    after = second.finds(summary.examination_id, POTENTIAL, template_id=mate, rating=3)
    assert (after.summary.state, after.summary.conclusion) == (CONCLUDED, POTENTIAL)
    assert after.summary.concluded_template_id == mate

    for caller in (operator, first, second, third):
        seen = caller.examination(summary.examination_id)
        require_sighted(seen)
        assert [one.examiner for one in seen.findings] == [first.principal_id, second.principal_id]
        assert list(case(caller, opened.case_id).examinations) == [seen.summary]
    assert summary.examination_id not in listed(third)
    refused = how(lambda: third.finds(summary.examination_id, NONE))
    assert refused[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "FINDING_LOCKED")


def test_examiners_each_have_an_order_of_their_own(at: Staffed, reference: str) -> None:
    _, examination_id, ranked = examined(at, reference)
    orders = []
    for number in range(1, 7):
        first, again = (
            [one.template_id for one in at.examiner(number).examination(examination_id).candidates] for _ in range(2)
        )
        assert first == again
        assert sorted(first) == sorted(ranked)
        orders.append(tuple(first))
    assert len(set(orders)) > 1


def test_one_examiner_is_enough_elsewhere_and_may_have_searched(at: Staffed, reference: str) -> None:
    both = at.caller(Role.OPERATOR, Role.EXAMINER)
    case_id = both.opens(reference)
    summary = both.searches(case_id, "practice").examination
    assert summary.state == AWAITING  # the state is not for examiners to know, whatever else they are
    assert summary.examination_id in listed(both)
    seen = both.examination(summary.examination_id)
    require_blind(seen)
    assert seen.required_findings == 1
    assert not any(one.HasField("photo") for one in seen.candidates)  # which keeps none
    assert all(len(one.photo_sha256) == 64 for one in seen.candidates)
    after = both.finds(summary.examination_id, NONE)
    assert (after.summary.state, after.summary.conclusion, after.summary.concluded_template_id) == (CONCLUDED, NONE, 0)


def test_who_searched_an_operational_gallery_does_not_examine(at: Staffed, reference: str) -> None:
    both = at.caller(Role.OPERATOR, Role.EXAMINER)
    examination_id = both.searches(both.opens(reference), "wanted").examination.examination_id
    assert examination_id not in listed(both)
    refused = how(lambda: both.finds(examination_id, NONE))
    assert refused[:2] == (grpc.StatusCode.PERMISSION_DENIED, "EXAMINER_NOT_INDEPENDENT")
    assert not both.examination(examination_id).findings
    at.examiner(1).finds(examination_id, NONE)
    assert not both.examination(examination_id).findings


def test_a_finding_is_given_once_and_for_good(at: Staffed, reference: str) -> None:
    _, examination_id, templates = examined(at, reference)
    examiner = at.examiner(1)
    given = examiner.finds(examination_id, POTENTIAL, template_id=templates[0], rating=1)
    assert examiner.finds(examination_id, POTENTIAL, template_id=templates[0], rating=1) == given
    for other in ({"kind": POTENTIAL, "template_id": templates[0], "rating": 2}, {"kind": NONE}):
        assert reason_of(partial(examiner.finds, examination_id, **other)) == "EXAMINER_NOT_INDEPENDENT"
    assert examiner.examination(examination_id) == given
    assert at.operator.examination(examination_id).summary.state == SECOND


FINDINGS = ((POTENTIAL, 0), (POTENTIAL, 1), (NONE, None), (UNSURE, None))
DISPUTES: list[tuple[Sequence[int], tuple[int, int | None]]] = [
    ((0, 1, 1), FINDINGS[1]),  # of two candidates, the one that two picked
    ((0, 2, 0), FINDINGS[0]),
    ((0, 2, 2), FINDINGS[2]),
    ((2, 3, 3), FINDINGS[3]),
    ((0, 1, 2), FINDINGS[3]),  # all differ
    ((0, 2, 3), FINDINGS[3]),
]


@pytest.mark.parametrize(("given", "concluded"), DISPUTES if NIGHTLY else DISPUTES[:5:4])
def test_a_third_decides(at: Staffed, reference: str, given: Sequence[int], concluded: tuple[int, int | None]) -> None:
    _, examination_id, templates = examined(at, reference)
    for number, which in enumerate(given, 1):
        examiner, (kind, nth) = at.examiner(number), FINDINGS[which]
        require_blind(examiner.examination(examination_id))
        assert examination_id in listed(examiner)
        template = {} if nth is None else {"template_id": templates[nth], "rating": 1}
        after = examiner.finds(examination_id, kind, **template)
        if number == 2:
            own = at.operator.examination(examination_id)
            assert (own.summary.state, list(own.findings)) == (DISPUTED, [])
            assert own.summary.conclusion == review_pb2.FINDING_KIND_UNSPECIFIED
        if number < 3:
            assert (after.summary.state, len(after.findings)) == (AWAITING, 1)
            assert at.examiner(1).examination(examination_id).summary.state == AWAITING
    word, which_one = concluded
    assert (after.summary.state, after.summary.conclusion) == (CONCLUDED, word)
    assert after.summary.concluded_template_id == (0 if which_one is None else templates[which_one])
    assert len(after.findings) == len(at.operator.examination(examination_id).findings) == 3


def test_a_search_that_finds_nobody_is_kept_and_concluded_without_an_examiner(at: Staffed, reference: str) -> None:
    case_id = at.operator.opens(reference)
    stranger = photo(222)
    answer = at.operator.searches(case_id, "wanted", probe=stranger, only_above_threshold=True)
    assert answer.found.results
    assert not answer.found.results[0].candidates
    summary = answer.examination
    assert (summary.state, summary.conclusion, summary.candidate_count) == (CONCLUDED, NONE, 0)
    assert list(case(at.operator, case_id).examinations) == [summary]
    assert summary.examination_id not in listed(at.examiner(1))
    assert reason_of(lambda: at.examiner(1).finds(summary.examination_id, NONE)) == "FINDING_LOCKED"
    seen = at.examiner(1).examination(summary.examination_id)
    assert (seen.required_findings, list(seen.candidates), list(seen.findings)) == (0, [], [])
    assert seen.probe.data == stranger
    made = at.operator.exports(case_id)
    assert (found := verify_bundle(io.BytesIO(made), *keys_of(at))).unfinished == ()
    assert found.examinations == 1
    archive = zipfile.ZipFile(io.BytesIO(made))
    assert archive.read("examinations/01/probe.png") == stranger
    report = archive.read("report.html").decode()
    assert "Conclusion: no candidate." in report
    assert "no examiner has judged it" in report
    (said,) = audited(at, chain="access", action="review.search_in_case", case_reference=reference)
    assert (said["outcome"], said["purpose"], said["counts"]["candidates"]) == ("OK", "investigation", 0)


def test_two_scopes_have_a_case_of_one_reference_each(at: Staffed, reference: str) -> None:
    mine, other = at.operator, at.caller(Role.OPERATOR, number=9, galleries=("else-*",))
    case_id = mine.opens(reference)
    at.gallery("mine")
    mine.searches(case_id, "mine")
    others = other.opens(reference)
    assert others != case_id
    assert cases(other) == [others]
    assert refusal_of(lambda: other.opens(reference)).info.reason == "CASE_EXISTS", "of its own"
    told = audited(at, chain="cases", action="case.open", case_reference=reference)
    assert [one["detail"]["case_id"] for one in told] == [case_id, others], "one pseudonym, two ids"


def test_a_case_that_went_out_of_sight_does_not_show_in_its_reference(at: Staffed, reference: str) -> None:
    at.gallery("near-1")
    at.gallery("far-1")
    own = at.caller(Role.OPERATOR, number=10, galleries=("near-*",))
    case_id = own.opens(reference)
    own.searches(case_id, "near-1")
    at.operator.searches(case_id, "far-1")
    assert reason_of(lambda: case(own, case_id)) == "UNKNOWN_CASE"
    assert own.opens(reference) != case_id


def test_a_closed_case_takes_findings_and_no_searches(at: Staffed, reference: str) -> None:
    case_id, examination_id, _ = examined(at, reference)
    open_again = opening(case_reference=reference)
    assert reason_of(lambda: at.operator.review.OpenCase(open_again)) == "CASE_EXISTS"
    first = closed(at.operator, case_id)
    assert first.HasField("close_time")
    assert closed(at.operator, case_id).close_time == first.close_time
    searched: list[Any] = []
    with patch.object(type(at.server.app.galleries), "search", lambda *told: searched.append(told)):
        assert reason_of(lambda: at.operator.searches(case_id, "wanted")) == "CASE_CLOSED"
        refused = reason_of(lambda: at.operator.searches(case_id, "wanted", only_above_threshold=True))
    assert (refused, searched) == ("CASE_CLOSED", [])
    for number in (1, 2):
        after = at.examiner(number).finds(examination_id, UNSURE)
    assert after.summary.conclusion == UNSURE
    assert at.operator.review.OpenCase(open_again).case.case_id != case_id


def test_a_deleted_case_is_gone_with_what_is_in_it_but_for_the_audit(at: Staffed, reference: str) -> None:
    case_id, examination_id, _ = examined(at, reference)
    assert reason_of(lambda: deleted(at.operator, case_id)) == "NOT_PERMITTED"
    assert deleted(at.admin, case_id) == 1
    gone: tuple[Callable[[], Any], ...] = (
        lambda: deleted(at.admin, case_id),
        lambda: case(at.operator, case_id),
        lambda: closed(at.operator, case_id),
        lambda: at.operator.searches(case_id, "wanted"),
        lambda: at.operator.exports(case_id),
    )
    for call in gone:
        assert how(call)[:2] == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CASE")
    for call in (
        lambda: at.examiner(1).examination(examination_id),
        lambda: at.examiner(1).finds(examination_id, NONE),
    ):
        assert how(call)[:2] == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_EXAMINATION")
    assert case_id not in cases(at.operator)
    assert examination_id not in listed(at.examiner(1))
    actions = [one["action"] for one in audited(at, chain="cases", case_reference=reference)]
    assert actions == ["case.open", "case.search", "case.delete"]


def test_cases_with_photos_of_somebody_who_was_erased_are_found_by_the_audit(at: Staffed, reference: str) -> None:
    at.gallery("left")
    case_id, examination_id, _ = examined(at, reference, "left")
    examined(at, f"{reference} 2", "wanted")
    at.admin.gallery.EraseSubject(gallery_pb2.EraseSubjectRequest(gallery_id="left", subject_id="left 10"))
    own = at.operator.examination(examination_id)
    (kept,) = (one for one in own.candidates if one.subject_id == "left 10")
    assert kept.photo.data == photo(10)
    found = audited(at, chain="cases", gallery_id="left", subject_id="left 10")
    assert [one["detail"]["case_id"] for one in found] == [case_id]
    deleted(at.admin, case_id)
    assert reason_of(lambda: at.operator.examination(examination_id)) == "UNKNOWN_EXAMINATION"


def test_a_search_that_comes_between_a_case_and_its_audit_is_in_the_bundle(at: Staffed, reference: str) -> None:
    case_id, _ = concluded(at, reference)
    examinations_of = CaseStore.examinations_of
    looked: list[int] = []

    def then_searched(store: CaseStore, wanted: str) -> tuple[Examination, ...]:
        found = examinations_of(store, wanted)
        looked.append(len(found))
        if len(looked) == 1:
            searched = replace(found[0].searched, probe_sha256=sha256(b"x").hexdigest())
            store.add_examination(wanted, searched, (), b"x")
        return found

    with patch.object(CaseStore, "examinations_of", then_searched):
        made = at.operator.exports(case_id)
    assert looked == [1, 2]
    assert verify_bundle(io.BytesIO(made), *keys_of(at)).examinations == 2


def test_bundles_tell_nothing_of_the_cases_of_others(at: Staffed, reference: str) -> None:
    theirs_before, _, _ = examined(at, f"{reference} 2", "practice")
    case_id, _ = concluded(at, reference)
    theirs, other, _ = examined(at, f"{reference} 3", "practice")
    made = at.operator.exports(case_id)
    found = verify_bundle(io.BytesIO(made), *keys_of(at))
    assert found.audit is not None
    # Opened, searched, twice found; the opening and search of others.
    assert (found.audit.records, found.audit.withheld) == (4, 2)
    archive = zipfile.ZipFile(io.BytesIO(made))
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert not any(word.encode() in everything for word in (theirs_before, theirs, other, "practice"))


def test_a_case_whose_time_is_over_is_there_for_nobody(at: Staffed, reference: str) -> None:
    kept = Duration(seconds=KEPT_MS // 1_000)
    request = opening(case_reference=reference, retention=kept)
    made = at.operator.review.OpenCase(request).case
    case_id = made.case_id
    assert abs(made.expire_time.ToMilliseconds() - made.create_time.ToMilliseconds() - KEPT_MS) < 1_000
    examination_id = at.operator.searches(case_id, "wanted").examination.examination_id
    with patch.object(at.clock, "ahead_ms", at.clock.ahead_ms + KEPT_MS + 1):
        assert reason_of(lambda: case(at.operator, case_id)) == "UNKNOWN_CASE"
        assert reason_of(lambda: at.operator.exports(case_id, True)) == "UNKNOWN_CASE"
        assert reason_of(lambda: at.examiner(1).finds(examination_id, NONE)) == "UNKNOWN_EXAMINATION"
        assert case_id not in cases(at.operator)
        assert examination_id not in listed(at.examiner(1))
        assert at.stores.cases.purge() == 1
        assert at.stores.cases.purge() == 0
    assert reason_of(lambda: case(at.operator, case_id)) == "UNKNOWN_CASE"
    assert at.operator.review.OpenCase(request).case.case_id != case_id


def test_lists_go_page_by_page(at: Staffed, tmp_path: Path) -> None:
    with staffed(tmp_path) as fresh:
        for gallery_id in ("own-a", "own-b", "theirs"):
            fresh.gallery(gallery_id, people=1)
        operator = fresh.caller(Role.OPERATOR, galleries=("own-*",))
        examiner = fresh.caller(Role.EXAMINER, galleries=("own-*",))
        opened: list[str] = []
        made: list[str] = []
        theirs: list[str] = []
        for number in range(7):
            gallery_id = ("own-a", "theirs", "own-b")[number % 3]
            case_id, examination_id, _ = examined(fresh, f"R {number}", gallery_id)
            (theirs if gallery_id == "theirs" else opened).append(case_id)
            if gallery_id != "theirs":
                made.append(examination_id)
        empty = fresh.operator.opens("R empty")  # which belongs to nobody else until it is searched in
        for size in (0, 1, 2, 3, 1_000):
            assert cases(operator, size) == cases(examiner, size) == opened[::-1]
            assert listed(examiner, size) == made
        assert set(cases(fresh.operator, 2)) == {*opened, *theirs, empty}
        with patch("fr_server.authz.callers._FETCHED", 1):
            assert cases(operator, 2) == opened[::-1]


LIST_TOKENS = [
    "x",
    page_token("cases", "x 0000000000000000"),
    page_token("cases", "0000000000000000"),
    page_token("cases", f"{10**30} 0000000000000000"),
    page_token("cases", f"{'9' * 5_000} 0000000000000000"),
    page_token("cases", "\u0661 0000000000000000"),
    page_token("awaiting", "1 0000000000000000"),
]


def test_tokens_that_no_list_gave_are_refused(at: Staffed) -> None:
    for token in LIST_TOKENS:
        sent = review_pb2.ListCasesRequest(page_token=token)
        assert reason_of(partial(at.operator.review.ListCases, sent)) == "INVALID_PAGE"
    other = review_pb2.ListAwaitingRequest(page_token=page_token("awaiting", f"{10**30} 0"))
    assert reason_of(lambda: at.examiner(1).review.ListAwaiting(other)) == "INVALID_PAGE"
    for size in (1_001, 2**32 - 1):
        request = review_pb2.ListCasesRequest(page_size=size)
        assert reason_of(partial(at.operator.review.ListCases, request)) == "INVALID_PAGE"


def test_what_is_not_ones_own_is_answered_as_what_there_is_not(at: Staffed, reference: str) -> None:
    case_id, examination_id, _ = examined(at, reference)
    operator = at.caller(Role.OPERATOR, galleries=("practice",))
    examiner = at.caller(Role.EXAMINER, galleries=("practice",))
    admin = at.caller(Role.ADMIN, galleries=("practice",))
    empty = operator.opens(f"{reference} 2")
    nobodys = "0" * 16
    calls: list[Callable[[str, str], Any]] = [
        lambda which, _: case(operator, which),
        lambda which, _: case(examiner, which),
        lambda which, _: closed(operator, which),
        lambda which, _: deleted(admin, which),
        lambda which, _: operator.searches(which, "practice"),
        lambda which, _: operator.exports(which, True),
        lambda _, one: operator.examination(one),
        lambda _, one: examiner.examination(one),
        lambda _, one: examiner.finds(one, NONE),
        lambda _, one: examiner.finds(one, POTENTIAL, template_id=1, rating=99),
        lambda _, one: operator.searches(empty, "wanted" if one == examination_id else "nowhere"),
    ]
    for call in calls:
        theirs = how(partial(call, case_id, examination_id))
        assert theirs == how(partial(call, nobodys, nobodys))
        assert theirs[0] is grpc.StatusCode.NOT_FOUND
    assert case_id not in cases(operator)
    assert empty in cases(operator)
    assert examination_id not in listed(examiner)
    assert at.operator.examination(examination_id).summary.state == FIRST
    both = operator.searches(empty, "practice").examination.examination_id
    assert operator.examination(both).summary.gallery_id == "practice"
    at.operator.searches(empty, "wanted")  # from now on it is of both
    assert reason_of(lambda: case(operator, empty)) == "UNKNOWN_CASE"
    assert operator.examination(both).summary.gallery_id == "practice"


def test_a_case_that_is_not_searched_yet_is_there_for_its_opener_alone(at: Staffed, reference: str) -> None:
    case_id, nobodys = at.operator.opens(reference), "0" * 16
    others = [at.caller(Role.OPERATOR, number=2), at.caller(Role.OPERATOR, galleries=("wanted",)), at.examiner(1)]
    department = at.caller(Role.ADMIN, galleries=("practice",))
    calls: list[Callable[[str], Any]] = [
        *(partial(case, one) for one in others),
        partial(closed, others[0]),
        lambda which: others[0].searches(which, "wanted"),
        lambda which: others[0].exports(which),
        partial(deleted, department),
    ]
    for call in calls:
        theirs = how(partial(call, case_id))
        assert theirs == how(partial(call, nobodys))
        assert theirs[:2] == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CASE")
    assert case_id in cases(at.operator)
    assert not any(case_id in cases(one) for one in others)
    assert not case(at.operator, case_id).HasField("close_time")
    at.operator.searches(case_id, "wanted", probe=photo(222), only_above_threshold=True)
    assert all(case_id in cases(one) for one in others)
    assert deleted(at.admin, at.operator.opens(f"{reference} 2")) == 0


def test_how_long_a_case_is_kept_at_least_is_said_and_may_be_nothing(at: Staffed, tmp_path: Path) -> None:
    short = opening(retention=Duration(seconds=60))
    refused = how(lambda: at.operator.review.OpenCase(short))
    assert refused[1] == "INVALID_FIELD"
    assert {key: refused[3][key] for key in ("field", "limit")} == {"field": "retention", "limit": "30"}
    with staffed(tmp_path, cases={"least_retention_days": 0}) as free:
        assert free.operator.review.OpenCase(short).case.HasField("expire_time")


def opening(**more: Any) -> review_pb2.OpenCaseRequest:
    return review_pb2.OpenCaseRequest(**{"case_reference": "B 1", "purpose": common_pb2.PURPOSE_TESTING, **more})


BAD_CASES = {
    "no reference": (opening(case_reference=""), "INVALID_FIELD"),
    "a long reference": (opening(case_reference="x" * 129), "INVALID_FIELD"),
    "a reference of two lines": (opening(case_reference="a\nb"), "INVALID_FIELD"),
    "a reference with a space after it": (opening(case_reference="a "), "INVALID_FIELD"),
    "no purpose": (opening(purpose=common_pb2.PURPOSE_UNSPECIFIED), "MISSING_FIELD"),
    "another purpose": (opening(purpose=99), "INVALID_FIELD"),
    "a retention of nothing": (opening(retention=Duration()), "INVALID_FIELD"),
    "a retention of less than a millisecond": (opening(retention=Duration(nanos=1)), "INVALID_FIELD"),
    "a retention of less than a month": (opening(retention=Duration(seconds=30 * 86_400 - 1)), "INVALID_FIELD"),
    "a retention before now": (opening(retention=Duration(seconds=-1)), "INVALID_FIELD"),
    "a retention of ages": (opening(retention=Duration(seconds=2**40)), "INVALID_FIELD"),
    "a retention that is none": (opening(retention=Duration(seconds=1, nanos=-1)), "INVALID_FIELD"),
}
BAD_SEARCHES: dict[str, tuple[dict[str, Any], str]] = {
    "no gallery": ({"gallery_id": ""}, "UNKNOWN_GALLERY"),
    "no such gallery": ({"gallery_id": "nowhere"}, "UNKNOWN_GALLERY"),
    "a photo that is none": ({"probe": b"x"}, "UNDECODABLE"),
    "an empty photo": ({"probe": b""}, "MISSING_FIELD"),
    "nobody in the photo": ({"probe": photo()}, "NO_FACE"),
    "two in the photo": ({"probe": photo(10, 40)}, "SEVERAL_FACES"),
    "all of several": ({"several_faces": common_pb2.SEVERAL_FACES_POLICY_ALL}, "INVALID_FIELD"),
    "another policy": ({"several_faces": 99}, "INVALID_FIELD"),
    "a purpose of its own": ({"purpose": common_pb2.PURPOSE_TESTING}, "INVALID_FIELD"),
    "a reference of its own": ({"case_reference": "A"}, "INVALID_FIELD"),
    "no candidates": ({"top_k": 0}, "INVALID_TOP_K"),
    "a threshold that is none": ({"threshold": 2.0}, "INVALID_THRESHOLD"),
    "a rate without a calibration": ({"target_fmr": 0.01}, "NO_CALIBRATION"),
}
BAD_FINDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "no kind": ({"kind": 0}, "MISSING_FIELD"),
    "another kind": ({"kind": 99}, "INVALID_FIELD"),
    "no candidate": ({"kind": POTENTIAL}, "INVALID_FIELD"),
    "none of the candidates": ({"kind": POTENTIAL, "template_id": 2**40}, "INVALID_FIELD"),
    "too high a rating": ({"kind": POTENTIAL, "template_id": -1, "rating": 4}, "INVALID_FIELD"),
    "too low a rating": ({"kind": POTENTIAL, "template_id": -1, "rating": 0}, "INVALID_FIELD"),
    "a rating against it": ({"kind": POTENTIAL, "template_id": -1, "rating": -3}, "INVALID_FIELD"),
    "a candidate of none": ({"kind": NONE, "template_id": -1}, "INVALID_FIELD"),
    "a rating of none": ({"kind": UNSURE, "rating": 1}, "INVALID_FIELD"),
    "long notes": ({"kind": NONE, "notes": "x" * 4_001}, "INVALID_FIELD"),
}


def test_requests_that_are_refused_leave_nothing_behind(at: Staffed, reference: str) -> None:
    case_id, examination_id, templates = examined(at, reference)
    examiner = at.examiner(1)

    def kept() -> tuple[Any, ...]:
        with at.stores.cases.auditing() as audit:
            seq = audit.head().seq
        return seq, cases(at.operator), case(at.operator, case_id), at.operator.examination(examination_id)

    before = kept()
    calls: dict[str, tuple[Callable[[], Any], str]] = {}
    for name, (opened, reason) in BAD_CASES.items():
        calls[f"open: {name}"] = (partial(at.operator.review.OpenCase, opened), reason)
    for name, (sent, reason) in BAD_SEARCHES.items():
        whole = {"gallery_id": "wanted", **sent}
        calls[f"search: {name}"] = (partial(at.operator.searches, case_id, **whole), reason)
    for name, (given, reason) in BAD_FINDINGS.items():
        whole = {**given} | ({"template_id": templates[0]} if given.get("template_id") == -1 else {})
        calls[f"find: {name}"] = (partial(examiner.finds, examination_id, **whole), reason)
    bare = review_pb2.SearchInCaseRequest(case_id=case_id)
    calls["search: nothing"] = (lambda: at.operator.review.SearchInCase(bare)), "MISSING_FIELD"
    embedding = common_pb2.Embedding(vector=np.eye(1, 64, dtype="<f4").tobytes())
    for name, probe in (("an embedding", recognition_pb2.Probe(embedding=embedding)), ("no probe", None)):
        search = gallery_pb2.SearchRequest(gallery_id="wanted", probe=probe)
        request = review_pb2.SearchInCaseRequest(case_id=case_id, search=search)
        calls[f"search: {name}"] = (partial(at.operator.review.SearchInCase, request), "INVALID_FIELD")
    for given_id in ("", "x" * 1_000, "\0", "\U0001f600"):
        for name, call, reason in (
            ("get", partial(case, at.operator), "UNKNOWN_CASE"),
            ("close", partial(closed, at.operator), "UNKNOWN_CASE"),
            ("search", partial(at.operator.searches, gallery_id="wanted"), "UNKNOWN_CASE"),
            ("export", at.operator.exports, "UNKNOWN_CASE"),
            ("examination", at.operator.examination, "UNKNOWN_EXAMINATION"),
            ("finding", partial(examiner.finds, kind=NONE), "UNKNOWN_EXAMINATION"),
        ):
            calls[f"{name}: {given_id!r:.9}"] = (partial(call, given_id), reason)
    outcomes = {name: reason_of(call) for name, (call, _) in calls.items()}
    assert outcomes == {name: reason for name, (_, reason) in calls.items()}
    assert kept() == before
    picked: dict[str, Any] = {"kind": POTENTIAL, "template_id": templates[0]}  # the controls, at the limits
    assert examiner.finds(examination_id, **picked, rating=1, notes="\u00e4" * 4_000).findings
    assert at.examiner(2).finds(examination_id, **picked, rating=3).findings


def test_a_template_that_is_deleted_meanwhile_is_kept_without_its_photo(at: Staffed, reference: str) -> None:
    at.gallery("fleeting")
    galleries, case_id = at.server.app.galleries, at.operator.opens(reference)
    search = type(galleries).search

    def then_gone(self: Any, *told: Any) -> Any:
        found = search(self, *told)
        galleries.delete_template("fleeting", found.identification.candidates[0].template_id)
        return found

    with patch.object(type(galleries), "search", then_gone):
        summary = at.operator.searches(case_id, "fleeting").examination
    own = at.operator.examination(summary.examination_id)
    require_sighted(own)
    assert [one.HasField("photo") for one in own.candidates] == [False, True, True, True]
    assert own.candidates[0].subject_id == "fleeting 10"

    def then_no_gallery(self: Any, *told: Any) -> Any:
        found = search(self, *told)
        galleries.delete("fleeting")
        return found

    with patch.object(type(galleries), "search", then_no_gallery):
        assert reason_of(lambda: at.operator.searches(case_id, "fleeting")) == "UNKNOWN_GALLERY"
    assert list(case(at.operator, case_id).examinations) == [summary]
    assert at.operator.examination(summary.examination_id) == own  # which outlives the gallery
    at.examiner(1).finds(summary.examination_id, NONE)
    at.examiner(2).finds(summary.examination_id, NONE)
    verify_bundle(io.BytesIO(at.operator.exports(case_id)))


def keys_of(at: Staffed) -> tuple[str, str]:
    """Return the keys that verify the signatures of bundles, and of the audit in them."""
    keys = at.auditor.audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest()).public_keys
    return keys["evidence"], keys["cases"]


def concluded(at: Staffed, reference: str, gallery_id: str = "wanted", **more: Any) -> tuple[str, str]:
    case_id, examination_id, templates = examined(at, reference, gallery_id, **more)
    for number in (1, 2):
        at.examiner(number).finds(examination_id, POTENTIAL, template_id=templates[0], rating=2, notes="<b>ears</b>")
    return case_id, examination_id


def test_evidence_proves_itself_and_of_a_changed_byte_the_file(
    at: Staffed, reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, examination_id = concluded(at, reference)
    made = at.operator.exports(case_id)
    own_key, audit_key = keys_of(at)
    found = verify_bundle(io.BytesIO(made), own_key, audit_key)
    assert (found.case_id, found.case_reference, found.purpose) == (case_id, reference, "investigation")
    assert (found.examinations, found.unfinished, found.made_by) == (1, (), at.operator.principal_id)
    assert found.by_expected_key
    assert found.audit is not None
    assert found.audit.by_expected_key
    with pytest.raises(EvidenceUnusable):
        verify_bundle(io.BytesIO(made), audit_key, audit_key)
    archive = zipfile.ZipFile(io.BytesIO(made))
    names = set(archive.namelist())
    assert {"report.html", "audit.jsonl", "examinations/01/probe.png", "examinations/01/candidates/04.png"} <= names
    findings = json.loads(archive.read("examinations/01/findings.json"))
    assert findings["conclusion"]["kind"] == "potential_candidate"
    assert [one["examiner"] for one in findings["findings"]] == [at.examiner(n).principal_id for n in (1, 2)]
    noted = json.loads(archive.read("examinations/01/derivations.json"))["derivations"]
    assert noted["1"]["similarity_measured_again"] == "1.000000"
    assert set(noted) == {"noted_at_the_search", "probe", "1", "2", "3", "4"}
    # Measured once more it is the same, told in the same words.
    assert noted["probe"] == {"1_size_px": "400 x 200", **noted["noted_at_the_search"]}
    assert noted["1"].keys() == {*noted["probe"], "similarity_measured_again"}
    for name in names:
        last = made.index(archive.read(name), archive.getinfo(name).header_offset) + archive.getinfo(name).file_size - 1
        altered = made[:last] + bytes([made[last] ^ 1]) + made[last + 1 :]
        with pytest.raises(EvidenceUnusable) as caught:
            verify_bundle(io.BytesIO(altered), own_key, audit_key)
        assert caught.value.metadata["file"] == name
    report = archive.read("report.html").decode()
    assert '<html lang="en" dir="ltr">' in report
    pseudo_locales.write(tmp_path)
    monkeypatch.setenv("FR_CATALOGUES", str(tmp_path))
    request = review_pb2.ExportEvidenceRequest(case_id=case_id)
    pieces = at.operator.review.ExportEvidence(request, metadata=(("accept-language", "ar-XB"),))
    told = zipfile.ZipFile(io.BytesIO(b"".join(one.data for one in pieces))).read("report.html").decode()
    assert '<html lang="ar-XB" dir="rtl">' in told
    assert "Conclusion: potential candidate" not in told
    assert examination_id in report
    assert "<b>ears" not in report
    assert "&lt;b&gt;ears" in report


def test_of_what_waits_for_a_finding_evidence_tells_no_finding_and_only_when_asked(at: Staffed, reference: str) -> None:
    case_id, examination_id, _ = examined(at, reference)
    at.examiner(1).finds(examination_id, UNSURE, notes="a secret of examiners")
    refused = how(lambda: at.operator.exports(case_id))
    assert refused[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "REVIEW_UNFINISHED")
    made = at.operator.exports(case_id, unfinished=True)
    assert verify_bundle(io.BytesIO(made), *keys_of(at)).unfinished == (examination_id,)
    archive = zipfile.ZipFile(io.BytesIO(made))
    everything = b"".join(archive.read(name) for name in archive.namelist() if name != "audit.jsonl")
    assert b"a secret of examiners" not in everything
    assert at.examiner(1).principal_id.encode() not in everything


def test_evidence_tells_figures_by_the_calibration_of_the_search_alone(at: Staffed, reference: str) -> None:
    at.gallery("measured")

    def calibrate(seed: int) -> None:
        text = to_json(calibration(seed=seed))
        at.admin.gallery.SetCalibration(gallery_pb2.SetCalibrationRequest(gallery_id="measured", calibration_json=text))

    calibrate(7)
    case_id = at.operator.opens(reference)
    answer = at.operator.searches(case_id, "measured", target_fmr=0.01)
    in_force = answer.found.error_rates.calibration.id
    own = at.operator.examination(answer.examination.examination_id)
    assert (own.calibration_id, own.threshold) == (in_force, answer.found.threshold)
    for number in (1, 2):
        at.examiner(number).finds(answer.examination.examination_id, NONE)

    def said() -> dict[str, Any]:
        made = at.operator.exports(case_id)
        verify_bundle(io.BytesIO(made), *keys_of(at))
        return dict(json.loads(zipfile.ZipFile(io.BytesIO(made)).read("examinations/01/search.json")))

    searched = said()["searched"]
    assert searched["calibration_id"] == in_force
    assert searched["parameters"]["criterion"] == "target_fmr 0.01"
    assert set(said()["figures"]) == {str(one.template_id) for one in own.candidates}
    assert said()["measured_on"].startswith("made-up")
    calibrate(8)  # another is in force now, which told nothing of this search
    assert said()["figures"] == {}
    assert said()["measured_on"] == ""


@cache
def big(blue: int, seed: int) -> bytes:
    """A photo of some megabytes, which no packing makes less."""
    side = 1_000
    pixels = np.random.default_rng(seed).integers(0, 200, (side, side, 3), dtype=np.uint8)
    pixels[:, :, 1] |= 64  # so that no noise is taken for a face
    image = Image.fromarray(pixels)
    image.paste((90, 90, 90), (0, 0, 400, 200))
    image.paste((255, 0, blue), (10, 20, 74, 84))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_big_photos_stream(at: Staffed, reference: str) -> None:
    at.gallery("large", people=0)
    photos = [big(blue, blue) for blue in BLUES[:2]]
    for number, one in enumerate(photos):
        face = recognition_pb2.Probe(image=common_pb2.Image(data=one))
        at.operator.gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="large", subject_id=f"s{number}", face=face))
    case_id, examination_id = concluded(at, reference, "large", probe=photos[1])
    assert at.examiner(3).examination(examination_id).probe.data == photos[1]
    request = review_pb2.ExportEvidenceRequest(case_id=case_id)
    pieces = [piece.data for piece in at.operator.review.ExportEvidence(request)]
    assert len(pieces) > 3 * len(photos[1]) // 2**18
    assert max(map(len, pieces)) <= 2**18
    verify_bundle(io.BytesIO(b"".join(pieces)), *keys_of(at))


def test_a_bundle_tells_no_examiner_what_is_not_to_be_known_before_the_finding(at: Staffed, reference: str) -> None:
    mixed = at.caller(Role.OPERATOR, Role.EXAMINER)
    case_id = at.operator.opens(reference)
    examination_id = at.operator.searches(case_id, "wanted").examination.examination_id
    assert all(one.rank == 0 and not one.HasField("similarity") for one in mixed.examination(examination_id).candidates)
    told = refusal_of(lambda: mixed.exports(case_id, unfinished=True))
    assert (told.info.reason, told.info.metadata["field"]) == ("NOT_PERMITTED", "include_unfinished")
    assert at.operator.exports(case_id, unfinished=True), "who judges nothing is told"
    mixed.finds(examination_id, NONE)
    assert mixed.exports(case_id, unfinished=True), "the finding is given"
    assert mixed.examination(examination_id).candidates[0].rank == 1
    own = mixed.searches(case_id, "wanted")
    assert own.found.results[0].candidates[0].rank == 1
    assert mixed.exports(case_id, unfinished=True), "the search has told it, and the finding is others' to give"
    practised = mixed.opens(f"{reference} 2")
    mixed.searches(practised, "practice")
    assert mixed.exports(practised, unfinished=True), "the search has told it"
    assert reason_of(lambda: mixed.exports(case_id)) == "REVIEW_UNFINISHED"


def large_case(at: Staffed, reference: str) -> review_pb2.ExportEvidenceRequest:
    """Return what exports a case whose bundle is more than gRPC takes unread."""
    case_id = at.operator.opens(reference)
    for blue in BLUES:
        at.operator.searches(case_id, "wanted", probe=big(blue, 100 + blue))
    return review_pb2.ExportEvidenceRequest(case_id=case_id, include_unfinished=True)


@pytest.fixture(scope="module")
def size_of_large(at: Staffed) -> int:
    """Bytes of the bundle of a large case, on any server."""
    request = large_case(at, "AZ of its size")
    return sum(len(piece.data) for piece in at.operator.review.ExportEvidence(request))


def test_readers_who_take_nothing_of_a_bundle_keep_it_from_nobody(tmp_path: Path, reference: str) -> None:
    with staffed(tmp_path, limits={"stall_s": 600.0}) as at:  # so that the others stay unread
        at.gallery("wanted")
        request = large_case(at, reference)
        calls = [caller.review.ExportEvidence(request) for caller in (at.operator, at.operator, at.admin, at.operator)]
        try:
            for call in calls[:2]:
                next(call)  # and no more of it
            for caller in (at.caller(Role.OPERATOR, number=2), at.operator):
                assert reason_of(partial(caller.review.ExportEvidence, request)) == "OK"
        finally:
            for call in calls:
                call.cancel()


@contextmanager
def with_room_for_unread(folder: Path, bundles: float, size: int, **sections: Any) -> Iterator[Staffed]:
    """A server that lets so many bundles, of so many bytes, wait for their readers."""
    with patch("fr_server.pools.UNREAD_BYTES", int(bundles * size)), staffed(folder, **sections) as made:
        made.gallery("wanted")
        yield made


def test_unread_answers_have_a_share_for_each_caller(size_of_large: int, tmp_path: Path, reference: str) -> None:
    with with_room_for_unread(tmp_path, 3.2, size_of_large) as few:
        request = large_case(few, reference)
        calls = [few.operator.review.ExportEvidence(request) for _ in range(2)]
        try:
            for call in calls:
                next(call)
            told = refusal_of(lambda: few.operator.review.ExportEvidence(request))
            assert (told.code, told.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert told.retry is not None
            assert reason_of(partial(few.caller(Role.OPERATOR, number=2).review.ExportEvidence, request)) == "OK"
        finally:
            for call in calls:
                call.cancel()
        until(lambda: reason_of(partial(few.operator.review.ExportEvidence, request)) == "OK", 120)


def test_an_unread_answer_is_let_go_in_time(size_of_large: int, tmp_path: Path, reference: str) -> None:
    stall_s = 1
    with with_room_for_unread(tmp_path, 1.6, size_of_large, limits={"stall_s": stall_s}) as few:
        request = large_case(few, reference)
        begun = time.monotonic()
        slow = few.operator.review.ExportEvidence(request)
        next(slow)
        refused = reason_of(partial(few.operator.review.ExportEvidence, request)) == "OVERLOADED"
        assert refused or time.monotonic() - begun > stall_s  # on a busy machine the slow reader may be gone already
        until(lambda: reason_of(partial(few.operator.review.ExportEvidence, request)) == "OK", 120)
        assert reason_of(lambda: slow) == "READER_TOO_SLOW"


def test_an_examiner_sees_reference_and_purpose_and_nothing_else_of_it(at: Staffed, fr_as: Fr, reference: str) -> None:
    case_id = at.operator.opens(reference)
    examination_id = at.operator.searches(case_id, "wanted").examination.examination_id
    narrow = at.caller(Role.EXAMINER, galleries=("wanted",))
    for who in (at.examiner(1), narrow):
        seen = who.examination(examination_id)
        assert (seen.case_reference, seen.purpose) == (reference, common_pb2.PURPOSE_INVESTIGATION)
        assert not any(one.subject_id or one.rank or one.HasField("similarity") for one in seen.candidates)
        words = fr_as(who, "review", "show", examination_id)[1]
        assert reference in words
        assert "investigation" in words
    given = at.examiner(1).finds(examination_id, NONE)
    assert (given.case_reference, given.purpose) == (reference, common_pb2.PURPOSE_INVESTIGATION)
    # A case for which a gallery was searched that one may not act on is none that one may know of.
    at.operator.searches(case_id, "practice")
    seen = narrow.examination(examination_id)
    assert (seen.case_reference, seen.purpose) == ("", common_pb2.PURPOSE_UNSPECIFIED)
    status, words, errors = fr_as(narrow, "review", "show", examination_id)
    assert status == 0, errors
    assert reference not in words
    assert "Purpose" not in words
    assert narrow.finds(examination_id, NONE).case_reference == ""
    assert at.examiner(2).examination(examination_id).case_reference == reference
