"""Takes the pictures of the console that README and guides show, in light and dark: `make screenshots`.

The pages are real ones, of a server whose people are coloured squares. In the pictures, drawn faces are in their place.
"""

import io
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from drawn_faces import face
from PIL import Image

from fr_api.v1 import training_pb2
from fr_trust.access.principal import Role
from support.browser import PROBE, World, at_hand, chromium, sign_in, world
from support.courses import Chance, create, start, take

WIDTH = 960
COLOURS = 64  # in a file, to keep it small
_RATINGS = (3, 2, 3, 1, 2, -1, 2, 3, 0, -2, 2, 1)  # of the trainees of a class
SCHEMES = {"light": "", "dark": "-dark"}
PLAN = """
format = 1
title = "Pairs of faces"
claims = false
[[sittings]]
name = "pairs"
title = "Pairs"
blocks = [{id = "pairs", title = "Pairs", exercise = "verification", same = 6, different = 6}]
"""
_DRAW = "(faces) => [...document.querySelectorAll('main img')].map((one, i) => { one.src = faces[i % faces.length]; })"
_NOTICED = 0.08  # of a block, in grey levels from 0 to 1
_LOADED = "() => [...document.querySelectorAll('main img')].every((one) => one.complete && one.naturalWidth)"


@dataclass(frozen=True)
class Shot:
    """A page, and the drawn faces on its photos, by their names; a * after a name turns the face."""

    name: str
    role: str
    height: int
    faces: Sequence[str] = ()
    language: str = "en-GB"


SHOTS = (
    Shot("console-trial", "trainee", 660, ("edda", "edda*")),
    Shot("console-leads", "operator", 640, ("rosa*", "rosa", "b", "c")),
    Shot("console-board", "trainer", 900),
    Shot("console-item", "trainer", 1000, ("kim", "kim*")),
    Shot("console-fr", "trainer", 800, language="fr"),
    Shot("console-es", "examiner", 640, language="es"),
    Shot("console-ar", "operator", 640, ("rosa*", "rosa", "b", "c"), "ar"),
)


def main() -> int:
    """Run from the command line: the folder for the pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, shown(Path(scratch)) as made, chromium() as browser:
        for name, picture in taken(browser, made):
            picture.save(folder / f"{name}.png", optimize=True)
    return 0


@contextmanager
def shown(folder: Path) -> Iterator[World]:
    """Run a server with a class in the midst of a sitting, one that has ended it, and a gallery."""
    with world(folder) as made:
        with at_hand(made.folder):
            course = create(made.staff.caller(Role.TRAINER).training, PLAN, seed=1)
        made.codes = iter(_class(made, course.course_id, "Spring", (12, 10, 8, 6, 4, 0))[-1:])
        _class(made, course.course_id, "Autumn", (12,) * 12)
        made.staff.gallery("team", operational=False, people=0)
        for blue, name in ((10, "Rosa"), (40, "Bela"), (90, "Dora")):
            made.staff.enrol("team", name.lower(), blue, name)
        yield made


class _Steady(Chance):
    """A trainee who gives each pair the same rating: items come to each in another order."""

    def __init__(self, rating: int) -> None:
        super().__init__()
        self._rating = rating

    def decision(self, session_id: str, trial: training_pb2.Trial) -> training_pb2.SubmitDecisionRequest:
        request = super().decision(session_id, trial)
        request.rating.rating = self._rating
        return request


def _class(made: World, course_id: str, name: str, answered: Sequence[int]) -> list[str]:
    """Make a cohort whose trainees have answered so many of the 12 trials, and return their codes."""
    trainer, trainee = made.staff.caller(Role.TRAINER).training, made.staff.caller(Role.TRAINEE).training
    request = training_pb2.CreateCohortRequest(course_id=course_id, display_name=name, trainees=len(answered))
    kept = trainer.CreateCohort(request)
    codes = [one.code for one in kept.enrolled]
    for number, (code, trials) in enumerate(zip(codes, answered, strict=True)):
        if trials:
            session_id = start(trainee, code, "pairs")
            for _ in islice(take(trainee, session_id, _Steady(_RATINGS[number])), trials):
                pass
            if trials == 12:
                trainee.FinishSession(training_pb2.FinishSessionRequest(session_id=session_id))
    made.release(kept.cohort)
    return codes


def taken(browser: Any, made: World) -> Iterator[tuple[str, Image.Image]]:
    """Yield each picture with its name."""
    for shot in SHOTS:
        viewport = {"width": WIDTH, "height": shot.height}
        context = browser.new_context(locale=shot.language, reduced_motion="reduce", viewport=viewport)
        page = context.new_page()
        page.goto(f"{made.address}/sign-in")
        sign_in(page, made, shot.role)
        _OPENED[shot.name](page, made)
        if shot.faces:
            page.evaluate(_DRAW, [_drawn(one) for one in shot.faces])
            page.wait_for_function(_LOADED)
        for scheme, ending in SCHEMES.items():
            page.emulate_media(color_scheme=scheme)
            whole = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            yield shot.name + ending, whole.quantize(COLOURS, dither=Image.Dither.NONE)
        context.close()


def _drawn(name: str) -> str:
    inner = face(name.rstrip("*"), 0, 0, 512, turned=name.endswith("*"))
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512">{inner}</svg>'
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def _trial(page: Any, made: World) -> None:
    page.goto(f"{made.address}/course")
    page.locator("[name=consent]").check()
    page.locator("form[action='/course'] button").click()
    page.locator("form:has([name=block]) button").click()
    page.locator(".pair img").first.wait_for()
    page.evaluate("scrollTo(0, document.querySelector('h1').offsetTop - 16)")


def _leads(page: Any, made: World) -> None:
    page.goto(f"{made.address}/search?gallery=team")
    page.locator("#photo").set_input_files([PROBE])
    page.locator("main form[action='/search'] button").click()
    page.locator(".beside").first.wait_for()


def _board(page: Any, made: World, name: str = "Spring") -> None:
    page.goto(f"{made.address}/cohorts")
    page.locator("main th a", has_text=name).first.click()
    page.locator("[data-live]").first.wait_for()


def _item(page: Any, made: World) -> None:
    _board(page, made, "Autumn")
    page.goto(f"{page.url}/items")
    page.locator("main th a").first.click()
    page.locator(".steps a.button:not(.quiet)").click()
    page.locator(".bars").wait_for()


def _debrief(page: Any, made: World) -> None:
    page.goto(f"{made.address}/courses/{made.course.course_id}/kit/debrief")


def _manual(page: Any, made: World) -> None:
    page.goto(f"{made.address}/manual")


_OPENED = {
    "console-trial": _trial,
    "console-leads": _leads,
    "console-board": _board,
    "console-item": _item,
    "console-fr": _debrief,
    "console-es": _manual,
    "console-ar": _leads,
}


def difference(a: Image.Image, b: Image.Image) -> float:
    """Return how different two pictures look, in [0, 1]: the share of blocks of 16 pixels that are darker or lighter.

    Fonts, ids and times change blocks little; 1 where the sizes differ.
    """
    if a.size != b.size:
        return 1.0
    small = [np.asarray(one.convert("L").reduce(16), dtype=np.float64) / 255 for one in (a, b)]
    return float((np.abs(small[0] - small[1]) > _NOTICED).mean())


if __name__ == "__main__":
    sys.exit(main())
