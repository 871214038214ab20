"""Computes the difficulty of items from the machine's similarities, and makes forms equally hard.

With P(same) = logistic(alpha + beta * similarity) and beta > 0, a mated item is the harder the less similar its photos
are, b = -(alpha + beta * s), and a non-mated one the harder the more similar they are, b = +(alpha + beta * s).
Standardised within their class, alpha and beta drop out: b is the similarity, or a margin of similarities, as its
distance from the class's mean in standard deviations, with a sign. b is that of Rasch, "Probabilistic Models for Some
Intelligence and Attainment Tests" (1960). The machine's order of difficulty is a first guess, which `updated` moves
towards what people find hard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fr_core.scoring.checks import F64
from fr_training.bank.labels import Index
from fr_training.statistics.item_response import update_difficulty

Sign = Literal[-1, 1]

DECIMALS = 3  # of a difficulty: the last digits of a similarity differ from one processor to another


@dataclass(frozen=True, slots=True)
class Scale:
    """Difficulties of one class of items: mean and SD (with n) of its similarities or margins; b is 0 where SD is 0.

    `sign` is -1 where more similar is easier (mated pairs, margins), 1 where it is harder (non-mated pairs).
    """

    mean: float
    sd: float
    sign: Sign

    def b(self, value: float) -> float:
        """The difficulty of an item by its similarity or margin: positive = harder; rounded to `DECIMALS`."""
        if self.sd == 0.0:
            return 0.0
        return round(self.sign * (value - self.mean) / self.sd, DECIMALS) + 0.0  # no -0.0

    def of(self, values: F64) -> F64:
        """f64[n] difficulties of f64[n] similarities or margins."""
        return np.array([self.b(float(value)) for value in values], dtype=np.float64)


def scale_of(values: F64, sign: Sign) -> Scale:
    """The scale on which f64[n], the similarities or margins of all items that the pool offers, have mean 0 and SD 1.

    Of no item, where n is 0, the scale is of no use, and says 0.
    """
    if not len(values):
        return Scale(0.0, 0.0, sign)
    sd = float(np.std(values))
    return Scale(float(np.mean(values)), sd if sd > 1e-9 else 0.0, sign)


def updated(b_algo: float, b_human: float, n: int) -> float:
    """A difficulty that `n` people's answers, at least 0, have moved from the machine's guess; see `update_difficulty`.

    `b_algo` is as `Scale.b` gives it, `b_human` in logits on the same scale, from the answers.
    """
    return round(update_difficulty(b_algo, b_human, n), DECIMALS) + 0.0


MEAN_TOLERANCE = 0.05
"""Most difference of the means of b of two equated forms, in standard deviations of all items of a class."""
SD_TOLERANCE = 0.1  # most difference of the standard deviations of b, in the same unit

_DEALS = 20  # beginnings that are tried until one is good enough
_GOOD_ENOUGH = 0.3  # of the tolerances
_MOST_SWAPS = 200
_SWAPS = 300  # that are tried for another cost
_SD_WEIGHTS = (0.25, 0.01)  # of second moments against means; the latter where the former did not do
_LEAST_GAIN = 1e-7  # of the cost: a means' difference of some ten-thousandths


@dataclass(frozen=True, slots=True)
class Differences:
    """The greatest differences of two forms, of one truth or over all: of the mean and of the SD (with n) of b."""

    mean: float
    sd: float

    @property
    def strain(self) -> float:
        """The larger of both, as a share of its tolerance; below 1 where both are within."""
        return max(self.mean / MEAN_TOLERANCE, self.sd / SD_TOLERANCE)


def spread(b: F64, count: int, forms: int, rng: np.random.Generator) -> Index:
    """Choose tuples of `forms` items that are near each other in difficulty, one tuple from each of `count` quantiles.

    Of the tuples of a quantile it is one of the closer half: at the ends, where items are few, neighbours are far
    apart. `rng` decides where in its quantile a tuple lies, and which of its items comes first. Returns
    i64[count, forms], indices in b, f64[n], none twice; ValueError where n < count * forms.
    """
    if len(b) < count * forms:
        raise ValueError(f"{forms} forms of {count} items need {count * forms} items, not {len(b)}.")
    order = np.argsort(b, kind="stable").astype(np.int64)
    tuples = np.empty((count, forms), dtype=np.int64)
    for number in range(count):
        low, high = number * len(b) // count, (number + 1) * len(b) // count
        here = b[order[low:high]]
        gaps = here[forms - 1 :] - here[: len(here) - forms + 1]  # from the easiest to the hardest of each tuple
        start = low + int(rng.choice(np.flatnonzero(gaps <= np.median(gaps))))
        tuples[number] = rng.permutation(order[start : start + forms])
    return tuples


def equated(classes: Sequence[F64], rng: np.random.Generator) -> list[Index]:
    """Deal tuples of items to forms so that these are equally hard, in each class and so over all.

    `classes` holds f64[count, forms] each, the difficulties of the tuples of `spread`, of one truth after the other.
    `rng` shuffles the tuples where swaps alone do not lead to forms that are close. Returns for each class i64[count,
    forms]: the flat index in its table of the item that is dealt to each form.
    """
    best: list[Index] = []
    least = (np.inf, np.inf)
    for turn in range(_DEALS):
        weight = _SD_WEIGHTS[turn * len(_SD_WEIGHTS) // _DEALS]
        dealt = [_dealt(table, weight, rng) for table in classes]
        found = differences(_values(classes, dealt)).values()
        mean = max((one.mean / MEAN_TOLERANCE for one in found), default=0.0)
        strain = max((one.strain for one in found), default=0.0)
        if (max(mean, 1.0), strain) < least:  # the means come first, as they are what a score is made of
            best, least = dealt, (max(mean, 1.0), strain)
        if strain <= _GOOD_ENOUGH:
            break
    return best


def swapped(
    classes: Sequence[F64],
    dealt: list[Index],
    cost: Callable[[list[Index]], float],
    enough: float,
    rng: np.random.Generator,
) -> list[Index]:
    """Swap items of a tuple between forms, from those that `equated` dealt, until a cost is `enough`.

    The forms stay equally hard, within the tolerances or as they were.
    """
    least, allowed = cost(dealt), max(1.0, _strain(classes, dealt))
    for _ in range(_SWAPS if dealt[0].shape[1] > 1 else 0):
        if least <= enough:
            break
        found = [of.copy() for of in dealt]
        rows = found[int(rng.integers(len(found)))]
        if len(rows):
            number = int(rng.integers(len(rows)))
            rows[number] = rng.permutation(rows[number])
        now = cost(found)
        if now < least and _strain(classes, found) <= allowed:
            dealt, least = found, now
    return dealt


def _strain(classes: Sequence[F64], dealt: Sequence[Index]) -> float:
    return max((one.strain for one in differences(_values(classes, dealt)).values()), default=0.0)


def differences(forms: Sequence[Sequence[F64]]) -> Mapping[str, Differences]:
    """Compare the difficulties of forms, by form and class: by class, "0", "1", ..., and over "all" items.

    None for one form; classes without an item are left out.
    """
    if len(forms) < 2:
        return {}
    found = {str(number): _apart(values) for number, values in enumerate(zip(*forms, strict=True)) if len(values[0])}
    return found | {"all": _apart([np.concatenate(form) for form in forms])} if found else {}


def _apart(forms: Sequence[F64]) -> Differences:
    means = [float(np.mean(form)) for form in forms]
    sds = [float(np.std(form)) for form in forms]
    return Differences(max(means) - min(means), max(sds) - min(sds))


def _values(classes: Sequence[F64], dealt: Sequence[Index]) -> list[list[F64]]:
    """By form, then class."""
    forms = classes[0].shape[1]
    return [[table.ravel()[flat[:, form]] for table, flat in zip(classes, dealt, strict=True)] for form in range(forms)]


def _dealt(table: F64, weight: float, rng: np.random.Generator) -> Index:
    """Deal at random, tuple by tuple, then swap two items of two forms while the cost falls."""
    count, forms = table.shape
    flat = rng.permuted(np.arange(count * forms, dtype=np.int64).reshape(count, forms), axis=1)
    values = table.ravel()
    if not count:
        return flat
    centre = float(np.mean(values))
    for _ in range(_MOST_SWAPS):
        swap = _best_swap(values[flat] - centre, weight)
        if swap is None:
            break
        p, i, q, j = swap
        flat[i, p], flat[j, q] = flat[j, q], flat[i, p]
    return flat


def _best_swap(b: F64, weight: float) -> tuple[int, int, int, int] | None:
    """The swap of item i of form p with item j of form q that lowers the cost most; None where none does.

    The cost is the sum over forms of the square of the mean, and of the square of the second moment's distance from
    that of all forms, weighted; b, f64[count, forms], has mean 0.
    """
    count, forms = b.shape
    means, moments = b.mean(axis=0), (b**2).mean(axis=0)
    wanted = float(moments.mean())
    best: tuple[int, int, int, int] | None = None
    gain = _LEAST_GAIN
    for p in range(forms):
        for q in range(p + 1, forms):
            more = (b[None, :, q] - b[:, None, p]) / count
            moment = (b[None, :, q] ** 2 - b[:, None, p] ** 2) / count
            now = float(_cost(means[p], moments[p] - wanted, weight) + _cost(means[q], moments[q] - wanted, weight))
            then = _cost(means[p] + more, moments[p] + moment - wanted, weight)
            then += _cost(means[q] - more, moments[q] - moment - wanted, weight)
            cell = int(np.argmin(then))
            fallen = now - float(then.flat[cell])
            if fallen > gain:
                gain = fallen
                best = (p, cell // count, q, cell % count)
    return best


def _cost(mean: F64, moment: F64, weight: float) -> F64:
    return np.asarray(mean**2 + weight * moment**2)
