"""Simulates the answers: what photos tell a trainee, how that is rated and moved by advice, and all other exercises."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, sqrt

import numpy as np

from fr_training import answers
from fr_training.keys import LabKey, ListKey, TriadKey, TriageKey
from fr_training.prompts import Component, Role, ShownPicture
from fr_training.statistics.estimates import share_below, z_of

_LEAST = 1e-300  # of a share, so that its z is finite
_MOST = 1.0 - 1e-15  # likewise
_FELT = (0.3, 0.7, 1.2, 1.8)  # distances from the criterion below which a pair is felt as hard as 5, 4, 3 and 2
_LARGEST = 700.0  # of an exponent


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale that turns evidence into one of seven ratings, by its distance from the criterion.

    Distances are in standard deviations of the evidence, that is in units of d'; they do not fall.
    """

    undecided: float = 0.1  # up to this distance the rating is 0, as which 0 leaves none
    unsure: float = 0.6  # up to this, 1 or -1
    fairly: float = 1.3  # up to this, 2 or -2; beyond, 3 or -3

    def __post_init__(self) -> None:
        if not 0.0 <= self.undecided <= self.unsure <= self.fairly < inf:
            raise ValueError("The thresholds of ratings are finite, at least 0, and do not fall.")

    @property
    def cuts(self) -> tuple[float, ...]:
        """The six ends of the seven ratings, as distances from the criterion."""
        return (-self.fairly, -self.unsure, -self.undecided, self.undecided, self.unsure, self.fairly)

    def wider(self, factor: float) -> Scale:
        """The scale with all thresholds so many times farther out; a factor above 0."""
        return Scale(self.undecided * factor, self.unsure * factor, self.fairly * factor)

    def rating(self, distance: float) -> int:
        """The rating, -3 to 3, of evidence that lies so far above the criterion; at an end, the lower one."""
        return bisect_left(self.cuts, distance) - 3

    def range_of(self, rating: int) -> tuple[float, float]:
        """The distances from the criterion that get a rating, -3 to 3."""
        ends = (-inf, *self.cuts, inf)
        return ends[rating + 3], ends[rating + 4]


USUAL_SCALE = Scale()


def strength_of(right: float) -> float:
    """m at which an unbiased trainee is right with a chance in [0, 1]: z of it, at most some 8."""
    return z_of(min(max(right, 1.0 - _MOST), _MOST))


def first_evidence(mated: bool, strength: float, rng: np.random.Generator) -> float:
    """Draw the evidence of a pair: N(+m, 1) for one person, N(-m, 1) for two."""
    return float(rng.normal(strength if mated else -strength))


def second_evidence(
    mated: bool, strength: float, low: float, high: float, memory: float, rng: np.random.Generator
) -> float:
    """Draw the evidence of a second look at a pair, whose first rating says that the evidence lay in (low, high].

    The first evidence is drawn again within the limits of the first rating, so that a trainee needs no memory, and both
    looks together are spread as if there were one. By itself the second look is spread as the first; `memory` is the
    correlation of both, in [0, 1].
    Source of the draw: inversion, L. Devroye, "Non-Uniform Random Variate Generation", Springer (1986), section 2.2.
    """
    mean = strength if mated else -strength
    above = low > mean  # then from the other tail, where shares are precise
    first = -_between(mean - high, mean - low, rng) if above else _between(low - mean, high - mean, rng)
    return mean + memory * first + sqrt(1.0 - memory**2) * float(rng.standard_normal())


def rating_of(evidence: float, criterion: float, strength: float, scale: Scale) -> answers.PairRating:
    """The rating, and P(same) as an unbiased observer of that strength would state it, in steps of .01.

    The likelihood ratio of evidence x is exp(2 m x): Green and Swets (1966), see
    `fr_training.statistics.signal_detection`.
    """
    p_same = 1.0 / (1.0 + exp(min(-2.0 * strength * evidence, _LARGEST)))
    return answers.PairRating(scale.rating(evidence - criterion), round(p_same, 2))


def felt_difficulty(distance: float) -> int:
    """1, easy, to 5, hard: the nearer the evidence is to the criterion, the harder."""
    return 5 - bisect_left(_FELT, abs(distance))


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """A standard normal draw within (low, high], low <= 0."""
    below, above = share_below(low), share_below(high)
    share = below + (above - below) * float(rng.random())
    drawn = z_of(min(max(share, _LEAST), _MOST))
    return min(max(drawn, low), high)


SEEN = ("oval face", "round face", "broad nose", "narrow nose", "high forehead", "full lips", "mole on the cheek")
_NOT_VISIBLE = 0.1  # of components: hair over an ear, a mark too fine for the photo
_ALIKE = 5.0  # of a component's similarity, 0 to 10, above which it is called similar
_PER_EVIDENCE = 2.0  # of a component's similarity, for each unit of evidence


def odd_one_out(key: TriadKey, ids: Mapping[int, str], right: float, rng: np.random.Generator) -> answers.OddOneOut:
    """Choose the odd one with the chance `right`, else one of the two others; `ids` are by index in the photos."""
    others = sorted(index for index in ids if index != key.odd)
    wrong = int(rng.integers(len(others)))
    return answers.OddOneOut(ids[key.odd if rng.random() < right else others[wrong]])


def photos_shown(pictures: Sequence[ShownPicture], order: Sequence[int]) -> dict[int, str]:
    """Index in the item's photos -> picture id, of those that are shown to be chosen from.

    `order` leads from the shown position to the index. Candidates of a list are counted from 0 without the probe.
    """
    probes = sum(picture.role == Role.PROBE for picture in pictures)
    return {
        index - probes: picture.picture_id
        for picture, index in zip(pictures, order, strict=True)
        if picture.role != Role.PROBE
    }


def list_decision(
    key: ListKey | None, ids: Mapping[int, str], chances: tuple[float, float, float, float], rng: np.random.Generator
) -> answers.ListDecision:
    """Decide on a list; where it is not known what is right, as if the person were not there.

    Args:
        key: what is right.
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
        return answers.ListDecision(
            answers.ListChoice.CANDIDATE, ids[picked], _ratings(ids, picked, int(rng.integers(1, 4)), rng)
        )
    choice = answers.ListChoice.INCONCLUSIVE if leaves else answers.ListChoice.NONE
    best = min(ids, default=None)
    return answers.ListDecision(choice, None, _ratings(ids, best if leaves else None, 0, rng))


def draw_triage(key: TriageKey, accuracy: float, rng: np.random.Generator) -> answers.Triage:
    """Judge a photo: rightly with the chance `accuracy`; the reason that is named is right as often."""
    wrong = [one for one in answers.Usability if one != key.usability]
    other = wrong[int(rng.integers(len(wrong)))]
    usability = key.usability if rng.random() < accuracy else other
    kinds = list(answers.Degraded)
    guessed, sees = kinds[int(rng.integers(len(kinds)))], rng.random() < accuracy
    reason = key.degraded if key.degraded is not None and sees else guessed
    return answers.Triage(usability, frozenset() if usability == answers.Usability.USABLE else frozenset({reason}))


def draw_prediction(key: LabKey, rng: np.random.Generator) -> answers.Prediction:
    """Expect some percentage: about as often too few as too many, and half of the time more than a third wrong."""
    return answers.Prediction(float(np.clip(key.measured * exp(rng.normal(0.0, 0.5)), 0.0, 100.0)))


def draw_observations(
    components: Sequence[Component], mated: bool, strength: float, rng: np.random.Generator
) -> answers.Observations:
    """Compare each component: about as similar as its own evidence says, and some are not visible."""
    found = []
    for component in components:
        evidence = float(rng.normal(strength if mated else -strength))
        if rng.random() < _NOT_VISIBLE:
            found.append(answers.Observation(component.component_id, answers.Compared.NOT_VISIBLE, None))
            continue
        similarity = int(np.clip(round(_ALIKE + _PER_EVIDENCE * evidence), 0, answers.MAX_SIMILARITY))
        compared = answers.Compared.SIMILAR if similarity > _ALIKE else answers.Compared.DIFFERENT
        found.append(answers.Observation(component.component_id, compared, similarity))
    return answers.Observations(tuple(found))


def _ratings(ids: Mapping[int, str], best: int | None, rating: int, rng: np.random.Generator) -> dict[str, int]:
    """Rate every candidate below 0 but the best, if there is one."""
    return {picture: rating if index == best else -int(rng.integers(1, 4)) for index, picture in ids.items()}
