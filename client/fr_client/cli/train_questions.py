"""What a trainee is asked at each step of a trial, and the answer that is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fr_api.v1 import training_pb2
from fr_client.cli import train_keys as keys
from fr_client.cli.photos import read_photo
from fr_client.cli.state import Unusable
from fr_client.cli.train_desk import Desk
from fr_client.cli.train_keys import NotUnderstood, Scale
from fr_client.cli.train_labels import counted, labels
from fr_client.training_requests import Decision, Notes

_BACK = "b"
_PROBABILITY = (
    "Probability that both show one person, in percent: 0 surely two people, 50 undecided, 100 surely one person "
    "(Enter skips):"
)


@dataclass(frozen=True, slots=True)
class Style:
    """How a trainee is asked.

    Attributes:
        scale: which keys rate.
        short: whether probability and difficulty are left out.
    """

    scale: Scale = Scale.SIGNED
    short: bool = False

    @property
    def rating_words(self) -> str:
        """The keys of a rating."""
        if self.scale is Scale.SEVEN:
            return "1 surely two people ... 4 undecided ... 7 surely one person"
        return "-3 surely two people ... 0 undecided ... 3 surely one person"

    @property
    def told(self) -> str:
        """Which keys rate, and how others are chosen."""
        if self.scale is Scale.SEVEN:
            return f"Ratings: {self.rating_words}. Give --keys 1-7 again when you come back; without it, -3 to 3 rate."
        return f"Ratings: {self.rating_words}. To rate with the keys 1 to 7, leave with q and add --keys 1-7."


@dataclass(frozen=True, slots=True)
class Decided:
    """An answer for `submit_decision`.

    Attributes:
        decision: what was decided.
        difficulty: how hard it was, from 1 to 5; None where it was not given.
    """

    decision: Decision
    difficulty: int | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """An answer for `lock_notes`."""

    notes: Notes


@dataclass(frozen=True, slots=True)
class ProbeGiven:
    """An answer for `submit_probe`: the bytes of the photo's file."""

    photo: bytes


Given = Decided | Noted | ProbeGiven


def ask(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    """Ask for what a trial waits for.

    Raises:
        Unusable: the trial waits for something that this command does not know.
        Left, EndedForGood, InputEnded: as `Desk.ask`.
    """
    asks = _STEPS.get(trial.step)
    if asks is None:
        raise Unusable("", "The trial waits for something that is newer than this command; update it.")
    return asks(desk, trial, style)


def _rate(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    question = "One person or two?"
    if trial.step == training_pb2.TRIAL_STEP_RATE_AGAIN:
        desk.say(f"The machine's opinion: {trial.advice.text}")
        question = "And now: one person or two?"
    rating = desk.ask(f"{question} ({style.rating_words}):", lambda line: keys.rating(line, style.scale))
    made = training_pb2.PairRating(rating=rating)
    if not style.short:
        p_same = _probability(desk, rating)
        if p_same is not None:
            made.p_same = p_same
    # An aided trial is over only when it was rated again.
    first = trial.exercise == training_pb2.EXERCISE_AIDED and trial.step == training_pb2.TRIAL_STEP_RATE
    return Decided(made, None if first else _difficulty(desk, style))


def _probability(desk: Desk, rating: int) -> float | None:
    """Ask how probable one person is; once more where that contradicts the rating, and then what is typed counts."""
    p_same = desk.ask(_PROBABILITY, keys.percent)
    if p_same is None or not keys.contradicts(rating, p_same):
        return p_same
    ends = ("one person", "two people") if rating > 0 else ("two people", "one person")
    desk.drop_typed_ahead()
    desk.say(f"Your rating says {ends[0]}, and {100 * p_same:g} % says {ends[1]}. What you type now counts.")
    return desk.ask(_PROBABILITY, keys.percent)


def _choose(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    of = len(trial.pictures)
    number = desk.ask(f"Which is the odd one out? (1 to {of}):", lambda line: keys.number(line, of))
    return Decided(trial.pictures[number - 1].picture_id, _difficulty(desk, style))


def _note(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    desk.say("Note what you see in the probe before candidates are shown. An empty line ends the notes.")
    lines: list[str] = []
    while True:
        line = desk.line("Notes:" if not lines else "     +:")
        if line is None:
            continue
        if not line.strip():
            if lines:
                return Noted("\n".join(lines))
            desk.say("Write at least one line; the candidates come after it.")
            continue
        try:
            lines = keys.notes_with(lines, line)
        except NotUnderstood as error:
            desk.say(str(error))


def _observe(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    desk.say("Compare part by part: s similar or d different, and how similar from 0 to 10, such as s8; n not visible.")
    desk.say("b goes back to the part before.")
    made: list[training_pb2.Observation] = []
    while len(made) < len(trial.components):
        part = trial.components[len(made)]
        question = f"{len(made) + 1} of {len(trial.components)}, {part.name} ({part.look_at}):"
        observed = desk.ask(question, _observation_of(part.component_id))
        if observed is None:
            made = made[:-1]
        else:
            made.append(observed)
    return Noted(made)


def _observation_of(component_id: str) -> Callable[[str], training_pb2.Observation | None]:
    """Return what reads an observation; it returns None where the trainee goes back."""

    def parse(line: str) -> training_pb2.Observation | None:
        return None if line.strip().lower() == _BACK else keys.observation(line, component_id)

    return parse


def _decide(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    names = labels(trial.pictures)
    candidates = [one.picture_id for one in trial.pictures if one.role == training_pb2.PICTURE_ROLE_CANDIDATE]
    desk.say(f"Rate each candidate: is it the person of the probe? ({style.rating_words})")
    desk.say("Several ratings on a line, with spaces between them, are of the next candidates.")
    ratings: list[int] = []
    while len(ratings) < len(candidates):
        left = len(candidates) - len(ratings)
        question = f"Candidate {names[candidates[len(ratings)]]} of {len(candidates)}:"
        ratings += desk.ask(question, lambda line, left=left: _ratings_of(line, style.scale, left))  # type: ignore[misc]  # binds
    question = f"Your decision: a number, 1 to {len(candidates)}; n none of them; i inconclusive:"
    made = desk.ask(question, lambda line: keys.choice(line, candidates))
    made.ratings.update(zip(candidates, ratings, strict=True))
    return Decided(made, _difficulty(desk, style))


def _ratings_of(line: str, scale: Scale, most: int) -> list[int]:
    found = keys.ratings(line, scale)
    if len(found) > most:
        raise NotUnderstood(
            f"These are {len(found)} ratings, and {counted(most, 'candidate is', 'candidates are')} left to rate."
        )
    return found


def _triage(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    desk.say(f"Reasons: {keys.degradation_words()}.")
    question = "Can the photo be used? (u usable; l limited or r reject with reasons, such as l1 or r25):"
    return Decided(desk.ask(question, keys.quality), _difficulty(desk, style))


def _send_probe(desk: Desk, trial: training_pb2.Trial, style: Style) -> Given:
    return ProbeGiven(desk.ask("Path of the photo to search for:", _photo))


def _photo(line: str) -> bytes:
    path = line.strip()
    if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"":  # as file managers paste it
        path = path[1:-1]
    if not path:
        raise NotUnderstood("Type the path of a photo of one face.")
    try:
        return read_photo(Path(path).expanduser())
    except (Unusable, RuntimeError, ValueError) as error:
        raise NotUnderstood(f"{error} Type the path of another.") from error


def _difficulty(desk: Desk, style: Style) -> int | None:
    if style.short:
        return None
    return desk.ask("How hard was it, 1 (easy) to 5 (hard)? (Enter: no answer)", keys.difficulty)


_STEPS: dict[training_pb2.TrialStep.ValueType, Callable[[Desk, training_pb2.Trial, Style], Given]] = {
    training_pb2.TRIAL_STEP_RATE: _rate,
    training_pb2.TRIAL_STEP_RATE_AGAIN: _rate,
    training_pb2.TRIAL_STEP_CHOOSE: _choose,
    training_pb2.TRIAL_STEP_NOTE: _note,
    training_pb2.TRIAL_STEP_OBSERVE: _observe,
    training_pb2.TRIAL_STEP_DECIDE: _decide,
    training_pb2.TRIAL_STEP_TRIAGE: _triage,
    training_pb2.TRIAL_STEP_SEND_PROBE: _send_probe,
}
