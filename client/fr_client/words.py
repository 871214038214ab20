"""Names the API's choices in words, such as "missing-person", and gives their values."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, TypeVar

from fr_api.v1 import access_pb2, common_pb2, evaluation_pb2, gallery_pb2, review_pb2, training_pb2, video_pb2

ValueT = TypeVar("ValueT", bound=int)

# What to do with a photo that holds more than one face.
OneFace = Literal["prominent", "error", "largest"]
SeveralFaces = Literal[OneFace, "all"]
# How the similarities of a subject's templates become the one that ranks it.
Fusion = Literal["max", "mean-top-2", "mean-template"]
# The uses of a gallery.
Use = Literal["operational", "training", "test"]
# The purposes of a search or a case.
Purpose = Literal[
    "investigation", "missing-person", "victim", "unknown-person", "record-keeping", "training", "testing"
]
# The purposes of reading a gallery, which include maintaining its records.
ReadingPurpose = Literal[Purpose, "gallery-maintenance"]
# A file of an evaluation report: its figures, its page, the similarity of every pair, its calibration.
ReportFile = Literal["json", "html", "scores", "calibration"]
# A file of a training report, and a format of an export.
TrainingFile = Literal["json", "html", "deck", "certificate"]
ExportFormat = Literal["csv", "xapi", "ags", "open-badges"]
# The standard of a package of lessons for a learning platform.
PackageFormat = Literal["scorm-2004", "cmi5"]
# What an examiner found, or what an examination concludes. None of them is an identity.
Finding = Literal["potential-candidate", "no-candidate", "inconclusive"]
# The template of a track that a search uses.
TrackProbe = Literal["mean", "best-shot"]
Role = Literal["trainee", "trainer", "operator", "examiner", "auditor", "admin"]


class Chain(StrEnum):
    """The audit chains of a server: one for each store; "access" holds reads, refusals and failed handshakes."""

    GALLERIES = "galleries"
    TRAINING = "training"
    CASES = "cases"
    ACCESS = "access"


CHAINS = tuple(chain.value for chain in Chain)


def _words(values: Any, prefix: str) -> dict[str, Any]:
    """Return the values of an enum of the API by their words, such as "missing-person" for PURPOSE_MISSING_PERSON."""
    return {name.removeprefix(prefix).lower().replace("_", "-"): value for name, value in values.items() if value}


POLICIES: Mapping[str, common_pb2.SeveralFacesPolicy.ValueType] = _words(
    common_pb2.SeveralFacesPolicy, "SEVERAL_FACES_POLICY_"
)
FUSIONS: Mapping[str, gallery_pb2.ScoreFusion.ValueType] = _words(gallery_pb2.ScoreFusion, "SCORE_FUSION_")
USES: Mapping[str, gallery_pb2.GalleryUse.ValueType] = _words(gallery_pb2.GalleryUse, "GALLERY_USE_")
PURPOSES: Mapping[str, common_pb2.Purpose.ValueType] = _words(common_pb2.Purpose, "PURPOSE_")
REPORT_FILES: Mapping[str, evaluation_pb2.ReportFile.ValueType] = {
    "json": evaluation_pb2.REPORT_FILE_JSON,
    "html": evaluation_pb2.REPORT_FILE_HTML,
    "scores": evaluation_pb2.REPORT_FILE_SCORES_CSV,
    "calibration": evaluation_pb2.REPORT_FILE_CALIBRATION,
}
TRAINING_FILES: Mapping[str, training_pb2.TrainingReportFile.ValueType] = _words(
    training_pb2.TrainingReportFile, "TRAINING_REPORT_FILE_"
)
EXPORT_FORMATS: Mapping[str, training_pb2.ExportFormat.ValueType] = _words(training_pb2.ExportFormat, "EXPORT_FORMAT_")
PACKAGE_FORMATS: Mapping[str, training_pb2.LessonPackageFormat.ValueType] = _words(
    training_pb2.LessonPackageFormat, "LESSON_PACKAGE_FORMAT_"
)
FINDINGS: Mapping[str, review_pb2.FindingKind.ValueType] = _words(review_pb2.FindingKind, "FINDING_KIND_")
TRACK_PROBES: Mapping[str, video_pb2.TrackProbe.ValueType] = _words(video_pb2.TrackProbe, "TRACK_PROBE_")
ROLES: Mapping[str, access_pb2.Role.ValueType] = _words(access_pb2.Role, "ROLE_")
USE_NAMES: Mapping[int, str] = {value: word for word, value in USES.items()}
ROLE_NAMES: Mapping[int, str] = {value: word for word, value in ROLES.items()}


def value_of(name: str, word: str, values: Mapping[str, ValueT]) -> ValueT:
    """Return the API's value of a word; raises `ValueError`, which names the argument, for an unknown word."""
    if word not in values:
        raise ValueError(f"{name} is {word!r}; it can be {', '.join(map(repr, values))}.")
    return values[word]


def purpose_value(word: ReadingPurpose | None) -> common_pb2.Purpose.ValueType:
    """Return the value of a purpose; raises `ValueError` for an unknown word."""
    return common_pb2.PURPOSE_UNSPECIFIED if word is None else value_of("purpose", word, PURPOSES)
