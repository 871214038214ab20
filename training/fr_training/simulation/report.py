"""Writes the study in words and tables, for the terminal and the page, and as JSON.

Keys: `format` and `kind`; `notice`; `seed`, `trainees`, `population`, `sizes`; `claims`, each with `claim`, `bar`,
`found`, `met` (null where there is no bar) and `figures`; `met`, whether every bar is met; `items` with
`greatest_information`, `by_theta` and `by_spread`; `trials` with means by adaptive trial; `people`, one each, with what
is true, what an estimator gives on average (`target`), the estimate and the ends of its interval, by figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from fr_evaluation.words import Section, Table, counted
from fr_training.sessions.order import PRIOR_SD
from fr_training.simulation.claims import (
    FIRST,
    THIRDS,
    Claim,
    Series,
    adaptive_claims,
    chances,
    recovery_claims,
    series_of,
    thirds,
)
from fr_training.simulation.savings import (
    GREATEST_INFORMATION,
    MOST_ITEMS,
    by_spread,
    by_theta,
    curves,
    saving_claims,
)
from fr_training.simulation.study import Study
from fr_training.simulation.trainee import Spread

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


def all_claims(study: Study) -> tuple[Claim, ...]:
    """Every claim of the study."""
    return (*recovery_claims(study), *saving_claims(study), *adaptive_claims(study))


def all_met(claims: Iterable[Claim]) -> bool:
    """True if every bar is met; claims without one do not count."""
    return all(one.met is not False for one in claims)


ENOUGH = 500
"""Trainees from whom the bars on coverage, 93 to 97 %, are seldom missed by chance: of 60, one in three is."""


def summary(study: Study, claims: Sequence[Claim]) -> str:
    """The findings in a sentence or two."""
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


FORMAT = 1


def document(study: Study, claims: Sequence[Claim]) -> str:
    """The whole text; the same study gives the same."""
    keys = {
        "format": FORMAT,
        "kind": "training-simulation",
        "notice": NOTICE,
        "seed": study.seed,
        "trainees": len(study.people),
        "population": asdict(study.population),
        "sizes": asdict(study.sizes),
        "met": all_met(claims),
        "claims": [_claim(one) for one in claims],
        "items": _items(study),
        "trials": _trials(study),
        "people": _people(series_of(study), len(study.people)),
    }
    return json.dumps(keys, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _claim(one: Claim) -> dict[str, Any]:
    return {
        "claim": one.claim,
        "bar": one.bar,
        "found": one.found,
        "met": one.met,
        "figures": dict(one.figures),
    }


def _items(study: Study) -> dict[str, Any]:
    return {
        "greatest_information": GREATEST_INFORMATION,
        "by_theta": [
            {"theta": theta, "least": least, **asdict(found)} for theta, (found, least) in by_theta(study).items()
        ],
        "by_spread": [{"sd": sd, "least": least} for sd, least in by_spread(study).items()],
    }


def _trials(study: Study) -> dict[str, Any]:
    adaptive, form = curves([one.ability for one in study.people])
    right, third = chances(study), thirds(study)
    return {
        "sd_adaptive": adaptive.tolist(),
        "sd_form": form,
        "p_right": {name: right[third == place].mean(axis=0).tolist() for place, name in enumerate(THIRDS)},
    }


def _people(series: Sequence[Series], count: int) -> list[dict[str, Any]]:
    return [
        {
            one.key: {
                "true": float(one.true[n]),
                "target": float(one.target[n]),
                "estimate": float(one.estimate[n]),
                "low": float(one.low[n]),
                "high": float(one.high[n]),
            }
            for one in series
        }
        for n in range(count)
    ]
