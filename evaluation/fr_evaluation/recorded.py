"""A report that was written, read back strictly: what was measured, with what, and what came out."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TextIO, TypeVar, get_type_hints

from fr_core.errors import FrError
from fr_core.reading import TextRefused, bounded_lines, open_regular, read_at_most, read_json
from fr_evaluation.json_values import FORMAT
from fr_evaluation.kinds import KINDS, LARGEST_GALLERY
from fr_evaluation.report import Settings

# kind -> what is read of its scores.csv
_COLUMNS = {
    "verification": {"photo_a", "photo_b", "similarity"},
    "identification": {"photo", "mate_similarity", "other_similarity"},
}

# (name of one photo, of the other), or (name of the photo searched for, column) -> similarity; None where it has none.
Scores = Mapping[tuple[str, str], float | None]

T = TypeVar("T")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MOST_BYTES, _MOST_VALUES = 64 << 20, 2_000_000


class NotRepeatable(FrError):
    """A report cannot be measured again as it lies there; the sentence says what to do."""

    code: ClassVar[str] = "REPORT_UNUSABLE"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A report as its files have it: `document` is all of report.json, `scores` those of scores.csv, None where there
    is none.

    `list_sha256` is of what was compared, `labels_sha256` of what was said of the people, empty where nothing was;
    `versions` are those of libraries.
    """

    kind: str
    dataset: str
    manifest_sha256: str
    list_sha256: str
    labels_sha256: str
    settings: Settings
    versions: Mapping[str, str]
    document: Mapping[str, Any]
    scores: Scores | None


def find_report(path: Path) -> Path:
    """The file of a report: `path` itself, or report.json where `path` is a folder."""
    return path / "report.json" if path.is_dir() else path


def read_recorded(path: Path) -> Recorded:
    """Read report.json, or that of a folder, and scores.csv where it lies beside it.

    Raises:
        NotRepeatable: a file is not there, broken, no report, or of another format.
    """
    file = find_report(path)
    document = _document(file)
    if "format" not in document or document.get("kind") not in KINDS:
        raise NotRepeatable(f"{file} is no report of `fr evaluate verification` or `identification`.")
    _require_format(document["format"], file)
    try:
        dataset, versions = (_table(document[name], name) for name in ("dataset", "versions"))
        return Recorded(
            document["kind"],
            _text(dataset["name"], "dataset/name"),
            _sha256(dataset["manifest_sha256"], "dataset/manifest_sha256"),
            _sha256(dataset["list_sha256"], "dataset/list_sha256"),
            dataset["labels_sha256"] and _sha256(dataset["labels_sha256"], "dataset/labels_sha256"),
            _values(Settings, document["settings"], "settings"),
            {name: _text(version, f"versions/{name}") for name, version in versions.items()},
            document,
            _scores_beside(file, document["kind"]),
        )
    except KeyError as error:
        raise NotRepeatable(f"{file} lacks `{error.args[0]}`. Take the report as it was written.") from error
    except ValueError as error:
        raise NotRepeatable(f"{file} is not a report as FR Core writes it: {error}. Use the original file.") from error


def read_scores(lines: TextIO, kind: str) -> Scores:
    """Read scores.csv of a report of a kind; raises ValueError where it is no such file."""
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
        raise NotRepeatable(f"{file} cannot be read: {error.strerror}.") from error
    except TextRefused as error:
        raise NotRepeatable(f"{file} is not a report as FR Core writes it: {error}. Use the original file.") from error
    except ValueError as error:
        raise NotRepeatable(f"{file} is no JSON, or is cut off. Take the report as it was written.") from error
    if not isinstance(document, dict):
        raise NotRepeatable(f"{file} is no report of `fr evaluate verification` or `identification`.")
    try:
        _require_plain(document)
    except ValueError as error:
        raise NotRepeatable(f"{file} is not a report as FR Core writes it: {error}. Use the original file.") from error
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
    if type(found) is int and found > FORMAT:
        remedy = "Use the version of FR Core that wrote it, or a later one"
    else:
        remedy = "Measure it anew: reports of an earlier format do not hold all that a repetition needs"
    raise NotRepeatable(f"{file} is of format {found!r}, and this version reads {FORMAT}. {remedy}.")


def _values(kind: type[T], value: object, path: str) -> T:
    """A value of a frozen dataclass from its keys, no more and no fewer."""
    table, kinds = _table(value, path), get_type_hints(kind)
    unknown = set(table) - set(kinds)
    if unknown:
        raise ValueError(f"`{path}` knows no `{min(unknown)}`")
    return kind(**{name: _value(inner, table[name], f"{path}/{name}") for name, inner in kinds.items()})


def _table(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"`{path}` is no object")
    return value


def _value(kind: Any, value: object, path: str) -> object:
    return _READERS[kind](value, path) if kind in _READERS else _values(kind, value, path)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"`{name}` is no text")
    return value


def _sha256(value: object, name: str) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"`{name}` is no sha256")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` is neither true nor false")
    return value


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"`{name}` is no whole number from 0")
    return value


def _number(value: object, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"`{name}` is no number")
    return float(value)


def _texts(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"`{name}` is no list")
    return tuple(_text(one, name) for one in value)


def _counts(value: object, name: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(f"`{name}` is no list")
    counts = tuple(_count(one, name) for one in value)
    if any(not 1 <= count <= LARGEST_GALLERY for count in counts) or list(counts) != sorted(set(counts)):
        raise ValueError(f"`{name}` are no ascending numbers from 1 to {LARGEST_GALLERY}")
    return counts


_READERS: Mapping[Any, Callable[[object, str], object]] = {
    str: _text,
    bool: _flag,
    int: _count,
    float: _number,
    tuple[str, ...]: _texts,
    tuple[int, ...]: _counts,
}


def _scores_beside(file: Path, kind: str) -> Scores | None:
    path = file.with_name("scores.csv")
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as lines:
            return read_scores(lines, kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotRepeatable(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise NotRepeatable(f"{path} is broken: {error}. Take it as it was written, or move it away.") from error
