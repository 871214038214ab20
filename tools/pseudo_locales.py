"""Writes two pseudo-languages from the English catalogue, to find sentences that no translator could reach.

    python tools/pseudo_locales.py FOLDER
    FR_CATALOGUES=FOLDER fr web ...

`en-XA` has accents and is a third longer: a page that cuts words off, or has an English text of its own, shows it.
`ar-XB` has the words of English, each written from right to left, and pages in it are laid out so. The names are those
of Android and Chromium (https://developer.android.com/guide/topics/resources/pseudolocales).
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from string import Formatter

import polib

ENGLISH = Path(__file__).parents[1] / "locales" / "fr_locales" / "en" / "LC_MESSAGES" / "fr.po"
_ACCENTS = str.maketrans("aceilnorsuyzACEILNOSUYZ", "àçéîļñöŕšûýžÀÇÉÎĻÑÖŠÛÝŽ")
_LONGER = 0.3
_WORD = 6  # characters of the words that make a text longer
_MARK, _OVERRIDE, _END = "\u200f", "\u202e", "\u202c"  # right-to-left mark and override, end of the override


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) != 2:
        print("Usage: pseudo_locales.py FOLDER")
        return 2
    write(Path(sys.argv[1]))
    return 0


def write(folder: Path) -> None:
    """Write both catalogues below a folder."""
    for language, change in (("en-XA", accented), ("ar-XB", reversed_words)):
        catalogue = polib.pofile(str(ENGLISH))
        catalogue.metadata["Language"] = language
        for entry in catalogue:
            entry.msgstr = _changed(entry.msgstr, change)
            entry.msgstr_plural = {number: _changed(text, change) for number, text in entry.msgstr_plural.items()}
        target = folder / language / "LC_MESSAGES"
        target.mkdir(parents=True, exist_ok=True)
        catalogue.save(str(target / "fr.po"))


@cache
def english_words() -> tuple[str, ...]:
    """Return what English messages say between their placeholders, as far as it has three words or more."""
    texts = [text for one in polib.pofile(str(ENGLISH)) for text in (one.msgstr, *one.msgstr_plural.values())]
    parts = {" ".join(part.split()) for text in texts for part, *_ in Formatter().parse(text)}
    return tuple(sorted(part for part in parts if part.count(" ") > 1))


def accented(text: str) -> str:
    """Return words with accents, and a third longer."""
    added = round(_LONGER * len(text.strip()))
    whole, rest = divmod(added, _WORD)
    return text.translate(_ACCENTS) + " ".join(["~" * _WORD] * whole + ["~" * rest])


def reversed_words(text: str) -> str:
    """Return each word so that it is shown from right to left."""
    return " ".join(f"{_MARK}{_OVERRIDE}{word}{_END}{_MARK}" if word else "" for word in text.split(" "))


def _changed(text: str, change: Callable[[str], str]) -> str:
    """Return a text with its words changed, and its placeholders as they were."""
    made = []
    for words, name, form, _ in Formatter().parse(text):
        escaped = words.replace("{", "{{").replace("}", "}}")
        made.append(change(escaped) if escaped.strip() else escaped)
        if name is not None:
            made.append("{" + name + (f":{form}" if form else "") + "}")
    return "".join(made)


if __name__ == "__main__":
    sys.exit(main())
