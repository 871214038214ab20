"""Tells an identification report in messages and in rows, for the terminal and for the page."""

from collections.abc import Sequence

from fr_core.scoring.support import ENOUGH_ERRORS
from fr_evaluation import words
from fr_evaluation.identification.figures import RANK, FpirRow, IdentificationReport, SizeFigures
from fr_evaluation.identification.searches import Likeness
from fr_locales.messages import Message, message

HIT_HEADER = (
    message("evaluation.hits.gallery"),
    message("evaluation.hits.first"),
    message("evaluation.hits.among", rank=RANK),
)
THRESHOLD_HEADER = (
    message("evaluation.searches.asked"),
    message("evaluation.thresholds.threshold"),
    message("evaluation.searches.observed"),
    message("evaluation.searches.missed"),
    message("evaluation.thresholds.support"),
)


def summary(report: IdentificationReport) -> words.Text:
    """Summarise the findings in a paragraph for the person who sets a threshold."""
    searches, figures, dataset = report.searches, report.figures, report.dataset
    if not figures.sizes:
        return " ".join(figures.undefined.values())
    smallest, largest = figures.sizes[0], figures.sizes[-1]
    mated, nonmated = searches.mated[0], searches.nonmated[0]
    others = len(nonmated.top_similarities) + nonmated.failures
    part = message("evaluation.identification.part", part=dataset.part) if dataset.part else ""
    first, title = smallest.cmc[0], dataset.manifest.title
    sentences = [
        message("evaluation.identification.enrolled", people=searches.people, title=title, part=part),
        message("evaluation.identification.searched", mated=mated.total, others=others),
        message("evaluation.identification.first", share=first.value, low=first.interval.low, high=first.interval.high),
        *map(_at_threshold, smallest.at_fpir),
    ]
    if largest is not smallest:
        size, share = largest.gallery_size, largest.cmc[0].value
        sentences.append(message("evaluation.identification.strangers", size=size, share=share))
        sentences += _about_strangers(searches.likeness)
    too_small = [size for size in report.settings.gallery_sizes if size <= searches.people]
    if too_small:
        sizes = ", ".join(f"{size:,}" for size in too_small)
        sentences.append(message("evaluation.identification.too_small", sizes=sizes, people=searches.people))
    missing = mated.failures + nonmated.failures
    if missing:
        sentences.append(message("evaluation.identification.not_done", searches=missing))
    return tuple(sentences)


def _at_threshold(row: FpirRow) -> Message | str:
    if row.point is None:
        return ""
    missed = row.point.fnir
    sure = None if row.by_people is None else row.by_people.fnir
    by_people = "" if sure is None else message("evaluation.identification.by_people", low=sure.low, high=sure.high)
    return message(
        "evaluation.identification.threshold",
        threshold=words.threshold_text(row.point.threshold),
        one_in=round(1 / row.target),
        few=words.few_errors_text(row.point.fpir),
        missed=missed.value,
        low=missed.interval.low,
        high=missed.interval.high,
        by_people=by_people,
    )


def _about_strangers(likeness: Sequence[Likeness]) -> tuple[Message, Message]:
    """Say what drawn strangers show, and what they do not."""
    shown = [one for one in likeness if one.drawn > 0 and one.count >= ENOUGH_ERRORS]
    if not shown:
        return message("evaluation.strangers.drawn"), message("evaluation.strangers.not_told")
    rarest = shown[-1]
    real, drawn = round(1 / rarest.real), round(1 / rarest.drawn)
    harder = message("evaluation.strangers.harder")
    return (
        message("evaluation.strangers.drawn_alike", real=real, drawn=drawn),
        harder if rarest.drawn < rarest.real else message("evaluation.strangers.not_told"),
    )


def sections(report: IdentificationReport) -> tuple[words.Section, ...]:
    """Everything but the summary."""
    sizes = report.figures.sizes
    hits = [
        (f"{size.gallery_size:,}", words.sure_text(size.cmc[0], size.first_by_people), words.sure_text(size.cmc[-1]))
        for size in sizes
    ]
    thresholds = [
        words.Table(
            THRESHOLD_HEADER,
            [*map(_threshold_row, size.at_fpir), _default_row(size)],
            _title(size, report.searches.people),
        )
        for size in sizes
    ]
    return (
        words.section(message("evaluation.hits.heading"), "", words.Table(HIT_HEADER, hits)),
        words.section(message("evaluation.searches.heading"), words.RULE_OF_30, *thresholds),
    )


def _title(size: SizeFigures, people: int) -> Message:
    strangers = size.gallery_size - people
    if strangers:
        return message("evaluation.searches.title_strangers", people=people, strangers=strangers)
    return message("evaluation.searches.title", people=people)


def _default_row(size: SizeFigures) -> tuple[words.Text, ...]:
    fpir, fnir = size.default.fpir, size.default.fnir
    asked, threshold = message("evaluation.searches.default"), words.threshold_text(size.default.threshold, 4)
    return asked, threshold, words.counted_text(fpir), words.sure_text(fnir), words.support_text(fpir)


def _threshold_row(row: FpirRow) -> tuple[words.Text, ...]:
    asked = f"{row.target:g}"
    if row.point is None:
        return asked, "", "", "", message("evaluation.searches.unsupported")
    fpir, fnir, sure = row.point.fpir, row.point.fnir, row.by_people
    observed = words.by_people_text(words.counted_text(fpir), None if sure is None else sure.fpir)
    missed = words.sure_text(fnir, None if sure is None else sure.fnir)
    return asked, words.threshold_text(row.point.threshold, 4), observed, missed, words.support_text(fpir)
