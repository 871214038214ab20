"""The export as Open Badges: who gets one, what it says and does not say, and that it is signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_training.courses import Course
from fr_training.exports.open_badges import needed, open_badges
from fr_training.exports.signing import SigningKey, new_signing_key, verify
from fr_training.exports.values import CohortResults, Finished
from fr_training.plan import read_plan
from fr_training.trials import Result
from support import results as graded
from support.results import course, pair

NOTICE = "TRAINING OUTPUT: a certificate of completion. It is no proof of ability and no licence to identify anybody."
PLAN = """
format = 1
title = "Two days"
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


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.load(new_signing_key())


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


def test_the_token_is_the_credential_and_says_who_to_whom_and_when(key: SigningKey) -> None:
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


def test_a_changed_certificate_does_not_verify(key: SigningKey) -> None:
    (made,) = badges(key, {"t1": answered("day-1", "day-2")}, ended("day-1", "day-2"))
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
def test_through_is_who_has_ended_all_but_a_retention_test(
    key: SigningKey, finished: tuple[str, ...], through: bool
) -> None:
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


def test_a_course_of_retention_alone_needs_all_of_it() -> None:
    plan = two_days().plan
    assert [one.name for one in needed(plan)] == ["day-1", "day-2"]
    assert [one.name for one in needed(replace(plan, sittings=plan.sittings[2:]))] == ["later"]


@given(graded.results(), graded.results("t2"), st.booleans())
def test_any_results_make_certificates_that_verify(
    key: SigningKey, first: Sequence[Result], second: Sequence[Result], over: bool
) -> None:
    made = badges(key, {"t1": first, "t2": second}, ended("first") if over else (), course())
    assert [one["trainee_id"] for one in made] == (["t1"] if over and any(one.answer for one in first) else [])
    for one in made:
        assert one["credential"].items() <= verify(one["jwt"], key.public_jwk).items()
