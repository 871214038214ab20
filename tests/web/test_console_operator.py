"""The screens of operators, administrators, auditors and evaluators, over HTTP: what they do, and what they refuse."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from fr_api.v1 import gallery_pb2
from fr_datasets.links import Link, write_link
from fr_locales.messages import message
from fr_trust.access.principal import Role
from fr_web.console.curves import HEIGHT, Curve, drawn
from support.callers import BLUES, Staffed
from support.counts import NIGHTLY
from support.photos import draw_lfw, face
from support.servers import photo
from support.surfer import Surfer, signed_in
from support.surfer import words as words_of
from support.web import Answered, Web, form, web, whole_answer

JPEG_BUT_NO_PHOTO = b"\xff\xd8\xff no photo"


# --- enrolment


def test_each_photo_is_enrolled_or_refused_on_its_own(at: Staffed, operator: Surfer) -> None:
    at.gallery("many", operational=False, people=0)
    files = [
        ("Ada Roe.png", photo(200)),
        ("bad.jpg", JPEG_BUT_NO_PHOTO),
        ("C:\\photos\\Bo.png", photo(60)),
        ("none.jpg", b""),
    ]
    told = words_of(operator.upload("/galleries/many/enrol", files, each="1"))
    assert "Photos enrolled: 2, refused: 2" in told
    row = re.search(r"<bdi>bad.jpg</bdi>.*?</tr>", told, re.DOTALL)
    assert row is not None
    assert "refused" in row[0]
    assert len(re.sub("<[^>]*>", "", row[0])) > 60, "the sentence and the remedy of the server"
    assert "The file is empty." in told
    page = words_of(operator.get("/galleries/many"))
    assert [name in page for name in (">Ada Roe<", ">Bo<", "photos\\Bo", ">bad<")] == [True, True, False, False]


def test_all_photos_can_be_of_one_subject(at: Staffed, operator: Surfer) -> None:
    at.gallery("one", operational=False, people=0)
    files = [("1.png", photo(200)), ("2.png", photo(202))]
    missing = operator.upload("/galleries/one/enrol", files, each="0")
    assert (missing.status, "fill in the subject" in words_of(missing)) == (400, True)
    assert "Photos enrolled: 2" in words_of(operator.upload("/galleries/one/enrol", files, each="0", subject="Ada"))
    again = words_of(operator.upload("/galleries/one/enrol", files, each="0", subject="Ada"))
    assert "Photos enrolled: 0, refused: 2" in again
    assert "Ada" in words_of(operator.get("/galleries/one"))


def test_a_photo_alone_is_told_as_json_to_the_page(at: Staffed, operator: Surfer) -> None:
    at.gallery("alone", operational=False, people=0)
    path = "/galleries/alone/enrol"

    def told(*files: tuple[str, bytes]) -> Answered:
        return operator.send(path, *form(files, token=operator.token, each="1"), Accept="application/json")

    stored, refused = told(("Ada.png", photo(200))), told(("Bo.jpg", JPEG_BUT_NO_PHOTO))
    assert (stored.status, refused.status) == (200, 200)
    assert json.loads(stored.body)["subject"] == "Ada"
    assert json.loads(stored.body)["refused"] == ""
    assert json.loads(refused.body)["refused"]
    assert told().status == 400


def test_people_who_look_alike_are_told_as_leads(operator: Surfer) -> None:
    files = [("Twin.png", photo(BLUES[0]) + b"twin")]
    told = words_of(operator.upload("/galleries/g/enrol", files, each="1", reports_similar="1"))
    assert "Photos enrolled: 1" in told
    assert "Leads for a human examiner" in told
    assert f"g {BLUES[0]}" in told


def test_many_photos_are_never_in_memory_at_once(at: Staffed) -> None:
    """The room holds one photo and a half; the form is many times as large."""
    most = 198 if NIGHTLY else 28
    at.gallery("crowd", operational=False, people=0)
    filler = os.urandom(200_000)
    with web(at.server.address, max_message_bytes=300_000) as started:
        surfer = signed_in(started, at.operator.token)
        # What follows the end of a PNG is no part of the picture.
        files = [(f"{number}.png", photo(number + 20) + filler) for number in range(most)]
        files += [("huge.png", photo(1) + filler * 40), ("last.png", photo(240))]
        told = words_of(surfer.upload("/galleries/crowd/enrol", files, each="1"))
        assert f"Photos enrolled: {most + 1}, refused: 1" in told, told[:2000]
        assert "Send a smaller photo" in told
        rest = surfer.upload("/galleries/crowd/enrol", [("a.png", photo(9))], each="1")
        assert "Photos enrolled: 1" in words_of(rest), "the room is free again"


def test_a_name_of_a_file_is_text(operator: Surfer, at: Staffed) -> None:
    at.gallery("names", operational=False, people=0)
    hostile = "<img src=x onerror=alert(1)>\u202e%22.png"
    answer = operator.upload("/galleries/names/enrol", [(hostile, photo(200)), (hostile, b"x")], each="1")
    assert "<img src=x" not in answer.body.decode()
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.body.decode()


def test_a_form_that_is_cut_off_tells_what_was_done(at: Staffed, operator: Surfer) -> None:
    at.gallery("cut", operational=False, people=0)
    body, kind = form([("b.png", photo(60))], token=operator.token)
    answer = operator.send("/galleries/cut/enrol", body.removesuffix(b"--\r\n") + b"\r\n", kind)
    assert (answer.status, "cut off" in words_of(answer)) == (400, True)
    assert "Photos enrolled: 1, refused: 0" in words_of(answer)


def test_photos_that_stop_coming_are_given_up(at: Staffed, gallery: str) -> None:
    with web(at.server.address, body_s=0.5) as started:
        surfer = signed_in(started, at.operator.token)
        body, kind = form(token=surfer.token)
        head = (
            f"POST /galleries/g/enrol HTTP/1.1\r\nHost: {started.host}:{started.port}\r\nAccept: text/html\r\n"
            f"Origin: {surfer.origin}\r\nCookie: {surfer.cookie}\r\nContent-Length: 100000\r\n"
            f"Content-Type: {kind}\r\n\r\n"
        )
        with started.raw() as one:
            one.sendall(head.encode() + body.removesuffix(b"--\r\n"))
            answer = whole_answer(one)
        assert answer.split(b" ", 2)[1] == b"504"


def test_only_operators_enrol(admin: Surfer) -> None:
    assert "/enrol" not in words_of(admin.get("/galleries/g"))
    answer = admin.upload("/galleries/g/enrol", [("Eve.png", photo(99))], each="1")
    assert answer.status == 403
    assert "Eve" not in words_of(admin.get("/galleries/g"))


# --- the upkeep of galleries


def test_duplicates_are_leads_in_pairs(at: Staffed, operator: Surfer) -> None:
    at.gallery("twice", operational=False)
    operator.upload("/galleries/twice/enrol", [("Twin.png", photo(BLUES[1]) + b"twin")], each="1")
    told = words_of(operator.post("/galleries/twice/duplicates", {}))
    assert "Lead 1" in told
    assert "Twin" in told
    assert f"twice {BLUES[1]}" in told
    assert f"twice {BLUES[3]}" not in told
    assert "Templates: 5. Leads: 1." in told


def test_duplicates_of_an_operational_gallery_need_a_purpose(at: Staffed, operator: Surfer) -> None:
    at.gallery("serious")
    assert 'action="/purpose"' in words_of(operator.get("/galleries/serious/duplicates"))
    assert operator.post("/galleries/serious/duplicates", {}).status == 400
    operator.post("/purpose", {"purpose": "8", "case_reference": "7/2026"})
    assert "Templates: 4. Leads: 0." in words_of(operator.post("/galleries/serious/duplicates", {}))


def test_settings_change_and_a_gallery_is_deleted_by_its_typed_id(at: Staffed, admin: Surfer) -> None:
    at.gallery("old", operational=False)
    form = {"display_name": "Old <b>faces</b>", "retention_days": "30", "closes": "2999-01-31"}
    assert admin.post("/galleries/old/settings", form).status == 303
    page = admin.get("/galleries/old")
    assert "Old &lt;b&gt;faces" in page.body.decode()
    assert "2999-01-31" in words_of(page)
    assert admin.post("/galleries/old/settings", {**form, "closes": "31.1."}).status == 400
    cleared = {"display_name": "", "retention_days": "", "closes": ""}
    assert admin.post("/galleries/old/settings", cleared).status == 303
    assert "2999-01-31" not in words_of(admin.get("/galleries/old"))
    assert admin.post("/galleries/old/delete", {"typed": "od"}).status == 400
    assert "The gallery old is deleted" in words_of(admin.post("/galleries/old/delete", {"typed": "old"}))
    assert admin.get("/galleries/old").status == 404


def test_what_is_past_its_time_is_counted_before_it_is_deleted(admin: Surfer) -> None:
    assert "No template is past its retention" in words_of(admin.get("/retention"))
    assert admin.post("/retention", {}).status == 200


# --- photos alone


def test_two_photos_are_compared_without_a_verdict_of_identity(operator: Surfer) -> None:
    alike = words_of(operator.upload("/compare", a=photo(10), b=photo(10)))
    other = words_of(operator.upload("/compare", a=photo(10), b=photo(160)))
    assert "a lead to examine" in alike
    assert "no lead" in other
    for told in (alike, other):
        assert told.count("data:image/png") == 2
        assert not re.search(r"\b(match|identified|same person)\b", told.lower())
    assert operator.upload("/compare", a=photo(10), b=b"").status == 400
    assert operator.upload("/compare", a=photo(10), b=JPEG_BUT_NO_PHOTO).status == 400


def test_faces_are_numbered_with_their_quality(operator: Surfer) -> None:
    told = words_of(operator.upload("/detect", photo=photo(10)))
    assert "Faces found: 1" in told
    assert len(re.findall(r"<rect ", told)) == len(re.findall(r'<th scope="row">', told)) == 1
    assert operator.upload("/detect", photo=JPEG_BUT_NO_PHOTO).status == 400


# --- keys


def test_a_key_is_made_its_secret_shown_once_and_it_ends(at: Staffed, site: Web, admin: Surfer) -> None:
    form = {"label": "desk <i>1</i>", "role.3": "1", "galleries": "g x*", "days": "7", "searches_per_day": "5"}
    answer = admin.post("/keys", form)
    assert answer.headers["cache-control"] == "no-store"
    secret = re.search(r'id="secret"[^>]*value="([^"]+)"', words_of(answer))
    assert secret is not None
    key_id = secret[1].partition(".")[0]
    listed = words_of(admin.get("/keys"))
    assert key_id in listed
    assert secret[1] not in listed
    assert "<i>1</i>" not in admin.get("/keys").body.decode()
    assert "5 searches a day" in listed
    assert Surfer(site).sign_in(secret[1]).status == 303
    assert admin.post(f"/keys/{key_id}/revoke", {}).status == 400
    assert Surfer(site).sign_in(secret[1]).status == 303
    rotated = words_of(admin.post(f"/keys/{key_id}/rotate", {"sure": "1"}))
    renewed = re.search(r'id="secret"[^>]*value="([^"]+)"', rotated)
    assert renewed is not None
    assert [Surfer(site).sign_in(one).status for one in (secret[1], renewed[1])] == [401, 303]
    assert admin.post(f"/keys/{key_id}/revoke", {"sure": "1"}).status == 303
    assert Surfer(site).sign_in(renewed[1]).status == 401


def test_a_key_that_checks_itself_or_can_do_nothing_is_warned_of(admin: Surfer) -> None:
    told = words_of(admin.post("/keys", {"label": "", "role.3": "1", "role.4": "1", "galleries": "g"}))
    assert "check each other" in told
    assert admin.post("/keys", {"role.6": "1"}).status == 200, "an administrator has the server"
    before = words_of(admin.get("/keys")).count('class="card"')
    for role, field in {"1": "courses", "2": "courses", "3": "galleries", "4": "galleries"}.items():
        answer = admin.post("/keys", {"label": "kept", f"role.{role}": "1"})
        page = words_of(answer)
        assert (answer.status, page.count("nothing to act on")) == (400, 1), role
        assert re.findall(r'name="(\w+)"[^>]*aria-invalid="true"', page) == [field], role
        assert 'value="kept"' in page
    assert words_of(admin.get("/keys")).count('class="card"') == before
    assert admin.post("/keys", {"label": "none"}).status == 400


def test_an_auditor_sees_keys_and_changes_none(at: Staffed, auditor: Surfer) -> None:
    listed = words_of(auditor.get("/keys"))
    operator_id = at.operator.token.partition(".")[0]
    assert operator_id in listed
    assert "/revoke" not in listed
    assert auditor.post(f"/keys/{operator_id}/revoke", {"sure": "1"}).status == 403
    assert auditor.post("/keys", {"role.6": "1"}).status == 403


# --- the audit


def test_an_auditor_finds_what_was_done_to_a_subject(at: Staffed, auditor: Surfer) -> None:
    told = words_of(auditor.post("/audit", {"chain": "galleries", "gallery": "g", "subject": f"g {BLUES[0]}"}))
    assert "gallery.enrol" in told
    none = words_of(auditor.post("/audit", {"chain": "galleries", "gallery": "g", "subject": "stranger"}))
    assert "No record fits" in none
    assert auditor.post("/audit", {"chain": "nonsense"}).status == 400
    assert auditor.post("/audit", {"chain": "access", "first_day": "soon"}).status == 400


def test_checkpoints_that_were_kept_show_that_nothing_was_changed(auditor: Surfer) -> None:
    kept = auditor.get("/audit/checkpoints")
    assert kept.headers["content-disposition"].startswith("attachment")
    told = words_of(auditor.upload("/audit/check", checkpoints=kept.body))
    assert "Every record is as it was written" in told
    forged = json.loads(kept.body)
    altered = json.loads(forged["checkpoints"][0]["json"])
    altered["hash"] = "0" * 64
    forged["checkpoints"][0]["json"] = json.dumps(altered, sort_keys=True, separators=(",", ":"))
    told = words_of(auditor.upload("/audit/check", checkpoints=json.dumps(forged).encode()))
    assert "The audit was changed" in told
    assert auditor.upload("/audit/check", checkpoints=b"[1]").status == 400
    alone = words_of(auditor.upload("/audit/check"))
    assert "No checkpoint was given" in alone
    key = auditor.get("/audit/key?of=evidence")
    assert key.headers["content-disposition"] == 'attachment; filename="evidence.pem"'
    assert key.body.decode() == json.loads(kept.body)["public_keys"]["evidence"]
    assert auditor.get("/audit/key?of=x%22").status == 400


def test_a_chain_is_saved_as_a_file(auditor: Surfer) -> None:
    answer = auditor.get("/audit/export?chain=galleries")
    lines = answer.body.decode().splitlines()
    assert len(lines) > 2
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert auditor.get("/audit/export?chain=x").status == 400


def test_the_server_describes_itself_without_a_secret(at: Staffed, site: Web, admin: Surfer) -> None:
    at.gallery("counted", operational=False)
    assert admin.get("/galleries/none").status == 404
    told = words_of(admin.get("/server"))
    held = at.admin.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest(page_size=1_000)).galleries
    row = r"<dt>{}</dt><dd><bdi dir=\"ltr\">(\d+)</bdi>"
    assert "Galleries that your key reaches" in told
    counted = [int(re.findall(row.format(name), told)[0]) for name in ("Galleries", "Subjects", "Templates")]
    assert counted == [len(held), sum(one.subject_count for one in held), sum(one.template_count for one in held)]
    trainer = signed_in(site, at.caller(Role.TRAINER).token)
    for name in ("Calls answered", "Photos that wait"):
        assert re.search(row.format(name), told), name
    assert re.findall(row.format("Calls refused[^<]*"), told) not in ([], ["0"])
    assert re.search(r"</th>(<td class=\"number\">[\d.]+</td>){2}<td><code dir=\"ltr\">fr gallery backup<", told)
    assert re.search(r"buffalo_s 1</bdi></th><td class=\"number\">512</td><td>[^<]+research[^<]+</td><td>In use<", told)
    assert re.search(r"GalleryService/GetGallery</code></th><td><code dir=\"ltr\">UNKNOWN_GALLERY<", told)
    page = words_of(trainer.get("/server"))
    assert ["Takes calls" in page, "<dt>Subjects" in page, "UNKNOWN_GALLERY" in page] == [True, False, False]
    assert at.admin.principal_id in told
    assert at.admin.token not in told
    assert "Takes calls" in told


# --- evaluations


@pytest.fixture(scope="module")
def evaluated(at: Staffed, site: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surfer]:
    """A trainer on a server that has a data set."""
    home = tmp_path_factory.mktemp("home")
    with patch.dict(os.environ, {"FR_HOME": str(home)}):
        write_link("lfw", Link(draw_lfw(home / "lfw")), home / "datasets")
        yield signed_in(site, at.caller(Role.TRAINER).token)


@pytest.fixture(scope="module")
def report_id(evaluated: Surfer) -> str:
    return measured(evaluated)


def measured(surfer: Surfer, seed: int = 1) -> str:
    told = words_of(surfer.post("/evaluation/run", {"dataset": "lfw", "kind": "1", "seed": str(seed)}))
    assert "photos done" in told
    found = re.findall(r"/evaluation/report\?id=([\w-]+)", told)
    assert found, told[-2000:]
    return str(found[-1])


def test_an_evaluation_shows_its_progress_and_then_its_report(evaluated: Surfer, report_id: str) -> None:
    page = words_of(evaluated.get(f"/evaluation/report?id={report_id}"))
    assert page.count("data:image/svg+xml;base64,") >= 3
    assert "<script" not in re.sub(r"<script src=[^>]*></script>", "", page)
    files = dict(re.findall(r'href="(/evaluation/file[^"]*)" download="([^"]*)"', page))
    for path, name in files.items():
        answer = evaluated.get(path)
        assert answer.status == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert json.loads(evaluated.get(next(path for path, name in files.items() if name == "report.json")).body)
    assert evaluated.post(f"/evaluation/report?id={report_id}", {}).status == 400
    assert evaluated.get(f"/evaluation/report?id={report_id}").status == 200


@pytest.mark.nightly
def test_the_hardest_pairs_are_shown_where_the_terms_allow_it(evaluated: Surfer, report_id: str) -> None:
    home = Path(os.environ["FR_HOME"])
    rows = ["face_id,face_gender"]
    for number in range(1, 5):  # two and two look alike
        for which in ("03", "08"):
            face(home / "london" / f"{number:03}" / f"{number:03}_{which}.jpg", 40 * (number // 2))
        rows.append(f"{number:03},f")
    (home / "london" / "london_info.csv").write_text("\n".join(rows) + "\n")
    write_link("london", Link(home / "london"), home / "datasets")
    told = words_of(evaluated.post("/evaluation/run", {"dataset": "london", "kind": "1"}))
    other = re.findall(r"/evaluation/report\?id=([\w-]+)", told)[-1]
    page = words_of(evaluated.get(f"/evaluation/report?id={other}"))
    assert "Hardest pairs" in page
    assert page.count("data:image/jpeg;base64,") >= 2
    assert re.search(r"Similarity <bdi dir=\"ltr\">-?\d\.\d{3}<", page)
    control = words_of(evaluated.get(f"/evaluation/report?id={report_id}"))
    assert "data:image/jpeg" not in control


@pytest.mark.nightly
def test_two_reports_are_compared_and_one_is_deleted(evaluated: Surfer, report_id: str) -> None:
    one, two = report_id, measured(evaluated, 2)
    told = words_of(evaluated.get(f"/evaluation/compare?id={one}&id={two}"))
    assert "the same list" in told
    assert evaluated.get(f"/evaluation/compare?id={one}&id={one}").status == 400
    assert evaluated.post(f"/evaluation/report?id={two}", {"sure": "1"}).status == 303
    assert evaluated.get(f"/evaluation/report?id={two}").status == 404


def test_an_unknown_data_set_is_refused_as_a_page(evaluated: Surfer) -> None:
    answer = evaluated.post("/evaluation/run", {"dataset": "nonsense", "kind": "1"})
    assert answer.status in (400, 404)
    assert "This was not done" in words_of(answer)
    led = evaluated.get("/evaluation/report?id=none", Referer=f"{evaluated.origin}/evaluation?page=x")
    assert (led.status, '<a href="/evaluation?page=x">Go back.' in words_of(led)) == (404, True)
    elsewhere = evaluated.get("/evaluation/report?id=none", Referer="https://elsewhere.example/evaluation")
    assert "Go back." not in words_of(elsewhere)


def test_one_report_alone_is_not_compared_and_stays_chosen(evaluated: Surfer, report_id: str) -> None:
    answer = evaluated.get(f"/evaluation/compare?id={report_id}")
    told = words_of(answer)
    assert (answer.status, "Tick two reports" in told, f'value="{report_id}" checked' in told) == (400, True, True)
    available, absent = told.split("Data sets that the server does not have: ")
    assert 'action="/evaluation/run"' in available
    assert 'action="/evaluation/run"' not in absent


@pytest.mark.parametrize(
    ("rates", "ends"),
    [
        ((0.004, 0.002), ("0", "0.01")),
        ((0.03, 0.0), ("0", "0.05")),
        ((0.97, 1.0), ("0.95", "1")),
        ((0.1, 1), ("0", "1")),
    ],
)
def test_curves_near_an_end_of_the_axis_can_be_told_apart(rates: tuple[float, float], ends: tuple[str, str]) -> None:
    axis = message("console.curve.fnir")
    picture = drawn([Curve("search", axis, axis, tuple(zip((0.001, 0.01), rates, strict=True)), True)])
    assert (picture.y_marks[0][1], picture.y_marks[-1][1]) == ends
    heights = [y for _, y in picture.lines[0]]
    assert abs(heights[0] - heights[1]) > 60
    assert all(0 <= y <= HEIGHT for y in heights)


def test_an_auditor_sees_that_there_are_reports_and_no_more(auditor: Surfer, report_id: str) -> None:
    told = words_of(auditor.get("/evaluation"))
    assert "lfw" in told
    assert "/evaluation/report?" not in told
    assert auditor.get(f"/evaluation/report?id={report_id}").status == 403
    assert auditor.get(f"/evaluation/file?id={report_id}&file=1").status == 403


@pytest.mark.nightly
def test_the_galleries_of_every_page_are_counted(at: Staffed, admin: Surfer) -> None:
    for number in range(1_001):
        at.gallery(f"page-{number}", operational=False, people=0)
    counted = re.search(r"<dt>Galleries</dt><dd><bdi dir=\"ltr\">(\d+)<", words_of(admin.get("/server")))
    assert counted is not None
    assert int(counted[1]) > 1_000
