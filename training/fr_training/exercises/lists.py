"""What exercises on lists of candidates share: which is which, what a decision is worth, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fr_training.answers import ListChoice, ListDecision
from fr_training.exercises.protocol import Graded
from fr_training.keys import ListKey
from fr_training.prompts import Reveal, Role, ShownPicture

ABSENT: Final = "absent"
NONE: Final = "none"
INCONCLUSIVE: Final = "inconclusive"

LIST_SCALE: Final = (
    "Rate each candidate from -3 (surely another person) to 3 (surely the person searched for). Then decide for one "
    "candidate, for none, or that the photos do not allow a decision. The candidates are leads in an order that tells "
    "nothing, and the person may be none of them. If you like, add how hard you found it, from 1 (easy) to 5 (hard). "
    "If you know one of the people, say so: the trial is then left out of every figure."
)
"""What a trainee reads about decisions on lists, whatever the exercise."""

_OPENING: Final[Mapping[bool | None, str]] = {
    True: "Right",
    False: "Not right",
    None: "Inconclusive, which is neither right nor wrong",
}


def candidates(picture_ids: Sequence[str]) -> tuple[ShownPicture, ...]:
    """Pictures of candidates, in the order in which they are shown."""
    return tuple(ShownPicture(picture_id, Role.CANDIDATE) for picture_id in picture_ids)


def indices(picture_ids: Sequence[str], order: Sequence[int], probes: int) -> dict[str, int]:
    """Say which candidate each picture shows.

    Args:
        picture_ids: by shown position, the probe's first where it is among them.
        order: shown position -> index in the item's photos.
        probes: photos of the item before its candidates: 1, or 0 for an own probe.

    Returns:
        Picture id -> index in `ListKey.similarities`, in the order in which the candidates are shown.
    """
    pairs = zip(picture_ids[probes:], order[probes:], strict=True)
    return {picture_id: index - probes for picture_id, index in pairs}


def graded(key: ListKey, decision: ListDecision | None, index_of: Mapping[str, int]) -> Graded:
    """What a decision on a list is worth.

    Right is the candidate who is searched for, or "none" where nobody in the list is. "inconclusive" is neither right
    nor wrong, and neither is anything where nobody knows who is right. The machine answers the most similar candidate,
    the first of equals, and ranks the mate in the same way.
    """
    answer = _answer(decision, index_of)
    if key.scored:
        truth = ABSENT if key.mate is None else f"mate:{key.mate}"
        right = NONE if key.mate is None else f"candidate:{key.mate}"
    else:
        truth = right = ""
    ranked = sorted(range(len(key.similarities)), key=lambda index: -key.similarities[index])
    return Graded(
        truth=truth,
        answer=answer,
        correct=answer == right if key.scored and answer not in ("", INCONCLUSIVE) else None,
        machine=f"candidate:{ranked[0]}" if ranked else "",
        mate_rank=ranked.index(key.mate) + 1 if key.scored and key.mate is not None else None,
        candidates=len(key.similarities),
    )


def revealed(key: ListKey, decision: ListDecision | None, index_of: Mapping[str, int]) -> Reveal:
    """What was right about a list: candidates are counted from 1, as they were shown; similarities are told always."""
    correct = graded(key, decision, index_of).correct
    similarities = {picture_id: key.similarities[index] for picture_id, index in index_of.items()}
    if not key.scored:
        return Reveal(None, "It is not known whom the probe shows, so that nothing is right or wrong.", similarities)
    opening = _OPENING[correct]
    if key.mate is None:
        return Reveal(correct, f"{opening}: none of the candidates is the person searched for.", similarities)
    shown = list(index_of.values()).index(key.mate)
    text = f"{opening}: candidate {shown + 1} is the person searched for."
    return Reveal(correct, text, similarities, list(index_of)[shown])


def _answer(decision: ListDecision | None, index_of: Mapping[str, int]) -> str:
    if decision is None:
        return ""
    if decision.choice == ListChoice.CANDIDATE:
        if decision.picture_id is None:
            raise ValueError("a decision for a candidate names its picture")
        return f"candidate:{index_of[decision.picture_id]}"
    return NONE if decision.choice == ListChoice.NONE else INCONCLUSIVE
