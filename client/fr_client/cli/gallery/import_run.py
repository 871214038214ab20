"""Runs one `fr gallery import`: sends the rows, and counts the results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.cli.files import WriteRow
from fr_client.cli.progress import Advance
from fr_client.cli.state import Unusable
from fr_client.errors import reason_of
from fr_client.requests import EmbeddingBatch, EmbeddingSubject
from fr_client.sync.client import Client

if TYPE_CHECKING:
    from fr_client.cli.gallery.embeddings import EmbeddingFile, Vector

# Refused rows to list; further ones are counted, and written to the file of --refused.
_TOLD = 20


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not in the gallery, and the reason."""

    row: int
    subject_id: str
    reason: str
    message: str


@dataclass(slots=True)
class Tally:
    """Counts the results so far.

    Attributes:
        refused: rows that are not in the gallery, by reason; `told` has the first of them.
        next_row: the first unread row.
        sent: rows on their way by the id of their batch.
        turned_down: first and last row of the batch whose refusal ended the run, if any.
    """

    stored: int = 0
    new_subjects: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    told: list[RefusedRow] = field(default_factory=list)
    next_row: int = 1
    sent: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    turned_down: tuple[int, int] | None = None
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Rows with a result."""
        return self.stored + self.refused.total()

    @property
    def unanswered(self) -> list[tuple[int, int]]:
        """First and last row of each batch that was sent and not answered."""
        return [(rows[0][0], rows[-1][0]) for rows in self.sent.values()]


@dataclass
class Import:
    """One run of `fr gallery import`; `write` is called with each refused row."""

    client: Client
    gallery: gallery_pb2.Gallery
    file: EmbeddingFile
    normalise: bool
    advance: Advance
    write: WriteRow

    def __post_init__(self) -> None:
        self.tally = Tally()
        self._size = _size(self.client, self.gallery, self.file)

    def run(self, first: int, last: int) -> None:
        """Import rows `first` to `last`; raises `FrApiError` and `Unusable`, and `tally` says how far it came."""
        begun = time.monotonic()
        try:
            batches = self._batches(first, last)
            answers = self.client.enrol_embeddings(self.gallery.gallery_id, self.gallery.model, batches)
            for item_id, answer in answers:
                rows = self.tally.sent.pop(item_id)
                if isinstance(answer, common_pb2.Refusal):  # of the whole request: the next would fare no better
                    self.tally.turned_down = (rows[0][0], rows[-1][0])
                    raise Unusable(reason_of(answer), answer.message)
                self._take(rows, answer)
        finally:
            self.tally.seconds = time.monotonic() - begun

    def _batches(self, first: int, last: int) -> Iterator[EmbeddingBatch]:
        from fr_client.cli.gallery.embeddings import packed, rows_at_once

        for rows in self.file.rows(first):
            keep = slice(0, max(last + 1 - rows.first, 0))
            named = list(zip(range(rows.first, last + 1), rows.vectors[keep], rows.subjects[keep], strict=False))
            if not named:
                return
            fitting = [one for one in named if self._fits(*one)]
            at_once = rows_at_once(self._size or 0)
            for start in range(0, len(fitting), at_once):
                numbers, vectors, subjects = zip(*fitting[start : start + at_once], strict=True)
                item_id = str(numbers[0])
                self.tally.sent[item_id] = [
                    (number, subject.subject_id) for number, subject in zip(numbers, subjects, strict=True)
                ]
                self.tally.next_row = numbers[-1] + 1
                yield EmbeddingBatch(packed(list(vectors), self.normalise), subjects, item_id)
            self.tally.next_row = named[-1][0] + 1

    def _fits(self, number: int, vector: Vector, subject: EmbeddingSubject) -> bool:
        if self._size is None:
            self._size = len(vector)
        if len(vector) == self._size:
            return True
        message = f"The embedding has {len(vector)} values; it must have {self._size}."
        self._refuse(RefusedRow(number, subject.subject_id, "EMBEDDING_WRONG_SIZE", message))
        return False

    def _take(self, rows: Sequence[tuple[int, str]], answer: gallery_pb2.EnrolEmbeddingsResponse) -> None:
        for one in answer.refusals:
            self._refuse(RefusedRow(*rows[one.row], reason_of(one.refusal), one.refusal.message))
        self.tally.stored += len(rows) - len(answer.refusals)
        self.tally.new_subjects += answer.created_subjects
        self.advance(self.tally.done, self.tally.refused.total())

    def _refuse(self, refused: RefusedRow) -> None:
        self.tally.refused[refused.reason] += 1
        if len(self.tally.told) < _TOLD:
            self.tally.told.append(refused)
        self.write((str(refused.row), refused.subject_id, refused.reason, refused.message))


def _size(client: Client, gallery: gallery_pb2.Gallery, file: EmbeddingFile) -> int | None:
    """Return the size of the gallery's embeddings, if known; raises `Unusable` for a file of another size."""
    served = client.server_info().model
    if served.id != gallery.model:  # the server itself refuses what does not fit
        return file.size
    if file.size is not None and file.size != served.embedding_size:
        raise Unusable(
            "EMBEDDING_WRONG_SIZE",
            f"The embeddings of the file have {file.size} values; the gallery's have {served.embedding_size}.",
        )
    return served.embedding_size
