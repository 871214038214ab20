"""Reports of training have stable keys, plain words and no mark-up; xAPI statements keep the rules of xAPI 1.0.3."""

import html
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from fr_core.scoring.intervals import rate
from fr_locales.messages import message
from fr_locales.rendering import render
from fr_training.exports.signing import SigningKey, new_signing_key
from fr_training.exports.values import CohortResults
from fr_training.exports.xapi import xapi
from fr_training.grading.figures import CohortFigures, Conduct, Extension, TraineeFigures
from fr_training.grading.reports import cohort_figures, trainee_figures
from fr_training.grading.values import Area, Time, Undefined
from fr_training.prompts import ExerciseKind
from fr_training.report import cohort_html, cohort_json, trainee_html, trainee_json
from fr_training.report.cells import percent, percentile, placed, text
from fr_training.report.keys import keys
from fr_training.sessions.results import results as results_of
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.signal_detection import Sensitivity, prevalence_ppv
from fr_training.trials import Result
from support import results as graded
from support import sessions as made_sessions
from support.browser import needs_browser
from support.paper import PORTRAIT, paper, require_one_screen, require_sheets
from support.results import course, evidence, lab, lesson, listed, pair, triad, triaged

WHY = message("undefined.curve")
NOTICE = render(message("page.notice"))


def everything(trainee: str) -> list[Result]:
    shift, found = int(trainee[1:]), []
    for block in ("pre", "open", "post"):
        for n in range(24):
            truth, level = "same" if n % 2 else "different", 1 + n % 3
            sign = 1 if (truth == "same") == ((n + shift) % 6 > 0) else -1
            similarity = (0.4 if truth == "same" else -0.4) + (n % 7 - 3) / 5
            told: dict[str, Any] = {"p_same": 0.5 + 0.1 * sign * level, "similarity": similarity, "b": n / 12 - 1}
            groups = {"gender": "<i>f" if n > 1 else "m"}
            one = pair(truth, sign * level, n, trainee=trainee, block=block, groups=groups, **told)
            found.append(replace(one, difficulty=1 + n % 5))
    for n in range(12):
        truth, advice = "same" if n % 2 else "different", "same" if n % 4 < 2 else "different"
        of: dict[str, Any] = {"partner": "t2", "form": "open", "item": f"open-{n}"}
        found.append(pair(truth, 1 if n % 3 else -1, n, trainee=trainee, block="aided", before=-1, advice=advice))
        found.append(pair("different" if n == 3 else "same", 1, n, trainee=trainee, block="rare"))
        found.append(pair(truth, 2 if n % 5 else -2, n, trainee=trainee, block="blind", **of))
        found.append(triad(n % 3, n % 2, n, trainee=trainee, b=n / 6 - 1))
        found.append(listed(n % 3 or None, ("none", "candidate:1", "inconclusive")[n % 3], n, trainee=trainee))
    if trainee == "t1":
        found += [triaged("reject", ("usable", "reject")[n % 2], n, degraded="blur", reasons="blur") for n in range(6)]
        found += [lab(n % 3, 1, n, near=n > 1) for n in range(4)]
        found += [evidence(n, 1, n) for n in range(2)]
        found += [lesson(2, 1 + n, n) for n in range(2)]
    return found


@cache
def cohort() -> dict[str, list[Result]]:
    return {f"t{n}": everything(f"t{n}") for n in range(1, 25)}


@cache
def figures_of_one() -> TraineeFigures:
    return trainee_figures(course(), cohort()["t1"], cohort())


@cache
def figures_of_all() -> CohortFigures:
    return cohort_figures(course(), cohort())


@pytest.fixture(scope="module")
def trainees_page() -> str:
    return trainee_html(course(), figures_of_one())


@pytest.fixture(scope="module")
def cohorts_page() -> str:
    return cohort_html(course(), figures_of_all())


def paths(value: Any, at: str = "") -> set[str]:
    if isinstance(value, dict):
        if set(value) == {"undefined"}:
            return {at}
        return {at, *(path for key, inner in value.items() for path in paths(inner, f"{at}.{key}"))}
    if isinstance(value, list):
        return {at, *(path for inner in value for path in paths(inner, f"{at}[]"))}
    return {at}


def test_the_keys_of_a_trainee_are_those_that_programs_know() -> None:
    document = json.loads(trainee_json(course(), figures_of_one()))
    assert list(document) == [
        "format", "kind", "notice", "course", "trainee_id", "words", "counts", "together", "blocks", "tests", "ability",
        "changes", "standing", "learning", "aided", "prevalence", "groups", "verification", "cohort_roc", "crowds",
        "conduct",
    ]  # fmt: skip
    assert (document["format"], document["kind"], document["notice"]) == (2, "training-trainee", NOTICE)
    assert set(document["words"]) == {"went_well", "bias", "practise", "change", "limits"}
    assert set(document["course"]) == {"course_id", "title", "datasets", "terms", "model", "seed", "manifest_sha256"}
    found = paths(document)
    for path in (
        ".together.pairs.errors.misses.of_all.low", ".together.pairs.errors.false_same.of_decided.count",
        ".together.pairs.errors.sensitivity.dprime.standard_error",
        ".together.pairs.errors.sensitivity.criterion.high", ".together.pairs.roc.area.interval.confidence",
        ".together.pairs.roc.points[].hits", ".together.pairs.evidence.levels[].words",
        ".together.pairs.evidence.ceiling_same", ".together.pairs.evidence.cllr",
        ".together.pairs.probabilities.calibration_error", ".together.pairs.errors_at[].wrong.value",
        ".together.pairs.machine.roc.area.value", ".together.pairs.machine.search.misses.count",
        ".together.pairs.machine.at_fmr.false_same.total", ".ability.theta.low", ".ability.weights[].ratio.high",
        ".together.pairs.with_machine.value",
        ".together.triads.ability.theta", ".together.lists.picks.false_alarms.value",
        ".together.lists.picks.wrong.of_decided.value", ".together.triage.confusion[].reject",
        ".together.labs.right.value", ".together.evidence.crop.value", ".together.labs.by_question[].near.value",
        ".together.lessons.by_lesson[].right.value", ".together.lessons.by_lesson[].minutes",
        ".blocks[].figures.pairs.times.right.median_ms", ".tests[].score", ".changes[].score.verdict",
        ".changes[].sensitivity.dprime.value", ".standing.percentile_in_cohort", ".standing.norms[].caution",
        ".learning.points[].right.value", ".aided.misled.value", ".aided.bias.net.value",
        ".prevalence.false_same.value", ".groups[].groups[].false_same.total", ".verification.quadratic_kappa.value",
        ".cohort_roc.area.value", ".crowds[].sizes[].area.low",
    ):  # fmt: skip
        assert path in found, path


def test_the_keys_of_a_cohort_are_those_that_programs_know() -> None:
    document = json.loads(cohort_json(course(), figures_of_all()))
    assert list(document) == [
        "format", "kind", "notice", "course", "trainees", "words", "counts", "together", "own", "blocks", "tests",
        "rows", "distributions", "changes", "learning", "aided", "prevalence", "groups", "verification", "crowds",
        "pairing", "items", "quarantined", "conduct",
    ]  # fmt: skip
    assert document["kind"] == "training-cohort"
    assert set(document["rows"][0]) == {
        "trainee_id",
        "answered",
        "misses",
        "false_same",
        "sensitivity",
        "ability",
        "scores",
    }
    assert {"item_id", "form", "b", "human_b", "updated_b", "right", "correlation", "quarantined"} <= set(
        document["items"][0]
    )
    assert len(document["rows"]) == 24


def test_figures_become_keys_by_the_rules_without_matplotlib() -> None:
    assert keys(rate(1, 4)) == {"value": 0.25, "count": 1, "total": 4, **keys(rate(1, 4).interval)}
    assert keys(Undefined(WHY)) == {"undefined": "A curve needs pairs of one person and of two."}
    assert keys(Estimate(1.0, 0.5, 0.0, 2.0, 0.95)) == {
        "value": 1.0, "standard_error": 0.5, "low": 0.0, "high": 2.0, "confidence": 0.95
    }  # fmt: skip
    assert keys({"b": (1, None), "a": True}) == {"a": True, "b": [1, None]}
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            keys([number])
    with pytest.raises(TypeError):
        keys(object())
    program = "import sys; sys.modules['matplotlib'] = None; import fr_training.report, fr_training.grading.reports"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=".")


def test_a_page_says_what_the_trainer_changed(trainees_page: str) -> None:
    heading = render(message("section.conduct"))
    assert heading not in trainees_page
    changed = Conduct((Extension("pre", "First <test>", 1, 7.5),), ("Pairs",))
    page = html.unescape(trainee_html(course(), replace(figures_of_one(), conduct=changed)))
    for words in (heading, "First <test>", "added up to 7.5 min to its time, for 1 trainee", "has closed this sitting"):
        assert words in page


def test_a_page_has_notice_words_and_pictures_in_order(trainees_page: str, cohorts_page: str) -> None:
    page = trainees_page
    marks = [NOTICE[:40], "What to practise", "Which way the answers lean", "<h2>Pairs</h2>", "<svg"]
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "<h2>What went well</h2>" not in page  # all of it is on the first page
    assert "no evidence of identity" in page
    headings = [cohorts_page.index(f"<h2>{one}</h2>") for one in ("What went well", "Items", "Trainees", "Change")]
    assert cohorts_page.index(NOTICE[:40]) < min(headings)
    assert (page.count("<svg"), cohorts_page.count("<svg")) == (5, 8)


MARKED = re.compile(r"<svg.*?</svg>|<style>.*?</style>|<[^>]+>", re.DOTALL)


@needs_browser
def test_a_trainees_first_page_fits_a_screen_and_a_sheet(trainees_page: str, tmp_path: Path) -> None:
    first, *folded = trainees_page.split("<details>")
    assert re.findall(r"<h2>(.*?)</h2>", first) == [
        "What your answers show",
        "What they do not show",
        "What to practise",
    ]
    assert len(folded) > 10
    for sentence in figures_of_one().words.practise:
        assert html.escape(render(sentence)) in trainees_page
    page = tmp_path / "page.html"
    page.write_text(trainees_page, "utf-8")
    with paper() as shown:
        shown.open(page.as_uri())
        require_one_screen(shown)
        require_sheets(shown, [PORTRAIT])
        # A longer first page is found.
        shown.value(
            "document.querySelector('ul').append(...Array(12).fill('x').map(() => document.createElement('li')))"
        )
        with pytest.raises(AssertionError):
            require_one_screen(shown)
        shown.value(
            "document.querySelector('ul').append(...Array(24).fill('x').map(() => document.createElement('li')))"
        )
        assert len(shown.printed()) == 2


def test_pages_name_nothing_by_its_key(trainees_page: str, cohorts_page: str) -> None:
    for page in (trainees_page, cohorts_page):
        said = html.unescape(MARKED.sub("|", page))
        for raw in (
            "pre-test",
            "post-test",
            "pre to post",
            "mate:",
            "odd:",
            "face_",
            "gender",
            "low_prevalence",
            "not looked up",
        ):
            assert not re.search(rf"\b{raw}", said), raw
    assert "<td>sex</td><td>male</td>" in cohorts_page


def heading(page: str, name: str) -> str:
    part = page[page.index(f"<h2>{name}</h2>") :]
    return html.unescape(part[: part.find("<h2>", 4)])


def test_a_cohort_is_shown_by_trainees_and_ratings_have_no_words(trainees_page: str, cohorts_page: str) -> None:
    own = heading(cohorts_page, "The trainees, each by themselves")
    for figure in (
        "d', mean of trainees",
        "criterion c, mean of trainees",
        "area, mean of trainees",
        "24 trainees rated",
    ):
        assert figure in own
    assert "rest on the trainees, each of whom counts once." in html.unescape(cohorts_page)
    pooled, alone = (heading(page, "What the ratings are worth") for page in (cohorts_page, trainees_page))
    for words in ("words that it carries", "<th>95 % interval</th>", "ceiling for one person", "Refused here"):
        assert words in alone
        assert words not in pooled
    assert "they carry no words" in pooled
    assert not re.search(r"\de[+]\d", re.sub(r"<svg.*?</svg>", "", cohorts_page, flags=re.DOTALL))
    machine, pairs = (heading(cohorts_page, name) for name in ("The machine on the same pairs", "Pairs"))
    assert "2,016 rated pairs" in pairs
    assert " of 72); " in machine


def test_what_same_is_worth_among_many_strangers_is_told(trainees_page: str) -> None:
    pairs = figures_of_one().together.pairs
    assert pairs is not None
    found = pairs.errors.sensitivity
    assert isinstance(found, Sensitivity)
    hits, false_alarms = (found.hits + 0.5) / (found.mated + 1), (found.false_alarms + 0.5) / (found.nonmated + 1)
    told = heading(trainees_page, "What the ratings are worth")
    row = told[told.index('right "same" where 1 in 100 pairs shows one person') :].split("</tr>")[0]
    assert f"{percent(prevalence_ppv(hits, false_alarms, 0.01))}; " in row
    never = [pair("same" if n % 2 else "different", -1, n) for n in range(20)]
    assert "shows one person, of those" not in trainee_html(course(), trainee_figures(course(), never, {}))


def test_pages_hold_no_mark_up_of_others_and_no_other_trainee(trainees_page: str, cohorts_page: str) -> None:
    for page in (trainees_page, cohorts_page):
        for mark in ("<script", "<b>lists", "<up>", "<i>f"):
            assert mark not in page
        assert "Before &lt;script&gt; (the first test)" in page
        assert "Faces &amp; &lt;b&gt;lists&lt;/b&gt;" in page
        assert "Fewer than 30 pairs are too few for a rate of a group." in trainees_page
    assert trainee_html(course(), trainee_figures(course(), cohort()["t1"], cohort())) == trainees_page
    for told in (trainees_page, trainee_json(course(), figures_of_one())):
        assert not set(re.findall(r"\bt\d+\b", re.sub(r"<svg.*?</svg>", "", told, flags=re.DOTALL))) - {"t1"}


def test_one_trial_makes_a_page_and_cells_say_no_more_than_is_known() -> None:
    one = [pair("same", 1)]
    assert "1 of 1 trials" in trainee_html(course(), trainee_figures(course(), one, {}))
    assert "<svg" not in trainee_html(course(), trainee_figures(course(), [pair("same", 1, known=True)], {}))
    assert "What went well" in cohort_html(course(), cohort_figures(course(), {"t1": [listed(None, "none")]}))
    assert text(rate(13, 20)) == "65 % (13 of 20); 43 % to 82 %"
    assert text(Undefined(message("none.trials"))) == "not known: There are no trials."
    assert text(Area(1.0, Undefined(message("none.trials")))) == "1.00; no interval: There are no trials."
    assert text(Time(2_500.0, 3)) == "2.5 s (of 3)"
    assert text(-0.001) == "0.00"
    assert (percent(0.0), percent(0.004), percent(0.996), percent(1.0)) == ("0 %", "under 1 %", "over 99 %", "100 %")
    assert placed(50.0, 0.0, 99.9) == "50; under 1 to over 99"
    assert placed(Undefined(WHY), None, None) == "not known: A curve needs pairs of one person and of two."
    assert (percentile(0.2), percentile(99.9), percentile(50.0)) == ("under 1", "over 99", "50")


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
        (lab(2, 1), "choice", ["row:2"], "row:1"),
        (evidence(2, 1), "other", None, "record:1"),
        (lesson(2, 1), "choice", ["option:2"], "option:1"),
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
