"""Brings catalogues up to date with the English one, and makes that of a new language: docs/translations.md.

    python tools/catalogues.py update              # every language
    python tools/catalogues.py update it           # one language; its folder is made if there is none

A message that a catalogue lacks comes with an empty text, in English order; one whose English text has changed is
marked `fuzzy`, and English is shown until a translator takes the mark away. What English has no more goes.
"""

import argparse
import sys
from pathlib import Path

import polib
from babel import Locale
from babel.messages.plurals import get_plural
from check_messages import CATALOGUES, ENGLISH, REVIEWED, english_of, is_of

_WIDTH = 116  # characters of a line
_WAS = "English was: "


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Brings catalogues up to date with the English one.")
    parser.add_argument("do", choices=["update"])
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help="such as it, or pt-BR; all if none is named")
    for one in parser.parse_args().languages or _all(CATALOGUES):
        print(update(one))
    return 0


def _all(folder: Path) -> list[str]:
    return sorted({path.parts[-3] for path in folder.glob("*/LC_MESSAGES/fr.po")} - {ENGLISH})


def update(language: str, folder: Path = CATALOGUES) -> str:
    """Write the catalogue of a language anew; return what a translator has to do.

    Raises `babel.UnknownLocaleError`: there is no such language.
    """
    path = folder / language / "LC_MESSAGES" / "fr.po"
    english = polib.pofile(str(folder / ENGLISH / "LC_MESSAGES" / "fr.po"))
    made = polib.POFile(wrapwidth=_WIDTH)
    if path.exists():
        before = polib.pofile(str(path))
        made.header, made.metadata = before.header, before.metadata
    else:
        before = polib.POFile()
        made.metadata = _header(language)
        _begin(language, folder)
    made.metadata.setdefault(REVIEWED, "")
    forms = made.metadata["Plural-Forms"].partition("nplurals=")[2].partition(";")[0]
    known = {(one.msgctxt, one.msgid): one for one in before if not one.obsolete}
    for model in english:
        made.append(_entry(model, known.get((model.msgctxt, model.msgid)), int(forms)))
    made.save(str(path))
    empty = sum(not one.fuzzy and not one.translated() for one in made)
    return f"{language}: {empty} to translate, {sum(one.fuzzy for one in made)} whose English has changed (fuzzy)"


def _header(language: str) -> dict[str, str]:
    locale = Locale.parse(language, sep="-")
    return {
        "Language": language,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": get_plural(locale).plural_forms,
    }


def _begin(language: str, folder: Path) -> None:
    """Make the folder of a language, with a glossary that has the terms of the others."""
    (folder / language / "LC_MESSAGES").mkdir(parents=True)
    others = sorted(folder.glob("*/glossary.md"))
    rows = others[0].read_text("utf-8").splitlines() if others else []
    terms = [row.split("|")[1].strip() for row in rows if row.startswith("|")][2:]
    table = "".join(f"| {term} | | |\n" for term in terms)
    text = f"# Glossary: {language}\n\n| English | {language} | why this word |\n|---|---|---|\n{table}"
    (folder / language / "glossary.md").write_text(text, "utf-8")


def _entry(model: polib.POEntry, known: polib.POEntry | None, forms: int) -> polib.POEntry:
    """Return the entry of a translation, with what is `known` of it."""
    made = polib.POEntry(msgid=model.msgid, msgctxt=model.msgctxt, comment=english_of(model))
    if known is not None:
        made.msgstr, made.flags, made.tcomment = known.msgstr, known.flags, known.tcomment
        if not is_of(known, model) and known.translated():
            made.flags = [*known.flags, "fuzzy"]
            made.tcomment = _WAS + " ".join(known.comment.split())
        elif not known.fuzzy and made.tcomment.startswith(_WAS):
            made.tcomment = ""
    if model.msgid_plural:
        made.msgid_plural, made.msgstr = model.msgid_plural, ""
        texts = known.msgstr_plural if known is not None else {}
        made.msgstr_plural = {number: texts.get(number, "") for number in range(forms)}
    return made


if __name__ == "__main__":
    sys.exit(main())
