"""Cases in the console: a search, two blind findings, the evidence, and what nobody sees before a finding."""

import io
import re
from dataclasses import replace

import pytest

from fr_api.v1 import audit_pb2, common_pb2, gallery_pb2, recognition_pb2, review_pb2
from fr_core.errors import EvidenceUnusable
from fr_core.scoring.calibration import WorstFaces
from fr_core.scoring.calibration_json import to_json
from fr_trust.evidence.verify import verify_bundle
from support.callers import BLUES, NONE, POTENTIAL, PROBE, Staffed
from support.engines import calibration
from support.servers import photo
from support.surfer import HOSTILE, Surfer, escaped, signed_in, words
from support.web import Web

UNFIT = (("opinion", "7"), ("opinion", ""), ("limits", ""), ("template", "999"), ("parts.eyes", "9"), ("parts.x", "1"))


@pytest.fixture(scope="module")
def gallery(at: Staffed) -> str:
    at.gallery("wanted")
    at.gallery("practice", operational=False)
    return "wanted"


@pytest.fixture
def reference(request: pytest.FixtureRequest) -> str:
    return f"AZ {request.node.name}"[:128]


def opened(operator: Surfer, reference: str, purpose: int = common_pb2.PURPOSE_INVESTIGATION) -> str:
    answer = operator.post("/cases", {"case_reference": reference, "purpose": str(purpose)})
    assert answer.status == 303, words(answer)
    return answer.headers["location"]


def searched(operator: Surfer, case: str, gallery: str = "wanted", notes: str = "sharp, frontal") -> str:
    """Search, and return the page of the leads."""
    answer = operator.upload(f"{case}/search", photo=PROBE, gallery=gallery, candidates="3", notes=notes)
    assert answer.status == 200, words(answer)
    return words(answer)


def waiting(at: Staffed, number: int, case: str) -> str:
    """Return the address of the examination of a case that waits for an examiner."""
    found = at.examiner(number).review.ListAwaiting(review_pb2.ListAwaitingRequest(page_size=1_000)).examinations
    return next(f"/examinations/{one.examination_id}" for one in found if one.case_id == case.rpartition("/")[2])


def templates(at: Staffed, number: int, path: str) -> list[int]:
    return [one.template_id for one in at.examiner(number).examination(path.rpartition("/")[2]).candidates]


def judged(surfer: Surfer, path: str, opinions: dict[int, int], more: str = "") -> str:
    """Note the probe, and give an opinion of each candidate; return the page of the finding."""
    noted = surfer.post(path, {"probe_notes": f"a scar beside the left eye {more}"})
    assert noted.headers["location"] == f"{path}?candidate=1"
    for template, opinion in opinions.items():
        fields = {
            "template": str(template),
            "opinion": str(opinion),
            "limits": f"ears hidden {more}",
            "parts.eyes": "1",
        }
        assert surfer.post(f"{path}?candidate=1", fields).status == 303
    return words(surfer.get(f"{path}?candidate=finding"))


@pytest.fixture
def asked(at: Staffed, operator: Surfer, reference: str) -> tuple[str, str]:
    """The addresses of a case, and of an examination in it that waits for two findings."""
    case = opened(operator, reference)
    searched(operator, case)
    return case, waiting(at, 1, case)


def test_a_case_from_the_probe_to_evidence_that_verifies(at: Staffed, site: Web, operator: Surfer) -> None:
    """All that people type would be a script if a page took it for a part of itself."""
    case = opened(operator, HOSTILE)
    leads = searched(operator, case, notes=f"sharp, frontal {HOSTILE}")
    received = operator.received
    assert "Leads for a human examiner" in leads
    assert "No error rates are known for this search." in leads
    assert "sharp, frontal" in leads
    early = operator.get(f"{case}/evidence")
    assert (early.status, early.headers["content-type"]) == (400, "text/html; charset=utf-8")
    path = waiting(at, 1, case)
    for number in (1, 2):
        surfer = signed_in(site, at.examiner(number).token)
        surfer.received = received
        assert path in words(surfer.get("/examinations"))
        keys = templates(at, number, path)
        page = judged(surfer, path, {key: 2 if key == min(keys) else -1 for key in keys}, HOSTILE)
        assert "Notes on the probe, before any candidate was seen:\na scar beside the left eye" in page
        assert "similar: Eyes" in page
        assert page.count(f"(template {min(keys)}):") == 2, "in the list, and among the choices"
        fields = {"kind": str(POTENTIAL), "template": str(min(keys)), "sure": "1"}
        assert surfer.post(f"{path}?candidate=finding", fields).status == 303
        assert surfer.post(f"{path}?candidate=finding", fields).status == 303  # sent twice: the same
        assert "Similarity" in words(surfer.get(path))
        assert ("Your finding is kept." in words(surfer.get(path))) == (number == 1)
        assert path not in words(surfer.get("/examinations"))
    shown = words(operator.get(path))
    assert shown.count("a scar beside the left eye") == 2
    assert "potential candidate: one of them may be the person" in words(operator.get(case))
    for one in ("/cases", f"{case}/search"):
        operator.get(one)
    received.append(signed_in(site, at.auditor.token).get(f"/custody?reference={escaped(HOSTILE)}"))
    assert not any(b"<script>alert" in one.body or b"<img src=x" in one.body for one in received)
    assert sum(HOSTILE in words(one) for one in received) >= 12  # control: it is shown, as text
    sent = operator.get(f"{case}/evidence")
    assert (sent.status, sent.headers["content-type"]) == (200, "application/zip")
    assert re.fullmatch(r'attachment; filename="case-[0-9a-f]{16}\.zip"', sent.headers["content-disposition"])
    keys_of = at.auditor.audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest()).public_keys
    assert verify_bundle(io.BytesIO(sent.body), keys_of["evidence"], keys_of["cases"]).examinations == 1
    half = len(sent.body) // 2
    changed = sent.body[:half] + bytes([sent.body[half] ^ 1]) + sent.body[half + 1 :]
    with pytest.raises(EvidenceUnusable):  # control
        verify_bundle(io.BytesIO(changed), keys_of["evidence"], keys_of["cases"])


def secrets(at: Staffed, path: str) -> list[str]:
    """Things that an examiner may not know before the finding: subject ids, similarities, findings of others."""
    seen = at.operator.examination(path.rpartition("/")[2])
    return [
        *(one.subject_id for one in seen.candidates),
        *(f"{one.similarity:.3f}" for one in seen.candidates if abs(one.similarity) < 0.999),
        "a secret observation",
    ]


def test_nothing_of_the_ranking_or_of_other_findings_is_told_before_the_own_one(
    at: Staffed, site: Web, operator: Surfer, asked: tuple[str, str]
) -> None:
    case, path = asked
    at.examiner(1).finds(path.rpartition("/")[2], NONE, notes="a secret observation")
    surfer = signed_in(site, at.examiner(2).token)
    pages = [words(surfer.get("/examinations")), words(surfer.get(case)), words(surfer.get(path))]
    assert 'class="viewer"' not in pages[-1], "no candidate is shown before the notes on the probe"
    keys = templates(at, 2, path)
    surfer.post(path, {"probe_notes": "a mole"})
    pages += [words(surfer.get(f"{path}?candidate={number}")) for number in range(1, len(keys) + 1)]
    pages.append(words(surfer.get(f"{path}?candidate=finding")))
    own = [page for page in pages if "a mole" in page]
    assert len(own) == len(keys)  # control: these are the pages of the candidates
    for page in pages:
        assert [one for one in secrets(at, path) if one in page] == []
        assert "second" not in page
        assert "Similarity" not in page
    shown = words(operator.get(path))
    assert at.operator.examination(path.rpartition("/")[2]).candidates[0].subject_id in shown  # control
    assert "a secret observation" not in shown


def test_a_finding_follows_from_the_opinions(at: Staffed, site: Web, asked: tuple[str, str]) -> None:
    path, surfer = asked[1], signed_in(site, at.examiner(1).token)
    keys = templates(at, 1, path)
    assert surfer.get(path).status == 200
    assert surfer.post(path, {"probe_notes": " "}).status == 400
    early = surfer.post(f"{path}?candidate=1", {"template": str(keys[0]), "opinion": "2", "limits": "none"})
    assert early.status == 400, "an opinion before the notes on the probe"
    page = judged(surfer, path, {keys[0]: 0})
    assert "First say what you see of each candidate." in page
    finding = f"{path}?candidate=finding"
    assert surfer.post(finding, {"kind": "3", "sure": "1"}).status == 400
    for key in keys[1:]:
        assert surfer.post(path, {"template": str(key), "opinion": "-1", "limits": "none"}).status == 303
    lead = {"kind": str(POTENTIAL), "sure": "1"}
    wrong = ({**lead, "kind": "9"}, {**lead, "kind": str(NONE)}, lead, {**lead, "template": str(keys[0])})
    for fields in (*wrong, {"kind": "3"}, {"sure": "1"}, {**lead, "template": "999"}):
        answer = surfer.post(finding, fields)
        assert answer.status == 400, fields
        kept = re.findall(r'name="kind" value="(\d)" required checked', words(answer))
        assert kept == [fields.get("kind")] * (fields.get("kind") in ("1", "2", "3")), fields
    for name, value in UNFIT:
        given = {"template": str(keys[0]), "opinion": "1", "limits": "none", "observed": "kept text", name: value}
        answer = surfer.post(f"{path}?candidate=1", given)
        assert answer.status == 400, name
        assert "kept text" in words(answer)
    long = {"template": str(keys[0]), "opinion": "0", "limits": "x" * 4_000}
    assert surfer.post(path, long).status == 303
    answer = surfer.post(finding, {"kind": "3", "sure": "1"})
    assert (answer.status, "a finding takes 4000" in words(answer)) == (400, True)
    assert surfer.post(path, {**long, "limits": "none"}).status == 303
    assert surfer.post(finding, {"kind": "3", "sure": "1"}).status == 303  # control


@pytest.mark.parametrize("photos", [True, False])
def test_landmarks_of_photos_are_those_that_the_server_finds(
    at: Staffed, site: Web, operator: Surfer, reference: str, photos: bool
) -> None:
    case = opened(operator, reference)
    if not photos:
        at.gallery("bare", photos=False)
    searched(operator, case, "wanted" if photos else "bare")
    path, surfer = waiting(at, 1, case), signed_in(site, at.examiner(1).token)
    surfer.post(path, {"probe_notes": "a mole"})
    page = words(surfer.get(f"{path}?candidate=1"))
    assert ("no measure of likeness" in page, "Landmarks of a photo are absent" in page) == (True, not photos)
    drawn = re.findall(r'viewBox="0 0 100.0 50.0"[^>]*class="places landmarks">(.*?)</svg>', page, re.DOTALL)
    sheets = [re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', one) for one in drawn]
    assert [len(one) for one in sheets] == [5] * (1 + photos)
    sent = recognition_pb2.DetectRequest(image=common_pb2.Image(data=PROBE))
    nose = at.examiner(1).recognition.Detect(sent).faces[0].landmarks.nose
    assert [float(one) for one in sheets[0][2]] == pytest.approx([nose.x / 4, nose.y / 4], abs=0.01)


def test_notes_survive_signing_in_again_and_stay_with_their_examiner(
    at: Staffed, site: Web, asked: tuple[str, str]
) -> None:
    path, first = asked[1], signed_in(site, at.examiner(1).token)
    first.post(path, {"probe_notes": "a mole"})
    first.post(path, {"probe_notes": "another text"})
    first.post("/sign-out", {})
    assert "a mole" in words(signed_in(site, at.examiner(1).token).get(path)), "the first notes stay"
    assert "a mole" not in words(signed_in(site, at.examiner(2).token).get(path))


@pytest.mark.parametrize(
    "purpose", [common_pb2.PURPOSE_TRAINING, common_pb2.PURPOSE_TESTING, common_pb2.PURPOSE_VICTIM]
)
def test_exercises_are_marked_on_every_page(
    at: Staffed, site: Web, operator: Surfer, reference: str, purpose: int
) -> None:
    case = opened(operator, reference, purpose)
    form = words(operator.get(f"{case}/search"))
    leads = searched(operator, case, "practice")
    path = waiting(at, 1, case)
    surfer = signed_in(site, at.examiner(1).token)
    pages = [form, leads, words(operator.get(case)), words(operator.get(path)), words(surfer.get(path))]
    keys = templates(at, 1, path)
    pages += [judged(surfer, path, dict.fromkeys(keys, -1)), words(surfer.get(f"{path}?candidate=1"))]
    surfer.post(f"{path}?candidate=finding", {"kind": str(NONE), "sure": "1"})
    pages.append(words(surfer.get(path)))
    is_exercise = purpose != common_pb2.PURPOSE_VICTIM
    assert ['class="exercise"' in page for page in pages] == [is_exercise] * len(pages)
    row = next(one for one in words(operator.get("/cases")).split("<tr>") if case in one)
    assert ("exercise-tag" in row) == is_exercise


def test_a_search_needs_notes_and_keeps_what_was_typed(at: Staffed, operator: Surfer, reference: str) -> None:
    case = opened(operator, reference)
    without = operator.upload(f"{case}/search", photo=PROBE, gallery="wanted")
    assert (without.status, "Note what you see in the probe" in words(without)) == (400, True)
    refused = operator.upload(f"{case}/search", photo=b"no photo", gallery="wanted", notes="typed before")
    assert (refused.status, "typed before" in words(refused)) == (400, True)
    assert "There is no search in this case yet." in words(operator.get(case))
    assert operator.upload(f"{case}/search", photo=PROBE, gallery="wanted", notes="x").status == 200  # control


def test_leads_stand_with_error_rates_or_with_the_reason_for_withholding_them(
    at: Staffed, operator: Surfer, reference: str
) -> None:
    """A null face of 64 pixels has 20 between its eyes; the second calibration saw none below 30."""
    at.gallery("measured")
    worst = WorstFaces(30.0, 0.0, 0.1, 0.9, 60.0, 50.0, 0.5)
    case = opened(operator, reference)
    pages = []
    for measured in (calibration(), replace(calibration(), faces=worst)):
        request = gallery_pb2.SetCalibrationRequest(gallery_id="measured", calibration_json=to_json(measured))
        at.admin.gallery.SetCalibration(request)
        pages.append(searched(operator, case, "measured"))
    told = [
        ["Two people taken for one" in page, "Error rates are withheld" in page, "No error rates are known" in page]
        for page in pages
    ]
    assert told == [[True, False, False], [False, True, False]]
    rates = re.findall(r"<bdi>([^<]+ with a confidence of 95%\))", pages[0])
    rate = r"(\d[\d.]*%|1 in \d[\d,]*)"
    assert rates
    assert all(re.fullmatch(rf"{rate} \(between {rate} and {rate} with a confidence of 95%\)", one) for one in rates), (
        rates
    )


def test_a_case_is_closed_only_by_somebody_who_means_it(operator: Surfer, reference: str) -> None:
    case = opened(operator, reference)
    assert operator.post(f"{case}/close", {}).status == 400
    assert "Search in this case" in words(operator.get(case))
    assert operator.post(f"{case}/close", {"sure": "1"}).status == 303
    page = words(operator.get(case))
    assert ("The case was closed." in page, "Search in this case" in page) == (True, False)
    assert operator.upload(f"{case}/search", photo=PROBE, gallery="wanted", notes="x").status == 400


def test_a_refused_case_loses_nothing_that_was_typed(operator: Surfer, reference: str) -> None:
    opened(operator, reference)
    again = operator.post("/cases", {"case_reference": reference, "purpose": "1", "retention_days": "90"})
    assert (again.status, 'value="90"' in words(again)) == (409, True)
    for purpose in ("", "8", "99"):
        assert operator.post("/cases", {"case_reference": "x", "purpose": purpose}).status == 400


def test_only_an_auditor_sees_the_records_of_a_case(
    at: Staffed, site: Web, operator: Surfer, reference: str, asked: tuple[str, str]
) -> None:
    case, _ = asked
    address = f"/custody?reference={escaped(reference)}"
    page = words(signed_in(site, at.auditor.token).get(address))
    order = [page.index(f">{action}<") for action in ("case.open", "case.search")]
    assert order == sorted(order)
    assert at.operator.principal_id in page
    assert operator.get(address).status == 403
    assert signed_in(site, at.auditor.token).get(case).status == 403
    assert "The audit has no case" in words(signed_in(site, at.auditor.token).get("/custody?reference=none%20such"))


def test_an_examiner_neither_searches_nor_exports(at: Staffed, site: Web, asked: tuple[str, str]) -> None:
    case, surfer = asked[0], signed_in(site, at.examiner(1).token)
    page = words(surfer.get(case))
    assert ("/evidence" in page, "/search" in page, "/close" in page) == (False, False, False)
    assert surfer.get(f"{case}/evidence?unfinished=1").status == 403
    assert surfer.upload(f"{case}/search", photo=photo(BLUES[1]), gallery="wanted", notes="x").status == 403
    assert surfer.post(f"{case}/close", {"sure": "1"}).status == 403
