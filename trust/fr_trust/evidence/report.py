"""The report for people: what was searched, with what, by whom and why, what was found, and what it does not say."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from fr_core import __version__
from fr_locales.messages import Message, message
from fr_locales.rendering import moment, render
from fr_locales.rendering import number as marked
from fr_trust.casework.footage import cited_frame
from fr_trust.casework.rules import examination_conclusion, is_concluded, required_findings
from fr_trust.casework.values import Case, Examination, Finding, FindingKind, Listed
from fr_trust.evidence import words
from fr_trust.evidence.page import bullets, document, heading, notice, paragraph, photos, table
from fr_trust.evidence.values import Audited, Exhibit, Photo

# Widths of what is told and of what it is, percent.
_PAIR = (20, 80)


def report(case: Case, exhibits: Sequence[Exhibit], made_ms: int, made_by: str, audit: Audited | None = None) -> bytes:
    """Return the report of a case, as HTML; see `pieces`."""
    unfinished = sum(not is_concluded(exhibit.examination) for exhibit in exhibits)
    return b"".join(pieces(case, exhibits, (len(exhibits), unfinished), made_ms, made_by, audit))


def pieces(
    case: Case, exhibits: Iterable[Exhibit], counts: tuple[int, int], made_ms: int, made_by: str, audit: Audited | None
) -> Iterator[bytes]:
    """Yield the report, piece by piece; memory grows neither with the exhibits nor with their photos.

    Exhibits are taken one by one, the oldest first; `counts` says how many there are, and how many of them are
    unfinished. `made_ms` is in milliseconds since 1970, UTC, `made_by` a principal_id.
    """
    title = render(message("evidence.title", reference=case.reference))
    return document(title, _body(case, exhibits, counts, made_ms, made_by, audit))


def _body(
    case: Case, exhibits: Iterable[Exhibit], counts: tuple[int, int], made_ms: int, made_by: str, audit: Audited | None
) -> Iterator[str]:
    total, unfinished = counts
    yield notice(render(message("evidence.notice")))
    if unfinished:
        yield notice(render(message("evidence.unfinished_count", unfinished=unfinished, total=total)))
    opened = message("evidence.time_by", time=_time(case.opened_ms), principal=case.opened_by)
    closed = message("evidence.still_open") if case.closed_ms is None else _time(case.closed_ms)
    made = message("evidence.made", time=_time(made_ms), principal=made_by, version=__version__)
    yield _pairs(
        (message("evidence.case_row.case"), case.reference),
        (message("evidence.case_row.case_id"), case.case_id),
        (message("evidence.case_row.purpose"), words.PURPOSES[case.purpose]),
        (message("evidence.case_row.opened"), opened),
        (message("evidence.case_row.closed"), closed),
        (message("evidence.case_row.examinations"), f"{total}"),
        (message("evidence.case_row.this_report"), made),
    )
    for number, exhibit in enumerate(exhibits, 1):
        yield from _examination(number, case, exhibit)
    yield heading(2, render(message("evidence.not_said")))
    yield bullets(map(render, words.LIMITATIONS))
    yield heading(2, render(message("evidence.checking")))
    yield paragraph(render(message("evidence.how_to_check")))
    yield paragraph(render(words.of_audit(audit)))


def _examination(number: int, case: Case, exhibit: Exhibit) -> Iterator[str]:
    own = exhibit.examination
    yield heading(2, render(message("evidence.examination", number=number)))
    conclusion = examination_conclusion(own)
    if conclusion is None:
        yield notice(render(message("evidence.unfinished")))
    else:
        which, kind = _candidate(own, conclusion.template_id), words.KINDS[conclusion.kind]
        told = message("evidence.conclusion", kind=kind)
        if which is not None:
            told = message("evidence.conclusion_ranked", kind=kind, rank=which.rank)
        yield paragraph(render(told))
    yield heading(3, render(message("evidence.how_searched")))
    yield _searched(case, exhibit)
    yield heading(3, render(message("evidence.photos")))
    yield from photos(_photos(exhibit))
    if not own.candidates:
        yield paragraph(render(message("evidence.nobody_listed")))
        return
    if conclusion is not None:
        yield heading(3, render(message("evidence.found")))
        yield paragraph(render(words.independence(own)))
        yield paragraph(render(message("evidence.ratings")))
        columns = (
            message("evidence.finding_column.examiner"),
            message("evidence.finding_column.finding"),
            message("evidence.finding_column.rating"),
            message("evidence.finding_column.observed"),
            message("evidence.finding_column.when"),
        )
        rows = [_finding(number, own, finding) for number, finding in enumerate(own.findings, 1)]
        yield table(("", *map(render, columns)), rows, (3, 22, 18, 8, 35, 14))
    yield heading(3, render(message("evidence.similarities")))
    yield from _propositions(exhibit)


def _searched(case: Case, exhibit: Exhibit) -> str:
    own = exhibit.examination
    searched = own.searched
    calibration: str | Message = searched.calibration_id or message("evidence.no_calibration")
    if exhibit.measured_on:
        calibration = message("evidence.measured_on", calibration=calibration, data=exhibit.measured_on)
    parameters = "\n".join(f"{name} = {value}" for name, value in sorted(searched.parameters.items()))
    examiners = required_findings(searched.operational, len(own.candidates))
    needed = message("evidence.findings_needed", number=examiners) if examiners > 1 else f"{examiners}"
    why = message("evidence.why", purpose=words.PURPOSES[case.purpose], reference=case.reference)
    gallery = message("evidence.gallery", gallery=searched.gallery_id, version=searched.gallery_version)
    cited = cited_frame(searched.derivations)
    source = []
    if cited is not None:
        time = f"{cited.time_s:.6f}"
        what = message("evidence.footage", sha256=cited.sha256, frame=cited.frame, time=time, track=cited.track)
        source = [(message("evidence.search_row.footage"), what)]
    return _pairs(
        (message("evidence.search_row.id"), own.examination_id),
        (message("evidence.search_row.why"), why),
        (message("evidence.search_row.by"), searched.searched_by),
        (message("evidence.search_row.when"), _time(searched.searched_ms)),
        (message("evidence.search_row.probe"), f"sha256 {searched.probe_sha256}"),
        *source,
        (message("evidence.search_row.gallery"), gallery),
        (message("evidence.search_row.templates"), marked(f"{searched.searched_templates:,}")),
        (message("evidence.search_row.model"), searched.model),
        (message("evidence.search_row.threshold"), message("evidence.threshold", threshold=searched.threshold)),
        (message("evidence.search_row.calibration"), calibration),
        (message("evidence.search_row.parameters"), parameters or message("evidence.no_parameters")),
        (message("evidence.search_row.findings_needed"), needed),
    )


def _photos(exhibit: Exhibit) -> Iterator[tuple[Photo, str]]:
    own = exhibit.examination
    yield exhibit.photo(0), render(message("evidence.probe"))
    for place, one in enumerate(own.candidates, 1):
        is_lead = one.similarity >= own.searched.threshold
        lead = message("evidence.above_threshold") if is_lead else message("evidence.below_threshold")
        caption = message(
            "evidence.candidate", rank=one.rank, subject=one.subject_id, similarity=one.similarity, lead=lead
        )
        yield exhibit.photo(place), render(caption)


def _finding(number: int, own: Examination, finding: Finding) -> tuple[str, ...]:
    which, kind = _candidate(own, finding.template_id), words.KINDS[finding.kind]
    if which is not None:
        kind = message("evidence.picked", kind=kind, rank=which.rank, subject=which.subject_id)
    rating = f"{finding.rating:+d}" if finding.kind is FindingKind.POTENTIAL_CANDIDATE else ""
    return f"{number}", finding.examiner, render(kind), rating, finding.notes, _time(finding.given_ms)


def _propositions(exhibit: Exhibit) -> Iterator[str]:
    own = exhibit.examination
    templates = own.searched.searched_templates
    yield paragraph(render(message("evidence.propositions")))
    known = [(one, exhibit.figures[one.template_id]) for one in own.candidates if one.template_id in exhibit.figures]
    if not known:
        yield paragraph(render(message("evidence.nothing_known")))
        return
    columns = (
        message("evidence.similarity_column.rank"),
        message("evidence.similarity_column.similarity"),
        message("evidence.similarity_column.hp"),
        message("evidence.similarity_column.hd"),
        message("evidence.similarity_column.both"),
    )
    rows = [
        (
            f"{one.rank}",
            marked(f"{one.similarity:.4f}"),
            render(words.of_hp(figures)),
            render(words.of_hd(figures)),
            " ".join(map(render, (*words.of_both(figures, templates), words.database_effect(figures, templates)))),
        )
        for one, figures in known
    ]
    yield table(tuple(map(render, columns)), rows, (7, 11, 24, 24, 34))


def _candidate(own: Examination, template_id: int) -> Listed | None:
    return next((one for one in own.candidates if template_id and one.template_id == template_id), None)


def _pairs(*rows: tuple[Message, str | Message]) -> str:
    told = [(render(name), one if isinstance(one, str) else render(one)) for name, one in rows]
    return table(("", ""), told, _PAIR)


def _time(at_ms: int) -> str:
    """Return a time as people write it, UTC."""
    return moment(datetime.fromtimestamp(at_ms / 1000, UTC), seconds=True)
