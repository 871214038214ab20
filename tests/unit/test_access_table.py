"""The table of who may call what against the API itself, and what the guard makes of requests, answers and refusals."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2, review_pb2, training_pb2
from fr_core.errors import InternalError, StoreFailed
from fr_core.gallery.checks import is_gallery_id
from fr_core.storage.audit.attribution import Attribution
from fr_server.authz import record as recording
from fr_server.authz.access_audit import GatewayAudit
from fr_server.authz.callers import seen
from fr_server.authz.record import BEGUN, PACE_S, UNRECORDED, CallAudit, CallRecord, Ended, Refusals
from fr_server.authz.rules import Coarse, Kind, Rule, ScopeKind, action_of
from fr_server.authz.scope import Foreign
from fr_server.authz.score_rounding import ask_for_all, require_photos, rounded, tell_less
from fr_server.authz.table import RULES
from fr_server.telemetry.throttle import MOST_PER_GROUP, MOST_PER_WINDOW, Throttle
from fr_server.telemetry.trust import HandshakeFailure, Trust
from fr_training.store.codes import new_code, typed_code
from fr_trust.access.budget import UNLIMITED
from fr_trust.access.principal import NOTHING, Principal, Role, Scope
from fr_trust.errors import CredentialInvalid, NotPermitted
from support.access import open_store
from support.callers import METHODS

KINDS = {
    "gallery_id": ScopeKind.GALLERY,
    "course_id": ScopeKind.COURSE,
    "learn_from": ScopeKind.COURSE,
    "cohort_id": ScopeKind.COHORT,
    "trainee_id": ScopeKind.TRAINEE,
    "session_id": ScopeKind.SESSION,
    "code": ScopeKind.CODE,
    "case_id": ScopeKind.CASE,
    "examination_id": ScopeKind.EXAMINATION,
}
# The audit is not divided by scopes: the id of a gallery is a condition there.
UNSCOPED = {("SearchAuditRequest", "gallery_id")}


def paths(message: Descriptor, before: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    """Every field of a request, and of the messages in it, by its path."""
    for field in message.fields:
        yield f"{before}{field.name}", field
        if field.message_type is not None and field.message_type.full_name.startswith("fr_api."):
            yield from paths(field.message_type, f"{before}{field.name}.")


def holds(message: Descriptor, wanted: Collection[str], seen_before: frozenset[str] = frozenset()) -> bool:
    """Return True if a message of one of these names can be inside."""
    if message.full_name in wanted:
        return True
    if message.full_name in seen_before:
        return False
    inner = [field.message_type for field in message.fields if field.message_type is not None]
    return any(holds(one, wanted, seen_before | {message.full_name}) for one in inner)


def test_every_method_has_a_rule() -> None:
    assert len(METHODS) > 60
    assert set(RULES) == set(METHODS)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_rule_names_the_ids_and_fields_of_its_request_and_no_other(method: str) -> None:
    request, rule = METHODS[method].input_type, RULES[method]
    fields = dict(paths(request))
    found = {
        (path, KINDS[field.name])
        for path, field in fields.items()
        if field.name in KINDS and (request.name, path) not in UNSCOPED
    }
    assert {(scoped.path, scoped.kind) for scoped in rule.scoped if scoped.path} == found
    messages = {path: field.message_type for path, field in fields.items() if field.message_type is not None}
    assert set(rule.probes) == {path for path, kind in messages.items() if kind.full_name == "fr_api.v1.Probe"}
    if rule.search_if:
        assert fields[rule.search_if].type == FieldDescriptor.TYPE_BOOL
    for variant in rule.variants:
        assert fields[variant.field].containing_oneof is not None
        assert variant.roles
        assert variant.roles <= rule.roles
    assert rule.roles
    assert rule.named_only < rule.roles or not rule.named_only


@pytest.mark.parametrize("method", sorted(METHODS))
def test_scores_and_embeddings_are_coarse_for_trainees(method: str) -> None:
    names = [
        "Embedding",
        "SearchResponse",
        "CompareResponse",
        "ExaminedCandidate",
        "DuplicatePair",
        "Cluster",
        "Reveal",
    ]
    exact = holds(METHODS[method].output_type, {f"fr_api.v1.{name}" for name in names})
    assert (RULES[method].coarse is not Coarse.AS_IS) >= exact


def test_examiners_learn_no_similarity_of_photos_that_they_choose() -> None:
    telling = {"fr_api.v1.CompareResponse", "fr_api.v1.SearchResponse", "fr_api.v1.Embedding", "fr_api.v1.Candidate"}
    for method, rule in RULES.items():
        if Role.EXAMINER in rule.roles:
            assert not holds(METHODS[method].output_type, telling), method
    assert RULES["/fr_api.v1.RecognitionService/Compare"].roles == {Role.OPERATOR}


def test_whoever_checks_is_not_who_is_checked() -> None:
    def of(role: Role) -> set[str]:
        return {method for method, rule in RULES.items() if role in rule.roles}

    searches = {method for method, rule in RULES.items() if rule.counts_as_search or rule.search_if}
    assert not of(Role.ADMIN) & searches
    assert not of(Role.EXAMINER) & searches
    assert not of(Role.AUDITOR) & searches
    own_key = "/fr_api.v1.AccessService/RotateKey"
    assert {RULES[method].kind for method in of(Role.AUDITOR) - {own_key}} == {Kind.READ}
    by_admins_alone = {f"GalleryService/{verb}Gallery" for verb in ("Create", "Update", "Delete")}
    by_admins_alone |= {f"AccessService/{verb}Key" for verb in ("Create", "Revoke")}
    by_admins_alone |= {"GalleryService/SetCalibration", "GalleryService/DeleteCalibration", "ReviewService/DeleteCase"}
    for name in by_admins_alone:
        assert RULES[f"/fr_api.v1.{name}"].roles == {Role.ADMIN}, name
    findings = "/fr_api.v1.ReviewService/SubmitFinding"
    assert of(Role.EXAMINER) - of(Role.OPERATOR) >= {findings}
    assert of(Role.TRAINEE) & of(Role.OPERATOR) == {
        "/fr_api.v1.GalleryService/Search",
        "/fr_api.v1.ServerService/GetServerInfo",
        "/fr_api.v1.TrainingService/GetManual",
        "/fr_api.v1.AccessService/WhoAmI",
        own_key,
    }


def test_every_search_and_every_answer_about_subjects_is_recorded() -> None:
    subjects = {f"fr_api.v1.{name}" for name in ("Subject", "Candidate", "Template", "Embedding", "ExaminedCandidate")}
    for method, rule in RULES.items():
        if rule.counts_as_search or holds(METHODS[method].output_type, subjects):
            assert rule.recorded, method


@dataclass
class Known:
    """A resolver of what a test says."""

    courses: dict[str, str]
    galleries: dict[str, tuple[str, ...]]

    async def course_of(self, kind: ScopeKind, resource_id: str) -> str | None:
        return self.courses.get(resource_id)

    async def galleries_of(self, kind: ScopeKind, resource_id: str) -> Collection[str] | None:
        return self.galleries.get(resource_id)


def principal(role: Role, galleries: Scope = NOTHING, courses: Scope = NOTHING) -> Principal:
    return Principal("key:test", frozenset({role}), galleries, courses, UNLIMITED)


FOREIGN = Foreign(
    Known({"own": "own-course", "theirs": "their-course"}, {"own": ("g1", "g2"), "half": ("g1", "x"), "empty": ()}),
    random.Random(1).randbytes,
)


def put_out(name: str, who: Principal, request: object) -> bool:
    rule = next(rule for method, rule in RULES.items() if method.endswith(f"/{name}"))
    return asyncio.run(FOREIGN.put_out(rule, who, request))  # type: ignore[arg-type]


def test_an_id_outside_of_the_scope_becomes_one_that_nothing_has() -> None:
    who = principal(Role.OPERATOR, Scope(("own-*",)))
    request = gallery_pb2.StreamSearchRequest()
    request.search.gallery_id = "theirs"
    assert put_out("StreamSearch", who, request)
    assert is_gallery_id(request.search.gallery_id)
    first = request.search.gallery_id
    request.search.gallery_id = "theirs"
    put_out("StreamSearch", who, request)
    assert request.search.gallery_id not in ("theirs", first)
    request.search.gallery_id = "own-1"
    assert not put_out("StreamSearch", who, request)
    assert request.search.gallery_id == "own-1"
    empty = gallery_pb2.StreamSearchRequest()
    assert not put_out("StreamSearch", who, empty)
    assert not empty.HasField("search")


@pytest.mark.parametrize("sent", ["", "NO ID", "a" * 129])
def test_malformed_ids_are_left_to_the_service(sent: str) -> None:
    request = gallery_pb2.GetGalleryRequest(gallery_id=sent)
    assert not put_out("GetGallery", principal(Role.OPERATOR), request)
    assert request.gallery_id == sent


@pytest.mark.parametrize(("sent", "outside"), [("own", False), ("theirs", True), ("nobodys", False)])
def test_what_is_of_a_course_is_looked_up(sent: str, outside: bool) -> None:
    who = principal(Role.TRAINER, courses=Scope(("own-course",)))
    request = training_pb2.GetCohortRequest(cohort_id=sent)
    assert put_out("GetCohort", who, request) is outside
    assert (request.cohort_id != sent) is outside


def test_a_code_becomes_a_code() -> None:
    request = training_pb2.JoinCourseRequest(code="theirs")
    assert put_out("JoinCourse", principal(Role.TRAINEE, courses=Scope(("own-course",))), request)
    assert typed_code(request.code) is not None
    assert len(request.code) == len(new_code(random.Random(1).randbytes))


def test_a_case_is_of_all_galleries_that_were_searched_for_it() -> None:
    for sent, outside in (("own", False), ("half", True), ("empty", False), ("nobodys", False)):
        request = review_pb2.GetCaseRequest(case_id=sent)
        assert put_out("GetCase", principal(Role.EXAMINER, Scope(("g*",))), request) is outside


def test_trainees_search_only_what_is_named_for_them_and_no_gallery_of_a_course() -> None:
    for patterns, outside in ((("open",), False), (("op*",), True), (("*",), True), (("op*", "open"), False)):
        request = gallery_pb2.SearchRequest(gallery_id="open")
        assert put_out("Search", principal(Role.TRAINEE, Scope(patterns)), request) is outside
    for role, pattern in ((Role.TRAINEE, "training-0123"), (Role.OPERATOR, "training-*")):
        request = gallery_pb2.SearchRequest(gallery_id="training-0123")
        assert put_out("Search", principal(role, Scope((pattern,))), request) == (role is Role.TRAINEE)


def response(threshold: float, *similarities: float) -> gallery_pb2.SearchResponse:
    made = gallery_pb2.SearchResponse(threshold=threshold)
    result = made.results.add()
    for rank, similarity in enumerate(similarities, 1):
        result.candidates.add(rank=rank, similarity=similarity, above_threshold=similarity >= threshold)
    result.decision = gallery_pb2.SEARCH_DECISION_NO_CANDIDATE
    return made


def test_scores_have_two_decimals_and_moving_the_threshold_tells_no_more() -> None:
    told = set()
    for step in range(-40, 41):
        made = response(0.5 + step / 10_000, 0.504_321, 0.499, 0.123_456)
        tell_less(made, False)
        (result,) = made.results
        assert [candidate.similarity for candidate in result.candidates] == [0.5, 0.5, 0.12]
        told.add((made.threshold, *(candidate.above_threshold for candidate in result.candidates), result.decision))
    assert told == {(0.5, True, True, False, gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES)}


def test_candidates_below_a_coarse_threshold_are_left_out_by_coarse_scores() -> None:
    request = gallery_pb2.SearchRequest(only_above_threshold=True)
    assert (ask_for_all(request), request.only_above_threshold, ask_for_all(request)) == (True, False, False)
    made = response(0.503, 0.6, 0.4999, 0.494)
    tell_less(made, True)
    assert [candidate.rank for candidate in made.results[0].candidates] == [1, 2]
    in_case = review_pb2.SearchInCaseRequest(search=gallery_pb2.SearchRequest(only_above_threshold=True))
    assert ask_for_all(in_case)


def test_everything_in_an_answer_is_coarse() -> None:
    compared = recognition_pb2.CompareResponse(similarity=-0.001, threshold=0.4321, above_threshold=False)
    compared.likelihood_ratio.log10_lr = 1.2345
    tell_less(compared, False)
    told = (str(compared.similarity), compared.threshold, compared.HasField("likelihood_ratio"))
    assert told == ("0.0", 0.43, False)
    template = gallery_pb2.GetTemplateResponse(
        subject_id="s", embedding=common_pb2.Embedding(vector=[1.0]), photo=common_pb2.Image(data=b"photo")
    )
    tell_less(template, False)
    assert (template.HasField("embedding"), template.photo.data) == (False, b"photo")
    found = review_pb2.SearchInCaseResponse(found=response(0.5, 0.123_456))
    tell_less(found, False)
    assert found.found.results[0].candidates[0].similarity == 0.12
    examination = review_pb2.GetExaminationResponse()
    examination.examination.candidates.add(similarity=0.777_7)
    examination.examination.candidates.add()
    tell_less(examination, False)
    assert [one.similarity for one in examination.examination.candidates] == [0.78, 0.0]
    assert not examination.examination.candidates[1].HasField("similarity")
    decided = training_pb2.SubmitDecisionResponse()
    decided.reveal.similarities["p"] = 0.987_65
    tell_less(decided, False)
    assert dict(decided.reveal.similarities) == {"p": 0.99}
    assert rounded(0.005_1) == 0.01


def test_embeddings_are_not_taken() -> None:
    embedding = recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=[1.0]))
    photo = recognition_pb2.Probe(image=common_pb2.Image(data=b"photo"))
    search = RULES["/fr_api.v1.GalleryService/Search"]
    require_photos(search, gallery_pb2.SearchRequest(probe=photo))
    require_photos(search, gallery_pb2.SearchRequest())
    compare, embed = (RULES[f"/fr_api.v1.RecognitionService/{name}"] for name in ("Compare", "Embed"))
    for rule, request in (
        (search, gallery_pb2.SearchRequest(probe=embedding)),
        (compare, recognition_pb2.CompareRequest(a=photo, b=embedding)),
        (embed, recognition_pb2.EmbedRequest()),
    ):
        with pytest.raises(NotPermitted):
            require_photos(rule, request)
    enrol = RULES["/fr_api.v1.GalleryService/StreamEnrol"]
    item = gallery_pb2.StreamEnrolRequest(enrol=gallery_pb2.EnrolRequest(face=photo))
    require_photos(enrol, item)
    item.enrol.report_similar = True
    with pytest.raises(NotPermitted):
        require_photos(enrol, item)


@pytest.mark.parametrize("seed", range(20))
def test_pages_hold_only_what_is_visible(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr("fr_server.authz.callers._FETCHED", rng.randint(1, 7))
    entries = list(range(1, rng.randint(1, 40)))
    visible = {entry for entry in entries if rng.random() < rng.choice((0.0, 0.2, 0.8, 1.0))}

    def page(after: int, size: int) -> tuple[list[int], bool]:
        def fetch(last: int | None, wanted: int) -> tuple[Sequence[int], bool]:
            rest = entries[entries.index(last) + 1 :] if last else [one for one in entries if one > after]
            return rest[:wanted], len(rest) > wanted

        return seen(fetch, size, visible.__contains__)

    expected = [entry for entry in entries if entry in visible]
    size, after, got = rng.randint(1, 5), 0, []
    for number in count():
        shown, more = page(after, size)
        got += shown
        assert shown == expected[number * size : (number + 1) * size]
        assert more is (len(expected) > (number + 1) * size)
        if not more:
            break
        after = shown[-1]
    assert got == expected


class Kept:
    """A recorder that keeps what it is told, and fails where a test says so."""

    def __init__(self, fails: bool = False) -> None:
        self.ended: list[Ended] = []
        self.fails = fails

    async def record(self, *ended: Ended) -> None:
        if self.fails:
            raise StoreFailed("The disk refuses.")
        self.ended += ended


def test_refusals_of_one_caller_have_a_pace_whatever_their_reasons() -> None:
    kept, now = Kept(), [0.0]
    reasons = [f"REASON_{letter}" for letter in "ABCDEFGH"]

    async def flood() -> None:
        refusals = Refusals(kept, lambda: now[0])
        for _ in range(3):
            for number in range(100 * len(reasons)):
                refusals.tell(Ended(Attribution("key:1"), "gallery.search", reasons[number % len(reasons)]))
            refusals.tell(Ended(Attribution("key:2"), "gallery.search", reasons[0]))
            now[0] += PACE_S
        await refusals.settled()
        assert len(kept.ended) == 3 * (MOST_PER_GROUP + 1)
        await refusals.drain()

    asyncio.run(flood())
    assert len(kept.ended) <= 3 * (MOST_PER_GROUP + 1) + len(reasons)
    for reason in reasons:
        own = [one for one in kept.ended if (one.attribution.actor, one.outcome) == ("key:1", reason)]
        assert sum(1 + one.counts.get(UNRECORDED, 0) for one in own) == 300


def test_refusals_left_out_are_counted_at_the_end_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PACE_S", 0.05)
    kept = Kept()

    async def flood() -> None:
        refusals = Refusals(kept, time.monotonic)
        for _ in range(2):
            for _ in range(25):
                refusals.tell(Ended(Attribution("key:1"), "gallery.search", "MISSING_FIELD"))
            told = len(kept.ended)
            for _ in range(1_000):
                if any(UNRECORDED in one.counts for one in kept.ended[told:]):
                    break
                await asyncio.sleep(0.01)
            else:
                pytest.fail("the count is not recorded")

    asyncio.run(flood())
    assert sum(1 + one.counts.get(UNRECORDED, 0) for one in kept.ended) == 50


@pytest.mark.parametrize("method", sorted(method for method, rule in RULES.items() if rule.recorded))
def test_answers_and_changes_are_recorded_each_time(method: str) -> None:
    """Also where the answer breaks off; the control are calls that were refused before anything was told."""
    rule, calls, told = RULES[method], 20, {"OK": 0, "BROKEN_OFF": 0, "CANCELLED": 0, "REFUSED": 0, "LEFT": 0}

    async def ends(outcome: str) -> None:
        kept = Kept()
        teller = CallAudit(kept, Trust(), lambda: 0.0)
        for _ in range(calls):
            record = CallRecord()
            record.searched = True
            with contextlib.suppress(InternalError, asyncio.CancelledError):
                async with teller.ending(rule, Attribution("key:1"), action_of(method), record) as ending:
                    if outcome in ("BROKEN_OFF", "CANCELLED"):
                        await ending.begun()
                    if outcome in ("BROKEN_OFF", "REFUSED"):
                        raise InternalError("It breaks.")
                    if outcome in ("CANCELLED", "LEFT"):
                        raise asyncio.CancelledError
        await asyncio.sleep(0)  # those are recorded that nobody waits for
        told[outcome] = len([one for one in kept.ended if one.outcome != BEGUN])
        await teller.drain()

    for outcome in told:
        asyncio.run(ends(outcome))
    left = MOST_PER_WINDOW if rule.chained else calls
    assert told == {"OK": calls, "BROKEN_OFF": calls, "CANCELLED": calls, "REFUSED": MOST_PER_WINDOW, "LEFT": left}


def test_a_refusal_that_cannot_be_recorded_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def tell() -> None:
        refusals = Refusals(Kept(fails=True), lambda: 0.0)
        refusals.tell(Ended(Attribution(), "gallery.search", "NOT_PERMITTED"))
        await refusals.drain()

    asyncio.run(tell())
    assert "A call that ended could not be recorded" in caplog.text


class Heard(Trust):
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def access_refused(self, reason: str) -> None:
        self.reasons.append(reason)


def test_an_invalid_credential_is_recorded_once() -> None:
    for recorded in (True, False):
        kept, heard, record = Kept(), Heard(), CallRecord()
        record.detail = {"why": "revoked"}
        rule = replace(RULES["/fr_api.v1.EvaluationService/GetReport"], recorded=recorded)

        async def ends(kept: Kept = kept, heard: Heard = heard, record: CallRecord = record, rule: Rule = rule) -> None:
            teller = CallAudit(kept, heard, lambda: 0.0)
            with pytest.raises(CredentialInvalid):
                async with teller.ending(rule, Attribution("key:1"), "evaluation.get_report", record):
                    raise CredentialInvalid("The credential is not valid.")
            await teller.drain()

        asyncio.run(ends())
        assert [(one.attribution.actor, one.outcome) for one in kept.ended] == [("key:1", "CREDENTIAL_INVALID")]
        assert heard.reasons == ["revoked"]


@pytest.mark.parametrize("method", sorted(method for method, rule in RULES.items() if rule.kind is Kind.CHANGE))
def test_changes_without_another_audit_are_recorded_here(method: str) -> None:
    rule, unchained = (
        RULES[method],
        method.startswith(("/fr_api.v1.EvaluationService/", "/fr_api.v1.VideoService/DeleteVideo")),
    )
    assert rule.chained is not unchained
    kept = Kept()

    async def ends() -> None:
        teller = CallAudit(kept, Trust(), lambda: 0.0)
        async with teller.ending(rule, Attribution("key:1"), action_of(method), CallRecord()) as ending:
            await ending.begun()

    asyncio.run(ends())
    assert [one.outcome for one in kept.ended] == (["BEGUN", "OK"] if unchained else [])


def test_failed_handshakes_are_paced_by_their_kinds(tmp_path: Path) -> None:
    now = [0.0]
    with open_store(tmp_path) as store:
        journal = GatewayAudit(store, Trust(), lambda: now[0])
        for _ in range(30):
            journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
        journal.handshake_failed("192.0.2.1", HandshakeFailure.NOT_TLS)
        now[0] = 59.9
        journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
        now[0] = 60.0
        for _ in range(13):
            journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
        journal.drain()
        journal.drain()
        store.record([]).result(5)  # those before are durable, too
        with store.auditing() as audit:
            told = [json.loads(one.body) for one in audit.every()]
    assert [one["detail"]["why"] for one in told] == ["old_tls"] * 10 + ["not_tls"] + ["old_tls"] * 11
    counts = [None] * 11 + [{UNRECORDED: 21}] + [None] * 9 + [{UNRECORDED: 2}]
    assert [one.get("counts") for one in told] == counts


def test_a_pace_remembers_who_was_heard_of_last() -> None:
    throttle: Throttle[str] = Throttle(lambda: 0.0)
    for _ in range(15):
        throttle.held_back("flood", "")
    assert throttle.held_back("flood", "") is None
    for beginning in (0, 10_000):  # heard of between, it stays
        for number in range(9_999):
            assert throttle.held_back(beginning + number, "") == 0
        assert throttle.held_back("flood", "") is None
    for number in range(10_000):
        throttle.held_back(f"other {number}", "")
    assert throttle.held_back("flood", "") == 0
