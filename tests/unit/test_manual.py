"""The manual: each language is complete, its page needs nothing beside it, and what it names is there."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from importlib import resources
from pathlib import Path

import check_lessons
import polib
import pytest

from fr_locales.rendering import ENGLISH
from fr_training.lessons.values import LessonInvalidError
from fr_training.manual import FIGURES, NUMBERS, manual, manual_languages
from fr_training.manual.page import manual_page
from fr_training.manual.reading import read_chapter, read_sources
from fr_web.console.lessons import manual_html
from support.commands import require_understood

SOURCES = read_sources(
    'date = "2026-11-30"\n[[sources]]\nkey = "one"\ntext = "A book"\ndate = "2020"\nread = "2026-11-30"'
)
GOOD = """+++
title = "Roles"
+++

## Who {#who}

Two people, {{right_low}} percent [@one]. See [](#who).

- [ ] Done by ____
"""


@pytest.mark.parametrize("language", manual_languages())
def test_the_manual_is_complete(language: str) -> None:
    one, page = manual(language), manual_page(language)
    assert check_lessons.manual_faults(one) == []
    assert [chapter.number for chapter in one.chapters] == [*map(str, range(1, 15)), *"ABCDEF", ""]
    ids = re.findall(r' id="([^"]+)"', page.html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page.html)) <= set(ids)
    assert not re.search(r'(src|href)="(?!#|data:image/svg)', page.html)
    assert not re.search(r"<script|url\(|@import|\[\]\(|\{\{|\[ \]|____|></a>", page.html)
    boxes = sum(chapter.text.count("- [ ] ") for chapter in one.chapters)
    assert page.html.count('<span class="box">') == page.html.count('<li class="tick">') == boxes
    for chapter in one.chapters:
        for place, title in enumerate(chapter.parts.values(), start=1):
            assert f"{chapter.number}.{place} {title}</h3>" in unescape(page.html)


def test_the_manual_is_set_as_its_language_writes() -> None:
    french, arabic = manual_page("fr").html, manual_page("ar").html
    assert french.count("Chapitre 1\N{NO-BREAK SPACE}: ") == 2  # in the list of contents, and above the chapter
    edition = unescape(arabic.partition('<p class="edition">')[2].partition("</p>")[0])
    assert f'@bottom-left {{ content: "{edition}"; direction: rtl; ' in arabic
    assert "،" in edition
    assert re.search("\u2068[0-9-]{10}\u2069", edition)
    assert "direction: ltr; " in french


def test_numbers_with_a_sign_stand_as_they_are_in_arabic() -> None:
    path = resources.files("fr_locales") / "ar" / "LC_MESSAGES" / "fr.po"
    texts = [text for one in polib.pofile(str(path)) for text in (one.msgstr, *one.msgstr_plural.values())]
    signed = [before for text in texts for before in re.findall(r"(.?.?)(?<![\w\d.-])[+-]\d", text)]
    assert len(signed) > 10
    assert set(signed) == {"\u2068\u200e"}


def test_a_page_of_the_console_has_the_whole_text_and_no_markup_of_a_server() -> None:
    html = manual_page().html
    inside = html.partition('<main class="manual">')[2].partition("</main>")[0]
    assert str(manual_html(html)).count("<") == inside.count("<")
    assert unescape(re.sub(r"<[^>]+>", "", str(manual_html(html)))) == unescape(re.sub(r"<[^>]+>", "", inside))
    hostile = (
        '<main class="manual"><p onclick="a" style="b">1 &lt;b&gt;</p><script>x()</script><a href="https://a.b">c</a>'
        '<img src="https://d.e/f" alt="&quot;g"><iframe src="h"></iframe></main><script>i</script>'
    )
    assert manual_html(hostile) == '<p>1 &lt;b&gt;</p>x()<a>c</a><img alt="&#34;g">'


def test_the_commands_and_the_buttons_that_the_manual_names_are_there() -> None:
    texts = {one.chapter_id: one.text for one in manual().chapters}
    commands = [one for text in texts.values() for one in re.findall(r"(?m)`(fr [^`]+)`|^(fr .+)$", text)]
    assert len(commands) >= 2
    for command in commands:
        require_understood("".join(command))
    sentences = {
        one.msgstr for one in polib.pofile(str(resources.files("fr_locales") / "en" / "LC_MESSAGES" / "fr.po"))
    }
    (card,) = (text for name, text in texts.items() if name == "card")
    named = re.findall(r"\| \*\*(.+?)\*\* (?=\|)", card)
    told = re.findall(r"(?:choose|page|opens|set) \*\*(.+?)\*\*", "\n".join(texts.values()))
    assert len(named) >= 12
    assert len(told) >= 9
    assert {*named, *told} - sentences == set()


def with_figure(text: str, name: str) -> str:
    words = 'words = {probe = "P", candidate = "C"}'
    return text.replace('"Roles"', f'"Roles"\n[figures.{name}]\nalt = "a"\ncaption = "b"\n{words}')


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "no title": (lambda text: text.replace("title", "titel"), "a mistake at title"),
    "an outside link": (lambda text: text.replace("(#who)", "(https://a.b)"), "a link leads to a chapter or a part"),
    "a link with words": (lambda text: text.replace("[](#who)", "[it](#who)"), "has no words"),
    "an unknown source": (lambda text: text.replace("@one", "@two"), "no source two"),
    "an unknown number": (lambda text: text.replace("right_low", "left"), "no number left"),
    "a part without an id": (lambda text: text.replace(" {#who}", ""), "ends with its id"),
    "HTML": (lambda text: text.replace("Two", "<b>Two</b>"), "no HTML"),
    "an absent figure": (lambda text: f"{text}\n![](figure:heads)\n", "a figure stands alone"),
    "a figure that there is not": (lambda text: with_figure(text, "none"), "the figure none is in the head"),
    "a figure that is not shown": (lambda text: with_figure(text, "heads"), "each figure of the head is in the text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_chapter_that_breaks_a_rule_is_refused(name: str) -> None:
    break_it, told = WRONG[name]
    one = read_chapter("02-roles.md", ENGLISH, GOOD, SOURCES, FIGURES, NUMBERS)
    assert (one.chapter_id, one.number, one.parts, one.boxes) == ("roles", "2", {"who": "Who"}, (0, 2))
    assert break_it(GOOD) != GOOD
    with pytest.raises(LessonInvalidError, match=re.escape(told)) as refusal:
        read_chapter("02-roles.md", ENGLISH, break_it(GOOD), SOURCES, FIGURES, NUMBERS)
    assert str(refusal.value).startswith("manual/en/02-roles.md")


def test_what_writers_of_the_manual_forget_is_found() -> None:
    (roles,) = (one for one in manual().chapters if one.chapter_id == "roles")
    text = roles.text.replace("- **When:**", "- **Then:**", 1)
    text = f"{text}\n\nNothing.\n\nAll 7 of them.\n\n{'a word and ' * 11}an end."
    told = "\n".join(check_lessons.manual_faults(replace(manual(), chapters=(replace(roles, text=text),))))
    for fault in (
        "a number, and no source near it: 'All 7",
        "a sentence of 35 words",
        "a procedure has the lines Who",
        "the source kept is nowhere in the text",
    ):
        assert fault in told


SHIPPED = resources.files("fr_training") / "manual" / ENGLISH


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a unit, with a chapter of its own, and a chapter in another language."""
    for language, file, before, after in (
        ("en", "02-roles.md", "Not every unit has nine people.", "We are four people.\n\n|a|\n|-:|\n|1|\n"),
        ("he", "03-request.md", 'title = "The request"', 'title = "\u05d1\u05e7\u05e9\u05d4"'),
    ):
        text = (SHIPPED / file).read_text("utf-8")
        assert before in text
        (tmp_path / language).mkdir()
        (tmp_path / language / file).write_text(text.replace(before, after), encoding="utf-8")
    monkeypatch.setenv("FR_MANUAL", str(tmp_path))
    manual.cache_clear()
    yield tmp_path
    manual.cache_clear()


def test_a_unit_and_a_translator_have_chapters_of_their_own(folder: Path) -> None:
    page = manual_page("he-IL")
    assert (page.language, page.reviewed) == ("he", "")
    assert '<section class="chapter" id="request" lang="he" dir="rtl">' in page.html
    assert '<section class="chapter" id="roles">' in page.html
    assert "We are four people." in page.html
    assert "style=" not in page.html
    for note in (
        "This text was changed by the unit.",
        "No native speaker",
        "not translated yet: What this manual is for",
    ):
        assert note in page.html
    (folder / "en" / "02-roles.md").unlink()
    manual.cache_clear()
    assert not manual("he").is_changed
    assert manual_page("../he").language == ENGLISH


@pytest.mark.parametrize(
    ("file", "of", "left_out"),
    [
        ("03-request.md", "03-request.md", "[](#system)"),
        ("a-request-form.md", "a-request-form.md", "- [ ] It is in proportion.\n"),
        ("99-more.md", "03-request.md", "[](#system)"),
    ],
)
def test_a_translation_is_refused_that_is_not_the_english_chapter(
    folder: Path, file: str, of: str, left_out: str
) -> None:
    text = (SHIPPED / of).read_text("utf-8")
    assert left_out in text
    (folder / "he" / file).write_text(text.replace(left_out, ""), encoding="utf-8")
    with pytest.raises(LessonInvalidError, match=f"^manual/he/{file}: it has the ids of parts"):
        manual("he")


@pytest.mark.parametrize("line", ["[](#nowhere)", "## Again {#who-answers}\n"])
def test_a_link_leads_somewhere_and_an_id_is_one(folder: Path, line: str) -> None:
    with (folder / "en" / "02-roles.md").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(LessonInvalidError, match=r"leads to nowhere|two parts have one id"):
        manual()
