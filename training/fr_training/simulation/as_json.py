"""The study as JSON: every claim with its bar and what was found, and every number that they are made of.

Keys: `format` and `kind`; `notice`; `seed`, `trainees`, `population`, `sizes`; `claims`, each with `claim`, `bar`,
`found`, `met` (null where there is no bar) and `figures`; `met`, whether every bar is met; `items` with
`greatest_information`, `by_theta` and `by_spread`; `trials` with means by adaptive trial; `people`, one each, with what
is true, what an estimator gives on average (`target`), the estimate and the ends of its interval, by figure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fr_training.simulation.claims import Claim, Series
from fr_training.simulation.holding import THIRDS, chances, thirds
from fr_training.simulation.recovery import series_of
from fr_training.simulation.savings import GREATEST_INFORMATION, by_spread, by_theta, curves
from fr_training.simulation.study import Study
from fr_training.simulation.words import NOTICE, all_met

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
