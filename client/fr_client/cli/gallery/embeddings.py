"""Reads files of embeddings for `fr gallery import`: the one place of the client that needs NumPy."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_client.cli.files import reading
from fr_client.cli.gallery.photo_sources import NAME_COLUMN, SUBJECT_COLUMN
from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_client.requests import EmbeddingSubject
from fr_files.reading import open_regular, open_rows

EMBEDDING_COLUMN = "embedding"
# Limits of one request: the API's, and the bytes of vectors in memory.
_MAX_ROWS = 1000
_MAX_BYTES = 8 * 2**20

Vector = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Consecutive rows of a file, the first of which is row 1: vectors float[D] of any length D, and their subjects."""

    first: int
    vectors: list[Vector]
    subjects: list[EmbeddingSubject]


def open_embeddings(vectors: Path, subjects: Path | None) -> NpyFile | ParquetFile:
    """Open FILE.npy, float[n, D], with the CSV file of its subjects, or FILE.parquet, which has them itself.

    Raises `Unusable` if it cannot be read, has another format, or the two do not belong together.
    """
    suffix = vectors.suffix.lower()
    if suffix == ".parquet" and subjects is None:
        with reading(vectors):
            return ParquetFile(vectors)
    if suffix == ".npy" and subjects is not None:
        with reading(vectors):
            return NpyFile(vectors, subjects)
    raise Unusable("EMBEDDINGS_INVALID", "Give FILE.npy with ROWS.csv, or FILE.parquet without another file.")


class NpyFile:
    """Embeddings of a .npy file, with a CSV file of as many rows: subject_id[,display_name][,...].

    Attributes:
        count: rows.
        size: values of every embedding; None if they differ.
    """

    def __init__(self, vectors: Path, subjects: Path) -> None:
        self._subjects = subjects
        self._vectors = _mapped(vectors)
        with reading_text(subjects):
            listed = sum(1 for _ in _listed(subjects))
        self.count = len(self._vectors)
        self.size: int | None = int(self._vectors.shape[1])
        if listed != self.count:
            raise Unusable(
                "EMBEDDINGS_INVALID",
                f"{shown(vectors)} has {self.count:,} rows and {shown(subjects)} {listed:,}; they must be equal.",
            )

    def rows(self, first: int) -> Iterator[Rows]:
        """Read the rows from number `first` on, some at a time; raises `Unusable` if they cannot be read."""
        at_once = rows_at_once(self.size or 0)
        with reading_text(self._subjects):
            listed = _listed(self._subjects)
            for _ in range(first - 1):
                next(listed)
            for start in range(first - 1, self.count, at_once):
                some = self._vectors[start : start + at_once]
                yield Rows(start + 1, list(some), [next(listed) for _ in some])


def rows_at_once(size: int) -> int:
    """Return the number of embeddings of a size for one request."""
    return max(1, min(_MAX_ROWS, _MAX_BYTES // (4 * max(size, 1))))


def packed(vectors: list[Vector], normalise: bool) -> bytes:
    """Return vectors float[D] of one size as the API expects them: float32, little-endian, one after the other.

    With `normalise`, scales them to length 1; the server refuses those of length zero and those that are not finite.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    if normalise:
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(wide, axis=1, keepdims=True)
            wide = np.divide(wide, lengths, out=wide, where=np.isfinite(lengths) & (lengths > 0.0))
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # values beyond float32 become infinity, which the server refuses
        return wide.astype("<f4").tobytes()


def cut(values: Vector, lengths: Iterable[int]) -> list[Vector]:
    """Cut float[n] into vectors of these lengths, one after the other; n is their sum."""
    ends = np.cumsum([0, *lengths], dtype=np.int64)
    return [values[begin:end] for begin, end in pairwise(ends)]


@contextmanager
def reading_text(path: Path) -> Iterator[None]:
    """Raise `Unusable` if the block cannot read a file, or its text."""
    try:
        with reading(path):
            yield
    except UnicodeDecodeError as error:
        raise broken(path, "it is not text in UTF-8") from error
    except csv.Error as error:
        raise broken(path, str(error)) from error


def broken(path: Path, what: str) -> Unusable:
    """Return the error of a file with wrong content."""
    return Unusable("EMBEDDINGS_INVALID", f"{shown(path)} cannot be used: {what}.")


def subject_of(row: Mapping[str, str]) -> EmbeddingSubject:
    """Return the subject of a row: its id, its name, and every other cell that is not empty as metadata."""
    metadata = {key: value for key, value in row.items() if value and key not in (SUBJECT_COLUMN, NAME_COLUMN)}
    return EmbeddingSubject(row[SUBJECT_COLUMN], row.get(NAME_COLUMN, ""), metadata)


def _mapped(path: Path) -> Vector:
    open_regular(path).close()  # so as not to wait for a pipe
    try:
        # Mapped, to read files larger than the memory; never with pickle, which runs code.
        vectors: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise broken(path, "it is not an array of numbers in NumPy's format") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise broken(path, "it holds no table of floating-point numbers, a row for each embedding")
    return vectors


def _listed(path: Path) -> Iterator[EmbeddingSubject]:
    with open_rows(path) as reader:
        header = [name.strip() for name in next(reader, [])]
        if SUBJECT_COLUMN not in header or "" in header or len(set(header)) < len(header):
            raise broken(path, f"its header needs {SUBJECT_COLUMN!r}, and no column empty or twice")
        for number, cells in enumerate(filter(None, reader), start=1):
            if len(cells) != len(header):
                raise broken(path, f"row {number} has {len(cells)} cells under {len(header)} columns")
            row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            yield subject_of(row)


class ParquetFile:
    """Embeddings of a Parquet file: lists of floating-point numbers, each of any size; attributes as of `NpyFile`."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError as error:
            raise Unusable(
                "IMPORT_UNAVAILABLE",
                "Reading Parquet needs PyArrow, which is not installed; in a clone of FR Core: "
                "pip install './client[parquet]'.",
            ) from error
        open_regular(path).close()  # so as not to wait for a pipe
        self._arrow: Any = pyarrow
        self._path = path
        try:
            self._file: Any = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowInvalid as error:
            raise broken(path, "it is not a Parquet file") from error
        self._require_columns(self._file.schema_arrow)
        self.count: int = self._file.metadata.num_rows
        self.size: int | None = None

    def rows(self, first: int) -> Iterator[Rows]:
        """Read as `NpyFile.rows`."""
        number = 1
        with reading(self._path):
            try:
                for batch in self._file.iter_batches(batch_size=rows_at_once(0)):
                    skipped = min(max(first - number, 0), batch.num_rows)
                    wanted = batch.slice(skipped)
                    if wanted.num_rows:
                        yield _rows(wanted, number + skipped)
                    number += batch.num_rows
            except self._arrow.ArrowException as error:
                raise broken(self._path, f"it is damaged from row {number:,} on") from error

    def _require_columns(self, schema: Any) -> None:
        for needed in (SUBJECT_COLUMN, EMBEDDING_COLUMN):
            if needed not in schema.names:
                raise broken(self._path, f"it has no column {needed!r}")
        if len(set(schema.names)) < len(schema.names):
            raise broken(self._path, "a column occurs twice")
        for column in schema:
            if column.name == EMBEDDING_COLUMN:
                if not self._is_vectors(column.type):
                    raise broken(self._path, f"{EMBEDDING_COLUMN!r} holds no lists of floating-point numbers")
            elif not self._is_text(column.type):
                raise broken(self._path, f"column {column.name!r} holds neither text nor whole numbers")

    def _is_vectors(self, kind: Any) -> bool:
        kinds = self._arrow.types
        is_list = kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind)
        return bool(is_list and kinds.is_floating(kind.value_type))

    def _is_text(self, kind: Any) -> bool:
        kinds = self._arrow.types
        return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_integer(kind))


def _rows(batch: Any, first: int) -> Rows:
    cells = {name: batch.column(name).to_pylist() for name in batch.schema.names if name != EMBEDDING_COLUMN}
    subjects = [
        subject_of({name: "" if cell is None else str(cell) for name, cell in zip(cells, row, strict=True)})
        for row in zip(*cells.values(), strict=True)
    ]
    return Rows(first, _vectors(batch.column(EMBEDDING_COLUMN)), subjects)


def _vectors(column: Any) -> list[Vector]:
    """Return each list as float[D]; a null list as float[0], a null number as NaN."""
    # Null lists have no values there.
    return cut(
        column.flatten().to_numpy(zero_copy_only=False), (size or 0 for size in column.value_lengths().to_pylist())
    )
