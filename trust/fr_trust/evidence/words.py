"""The sentences of a report: what figures say of each of the two propositions, and what nobody may take from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from fr_core.scoring.intervals import Rate
from fr_trust.casework.values import Examination, FindingKind
from fr_trust.evidence.values import AuditCounts, Bound, Figures

HP = "Hp: the person in the probe is the person of the candidate."
HD = "Hd: the person in the probe is another person."

NOTICE = (
    "This report tells leads, and what human examiners made of them. It states nobody's identity. No decision about a "
    "person may rest on it alone: a lead needs other evidence, found independently of it."
)

KINDS = {
    FindingKind.POTENTIAL_CANDIDATE: "potential candidate",
    FindingKind.NO_CANDIDATE: "no candidate",
    FindingKind.INCONCLUSIVE: "inconclusive",
}

RATINGS = (
    "A potential candidate is rated: what was observed supports Hp weakly (+1), moderately (+2) or strongly (+3). "
    "Ratings are the examiner's opinion of what was observed, not probabilities."
)

NOBODY_LISTED = (
    "This search gave no candidate, so that there was nothing to examine: no examiner has judged it. That does not say "
    "that the person is not in the gallery."
)

LIMITATIONS = (
    "A lead is not an identity. A search answers with whoever looks most alike, also where the person is not in the "
    "gallery at all.",
    "The larger the gallery, the likelier it holds a stranger who looks very much alike. A similarity that is rare "
    "between two people who are compared alone is to be expected among many.",
    "Image quality decides: blur, low resolution, compression, poor light, pose, covered faces and years between two "
    "photos make similarities of one person lower, and can make those of two people higher.",
    "Error rates differ between groups of people, such as by age, sex and skin colour. The rates of a calibration are "
    "those of the people and photos that it was measured on, and may not hold for the people of this case.",
    "Close relatives, above all twins, look more alike than the strangers whose comparisons a calibration knows.",
    "People who are shown an automatic result tend to agree with it (automation bias), and also trained examiners make "
    "errors. By how many accounts each examination was judged, and whether one of them made the search, is said there; "
    "who used an account, and what they told each other, cannot be seen from it.",
    "Whether a photo was altered before it was sent, and where it comes from, cannot be seen from it here.",
    "What is not in this report is not known to it: it knows nothing of any other evidence of the case, and no prior "
    "probability. So it gives no probability that two photos show one person.",
)


def time_of(at_ms: int) -> str:
    """Return a time as people write it, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def independence(examination: Examination) -> str:
    """Return who gave the findings of a concluded examination, seen from who made the search."""
    findings, searched = examination.findings, examination.searched
    if len(findings) > 1:
        return (
            f"{len(findings)} accounts gave a finding each, none of them the one that made the search. The service "
            "showed none of them the finding of another before the last was given."
        )
    if findings[0].examiner == searched.searched_by:
        return "One account gave the finding, the one that made the search. Nobody else examined this search."
    return "One account gave the finding, another than the one that made the search. Nobody else examined this search."


def of_hp(figures: Figures) -> str:
    """Return what a similarity says where Hp is true."""
    if figures.false_non_match is None:
        return "Not known: there is no calibration that tells it."
    share = _share(figures.false_non_match)
    return f"Of comparisons of one person in the calibration, {share} were less similar than this."


def of_hd(figures: Figures) -> str:
    """Return what a similarity says where Hd is true."""
    if figures.false_match is None:
        return "Not known: there is no calibration that tells it."
    share = _share(figures.false_match)
    return f"Of comparisons of different people in the calibration, {share} were as similar as this or more."


def of_both(figures: Figures, templates: int) -> Iterator[str]:
    """Yield sentences on the likelihood ratio; none where it is not known.

    Args:
        figures: of one similarity.
        templates: searched, of whose best the candidate is one.
    """
    if figures.log10_lr is None:
        return
    yield f"{_how_probable(figures, figures.log10_lr)} It is not the probability of Hp, nor of Hd."
    yield (
        f"It is the ratio of one comparison. The candidate was picked as one of the most similar of {templates:,} "
        "searched templates, for which it does not allow: the best of many is more similar by chance than one is."
    )
    if not figures.in_range:
        yield "No comparison of the calibration has a similarity this far out."


def _how_probable(figures: Figures, log10_lr: float) -> str:
    """Return the ratio to one significant figure; beyond what the calibration can show, no figure."""
    for_hp = log10_lr > 0.0 or figures.bound is Bound.AT_LEAST
    one, other = ("Hp", "Hd") if for_hp and figures.bound is not Bound.AT_MOST else ("Hd", "Hp")
    if figures.bound is not Bound.EXACT or abs(log10_lr) > _most_shown(figures, one):
        return (
            f"This similarity is more probable if {one} is true than if {other} is. How much more is more than the "
            "calibration can show: it has too few comparisons."
        )
    times = float(f"{10.0 ** abs(log10_lr):.0e}")
    if times == 1.0:
        return "This similarity is about as probable if Hp is true as if Hd is."
    return f"This similarity is about {times:,.0f} times more probable if {one} is true than if {other} is."


def _most_shown(figures: Figures, true: str) -> float:
    """Return the greatest |log10| that comparisons of the other proposition bear: of n, a rarity of 1 in n."""
    rate = figures.false_match if true == "Hp" else figures.false_non_match
    return math.inf if rate is None else math.log10(rate.total)


def database_effect(figures: Figures, templates: int) -> str:
    """Return how many strangers a gallery of so many templates would hold that are as similar."""
    if figures.false_match is None:
        return f"How many of {templates:,} templates of strangers would be as similar is not known."
    rate = figures.false_match
    expected = templates * (rate.interval.high if rate.count == 0 else rate.value)
    told = f"at most {expected:,.2g} (with {rate.interval.confidence:.0%} confidence)"
    return (
        f"Among {templates:,} templates of strangers, {told if rate.count == 0 else f'about {expected:,.2g}'} would be "
        "expected to be as similar by chance, reckoned as if comparisons were independent."
    )


def of_audit(audit: AuditCounts | None) -> str:
    """Return what a bundle holds of the audit."""
    if audit is None:
        return "The bundle does not hold the audit records of these searches and findings."
    records = "1 record" if audit.records == 1 else f"{audit.records:,} records"
    return (
        f"The bundle holds all that the audit records of this case, {records}, with the digests of these searches and "
        f"findings. What the server recorded meanwhile of other cases is withheld ({audit.withheld:,}): of each of "
        "those there is a hash, which the chain needs, and no word."
    )


def _share(rate: Rate) -> str:
    interval = rate.interval
    return (
        f"{rate.count:,} of {rate.total:,} ({rate.value:.2g}; with {interval.confidence:.0%} confidence "
        f"{interval.low:.2g} to {interval.high:.2g})"
    )
