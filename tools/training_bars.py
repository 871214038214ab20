"""Prints the bars of training beside what is found: `make training-bars`; ends with 1 where one is missed.

They are those of `fr train simulate`, of 500 trainees, and figures that were computed by hand. Chance alone misses a
bar of two standard errors once in 22. So where bars are missed, as many trainees of the next seed follow, and what they
miss again is missed. Fewer take less time, and miss bars on coverage by chance: `make training-bars TRAINEES=100`.
"""

import argparse
import sys
from collections.abc import Sequence

from fr_evaluation.cli_parts import print_words
from fr_training.report.cells import text
from fr_training.simulation.claims import Claim
from fr_training.simulation.report import NOTICE, all_claims, sections, summary
from fr_training.simulation.study import Study, run_study
from support.oracles import ORACLES, Oracle


def claims_of(study: Study) -> tuple[Claim, ...]:
    """The claims of a study, and one for each figure that was computed by hand."""
    return (*all_claims(study), *map(_of_oracle, ORACLES))


def _of_oracle(one: Oracle) -> Claim:
    bar, told = (" ".join(f"{value:.{one.decimals}f}" for value in values) for values in (one.wanted, one.found()))
    return Claim(one.name, bar, told, one.off() <= 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="The bars of training beside what is found.")
    parser.add_argument("--trainees", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    missed = _printed(chosen.trainees, chosen.seed)
    if missed:
        missed &= _printed(chosen.trainees, chosen.seed + 1)
        print(f"Missed twice: {'; '.join(sorted(missed)) or 'none'}.")
    return 1 if missed else 0


def _printed(trainees: int, seed: int) -> set[str]:
    """Run a study and print it; the claims that it misses."""
    study = run_study(trainees, seed)
    claims = claims_of(study)
    print_words(summary(study, claims), sections(study, claims), text(NOTICE))
    return {text(one.claim) for one in claims if one.met is False}


if __name__ == "__main__":
    sys.exit(main())
