"""Lessons: each is complete, its numbers are measured, its questions tell nothing before an answer, and time counts."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import check_lessons
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fr_api.v1 import training_pb2 as pb
from fr_client.cli.train.lessons import figure_files, page_lines
from fr_core.storage.audit.chain import first_hash
from fr_core.storage.audit.checkpoints import make_checkpoint
from fr_core.storage.audit.values import canonical
from fr_core.storage.audit.verify import Broken, Verified, Why
from fr_locales.rendering import render
from fr_server.rpc.convert.trials import reveal_message, trial_message
from fr_training.answers import Answer, OptionChosen, Read
from fr_training.bank.compose import compose
from fr_training.courses import Course
from fr_training.errors import PlanInvalid
from fr_training.exercises import exercise_of
from fr_training.grading.kinds import lesson_figures
from fr_training.keys import LessonKey
from fr_training.lessons import in_language, languages_of, lesson, lesson_names
from fr_training.lessons.drawing import words
from fr_training.lessons.evidence import CASE, CHAIN_ID, CHANGED, chain_of
from fr_training.lessons.reading import read_lesson
from fr_training.lessons.thresholds import FIGURES, NUMBERS
from fr_training.lessons.values import Lesson, LessonInvalidError, Number
from fr_training.prompts import ExerciseKind, LessonPart, Step
from fr_training.sessions.flow import lock, show
from fr_training.sessions.results import results
from fr_training.sessions.views import LockedStep, ShowTrial
from fr_training.trials import Session
from fr_trust.audit.export import verify_export
from fr_web.console.lessons import lesson_html
from support.people import ExactMatcher, made_pool, plan_of
from support.results import defined
from support.results import lesson as answered
from support.sessions import T0, begun, course

EXERCISE = exercise_of(ExerciseKind.LESSON)
BLOCK = 'id = "one"; exercise = "lesson"; lesson = "thresholds"'
PLAN = """
format = 1
title = "A lesson"
[[sittings]]
name = "first"
blocks = [{id = "one", exercise = "lesson", lesson = "thresholds", minutes = 20}]
"""
ENGLISH = (resources.files("fr_training") / "lessons" / "thresholds" / "en.md").read_text("utf-8")
IDS = tuple(f"{n:016x}" for n in range(4))


def read(text: str, numbers: dict[str, Number] = NUMBERS) -> Lesson:
    return read_lesson("thresholds", "en", text, FIGURES, numbers)


@pytest.mark.parametrize(("name", "language"), [(name, one) for name in lesson_names() for one in languages_of(name)])
def test_a_lesson_is_complete(name: str, language: str) -> None:
    one = lesson(name, language)
    assert check_lessons.faults(one) == []
    assert f"<h1>{one.title}</h1>" in check_lessons.page_of(one)
    for section in one.sections:
        assert len(section.key.reasons) == len(section.part.options)
        for figure in section.part.figures:
            drawing = ElementTree.fromstring(figure.svg)
            assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
            assert {part.tag.rpartition("}")[2] for part in drawing.iter()} <= {
                *("svg", "rect", "text", "line", "polyline", "circle")
            }


def test_words_from_right_to_left_take_the_place_of_english_ones() -> None:
    assert 'text-anchor="start">1 of 2</text>' in words(10, 20, "1 of 2")
    assert 'text-anchor="end" direction="rtl">1 من 2</text>' in words(10, 20, "1 من 2")
    assert 'text-anchor="start" direction="rtl">1 מתוך 2</text>' in words(10, 20, "1 מתוך 2", "end")


def test_the_numbers_are_those_of_the_calibration() -> None:
    table = json.loads((resources.files("fr_core.packs") / "calibrations" / "buffalo_s.json").read_text())["rates"]
    false, missed = table["false_matches"], table["false_non_matches"]
    at = table["thresholds"]
    fmr = false[bisect_right(at, 0.3) - 1] / table["nonmated"]
    fnmr = missed[bisect_left(at, 0.3)] / table["mated"]
    wrong = 1 - (1 - fmr) ** 10_000
    right, others = 100 * (1 - fnmr), 900 * wrong
    told = {one.part.section: " ".join(one.part.text.split()) for one in lesson("thresholds").sections}
    assert f"{false[bisect_right(at, 0.3) - 1]} false matches | about 1 in {round(1 / fmr, -3):,.0f}" in told["errors"]
    assert f"{missed[bisect_left(at, 0.3)]} misses | {100 * fnmr:.1f} percent" in told["errors"]
    assert f"| 10,000 | {100 * wrong:.1f} percent |" in told["gallery"]
    assert f"So in about {right:.0f} searches the right person is a lead." in told["worth"]
    assert f"That makes about {others:.0f} searches with a wrong lead" in told["worth"]
    assert f"That is {100 * right / (right + others):.0f} percent." in told["worth"]
    for one_in, row in ((1_000, "1 in 1,000"), (10_000, "1 in 10,000"), (100_000, "1 in 100,000")):
        first = next(n for n, count in enumerate(false) if count / table["nonmated"] <= 1 / one_in)
        assert f"| {at[first]:.2f} | {row} | {missed[first]} |" in told["moving"]


WRONG = {
    "no head": (ENGLISH[4:], "begins with a head"),
    "no minutes": (ENGLISH.replace("minutes = 15", ""), "a mistake at minutes: Field required"),
    "30 minutes": (ENGLISH.replace("minutes = 15", "minutes = 30"), "a mistake at minutes"),
    "an unknown key": (ENGLISH.replace("minutes = 15", "minutes = 15\nlevel = 1"), "a mistake at level"),
    "no TOML": (ENGLISH.replace("minutes = 15", "minutes ="), "the head is no TOML"),
    "a source without a day": (ENGLISH.replace('read = "2026-11-30"', 'read = "today"', 1), "at sources.0.read"),
    "no example": (ENGLISH.replace('example = "worth"', 'example = "none"'), "`example` is the id of a part"),
    "an example without numbers": (ENGLISH.replace('"worth"', '"use"', 1), "at least 3 numbers"),
    "a figure too many": (
        ENGLISH.replace("[figures.scores]", '[figures.more]\nalt = "a"\ncaption = "b"\n\n[figures.scores]'),
        "the figure more is in the head and among `FIGURES`",
    ),
    "a missing word": (ENGLISH.replace('\nlead = "lead"\n', "\n", 1), "the figure scores has these words"),
    "an unknown number": (ENGLISH.replace("{{fnmr}}", "{{fmnr}}", 1), "there is no number fmnr"),
    "an unused number": (ENGLISH.replace("{{worth_rare}}", "3"), "the number worth_rare is nowhere"),
    "an unused source": (ENGLISH.replace(" [@lfw]", ""), "the source lfw is nowhere in the text"),
    "an unknown source": (ENGLISH.replace("[@lfw]", "[@lwf]"), "the head has no source lwf"),
    "a figure in a sentence": (ENGLISH.replace("\n![](figure:scores)", "\nSee ![](figure:scores)"), "stands alone"),
    "a figure twice": (ENGLISH.replace("![](figure:searches)", "![](figure:scores)"), "comes twice"),
    "a part without an id": (ENGLISH.replace(" {#errors}", ""), "ends with its id"),
    "two parts of one id": (ENGLISH.replace("{#errors}", "{#score}"), "two parts have one id"),
    "a part without a question": (ENGLISH.replace("\n---\n", "\n", 1), "one line of ---"),
    "two right options": (ENGLISH.replace("- [ ]", "- [x]", 1), "which there is once"),
    "no right option": (ENGLISH.replace("- [x]", "- [ ]", 1), "which there is once"),
    "no reason": (
        ENGLISH.replace("  That is what a lower threshold does.\n\n", ""),
        "each with one paragraph of reason",
    ),
    "HTML": (ENGLISH.replace("To get an answer", "<b>To</b> get an answer"), "a text has no HTML"),
    "a link": (ENGLISH.replace("To get an answer", "[To](https://a.b) get an answer"), "a text has no link"),
    "a heading": (ENGLISH.replace("To get an answer", "# To get an answer"), "a text has no heading but ###"),
    "a bold option": (ENGLISH.replace("- [ ] The chance", "- [ ] **The** chance"), "are plain words"),
    "words before the parts": (ENGLISH.replace("## A score is", "Hello.\n\n## A score is"), "begins with the title"),
    "few parts": (ENGLISH[: ENGLISH.index("## What a lead")], "5 to 12 parts"),
}


def test_the_chain_of_the_lesson_on_evidence_is_one_of_the_audit() -> None:
    def checked(hashes: list[str]) -> Verified | Broken:
        end = make_checkpoint(CHAIN_ID, 3, bytes.fromhex(hashes[2]), 1_796_000_900_000, bytes(32))
        records = zip(hashes, CASE, strict=True)
        lines = [
            canonical({"v": 1, "chain_id": CHAIN_ID, "after": 0, "hash": first_hash(CHAIN_ID).hex()}),
            *(b'{"hash":"%s","record":%s}' % (one.encode(), canonical(record)) for one, record in records),
            b'{"checkpoint":%s}' % end.to_json(),
        ]
        return verify_export(lines, Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())

    assert checked(chain_of(CASE)) == Verified(CHAIN_ID, 3, 3, 1)
    assert checked(chain_of(CHANGED)) == Broken(2, Why.EDITED)


@pytest.mark.parametrize("name", WRONG)
def test_an_incomplete_lesson_is_refused_with_its_place(name: str) -> None:
    text, told = WRONG[name]
    assert text != ENGLISH
    with pytest.raises(LessonInvalidError) as refusal:
        read(text)
    assert told in str(refusal.value)
    assert str(refusal.value).startswith("thresholds/en.md")


def test_a_refusal_names_the_line() -> None:
    broken = ENGLISH.replace("[@lfw]", "<i>")
    number = next(n for n, line in enumerate(broken.split("\n"), start=1) if "<i>" in line)
    with pytest.raises(LessonInvalidError) as refusal:
        read(broken)
    line = int(str(refusal.value).partition("line ")[2].partition(":")[0])
    assert line <= number <= line + 4  # that of the block


def test_a_number_that_makes_the_text_untrue_is_refused() -> None:
    numbers = {**NUMBERS, "worth": replace(NUMBERS["worth"], value=lambda: 60.0)}
    with pytest.raises(LessonInvalidError, match="worth is 60: the text is true from 23 to 27"):
        read(ENGLISH, numbers)


def test_what_writers_forget_is_found() -> None:
    long = ENGLISH.replace("To get an answer from a score,", "To get " + "an answer and " * 12 + "so on,")
    assert "a sentence of" in check_lessons.faults(read(long))[0]
    bare = ENGLISH.replace("All other numbers are the product's own [@product].", "")
    assert any("a number, and no source" in one for one in check_lessons.faults(read(bare)))
    quick = ENGLISH.replace("minutes = 15", "minutes = 10")
    assert check_lessons.faults(read(quick)) == ["thresholds/en: the head says 10 minutes, and it takes about 16"]


@pytest.fixture
def translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which a translator works."""
    monkeypatch.setenv("FR_LESSONS", str(tmp_path))
    (tmp_path / "thresholds").mkdir()
    french = ENGLISH.replace("A score is not an answer", "Un score n'est pas une réponse")
    french = french.replace("minutes = 15", 'minutes = 15\ndecimal = ","\ngroup = "\u202f"')
    (tmp_path / "thresholds" / "fr.md").write_text(french, encoding="utf-8")
    forget()
    yield tmp_path / "thresholds"
    forget()


def forget() -> None:
    for cached in (languages_of, lesson):
        cached.cache_clear()


def test_a_text_comes_in_the_language_of_the_caller_else_in_english(translated: Path) -> None:
    section = lesson("thresholds").sections[0]
    part, reasons = replace(section.part, order=(3, 1, 0, 2)), section.key.reasons
    french, told = in_language(part, reasons, "fr-CA")
    assert (french.language, french.title, french.order) == ("fr", "Un score n'est pas une réponse", part.order)
    assert len(told) == len(reasons)
    assert "355\u202f746" in lesson("thresholds", "fr").sections[1].part.text
    assert ">0,2</text>" in lesson("thresholds", "fr").sections[0].part.figures[0].svg
    assert "0,30" in french.text
    for language in ("", "en", "de", "../fr"):
        assert in_language(part, reasons, language) == (part, reasons)
    older = replace(part, options=(*part.options[:-1], "something else"))  # of a course that was made before
    assert in_language(older, reasons, "fr") == (older, reasons)


def test_a_translation_has_the_parts_of_the_english_text(translated: Path) -> None:
    moved = ENGLISH.replace("- [x] Those of unit A.", "- [ ] Those of unit A.").replace(
        "- [ ] Those of unit B", "- [x] Those of unit B"
    )
    (translated / "fr.md").write_text(moved, encoding="utf-8")
    with pytest.raises(LessonInvalidError, match="these differ: worth, worth"):
        lesson("thresholds", "fr")
    (translated / "fr.md").rename(translated / "en.md")
    forget()
    assert lesson("thresholds", "fr").sections[0].part.title == "Un score n’est pas une réponse"
    assert lesson("thresholds").sections[4].key.right == 1
    with pytest.raises(LookupError):
        lesson("thresholds", "de")
    with pytest.raises(LookupError):
        languages_of("none")


def test_a_course_keeps_a_lesson_in_its_order_and_no_seed_changes_it() -> None:
    made = [compose(plan_of(BLOCK), made_pool(4, 2), seed, ExactMatcher()).forms["one"] for seed in (1, 2)]
    assert made[0].items == made[1].items
    parts = [item.asked for item in made[0].items]
    assert [one.section for one in parts if isinstance(one, LessonPart)] == [
        *("score", "errors", "moving", "gallery", "worth", "use")
    ]
    assert {(item.photos, item.people, item.b) for item in made[0].items} == {((), (), None)}
    assert len({item.item_id for item in made[0].items}) == 6


def test_a_plan_names_a_lesson_that_there_is() -> None:
    (block,) = plan_of(BLOCK).blocks
    assert (block.title, block.trials, block.shown, block.feedback) == (lesson("thresholds").title, 6, 6, True)
    for text, told in (
        (BLOCK.replace("thresholds", "treshold"), "`lesson` must be one of .*thresholds"),
        ('id = "one"; exercise = "lesson"', "lesson"),
        (f"{BLOCK}; trials = 3", "trials"),
        (f'{BLOCK}; equated = "test"; occasion = "pre"', "feedback"),
        (f'{BLOCK}; equated = "test"; occasion = "pre"; feedback = false', "test"),
    ):
        with pytest.raises(PlanInvalid, match=told):
            plan_of(text)


@pytest.mark.parametrize("step", EXERCISE.steps)
def test_nothing_shown_depends_on_what_is_right(step: Step) -> None:
    section = lesson("thresholds").sections[0]
    part = replace(section.part, order=(2, 0, 3, 1))
    other = replace(section.key, right=0, reasons=section.key.reasons[::-1])
    shown = EXERCISE.prompt(step, IDS, section.key, part)
    assert shown == EXERCISE.prompt(step, IDS, other, part)
    assert repr(shown) == repr(EXERCISE.prompt(step, IDS, other, part))
    assert not any(reason in repr(shown) for reason in section.key.reasons)
    assert shown.lesson is not None
    assert shown.lesson.option_ids == (IDS if step == Step.ANSWER else ())


def look(made: Course, session: Session, now_ms: int) -> tuple[Session, ShowTrial]:
    session, found = show(made, session, "one", now_ms)
    assert isinstance(found, ShowTrial)
    return session, found


def test_a_trainee_reads_answers_comes_back_and_is_told_why() -> None:
    made = course(PLAN)
    session, shown = look(made, begun(made), T0)
    read_in_part: list[str] = []
    replies: list[LockedStep] = []
    now = T0
    for _ in range(6):
        for answers in range(2):
            again = look(made, session, now)[1]  # after a lost connection: the same step
            assert (again.trial, again.prompt) == (shown.trial, shown.prompt)
            assert shown.prompt.lesson is not None
            now += 40_000 if answers else 20_000
            given = OptionChosen(shown.prompt.lesson.option_ids[0]) if answers else Read()
            trial_id, step = shown.trial.trial_id, shown.prompt.step
            session, reply = lock(made, session, trial_id, step, Answer(given), now)
            assert lock(made, session, trial_id, step, Answer(given), now)[1].reveal == reply.reveal
            if not answers:
                read_in_part.append(shown.prompt.lesson.part.section)
                shown = reply.trial or shown
                assert reply.reveal is None
        replies.append(reply)
        if session.finished_ms is None:
            session, shown = look(made, session, now)
    assert read_in_part == ["score", "errors", "moving", "gallery", "worth", "use"]
    assert len({trial.order for trial in session.trials}) > 1  # the options of each question in an order of its own
    for reply, row, trial in zip(replies, results(made, session), session.trials, strict=True):
        assert (row.read_ms, row.took_ms, row.lesson) == (20_000, 60_000, f"thresholds:{read_in_part[row.ordinal]}")
        assert row.answer == f"option:{trial.order[0] + 1}"
        assert row.correct == (row.answer == row.truth)
        assert reply.reveal is not None
        sent = reveal_message(reply.reveal, "de")
        key = made.forms["one"].items[row.ordinal].key
        assert isinstance(key, LessonKey)
        assert [one.reason for one in sent.options] == [key.reasons[index] for index in trial.order]
        assert [one.right for one in sent.options].index(True) == trial.order.index(key.right)
        assert (sent.correct, sent.language) == (row.correct, "en")
        assert reply.reveal.text is not None
        assert f"option {trial.order.index(key.right) + 1} is the right one" in render(reply.reveal.text)
    other = begun(made, secret=bytes(range(1, 33)))
    assert look(made, other, T0)[1].trial.order != session.trials[0].order


def test_the_message_of_a_part_says_its_language_and_hides_the_question_until_it_is_read() -> None:
    made = course(PLAN)
    session, shown = look(made, begun(made), T0)
    for asked, language in (("de", "en"), ("fr", "fr")):
        sent = trial_message(shown, (), asked)
        assert (sent.lesson.language, sent.lesson.section, sent.lesson.question) == (language, "score", "")
    assert not sent.lesson.options
    _, reply = lock(made, session, shown.trial.trial_id, Step.READ, Answer(Read()), T0 + 1)
    assert reply.trial is not None
    sent = trial_message(reply.trial, ())
    assert [one.option_id for one in sent.lesson.options] == list(defined(reply.trial.prompt.lesson).option_ids)
    assert not any(one.reason or one.right for one in sent.lesson.options)
    assert sent.lesson.figures[0].svg.startswith("<svg")


def test_figures_of_lessons() -> None:
    found = lesson_figures(
        [answered(2, 2), answered(2, 1, 1, section="use", read_ms=120_000), answered(1, 1, 2, section="score")]
    )
    assert (found.trials, defined(found.right).count) == (3, 2)
    (one,) = found.by_lesson
    assert (one.lesson, defined(one.right).count, one.minutes) == ("thresholds", 2, 4.0)


def page() -> pb.LessonPage:
    part = lesson("thresholds").sections[0].part
    figures = [pb.LessonFigure(name=f.name, alt=f.alt, caption=f.caption, svg=f.svg) for f in part.figures]
    return pb.LessonPage(lesson_title="L", title=part.title, text=part.text, figures=figures, sources=part.sources)


def test_a_page_of_the_console_has_no_markup_of_a_server() -> None:
    shown = str(lesson_html(page()))
    assert shown.count("<figure") == shown.count('src="data:image/svg+xml;base64,') == 1
    assert "<svg" not in shown
    text = (
        "<script>a</script> [b](javascript:c) ![](figure:none) <https://d.e>\n\n|f|\n|-:|\n|g|\n\n![h](https://i.j/k)"
    )
    hostile = pb.LessonPage(title='"<t>', text=f"{text}\n\n![](figure:x)")
    hostile.figures.add(name="x", alt='"><script>', caption="<b>", svg="<svg onload='l'/>")
    shown = str(lesson_html(hostile))
    for never in ("<script", "<a ", "style=", "onload", "<b>", 'https://i.j/k"'):
        assert never not in shown, never
    assert shown.count("<table>") == shown.count('aria-label="&#34;&lt;t&gt;"') == 1


def test_a_terminal_shows_the_words_of_figures_and_keeps_them_as_files() -> None:
    told = "\n".join(page_lines(page()))
    assert "Two hills on one line" in " ".join(told.split())
    assert "{{" not in told
    assert "[1] FR Core, its threshold" in told
    assert [name for name, _ in figure_files(page())] == ["trial-figure-scores.svg"]
    assert list(figure_files(pb.LessonPage(figures=[pb.LessonFigure(name="../x")]))) == []
