"""Checks that code and catalogues agree: ids have the placeholders of the code, none is unused, no error has a text.

Each other language has all messages of the English catalogue, translated from the English text of today.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter

import polib
from jinja2 import Environment, nodes

# With `fr_server.errors`, every module whose errors are raised in other modules.
import fr_bench.speed.child  # noqa: F401
import fr_datasets.errors  # noqa: F401
import fr_evaluation.recorded  # noqa: F401
import fr_video.errors  # noqa: F401
from fr_core.errors import FrError
from fr_locales.messages import Audience
from fr_server.errors import all_errors

ROOT = Path(__file__).parents[1]
SOURCES = (
    "fr_core",
    "server",
    "client",
    "datasets",
    "evaluation",
    "training",
    "trust",
    "video",
    "web",
    "benchmarks",
    "locales",
)
TEMPLATES = ROOT / "web" / "fr_web" / "console" / "templates"
CATALOGUES = ROOT / "locales" / "fr_locales"
ENGLISH = "en"
REVIEWED = "X-Reviewed-By"
_NAMED = 5  # ids of a line; the catalogue shows the others
BY_RENDERER = {"list.separator", "list.colon"}
EQUALLY_LONG = ("trial.advice_same", "trial.advice_different")
"""In bytes: the size of an encrypted answer must not tell which of them it holds."""


@dataclass(frozen=True, slots=True)
class Use:
    """A call of `message`: where, its literal id ("" for none), its placeholders, and whether it names an audience."""

    where: str
    message_id: str
    names: frozenset[str]
    audience: bool


Entries = dict[tuple[str | None, str], polib.POEntry]


def main() -> int:
    """Print what does not agree; 1 if there is anything."""
    found = disagreements()
    for one in found:
        print(one)
    return int(bool(found))


def disagreements(catalogues: Path = CATALOGUES) -> list[str]:
    """Return where code and the catalogues of a folder do not agree, a line each."""
    modules = [_of_module(path) for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    uses = [use for calls, _ in modules for use in calls]
    uses += [use for path in sorted(TEMPLATES.glob("*.html")) for use in _of_template(path)]
    english = _entries(polib.pofile(str(catalogues / ENGLISH / "LC_MESSAGES" / "fr.po")))
    found = [*_of_uses(uses, english), *_unused(uses, english)]
    found += [f"the catalogue lacks `{one}`" for one in _remedies() if (None, one) not in english]
    found += [one for _, texts in modules for one in texts]
    for path in sorted(catalogues.glob("*/LC_MESSAGES/fr.po")):
        found += _of_catalogue(path, english)
    return found


def _entries(catalogue: polib.POFile) -> Entries:
    return {(entry.msgctxt, entry.msgid): entry for entry in catalogue if not entry.obsolete}


@cache
def _of_module(path: Path) -> tuple[tuple[Use, ...], tuple[str, ...]]:
    """Return the calls of `message` in a module, and its errors whose finding is no message."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, _LOOKED_AT)]
    where = str(path.relative_to(ROOT))
    return tuple(_uses(where, nodes)), tuple(_texts_of(where, nodes))


_LOOKED_AT = (ast.arg, ast.Assign, ast.Call, ast.FunctionDef)


def _name(node: ast.AST | None) -> str:
    """Return the last name of `a.b.name`, and "" of what is no such expression."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _uses(module: str, nodes: Iterable[ast.AST]) -> Iterator[Use]:
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "message":
            given = node.args[0] if len(node.args) == 1 else None
            message_id = given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""
            names = {keyword.arg or "**" for keyword in node.keywords}
            yield Use(f"{module}:{node.lineno}", message_id, frozenset(names - {"audience"}), "audience" in names)


@cache
def _of_template(path: Path) -> tuple[Use, ...]:
    """Return the calls of `t` in a template of the console; one of a value shows a message that Python built."""
    found = []
    for call in Environment().parse(path.read_text("utf-8")).find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "t" and isinstance(call.args[0], nodes.Const):
            names = frozenset(keyword.key for keyword in call.kwargs)
            found.append(Use(f"{path.relative_to(ROOT)}:{call.lineno}", str(call.args[0].value), names, False))
    return tuple(found)


def _texts_of(module: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Return the errors of a module whose finding is neither a call of `message` nor known as a message."""
    kinds = _raised()
    given = {"message", "request.why"}  # the latter is of `wrapping.Malformed`
    for node in nodes:
        if isinstance(node, ast.arg) and _name(node.annotation) == "Message":
            given.add(node.arg)
        if isinstance(node, ast.FunctionDef) and _name(node.returns) == "Message":
            given.add(node.name)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _name(node.value.func) == "message":
            given.add(ast.unparse(node.targets[0]))
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and _name(node.func) in kinds:
            finding = node.args[0].func if isinstance(node.args[0], ast.Call) else node.args[0]
            if ast.unparse(finding).removeprefix("self.") not in given:
                yield f"{module}:{node.lineno}: the finding of an error is no `message(...)`"


def _remedies() -> list[str]:
    return [f"remedy.{error.reason}" for error in all_errors()]


@cache
def _raised() -> frozenset[str]:
    return frozenset(_kinds(FrError))


def _kinds(kind: type[FrError]) -> Iterator[str]:
    """Return the names of a class of errors and of those below it, as far as they are raised with a finding."""
    if "__init__" not in vars(kind) or kind is FrError:
        yield kind.__name__
    for one in kind.__subclasses__():
        yield from _kinds(one)


def _of_uses(uses: Iterable[Use], english: Entries) -> Iterator[str]:
    for use in uses:
        if not use.message_id:
            yield f"{use.where}: the id of a message is a literal"
            continue
        contexts: list[str | None] = [*Audience] if use.audience else [None]
        entries = [english.get((context, use.message_id)) for context in contexts]
        known = [entry for entry in entries if entry is not None]
        if len(known) < len(entries):
            yield f"{use.where}: the catalogue lacks `{use.message_id}`, in one context or in all"
            continue
        names = frozenset().union(*map(_names, known))
        if names != use.names:
            yield f"{use.where}: `{use.message_id}` has {sorted(use.names)}, its text has {sorted(names)}"
        if any(bool(entry.msgid_plural) != ("count" in use.names) for entry in known):
            yield f"{use.where}: `{use.message_id}` has plural forms if, and only if, it has a count"


def _unused(uses: Iterable[Use], english: Entries) -> Iterator[str]:
    used = {(context, use.message_id) for use in uses for context in ((*Audience,) if use.audience else (None,))}
    used |= {(None, message_id) for message_id in (*BY_RENDERER, *_remedies())}
    for context, message_id in english.keys() - used:
        yield f"{ENGLISH}: `{message_id}`{f' ({context})' if context else ''} is used nowhere"


def _of_catalogue(path: Path, english: Entries) -> Iterator[str]:
    """Return what is wrong with a catalogue."""
    language, catalogue = path.parts[-3], polib.pofile(str(path))
    entries = _entries(catalogue)
    if language != ENGLISH:
        yield from _unfinished(language, catalogue, english)
    sizes = {len(_texts(entry)[0].encode()) for entry in entries.values() if entry.msgid in EQUALLY_LONG}
    if len(sizes) > 1:
        yield f"{language}: {' and '.join(EQUALLY_LONG)} are not equally long in UTF-8: {sorted(sizes)} bytes"
    plurals = str(catalogue.metadata.get("Plural-Forms", ""))
    for key, entry in entries.items():
        model = english.get(key)
        if model is None:
            yield f"{language}: `{entry.msgid}` is not in the English catalogue"
            continue
        if not entry.translated():
            continue
        if bool(entry.msgid_plural) != bool(model.msgid_plural):
            yield f"{language}: `{entry.msgid}` has plural forms in one of both languages"
        if entry.msgid_plural and f"nplurals={len(entry.msgstr_plural)};" not in plurals.replace(" ", ""):
            yield f"{language}: `{entry.msgid}` has {len(entry.msgstr_plural)} plural forms, unlike the header"
        for text in _texts(entry):
            if not _is_template(text):
                yield f"{language}: `{entry.msgid}` has a brace that is no placeholder; twice it is one of the text"
                continue
            missing = _names(model) - frozenset(_fields(text)) - {"count"}  # a form for one may leave the number out
            strange = frozenset(_fields(text)) - _names(model)
            if text and _ends(text) != _ends(_texts(model)[0]):
                yield f"{language}: `{entry.msgid}` begins or ends with another space than English"
            if missing or strange:
                yield f"{language}: `{entry.msgid}` lacks {sorted(missing)} and has {sorted(strange)}"


def _unfinished(language: str, catalogue: polib.POFile, english: Entries) -> Iterator[str]:
    """Return what translators have to do: tools/catalogues.py marks it in the catalogue."""
    entries = _entries(catalogue)
    if REVIEWED not in catalogue.metadata:
        yield f"{language}: the header lacks {REVIEWED}, the native speaker who has read it; empty until then"
    known = {key: entries[key] for key in english if key in entries}
    missing = [key for key in english if key not in known or not (known[key].fuzzy or known[key].translated())]
    stale = [key for key, one in known.items() if not one.fuzzy and not is_of(one, english[key])]
    for keys, what, do in (
        (missing, "not translated", "run `make catalogues`, and translate what is empty"),
        (stale, "translated from another English text", "run `make catalogues`, which marks them as fuzzy"),
        (
            [key for key, one in known.items() if one.fuzzy],
            "fuzzy",
            "compare each with its English, take the mark away",
        ),
    ):
        if keys:
            named = ", ".join(f"`{message_id}`" for _, message_id in keys[:_NAMED])
            more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
            yield f"{language}: {what}: {named}{more}; {do} (docs/translations.md)"


def english_of(entry: polib.POEntry) -> str:
    """Return the text of an English entry as the comment of its translations has it."""
    return " | ".join(_texts(entry))


def is_of(translated: polib.POEntry, english: polib.POEntry) -> bool:
    """Return whether an entry was translated from the English one as it is now; lines of comments break anywhere."""
    return "".join(translated.comment.split()) == "".join(english_of(english).split())


def _ends(text: str) -> tuple[bool, bool]:
    """Return whether a text begins and ends with a space; French may have one that does not break before a mark."""
    begins = text.lstrip("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}")
    return begins[0] == " ", text[-1].isspace()


def _is_template(text: str) -> bool:
    try:
        return _fields(text) is not None
    except ValueError:
        return False


def _texts(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def _names(entry: polib.POEntry) -> frozenset[str]:
    return frozenset(name for text in _texts(entry) for name in _fields(text))


def _fields(text: str) -> list[str]:
    """The placeholders of a text; one that is no plain name, such as `{0}` or `{a.b}`, is none of the code's."""
    return [name for _, name, _, _ in Formatter().parse(text) if name is not None]


if __name__ == "__main__":
    sys.exit(main())
