"""Results of training as they would come from sessions: made by hand, and drawn by chance."""

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from fr_core.types import ModelId
from fr_training.courses import Course
from fr_training.grading.values import Undefined
from fr_training.plan_reading import read_plan
from fr_training.trials import Result

PLAN = """
format = 1
title = "Faces & <b>lists</b>"
claims = false

[[sittings]]
name = "first"
blocks = [
  {id="pre", exercise="verification", title="Before <script>", same=20, different=20, equated="t", occasion="pre"},
  {id = "triads", exercise = "triad", trials = 20},
  {id = "lists", exercise = "candidates", present = 10, absent = 10, size = 5},
  {id = "triage", exercise = "triage", usable = 5, limited = 5, reject = 5},
  {id = "lab", exercise = "lab", about = "threshold", trials = 4},
  {id = "custody", exercise = "evidence", trials = 2},
  {id = "lesson", exercise = "lesson", lesson = "thresholds"},
  {id = "aided", exercise = "aided", same = 10, different = 10, wrong = 6},
  {id = "rare", exercise = "low_prevalence", same = 36, different = 4},
  {id = "open", exercise = "verification", same = 10, different = 10, feedback = true},
  {id = "blind", exercise = "blind", verifies = "open"},
  {id = "own", exercise = "own_probe", trials = 2, size = 5},
  {id="post", exercise="verification", same=20, different=20, equated="t", occasion="post"},
]
"""
KIND = {block.block_id: block.exercise for block in read_plan(PLAN).blocks}
PAIR_BLOCKS = ("pre", "aided", "rare", "open", "blind", "post")


T = TypeVar("T")


def defined(value: T | Undefined | None) -> T:
    assert value is not None
    assert not isinstance(value, Undefined)
    return value


def course() -> Course:
    return Course(
        course_id="0123456789abcdef",
        plan=read_plan(PLAN),
        datasets=("made <up>",),
        terms=("free",),
        model=ModelId("made", "1", "0" * 64),
        seed=1,
        forms={},
        gallery_id="",
        created_ms=0,
        manifest_sha256="1" * 64,
    )


def word(rating: int) -> str:
    return "same" if rating > 0 else "different" if rating < 0 else "undecided"


def _result(
    block: str, ordinal: int, truth: str, answer: str, correct: bool | None, took_ms: int | None, **more: Any
) -> Result:
    given = {
        "trainee_id": "t1",
        "sitting": "first",
        "form": block,
        "test": "",
        "item_id": f"{block}-{ordinal}",
        "b": None,
        "shown_ms": ordinal * 10_000,
        "took_ms": took_ms if answer else None,
    }
    return Result(
        **(given | more),
        block_id=block,
        exercise=KIND[block],
        ordinal=ordinal,
        truth=truth,
        answer=answer,
        correct=correct,
    )


def pair(
    truth: str,
    rating: int | None,
    ordinal: int = 0,
    *,
    trainee: str = "t1",
    block: str = "pre",
    b: float | None = 0.0,
    item: str = "",
    form: str = "",
    before: int | None = None,
    similarity: float | None = None,
    known: bool = False,
    took_ms: int | None = 4_000,
    groups: dict[str, str] | None = None,
    **more: Any,
) -> Result:
    answer = "" if rating is None else word(rating)
    correct = None if answer in ("", "undecided") else answer == truth
    machine = "" if similarity is None else "same" if similarity > 0 else "different"
    about = {
        "trainee_id": trainee,
        "form": form or block,
        "test": block if block in ("pre", "post") else "",
        "item_id": item or f"{block}-{ordinal}",
        "b": b,
        "feedback": block == "open",
        "rating": rating,
        "rating_before": before,
        "similarity": similarity,
        "log10_lr": similarity,
        "machine": machine,
        "machine_search": machine,
        "machine_at_fmr": "" if similarity is None else word(int(similarity > 0.25) * 2 - 1),
        "known_to_me": known,
        "groups": groups or {},
    }
    return _result(block, ordinal, truth, answer, correct, took_ms, **about, **more)


def triad(odd: int, chosen: int | None, ordinal: int = 0, *, trainee: str = "t1", b: float | None = 0.0) -> Result:
    answer, correct = ("", None) if chosen is None else (f"odd:{chosen}", chosen == odd)
    return _result("triads", ordinal, f"odd:{odd}", answer, correct, 3_000, trainee_id=trainee, b=b, machine="odd:0")


def listed(
    mate: int | None, answer: str, ordinal: int = 0, *, trainee: str = "t1", block: str = "lists", scored: bool = True
) -> Result:
    truth = "" if not scored else "absent" if mate is None else f"mate:{mate}"
    right = {"none": mate is None, "inconclusive": None, "": None}.get(answer, answer == f"candidate:{mate}")
    rank = None if mate is None or not scored else mate + 1
    about = {"trainee_id": trainee, "machine": "candidate:0", "mate_rank": rank, "candidates": 5}
    return _result(block, ordinal, truth, answer, right if scored else None, 9_000, **about)


def triaged(truth: str, answer: str, ordinal: int = 0, *, degraded: str = "", reasons: str = "") -> Result:
    correct = answer == truth if answer else None
    return _result("triage", ordinal, truth, answer, correct, 2_000, degraded=degraded, reasons=reasons)


def lab(right: int, row: int, ordinal: int = 0, *, about: str = "threshold", near: bool = True) -> Result:
    figures = {"lab": about, "predicted": 12.5, "measured": 14.0 if near else 40.0, "near": near}
    return _result("lab", ordinal, f"row:{right}", f"row:{row}", row == right, 5_000, **figures)


def evidence(record: int, answer: int, ordinal: int = 0, *, parts: str = "original+crop") -> Result:
    correct = answer == record and parts == "original+crop"
    parts = f"{parts}+chain" if answer == record else parts
    return _result("custody", ordinal, f"record:{record}", f"record:{answer}", correct, 90_000, reasons=parts)


def lesson(right: int, chosen: int, ordinal: int = 0, *, section: str = "worth", read_ms: int = 60_000) -> Result:
    about = {"lesson": f"thresholds:{section}", "read_ms": read_ms}
    answer = f"option:{chosen}" if chosen else ""
    correct = chosen == right if chosen else None
    return _result("lesson", ordinal, f"option:{right}", answer, correct, 80_000, **about)


RATINGS = st.sampled_from([None, -3, -2, -1, 0, 1, 2, 3])
NUMBERS = st.one_of(st.none(), st.floats(-3, 3, allow_nan=False))


@st.composite
def _pairs(draw: st.DrawFn, trainee: str) -> Result:
    block = draw(st.sampled_from(PAIR_BLOCKS))
    aided = block == "aided"
    return pair(
        draw(st.sampled_from(["same", "different"])),
        draw(RATINGS),
        draw(st.integers(0, 9)),
        trainee=trainee,
        block=block,
        b=draw(NUMBERS),
        before=draw(RATINGS) if aided else None,
        advice=draw(st.sampled_from(["same", "different"])) if aided else "",
        p_same=draw(st.one_of(st.none(), st.floats(0, 1, allow_nan=False))),
        similarity=draw(st.one_of(st.none(), st.floats(-1, 1, allow_nan=False))),
        known=draw(st.booleans()),
        took_ms=draw(st.integers(0, 100_000)),
        paused=draw(st.booleans()),
        partner=draw(st.sampled_from(["", "t1", "t2", "t3"])) if block == "blind" else "",
        difficulty=draw(st.one_of(st.none(), st.integers(1, 5))),
        groups=draw(st.dictionaries(st.sampled_from(["gender", "age"]), st.sampled_from(["a", "b"]))),
    )


@st.composite
def _lists(draw: st.DrawFn, trainee: str) -> Result:
    answers = ["none", "inconclusive", "", "candidate:0", "candidate:1"]
    return listed(
        draw(st.sampled_from([None, 0, 1])),
        draw(st.sampled_from(answers)),
        draw(st.integers(0, 9)),
        trainee=trainee,
        block=draw(st.sampled_from(["lists", "own"])),
        scored=draw(st.booleans()),
    )


def results(trainee: str = "t1", most: int = 40) -> st.SearchStrategy[Sequence[Result]]:
    usable = st.sampled_from(["usable", "limited", "reject"])
    triads = st.builds(
        triad,
        st.integers(0, 2),
        st.one_of(st.none(), st.integers(0, 2)),
        st.integers(0, 9),
        trainee=st.just(trainee),
        b=NUMBERS,
    )
    photos = st.builds(triaged, usable, usable, st.integers(0, 9), degraded=st.sampled_from(["", "blur"]))
    return st.lists(st.one_of(_pairs(trainee), triads, _lists(trainee), photos), max_size=most)
