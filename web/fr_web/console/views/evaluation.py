"""Evaluations: data sets, a run with its progress, reports with their plots, and two reports side by side."""

import html
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from fr_api.v1 import access_pb2, evaluation_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.curves import curves_of, drawn
from fr_web.console.visit import ON_A_PAGE, Screen, Visit

_MEASURES = frozenset({access_pb2.ROLE_TRAINER, access_pb2.ROLE_ADMIN})
_LISTS = _MEASURES | {access_pb2.ROLE_AUDITOR}
_STEPS = 20  # lines of progress
_LARGEST_BYTES = 32 * 2**20  # of a report's page
_MOST_SIZES = 16
KINDS: Mapping[int, Message] = {
    evaluation_pb2.EVALUATION_KIND_VERIFICATION: message("console.evaluation.verification"),
    evaluation_pb2.EVALUATION_KIND_IDENTIFICATION: message("console.evaluation.identification"),
}
STAGES: Mapping[int, Message] = {
    evaluation_pb2.EVALUATION_STAGE_FIGURES: message("console.evaluation.figures"),
    evaluation_pb2.EVALUATION_STAGE_WRITING: message("console.evaluation.writing"),
}
_FILES: Mapping[int, tuple[str, Message]] = {
    evaluation_pb2.REPORT_FILE_JSON: ("report.json", message("console.evaluation.json")),
    evaluation_pb2.REPORT_FILE_HTML: ("report.html", message("console.evaluation.html")),
    evaluation_pb2.REPORT_FILE_SCORES_CSV: ("scores.csv", message("console.evaluation.csv")),
    evaluation_pb2.REPORT_FILE_CALIBRATION: ("calibration.json", message("console.evaluation.calibration")),
}
# Of the page that the server made of a report: its plots with captions, and the hardest pairs where terms allow them.
_FIGURE = re.compile(r"<figure>(<svg.*?</svg>)\s*<figcaption>(.*?)</figcaption>", re.DOTALL)
_PAIR = re.compile(r'<tr><td>((?:<img src="data:image/jpeg;base64,[^"]*"[^>]*>)+)</td>(.*?)</tr>', re.DOTALL)
_PHOTO = re.compile(r'<img src="data:image/jpeg;base64,([A-Za-z0-9+/=]*)"')
_CELL = re.compile(r"<td>(.*?)</td>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Run:
    """An evaluation: `gallery_sizes` are whole numbers between spaces."""

    dataset: str
    kind: int = evaluation_pb2.EVALUATION_KIND_VERIFICATION
    seed: int = 1
    gallery_sizes: str = ""


async def evaluation(visit: Visit, error: FrApiError | None = None) -> Response:
    """List the data sets and the reports."""
    may_run = bool(visit.who.roles & _MEASURES)
    datasets: Sequence[evaluation_pb2.Dataset] = ()
    if may_run:
        request = evaluation_pb2.ListDatasetsRequest()
        datasets = (await visit.ask(request, evaluation_pb2.ListDatasetsResponse)).datasets
    listing = evaluation_pb2.ListReportsRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(listing, evaluation_pb2.ListReportsResponse)
    chosen = visit.request.query_params.getlist("id")
    return visit.page(
        "evaluation.html", error, datasets=datasets, found=found, kinds=KINDS, may_run=may_run, chosen=chosen
    )


async def run(visit: Visit) -> Response:
    """Measure, and show how far it is; whoever leaves the page ends it."""
    form = visit.form(Run)
    return await visit.growing("evaluation_run.html", _steps(visit, form), form=form)


async def _steps(visit: Visit, form: Run) -> AsyncIterator[str]:
    events: AsyncIterator[evaluation_pb2.RunVerificationResponse | evaluation_pb2.RunIdentificationResponse]
    seed = form.seed if form.seed > 0 else 1
    if form.kind == evaluation_pb2.EVALUATION_KIND_IDENTIFICATION:
        sizes = _sizes(visit, form.gallery_sizes)
        wanted = evaluation_pb2.RunIdentificationRequest(dataset=form.dataset, seed=seed, gallery_sizes=sizes)
        events = visit.each(wanted, evaluation_pb2.RunIdentificationResponse)
    else:
        request = evaluation_pb2.RunVerificationRequest(dataset=form.dataset, seed=seed)
        events = visit.each(request, evaluation_pb2.RunVerificationResponse)
    told = (-1, -1)
    async for event in events:
        values: dict[str, Any] = {"progress": None, "report": None, "stages": STAGES}
        if event.WhichOneof("event") == "report":
            yield visit.desk.html(visit, "evaluation_row.html", {**values, "report": event.report})
            continue
        progress = event.progress
        step = (progress.stage, progress.photos * _STEPS // max(progress.total, 1))
        if step > told:
            told = step
            yield visit.desk.html(visit, "evaluation_row.html", {**values, "progress": progress})


async def report(visit: Visit) -> Response:
    """Show a report: what it says, its figures, its plots, and the hardest pairs where the data set allows it."""
    summary, said = await _read(visit, visit.query("id"))
    plots: list[tuple[Markup, str]] = []
    pairs: list[tuple[list[Markup], list[str]]] = []
    if evaluation_pb2.REPORT_FILE_HTML in summary.files:
        text = (await _file(visit, summary.report_id, evaluation_pb2.REPORT_FILE_HTML))[1].decode("utf-8", "replace")
        plots, pairs = list(_plots(text)), list(_pairs(text))
    return visit.page(
        "evaluation_report.html",
        report=summary,
        kinds=KINDS,
        files=[(file, *_FILES[file]) for file in summary.files if file in _FILES],
        plots=plots,
        pairs=pairs,
        curves=[drawn([one]) for one in curves_of(said)],
        dataset=said.get("dataset") or {},
        may_delete=bool(visit.who.roles & _MEASURES),
    )


async def compare(visit: Visit) -> Response:
    """Show two reports side by side, with the curves of both in one picture; or the list again, with the reason."""
    chosen = visit.request.query_params.getlist("id")
    if len(chosen) != 2 or chosen[0] == chosen[1]:
        return await evaluation(visit, visit.invalid(message("console.evaluation.two"), "id"))
    both = [await _read(visit, one) for one in chosen]
    if both[0][0].kind != both[1][0].kind:
        return await evaluation(visit, visit.invalid(message("console.evaluation.two_kinds"), "id"))
    reports = [summary for summary, _ in both]
    first, second = ({one.name: one for one in curves_of(said)} for _, said in both)
    pictures = [drawn([first[name], second[name]]) for name in first if name in second]
    lists = [(said.get("dataset") or {}).get("list_sha256") for _, said in both]
    same = bool(lists[0]) and lists[0] == lists[1]
    return visit.page("evaluation_compare.html", reports=reports, pictures=pictures, same=same, kinds=KINDS)


async def download(visit: Visit) -> Response:
    """Send a file of a report."""
    text = visit.query("file")
    file = next((one for one in _FILES if str(one) == text), None)
    if file is None:
        raise visit.invalid(message("console.evaluation.no_file"), "file")
    request = evaluation_pb2.GetReportRequest(
        report_id=visit.query("id"), file=evaluation_pb2.ReportFile.ValueType(file)
    )
    pieces = visit.each(request, evaluation_pb2.GetReportResponse)  # the first one is the summary, without content
    return await visit.file(_FILES[file][0], "application/octet-stream", (one.content async for one in pieces))


async def delete(visit: Visit) -> Response:
    """Delete a report with all its files."""
    visit.require_sure()
    request = evaluation_pb2.DeleteReportRequest(report_id=visit.query("id"))
    await visit.ask(request, evaluation_pb2.DeleteReportResponse)
    return visit.go("/evaluation")


async def _read(visit: Visit, report_id: str) -> tuple[evaluation_pb2.ReportSummary, Mapping[str, Any]]:
    summary, content = await _file(visit, report_id, evaluation_pb2.REPORT_FILE_JSON)
    said: Mapping[str, Any] = json.loads(content)
    return summary, said


async def _file(visit: Visit, report_id: str, file: int) -> tuple[evaluation_pb2.ReportSummary, bytes]:
    """Return the summary and a file of a report; raises `FrApiError` if it is too large for a page."""
    summary, content = evaluation_pb2.ReportSummary(), bytearray()
    request = evaluation_pb2.GetReportRequest(report_id=report_id, file=evaluation_pb2.ReportFile.ValueType(file))
    async for one in visit.each(request, evaluation_pb2.GetReportResponse):
        if one.WhichOneof("part") == "report":
            summary = one.report
        content += one.content
        if len(content) > _LARGEST_BYTES:
            raise visit.invalid(message("console.evaluation.too_large"), "id")
    return summary, bytes(content)


def _sizes(visit: Visit, text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if len(words) > _MOST_SIZES or not all(one.isdecimal() and len(one) < 9 for one in words):
        raise visit.invalid(message("console.evaluation.sizes_wrong"), "gallery_sizes")
    return [int(one) for one in words]


def _plots(text: str) -> Iterator[tuple[Markup, str]]:
    """Yield the plots of a report's page as addresses that hold them, and their captions."""
    for svg, caption in _FIGURE.findall(text):
        yield _held("svg+xml", b64encode(svg.encode()).decode()), _words(caption)


def _pairs(text: str) -> Iterator[tuple[list[Markup], list[str]]]:
    """Yield the hardest pairs of a report's page: the photos, and what the table says beside them."""
    for photos, rest in _PAIR.findall(text):
        yield [_held("jpeg", one) for one in _PHOTO.findall(photos)], [_words(cell) for cell in _CELL.findall(rest)]


def _held(kind: str, content: str) -> Markup:
    return Markup("data:image/{};base64,{}").format(kind, content)


def _words(text: str) -> str:
    return html.unescape(_TAG.sub(" ", text)).strip()


SCREENS = (
    Screen(
        "/evaluation",
        evaluation,
        roles=_LISTS,
        nav=message("console.nav.evaluation"),
        about=message("console.about.evaluation"),
    ),
    Screen("/evaluation/run", run, method="POST", roles=_MEASURES),
    Screen("/evaluation/report", report, roles=_MEASURES),
    Screen("/evaluation/report", delete, method="POST", roles=_MEASURES),
    Screen("/evaluation/compare", compare, roles=_MEASURES),
    Screen("/evaluation/file", download, roles=_MEASURES),
)
