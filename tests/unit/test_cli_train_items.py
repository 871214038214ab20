"""`fr train item` and `fr train review`: the right answer comes last, and after an Enter."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_client.cli.train.dialog import Countdown, Dialog
from fr_client.cli.train.questions import Noted, Style, ask
from support.cli import fr_at
from support.scripted_training import ScriptedTraining, picture, serving_training, trial

TRUTH = "The right answer: both photos show one person."


@pytest.fixture
def service() -> ScriptedTraining:
    found = ScriptedTraining()
    found.entries = [
        training_pb2.ReviewEntry(trial_id="t1", block_id="pre", block_title="Before", number=4, correct=False),
        training_pb2.ReviewEntry(trial_id="t2", block_id="lists", block_title="Lists", number=1, correct=False),
    ]
    rated = training_pb2.GivenAnswer(step=training_pb2.TRIAL_STEP_RATE, known_to_me=True)
    rated.rating.rating = -2
    noted = training_pb2.GivenAnswer(step=training_pb2.TRIAL_STEP_NOTE, notes="A mark.")
    listed = training_pb2.GivenAnswer(step=training_pb2.TRIAL_STEP_DECIDE)
    listed.candidates.picture_id = "b"
    listed.candidates.ratings.update({"a": -3, "b": 2})
    candidates = [picture("p", "PROBE"), picture("a", "CANDIDATE"), picture("b", "CANDIDATE")]
    found.reviews = {
        "t1": {
            "trial": trial("RATE", [picture("a"), picture("b")]),
            "answers": [rated],
            "reveal": training_pb2.Reveal(correct=False, text="Not right: both photos show one person."),
        },
        "t2": {
            "trial": trial("DECIDE", candidates, trial_id="t2", exercise="CANDIDATES"),
            "answers": [noted, listed],
            "reveal": training_pb2.Reveal(
                correct=False, text="Not right: candidate 1.", similarities={"a": 0.5, "b": 0.1}
            ),
        },
    }
    found.class_item = {
        "block_title": "Before",
        "pictures": [picture("0"), picture("1")],
        "answers": [training_pb2.AnswerCount(label="-3", people=2), training_pb2.AnswerCount(label="+3", people=1)],
        "people": 3,
        "right": 1,
        "machine": "The machine says: two people.",
        "truth": TRUTH,
    }
    return found


@pytest.fixture
def target(service: ScriptedTraining) -> Iterator[str]:
    with serving_training(service) as where:
        yield where


def fr(target: str, *words: object, typed: str = "") -> tuple[int, str, str]:
    return fr_at(target, "train", *words, typed=typed, columns="200")


def test_a_release_names_blocks_and_items(target: str, service: ScriptedTraining) -> None:
    code, out, _ = fr(target, "item", "release", "k1", "--block", "odd", "--item", "0" * 16, "--tests")
    assert code == 0
    assert "4 items, 1 of them of tests" in out
    (sent,) = service.calls("ReleaseItems")
    assert sent == training_pb2.ReleaseItemsRequest(
        cohort_id="k1", block_ids=["odd"], item_ids=["0" * 16], include_tests=True
    )
    assert fr(target, "item", "release", "k1")[0] == 2
    service.refusals["ReleaseItems"] = ["ITEMS_AHEAD"]
    code, _, error = fr(target, "item", "release", "k1", "--block", "odd")
    assert (code, error.startswith("ITEMS_AHEAD")) == (1, True)


def test_a_review_shows_the_photos_first_and_the_truth_after_enter(
    target: str, service: ScriptedTraining, tmp_path: Path
) -> None:
    run = ("review", "--code", "c", "--pictures", tmp_path, "--no-viewer")
    code, out, _ = fr(target, *run, typed="\n\n\n\n")
    assert code == 0
    first = out.index("You answered: probably two people (-2).")
    second = out.index("Not right: both photos show one person.")
    assert out.index("2 wrong answers to look at again. 3 other answers cannot be looked at yet.") < first
    assert first < out.index("Look again") < second < out.index("You answered: candidate 2 (1 -3, 2 +2).")
    assert "You said that you know one of the people." in out
    assert "You answered: A mark." in out
    assert out.rindex("The machine's similarities: 1 +0.500, 2 +0.100") > out.index("Not right: candidate 1.")
    assert not list(tmp_path.iterdir())
    code, out, _ = fr(target, *run, typed="q\n")
    assert (code, "Not right" in out) == (0, False)
    assert fr(target, *run)[0] == 0  # the input ends


def test_the_list_as_json_shows_no_trial(target: str, service: ScriptedTraining) -> None:
    code, out, _ = fr(target, "review", "--code", "c", "--all", "--json")
    assert (code, [one["trial_id"] for one in json.loads(out)["entries"]]) == (0, ["t1", "t2"])
    assert not service.calls("GetReview")
    assert service.calls("ListReview")[0].all


def test_a_class_sees_the_truth_last(target: str, tmp_path: Path) -> None:
    show = ("item", "show", "k1", "0" * 16, "--pictures", tmp_path, "--no-viewer")
    code, out, _ = fr(target, *show, typed="\n\n\n\n")
    assert code == 0
    places = [out.index(one) for one in ("-3    2 ##", "The machine says", TRUTH, "1 of 3 were right.")]
    assert places == sorted(places)
    code, out, _ = fr(target, *show, typed="\nq\n")
    assert (code, "-3    2 ##" in out, "The machine says" in out, TRUTH in out) == (0, True, False, False)


def test_a_deck_is_a_file_of_its_own(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    service.files[training_pb2.TRAINING_REPORT_FILE_DECK] = b"<h1>Debrief"
    code, out, _ = fr(target, "report", "get", "k1", "--file", "deck", "--out", tmp_path / "deck")
    assert (code, [one.name for one in (tmp_path / "deck").iterdir()]) == (0, ["deck.html"])
    assert "deck.html" in out


def answered(
    step: str, lines: list[str], draft: training_pb2.Draft, **more: Any
) -> tuple[Any, list[training_pb2.Draft]]:
    """The answer to a step from lines that are typed, and the drafts that were saved on the way."""
    left, saved = iter(lines), list[training_pb2.Draft]()
    told: list[str] = []
    dialog = Dialog(lambda: next(left) + "\n", told.append, told.append, told.clear, list, list, Countdown(lambda: 0.0))
    dialog.save = saved.append
    asked = trial(step, more.pop("pictures", ()), draft=draft, **more)
    return ask(dialog, asked, Style(short=True)), saved


def test_an_answer_goes_on_from_its_draft_and_each_part_is_saved() -> None:
    given, saved = answered("NOTE", ["A mark.", ""], training_pb2.Draft(notes="Ears."))
    assert given == Noted("Ears.\nA mark.")
    assert [one.notes for one in saved] == ["Ears.\nA mark."]
    parts = [training_pb2.Component(component_id=one, name=one) for one in ("nose", "ears")]
    before = training_pb2.Observation(component_id="nose", comparison=training_pb2.COMPARISON_SIMILAR, similarity=8)
    given, saved = answered("OBSERVE", ["n"], training_pb2.Draft(observations=[before]), components=parts)
    assert [one.component_id for one in given.notes] == ["nose", "ears"]
    assert [len(one.observations) for one in saved] == [2]
    # Another client asks in another order.
    given, _ = answered("OBSERVE", ["n", "n"], training_pb2.Draft(observations=[before]), components=parts[::-1])
    assert [one.component_id for one in given.notes] == ["ears", "nose"]
    candidates = [picture(one, "CANDIDATE") for one in "abc"]
    given, saved = answered("DECIDE", ["2", "3", "n"], training_pb2.Draft(ratings={"a": -1}), pictures=candidates)
    assert dict(given.decision.ratings) == {"a": -1, "b": 2, "c": 3}
    assert [dict(one.ratings) for one in saved] == [{"a": -1, "b": 2}, {"a": -1, "b": 2, "c": 3}]


def test_a_review_shows_the_table_of_a_lab_and_keeps_the_files_of_evidence(
    target: str, service: ScriptedTraining, tmp_path: Path
) -> None:
    lab = trial("CONCLUDE", [], exercise="LAB")
    lab.question.CopyFrom(training_pb2.Question(text="Which row?", columns=["row", "threshold"]))
    lab.question.rows.add(cells=["1", "0.250"])
    predicted = training_pb2.GivenAnswer(step=training_pb2.TRIAL_STEP_PREDICT)
    predicted.prediction.percent = 12.5
    row, record = (training_pb2.GivenAnswer(step=training_pb2.TRIAL_STEP_CONCLUDE) for _ in range(2))
    row.conclusion.row = 1
    record.conclusion.SetInParent()
    hashed = training_pb2.GivenAnswer(step=training_pb2.TRIAL_STEP_HASH)
    hashed.file_hash.sha256 = "a" * 64
    custody = trial("CONCLUDE", [picture("o")], trial_id="t2", exercise="EVIDENCE")
    custody.question.CopyFrom(training_pb2.Question(text="Which record?"))
    for name in ("trial-records.jsonl", "elsewhere.txt"):
        custody.question.files.add(name=name, text="{}")
    for trial_id, shown, answers in (("t1", lab, [predicted, row]), ("t2", custody, [hashed, record])):
        service.reviews[trial_id] = {
            "trial": shown,
            "answers": answers,
            "reveal": training_pb2.Reveal(text="So it is."),
        }
    code, out, _ = fr(target, "review", "--code", "c", "--pictures", tmp_path, "--no-viewer", typed="\n\n\n\n")
    assert code == 0
    told = ("row  threshold", "1    0.250", "Which row?", "12.5 percent.", "number 1.", "a" * 64, "none of them.")
    places = [out.index(one) for one in told]
    assert places == sorted(places)
    assert "trial-records.jsonl" in out
    assert "trial-original.jpg" in out
    assert "elsewhere.txt" not in out
    assert not list(tmp_path.iterdir())
