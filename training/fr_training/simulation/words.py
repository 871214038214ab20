"""The study in words and tables, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_evaluation.words import Section, Table, counted
from fr_training.sessions.adaptive import PRIOR_SD
from fr_training.simulation.claims import Claim
from fr_training.simulation.holding import FIRST, holding
from fr_training.simulation.population import Spread
from fr_training.simulation.recovery import recovery
from fr_training.simulation.savings import GREATEST_INFORMATION, MOST_ITEMS, by_spread, by_theta, savings
from fr_training.simulation.study import Study

NOTICE = (
    "Simulated trainees, and no person: this shows whether estimates find what they are made to find where their "
    "models hold. Whether people follow these models it cannot show."
)

HEADER = ("claim", "bar", "found", "met")
CLAIMS_TEXT = (
    "Of claims with a bar, those on bias are missed by chance alone about once in 22, and those on coverage, with 500 "
    "trainees, about once in 25. The bias of d', c and its changes is that from the exact mean of the estimator, the "
    "bias of abilities that from the truth."
)


def claims_of(study: Study) -> tuple[Claim, ...]:
    """Every claim of the study."""
    return (*recovery(study), *savings(study), *holding(study))


def all_met(claims: Iterable[Claim]) -> bool:
    """Whether every bar is met; claims without one do not count."""
    return all(one.met is not False for one in claims)


ENOUGH = 500
"""Trainees from whom the bars on coverage, 93 to 97 %, are seldom missed by chance: of 60, one in three is."""


def summary(study: Study, claims: Sequence[Claim]) -> str:
    """What was found, in a sentence or two."""
    barred = [one for one in claims if one.met is not None]
    missed = [one.claim for one in barred if not one.met]
    told = f"{counted(len(study.people), 'simulated trainee')}, seed {study.seed}: "
    told += f"{len(barred) - len(missed)} of {counted(len(barred), 'bar')} met."
    told += "".join(f" Missed: {one}." for one in missed)
    if len(study.people) < ENOUGH:
        told += f" With fewer than {ENOUGH} trainees, bars on coverage may be missed by chance alone."
    return told


def sections(study: Study, claims: Sequence[Claim]) -> list[Section]:
    """The claims, and what they rest on."""
    return [
        Section("Claims", CLAIMS_TEXT, (Table(HEADER, [_row(one) for one in claims]),)),
        _items_section(study),
        Section("Who the trainees are", _who(study), (Table(("figure", "mean", "SD"), _spreads(study)),)),
        Section("What they were shown", _shown(study)),
    ]


def _row(one: Claim) -> tuple[str, str, str, str]:
    return one.claim, one.bar, one.found, "" if one.met is None else "yes" if one.met else "no"


def _items_section(study: Study) -> Section:
    text = (
        "An answer of yes or no to a pair says most about an ability where the chance of being right is .81, and no "
        f"choice of pairs gets more than an information of {GREATEST_INFORMATION:.4f} out of it. People who are about "
        "80 % right on a form are measured by it nearly as well as can be; an adaptive block saves items with those "
        "whom the form does not fit, and more where the form's difficulties are spread wider. "
        "The least share is that of the information at the true ability, which standard errors follow as forms get "
        f"long: where it is above {MOST_ITEMS:.0%}, no choice of pairs brings that bar within reach. Standard errors "
        f"are those of the posterior under the prior of adaptive blocks, mean 0 and SD {PRIOR_SD:g}."
    )
    thetas = Table(
        ("ability", "items of the form's that were needed", "standard error", "least that can be needed"),
        [
            (f"{theta:g}", f"{found.ratio:.0%}", f"{found.standard_error:.0%}", f"{least:.0%}")
            for theta, (found, least) in by_theta(study).items()
        ],
        f"By ability, of {len(next(iter(study.at_theta.values()), ()))} people each",
    )
    spreads = Table(
        ("SD of the form's difficulties, logits", "least that can be needed"),
        [(f"{sd:g}", f"{least:.0%}") for sd, least in by_spread(study).items()],
        "By spread of the form, computed for these people",
    )
    return Section("What the saving of items depends on", text, (thetas, spreads))


def _who(study: Study) -> str:
    people = study.population
    return (
        "The Glasgow Face Matching Test is answered 81 % right with an SD of 9.7 points, of which 7.5 are left for "
        "people when the chance of 40 answers is taken off; d' and theta have that mean and spread. The spread of c, "
        "the weight of advice and the agreement of two looks at a pair are assumed: the correlation of two looks is "
        f"{people.memory:g}. Ratings have their limits at {people.scale.undecided:g}, {people.scale.unsure:g} and "
        f"{people.scale.fairly:g} to both sides of the criterion. What is undecided is not called the same, so that "
        f"the criterion that figures see lies {people.scale.undecided:g} higher. Triads are answered by the same "
        "theta, with a guess rate of a third."
    )


def _spreads(study: Study) -> list[tuple[str, str, str]]:
    people = study.population
    named: dict[str, Spread] = {
        "d'": people.dprime,
        "c": people.criterion,
        "weight of advice": people.advice_weight,
        "theta": people.theta,
    }
    return [(name, f"{one.mean:g}", f"{one.sd:g}") for name, one in named.items()]


def _shown(study: Study) -> str:
    sizes = study.sizes
    return (
        f"{sizes.pairs} + {sizes.pairs} pairs without difficulty for d' and c; {sizes.aided} + {sizes.aided} with "
        f"advice, a quarter of it wrong; a fixed form of {sizes.form} + {sizes.form} pairs whose difficulties have "
        f"mean 0 and SD 1 within each truth, as forms of the bank have; an adaptive block of {sizes.adaptive} pairs "
        f"out of {2 * sizes.pool} that aims at {sizes.target:g}, of whose share of right answers the first {FIRST} "
        f"trials are left out; {sizes.triads} triads. All went through the sessions and the estimators of the product."
    )
