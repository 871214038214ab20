"""Finds the plans that come with FR Core, as texts; `fr_training.plan_reading.read_plan` reads them."""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from functools import cache
from importlib import resources

from fr_locales.messages import message
from fr_training.errors import UnknownPlan
from fr_training.plan_reading import read_plan

_HERE = resources.files("fr_training")
_FOLDER = _HERE / "course_plans"
_SUFFIX = ".toml"


def plan_names() -> tuple[str, ...]:
    """The names of the plans, sorted."""
    return tuple(sorted(item.name.removesuffix(_SUFFIX) for item in _FOLDER.iterdir() if item.name.endswith(_SUFFIX)))


@cache
def plan_text(name: str) -> str:
    """The TOML text of a plan, its translations included; raises `UnknownPlan` where there is none of that name."""
    names = plan_names()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        if near:
            raise UnknownPlan(message("error.plan.no_plan_but_near", near=near[0]))
        raise UnknownPlan(message("error.plan.no_plan", names=", ".join(names)))
    text = (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
    own = read_plan(text).words
    for language, translations in _translations().items():
        lines = (f"{_quoted(words)} = {_quoted(told)}\n" for words, told in translations.items() if words in own)
        text += f"\n[translations.{language}]\n{''.join(lines)}"
    return text


@cache
def _translations() -> dict[str, dict[str, str]]:
    """Words of all plans and what they are in each language."""
    return tomllib.loads((_HERE / "plan_words.toml").read_text(encoding="utf-8"))


def _quoted(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)  # a basic string of TOML too
