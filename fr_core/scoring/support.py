"""Judges what a number of comparisons can support: the rule of 3, the rule of 30, and a sentence for a report.

Both rules take the comparisons for independent. Those that share people are not, and tell less than their number says:
where there is an interval by resampling people, read that (`bootstrap`). Sources of the rules:
J. A. Hanley and A. Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249 (1983) 1743-1745;
G. R. Doddington, M. A. Przybocki, A. F. Martin and D. A. Reynolds, "The NIST speaker recognition evaluation: overview,
methodology, systems, results, perspective", Speech Communication 31 (2000) 225-254. For biometrics: A. J. Mansfield and
J. L. Wayman, "Best practices in testing and reporting performance of biometric devices", NPL report CMSC 14/02 (2002).
"""

from dataclasses import dataclass
from enum import StrEnum

from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import Message, message

ENOUGH_ERRORS = 30  # Doddington et al. (2000): within 30 % of the true rate, 90 % confidence
NO_ERRORS_FACTOR = 3  # Hanley and Lippman-Hand (1983): -ln 0.05 = 2.996, 95 % confidence, one-sided


class Strength(StrEnum):
    """The support that a number of errors gives the rate that it makes."""

    NO_ERRORS = "no errors"
    FEW_ERRORS = "few errors"
    ENOUGH_ERRORS = "enough errors"


@dataclass(frozen=True, slots=True)
class Support:
    """The conclusions from some errors among some comparisons."""

    errors: int  # comparisons decided wrongly
    comparisons: int  # all of them, at least 1
    # NO_ERRORS: only an upper limit is known. FEW_ERRORS: under 30. ENOUGH_ERRORS: the true rate is within 30 % of the
    # observed one, with 90 % confidence, if the comparisons are independent; comparisons that share people are not.
    strength: Strength
    sentence: Message  # the same for a report


def rule_of_three(comparisons: int) -> float:
    """The upper 95 % limit (one-sided) of a rate of which n comparisons showed no error: 3 / n, at most 1.

    Raises `UndefinedRate`: there is no comparison; `ValueError`: the number is negative.
    """
    _check_counts(0, comparisons)
    return min(1.0, NO_ERRORS_FACTOR / comparisons)


def support(errors: int, comparisons: int) -> Support:
    """Return what `errors` among `comparisons` tell of the true rate.

    Raises `UndefinedRate`: there is no comparison; `ValueError`: a number is negative, or there are more errors than
    comparisons.
    """
    _check_counts(errors, comparisons)
    if errors == 0:
        strength, known = Strength.NO_ERRORS, message("rate_support.none", limit=rule_of_three(comparisons))
    elif errors < ENOUGH_ERRORS:
        strength, known = Strength.FEW_ERRORS, message("rate_support.few", enough=ENOUGH_ERRORS)
    else:
        strength, known = Strength.ENOUGH_ERRORS, message("rate_support.enough")
    among = message("rate_support.comparisons", count=comparisons)
    sentence = message("rate_support.errors", count=errors, comparisons=among, known=known)
    return Support(errors, comparisons, strength, sentence)


def _check_counts(errors: int, comparisons: int) -> None:
    if errors < 0 or comparisons < 0 or errors > comparisons:
        raise ValueError(f"{errors} errors in {comparisons} comparisons cannot be.")
    if comparisons == 0:
        raise UndefinedRate(message("undefined.core.no_comparisons_support_no"))
