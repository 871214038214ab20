"""A report that was written, read back strictly: what was measured, with what, and what came out."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TextIO

from pydantic import TypeAdapter, ValidationError

from fr_core.errors import FrError, message
from fr_evaluation.json_values import FORMAT, plain
from fr_evaluation.report import KINDS, LARGEST_GALLERY, Settings
from fr_files.reading import TextRefused, bounded_lines, open_regular, read_at_most, read_json

# kind -> what is read of its scores.csv
_COLUMNS = {
    "verification": {"photo_a", "photo_b", "similarity"},
    "identification": {"photo", "mate_similarity", "other_similarity"},
}

# (name of one photo, of the other), or (name of the photo searched for, column) -> similarity; None where it has none.
Scores = Mapping[tuple[str, str], float | None]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MOST_BYTES, _MOST_VALUES = 64 << 20, 2_000_000


class NotRepeatable(FrError):
    """A report cannot be measured again as it lies there; the sentence says what to do."""

    code: ClassVar[str] = "REPORT_UNUSABLE"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A report as its files have it."""

    kind: str
    dataset: str
    manifest_sha256: str
    list_sha256: str  # of what was compared
    labels_sha256: str  # of what was said of the people; empty where nothing was
    settings: Settings
    versions: Mapping[str, str]  # of libraries
    document: Mapping[str, Any]  # all of report.json
    scores: Scores | None  # of scores.csv; None where there is none


def find_report(path: Path) -> Path:
    """The file of a report: `path` itself, or report.json where `path` is a folder."""
    return path / "report.json" if path.is_dir() else path


def read_recorded(path: Path) -> Recorded:
    """Read report.json, or that of a folder, and scores.csv where it lies beside it.

    Raises `NotRepeatable` if a file is not there, broken, no report, or of another format.
    """
    file = find_report(path)
    document = _document(file)
    if "format" not in document or document.get("kind") not in KINDS:
        raise NotRepeatable(message("error.evaluation.no_report_fr_evaluate", file=file))
    _require_format(document["format"], file)
    try:
        dataset, versions = (_table(document[name], name) for name in ("dataset", "versions"))
        return Recorded(
            document["kind"],
            _text(dataset["name"], "dataset/name"),
            _sha256(dataset["manifest_sha256"], "dataset/manifest_sha256"),
            _sha256(dataset["list_sha256"], "dataset/list_sha256"),
            dataset["labels_sha256"] and _sha256(dataset["labels_sha256"], "dataset/labels_sha256"),
            _settings(document["settings"]),
            {name: _text(version, f"versions/{name}") for name, version in versions.items()},
            document,
            _scores_beside(file, document["kind"]),
        )
    except KeyError as error:
        raise NotRepeatable(message("error.evaluation.lacks", file=file, args=error.args[0])) from error
    except ValueError as error:
        raise NotRepeatable(message("error.evaluation.not_report_fr_core", file=file, error=str(error))) from error


def read_scores(lines: TextIO, kind: str) -> Scores:
    """Read scores.csv of a report of a kind; raises ValueError if it is not such a file."""
    rows = csv.DictReader(bounded_lines(lines), strict=True)
    try:
        if not _COLUMNS[kind] <= set(rows.fieldnames or ()):
            raise ValueError("a column is not there")
        return {of: float(text) if text else None for row in rows for of, text in _similarities(row, kind)}
    except (ValueError, csv.Error) as error:
        raise ValueError(f"no scores at line {max(1, rows.line_num)}") from error


def _similarities(row: Mapping[str, str], kind: str) -> Iterator[tuple[tuple[str, str], str]]:
    if kind == "verification":
        yield (row["photo_a"], row["photo_b"]), row["similarity"]
        return
    for column in ("mate_similarity", "other_similarity"):
        yield (row["photo"], column), row[column]


def _document(file: Path) -> Mapping[str, Any]:
    try:
        data = read_at_most(file, _MOST_BYTES)
        document = read_json(data, _MOST_BYTES, most_values=_MOST_VALUES, parse_constant=_no_number)
    except OSError as error:
        raise NotRepeatable(message("error.evaluation.cannot_read", file=file, reason=str(error.strerror))) from error
    except TextRefused as error:
        raise NotRepeatable(message("error.evaluation.not_report_fr_core", file=file, error=str(error))) from error
    except ValueError as error:
        raise NotRepeatable(message("error.evaluation.no_json_cut_off", file=file)) from error
    if not isinstance(document, dict):
        raise NotRepeatable(message("error.evaluation.no_report_fr_evaluate", file=file))
    try:
        _require_plain(document)
    except ValueError as error:
        raise NotRepeatable(message("error.evaluation.not_report_fr_core", file=file, error=str(error))) from error
    return document


def _require_plain(value: object) -> None:
    """Raise ValueError for texts that cannot be written back."""
    inner: list[object] = []
    match value:
        case str() if _SURROGATE.search(value):
            raise ValueError("a text of it holds a character that no text can have")
        case dict():
            inner = [*value, *value.values()]
        case list():
            inner = value
    for one in inner:
        _require_plain(one)


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _require_format(found: object, file: Path) -> None:
    if found == FORMAT and type(found) is int:
        return
    shown = repr(found)
    if type(found) is int and found > FORMAT:
        raise NotRepeatable(message("error.evaluation.later_format", file=file, found=shown, known=FORMAT))
    raise NotRepeatable(message("error.evaluation.other_format", file=file, found=shown, known=FORMAT))


def _settings(value: Any) -> Settings:
    """The settings from their keys, no more and no fewer."""
    try:
        found = TypeAdapter(Settings).validate_json(json.dumps(value), strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"`{'/'.join(map(str, ('settings', *first['loc'])))}`: {first['msg']}") from error
    for name in ("images", "quality"):
        if missing := plain(found)[name].keys() - value[name].keys():
            raise ValueError(f"`settings/{name}` lacks `{min(missing)}`")
    sizes = list(found.gallery_sizes)
    if any(not 1 <= size <= LARGEST_GALLERY for size in sizes) or sizes != sorted(set(sizes)):
        raise ValueError(f"`settings/gallery_sizes` are not ascending numbers from 1 to {LARGEST_GALLERY}")
    if found.seed < 0 or not isfinite(found.threshold):
        name = "seed" if found.seed < 0 else "threshold"
        raise ValueError(f"`settings/{name}` is not a usable number")
    return found


def _table(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"`{path}` is not an object")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"`{name}` is not text")
    return value


def _sha256(value: object, name: str) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"`{name}` is not a sha256")
    return value


def _scores_beside(file: Path, kind: str) -> Scores | None:
    path = file.with_name("scores.csv")
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as lines:
            return read_scores(lines, kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotRepeatable(message("error.evaluation.cannot_read_2", path=path, reason=str(error.strerror))) from error
    except ValueError as error:
        raise NotRepeatable(message("error.evaluation.broken", path=path, error=str(error))) from error
