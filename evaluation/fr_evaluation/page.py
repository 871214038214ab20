"""A verification report as one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from fr_datasets.values import VerificationPair
from fr_evaluation import words
from fr_evaluation.plots import as_svg, figures
from fr_evaluation.report import NOTICE, VerificationReport

# Errors that are listed one by one.
HARDEST = 20

CAPTIONS = {
    "histogram": "Similarities of pairs of one person and of different people.",
    "det": "Both error rates at every threshold, on normal deviates; further down and left is better.",
    "roc": "Pairs of one person that are accepted, at each false match rate.",
}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.notice { border-left: 4px solid #D55E00; padding: .5rem 1rem; background: #fff6ee; }
figure { margin: 1.5rem 0; }
svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; } }
"""


def page(report: VerificationReport) -> str:
    """The whole file."""
    title = f"Verification: {report.dataset.manifest.title}"
    return "".join(
        (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n',
            f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n",
            f'<p class="notice">{escape(NOTICE)}</p>\n<p>{escape(words.summary(report))}</p>\n',
            "<h2>Figures</h2>\n",
            _table(words.HEADER, words.rows(report)),
            "<h2>Thresholds by false match rate</h2>\n",
            _table(
                ("target", "threshold", "observed", "pairs of one person missed", "support"),
                words.threshold_rows(report),
            ),
            "<h2>Curves</h2>\n",
            *(
                f"<figure>{as_svg(figure)}<figcaption>{CAPTIONS[name]}</figcaption></figure>\n"
                for name, figure in figures(report).items()
            ),
            f"<h2>The hardest pairs</h2>\n<p>{_about_errors(report)}</p>\n",
            _table(("pair", "label", "similarity"), _hardest(report)),
            "<h2>How it was measured</h2>\n",
            _table(("", ""), _conditions(report)),
            "</body>\n</html>\n",
        )
    )


def _hardest(report: VerificationReport) -> list[tuple[str, str, str]]:
    """The pairs furthest on the wrong side of the pack's threshold, the worst first."""
    threshold, compared = report.settings.threshold, report.compared
    wrong = [
        (abs(similarity - threshold), pair, similarity)
        for pair, similarity in zip(compared.pairs, compared.similarities.tolist(), strict=True)
        if (similarity >= threshold) != pair.mated
    ]
    wrong.sort(key=lambda one: one[0], reverse=True)
    return [
        (_names(pair, report), "same person" if pair.mated else "different people", f"{similarity:.3f}")
        for _, pair, similarity in wrong[:HARDEST]
    ]


def _about_errors(report: VerificationReport) -> str:
    default = report.figures.default
    threshold = f"{report.settings.threshold:.3f}"
    if default is None:
        return f"Pairs on the wrong side of the pack's threshold, {threshold}."
    return (
        f"At the pack's threshold, {threshold}, {default.fmr.count:,} pairs of different people are accepted and "
        f"{default.fnmr.count:,} of one person are missed. The furthest off come first, {HARDEST} at most. Labels of "
        "data sets are wrong at times: look at a pair before you blame the model."
    )


def _conditions(report: VerificationReport) -> list[tuple[str, str]]:
    dataset, settings = report.dataset, report.settings
    return [
        ("data set", dataset.manifest.name),
        ("terms", dataset.manifest.terms),
        ("to cite", dataset.manifest.citation),
        ("sha256 of the list", dataset.list_sha256),
        ("people", "not named by the list" if dataset.people is None else f"{dataset.people:,}"),
        *((name.replace("_", " "), str(getattr(settings, name))) for name in settings.__slots__),
        ("measured at", report.measured_at.isoformat(timespec="seconds")),
        ("photos took", f"{report.seconds:.1f} s"),
    ]


def _names(pair: VerificationPair, report: VerificationReport) -> str:
    return " and ".join(photo.relative_to(report.dataset.root).as_posix() for photo in (pair.a, pair.b))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>\n" if any(header) else ""
    return f"<table>\n{top}<tbody>\n{body}</tbody>\n</table>\n"
