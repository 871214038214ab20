"""Sessions and trials as bytes, and back: JSON arrays whose first number is the version of the layout.

A trial is written each time one is shown or answered, so that its layout has no names; the order of the fields is that
of the unpacking below. A layout is never edited once released: what changes gets the next number, and both are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from sys import intern
from typing import Any

from fr_core.errors import StoreCorrupt, message
from fr_training.answers import (
    Answer,
    Compared,
    Conclusion,
    Degraded,
    Draft,
    FileHash,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    OptionChosen,
    PairRating,
    Prediction,
    ProbeSent,
    Read,
    Triage,
    Usability,
)
from fr_training.keys import ListKey
from fr_training.prompts import Step
from fr_training.trials import Locked, OwnList, Session, Trial

LAYOUT = 2  # of sessions
TRIAL_LAYOUT = 2

# Shared, because to make one for each call takes longer than a small trial does.
_dump = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode

_PACK_ANSWER: Mapping[type, Callable[[Any], list[Any]]] = {
    PairRating: lambda given: ["r", given.rating, given.p_same],
    OddOneOut: lambda given: ["o", given.picture_id],
    Notes: lambda given: ["n", given.text],
    Observations: lambda given: [
        "b",
        [[one.component_id, one.compared.value, one.similarity] for one in given.observations],
    ],
    ListDecision: lambda given: ["d", given.choice.value, given.picture_id, dict(given.ratings)],
    Triage: lambda given: ["t", given.usability.value, sorted(reason.value for reason in given.reasons)],
    ProbeSent: lambda given: ["p", given.image_sha256],
    Prediction: lambda given: ["e", given.percent],
    Conclusion: lambda given: ["c", given.row],
    FileHash: lambda given: ["h", given.sha256],
    Read: lambda _: ["k"],
    OptionChosen: lambda given: ["a", given.option_id],
}
_UNPACK_ANSWER: Mapping[str, Callable[..., Any]] = {
    "r": PairRating,
    "o": OddOneOut,
    "n": Notes,
    "b": lambda rows: Observations(tuple(Observation(part, Compared(how), degree) for part, how, degree in rows)),
    "d": lambda choice, picture_id, ratings: ListDecision(ListChoice(choice), picture_id, ratings),
    "t": lambda usability, reasons: Triage(Usability(usability), frozenset(map(Degraded, reasons))),
    "p": ProbeSent,
    "e": Prediction,
    "c": Conclusion,
    "h": FileHash,
    "k": Read,
    "a": OptionChosen,
}


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what goes wrong where stored bytes are read into `StoreCorrupt` of this `check`."""
    try:
        yield
    # None of these carries more than a field of the row; it was authenticated, so that a defect wrote it.
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreCorrupt(message("error.store.unreadable"), check=what) from error


def dump(value: object) -> bytes:
    """JSON as bytes of ASCII; ValueError for a number that is not finite, TypeError for what JSON has not."""
    return _dump(value).encode("ascii")


def pack_trial(trial: Trial) -> bytes:
    """The bytes of a trial."""
    own = trial.own
    return dump(
        [
            TRIAL_LAYOUT,
            trial.trial_id,
            trial.ordinal,
            trial.block_id,
            trial.form,
            trial.item_id,
            trial.order,
            trial.shown_ms,
            trial.paused_ms,
            trial.done,
            [[one.step.value, one.at_ms, one.took_ms, one.paused, _packed_answer(one.answer)] for one in trial.locked],
            None if own is None else [own.photos, own.key.mate, own.key.similarities, own.key.scored],
            None if trial.draft is None else _packed_draft(trial.draft),
            trial.drafted_ms,
        ]
    )


def _packed_draft(draft: Draft) -> list[Any]:
    return [draft.notes, *_PACK_ANSWER[Observations](Observations(draft.observations))[1:], dict(draft.ratings)]


def _draft(notes: str, observations: list[Any], ratings: dict[str, int]) -> Draft:
    return Draft(notes, _UNPACK_ANSWER["b"](observations).observations, ratings)


def unpack_trial(data: bytes) -> Trial:
    """The trial of bytes; raises `StoreCorrupt` where they are those of none."""
    with reading("trial"):
        layout, *fields = json.loads(data)
        return _TRIALS[layout](fields)


def _trial_1(fields: list[Any]) -> Trial:
    return _trial_2([*fields, None, None])


def _trial_2(fields: list[Any]) -> Trial:
    trial_id, ordinal, block_id, form, item_id, order, shown_ms, paused_ms, done, locked, own, draft, drafted = fields
    return Trial(
        trial_id,
        ordinal,
        intern(block_id),  # trials of many sessions are kept in memory, and have these in common
        intern(form),
        intern(item_id),
        tuple(order),
        shown_ms,
        paused_ms,
        tuple(
            Locked(Step(step), _answer(answer), at_ms, took_ms, paused)
            for step, at_ms, took_ms, paused, answer in locked
        ),
        done,
        None if own is None else _own_list(*own),
        None if draft is None else _draft(*draft),
        drafted,
    )


def _packed_answer(answer: Answer) -> list[Any]:
    """Difficulty, whether the face was known, a letter for the kind of the answer, its fields."""
    return [answer.difficulty, answer.known_to_me, *_PACK_ANSWER[type(answer.given)](answer.given)]


def _answer(packed: list[Any]) -> Answer:
    difficulty, known_to_me, kind, *fields = packed
    return Answer(_UNPACK_ANSWER[kind](*fields), difficulty, known_to_me)


def _own_list(photos: list[int], mate: int | None, similarities: list[float], scored: bool) -> OwnList:
    return OwnList(tuple(photos), ListKey(mate, tuple(similarities), scored))


_TRIALS: dict[int, Callable[[list[Any]], Trial]] = {1: _trial_1, 2: _trial_2}


_HEAD = (
    *("session_id", "trainee_id", "course_id", "sitting", "group", "secret", "started_ms"),
    *("block", "block_started_ms", "block_paused_ms", "paused_ms", "finished_ms", "extended"),
)

head_of: Callable[[Session], tuple[Any, ...]] = attrgetter(*_HEAD)  # all fields of a session but its trials

IDENTITY = 7  # of the fields of `head_of`, so many never change


def pack_session(session: Session) -> bytes:
    """The bytes of a session without its trials."""
    head = head_of(session)
    return dump([LAYOUT, *head[:5], session.secret.hex(), *head[6:]])


def unpack_session(data: bytes, trials: tuple[Trial, ...]) -> Session:
    """The session of bytes with its trials; raises `StoreCorrupt` where they are those of none."""
    with reading("session"):
        layout, *fields = json.loads(data)
        return _SESSIONS[layout](trials, fields)


def _session_1(trials: tuple[Trial, ...], fields: list[Any]) -> Session:
    return _session_2(trials, [*fields, {}])


def _session_2(trials: tuple[Trial, ...], fields: list[Any]) -> Session:
    head = dict(zip(_HEAD, fields, strict=True))
    return Session(**{**head, "secret": bytes.fromhex(head["secret"])}, trials=trials)


_SESSIONS: dict[int, Callable[[tuple[Trial, ...], list[Any]], Session]] = {1: _session_1, 2: _session_2}
