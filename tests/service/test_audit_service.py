"""AuditService over a real server: who did what is found, exported, checked and signed; and nobody is named in it."""

import json
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from fr_api.v1 import access_pb2, audit_pb2, common_pb2, gallery_pb2, recognition_pb2, training_pb2
from fr_client.cli.admin.checkpoints import save_checkpoints
from fr_client.cli.state import Unusable
from fr_core.errors import ConfigInvalid
from fr_core.gallery.pages import page_token
from fr_core.storage.audit.checkpoints import parse_checkpoint, read_public_key
from fr_core.storage.audit.values import Entry
from fr_core.storage.audit.verify import Broken, Verified
from fr_core.storage.keys import key_beside
from fr_server.authz.record import UNRECORDED
from fr_server.clock import wall_ms
from fr_server.storage.audits import CHAINS
from fr_server.telemetry.trust import HandshakeFailure
from fr_trust.access.principal import Role
from fr_trust.access.store import AccessStore
from fr_trust.audit.export import verify_export
from support.callers import BLUES, METHODS, NONE, POTENTIAL, PROBE, Caller, Staffed, in_case, paged, reason_of, staffed
from support.faults import until
from support.servers import photo
from support.training_stores import add_course, small_course

NAME, METADATUM, NOTES, LABEL = "Erika Mustermann", "Musterstrasse-7", "a scar above the left brow", "desk of Max"
REFERENCE, TRAINEE_NAME = "AZ 17/2026 Musterfall", "Max Lehrling"
SUBJECTS = tuple(f"wanted {blue}" for blue in BLUES)
SUBJECT = "Passport-L01X00T47"
OWN_ID = "Maria-Beispiel_1990-01-31"
"""An id that a caller sends for its own request, and in the place of ids that the server assigns."""
NEW_FACE = photo(200)
IMAGE = common_pb2.Image(data=PROBE)
FACE = recognition_pb2.Probe(image=IMAGE)
PURPOSE = common_pb2.PURPOSE_MISSING_PERSON
MODEL = "null@1:000000000000"
CHAIN_FILES = {
    "galleries": "galleries.db",
    "training": "training/training.sqlite",
    "cases": "cases/cases.sqlite",
    "access": "access/access.sqlite",
}


@dataclass
class Work:
    """The work done on a server: the answers and the callers by the names of the calls."""

    at: Staffed
    folder: Path
    answers: dict[str, Any]
    callers: dict[str, Caller]
    request_ids: dict[str, str]

    def records(self, call: str, chain: str) -> list[dict[str, Any]]:
        request = audit_pb2.SearchAuditRequest(chain=chain, request_id=self.request_ids[call])
        return [json.loads(one.json) for one in self.at.auditor.audit.SearchAudit(request).records]


def request_of(service: str, method: str, **fields: Any) -> Any:
    return GetMessageClass(METHODS[f"/fr_api.v1.{service.capitalize()}Service/{method}"].input_type)(**fields)


def work_through(at: Staffed) -> tuple[dict[str, Any], dict[str, Caller], dict[str, str]]:
    """Make one call of each kind; return the answers, who called, and the ids of the requests."""
    answers: dict[str, Any] = {}
    callers: dict[str, Caller] = {}
    request_ids: dict[str, str] = {}
    at.gallery("wanted")
    trainer, trainee = at.caller(Role.TRAINER), at.caller(Role.TRAINEE)
    operator, examiner, admin, auditor = at.operator, at.examiner(1), at.admin, at.auditor

    def done(caller: Caller, service: str, method: str, **fields: Any) -> Any:
        stub, request = getattr(getattr(caller, service), method), request_of(service, method, **fields)
        metadata = (("x-request-id", OWN_ID), ("tracestate", f"fr={OWN_ID}"))
        if hasattr(stub, "with_call"):
            answers[method], call = stub.with_call(request, metadata=metadata)
        else:
            call = stub(iter([request]) if method.startswith("Stream") else request, metadata=metadata)
            answers[method] = list(call)
        request_ids[method] = dict(call.trailing_metadata())["x-request-id"]
        callers[method] = caller
        return answers[method]

    wanted: dict[str, Any] = {"gallery_id": "wanted"}
    why: dict[str, Any] = {"purpose": PURPOSE, "case_reference": REFERENCE}
    asked: dict[str, Any] = {**why, **wanted}
    search = gallery_pb2.SearchRequest(probe=FACE, **asked)
    new = recognition_pb2.Probe(image=common_pb2.Image(data=NEW_FACE))
    named: dict[str, Any] = {"display_name": NAME, "metadata": {"street": METADATUM}}
    done(operator, "gallery", "Enrol", subject_id=SUBJECT, face=new, **named, **wanted)
    done(operator, "gallery", "Search", probe=FACE, **asked)
    done(operator, "gallery", "StreamSearch", item_id=SUBJECT, search=search)
    done(operator, "recognition", "Detect", image=IMAGE)
    done(operator, "recognition", "Embed", image=IMAGE)
    done(operator, "recognition", "BatchEmbed", images=[common_pb2.Image(data=b"no photo"), IMAGE, IMAGE])
    done(operator, "recognition", "Compare", a=FACE, b=new)
    done(operator, "gallery", "GetSubject", subject_id=SUBJECT, **asked)
    done(operator, "gallery", "ListSubjects", **asked)
    done(operator, "gallery", "GetTemplate", template_id=1, **asked)
    renamed: dict[str, Any] = {"display_name": f"{NAME} 2", "update_mask": FieldMask(paths=["display_name"])}
    done(operator, "gallery", "UpdateSubject", subject_id=SUBJECT, **renamed, **asked)
    done(operator, "gallery", "FindDuplicates", threshold=-1.0, **asked)
    done(operator, "gallery", "ClusterGallery", threshold=0.9, **asked)
    case: dict[str, Any] = {"case_id": done(operator, "review", "OpenCase", **why).case.case_id}
    answer = done(operator, "review", "SearchInCase", search=in_case("", "wanted", top_k=3).search, **case)
    examined: dict[str, Any] = {"examination_id": answer.examination.examination_id}
    done(examiner, "review", "GetExamination", **examined)
    mate = answer.found.results[0].candidates[0].template_id
    done(examiner, "review", "SubmitFinding", kind=POTENTIAL, template_id=mate, rating=3, notes=NOTES, **examined)
    done(operator, "review", "GetCase", **case)
    done(operator, "review", "ListCases")
    done(examiner, "review", "ListAwaiting")
    done(operator, "review", "ExportEvidence", include_unfinished=True, **case)
    done(operator, "review", "CloseCase", **case)
    done(admin, "review", "DeleteCase", **case)
    done(operator, "gallery", "DeleteTemplate", template_id=1, **wanted)
    done(admin, "gallery", "DeleteSubject", subject_id=SUBJECTS[1], **wanted)
    done(admin, "gallery", "EraseSubject", subject_id=SUBJECT, **wanted)
    key_fields: dict[str, Any] = {"label": LABEL, "roles": [access_pb2.ROLE_OPERATOR], "galleries": ["wanted"]}
    key_id = done(admin, "access", "CreateKey", **key_fields).key.key_id
    done(admin, "access", "ListKeys")
    done(admin, "access", "RotateKey", key_id=key_id)
    done(admin, "access", "RevokeKey", key_id=key_id)
    add_course(at.stores.training, small_course(course_id="course-1"))
    cohort = done(trainer, "training", "CreateCohort", course_id="course-1", trainees=1, display_name=TRAINEE_NAME)
    person = {"issuer": "https://lms.example", "client_id": "1", "subject": SUBJECTS[0]}
    done(trainer, "training", "JoinFromPlatform", cohort_id=cohort.cohort.cohort_id, **person)
    code, trainee_id = cohort.enrolled[0].code, cohort.enrolled[0].trainee_id
    done(trainee, "training", "StartSession", code=code, sitting="day-1", consent=True)
    cohort_id = cohort.cohort.cohort_id
    done(trainer, "training", "ReleaseItems", cohort_id=cohort_id, block_ids=["triads"], before_all_finished=True)
    done(trainee, "training", "ListReview", code=code)
    csv = training_pb2.EXPORT_FORMAT_CSV
    done(trainer, "training", "ExportResults", cohort_id=cohort_id, format=csv)
    done(trainer, "training", "DeleteTrainee", trainee_id=trainee_id)
    done(auditor, "audit", "VerifyAudit")
    done(admin, "gallery", "DeleteGallery", **wanted)
    refused: list[tuple[Caller, str, str, dict[str, str]]] = [
        (operator, "review", "GetCase", {"case_id": OWN_ID}),
        (examiner, "review", "GetExamination", {"examination_id": OWN_ID}),
        (admin, "access", "RevokeKey", {"key_id": OWN_ID}),
        (auditor, "audit", "VerifyAudit", {"chain": OWN_ID}),
        (auditor, "audit", "SearchAudit", {"chain": "access", "page_token": OWN_ID}),
        (trainer, "training", "GetCohort", {"cohort_id": OWN_ID}),
        (trainee, "training", "JoinCourse", {"code": OWN_ID}),
    ]
    for caller, service, method, fields in refused:
        stub = getattr(getattr(caller, service), method)
        assert reason_of(partial(stub, request_of(service, method, **fields))) != "OK"
    return answers, callers, request_ids


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    folder = tmp_path_factory.mktemp("audited")
    with staffed(folder) as at:
        yield Work(at, folder, *work_through(at))


SEARCHED = {"model": MODEL, "gallery": "wanted", "threshold": "0.5"}
WHY = {"purpose": "missing_person", "case": ...}
SCANNED = {"gallery": "wanted", "gallery_version": ..., **WHY}
TOLD: list[tuple[str, str, str, int, Mapping[str, Any]]] = [
    # call, chain, action, subjects, what else the record says; ... = anything
    ("Enrol", "galleries", "gallery.enrol", 1, {"gallery": "wanted", "gallery_version": 6, "model": MODEL}),
    ("Search", "access", "gallery.search", 5, {**SEARCHED, **WHY, "gallery_version": 6}),
    ("StreamSearch", "access", "gallery.stream_search", 5, {**SEARCHED, **WHY, "gallery_version": 6}),
    ("Detect", "access", "recognition.detect", 0, {"counts": {"faces": 1}}),
    ("Embed", "access", "recognition.embed", 0, {"counts": {"faces": 1}, "model": MODEL}),
    ("BatchEmbed", "access", "recognition.batch_embed", 0, {"counts": {"results": 3, "faces": 2}, "model": MODEL}),
    ("Compare", "access", "recognition.compare", 0, {"model": MODEL, "threshold": "0.5"}),
    ("GetSubject", "access", "gallery.get_subject", 1, {"gallery": "wanted", **WHY}),
    ("ListSubjects", "access", "gallery.list_subjects", 5, {"gallery": "wanted", "counts": {"subjects": 5}, **WHY}),
    ("GetTemplate", "access", "gallery.get_template", 1, {"gallery": "wanted", "model": MODEL, **WHY}),
    ("UpdateSubject", "galleries", "gallery.update_subject", 1, {"gallery": "wanted", **WHY}),
    ("FindDuplicates", "access", "gallery.find_duplicates", 5, {**SCANNED, "threshold": "-1"}),
    ("ClusterGallery", "access", "gallery.cluster_gallery", 5, {**SCANNED, "threshold": "0.9"}),
    ("OpenCase", "cases", "case.open", 0, WHY),
    ("SearchInCase", "cases", "case.search", 3, {**SEARCHED, **WHY, "gallery_version": ...}),
    ("SearchInCase", "access", "review.search_in_case", 3, {**SEARCHED, **WHY, "gallery_version": ...}),
    ("GetExamination", "access", "review.get_examination", 3, {**SEARCHED, **WHY, "gallery_version": ...}),
    ("SubmitFinding", "cases", "case.finding", 0, {**SEARCHED, **WHY, "counts": {"findings": 1}}),
    ("GetCase", "access", "review.get_case", 0, WHY),
    ("ListCases", "access", "review.list_cases", 0, {"counts": {"cases": 1}}),
    ("ListAwaiting", "access", "review.list_awaiting", 0, {}),
    ("ExportEvidence", "access", "review.export_evidence", 0, WHY),
    ("CloseCase", "cases", "case.close", 0, WHY),
    ("DeleteCase", "cases", "case.delete", 0, WHY),
    ("DeleteTemplate", "galleries", "gallery.delete_template", 0, {"gallery": "wanted", "counts": {"templates": 1}}),
    ("DeleteSubject", "galleries", "gallery.delete_subject", 1, {"gallery": "wanted"}),
    ("EraseSubject", "galleries", "gallery.erase_subject", 1, {"gallery": "wanted"}),
    ("CreateKey", "access", "access.create_key", 0, {}),
    ("ListKeys", "access", "access.list_keys", 0, {}),
    ("RotateKey", "access", "access.rotate_key", 0, {}),
    ("RevokeKey", "access", "access.revoke_key", 0, {}),
    ("CreateCohort", "training", "training.create_cohort", 0, {"counts": {"trainees": 1}}),
    ("JoinFromPlatform", "training", "training.add_trainees", 0, {"counts": {"trainees": 1}}),
    ("StartSession", "training", "training.start_session", 0, {}),
    ("ReleaseItems", "training", "training.release", 0, {"counts": {"items": 3, "test_items": 0, "trainees_ahead": 2}}),
    ("ListReview", "access", "training.list_review", 0, {}),
    ("ExportResults", "access", "training.export_results", 0, {}),
    ("DeleteTrainee", "training", "training.delete_trainee", 0, {}),
    ("VerifyAudit", "access", "audit.verify_audit", 0, {"counts": {"verdicts": 4}}),
    ("DeleteGallery", "galleries", "gallery.delete", 0, {"gallery": "wanted"}),
]


@pytest.mark.parametrize(
    ("call", "chain", "action", "subjects", "more"), TOLD, ids=[f"{one[0]}-{one[1]}" for one in TOLD]
)
def test_a_call_is_recorded(
    work: Work, call: str, chain: str, action: str, subjects: int, more: Mapping[str, Any]
) -> None:
    records = work.records(call, chain)
    outcomes = [one["outcome"] for one in records]
    assert outcomes in (["OK"], ["BEGUN", "OK"])  # the latter of an answer in many messages
    said = records[-1]
    caller = work.callers[call]
    assert (said["actor"], said["action"]) == (caller.principal_id, action)
    assert len(said["roles"]) == 1
    assert len(said.get("subjects", [])) == subjects
    for name, value in more.items():
        assert said[name] == value or (value is ... and said[name]), name


def test_every_call_is_in_the_table_of_this_test(work: Work) -> None:
    assert set(work.answers) == {one[0] for one in TOLD}


def needles(work: Work) -> dict[str, bytes]:
    """Texts that must not appear in clear."""
    named = (NAME, METADATUM, NOTES, REFERENCE, TRAINEE_NAME, SUBJECT, *SUBJECTS, OWN_ID, LABEL)
    words = {word for text in named for word in re.split("[ /]", text) if len(word) > 5 and word != "wanted"}
    vector = np.asarray(work.answers["Embed"].faces[0].embedding.vector, np.float32)
    return {
        **{text: text.encode() for text in (*named, *words)},
        "reference, escaped": json.dumps(REFERENCE)[1:-1].encode(),
        "photo": PROBE[40:72],
        "other photo": NEW_FACE[-60:-20],
        "vector": vector.tobytes()[:16],
        "vector as text": f"{vector[0]:.6f}"[:8].encode(),
        "secret of a key": work.answers["CreateKey"].token.partition(".")[2].encode(),
        "code of a trainee": work.answers["CreateCohort"].enrolled[0].code.encode(),
    }


def test_nobody_is_named_in_any_audit(work: Work) -> None:
    score = {"similarity": repr(work.answers["Compare"].similarity)[:10].encode()}
    audits = b""
    for chain, name in CHAIN_FILES.items():
        with closing(sqlite3.connect(f"file:{work.folder / name}?mode=ro", uri=True)) as reader:
            rows = reader.execute("SELECT body FROM audit").fetchall()
        assert rows, chain
        audits += b"\n".join(body for (body,) in rows)
    assert b"wanted" in audits  # a gallery's id is no name
    for what, needle in {**needles(work), **score}.items():
        assert needle not in audits, what


def test_nor_in_the_files_of_any_store(work: Work) -> None:
    files = [path for name in CHAIN_FILES.values() for path in (work.folder / name).parent.glob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files)
    assert b"gallery.search" in everything
    for what, needle in needles(work).items():
        assert needle not in everything, what


def exported(caller: Caller, chain: str, after: int = 0) -> list[bytes]:
    request = audit_pb2.ExportAuditRequest(chain=chain, after_seq=after)
    return b"".join(part.data for part in caller.audit.ExportAudit(request)).splitlines()


def records_of(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line)["record"] for line in lines[1:-1]]


def found(caller: Caller, size: int = 0, **asked: Any) -> list[int]:
    records = paged(caller.audit.SearchAudit, audit_pb2.SearchAuditRequest(page_size=size, **asked), "records")
    for one in records:
        said = json.loads(one.json)
        assert (one.seq, one.time.ToMilliseconds()) == (said["seq"], said["at_ms"])
        assert len(one.hash) == 64
    return [one.seq for one in records]


def at_ms(milliseconds: int) -> Timestamp:
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


@pytest.mark.parametrize("chain", CHAINS)
def test_records_are_found_by_all_that_they_say(work: Work, chain: str) -> None:
    auditor = work.at.auditor
    records = records_of(exported(auditor, chain))
    assert records
    times = sorted(one["at_ms"] for one in records)
    low, high = times[len(times) // 4], times[3 * len(times) // 4]
    store: Any = getattr(work.at.stores, chain, work.at.server.app.galleries)
    with store.auditing() as audit:
        pseudonyms = audit.pseudonyms()
    subject, case = pseudonyms.subject("wanted", SUBJECT), pseudonyms.case(REFERENCE)
    last, request_id = records[-1], work.request_ids["Search"]
    searched = {"actor": work.at.operator.principal_id, "action": "gallery.search"}
    asked: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        ({}, lambda one: True),
        ({"start_time": at_ms(low)}, lambda one: one["at_ms"] >= low),
        ({"end_time": at_ms(high)}, lambda one: one["at_ms"] < high),
        ({"start_time": at_ms(low), "end_time": at_ms(high)}, lambda one: low <= one["at_ms"] < high),
        ({"actor": last["actor"]}, lambda one: one["actor"] == last["actor"]),
        ({"action": last["action"]}, lambda one: one["action"] == last["action"]),
        ({"action": "gallery.*"}, lambda one: one["action"].startswith("gallery.")),
        ({"outcome": "OK"}, lambda one: one["outcome"] == "OK"),
        ({"outcome": "BEGUN"}, lambda one: one["outcome"] == "BEGUN"),
        ({"gallery_id": "wanted"}, lambda one: one.get("gallery") == "wanted"),
        (
            {"gallery_id": "wanted", "subject_id": SUBJECT},
            lambda one: one.get("gallery") == "wanted" and subject in one.get("subjects", ()),
        ),
        ({"case_reference": REFERENCE}, lambda one: one.get("case") == case),
        ({"request_id": request_id}, lambda one: one.get("request_id") == request_id),
        (
            {**searched, "case_reference": REFERENCE},
            lambda one: searched.items() <= one.items() and one.get("case") == case,
        ),
        ({"actor": "key:nobody"}, lambda one: False),
    ]
    upto = records[-1]["seq"]
    for filters, fits in asked:
        expected = [one["seq"] for one in records if fits(one)]
        for size in (0, max(2, len(expected) // 4)):
            numbers = found(auditor, size, chain=chain, **filters)
            assert [number for number in numbers if number <= upto] == expected, filters
    if chain == "access":
        assert found(auditor, chain=chain, gallery_id="wanted", subject_id=SUBJECT)
        assert found(auditor, chain=chain, case_reference=REFERENCE)


NO_CHECKPOINT = audit_pb2.Checkpoint(json="{}")
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "search: no chain": ("SearchAudit", {}, "MISSING_FIELD"),
    "search: no such chain": ("SearchAudit", {"chain": "x"}, "INVALID_FIELD"),
    "search: a subject of no gallery": ("SearchAudit", {"chain": "access", "subject_id": "s"}, "MISSING_FIELD"),
    "search: a page of too many": ("SearchAudit", {"chain": "access", "page_size": 1_001}, "INVALID_PAGE"),
    "search: no time": ("SearchAudit", {"chain": "access", "start_time": Timestamp(seconds=2**62)}, "INVALID_FIELD"),
    "search: no end": ("SearchAudit", {"chain": "access", "end_time": Timestamp(seconds=1, nanos=-1)}, "INVALID_FIELD"),
    "export: no chain": ("ExportAudit", {}, "MISSING_FIELD"),
    "export: from after the end": ("ExportAudit", {"chain": "cases", "after_seq": 2**64 - 1}, "INVALID_FIELD"),
    "verify: no such chain": ("VerifyAudit", {"chain": "x"}, "INVALID_FIELD"),
    "verify: a checkpoint of no chain": ("VerifyAudit", {"checkpoints": [NO_CHECKPOINT]}, "MISSING_FIELD"),
    "verify: a checkpoint that is none": (
        "VerifyAudit",
        {"checkpoints": [audit_pb2.Checkpoint(chain="cases", json="{}")]},
        "INVALID_FIELD",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_requests_that_cannot_be_answered_are_refused(work: Work, name: str) -> None:
    method, fields, reason = BAD[name]
    request = getattr(audit_pb2, f"{method}Request")(**fields)
    assert reason_of(partial(getattr(work.at.auditor.audit, method), request)) == reason


def test_a_checkpoint_of_another_chain_is_refused(work: Work) -> None:
    of_cases = [one for one in signed(work.at.auditor).checkpoints if one.chain == "cases"]
    request = audit_pb2.VerifyAuditRequest(chain="access", checkpoints=of_cases)
    assert reason_of(partial(work.at.auditor.audit.VerifyAudit, request)) == "INVALID_FIELD"


def test_a_list_that_grows_while_it_is_read_has_an_end(tmp_path: Path) -> None:
    with staffed(tmp_path) as at:
        before = [*found(at.auditor, chain="access"), *found(at.auditor, chain="access")]
        numbers = found(at.auditor, 1, chain="access")
        assert numbers == sorted({*numbers, *before})
        assert found(at.auditor, chain="access")[-1] > numbers[-1]


@pytest.mark.parametrize("last", ["x", "-1 2", "1", "1 ", f"{2**63} 1", f"1 {2**63}", f"{'9' * 5_000} 1", "\u0661 1"])
def test_tokens_that_no_page_gave_are_refused(work: Work, last: str) -> None:
    token = page_token("audit access", last)
    request = audit_pb2.SearchAuditRequest(chain="access", page_token=token)
    assert reason_of(lambda: work.at.auditor.audit.SearchAudit(request)) == "INVALID_PAGE"
    request.chain = "cases"
    assert reason_of(lambda: work.at.auditor.audit.SearchAudit(request)) == "INVALID_PAGE"


def signed(caller: Caller) -> audit_pb2.GetCheckpointsResponse:
    return caller.audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest())


def verdicts(caller: Caller, *checkpoints: audit_pb2.Checkpoint, chain: str = "") -> dict[str, tuple[Any, ...]]:
    request = audit_pb2.VerifyAuditRequest(chain=chain, checkpoints=checkpoints)
    found = caller.audit.VerifyAudit(request).verdicts
    assert all(one.intact is not bool(one.finding) for one in found)
    return {one.chain: (one.intact, one.finding, one.seq, one.checkpoints) for one in found}


@pytest.mark.parametrize("chain", CHAINS)
def test_an_export_is_checked_without_the_server(work: Work, chain: str) -> None:
    keys = signed(work.at.auditor).public_keys
    for after in (0, 2):
        lines = exported(work.at.auditor, chain, after)
        whole = verify_export(lines, read_public_key(keys[chain]))
        assert isinstance(whole, Verified)
        assert whole.records == len(lines) - 2 > 0
        assert json.loads(lines[1])["record"]["seq"] == after + 1
    altered = [line.replace(b'"outcome":"OK"', b'"outcome":"KO"') for line in lines]
    assert isinstance(verify_export(altered, read_public_key(keys[chain])), Broken)
    assert isinstance(verify_export([*lines[:1], *lines[2:]], read_public_key(keys[chain])), Broken)
    assert isinstance(verify_export(lines, read_public_key(keys["evidence"])), Broken)


def test_an_export_of_many_records_comes_in_parts(tmp_path: Path) -> None:
    with staffed(tmp_path) as at:
        at.stores.access.record([Entry("system", "access.read", "OK")] * 2_500).result(30)
        request = audit_pb2.ExportAuditRequest(chain="access")
        parts = [part.data for part in at.auditor.audit.ExportAudit(request)]
        assert len(parts) >= 3
        assert all(part.endswith(b"\n") for part in parts)
        key = read_public_key(signed(at.auditor).public_keys["access"])
        whole = verify_export(b"".join(parts).splitlines(), key)
        assert isinstance(whole, Verified)
        assert whole.records >= 2_500


def test_checkpoints_are_signed_and_hold_for_ever(work: Work) -> None:
    auditor = work.at.auditor
    earlier = signed(auditor)
    assert [one.chain for one in earlier.checkpoints] == list(CHAINS)
    assert set(earlier.public_keys) == {*CHAINS, "evidence"}
    for one in earlier.checkpoints:
        checkpoint = parse_checkpoint(one.json.encode())
        assert checkpoint.is_signed_by(read_public_key(earlier.public_keys[one.chain]))
        assert not checkpoint.is_signed_by(read_public_key(earlier.public_keys["evidence"]))
    work.at.gallery(f"later-{time.time_ns()}", operational=False, photos=False, people=0)
    found = verdicts(auditor, *earlier.checkpoints, *signed(auditor).checkpoints)
    assert found == dict.fromkeys(CHAINS, (True, "", 0, 2))
    assert verdicts(auditor, chain="cases") == {"cases": (True, "", 0, 0)}
    (one,) = (one for one in earlier.checkpoints if one.chain == "cases")
    said = json.loads(one.json)
    forged = json.dumps({**said, "seq": said["seq"] - 1}, sort_keys=True, separators=(",", ":"))
    sent = audit_pb2.Checkpoint(chain="cases", json=forged)
    assert verdicts(auditor, sent, chain="cases")["cases"][:2] == (False, "checkpoint_forged")
    sent = audit_pb2.Checkpoint(chain="access", json=one.json)
    assert verdicts(auditor, sent, chain="access")["access"][:2] == (False, "other_key")


TAMPERINGS = {
    "edited": ("UPDATE audit SET body = CAST(replace(body, ?, ?) AS BLOB) WHERE seq = 2", (b"OK", b"KO"), 2),
    "missing": ("DELETE FROM audit WHERE seq = 2", (), 2),
    "truncated": ("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", (), None),
    "head_altered": ("UPDATE audit_head SET at_ms = at_ms - 1", (), None),
}


def prepared(at: Staffed) -> None:
    at.gallery("wanted")
    case_id = at.operator.opens("A")
    examination_id = at.operator.searches(case_id, "wanted").examination.examination_id
    at.examiner(1).finds(examination_id, NONE)
    add_course(at.stores.training, small_course(course_id="c"))
    for _ in range(2):
        grow(at)


def grow(at: Staffed) -> None:
    at.caller(Role.TRAINER).training.CreateCohort(training_pb2.CreateCohortRequest(course_id="c", trainees=1))


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_under_a_running_server_is_found(tmp_path: Path, tampering: str) -> None:
    statement, values, seq = TAMPERINGS[tampering]
    with staffed(tmp_path) as at:
        prepared(at)
        earlier = signed(at.auditor)
        assert verdicts(at.auditor, *earlier.checkpoints) == dict.fromkeys(CHAINS, (True, "", 0, 1))
        for chain in CHAINS[:3]:  # that of access is written by the asking itself
            with closing(sqlite3.connect(tmp_path / CHAIN_FILES[chain], isolation_level=None)) as other:
                assert other.execute(statement, values).rowcount == 1
            intact, finding, at_seq, _ = verdicts(at.auditor)[chain]
            assert (intact, finding) == (False, tampering), chain
            assert seq is None or at_seq == seq
        assert verdicts(at.auditor)["access"][0]
        with closing(sqlite3.connect(tmp_path / CHAIN_FILES["access"], isolation_level=None)) as other:
            other.execute(*TAMPERINGS["edited"][:2])
        assert verdicts(at.auditor)["access"][:3] == (False, "edited", 2)


def test_an_earlier_state_that_was_put_back_is_found_against_a_checkpoint(tmp_path: Path) -> None:
    with staffed(tmp_path) as at:
        prepared(at)
        with closing(sqlite3.connect(tmp_path / CHAIN_FILES["training"], isolation_level=None)) as other:
            (head,) = other.execute("SELECT seq, at_ms, hash, mac FROM audit_head").fetchall()
            grow(at)
            (mark,) = (one for one in signed(at.auditor).checkpoints if one.chain == "training")
            other.execute("DELETE FROM audit WHERE seq > ?", (head[0],))
            other.execute("UPDATE audit_head SET seq = ?, at_ms = ?, hash = ?, mac = ?", head)
        assert verdicts(at.auditor, chain="training") == {"training": (True, "", 0, 0)}  # the control
        told = verdicts(at.auditor, mark, chain="training")["training"]
        assert told == (False, "truncated", head[0] + 1, 1)


def test_checkpoints_are_saved_only_beside_those_that_the_chains_agree_with(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with staffed(tmp_path / "data") as at:
        prepared(at)

        def save() -> list[str]:
            answer = signed(at.auditor)

            def verify(sent: Sequence[audit_pb2.Checkpoint]) -> Sequence[audit_pb2.ChainVerdict]:
                return at.auditor.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(checkpoints=sent)).verdicts

            return [path.name for path in save_checkpoints(answer, kept, verify)]

        assert set(CHAINS) <= {name.partition("-")[0].removesuffix(".pem") for name in save()}
        with closing(sqlite3.connect(tmp_path / "data" / CHAIN_FILES["training"], isolation_level=None)) as other:
            (head,) = other.execute("SELECT seq, at_ms, hash, mac FROM audit_head").fetchall()
            grow(at)
            assert f"training-{head[0] + 1:012}.json" in save()
            before = {path.name: path.read_bytes() for path in kept.iterdir()}
            other.execute("DELETE FROM audit WHERE seq > ?", (head[0],))
            other.execute("UPDATE audit_head SET seq = ?, at_ms = ?, hash = ?, mac = ?", head)
        for told in ("are missing from the end", "was rewritten"):  # shorter, then another history that grew
            with pytest.raises(Unusable, match=told):
                save()
            assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
            grow(at)
            grow(at)


def test_what_was_held_back_of_floods_is_told_of_when_the_server_ends(tmp_path: Path) -> None:
    with staffed(tmp_path) as at:
        nobody = Caller(at.server.channel, "")
        for _ in range(12):
            with pytest.raises(grpc.RpcError):
                nobody.audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest())
        journal = at.server.app._gateway_audit
        assert journal is not None
        for _ in range(13):
            journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
    key = key_beside(tmp_path, new=False)
    with AccessStore.open(tmp_path / "access", key, wall_ms) as store, store.auditing() as audit:
        records = [kept.record for kept in audit.every()]
    counts: dict[str, list[int]] = {}
    for record in records:
        counts.setdefault(record.action, []).append(record.counts.get(UNRECORDED, 0))
    assert counts["audit.get_checkpoints"] == [0] * 10 + [1]
    assert counts["access.handshake"] == [0] * 10 + [2]


def written(folder: Path) -> dict[str, list[int]]:
    """Numbers of the checkpoints of each chain, each checked with the key beside it."""
    numbers: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*-*.json")):
        checkpoint = parse_checkpoint(path.read_bytes())
        chain, _, number = path.stem.partition("-")
        assert checkpoint.seq == int(number)
        assert checkpoint.is_signed_by(read_public_key((folder / f"{chain}.pem").read_text()))
        numbers.setdefault(chain, []).append(checkpoint.seq)
    return numbers


def test_checkpoints_are_written_from_start_to_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    audit = {"checkpoint_folder": str(kept), "checkpoint_every_s": 1.0}
    with staffed(tmp_path / "data", audit=audit) as at:
        until(lambda: set(written(kept)) == set(CHAINS))
        first = written(kept)
        prepared(at)
        until(lambda: all(len(written(kept)[chain]) > 1 for chain in CHAINS))
        assert verdicts(at.auditor)["cases"][0]
        at.operator.opens("last")
        with at.stores.cases.auditing() as audited:
            last = audited.head().seq
    numbers = written(kept)
    assert numbers["cases"][-1] == last
    assert {chain: found[0] for chain, found in numbers.items()} == {chain: found[0] for chain, found in first.items()}
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    with staffed(tmp_path / "data", audit=audit) as at:
        sent = [
            audit_pb2.Checkpoint(chain=path.stem.partition("-")[0], json=path.read_text())
            for path in kept.glob("*-*.json")
        ]
        assert all(intact for intact, *_ in verdicts(at.auditor, *sent).values())
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    with staffed(tmp_path / "other", audit=audit):  # which is no continuation of what the folder knows
        until(lambda: "contradicts its checkpoint" in caplog.text)
    assert {name: (kept / name).read_bytes() for name in before} == before


def test_a_folder_for_checkpoints_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    audit = {"checkpoint_folder": str(tmp_path / "nowhere")}
    with pytest.raises(ConfigInvalid), staffed(tmp_path / "data", audit=audit):
        pytest.fail("started")
