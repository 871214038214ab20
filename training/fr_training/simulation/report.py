"""Writes the study in words and tables, for the terminal and the page, and as JSON.

Keys: `format` and `kind`; `notice`; `seed`, `trainees`, `population`, `sizes`; `claims`, each with `claim`, `bar`,
`found`, `met` (null where there is no bar) and `figures`; `met`, whether every bar is met; `items` with
`greatest_information`, `by_theta` and `by_spread`; `trials` with means by adaptive trial; `people`, one each, with what
is true, what an estimator gives on average (`target`), the estimate and the ends of its interval, by figure; `worlds`,
the same of those who took a sitting of a shipped plan, by world.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from fr_evaluation.words import Section
from fr_locales.messages import Message, message
from fr_training.report.cells import Row, table, text, told
from fr_training.simulation.claims import (
    FIRST,
    THIRDS,
    Claim,
    Series,
    adaptive_claims,
    bias_claim,
    chances,
    coverage_claim,
    series_of,
    thirds,
)
from fr_training.simulation.saving import GREATEST_INFORMATION, MOST_ITEMS, by_spread, by_theta, curves, saving_claims
from fr_training.simulation.study import Sizes, Study
from fr_training.simulation.trainee import Population
from fr_training.simulation.world_claims import block_claims, cohort_claims, series_of_world, world_claims
from fr_training.simulation.worlds import CLASS, COURSE
from fr_training.statistics.graded import UNKNOWN_PEOPLE

NOTICE = message("simulation.notice")


def all_claims(study: Study) -> tuple[Claim, ...]:
    """Every claim of the study."""
    recovered = series_of(study)
    bias, coverage = map(bias_claim, recovered), map(coverage_claim, recovered)
    of_shipped = (*world_claims(study), *block_claims(study), *cohort_claims(study))
    return (*bias, *coverage, *saving_claims(study), *adaptive_claims(study), *of_shipped)


def all_met(claims: Iterable[Claim]) -> bool:
    """True if every bar is met; claims without one do not count."""
    return all(one.met is not False for one in claims)


ENOUGH = 500  # trainees from whom the bars on coverage, 93 to 97 %, are seldom missed by chance: of 60, one in three is


def summary(study: Study, claims: Sequence[Claim]) -> str:
    """The findings in a sentence or two."""
    barred = [one for one in claims if one.met is not None]
    missed = [one.claim for one in barred if not one.met]
    met = message("simulation.met", met=len(barred) - len(missed), count=len(barred))
    parts = [
        message("simulation.summary", count=len(study.people), seed=study.seed, met=met),
        *(message("simulation.missed", claim=one) for one in missed),
    ]
    if len(study.people) < ENOUGH:
        parts.append(message("simulation.few", enough=ENOUGH))
    return " ".join(map(text, parts))


def sections(study: Study, claims: Sequence[Claim]) -> list[Section]:
    """The claims, and what they rest on."""
    header = (message("column.claim"), message("column.bar"), message("column.found"), message("column.met"))
    spread = (message("column.figure"), message("column.mean"), message("column.sd"))
    rows = [(one.claim, one.bar, one.found, one.met) for one in claims]
    return [
        told(message("section.claims"), message("about.claims"), table(header, rows)),
        _items_section(study),
        told(message("section.population"), _who(study), table(spread, _spreads(study.population))),
        told(message("section.shown"), _shown(study.sizes)),
        told(message("section.worlds"), message("about.worlds", plan=COURSE, trainees=CLASS)),
    ]


def _items_section(study: Study) -> Section:
    greatest = f"{GREATEST_INFORMATION:.4f}"
    about = message("about.items_needed", greatest=greatest, most=MOST_ITEMS, sd=UNKNOWN_PEOPLE.theta.sd)
    by_ability: list[Row] = [
        (f"{theta:g}", f"{found.ratio:.0%}", f"{found.standard_error:.0%}", f"{least:.0%}")
        for theta, (found, least) in by_theta(study).items()
    ]
    by_form: list[Row] = [(f"{sd:g}", f"{least:.0%}") for sd, least in by_spread(study).items()]
    needed = (message("column.ability"), message("column.items_needed"), message("column.standard_error"))
    people = len(next(iter(study.at_theta.values()), ()))
    return told(
        message("section.items_needed"),
        about,
        table((*needed, message("column.least")), by_ability, message("title.by_ability", people=people)),
        table((message("column.form_sd"), message("column.least")), by_form, message("title.by_spread")),
    )


def _who(study: Study) -> Message:
    scale = study.population.scale
    return message(
        "about.population",
        memory=study.population.memory,
        undecided=scale.undecided,
        unsure=scale.unsure,
        fairly=scale.fairly,
    )


def _spreads(people: Population) -> list[Row]:
    named = (
        (message("figure.dprime"), people.dprime),
        (message("figure.criterion"), people.criterion),
        (message("figure.advice_weight"), people.advice_weight),
        (message("figure.theta"), people.theta),
        (message("figure.log_scale"), people.log_scale),
    )
    return [(name, f"{one.mean:g}", f"{one.sd:g}") for name, one in named]


def _shown(sizes: Sizes) -> Message:
    return message(
        "about.shown",
        pairs=sizes.pairs,
        aided=sizes.aided,
        form=sizes.form,
        adaptive=sizes.adaptive,
        pool=2 * sizes.pool,
        target=sizes.target,
        first=FIRST,
        triads=sizes.triads,
    )


FORMAT = 1


def document(study: Study, claims: Sequence[Claim]) -> str:
    """The whole text; the same study gives the same."""
    keys = {
        "format": FORMAT,
        "kind": "training-simulation",
        "notice": text(NOTICE),
        "seed": study.seed,
        "trainees": len(study.people),
        "population": asdict(study.population),
        "sizes": asdict(study.sizes),
        "met": all_met(claims),
        "claims": [_claim(one) for one in claims],
        "items": _items(study),
        "trials": _trials(study),
        "people": _people(series_of(study), len(study.people)),
        "worlds": {world.key: _people(series_of_world(world, people), len(people)) for world, people in study.worlds},
    }
    return json.dumps(keys, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _claim(one: Claim) -> dict[str, Any]:
    words = {"claim": text(one.claim), "bar": text(one.bar), "found": text(one.found)}
    return {**words, "met": one.met, "figures": dict(one.figures)}


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
