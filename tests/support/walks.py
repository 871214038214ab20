"""A trainee takes a sitting in a browser with keys alone, whatever the next step is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fr_api.v1 import training_pb2
from fr_trust.access.principal import Role
from support.browser import PROBE, Look, World, join
from support.courses import answer_until, start


@dataclass(frozen=True)
class Step:
    """Where a page has it; what is filled in there, and then the keys, else Enter on its button."""

    at: str
    keys: tuple[str, ...] = ()
    text: str = ""


STEPS = {
    "block": Step("[name=block]", ("Enter",)),
    "prediction": Step("#percent", text="12"),
    "crop": Step("section:has(#x) ~ form #sha256", text="ab" * 32),
    "hash": Step("#sha256", text="ab" * 32),
    "limitation": Step(".lines#asked ~ p #notes", text="It shows less."),
    "note": Step("#notes", text="A mark on the chin."),
    "custody": Step("#row", text="3"),
    "part of a lesson": Step(".lesson:not(details *) ~ form button", ("Enter",)),
    "question of a lesson": Step("[type=radio][name=option]", ("1", "Enter")),
    "table": Step("[type=radio][name=row]", ("1", "Enter")),
    "part": Step("[name=similarity]", ("s", "8")),
    "all parts": Step("[name=lock]", ("Enter",)),
    "confirmation": Step("[name=confirm]", ("Enter",)),
    "triad": Step("[name=odd]", ("2",)),
    "triage": Step("[name=usability]", ("2", "4", "Enter")),
    "decision": Step("[name=choice]", ("n", "Enter")),
    "candidate": Step("[name=candidate]", ("6",)),
    "advice": Step(".locked ~ form [name=rating]", ("5",)),
    "footage": Step(".viewer:has([name=shot]) ~ form [name=rating]", (".", ".", ",", "6")),
    "verification": Step("[name=rating]", ("6",)),
    "own photo": Step("#file"),
    "list": Step("a[aria-keyshortcuts=Enter][href*='at=']", ("Enter",)),
    "similarities": Step(".photos .fine bdi", ("Enter",)),
    "right answer": Step("a[aria-keyshortcuts=Enter]", ("Enter",)),
}
"""By their names; a page is at the first of them that it has."""
AT = """steps => {
    document.querySelector("main").dataset.before = "1";
    return Object.keys(steps).find(one => document.querySelector(`main ${steps[one]}`) !== null) ?? "";
}"""


def press(look: Look, *keys: str) -> None:
    """Press keys, and wait for the page that the last one brings."""
    look.page.evaluate("document.querySelector('main').dataset.before = '1'")
    for key in keys:
        look.page.keyboard.press(key)
    look.page.wait_for_selector("main:not([data-before])")


def taken(look: Look, sitting: str, seen: Callable[[str], None] = lambda step: None) -> Iterator[str]:
    """Take a sitting, and yield each step before the page that its answer brings: others go on meanwhile."""
    page = look.page
    form = look.open("/course").page.locator(f"form:has([name=sitting][value={sitting}])")
    form.locator("[name=consent]").check()
    form.locator("button").click()
    page.locator("[name=block]").wait_for(state="attached")
    while name := page.evaluate(AT, {name: step.at for name, step in STEPS.items()}):
        seen(name)
        step = STEPS[name]
        if name == "own photo":
            page.locator(step.at).set_input_files([PROBE])
        elif step.text:
            page.locator(step.at).fill(step.text)
        if not step.keys:
            page.locator(f"form:has({step.at.split()[-1]}) button:not(.quiet)").first.focus()
        for key in step.keys or ("Enter",):
            page.keyboard.press(key)
        yield name
        page.wait_for_selector("main:not([data-before])")


def at_step(look: Look, world: World, code: str, step: training_pb2.TrialStep.ValueType, sitting: str = "all") -> str:
    """Sign in as a trainee who has answered until a step, and open its page; return the session."""
    caller = world.staff.caller(Role.TRAINEE)
    session_id = start(caller.training, code, sitting)
    answer_until(caller.training, session_id, step)
    join(look.open("/sign-in").page, code, caller.token)
    look.page.locator("nav").wait_for()
    look.open(f"/course/sitting?name={sitting}")
    return session_id
