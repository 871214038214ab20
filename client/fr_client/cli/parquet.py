"""Embeddings of a Parquet file: columns subject_id, embedding, display_name where wanted, and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fr_client.cli.embeddings import EMBEDDING_COLUMN, Rows, Vector, broken, cut, reading, rows_at_once, subject_of
from fr_client.cli.sources import SUBJECT_COLUMN
from fr_client.cli.state import Unusable
from fr_core.reading import open_regular


class ParquetFile:
    """Embeddings of a Parquet file: lists of floating-point numbers, each of any size."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError as error:
            raise Unusable(
                "IMPORT_UNAVAILABLE",
                "Reading Parquet needs PyArrow, which is not installed; in a clone of FR Core: "
                "pip install '.[parquet]'.",
            ) from error
        open_regular(path).close()  # or the command would wait for a pipe
        self._arrow: Any = pyarrow
        self._path = path
        try:
            self._file: Any = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowInvalid as error:
            raise broken(path, "it is no Parquet file") from error
        self._require_columns(self._file.schema_arrow)
        self.count: int = self._file.metadata.num_rows
        self.size: int | None = None

    def rows(self, first: int) -> Iterator[Rows]:
        """See `EmbeddingFile`."""
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
            raise broken(self._path, "a column is there twice")
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
