"""Asks the questions of each step of a trial, and makes the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from fr_api.v1 import training_pb2
from fr_client.cli.files import read_photo, typed_path
from fr_client.cli.show import counted
from fr_client.cli.state import Unusable
from fr_client.cli.train import answers as keys
from fr_client.cli.train.answers import NotUnderstood, Scale
from fr_client.cli.train.dialog import Dialog
from fr_client.cli.train.labels import labels
from fr_client.cli.train.lessons import option_lines, page_lines
from fr_client.requests import Decision, Notes

_BACK = "b"
_PROBABILITY = (
    "Probability that both show one person, in percent: 0 surely two people, 50 undecided, 100 surely one person "
    "(Enter skips):"
)


@dataclass(frozen=True, slots=True)
class Style:
    """The style of the questions: the keys of ratings, whether to leave out probability and difficulty, and the
    language of lessons, "" for English."""

    scale: Scale = Scale.SIGNED
    short: bool = False
    language: str = ""

    @property
    def rating_text(self) -> str:
        """The keys of a rating."""
        if self.scale is Scale.SEVEN:
            return "1 surely two people ... 4 undecided ... 7 surely one person"
        return "-3 surely two people ... 0 undecided ... 3 surely one person"

    @property
    def told(self) -> str:
        """The keys of a rating, and how to choose others."""
        if self.scale is Scale.SEVEN:
            return f"Ratings: {self.rating_text}. Give --keys 1-7 again when you come back, or you rate with -3 to 3."
        return f"Ratings: {self.rating_text}. To rate with the keys 1 to 7, leave with q and add --keys 1-7."


@dataclass(frozen=True, slots=True)
class Decided:
    """An answer for `submit_decision`: a decision, and its difficulty from 1 to 5, if given."""

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


def ask(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    """Ask for the next answer of a trial; raises as `Dialog.ask`.

    Raises `Unusable` if the trial needs an answer that this command does not know.
    """
    asks = _STEPS.get(trial.step)
    if asks is None:
        raise Unusable("", "The trial needs an answer that is newer than this command; update it.")
    return asks(dialog, trial, style)


def _rate(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    question = "One person or two?"
    if trial.step == training_pb2.TRIAL_STEP_RATE_AGAIN:
        dialog.say(f"The machine's opinion: {trial.advice.text}")
        question = "And now: one person or two?"
    rating = dialog.ask(f"{question} ({style.rating_text}):", lambda line: keys.rating(line, style.scale))
    made = training_pb2.PairRating(rating=rating)
    if not style.short:
        p_same = _probability(dialog, rating)
        if p_same is not None:
            made.p_same = p_same
    # An aided trial has a second rating.
    first = trial.exercise == training_pb2.EXERCISE_AIDED and trial.step == training_pb2.TRIAL_STEP_RATE
    return Decided(made, None if first else _difficulty(dialog, style))


def _probability(dialog: Dialog, rating: int) -> float | None:
    """Ask for the probability of one person; if it contradicts the rating, ask once more, and accept the answer."""
    p_same = dialog.ask(_PROBABILITY, keys.percent)
    if p_same is None or not keys.contradicts(rating, p_same):
        return p_same
    ends = ("one person", "two people") if rating > 0 else ("two people", "one person")
    dialog.drop_typed_ahead()
    dialog.say(f"Your rating says {ends[0]}, and {100 * p_same:g} % says {ends[1]}. Your next answer counts.")
    return dialog.ask(_PROBABILITY, keys.percent)


def _choose(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    of = len(trial.pictures)
    number = dialog.ask(f"Which is the odd one out? (1 to {of}):", lambda line: keys.number(line, of))
    return Decided(trial.pictures[number - 1].picture_id, _difficulty(dialog, style))


def _note(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    asked, then = "Note what you see in the probe before you see candidates.", "then you see the candidates"
    if trial.HasField("question"):
        asked, then = trial.question.text, "then you see the records"
    dialog.say(f"{asked} An empty line ends the notes.")
    lines = trial.draft.notes.splitlines()
    _tell_draft(dialog, lines, "line")
    while True:
        line = dialog.line("Notes:" if not lines else "     +:")
        if line is None:
            continue
        if not line.strip():
            if lines:
                return Noted("\n".join(lines))
            dialog.say(f"Write at least one line; {then}.")
            continue
        try:
            lines = keys.notes_with(lines, line)
        except NotUnderstood as error:
            dialog.say(str(error))
        else:
            dialog.save(training_pb2.Draft(notes="\n".join(lines)))


def _tell_draft(dialog: Dialog, parts: Sequence[object], one: str) -> None:
    """Say how much of an answer is there from before."""
    if parts:
        dialog.say(f"{counted(len(parts), one)} of this answer {'is' if len(parts) == 1 else 'are'} kept from before.")


def _observe(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    dialog.say(
        "Compare part by part: s similar or d different, and how similar from 0 to 10, such as s8; n not visible."
    )
    dialog.say("b goes back to the previous part.")
    kept = {one.component_id: one for one in trial.draft.observations}
    made = [kept[one] for one in takewhile(kept.__contains__, (part.component_id for part in trial.components))]
    _tell_draft(dialog, made, "part")
    while len(made) < len(trial.components):
        part = trial.components[len(made)]
        question = f"{len(made) + 1} of {len(trial.components)}, {part.name} ({part.look_at}):"
        observed = dialog.ask(question, _observation_of(part.component_id))
        if observed is None:
            made = made[:-1]
        else:
            made.append(observed)
        dialog.save(training_pb2.Draft(observations=made))
    return Noted(made)


def _observation_of(component_id: str) -> Callable[[str], training_pb2.Observation | None]:
    def parse(line: str) -> training_pb2.Observation | None:
        return None if line.strip().lower() == _BACK else keys.observation(line, component_id)

    return parse


def _decide(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    names = labels(trial.pictures)
    candidates = [one.picture_id for one in trial.pictures if one.role == training_pb2.PICTURE_ROLE_CANDIDATE]
    dialog.say(f"Rate each candidate: is it the person of the probe? ({style.rating_text})")
    dialog.say("You may rate several candidates on a line, with spaces between the ratings.")
    ratings = [trial.draft.ratings[one] for one in takewhile(lambda one: one in trial.draft.ratings, candidates)]
    _tell_draft(dialog, ratings, "rating")
    while len(ratings) < len(candidates):
        left = len(candidates) - len(ratings)
        question = f"Candidate {names[candidates[len(ratings)]]} of {len(candidates)}:"
        ratings += dialog.ask(question, lambda line, left=left: _ratings_of(line, style.scale, left))  # type: ignore[misc]  # binds
        dialog.save(training_pb2.Draft(ratings=dict(zip(candidates, ratings, strict=False))))
    question = f"Your decision: a number, 1 to {len(candidates)}; n none of them; i inconclusive:"
    made = dialog.ask(question, lambda line: keys.choice(line, candidates))
    made.ratings.update(zip(candidates, ratings, strict=True))
    return Decided(made, _difficulty(dialog, style))


def _ratings_of(line: str, scale: Scale, most: int) -> list[int]:
    found = keys.ratings(line, scale)
    if len(found) > most:
        raise NotUnderstood(
            f"These are {len(found)} ratings, and {counted(most, 'candidate is', 'candidates are')} left to rate."
        )
    return found


def _triage(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    dialog.say(f"Reasons: {keys.degradation_text()}.")
    question = "Can the photo be used? (u usable; l limited or r reject with reasons, such as l1 or r25):"
    return Decided(dialog.ask(question, keys.quality), _difficulty(dialog, style))


def _send_probe(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    return ProbeGiven(dialog.ask("Path of the photo to search for:", _photo))


def _photo(line: str) -> bytes:
    path = line.strip()
    if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"":  # as file managers paste paths
        path = path[1:-1]
    if not path:
        raise NotUnderstood("Type the path of a photo of one face.")
    try:
        return read_photo(typed_path(path).expanduser())
    except (Unusable, RuntimeError, ValueError) as error:
        raise NotUnderstood(f"{error} Type the path of another.") from error


def _predict(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    for line in trial.question.text.splitlines():
        dialog.say(line)
    return Decided(
        training_pb2.Prediction(percent=dialog.ask("Your prediction, in percent (0 to 100):", keys.predicted))
    )


def _hash(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    dialog.say(trial.question.text)
    return Decided(training_pb2.FileHash(sha256=dialog.ask("SHA-256 of the original:", keys.sha256)))


def _derive(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    dialog.say(trial.question.text)
    return Decided(training_pb2.FileHash(sha256=dialog.ask("SHA-256 of the crop:", keys.sha256)))


def question_lines(question: training_pb2.Question) -> list[str]:
    """Return the question of a lab or of an evidence exercise as lines, its table first."""
    lines = question.text.splitlines()
    if not question.rows:
        return lines
    table = [list(question.columns), *(list(row.cells) for row in question.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return ["This was measured with the photos of the course:", *rows, *lines]


def _conclude(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    if not trial.question.rows:
        dialog.say(trial.question.text)
        found = dialog.ask("The number of the record; 0 if the chain is whole:", keys.record)
        return Decided(training_pb2.Conclusion(row=found), _difficulty(dialog, style))
    for line in question_lines(trial.question):
        dialog.say(line)
    most = len(trial.question.rows)
    chosen = dialog.ask(f"The row, 1 to {most}; 0 for none:", lambda line: keys.row(line, most))
    return Decided(training_pb2.Conclusion(row=chosen), _difficulty(dialog, style))


def _read(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    for line in page_lines(trial.lesson):
        dialog.say(line)
    dialog.ask("Enter, when you have read it:", lambda line: None)
    return Decided(trial.lesson)


def _answer(dialog: Dialog, trial: training_pb2.Trial, style: Style) -> Given:
    options = trial.lesson.options
    asks = f"The number of the right option, 1 to {len(options)} (t shows the text again):"
    while True:
        for line in (trial.lesson.question, *option_lines(options)):
            dialog.say(line)
        chosen = dialog.ask(asks, lambda line: 0 if line.strip().lower() == "t" else keys.number(line, len(options)))
        if chosen:
            return Decided(options[chosen - 1], _difficulty(dialog, style))
        for line in page_lines(trial.lesson):
            dialog.say(line)


def _difficulty(dialog: Dialog, style: Style) -> int | None:
    if style.short:
        return None
    return dialog.ask("How hard was it, 1 (easy) to 5 (hard)? (Enter: no answer)", keys.difficulty)


_STEPS: dict[training_pb2.TrialStep.ValueType, Callable[[Dialog, training_pb2.Trial, Style], Given]] = {
    training_pb2.TRIAL_STEP_RATE: _rate,
    training_pb2.TRIAL_STEP_RATE_AGAIN: _rate,
    training_pb2.TRIAL_STEP_CHOOSE: _choose,
    training_pb2.TRIAL_STEP_NOTE: _note,
    training_pb2.TRIAL_STEP_OBSERVE: _observe,
    training_pb2.TRIAL_STEP_DECIDE: _decide,
    training_pb2.TRIAL_STEP_TRIAGE: _triage,
    training_pb2.TRIAL_STEP_SEND_PROBE: _send_probe,
    training_pb2.TRIAL_STEP_PREDICT: _predict,
    training_pb2.TRIAL_STEP_CONCLUDE: _conclude,
    training_pb2.TRIAL_STEP_HASH: _hash,
    training_pb2.TRIAL_STEP_DERIVE: _derive,
    training_pb2.TRIAL_STEP_READ: _read,
    training_pb2.TRIAL_STEP_ANSWER: _answer,
}
