"""Makes packages of lessons for learning platforms: SCORM 2004 (4th edition) and cmi5.

A package is a zip with a manifest, a page for each lesson, and `lesson.js`, which plays the pages and reports to the
platform. It contains the right answers, because such platforms grade in the browser.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from html import escape
from importlib import resources
from io import BytesIO
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from markdown_it.token import Token

from fr_locales.messages import Message, message
from fr_locales.rendering import direction_of, languages, render
from fr_training.lessons import ENGLISH, Lesson, languages_of, lesson
from fr_training.lessons.text import READER, figure_html
from fr_training.lessons.values import Section
from fr_training.prompts import LessonPart

__all__ = ["LessonPackage", "PackageFormat", "package"]

_Words = Callable[[Message], str]

SCRIPT = "lesson.js"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time of a zip; a fixed one keeps packages identical
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-inline-size: 46rem; margin: 1rem auto; padding: 0 1rem; color: #1b1b1f;
  background: #fff; }
header { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; justify-content: space-between; }
h1 { font-size: 1.3rem; margin: 0; } h2:focus { outline: none; }
figure { margin-inline: 0; } img { max-inline-size: 100%; block-size: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
td, th { border: 1px solid #767676; padding: .25rem .5rem; text-align: start; }
fieldset { border: 1px solid #767676; padding: 1rem; } legend { font-weight: 600; }
label { display: block; padding: .5rem 0; } .reason { margin: 0 0 .5rem; padding-inline-start: 1.5rem; }
button { font: inherit; padding: .5rem 1rem; margin-block: .5rem; }
.sources { font-size: .875rem; overflow-wrap: anywhere; }
#note { border: 2px solid; padding: 1rem; } [hidden] { display: none !important; }
"""


class PackageFormat(StrEnum):
    """The standard of a package; the values are those of `fr train package --format`."""

    SCORM_2004 = "scorm-2004"
    CMI5 = "cmi5"


class LessonPackage(NamedTuple):
    """A package: the name of its file, the language of its texts, and the bytes of the zip."""

    name: str
    language: str
    content: bytes


def package(
    names: Sequence[str], form: PackageFormat, language: str = ENGLISH, mastery: float | None = None
) -> LessonPackage:
    """Package lessons in the given order, in a language such as "fr" or "fr-CA".

    If one of them is not translated into it, all are in English. `mastery`, in [0.01, 1], is the share of right
    answers needed to pass; None for no pass mark. Raises `LookupError` for an unknown lesson.
    """
    wanted = language.partition("-")[0].lower() or ENGLISH
    least = None if mastery is None else round(mastery, 4)
    spoken = wanted if all(wanted in languages_of(name) for name in names) else ENGLISH
    lessons = [lesson(name, spoken) for name in names]
    manifest = ("imsmanifest.xml", _scorm) if form is PackageFormat.SCORM_2004 else ("cmi5.xml", _cmi5)
    files = {manifest[0]: manifest[1](lessons, least)}
    files |= {f"{one.name}.html": _page(one, form, least) for one in lessons}
    files[SCRIPT] = (resources.files(__name__) / SCRIPT).read_text("utf-8")
    name = lessons[0].name if len(lessons) == 1 else f"{len(lessons)}-lessons"
    return LessonPackage(f"{name}-{spoken}-{form}.zip", spoken, _zipped(files))


def _zipped(files: Mapping[str, str]) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w") as archive:
        for name, text in files.items():
            entry = ZipInfo(name, _LONG_AGO)
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, text.encode())
    return made.getvalue()


# --- the manifests


def _id(lessons: Sequence[Lesson]) -> str:
    """Return an id that depends only on the lessons and their language."""
    return sha256("\n".join(f"{one.name} {one.language}" for one in lessons).encode()).hexdigest()[:16]


def _title(lessons: Sequence[Lesson]) -> str:
    return escape(", ".join(one.title for one in lessons))


def _scorm(lessons: Sequence[Lesson], mastery: float | None) -> str:
    """Return the manifest of SCORM 2004: one SCO for each lesson, in any order, which reports its own result."""
    objective = f"""
<imsss:objectives><imsss:primaryObjective objectiveID="passed" satisfiedByMeasure="true">
<imsss:minNormalizedMeasure>{mastery}</imsss:minNormalizedMeasure>
</imsss:primaryObjective></imsss:objectives>"""
    sequencing = f"""<imsss:sequencing>{"" if mastery is None else objective}
<imsss:deliveryControls completionSetByContent="true" objectiveSetByContent="true"/></imsss:sequencing>"""
    items = "\n".join(
        f'<item identifier="item-{one.name}" identifierref="sco-{one.name}"><title>{escape(one.title)}</title>\n'
        f"{sequencing}</item>"
        for one in lessons
    )
    scos = "\n".join(
        f'<resource identifier="sco-{one.name}" type="webcontent" adlcp:scormType="sco" href="{one.name}.html">\n'
        f'<file href="{one.name}.html"/><file href="{SCRIPT}"/></resource>'
        for one in lessons
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<manifest identifier="fr-core-{_id(lessons)}" version="1" xmlns="http://www.imsglobal.org/xsd/imscp_v1p1"
 xmlns:adlcp="http://www.adlnet.org/xsd/adlcp_v1p3" xmlns:imsss="http://www.imsglobal.org/xsd/imsss">
<metadata><schema>ADL SCORM</schema><schemaversion>2004 4th Edition</schemaversion></metadata>
<organizations default="lessons">
<organization identifier="lessons"><title>{_title(lessons)}</title>
{items}
</organization>
</organizations>
<resources>
{scos}
</resources>
</manifest>
"""


def _cmi5(lessons: Sequence[Lesson], mastery: float | None) -> str:
    """Return the course structure of cmi5: one assignable unit for each lesson."""
    score = "" if mastery is None else f' masteryScore="{mastery}"'
    units = "\n".join(
        f'<au id="urn:fr-core:lesson:{one.name}:{one.language}" moveOn="CompletedOrPassed"{score}>\n'
        f"<title>{_worded(one.language, escape(one.title))}</title>\n"
        f"<description>{_worded(one.language, escape(' '.join(one.goals)))}</description>\n"
        f"<url>{one.name}.html</url></au>"
        for one in lessons
    )
    title = _worded(lessons[0].language, _title(lessons))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<courseStructure xmlns="https://w3id.org/xapi/profiles/cmi5/v1/CourseStructure.xsd">
<course id="urn:fr-core:lessons:{_id(lessons)}"><title>{title}</title><description>{title}</description></course>
{units}
</courseStructure>
"""


def _worded(language: str, text: str) -> str:
    return f'<langstring lang="{language}">{text}</langstring>'


# --- the page of a lesson


def _page(one: Lesson, form: PackageFormat, mastery: float | None) -> str:
    spoken = one.language if one.language in languages() else ENGLISH

    def words(told: Message) -> str:
        return render(told, spoken)

    data = json.dumps(_played(one, form, mastery, words), ensure_ascii=False).replace("<", "\\u003c")
    calls = " connect-src http: https:;" if form is PackageFormat.CMI5 else ""
    policy = f"default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:;{calls}"
    count = len(one.sections)
    body = [
        _part(section, words(message("console.lesson.part", number=number, of=count)), words, number > 1)
        for number, section in enumerate(one.sections, start=1)
    ]
    back = escape(words(message("package.back")))
    return f"""<!doctype html>
<html lang="{one.language}" dir="{direction_of(one.language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(one.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{escape(one.title)}</h1>
<button type="button" id="leave" hidden>{escape(words(message("package.leave")))}</button></header>
<p id="note" role="alert" hidden></p>
<main>
{"".join(body)}<section hidden>
<h2 tabindex="-1">{escape(words(message("package.end")))}</h2>
<p class="result"></p>
<p class="verdict"></p>
<button type="button" class="back">{back}</button>
</section>
</main>
<script type="application/json" id="lesson">{data}</script>
<script src="{SCRIPT}"></script>
</body>
</html>
"""


def _played(one: Lesson, form: PackageFormat, mastery: float | None, words: _Words) -> Mapping[str, Any]:
    """Return what `lesson.js` needs of a lesson."""
    count = len(one.sections)
    return {
        "id": one.name,
        "language": one.language,
        "format": form.value,
        "mastery": mastery,
        "parts": [
            {
                "id": section.part.section,
                "title": section.part.title,
                "question": section.part.question,
                "options": section.part.options,
                "right": section.key.right,
            }
            for section in one.sections
        ],
        "results": [words(message("package.result", right=right, of=count)) for right in range(count + 1)],
        "words": {
            "right": words(message("package.right")),
            "wrong": words(message("package.wrong")),
            "passed": words(message("package.passed")),
            "failed": words(message("package.failed")),
            "left": words(message("package.left")),
            "left_unsaved": words(message("package.left_unsaved")),
            "leave_unsaved": words(message("package.leave_unsaved")),
            "lost": words(message("package.lost")),
            "shut": words(message("package.shut")),
        },
    }


def _part(section: Section, place: str, words: _Words, has_back: bool) -> str:
    part, key = section.part, section.key
    right = f"<strong>{escape(words(message('console.kit.right')))}</strong> "
    options = "\n".join(
        f'<label><input type="radio" name="answer" value="{n}" required> {escape(option)}</label>\n'
        f'<p class="reason" hidden>{right * (n == key.right)}{escape(key.reasons[n])}</p>'
        for n, option in enumerate(part.options)
    )
    sources = "".join(f"<li><bdi>{escape(one)}</bdi></li>" for one in part.sources)
    back = f'<button type="button" class="back">{escape(words(message("package.back")))}</button>\n' * has_back
    return f"""<section hidden>
<p>{escape(place)}</p>
<h2 tabindex="-1">{escape(part.title)}</h2>
{_text(part)}
<h3>{escape(words(message("console.lesson.sources")))}</h3>
<ul class="sources">{sources}</ul>
<form>
<fieldset><legend>{escape(part.question)}</legend>
{options}
</fieldset>
<p role="status"></p>
<button>{escape(words(message("package.answer")))}</button>
</form>
{back}<button type="button" class="next" hidden>{escape(words(message("package.next")))}</button>
</section>
"""


def _text(part: LessonPart) -> str:
    figures = {one.name: one for one in part.figures}
    tokens = READER.parse(part.text)
    for before, inline, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        before.attrs.pop("style", None)
        first = inline.children[0] if inline.children else None
        if first is not None and first.type == "image":
            before.hidden = after.hidden = True
            figure = figures[str(first.attrs["src"]).removeprefix("figure:")]
            inline.children = [Token("html_inline", "", 0, content=figure_html(figure))]
    rendered: str = READER.renderer.render(tokens, READER.options, {})
    region = f'<div class="wide" role="region" tabindex="0" aria-label="{escape(part.title)}"><table>'
    return rendered.replace("<table>", region).replace("</table>", "</table></div>")
