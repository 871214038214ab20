"""Exports of a cohort: every form, rows for spreadsheets, scores for gradebooks, and certificates."""

import base64
import csv
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from openbadgeslib.ob3.verifier import OB3VerificationError, OB3Verifier

from fr_training.courses import Course
from fr_training.errors import NothingToReport
from fr_training.exports import FORMS, export
from fr_training.exports.ags import ags
from fr_training.exports.csv_rows import COLUMNS, csv_rows, harmless
from fr_training.exports.open_badges import certificate_html, needed, open_badges
from fr_training.exports.signing import SigningKey, new_signing_key, verify
from fr_training.exports.values import CohortResults, Finished, stable_id, urn
from fr_training.plan_reading import read_plan
from fr_training.trials import Result
from support import results as graded
from support.results import course, listed, pair, triaged

COHORT_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.load(new_signing_key())


def refuse(word: str) -> None:
    raise AssertionError(word)


@given(graded.results(), graded.results("t2"), st.lists(st.sampled_from(["t1", "t2", "t3"]), unique=True), COHORT_NAMES)
def test_every_form_takes_any_results(
    key: SigningKey, first: Sequence[Result], second: Sequence[Result], through: list[str], cohort: str
) -> None:
    finished = [Finished(one, "first", 0, 1_700_000_000_000) for one in through]
    for form in FORMS:
        text = export(
            form,
            CohortResults(course(), cohort, {"t1": first, "t2": second, "t3": ()}, finished, key, 1_700_000_000_000),
        )
        assert text.encode().decode() == text
        if form == "csv":
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
            assert len(rows) == 1 + len(first) + len(second)
            assert len({len(row) for row in rows}) == 1
            assert text.endswith("\r\n")
        else:
            assert isinstance(json.loads(text, parse_constant=refuse), list)
            assert text.endswith("]\n")


def test_no_form_tells_the_signing_key_and_one_alone_the_name_of_the_cohort(key: SigningKey) -> None:
    results, finished = {"t1": [pair("same", 2)]}, [Finished("t1", "first", 0, 1)]
    private = key.private.private_numbers()
    for form in FORMS:
        assert form == "csv" or export(form, CohortResults(course(), "x", {}, (), key, 0)) == "[]\n"
        text = export(form, CohortResults(course(), "Spring of the north", results, finished, key, 0))
        assert ("Spring of the north" in text) is (form == "csv")
        assert str(private.d) not in text
        assert '"d":' not in text
    made = [stable_id(*parts) for parts in (("a", "b"), ("a", "b", ""), ("a", "bc"), ("ab", "c"), ("a", 1), ("a", "1"))]
    assert len(set(made)) == len(made)
    assert urn("a", "b") == f"urn:uuid:{made[0]}"


FORMULAS = "=+-@\t\r\n＝＋－＠"
NAMES = (
    "course_id,cohort,seed,manifest_sha256,model,model_sha256,trainee_id,sitting,block_id,form,test,exercise,ordinal,"
    "item_id,b,truth,answer,correct,rating,rating_before,p_same,advice,similarity,log10_lr,machine,mate_rank,candidates,"
    "difficulty,known_to_me,feedback,shown_at,took_ms,paused,reasons,degraded,partner,groups,notes,observations,"
    "machine_search,machine_at_fmr,adaptive,lab,predicted,measured,near,lesson,read_ms"
)


def written(key: SigningKey, *results: Result, cohort: str = "Spring") -> str:
    return csv_rows(CohortResults(course(), cohort, {"t1": results}, (), key, 0))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_two_rows_are_written_just_so(key: SigningKey) -> None:
    first = pair(
        "same",
        -2,
        block="aided",
        b=-0.25,
        before=1,
        advice="different",
        p_same=0.1,
        similarity=-0.125,
        known=True,
        difficulty=5,
        groups={"gender": "f", "age": "30"},
    )
    second = replace(triaged("reject", "", 3), shown_ms=1_700_000_000_123)
    constants = f"0123456789abcdef,Spring,1,{'1' * 64},made@1,{'0' * 64},t1,first"
    assert written(key, first, second) == (
        f"{NAMES}\r\n"
        f"{constants},aided,aided,,aided,0,aided-0,-0.25,same,different,false,-2,1,0.1,different,-0.125,-0.125,different,"
        ',0,5,true,false,1970-01-01T00:00:00.000Z,4000,false,,,,"{""age"": ""30"", ""gender"": ""f""}",,,'
        "different,different,false,,,,,,\r\n"
        f"{constants},triage,triage,,triage,3,triage-3,,reject,,,,,,,,,,,0,,false,false,"
        "2023-11-14T22:13:20.123Z,,false,,,,,,,,,false,,,,,,\r\n"
    )


def test_columns_and_rows_keep_their_order(key: SigningKey) -> None:
    names = [column.name for column in COLUMNS]
    ours = ["shown_at" if field.name == "shown_ms" else field.name for field in fields(Result)]
    assert sorted(ours) == sorted(names[6:])
    assert len(set(names)) == len(names)
    results = {"b": [pair("same", 1, 1, trainee="b"), pair("same", 1, 0, trainee="b")], "a": [listed(1, "none")]}
    rows = read(csv_rows(CohortResults(course(), "x", results, (), key, 0)))
    assert [(row["trainee_id"], row["ordinal"]) for row in rows] == [("b", "1"), ("b", "0"), ("t1", "0")]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**53))
def test_numbers_come_back(key: SigningKey, value: float, took_ms: int) -> None:
    row = read(written(key, replace(pair("same", 3), log10_lr=value, took_ms=took_ms)))[0]
    assert float(row["log10_lr"]) == value
    assert int(row["took_ms"]) == took_ms
    for none in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="not a finite number"):
            written(key, pair("same", 3, similarity=none))


@pytest.mark.parametrize(
    "formula",
    ['=LINK("x")', "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1+1", "a;=1", "a\t+1", "a\r\n@x"],
)
def test_no_text_is_run_by_a_spreadsheet(key: SigningKey, formula: str) -> None:
    row = read(written(key, pair("same", -3, groups={"label": formula}), cohort=formula))[0]
    assert_harmless(row["cohort"])
    assert_harmless(row["groups"])
    assert row["cohort"] != formula
    assert row["rating"] == "-3"


@given(st.text(alphabet=st.sampled_from("=+-@\t\r\n; '\",aß＝")))
def test_harmless_adds_nothing_but_apostrophes(text: str) -> None:
    made = harmless(text)
    assert_harmless(made)
    assert made.replace("'", "") == text.replace("'", "")
    assert harmless(made) == made
    for plain in ("", "Müller & Söhne", "a-b", "blur+noise", "1=1", "x; y", "it's"):
        assert harmless(plain) == plain


def assert_harmless(text: str) -> None:
    assert not text.lstrip(" ").startswith(tuple(FORMULAS))
    for before, after in pairwise(range(len(text) + 1)):
        if text[before:after] in (";", "\t", "\r", "\n") and text[after:].lstrip(" "):
            assert text[after:].lstrip(" ")[0] not in FORMULAS


NOW = 1_700_000_000_123
ENDED = (Finished("t1", "first", 0, 1),)


def scores(key: SigningKey, results: Sequence[Result], finished: Sequence[Finished] = ()) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ags(CohortResults(course(), "x", {"t1": results}, finished, key, NOW)))
    return found


def pre(ratings: Sequence[int | None], known: int = 0) -> list[Result]:
    return [pair("same", one, n, known=n < known) for n, one in enumerate(ratings)]


def test_a_finished_block_word_by_word(key: SigningKey) -> None:
    results = pre([3] * 30 + [-1] * 6 + [0] * 2 + [None], known=3)
    assert scores(key, results, ENDED) == [
        {
            "lineItem": {
                "label": "Faces & <b>lists</b>: Before <script>",
                "scoreMaximum": 40,
                "resourceId": "0123456789abcdef/pre",
                "tag": "pre",
            },
            "score": {
                "userId": "t1",
                "scoreGiven": 27,
                "scoreMaximum": 37,
                "activityProgress": "Completed",
                "gradingProgress": "FullyGraded",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "comment": "Training output, no proof of ability: 27 right of 37 trials that count; 2 undecided or "
                "inconclusive; 2 not answered; 3 left out, as the trainee knows somebody shown.",
            },
        }
    ]


def state(made: dict[str, Any]) -> tuple[object, ...]:
    """Score, maximum and both states of a line; None for what it leaves out."""
    names = ("scoreGiven", "scoreMaximum", "activityProgress", "gradingProgress")
    return tuple(made["score"].get(name) for name in names)


def test_states_of_a_block(key: SigningKey) -> None:
    assert state(scores(key, pre([3, 3, -3, None]))[0]) == (2, 40, "InProgress", "Pending")
    assert state(scores(key, pre([3] * 40, known=40), ENDED)[0]) == (None, None, "Completed", "NotReady")
    assert state(scores(key, pre([None]))[0]) == (None, None, "Started", "NotReady")
    assert state(scores(key, pre([None]), ENDED)[0]) == (0, 40, "Completed", "FullyGraded")
    assert state(scores(key, pre([1] * 40))[0]) == (40, 40, "Completed", "FullyGraded")
    first, second = scores(key, [*pre([1]), triaged("usable", "usable", 1)])
    assert (first["lineItem"]["tag"], first["score"]["activityProgress"]) == ("pre", "Completed")
    assert (second["lineItem"]["tag"], second["score"]["activityProgress"]) == ("triage", "InProgress")
    others = (Finished("t2", "first", 0, 1), Finished("t1", "second", 0, 1))
    assert scores(key, pre([1]), others)[0]["score"]["activityProgress"] == "InProgress"


def test_an_own_probe_waits_for_somebody_to_tell(key: SigningKey) -> None:
    told = listed(1, "candidate:1", 0, block="own")
    untold = listed(1, "candidate:1", 1, block="own", scored=False)
    (made,) = scores(key, [told, untold], ENDED)
    score = made["score"]
    assert (score["scoreGiven"], score["scoreMaximum"]) == (1, 1)
    assert score["gradingProgress"] == "PendingManual"
    assert "1 of which nobody has told yet what is right" in score["comment"]
    (alone,) = scores(key, [untold, untold])
    assert "scoreGiven" not in alone["score"]
    assert (alone["score"]["activityProgress"], alone["score"]["gradingProgress"]) == ("Completed", "PendingManual")


@given(graded.results(), graded.results("t2"), st.booleans())
def test_scores_keep_ags_rules(key: SigningKey, first: Sequence[Result], second: Sequence[Result], over: bool) -> None:
    results = {"t1": first, "t2": second}
    made = json.loads(ags(CohortResults(course(), "x", results, ENDED if over else (), key, NOW)))
    begun = {(trainee, one.block_id) for trainee, own in results.items() for one in own}
    assert {(one["score"]["userId"], one["lineItem"]["resourceId"].split("/")[1]) for one in made} == begun
    assert len(made) == len(begun)
    for one in made:
        assert set(one) == {"lineItem", "score"}
        assert one["lineItem"]["scoreMaximum"] > 0
        score = one["score"]
        needed = {"userId", "activityProgress", "gradingProgress", "timestamp", "comment"}
        assert set(score) - needed in (set(), {"scoreGiven", "scoreMaximum"})
        assert score["activityProgress"] in ("Initialized", "Started", "InProgress", "Submitted", "Completed")
        assert score["gradingProgress"] in ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", score["timestamp"])
        if "scoreGiven" in score:
            assert 0 <= score["scoreGiven"] <= score["scoreMaximum"]
            assert score["scoreMaximum"] > 0
        assert (score["gradingProgress"] in ("FullyGraded", "Pending")) <= ("scoreGiven" in score)
        assert "raining output" in score["comment"]


NOTICE = "TRAINING OUTPUT: a certificate of completion. It is no proof of ability and no licence to identify anybody."
PLAN = """
format = 1
title = "Two days"
claims = false
[[sittings]]
name = "day-1"
title = "Day 1"
blocks = [{id = "a", exercise = "verification", same = 1, different = 1, equated = "t", occasion = "pre"}]
[[sittings]]
name = "day-2"
title = "Day 2"
blocks = [
  {id = "b", exercise = "triad", trials = 3},
  {id = "c", exercise = "verification", same = 1, different = 1, equated = "t", occasion = "retention"},
]
[[sittings]]
name = "later"
blocks = [{id = "d", exercise = "triad", trials = 3, equated = "u", occasion = "retention"}]
"""


def two_days() -> Course:
    return replace(course(), plan=read_plan(PLAN))


def answered(*sittings: str, trainee: str = "t1") -> list[Result]:
    return [replace(pair("same", 1, n, trainee=trainee), sitting=one) for n, one in enumerate(sittings)]


def ended(*sittings: str, trainee: str = "t1") -> list[Finished]:
    return [Finished(trainee, one, 0, 1_700_000_000_999 + n * 86_400_000) for n, one in enumerate(sittings)]


def badges(
    key: SigningKey, results: Mapping[str, Sequence[Result]], finished: Sequence[Finished], of: Course | None = None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        open_badges(CohortResults(of or two_days(), "x", results, finished, key, 0))
    )
    return found


def test_a_certificate_word_by_word(key: SigningKey) -> None:
    (made,) = badges(key, {"t1": answered("day-1", "day-2", "day-2")}, ended("day-1", "day-2"))
    assert set(made) == {"trainee_id", "credential", "jwt"}
    assert made["trainee_id"] == "t1"
    assert made["credential"] == {
        "@context": [
            "https://www.w3.org/ns/credentials/v2",
            "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
        ],
        "id": "urn:uuid:800fe88a-18ad-5e27-a1fe-a27015f5c627",
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "issuer": {"id": key.did, "type": ["Profile"], "name": "FR Core training server"},
        "validFrom": "2023-11-15T22:13:20.000Z",
        "name": "Two days",
        "description": NOTICE,
        "credentialSubject": {
            "id": "urn:uuid:4eddc093-db96-5fdd-9a09-e4f8b7afd7be",
            "type": ["AchievementSubject"],
            "narrative": f"Answered 3 of 7 trials. {NOTICE}",
            "achievement": {
                "id": "urn:uuid:bce97b8c-efec-54e1-ae67-07e44d07e158",
                "type": ["Achievement"],
                "achievementType": "CertificateOfCompletion",
                "name": "Two days",
                "description": f"A course in comparing photos of faces, on the training server of FR Core. {NOTICE}",
                "criteria": {
                    "narrative": "The trainee has gone through these sittings to their end: “Day 1”, “Day 2”. How many "
                    f"answers were right plays no part, and nobody has checked who sat there. {NOTICE}"
                },
            },
        },
    }


def test_the_token_is_the_credential_and_a_changed_one_does_not_verify(key: SigningKey) -> None:
    (made,) = badges(key, {"t1": answered("day-1", "day-2")}, ended("day-1", "day-2"))
    credential = made["credential"]
    claims = verify(made["jwt"], key.public_jwk)
    assert claims == {
        **credential,
        "iss": key.did,
        "jti": credential["id"],
        "nbf": 1_700_086_400,
        "sub": credential["credentialSubject"]["id"],
    }
    header = json.loads(base64.urlsafe_b64decode(made["jwt"].split(".")[0] + "=="))
    assert header == {"alg": "RS256", "typ": "JWT", "jwk": key.public_jwk}
    header, claims, signature = made["jwt"].split(".")
    text = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).replace(
        b"no proof of ability", b"a proof of ability"
    )
    forged = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    with pytest.raises(ValueError, match="signature"):
        verify(f"{header}.{forged}.{signature}", key.public_jwk)


def test_nothing_tells_who_it_is_or_how_good(key: SigningKey) -> None:
    who = "trainee-01"  # neither base58 nor a word of the certificate, so that no key's own letters spell it
    days = answered("day-1", "day-2", trainee=who)
    right, wrong = (
        [replace(one, rating=rating, answer=word, correct=rating > 0) for one in days]
        for rating, word in ((3, "same"), (-3, "different"))
    )
    (made,), (other,) = (badges(key, {who: one}, ended("day-1", "day-2", trainee=who)) for one in (right, wrong))
    assert made == other
    assert made["trainee_id"] == who
    assert who not in json.dumps(made["credential"])
    assert "evidence" not in made["credential"]


@pytest.mark.parametrize(
    ("finished", "through"),
    [
        (("day-1", "day-2"), True),
        (("day-1", "day-2", "later"), True),
        (("day-1",), False),
        (("day-2", "later"), False),
        ((), False),
    ],
)
def test_retention_tests_are_not_needed(key: SigningKey, finished: tuple[str, ...], through: bool) -> None:
    results = {"t1": answered("day-1", "day-2", "later")}
    made = badges(key, results, ended(*finished))
    assert bool(made) is through
    assert badges(key, results, ended(*finished)) == made  # a second export is the same
    silent = [replace(one, answer="", rating=None, correct=None) for one in answered("day-2")]
    assert badges(key, {"t1": [*answered("day-1"), *silent]}, ended(*finished)) == []


def test_others_who_are_through_are_not_mixed_up(key: SigningKey) -> None:
    both = ("day-1", "day-2")
    results = {"t2": answered(*both, trainee="t2"), "t1": answered(*both), "t3": answered(*both, trainee="t3")}
    made = badges(key, results, [*ended(*both), *ended("day-1", trainee="t3"), *ended(*both, trainee="t2")])
    assert [one["trainee_id"] for one in made] == ["t2", "t1"]
    assert len({one["credential"]["id"] for one in made}) == 2
    assert len({one["credential"]["credentialSubject"]["id"] for one in made}) == 2
    assert len({one["credential"]["credentialSubject"]["achievement"]["id"] for one in made}) == 1
    plan = two_days().plan
    assert [one.name for one in needed(plan)] == ["day-1", "day-2"]
    assert [one.name for one in needed(replace(plan, sittings=plan.sittings[2:]))] == ["later"]


@given(graded.results(), graded.results("t2"), st.booleans())
def test_certificates_verify(key: SigningKey, first: Sequence[Result], second: Sequence[Result], over: bool) -> None:
    made = badges(key, {"t1": first, "t2": second}, ended("first") if over else (), course())
    assert [one["trainee_id"] for one in made] == (["t1"] if over and any(one.answer for one in first) else [])
    for one in made:
        assert one["credential"].items() <= verify(one["jwt"], key.public_jwk).items()


def test_another_library_verifies_a_certificate(key: SigningKey) -> None:
    (made,) = badges(key, {"t1": answered("day-1", "day-2")}, ended("day-1", "day-2"))

    def public(of: SigningKey) -> bytes:
        return of.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    found = OB3Verifier(public(key)).verify(made["jwt"])
    assert found.issuer.id == key.did
    assert found.achievement.name == "Two days"
    with pytest.raises(OB3VerificationError, match="signature"):
        OB3Verifier(public(SigningKey.load(new_signing_key()))).verify(made["jwt"])


def test_a_certificate_to_print_says_what_the_badge_says_and_has_room_for_a_name(key: SigningKey) -> None:
    results = {"t1": answered("day-1", "day-2"), "t2": answered("day-1", trainee="t2")}
    of = CohortResults(two_days(), "x", results, ended("day-1", "day-2"), key, 0)
    (badge,) = badges(key, results, ended("day-1", "day-2"))
    page = html.unescape(certificate_html(of, "t1"))
    number = badge["credential"]["id"].removeprefix("urn:uuid:")
    for words in (number, two_days().plan.title, "2023-11-15", "no proof of ability"):
        assert words in page
    assert page.count('class="line') == 3
    assert not any(mark in page for mark in ("http://", "https://", "<script", "t1"))
    for nobody in ("t2", "t3"):
        with pytest.raises(NothingToReport):
            certificate_html(of, nobody)
