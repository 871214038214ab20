"""`fr gallery import`: imports existing embeddings into a gallery, through one stream."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.cli.files import WriteRow, refused_file
from fr_client.cli.progress import Advance, progress
from fr_client.cli.show import console, model_name, plain, print_json, table
from fr_client.cli.state import AsJson, Ending, GalleryId, Unusable, argument, connected, error_keys
from fr_client.errors import reason_of
from fr_client.requests import EmbeddingBatch, EmbeddingSubject
from fr_client.sync.client import Client

if TYPE_CHECKING:
    from fr_client.cli.gallery.embeddings import NpyFile, ParquetFile, Vector

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
    """Counts the results so far."""

    stored: int = 0
    new_subjects: int = 0
    # Rows that are not in the gallery, by reason; `told` has the first of them.
    refused: Counter[str] = field(default_factory=Counter)
    told: list[RefusedRow] = field(default_factory=list)
    next_row: int = 1  # the first unread row
    sent: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # rows on their way by the id of their batch
    turned_down: tuple[int, int] | None = None  # first and last row of the batch whose refusal ended the run, if any
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
    file: NpyFile | ParquetFile
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


def _size(client: Client, gallery: gallery_pb2.Gallery, file: NpyFile | ParquetFile) -> int | None:
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


# PACK@VERSION:SHA256; the sum may be short, as in `fr gallery show`: no two packs begin alike by chance.
_MODEL = re.compile(r"(?P<pack>[^@:]+)@(?P<version>[^@:]+):(?P<sha256>[0-9a-f]{12,64})")


def import_embeddings(
    context: typer.Context,
    gallery_id: GalleryId,
    vectors: Annotated[Path, argument("VECTORS", "FILE.npy, a row for each embedding; or FILE.parquet.")],
    subjects: Annotated[Path | None, argument("ROWS.csv", "With FILE.npy: the subject of each row.")] = None,
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="PACK@VERSION:SHA256",
            help="The model that made them; it must be the gallery's (`fr gallery show`).",
            show_default=False,
        ),
    ],
    normalise: Annotated[bool, typer.Option("--normalise", help="Scale the embeddings to length 1.")] = False,
    first_row: Annotated[int, typer.Option(min=1, help="The first row to import; a file begins with row 1.")] = 1,
    last_row: Annotated[int, typer.Option(min=0, help="The last row to import; 0 for all.")] = 0,
    refused_to: Annotated[
        Path | None,
        typer.Option("--refused", metavar="FILE.csv", help="Write the refused rows here.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import existing embeddings of the gallery's model.

    ROWS.csv has the header subject_id and optional columns, display_name and metadata, and a row for each row of
    FILE.npy. FILE.parquet has the columns subject_id, embedding and, optionally, display_name; others are metadata.

    A row that is sent twice is stored twice. If the run stops early, it names the row to continue with.

    Exit status 0: every row is in the gallery. 3: the server refused some. 1: the run stopped early.
    """
    ending = Ending()
    with connected(context, as_json) as client:
        gallery = client.get_gallery(gallery_id)
        _require_model(model, gallery.model)
        file = _opened(vectors, subjects)
        last = min(last_row or file.count, file.count)
        if first_row > last:
            raise Unusable(
                "EMBEDDINGS_INVALID", f"There is no row from {first_row} to {last}; the file has {file.count}."
            )
        total = last + 1 - first_row
        columns = ("row", "subject_id", "reason", "message")
        with refused_file(refused_to, columns) as write, progress("Importing", "embeddings", total) as advance:
            run = Import(client, gallery, file, normalise, advance, write)
            with ending.noted():
                run.run(first_row, last)
        if as_json:
            print_json(_as_keys(gallery_id, run.tally, ending))
        else:
            _print_tally(gallery_id, run.tally)
    if ending.early:
        _print_rest(run.tally, last)
    ending.leave(bool(run.tally.refused))


def _opened(vectors: Path, subjects: Path | None) -> NpyFile | ParquetFile:
    try:
        from fr_client.cli.gallery.embeddings import open_embeddings
    except ModuleNotFoundError as error:
        raise Unusable(
            "IMPORT_UNAVAILABLE",
            "Importing needs NumPy, which is not installed; in a clone of FR Core: pip install './client[import]'.",
        ) from error
    return open_embeddings(vectors, subjects)


def _require_model(named: str, model: common_pb2.ModelId) -> None:
    parts = _MODEL.fullmatch(named)
    if parts is None:
        raise Unusable(
            "MODEL_INVALID",
            f"{named!r} is not the name of a model, PACK@VERSION:SHA256; the gallery's is {model_name(model)}. "
            "You may cut the sum to 12 digits.",
        )
    same = (parts["pack"], parts["version"]) == (model.pack, model.version)
    if not same or not model.sha256.startswith(parts["sha256"]):
        raise Unusable(
            "MODEL_MISMATCH",
            f"The gallery has model {model_name(model)}; embeddings of {named} cannot be compared with its own.",
        )


def _as_keys(gallery_id: str, tally: Tally, ending: Ending) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "gallery_id": gallery_id,
        "stored": tally.stored,
        "new_subjects": tally.new_subjects,
        "refused": dict(tally.refused),
        "first_refusals": [asdict(one) for one in tally.told],
        "turned_down": tally.turned_down,
        "unanswered": tally.unanswered,
        "next_row": tally.next_row,
        "seconds": round(tally.seconds, 3),
    }
    return keys if ending.error is None else keys | {"error": error_keys(ending.error)}


def _print_tally(gallery_id: str, tally: Tally) -> None:
    out = console()
    refused = tally.refused.total()
    pace = f" in {tally.seconds:.1f} s ({tally.done / tally.seconds:,.0f}/s)" if tally.seconds else ""
    text = f"{tally.stored:,} embeddings stored ({tally.new_subjects:,} new subjects), {refused:,} refused{pace}."
    out.print(plain(f"Gallery {gallery_id}: {text}"), style="bold")
    if not refused:
        return
    out.print(plain(", ".join(f"{reason}: {count:,}" for reason, count in tally.refused.most_common())))
    rows = table("Row", "Subject", "Reason", "Message", right=("Row",))
    for one in tally.told:
        rows.add_row(str(one.row), plain(one.subject_id), one.reason, plain(one.message))
    out.print(rows)
    if refused > len(tally.told):
        out.print(f"... and {refused - len(tally.told):,} more; --refused FILE.csv writes all of them.", markup=False)


def _print_rest(tally: Tally, last: int) -> None:
    if tally.turned_down is not None:
        begin, end = tally.turned_down
        typer.echo(f"Rows {begin} to {end} were not stored: --first-row {begin} --last-row {end} sends them.", err=True)
    for begin, end in tally.unanswered:
        typer.echo(
            f"Rows {begin} to {end} have no answer: the server stored all of them or none. Look for "
            f"one of their subjects before you send them again (--first-row {begin} --last-row {end}).",
            err=True,
        )
    if tally.next_row <= last:
        typer.echo(
            f"The rows from {tally.next_row} on were not sent: continue with --first-row {tally.next_row}.", err=True
        )
