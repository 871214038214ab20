"""Parses the answers that a trainee types; it does not ask, show or send."""

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum

from fr_api.v1 import training_pb2

# Those of `fr_training.answers`, which a client alone does not have.
RATINGS = range(-3, 4)
DIFFICULTIES = range(1, 6)
MAX_NOTES = 2_000
MAX_SIMILARITY = 10

COMPARISONS = {
    "s": training_pb2.COMPARISON_SIMILAR,
    "d": training_pb2.COMPARISON_DIFFERENT,
    "n": training_pb2.COMPARISON_NOT_VISIBLE,
}
USABILITIES = {
    "u": training_pb2.USABILITY_USABLE,
    "l": training_pb2.USABILITY_LIMITED,
    "r": training_pb2.USABILITY_REJECT,
}
DEGRADATIONS = {
    "1": (training_pb2.DEGRADATION_BLUR, "blur"),
    "2": (training_pb2.DEGRADATION_NOISE, "noise"),
    "3": (training_pb2.DEGRADATION_RESOLUTION, "too few pixels"),
    "4": (training_pb2.DEGRADATION_COMPRESSION, "compression"),
    "5": (training_pb2.DEGRADATION_OCCLUSION, "covered"),
    "6": (training_pb2.DEGRADATION_POSE, "turned away"),
}

_SIGNED = re.compile(r"[+-]?[0-9]")
_PERCENT = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,4})?|[.,][0-9]{1,4})\s*(%?)")
_OBSERVED = re.compile(r"([sd])\s*([0-9]{1,2})")
_QUALITY = re.compile(r"([ulr])\s*([1-6 ,]*)")


_SHA256 = re.compile(r"[0-9a-f]{64}")


class NotUnderstood(ValueError):
    """The input is not an answer; the message shows one."""


class Scale(StrEnum):
    """The keys of ratings.

    With SIGNED, `2` is +2. With SEVEN, the keys 1 to 7 mean -3 to 3; a number with a sign is still a rating.
    """

    SIGNED = "signed"
    SEVEN = "1-7"


def rating(text: str, scale: Scale) -> int:
    """Return a rating from -3, surely two people, to 3, surely one person."""
    typed = _typed(text)
    if not _SIGNED.fullmatch(typed):
        raise NotUnderstood(_rating_text(scale))
    number = int(typed)
    if scale is Scale.SEVEN and typed[0] not in "+-":
        number -= 4
    if number not in RATINGS:
        raise NotUnderstood(_rating_text(scale))
    return number


def ratings(text: str, scale: Scale) -> list[int]:
    """Return one or more ratings with spaces or commas between them."""
    return [rating(word, scale) for word in re.split(r"[\s,]+", text.strip(" ,\t"))]


def _rating_text(scale: Scale) -> str:
    if scale is Scale.SEVEN:
        return "Type 1 (surely two people) to 7 (surely one person); 4 is undecided."
    return "Type -3 (surely two people) to 3 (surely one person); 0 is undecided."


def percent(text: str) -> float | None:
    """Return the probability in [0, 1] of a number of percent; None for an empty line.

    A bare number above 0 and up to 1, such as 1 or 0.9, may be a probability: it needs a percent sign to count.
    """
    typed = _typed(text)
    if not typed:
        return None
    found = _PERCENT.fullmatch(typed)
    number = float(found[1].replace(",", ".")) if found else -1.0
    if found is None or number > 100:
        raise NotUnderstood("Type a number of percent from 0 to 100, or nothing.")
    if 0 < number <= 1 and not found[2]:
        meant = f"{number * 100:g}"
        raise NotUnderstood(f"In percent: {meant} or {number:g}? Type {meant} or {number:g}%.")
    return number / 100


def predicted(text: str) -> float:
    """Return the percentage, 0 to 100, that a trainee expects to be measured."""
    found = _PERCENT.fullmatch(_typed(text))
    number = float(found[1].replace(",", ".")) if found else -1.0
    if not 0 <= number <= 100:
        raise NotUnderstood("Type a number of percent from 0 to 100, such as 12 or 0.5; a guess will do.")
    return number


def row(text: str, of: int) -> int:
    """Return the number of a row of a table, from 1, or 0 for none."""
    typed = _typed(text)
    if not _is_number(typed) or int(typed) > of:
        raise NotUnderstood(f"Type the number of a row, 1 to {of}, or 0 for none.")
    return int(typed)


def record(text: str) -> int:
    """Return the number of a record of an audit, from 1, or 0 for none."""
    typed = _typed(text)
    if not _is_number(typed) or len(typed) > 2:
        raise NotUnderstood("Type the number of a record, such as 3, or 0 if the chain is whole.")
    return int(typed)


def sha256(text: str) -> str:
    """Return the hash of a file, 64 hexadecimal digits; what `sha256sum` writes after it does not count."""
    typed = text.split()[:1]
    found = typed[0].lower() if typed else ""
    if not _SHA256.fullmatch(found):
        raise NotUnderstood("A SHA-256 has 64 hexadecimal digits: paste what `sha256sum FILE` prints.")
    return found


def contradicts(rating: int, p_same: float) -> bool:
    """Return whether a rating leans to one person and a probability to two, or the other way round."""
    return (rating < 0 and p_same > 0.5) or (rating > 0 and p_same < 0.5)


def difficulty(text: str) -> int | None:
    """Return the difficulty, from 1 to 5; None for an empty line."""
    typed = _typed(text)
    if not typed:
        return None
    if len(typed) > 1 or not _is_number(typed) or int(typed) not in DIFFICULTIES:
        raise NotUnderstood("Type 1 (easy) to 5 (hard), or nothing.")
    return int(typed)


def number(text: str, of: int) -> int:
    """Return the number of a picture, from 1."""
    typed = _typed(text)
    if not _is_number(typed) or not 1 <= int(typed) <= of:
        raise NotUnderstood(f"Type a number from 1 to {of}.")
    return int(typed)


def choice(text: str, candidates: Sequence[str]) -> training_pb2.CandidateDecision:
    """Return the decision on candidates, given by their picture ids, without ratings."""
    typed = _typed(text)
    if typed == "n":
        return training_pb2.CandidateDecision(none=True)
    if typed == "i":
        return training_pb2.CandidateDecision(inconclusive=True)
    try:
        return training_pb2.CandidateDecision(picture_id=candidates[number(typed, len(candidates)) - 1])
    except NotUnderstood as error:
        raise NotUnderstood(
            f"Type the number of a candidate, 1 to {len(candidates)}, n for none of them, or i for inconclusive."
        ) from error


def observation(text: str, component_id: str) -> training_pb2.Observation:
    """Return the observation of a component: `s8` for similar, 8 of 10; `d2` for different; `n` for not visible."""
    typed = _typed(text)
    if typed == "n":
        return training_pb2.Observation(component_id=component_id, comparison=COMPARISONS["n"])
    found = _OBSERVED.fullmatch(typed)
    if found is None or int(found[2]) > MAX_SIMILARITY:
        raise NotUnderstood(
            f"Type s or d and how similar from 0 to {MAX_SIMILARITY}, such as s8 or d2; or n for not visible."
        )
    return training_pb2.Observation(
        component_id=component_id, comparison=COMPARISONS[found[1]], similarity=int(found[2])
    )


def quality(text: str) -> training_pb2.QualityDecision:
    """Return a decision on a photo: `u`, or `l` or `r` with one or more reasons, such as `r13`."""
    found = _QUALITY.fullmatch(_typed(text))
    if found is None:
        raise NotUnderstood("Type u (usable), l (limited) or r (reject), the last two with reasons, such as l1 or r25.")
    reasons = sorted(set(found[2]) & set(DEGRADATIONS))
    if found[1] == "u" and reasons:
        raise NotUnderstood("A usable photo has no reasons: type u alone.")
    if found[1] != "u" and not reasons:
        raise NotUnderstood(f"Give reasons, too, such as {found[1]}1: {degradation_text()}.")
    return training_pb2.QualityDecision(
        usability=USABILITIES[found[1]], reasons=[DEGRADATIONS[one][0] for one in reasons]
    )


def degradation_text() -> str:
    """Return the keys of the possible faults of a photo."""
    return ", ".join(f"{key} {words}" for key, (_, words) in DEGRADATIONS.items())


def notes_with(lines: Sequence[str], line: str) -> list[str]:
    """Return the lines of notes with one more; raises `NotUnderstood` if they would be too long together."""
    longer = [*lines, _writable(line)]
    length = len("\n".join(longer))
    if length > MAX_NOTES:
        raise NotUnderstood(
            f"The line is left out: the notes would have {length:,} characters, and may have {MAX_NOTES:,}."
        )
    return longer


def _writable(line: str) -> str:
    """Return the line without control characters, such as those of arrow keys; replaces bytes that are not UTF-8."""
    kept = (one for one in line if one == "\t" or unicodedata.category(one) != "Cc")
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(one) == "Cs" else one for one in kept)


def _typed(text: str) -> str:
    """Return the input in small letters, with one kind of minus."""
    return text.strip().lower().replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-")


def _is_number(typed: str) -> bool:
    return typed.isascii() and typed.isdigit() and len(typed) <= 4
