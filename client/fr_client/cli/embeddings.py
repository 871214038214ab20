"""Files of embeddings for `fr gallery import`: the one place of the client that needs NumPy."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fr_client.cli.show import shown
from fr_client.cli.sources import NAME_COLUMN, SUBJECT_COLUMN
from fr_client.cli.state import Unusable
from fr_client.requests import EmbeddingSubject
from fr_core.reading import open_regular, open_rows

EMBEDDING_COLUMN = "embedding"
# Of one request, by the API; and the most bytes of vectors that are held for one.
_MAX_ROWS = 1000
_MAX_BYTES = 8 * 2**20

Vector = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of a file, in its order.

    Attributes:
        first: number of the first of them; the first row of a file is 1.
        vectors: float[D] of each, of any length D.
        subjects: whose they are.
    """

    first: int
    vectors: list[Vector]
    subjects: list[EmbeddingSubject]


class EmbeddingFile(Protocol):
    """A file of embeddings, which was looked into and can be read."""

    @property
    def count(self) -> int:
        """How many rows it has."""
        ...

    @property
    def size(self) -> int | None:
        """Values of every embedding; None where each has its own."""
        ...

    def rows(self, first: int) -> Iterator[Rows]:
        """Read the rows from number `first` on, some at a time; raises `Unusable` where they cannot be read."""
        ...


def open_embeddings(vectors: Path, subjects: Path | None) -> EmbeddingFile:
    """Look into a file of embeddings.

    Args:
        vectors: FILE.npy, float[n, D]; or FILE.parquet, which says whose they are too.
        subjects: the CSV file beside FILE.npy.

    Raises:
        Unusable: it cannot be read, is of another kind, or the two do not belong together.
    """
    suffix = vectors.suffix.lower()
    if suffix == ".parquet" and subjects is None:
        from fr_client.cli.parquet import ParquetFile

        with reading(vectors):
            return ParquetFile(vectors)
    if suffix == ".npy" and subjects is not None:
        with reading(vectors):
            return NpyFile(vectors, subjects)
    raise Unusable(
        "EMBEDDINGS_INVALID",
        "Embeddings are read from FILE.npy with ROWS.csv, or from FILE.parquet without another file.",
    )


class NpyFile:
    """Embeddings of a .npy file, with a CSV file of as many rows: subject_id[,display_name][,...]."""

    def __init__(self, vectors: Path, subjects: Path) -> None:
        self._subjects = subjects
        self._vectors = _mapped(vectors)
        with reading(subjects):
            listed = sum(1 for _ in _listed(subjects))
        self.count, self.size = len(self._vectors), int(self._vectors.shape[1])
        if listed != self.count:
            raise Unusable(
                "EMBEDDINGS_INVALID",
                f"{shown(vectors)} has {self.count:,} rows and {shown(subjects)} {listed:,}; they must be as many.",
            )

    def rows(self, first: int) -> Iterator[Rows]:
        """See `EmbeddingFile`."""
        at_once = rows_at_once(self.size)
        with reading(self._subjects):
            listed = _listed(self._subjects)
            for _ in range(first - 1):
                next(listed)
            for start in range(first - 1, self.count, at_once):
                some = self._vectors[start : start + at_once]
                yield Rows(start + 1, list(some), [next(listed) for _ in some])


def rows_at_once(size: int) -> int:
    """Return how many embeddings of a size go into one request."""
    return max(1, min(_MAX_ROWS, _MAX_BYTES // (4 * max(size, 1))))


def packed(vectors: list[Vector], normalise: bool) -> bytes:
    """Return vectors float[D] as the API takes them: float32, little-endian, one after the other.

    Args:
        vectors: all of one size.
        normalise: bring them to length 1; one of length zero, or that is not finite, is left for the server to refuse.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    if normalise:
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(wide, axis=1, keepdims=True)
            wide = np.divide(wide, lengths, out=wide, where=np.isfinite(lengths) & (lengths > 0.0))
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinity, and is refused
        return wide.astype("<f4").tobytes()


def cut(values: Vector, lengths: Iterable[int]) -> list[Vector]:
    """Cut float[n] into vectors of these lengths, one after the other; n is their sum."""
    ends = np.cumsum([0, *lengths], dtype=np.int64)
    return [values[begin:end] for begin, end in pairwise(ends)]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise `Unusable` where a file cannot be read."""
    try:
        yield
    except OSError as error:
        where = shown(Path(error.filename)) if error.filename else shown(path)
        raise Unusable("FILE_UNREADABLE", f"{where} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise broken(path, "it is no text in UTF-8") from error
    except csv.Error as error:
        raise broken(path, str(error)) from error


def broken(path: Path, what: str) -> Unusable:
    """Return the error of a file that is not as it must be."""
    return Unusable("EMBEDDINGS_INVALID", f"{shown(path)} cannot be used: {what}.")


def subject_of(row: Mapping[str, str]) -> EmbeddingSubject:
    """Return the subject of a row: its id, its name, and every other cell that is not empty as metadata."""
    metadata = {key: value for key, value in row.items() if value and key not in (SUBJECT_COLUMN, NAME_COLUMN)}
    return EmbeddingSubject(row[SUBJECT_COLUMN], row.get(NAME_COLUMN, ""), metadata)


def _mapped(path: Path) -> Vector:
    open_regular(path).close()  # or the command would wait for a pipe
    try:
        # Mapped, so that a file larger than the memory can be read; never with pickle, which runs what it reads.
        vectors: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise broken(path, "it is no array of numbers in NumPy's format") from error
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
