"""Finds the plans that come with FR Core, as texts; `fr_training.plan_reading.read_plan` reads them."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import resources

from fr_locales.messages import message
from fr_training.errors import UnknownPlan

_FOLDER = resources.files("fr_training") / "course_plans"
_SUFFIX = ".toml"


def plan_names() -> tuple[str, ...]:
    """The names of the plans, sorted."""
    return tuple(sorted(item.name.removesuffix(_SUFFIX) for item in _FOLDER.iterdir() if item.name.endswith(_SUFFIX)))


def plan_text(name: str) -> str:
    """The TOML text of a plan; raises `UnknownPlan` where there is none of that name."""
    names = plan_names()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        if near:
            raise UnknownPlan(message("error.plan.no_plan_but_near", near=near[0]))
        raise UnknownPlan(message("error.plan.no_plan", names=", ".join(names)))
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
