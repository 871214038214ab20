"""The keys of the keyboard: a browser can have others for what pages do with them, the same ones on every page."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from starlette.responses import Response

from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.forms import text_of
from fr_web.console.views.entry import remembered
from fr_web.console.visit import Screen, Visit

KEYBOARD_COOKIE = "fr-keyboard"
# What templates name a key by, which is the key itself until somebody changes it.
KEYS: Mapping[str, Message] = {
    **{str(number): message("console.keyboard.place", number=number) for number in range(1, 10)},
    "0": message("console.keyboard.zero"),
    "x": message("console.keyboard.ten"),
    "Enter": message("console.keyboard.go_on"),
    "b": message("console.keyboard.back"),
    "k": message("console.keyboard.known"),
    "%": message("console.keyboard.probability"),
    "n": message("console.keyboard.none"),
    "i": message("console.keyboard.inconclusive"),
    "s": message("console.keyboard.similar"),
    "d": message("console.keyboard.different"),
    "+": message("console.keyboard.larger"),
    "-": message("console.keyboard.smaller"),
    "f": message("console.keyboard.flicker"),
    "c": message("console.keyboard.curtain"),
    "v": message("console.keyboard.beside"),
    "l": message("console.keyboard.alone"),
    "m": message("console.keyboard.landmarks"),
    ",": message("console.keyboard.shot_before"),
    ".": message("console.keyboard.shot_after"),
    "p": message("console.keyboard.print"),
    "?": message("console.keyboard.show"),
}


def keys_of(cookie: str) -> Mapping[str, str]:
    """Return the key of a browser for each of `KEYS`; for a cookie that does not hold one for each, these."""
    own = [unquote(one) for one in cookie.split("!")]
    return dict(zip(KEYS, own if _refusal(own) is None else KEYS, strict=True))


def _refusal(own: Sequence[str]) -> Message | None:
    """Return why these cannot be the keys; None if they can."""
    if len(own) != len(KEYS) or not all(one == "Enter" or (len(one) == 1 and one.isprintable()) for one in own):
        return message("console.keyboard.no_key")
    twice = [one for one in own if own.count(one) > 1]
    return message("console.keyboard.twice", key=twice[0]) if twice else None


async def keyboard(visit: Visit) -> Response:
    """Show the key of each action."""
    return _page(visit, keys_of(visit.request.cookies.get(KEYBOARD_COOKIE, "")))


def _page(visit: Visit, own: Mapping[str, str], error: FrApiError | None = None) -> Response:
    return visit.page("keyboard.html", error, keys=KEYS, own=own, next=visit.next_page)


async def change(visit: Visit) -> Response:
    """Remember the keys of a browser; an empty field takes the usual key."""
    typed = [text_of(visit.fields, f"key.{number}") for number in range(len(KEYS))]
    own = [(one.lower() if len(one) == 1 else one) or usual for one, usual in zip(typed, KEYS, strict=True)]
    if (refused := _refusal(own)) is not None:
        return _page(visit, dict(zip(KEYS, own, strict=True)), visit.invalid(refused, "key"))
    return remembered(visit, KEYBOARD_COOKIE, "!".join(quote(one, safe="") for one in own))


SCREENS = (
    Screen("/keyboard", keyboard),
    Screen("/keyboard", change, method="POST"),
)
