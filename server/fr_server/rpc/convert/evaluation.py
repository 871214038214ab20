"""Messages of EvaluationService, to and from values."""

from fr_api.v1 import evaluation_pb2 as pb
from fr_core.errors import InvalidField, message
from fr_datasets.manifests import translated
from fr_evaluation.offers import Offer
from fr_evaluation.report import KINDS, LARGEST_GALLERY
from fr_evaluation.stored import KeptReport
from fr_locales.rendering import spoken
from fr_server.rpc.convert.common import model_message, timestamp
from fr_training.build.sources import COURSE_READERS

MAX_GALLERY_SIZES = 16
# Where none is sent; that of `fr evaluate`.
_SEED = 1
_KINDS = dict(zip(KINDS, (pb.EVALUATION_KIND_VERIFICATION, pb.EVALUATION_KIND_IDENTIFICATION), strict=True))
_FILES = {
    pb.REPORT_FILE_JSON: "report.json",
    pb.REPORT_FILE_HTML: "report.html",
    pb.REPORT_FILE_SCORES_CSV: "scores.csv",
    pb.REPORT_FILE_CALIBRATION: "calibration.json",
}


def sent_seed(request: pb.RunVerificationRequest | pb.RunIdentificationRequest) -> int:
    """Return the seed that was sent, or 1."""
    return request.seed if request.HasField("seed") else _SEED


def gallery_sizes(request: pb.RunIdentificationRequest) -> tuple[int, ...]:
    """Return the sizes that were sent, ascending; raises `InvalidField` for too many, zero or one that is too large."""
    sizes = request.gallery_sizes
    if len(sizes) > MAX_GALLERY_SIZES or not all(1 <= size <= LARGEST_GALLERY for size in sizes):
        raise InvalidField(
            message("error.rpc.gallery_sizes", most=MAX_GALLERY_SIZES, largest_gallery=LARGEST_GALLERY),
            field="gallery_sizes",
        )
    return tuple(sorted(set(sizes)))


def file_name(file: pb.ReportFile.ValueType) -> str:
    """Return the name of a file of a report; raises `InvalidField` for one that is not known."""
    name = _FILES.get(file or pb.REPORT_FILE_JSON)
    if name is None:
        raise InvalidField(message("error.rpc.file_value_call_does"), field="file")
    return name


def dataset_message(offer: Offer) -> pb.Dataset:
    """Build the message of a data set."""
    manifest = offer.manifest
    return pb.Dataset(
        name=manifest.name,
        title=translated(manifest.title, spoken()),
        licence=translated(manifest.licence, spoken()),
        terms=translated(manifest.terms, spoken()),
        citation=manifest.citation,
        kinds=[_KINDS[kind] for kind in offer.kinds],
        available=offer.available,
        for_courses=manifest.name in COURSE_READERS,
    )


def report_message(report: KeptReport) -> pb.ReportSummary:
    """Build the message of a report."""
    summary = report.summary
    return pb.ReportSummary(
        report_id=report.report_id,
        kind=_KINDS[summary.kind],
        dataset=summary.dataset,
        model=model_message(summary.model),
        create_time=timestamp(summary.measured_at),
        version=summary.version,
        summary=summary.words,
        files=[file for file, name in _FILES.items() if name in report.files],
    )
