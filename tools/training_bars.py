"""Prints the bars of training beside what is found: `make training-bars`; ends with 1 where one is missed.

They are those of `fr train simulate`, of 500 trainees, and the figures that were computed by hand. A fifth of the
trainees take a fifth of the time, and miss bars on coverage by chance: `make training-bars TRAINEES=100`.
"""

import argparse
import sys
from collections.abc import Sequence

from fr_evaluation.cli_parts import print_words
from fr_training.report.cells import text
from fr_training.simulation.claims import Claim
from fr_training.simulation.report import NOTICE, all_claims, all_met, sections, summary
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
    study = run_study(chosen.trainees, chosen.seed)
    claims = claims_of(study)
    print_words(summary(study, claims), sections(study, claims), text(NOTICE))
    return 0 if all_met(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
