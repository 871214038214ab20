"""How a simulated trainee answers everything that is no pair: triads, lists, triage, notes, components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fr_training.answers import (
    MAX_SIMILARITY,
    Compared,
    Degraded,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    ProbeSent,
    Triage,
    Usability,
)
from fr_training.keys import ListKey, TriadKey, TriageKey
from fr_training.prompts import Component, Role, ShownPicture

_SEEN = ("oval face", "round face", "broad nose", "narrow nose", "high forehead", "full lips", "mole on the cheek")
_NOT_VISIBLE = 0.1  # of components: hair over an ear, a mark too fine for the photo
_ALIKE = 5.0  # of a component's similarity, 0 to 10, above which it is called similar
_PER_EVIDENCE = 2.0  # of a component's similarity, for each unit of evidence


def odd_one_out(key: TriadKey, ids: Mapping[int, str], right: float, rng: np.random.Generator) -> OddOneOut:
    """Choose the odd one with the chance `right`, else one of the two others.

    Args:
        key: what is right.
        ids: index in the item's photos -> picture id.
        right: in [0, 1].
        rng: draws.
    """
    others = sorted(index for index in ids if index != key.odd)
    wrong = int(rng.integers(len(others)))
    return OddOneOut(ids[key.odd if rng.random() < right else others[wrong]])


def photos_shown(pictures: Sequence[ShownPicture], order: Sequence[int]) -> dict[int, str]:
    """Index in the item's photos -> picture id, of those that are shown to be chosen from; of a list, the candidates.

    Args:
        pictures: of the prompt, in the order in which they are shown.
        order: shown position -> index in the item's photos.

    Returns:
        Candidates are counted from 0 without the probe.
    """
    probes = sum(picture.role == Role.PROBE for picture in pictures)
    return {
        index - probes: picture.picture_id
        for picture, index in zip(pictures, order, strict=True)
        if picture.role != Role.PROBE
    }


def list_decision(
    key: ListKey | None,
    ids: Mapping[int, str],
    chances: tuple[float, float, float, float],
    rng: np.random.Generator,
) -> ListDecision:
    """Decide on a list.

    Args:
        key: what is right; where it is not known, the trainee answers as if the person were not there.
        ids: index of the candidate -> picture id.
        chances: of picking the mate where it is there; of picking a foil where it is there; of picking a foil where it
            is not; of leaving a list inconclusive in which nobody was picked.
        rng: draws.
    """
    picks_mate, picks_foil, false_alarm, inconclusive = chances
    mate = None if key is None or not key.scored else key.mate
    foils = sorted(index for index in ids if index != mate)
    draw, leaves, foil = rng.random(), rng.random() < inconclusive, foils[int(rng.integers(len(foils)))] if foils else 0
    picked: int | None = None
    if mate is not None and draw < picks_mate:
        picked = mate
    elif foils and draw < (false_alarm if mate is None else picks_mate + picks_foil):
        picked = foil
    if picked is not None:
        return ListDecision(ListChoice.CANDIDATE, ids[picked], _ratings(ids, picked, int(rng.integers(1, 4)), rng))
    choice = ListChoice.INCONCLUSIVE if leaves else ListChoice.NONE
    best = min(ids, default=None)
    return ListDecision(choice, None, _ratings(ids, best if leaves else None, 0, rng))


def triaged(key: TriageKey, accuracy: float, rng: np.random.Generator) -> Triage:
    """Judge a photo: rightly with the chance `accuracy`; the reason that is named is right as often."""
    wrong = [one for one in Usability if one != key.usability]
    other = wrong[int(rng.integers(len(wrong)))]
    usability = key.usability if rng.random() < accuracy else other
    kinds = list(Degraded)
    guessed, sees = kinds[int(rng.integers(len(kinds)))], rng.random() < accuracy
    reason = key.degraded if key.degraded is not None and sees else guessed
    return Triage(usability, frozenset() if usability == Usability.USABLE else frozenset({reason}))


def observed(components: Sequence[Component], mated: bool, strength: float, rng: np.random.Generator) -> Observations:
    """Compare each component: about as similar as its own evidence says, and some are not visible."""
    found = []
    for component in components:
        evidence = float(rng.normal(strength if mated else -strength))
        if rng.random() < _NOT_VISIBLE:
            found.append(Observation(component.component_id, Compared.NOT_VISIBLE, None))
            continue
        similarity = int(np.clip(round(_ALIKE + _PER_EVIDENCE * evidence), 0, MAX_SIMILARITY))
        compared = Compared.SIMILAR if similarity > _ALIKE else Compared.DIFFERENT
        found.append(Observation(component.component_id, compared, similarity))
    return Observations(tuple(found))


def noted(rng: np.random.Generator) -> Notes:
    """Write down two things that may be seen in a face."""
    first, second = rng.choice(len(_SEEN), 2, replace=False)
    return Notes(f"{_SEEN[int(first)]}, {_SEEN[int(second)]}")


def sent(rng: np.random.Generator) -> ProbeSent:
    """The hash of a photo that nobody has."""
    return ProbeSent(rng.bytes(32).hex())


def _ratings(ids: Mapping[int, str], best: int | None, rating: int, rng: np.random.Generator) -> dict[str, int]:
    """Every candidate below 0 but the best, where there is one."""
    return {picture: rating if index == best else -int(rng.integers(1, 4)) for index, picture in ids.items()}
