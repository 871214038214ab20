"""The report for people: what was searched, with what, by whom and why, what was found, and what it does not say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fr_core import __version__
from fr_trust.casework.rules import examination_conclusion, is_concluded, required_findings
from fr_trust.casework.values import Case, Examination, Finding, FindingKind, Listed
from fr_trust.evidence.page import Photo, bullets, document, heading, notice, paragraph, photos, table
from fr_trust.evidence.values import AuditCounts, Exhibit
from fr_trust.evidence.words import (
    HD,
    HP,
    KINDS,
    LIMITATIONS,
    NOBODY_LISTED,
    NOTICE,
    RATINGS,
    database_effect,
    independence,
    of_audit,
    of_both,
    of_hd,
    of_hp,
    time_of,
)

# Widths of what is told and of what it is, percent.
_PAIR = (20, 80)
_UNFINISHED = "This examination is unfinished: it waits for a finding. Until it is concluded no finding of it is told."


def report(
    case: Case, exhibits: Sequence[Exhibit], made_ms: int, made_by: str, audit: AuditCounts | None = None
) -> bytes:
    """Return the report of a case, as HTML.

    Args:
        case: the case.
        exhibits: its examinations, the oldest first.
        made_ms: the time, milliseconds since 1970, UTC.
        made_by: a principal_id.
        audit: what is beside it of the audit; None where there is nothing.
    """
    unfinished = sum(not is_concluded(exhibit.examination) for exhibit in exhibits)
    return b"".join(pieces(case, exhibits, (len(exhibits), unfinished), made_ms, made_by, audit))


def pieces(
    case: Case,
    exhibits: Iterable[Exhibit],
    counts: tuple[int, int],
    made_ms: int,
    made_by: str,
    audit: AuditCounts | None,
) -> Iterator[bytes]:
    """Yield the same, piece by piece; memory grows neither with the exhibits nor with their photos.

    Args:
        case: the case.
        exhibits: its examinations, the oldest first; each is taken when its turn comes.
        counts: how many there are, and how many of them are unfinished.
        made_ms: the time, milliseconds since 1970, UTC.
        made_by: a principal_id.
        audit: what is beside it of the audit; None where there is nothing.
    """
    title = f"Examination of leads: {case.reference}"
    return document(title, _body(case, exhibits, counts, made_ms, made_by, audit))


def _body(
    case: Case,
    exhibits: Iterable[Exhibit],
    counts: tuple[int, int],
    made_ms: int,
    made_by: str,
    audit: AuditCounts | None,
) -> Iterator[str]:
    total, unfinished = counts
    yield notice(NOTICE)
    if unfinished:
        yield notice(f"{unfinished} of {total} examinations are unfinished.")
    closed = "open" if case.closed_ms is None else time_of(case.closed_ms)
    rows = [
        ("Case", case.reference),
        ("Case id", case.case_id),
        ("Purpose", case.purpose.value.replace("_", " ")),
        ("Opened", f"{time_of(case.opened_ms)}, by {case.opened_by}"),
        ("Closed", closed),
        ("Examinations", f"{total}"),
        ("This report", f"{time_of(made_ms)}, by {made_by}, with FR Core {__version__}"),
    ]
    yield table(("", ""), rows, _PAIR)
    for number, exhibit in enumerate(exhibits, 1):
        yield from _examination(number, case, exhibit)
    yield heading(2, "What this does not say")
    yield bullets(LIMITATIONS)
    yield heading(2, "How to check it")
    yield paragraph(
        "This report is one file of an evidence bundle. `fr evidence verify FILE` checks every file of the bundle "
        "against the signed manifest, without a server. Compare the key with the one that the organisation publishes: "
        "a bundle that is whole says of itself only that one key signed all of it."
    )
    yield paragraph(of_audit(audit))


def _examination(number: int, case: Case, exhibit: Exhibit) -> Iterator[str]:
    own = exhibit.examination
    yield heading(2, f"Examination {number}")
    conclusion = examination_conclusion(own)
    if conclusion is None:
        yield notice(_UNFINISHED)
    else:
        which = _candidate(own, conclusion.template_id)
        yield paragraph(f"Conclusion: {KINDS[conclusion.kind]}{'' if which is None else f', rank {which.rank}'}.")
    yield heading(3, "What was searched, and how")
    yield table(("", ""), _searched(case, exhibit), _PAIR)
    yield heading(3, "The photos")
    yield from photos(_photos(exhibit))
    if not own.candidates:
        yield paragraph(NOBODY_LISTED)
        return
    if conclusion is not None:
        yield heading(3, "What examiners found")
        yield paragraph(independence(own))
        yield paragraph(RATINGS)
        yield table(
            ("", "examiner", "finding", "rating", "what was observed", "when"),
            [_finding(number, own, finding) for number, finding in enumerate(own.findings, 1)],
            (3, 22, 18, 8, 35, 14),
        )
    yield heading(3, "What the similarities say")
    yield from _propositions(exhibit)


def _searched(case: Case, exhibit: Exhibit) -> list[tuple[str, str]]:
    own = exhibit.examination
    searched = own.searched
    calibration = searched.calibration_id or "none: no error rates are known"
    if exhibit.measured_on:
        calibration += f", measured on {exhibit.measured_on}"
    parameters = "\n".join(f"{name} = {value}" for name, value in sorted(searched.parameters.items()))
    examiners = required_findings(searched.operational, len(own.candidates))
    return [
        ("Examination id", own.examination_id),
        ("Why", f"{case.purpose.value.replace('_', ' ')}, case {case.reference}"),
        ("By whom", searched.searched_by),
        ("When", time_of(searched.searched_ms)),
        ("Probe", f"sha256 {searched.probe_sha256}"),
        ("Gallery", f"{searched.gallery_id}, version {searched.gallery_version}"),
        ("Templates searched", f"{searched.searched_templates:,}"),
        ("Model", searched.model),
        ("Threshold", f"{searched.threshold:.6g}: from this similarity on a candidate counts as a lead"),
        ("Calibration", calibration),
        ("Parameters", parameters or "none"),
        ("Findings needed", f"{examiners}, and one more where they do not agree" if examiners > 1 else f"{examiners}"),
    ]


def _photos(exhibit: Exhibit) -> Iterator[tuple[Photo, str]]:
    own = exhibit.examination
    yield exhibit.photo(0), "The probe"
    for place, one in enumerate(own.candidates, 1):
        lead = "at or above the threshold" if one.similarity >= own.searched.threshold else "below the threshold"
        yield exhibit.photo(place), f"Rank {one.rank}: {one.subject_id}, similarity {one.similarity:.4f}, {lead}"


def _finding(number: int, own: Examination, finding: Finding) -> tuple[str, ...]:
    which = _candidate(own, finding.template_id)
    picked = "" if which is None else f": rank {which.rank}, {which.subject_id}"
    rating = f"{finding.rating:+d}" if finding.kind is FindingKind.POTENTIAL_CANDIDATE else ""
    when = time_of(finding.given_ms)
    return f"{number}", finding.examiner, f"{KINDS[finding.kind]}{picked}", rating, finding.notes, when


def _propositions(exhibit: Exhibit) -> Iterator[str]:
    own = exhibit.examination
    templates = own.searched.searched_templates
    yield paragraph(f"Two propositions are compared for each candidate. {HP} {HD}")
    known = [(one, exhibit.figures[one.template_id]) for one in own.candidates if one.template_id in exhibit.figures]
    if not known:
        yield paragraph("What the similarities say of either is not known: there is no calibration that tells it.")
        return
    rows = [
        (
            f"{one.rank}",
            f"{one.similarity:.4f}",
            of_hp(figures),
            of_hd(figures),
            " ".join((*of_both(figures, templates), database_effect(figures, templates))),
        )
        for one, figures in known
    ]
    yield table(("rank", "similarity", "if Hp is true", "if Hd is true", "both together"), rows, (7, 11, 24, 24, 34))


def _candidate(own: Examination, template_id: int) -> Listed | None:
    return next((one for one in own.candidates if template_id and one.template_id == template_id), None)
