"""Runs `fr train check`: makes courses from plans without a server, keeps none, and sets each figure beside its bar."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from fr_datasets.exit_status import errors_to_status, printable
from fr_evaluation.cli_parts import Device, Pack, Root, Threads, opened, plain, progress_bars, root_of, workers_of

if TYPE_CHECKING:
    from fr_core.engine import Engine
    from fr_training.build.bars import Foils, PairClues
    from fr_training.build.people import Analyse, NamedPeople
    from fr_training.plan import CoursePlan

MISSED = 1
NOT_MADE = 2


def check(
    plans: Annotated[list[str], typer.Argument(metavar="PLAN...", help="Names of plans, or files with plans as TOML.")],
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="Data set of people.")],
    root: Root = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Decides who appears where.")] = None,
    most: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Area under the curve that pixels and colours may have.")
    ] = 0.65,
    bar: Annotated[bool, typer.Option("--bar", help="Exit status 1 if a bar is missed.")] = False,
    pack: Pack = "buffalo_s",
    device: Device = "auto",
    threads: Threads = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make courses from plans and photos on this machine, without a server, and keep none of them.

    Each figure stands beside its bar: what pixels and colours of the finished pictures give away, in each block and in
    all, and how alike the candidates of lists are. The photos are analysed once for all plans.
    """
    with errors_to_status(NOT_MADE):
        from fr_core.engine import EngineOptions
        from fr_training.build.footage import frames_of
        from fr_training.build.people import LastAnalysis, read_datasets

        wanted = {name: _plan(name) for name in plans}
        people = read_datasets([(dataset, root_of(dataset, root))])
        with opened(pack, EngineOptions(device=device)) as engine:
            analyse, began = LastAnalysis(), time.monotonic()
            analyse(people, engine, workers_of(threads, engine), lambda done, total: None)
            took = time.monotonic() - began
            found = [
                _checked(name, plan, people, engine, analyse, seed, most, threads) for name, plan in wanted.items()
            ]
    met = all(one["met"] for one in found)
    if as_json:
        typer.echo(json.dumps({"dataset": dataset, "met": met, "plans": found}, indent=1))
    else:
        photos = sum(len(one.photos) for one in people[0].people) + len(frames_of(people[0].people))
        Console().print(f"{photos:,} photos, analysed once in {took:.0f} s for {len(found)} plans", highlight=False)
        for one in found:
            _print(one, most)
    if bar and not met:
        raise typer.Exit(MISSED)


def _plan(name: str) -> CoursePlan:
    from fr_training.plan_reading import read_plan
    from fr_training.shipped_plans import plan_text

    path = Path(name)
    try:
        return read_plan(path.read_text(encoding="utf-8") if path.is_file() else plan_text(name))
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{printable(name)} cannot be read: {error}.", param_hint="PLAN") from error


def _checked(
    name: str,
    plan: CoursePlan,
    people: Sequence[NamedPeople],
    engine: Engine,
    analyse: Analyse,
    seed: int | None,
    most: float,
    threads: int,
) -> dict[str, Any]:
    """Make a course, and return the figures of its plan, beside whether each is within its bar."""
    from fr_training.bank.needs import needs
    from fr_training.build.bars import foils, pair_clues
    from fr_training.build.course import build_course

    with progress_bars() as show:
        built = build_course(
            plan,
            people,
            engine,
            _NoGallery(),
            seed=plan.seed if seed is None else seed,
            workers=workers_of(threads, engine),
            course_id="0" * 16,
            gallery_id="",
            now_ms=0,
            on_progress=lambda stage, done, total: show(f"{name}: {stage}", done, total),
            analyse=analyse,
        )
    pairs = [asdict(one) | {"met": _pairs_met(one, most)} for one in pair_clues(built, engine.pipeline)]
    lists = [asdict(one) | {"met": _lists_met(one)} for one in foils(built, people)]
    return {
        "plan": name,
        "needs": asdict(needs(plan)),
        "pairs": pairs,
        "lists": lists,
        "met": all(one["met"] is not False for one in (*pairs, *lists)),
    }


class _NoGallery:
    """Takes no one up: no course is kept."""

    def enrol(self, people: Sequence[Any]) -> None:
        """Do nothing."""


def _pairs_met(one: PairClues, most: float) -> bool | None:
    """None where there are so few pairs that the areas are a matter of luck."""
    return None if one.few else max(one.pixels, one.colours) <= most


def _lists_met(one: Foils) -> bool:
    return one.one_sex in (None, 1.0) and (one.of_tests is None or one.similarity >= one.of_tests)


_WORDS = {True: "yes", False: "no", None: "few"}


def _print(found: dict[str, Any], most: float) -> None:
    needs, console = found["needs"], Console()
    people = f"{needs['people']} people, {needs['people_with_two_photos']} of them with two photos"
    if needs["people_with_tracks"]:
        people += f", and {needs['people_with_tracks']} others with a photo and a track"
    words = f"{found['plan']}: {people}; {needs['minutes']} minutes; {needs['trials']} trials"
    console.print(f"\n{plain(words)}", highlight=False)
    pairs = Table("Form", *(Column(one, justify="right") for one in ("Pairs", "Pixels", "Colours", "At most")), "Met")
    for one in found["pairs"]:
        count = f"{one['same']} + {one['different']}"
        name = one["form"] or "all pairs"
        pairs.add_row(
            plain(name), count, f"{one['pixels']:.2f}", f"{one['colours']:.2f}", f"{most:.2f}", _WORDS[one["met"]]
        )
    lists = Table("Form", *(Column(one, justify="right") for one in ("Size", "Foils", "At least", "One sex")), "Met")
    for one in found["lists"]:
        least = "" if one["of_tests"] is None else f"{one['of_tests']:.3f}"
        sex = "" if one["one_sex"] is None else f"{one['one_sex']:.0%}"
        lists.add_row(plain(one["form"]), str(one["size"]), f"{one['similarity']:.3f}", least, sex, _WORDS[one["met"]])
    for table in (pairs, lists):
        if table.row_count:
            console.print(table)
