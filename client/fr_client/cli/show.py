"""Shows answers, as tables for people and as JSON for programs, and tells if a call takes long."""

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import typer
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.unpack import message_keys

# Of tables in a file or a pipe, which have no width of their own.
_PIPE_WIDTH = 160
# Seconds after which the terminal shows that a call takes long.
_PATIENCE_S = 1.0
# Held while something moves on the terminal; only one thing may.
MOVING = threading.Lock()
Item = TypeVar("Item")


def console(*, stderr: bool = False) -> Console:
    """Return a console for standard output or standard error; a pipe gets wide lines and no colours."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPE_WIDTH
    return made


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON document; letters beyond ASCII as escapes, so that no terminal or file spoils them."""
    typer.echo(json.dumps(content, indent=2))


def print_line(content: Mapping[str, Any]) -> None:
    """Print one JSON document in one line, as `print_json` does."""
    typer.echo(json.dumps(content))


@contextmanager
def waiting(words: str, after_s: float = _PATIENCE_S) -> Iterator[None]:
    """On a terminal, show words and the seconds on standard error when the block takes longer than `after_s`.

    Shows nothing outside of the main thread, or while something else moves on the terminal.
    """
    out = console(stderr=True)
    main = threading.current_thread() is threading.main_thread()
    if not (main and out.is_terminal and MOVING.acquire(blocking=False)):
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bars = Progress(*columns, console=out, transient=True, redirect_stdout=False)
    bars.add_task(words, total=None)
    ended, lock = threading.Event(), threading.Lock()

    def show() -> None:
        with lock:
            if not ended.is_set():
                bars.start()

    timer = threading.Timer(after_s, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            ended.set()
            bars.stop()
        MOVING.release()


def every(found: Iterable[Item]) -> list[Item]:
    """Return every entry of a list of the server; the terminal shows if that takes long."""
    with waiting("Reading the list"):
        return list(found)


def number(value: float, spec: str) -> str:
    """Return a number as `format` does, but without an exponent, and without a sign if it rounds to 0."""
    text = format(value, spec)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text if text.strip("+-0.") else text.lstrip("+-")


def print_answer(as_json: bool, content: Message | Mapping[str, Any], *parts: RenderableType) -> None:
    """Print an answer: its content as one JSON document, or its parts for people, of which strings hold no markup."""
    if as_json:
        print_json(message_keys(content) if isinstance(content, Message) else content)
        return
    for part in parts:
        console().print(plain(part) if isinstance(part, str) else part)


def print_list(
    as_json: bool, name: str, found: Sequence[Any], rows: Table, row: Callable[[Any], Iterable[str]], empty: str
) -> None:
    """Print messages: in one JSON document under `name`, or as a table with a row for each, or `empty` for none."""
    for one in found:
        rows.add_row(*map(plain, row(one)))
    keys = {name: [message_keys(one) for one in found]} if as_json else {}
    print_answer(as_json, keys, rows if found else empty)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as "1 trial", "2 trials" or "2 people"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def plain(text: str) -> Text:
    """Return text from outside for a table: without markup, and without characters that move the cursor."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def shown(path: Path) -> str:
    """Return a path for people; replaces bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """Return an empty table; `right` names columns of numbers, and `whole` columns of ids, which stay on one line."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numbers, ids = set(right), set(whole)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in numbers else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in ids)
    return made


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and values, without a head."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold", overflow="fold")
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(plain(name), plain(value))
    return made


def when(timestamp: Timestamp) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return f"{timestamp.ToDatetime():%Y-%m-%dT%H:%M:%SZ}"


def end_of(gallery: gallery_pb2.Gallery) -> str:
    """Return when a gallery expires; empty for never."""
    return when(gallery.expire_time) if gallery.HasField("expire_time") else ""


def retention_of(gallery: gallery_pb2.Gallery) -> str:
    """Return how long a gallery keeps templates; empty for no limit."""
    days = gallery.retention.ToTimedelta() / timedelta(days=1)
    return f"{number(days, 'g')} days" if gallery.HasField("retention") else ""


def model_name(model: common_pb2.ModelId) -> str:
    """Return a model id in short."""
    return f"{model.pack}@{model.version}:{model.sha256[:12]}"


def leads_text(result: gallery_pb2.SearchResult) -> str:
    """Return the number of leads in a list, such as "1 of 8 candidates is a lead"."""
    if not result.candidates:
        return "no lead"
    leads = sum(one.above_threshold for one in result.candidates)
    of = counted(len(result.candidates), "candidate")
    return f"{leads} of {of} {'is a lead' if leads == 1 else 'are leads'}"


def lead_mark(candidate: gallery_pb2.Candidate) -> str:
    """Return "lead" or "no lead"."""
    return "lead" if candidate.above_threshold else "no lead"


def face_table(faces: Iterable[common_pb2.Face], photos: Sequence[str] = ()) -> Table:
    """Return the table of the faces of a photo, in their order; or of the one face of each of several `photos`."""
    first = "Photo" if photos else "Face"
    numbers = (first, "Left", "Top", "Width", "Height", "Score", "Quality", "Eyes px", "Yaw", "Pitch", "Roll")
    made = table(*numbers, "Notes", right=numbers)
    for place, face in enumerate(faces, start=1):
        frame, quality = face.box, face.quality
        made.add_row(
            photos[place - 1] if photos else str(place),
            *(number(v, ".0f") for v in (frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top)),
            f"{face.score:.2f}",
            f"{quality.score:.2f}",
            f"{quality.inter_eye_px:.0f}",
            *(f"{number(angle, '+.0f')}°" for angle in (quality.yaw, quality.pitch, quality.roll)),
            ", ".join(reason_text(quality)),
        )
    return made


_PASSED_OVER: Mapping[int, str] = {
    common_pb2.PASSED_OVER_REASON_UNFIT: "unfit",
    common_pb2.PASSED_OVER_REASON_CUT_OFF: "cut off",
    common_pb2.PASSED_OVER_REASON_BACKGROUND: "in the background",
    common_pb2.PASSED_OVER_REASON_SMALLER: "smaller",
}


def face_text(face: common_pb2.Face, choice: common_pb2.FaceChoice) -> str:
    """Return the quality of a face, its choice among several, and why the others were passed over."""
    words = quality_text(face.quality)
    if choice.faces < 2:
        return words
    words = f"face {choice.number} of {choice.faces}, {words}"
    why = Counter(_PASSED_OVER.get(one.reason, str(one.reason)) for one in choice.passed_over)
    passed = ", ".join(f"{count} {reason}" for reason, count in why.items())
    return f"{words}; passed over: {passed}" if passed else words


def quality_text(quality: common_pb2.Quality) -> str:
    """Return the quality of a face in a few words, such as "quality 0.31 (too small)"."""
    reasons = reason_text(quality)
    return f"quality {quality.score:.2f}" + (f" ({', '.join(reasons)})" if reasons else "")


def reason_text(quality: common_pb2.Quality) -> list[str]:
    """Return the limits that a face misses as words, such as "too small"."""
    names = common_pb2.QualityReason
    known = names.values()
    return [
        names.Name(reason).removeprefix("QUALITY_REASON_").replace("_", " ").lower() if reason in known else str(reason)
        for reason in quality.reasons
    ]
