"""The live vote of a class on the item that its trainer shows: opened and closed by the trainer, given by trainees."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from starlette.responses import Response

from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.views.sitting import TAKES, joined_by
from fr_web.console.views.trainer import TRAINS
from fr_web.console.views.trainer_class import STILL_S, WALL_S, hang, item_of, on_wall, own_wall
from fr_web.console.views.trainer_cohorts import read_cohort, votes_of
from fr_web.console.visit import Screen, Visit
from fr_web.console.walls import RATINGS, Vote, Wall

# --- the trainer


@dataclass(frozen=True, slots=True)
class Turn:
    """Opens a vote, or closes it; `step` is that of the page."""

    step: str = ""
    close: bool = False


async def turn(visit: Visit) -> Response:
    """Open a vote on the item that the trainer shows, or close it."""
    form, cohort_id, item_id = visit.form(Turn), visit.path["cohort"], visit.path["item"]
    one = own_wall(visit, cohort_id)
    if form.close:
        if one is not None and one.vote is not None and one.item_id == item_id:
            one.vote.is_open = False
    else:
        found = await read_cohort(visit)
        shown = await item_of(visit, cohort_id, item_id, form.step)
        if not shown["can_vote"]:
            raise visit.invalid(message("console.vote.not_now"))
        one = own_wall(visit, cohort_id)
        if one is None:  # the page of the trainer is on the wall itself, or the link is made later
            one = Wall(visit, cohort_id)
            hang(one)
        one.show(shown)
        for each in votes_of(visit):  # a class has one vote: none of another trainer, or of a browser that is gone
            each.is_open = each.is_open and each is one.vote
        if one.vote is None or not one.vote.is_open:  # a second click takes no votes away
            one.vote = Vote({each.trainee_id for each in found.progress})
    return visit.go(f"/cohorts/{cohort_id}/items/{item_id}", step=form.step)


async def count_events(visit: Visit) -> Response:
    """Follow how many have voted, until the vote is closed."""
    cohort_id, item_id = visit.path["cohort"], visit.path["item"]

    async def states() -> AsyncGenerator[Mapping[str, Any] | None, None]:
        before: object = None
        while (one := own_wall(visit, cohort_id)) and one.item_id == item_id and one.vote and one.vote.is_open:
            now = one.vote.state
            yield {"vote": one.vote} if now != before else None
            before = now
            await asyncio.sleep(WALL_S)

    return await visit.events("vote_count.html", states())


# --- a trainee


@dataclass(frozen=True, slots=True)
class Ballot:
    """The rating of a trainee, for the vote that the page had."""

    vote: str
    rating: int


def _trainee(visit: Visit) -> str:
    """Return the pseudonym of a trainee, as the server told it at the sign-in; "" for a key without a code."""
    return visit.who.who.partition(" ")[0] if visit.who.code else ""


def _wall_of(visit: Visit) -> tuple[Wall, Vote] | None:
    """Return the wall that has the newest vote of the trainee."""
    trainee = _trainee(visit)
    held = [(one, one.vote) for one in visit.desk.walls.values() if one.vote is not None and one.holds]
    own = [(one, vote) for one, vote in held if trainee in vote.trainees]
    return max(own, key=lambda each: each[1].opened_s, default=None)


async def _shown(visit: Visit) -> Mapping[str, Any]:
    """Return what the page of a vote shows: the photos, and nothing of the steps after them."""
    found = _wall_of(visit)
    if found is None:
        return {"looks": ()}
    one, vote = found
    try:
        looks = (await on_wall(visit, one, STILL_S))["looks"]
    except FrApiError as error:
        if error.code is not grpc.StatusCode.NOT_FOUND:
            raise
        return {"looks": ()}
    if one.vote is not vote:  # the trainer went on meanwhile
        return {"looks": ()}
    return {"looks": looks, "vote": vote, "own": vote.given.get(_trainee(visit)), "ratings": RATINGS}


async def vote_page(visit: Visit) -> Response:
    """Show the vote of the trainee's class, if there is one, to a trainee whom the server still knows."""
    await joined_by(visit)
    return visit.page("vote.html", **await _shown(visit))


async def vote(visit: Visit) -> Response:
    """Take the vote of a trainee, who may change it until the vote is closed."""
    form = visit.form(Ballot)
    await joined_by(visit)
    found = _wall_of(visit)
    if form.rating not in RATINGS:
        raise visit.invalid(message("console.vote.range"), "rating")
    if found is None or form.vote != found[1].vote_id or not found[1].is_open:
        return visit.page("vote.html", visit.invalid(message("console.vote.late"), "rating"), **await _shown(visit))
    found[1].given[_trainee(visit)] = form.rating
    return visit.go("/course/vote")


async def vote_events(visit: Visit) -> Response:
    """Follow the votes of the trainee's class."""
    await joined_by(visit)

    async def states() -> AsyncGenerator[Mapping[str, Any] | None, None]:
        before: object = ()
        while True:
            found = _wall_of(visit)
            now = found and (found[1].vote_id, found[1].is_open, found[1].given.get(_trainee(visit)))
            yield await _shown(visit) if now != before else None
            before = now
            await asyncio.sleep(WALL_S)

    return await visit.events("vote_part.html", states())


PLACE = "/cohorts/{cohort}/items/{item}/vote"
SCREENS = (
    Screen(PLACE, turn, method="POST", roles=TRAINS),
    Screen(f"{PLACE}/events", count_events, roles=TRAINS),
    Screen("/course/vote", vote_page, roles=TAKES),
    Screen("/course/vote", vote, method="POST", roles=TAKES),
    Screen("/course/vote/events", vote_events, roles=TAKES),
)
