"""Check the licence of every distribution in this environment against the ones that are allowed here.

Reads what each distribution says of itself, so it needs no network. `python tools/check_licences.py` prints how many it
read; exit status 1 where a licence is unknown, or not allowed. A distribution's word is not a legal opinion, and code
that a wheel bundles may have other terms: read its own files before you pass it on.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing

_LICENSING = get_spdx_licensing()

PERMISSIVE = "permissive: may be used, changed and passed on with its notice"

ALLOWED: Mapping[str, str] = {
    **dict.fromkeys(
        ("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MIT-CMU", "Zlib"), PERMISSIVE
    ),
    "CC0-1.0": "given to the public",
    "MPL-2.0": "copyleft of single files, none of which is changed here",
    "PSF-2.0": "permissive: Python's own, of Python and of what came out of it",
}
"""SPDX identifiers, each with the reason why it is allowed."""

_BSD = "Redistribution and use in source and binary forms, with or without modification, are permitted"

EXCEPTIONS: Mapping[str, tuple[str, str]] = {
    "axe-playwright-python": (
        "",
        "its metadata name none; its file LICENSE is the MIT licence. The axe-core in it has MPL-2.0. It is for tests",
    ),
    "apsw": ("any-OSI", "its author allows any licence that the OSI approved; FR Core takes MIT"),
    "contourpy": ("BSD 3-Clause License", "as it says"),
    "cycler": (_BSD, "a BSD licence of three clauses"),
    **dict.fromkeys(
        ("jwcrypto", "openbadgeslib"),
        ("LGPL", "libraries of the other side in tests; no part of FR Core, and not passed on with it"),
    ),
    "insightface": (
        "",
        "its metadata name none; its repository says MIT of the code. It is a reference of tests and benchmarks, no "
        "part of a server. Its model weights are for non-commercial research only: see docs/model-packs.md",
    ),
    "jinja2": ("", "its metadata say BSD; its file LICENSE.txt is a BSD licence of three clauses"),
    "kiwisolver": (_BSD, "a BSD licence of three clauses"),
    **dict.fromkeys(
        ("psycopg", "psycopg-binary"),
        ("LGPL-3.0-only", "an optional library, imported as it is: anybody can exchange it, as its terms ask"),
    ),
    "segno": ("", "its metadata say BSD; its file LICENSE is a BSD licence of three clauses"),
    "scikit-image": ("BSD-3-Clause", "and its parts under MIT, BSD and the like, which its text lists"),
    "scipy": (
        _BSD,
        "a BSD licence of three clauses; its text lists the terms of the libraries in its wheels",
    ),
}
"""Distributions that name no allowed licence: (what their field for it must hold, why they are allowed).

Where the first is empty, they must say nothing at all. An exception ends with the words that it rests on.
"""

# What metadata say that are older than PEP 639, in the words of the classifiers and of the field `License`.
_SPDX: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

_CLASSIFIER = re.compile(r"License :: (?:OSI Approved :: )?(.+)")
# A classifier that names a family of licences, not one.
_VAGUE = {"BSD License", "OSI Approved", "DFSG approved"}
_LONGEST_NAME = 60


def said(distribution: Distribution) -> list[str]:
    """The licences that a distribution names: SPDX expressions where it can be told, else its own words; may be empty.

    The newest way of saying it goes first: `License-Expression`, then a short `License`, then the classifiers.
    """
    expression = _first(distribution, "License-Expression")
    if expression:
        return [expression]
    field = _first(distribution, "License").strip()
    told = distribution.metadata.get_all("Classifier") or []
    classifiers = [match[1] for each in told if (match := _CLASSIFIER.fullmatch(each)) is not None]
    named = [word for word in classifiers if word not in _VAGUE]
    if named:  # more than one field may be set, and a classifier is of a fixed list
        return [_SPDX.get(word, word) for word in named]
    if field and "\n" not in field and len(field) <= _LONGEST_NAME and field != "UNKNOWN":
        return [_SPDX.get(field, field)]
    return []


def allows(expression: str) -> bool:
    """Return whether an SPDX expression is allowed: every part that AND joins, one at least of those that OR joins.

    Exceptions (WITH), a trailing "+" and names that SPDX does not have are not allowed.
    """
    try:
        parsed = _LICENSING.parse(expression, validate=True, strict=True)
    except ExpressionError:
        return False
    return parsed is not None and _holds(parsed)


def _holds(parsed: Any) -> bool:
    if isinstance(parsed, _LICENSING.AND | _LICENSING.OR):
        every = all if isinstance(parsed, _LICENSING.AND) else any
        return every(map(_holds, parsed.args))
    return str(parsed) in ALLOWED


def check(found: Iterable[Distribution]) -> list[str]:
    """Return what is wrong with the licences of distributions, one sentence each."""
    wrong = []
    for distribution in found:
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        licences = said(distribution)
        if licences and all(allows(licence) for licence in licences):
            continue
        if name in EXCEPTIONS and _excepted(distribution, EXCEPTIONS[name][0]):
            continue
        told = " and ".join(licences) or "names no licence"
        wrong.append(
            f"{name} {distribution.version}: {told}; allow it in tools/check_licences.py and say why, or drop it"
        )
    return sorted(wrong)


def _first(distribution: Distribution, field: str) -> str:
    return next(iter(distribution.metadata.get_all(field) or []), "")


def _excepted(distribution: Distribution, words: str) -> bool:
    field = " ".join((_first(distribution, "License-Expression") or _first(distribution, "License")).split())
    return words in field if words else not field and not said(distribution)


def main() -> int:
    """Check the environment that runs this."""
    found = list(distributions())
    wrong = check(found)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if not wrong:
        print(f"Licences: those of {len(found)} distributions are allowed.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
