"""The export as xAPI statements: the rules of xAPI 1.0.3, one statement word by word, ids that stay."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from fr_training.exports.signing import SigningKey, new_signing_key
from fr_training.exports.values import CohortResults
from fr_training.exports.xapi import xapi
from fr_training.prompts import ExerciseKind
from fr_training.sessions.results import results as results_of
from fr_training.trials import Result
from support import results as graded
from support import sessions as made_sessions
from support.results import course, listed, pair, triad, triaged

HOME = "https://fr-core.invalid/training/xapi/"
LISTS_OF = {"choice": "choices", "likert": "scale"}


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.load(new_signing_key())


def statements(key: SigningKey, *results: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(xapi(CohortResults(course(), "Spring", {"t1": results}, (), key, 0)))
    return found


IRI = r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|^`]+"
LANGUAGE = r"[a-z]{2,3}(-[A-Z]{2})?"


def require_iri(text: str) -> None:
    assert re.fullmatch(IRI, text)
    assert not text.startswith("urn:") or re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", text)


def require_uuid(text: str) -> None:
    assert str(UUID(text)) == text
    assert UUID(text).version == 5


def require_language_map(value: Mapping[str, str]) -> None:
    assert value
    assert all(re.fullmatch(LANGUAGE, language) and isinstance(text, str) for language, text in value.items())


def require_activity(value: Mapping[str, Any]) -> None:
    assert set(value) == {"objectType", "id", "definition"}
    assert value["objectType"] == "Activity"
    require_iri(value["id"])
    definition = value["definition"]
    allowed = {"description", "interactionType", "correctResponsesPattern", "choices", "scale"}
    assert {"type", "name"} <= set(definition) <= {"type", "name", *allowed}
    require_iri(definition["type"])
    require_language_map(definition["name"])
    require_language_map(definition.get("description", definition["name"]))


def components(definition: Mapping[str, Any]) -> list[str]:
    """The ids from which an interaction is answered, whose type fits them."""
    kind = definition["interactionType"]
    assert definition["type"].endswith("/activities/cmi.interaction")
    assert set(definition) & {"choices", "scale"} == ({LISTS_OF[kind]} if kind in LISTS_OF else set())
    assert kind in ("choice", "likert", "other")
    listed_ = definition.get(LISTS_OF.get(kind, ""), ())
    for one in listed_:
        require_language_map(one["description"])
    ids = [one["id"] for one in listed_]
    assert len(set(ids)) == len(ids)
    assert not any(re.search(r"\s|\[[,.:]\]", one) for one in ids)
    assert set(definition.get("correctResponsesPattern", ids)) <= set(ids)
    assert definition.get("correctResponsesPattern") != []
    return ids


def require_result(result: Mapping[str, Any], ids: list[str]) -> None:
    assert {"completion", "response"} <= set(result) <= {"completion", "response", "score", "success", "duration"}
    assert {type(result.get(name, True)) for name in ("success", "completion")} == {bool}
    assert not ids or result["response"] in ids
    assert ("success" in result) == ("score" in result)
    assert re.fullmatch(r"PT\d+\.\d\dS", result.get("duration", "PT0.00S"))
    if "score" in result:
        score = result["score"]
        assert set(score) == {"scaled", "raw", "min", "max"}
        assert -1 <= score["scaled"] <= 1
        assert score["min"] <= score["raw"] <= score["max"] > score["min"]


def require_conforming(statement: Mapping[str, Any]) -> None:
    """The rules, as xAPI 1.0.3 has them (part two, sections 2 and 4)."""
    assert set(statement) == {"id", "actor", "verb", "object", "result", "context", "timestamp"}
    actor, context = statement["actor"], statement["context"]
    require_uuid(statement["id"])
    assert (set(actor), actor["objectType"]) == ({"objectType", "account"}, "Agent")
    require_iri(actor["account"]["homePage"])
    assert actor["account"]["name"]
    require_iri(statement["verb"]["id"])
    require_language_map(statement["verb"]["display"])
    require_activity(statement["object"])
    require_result(statement["result"], components(statement["object"]["definition"]))
    assert set(context) == {"registration", "revision", "platform", "contextActivities", "extensions"}
    require_uuid(context["registration"])
    assert set(context["contextActivities"]) == {"parent", "grouping"}
    for activities in context["contextActivities"].values():
        assert isinstance(activities, list)
        assert activities
        for one in activities:
            require_activity(one)
    for name in context["extensions"]:
        require_iri(name)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", statement["timestamp"])
    assert "null" not in re.sub(r'"[^"]*"', "", json.dumps(statement))


@given(graded.results(), graded.results("t2"))
def test_every_statement_keeps_the_rules(key: SigningKey, first: Sequence[Result], second: Sequence[Result]) -> None:
    text = xapi(CohortResults(course(), "x", {"t1": first, "t2": second}, (), key, 0))
    made = json.loads(text)
    assert len(made) == sum(bool(one.answer) for one in (*first, *second))
    for one in made:
        require_conforming(one)


def test_a_pair_word_by_word(key: SigningKey) -> None:
    one = replace(
        pair("different", 2, 3, b=-0.25, p_same=0.75, similarity=0.5, difficulty=4, took_ms=4_256),
        shown_ms=1_700_000_000_000,
    )
    (made,) = statements(key, one)
    words = ["surely two people", "probably two people", "rather two people", "undecided"]
    words += ["rather one person", "probably one person", "surely one person"]

    def activity(kind: str, number: str, name: dict[str, str], **more: object) -> dict[str, object]:
        definition = {"type": f"http://adlnet.gov/expapi/activities/{kind}", "name": name, **more}
        return {"objectType": "Activity", "id": f"urn:uuid:{number}", "definition": definition}

    assert made == {
        "id": "a28c1b1b-8676-5a06-bc78-d87fc42d6309",
        "actor": {
            "objectType": "Agent",
            "account": {"homePage": "https://fr-core.invalid/training/courses/0123456789abcdef", "name": "t1"},
        },
        "verb": {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"en-US": "answered"}},
        "object": activity(
            "cmi.interaction",
            "f5d908a1-99b1-55b0-927a-be6a3a80e514",
            {"en": "Pair of photos pre-3"},
            description={"en": "Do both photos show one person?"},
            interactionType="likert",
            scale=[{"id": str(n - 3), "description": {"en": word}} for n, word in enumerate(words)],
            correctResponsesPattern=["-3", "-2", "-1"],
        ),
        "result": {
            "completion": True,
            "response": "2",
            "score": {"scaled": 0, "raw": 0, "min": 0, "max": 1},
            "success": False,
            "duration": "PT4.26S",
        },
        "context": {
            "registration": "4f20d8cb-7a95-5a2b-9798-6a5e61d29e77",
            "revision": "1" * 64,
            "platform": "FR Core",
            "contextActivities": {
                "parent": [activity("assessment", "56e138c6-1754-5117-b696-1102979f3a16", {"und": "Before <script>"})],
                "grouping": [
                    activity("module", "e1e46c03-1094-56f8-b530-8fadd93d5a1e", {"und": "first"}),
                    activity("course", "dc3f7189-9efd-54ad-bed8-bb5b93ad30b5", {"und": "Faces & <b>lists</b>"}),
                ],
            },
            "extensions": {
                f"{HOME}exercise": "verification",
                f"{HOME}form": "pre",
                f"{HOME}test": "pre",
                f"{HOME}ordinal": 3,
                f"{HOME}b": -0.25,
                f"{HOME}rating": 2,
                f"{HOME}p-same": 0.75,
                f"{HOME}difficulty": 4,
                f"{HOME}machine": "same",
                f"{HOME}similarity": 0.5,
                f"{HOME}log10-lr": 0.5,
                f"{HOME}known-to-me": False,
                f"{HOME}paused": False,
                f"{HOME}feedback": False,
            },
        },
        "timestamp": "2023-11-14T22:13:24.256Z",
    }


@pytest.mark.parametrize(
    ("one", "kind", "right", "response"),
    [
        (pair("same", -1), "likert", ["1", "2", "3"], "-1"),
        (triad(2, 1), "choice", ["odd:2"], "odd:1"),
        (listed(3, "candidate:3"), "choice", ["candidate:3"], "candidate:3"),
        (listed(None, "inconclusive"), "choice", ["none"], "inconclusive"),
        (triaged("limited", "reject"), "choice", ["limited"], "reject"),
        (listed(3, "candidate:3", block="own"), "other", None, "candidate:3"),
    ],
)
def test_interactions(key: SigningKey, one: Result, kind: str, right: list[str] | None, response: str) -> None:
    (made,) = statements(key, one)
    definition = made["object"]["definition"]
    assert definition["interactionType"] == kind
    assert definition.get("correctResponsesPattern") == right
    assert made["result"]["response"] == response
    assert made["result"].get("score", {}).get("scaled") == (None if one.correct is None else int(one.correct))
    if one.exercise == ExerciseKind.CANDIDATES:
        ids = [choice["id"] for choice in definition["choices"]]
        assert ids == [*(f"candidate:{n}" for n in range(5)), "none", "inconclusive"]
    require_conforming(made)


def test_scores_and_ids(key: SigningKey) -> None:
    undecided, known, inconclusive = statements(
        key, pair("same", 0), pair("same", 3, 1, known=True), listed(None, "inconclusive", 2)
    )
    for made in (undecided, known, inconclusive):
        assert set(made["result"]) == {"completion", "response", "duration"}
    assert known["context"]["extensions"][f"{HOME}known-to-me"] is True
    one = pair("same", 1)
    others = [replace(one, ordinal=1), replace(one, trainee_id="t2"), replace(one, sitting="second")]
    first, again = (statements(key, one, *others) for _ in range(2))
    assert first == again
    assert len({made["id"] for made in first}) == 4
    registrations = [made["context"]["registration"] for made in first]
    assert registrations[0] == registrations[1]
    assert len(set(registrations)) == 3
    blind = pair("same", 1, block="blind")
    assert statements(key, blind) == statements(key, replace(blind, partner="t9"))
    open_ = replace(blind, block_id="open", exercise=ExerciseKind.VERIFICATION, ordinal=7)
    assert statements(key, open_)[0]["object"] == statements(key, blind)[0]["object"]  # wherever it is shown
    own = listed(1, "candidate:1", block="own", scored=False)
    told = listed(1, "candidate:1", block="own")
    (before,), (after,) = statements(key, own), statements(key, told)
    assert "score" not in before["result"]
    assert after["result"]["score"]["scaled"] == 1
    assert before["id"] != after["id"]  # a record store refuses other words under an id that it has


def test_a_session_of_every_exercise_keeps_the_rules(key: SigningKey) -> None:
    made = made_sessions.course()
    taken = [made_sessions.random_trainee(made, sitting).run() for sitting in ("first", "second")]
    found = [one for session in taken for one in results_of(made, session)]
    text = xapi(CohortResults(made, "x", {"trainee-1": found}, (), key, 0))
    told = json.loads(text)
    assert len(told) == len(found) == sum(sitting.trials for sitting in made.plan.sittings)
    for one in told:
        require_conforming(one)
    kinds = {one["object"]["definition"]["interactionType"] for one in told}
    assert kinds == {"likert", "choice", "other"}
    assert len({one["id"] for one in told}) == len(told)
