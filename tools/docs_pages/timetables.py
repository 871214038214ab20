"""Writes docs/timetables.md from the plans of FR Core, in the words of the console."""

from docs_pages import filled
from fr_locales.messages import Message
from fr_locales.rendering import render
from fr_server.rpc.convert.training import sitting_message
from fr_training.bank.needs import needs
from fr_training.plan import CoursePlan
from fr_training.plan_reading import read_plan
from fr_training.shipped_plans import plan_names, plan_text
from fr_web.console.views.trainer_kit import timetable_of


def page() -> str:
    """Return the page."""
    parts, needed = [], []
    for name in plan_names():
        plan = read_plan(plan_text(name))
        needed.append(_needs(name, plan))
        if not any(sitting.slots for sitting in plan.sittings):
            continue  # trainees take them alone, in their own time
        parts.append(f"## `{name}`\n")
        for sitting in plan.sittings:
            head = f"**{sitting.title}** (`{sitting.name}`, {sum(block.minutes or 0 for block in sitting.blocks)} minutes at the screen)"
            rows = timetable_of(sitting_message(sitting, for_trainee=False))
            told = [
                f"| {render(row.at)} | {row.minutes or ''} | {row.title or _words(row.use.name)} | "
                f"{_words(row.use.material)} | {_words(row.use.lead)} |\n"
                for row in rows
            ]
            parts.append(
                f"{head}\n\n| at | minutes | what | material | who leads |\n|---|---|---|---|---|\n{''.join(told)}"
            )
    return filled("timetables", needs="".join(needed), plans="\n".join(parts))


def _needs(name: str, plan: CoursePlan) -> str:
    told, sittings = needs(plan), ", ".join(f"`{one.name}`" for one in plan.sittings)
    return (
        f"| `{name}` | {sittings} | {told.trials} | {told.minutes} | {told.people} | {told.people_with_two_photos} |\n"
    )


def _words(one: Message | None) -> str:
    return "" if one is None else render(one)
