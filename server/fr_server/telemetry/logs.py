"""Formats log lines as text for people or JSON for machines, without the messages of exceptions.

An exception's message may contain a caller's data. The errors of `fr_core.errors` never do, so the log may show them.
"""

import asyncio
import copy
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from fr_core.errors import FrError
from fr_server.telemetry.throttle import Throttle

log = logging.getLogger("fr_server")

FIELDS = "fields"
"""Key of `extra` whose mapping becomes fields of the JSON object: `log.info(..., extra={FIELDS: {"took_ms": 3.1}})`."""


# Places shown at either end of a traceback: an endless recursion has a thousand.
_MOST_PLACES = 20


@dataclass(frozen=True, slots=True)
class Defect:
    """An exception without its message: its type, and "FILE:LINE in FUNCTION" from the outermost on, or both ends."""

    type: str
    places: tuple[str, ...]


def defects(error: BaseException) -> Iterator[Defect]:
    """Yield an exception, then its causes and the members of its group."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        frames = traceback.extract_tb(current.__traceback__)
        places = tuple(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
        yield Defect(type(current).__name__, _ends(places))
        waiting.append(current.__cause__ or (None if current.__suppress_context__ else current.__context__))
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(reversed(current.exceptions))


def _ends(places: tuple[str, ...]) -> tuple[str, ...]:
    if len(places) <= 2 * _MOST_PLACES:
        return places
    return *places[:_MOST_PLACES], f"{len(places) - 2 * _MOST_PLACES} more", *places[-_MOST_PLACES:]


def describe(error: BaseException) -> str:
    """Return the types and places of an exception and its causes as text."""
    return "\nfrom ".join("\n  ".join((defect.type, *defect.places)) for defect in defects(error))


class TextFormatter(logging.Formatter):
    """Writes one line per record, with the places of an exception below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return super().format(_without_messages(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the types and places of an exception."""
        return describe(ei[1]) if ei[1] is not None else ""


class JsonFormatter(logging.Formatter):
    """Writes one JSON object per line, in ASCII: time, level, logger, message, extra fields, exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of a record."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": _without_messages(record).getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            told["exceptions"] = [{"type": d.type, "places": d.places} for d in defects(record.exc_info[1])]
        return json.dumps(told)


def configure_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Write every logger's records from INFO up to a stream, stderr by default; with "json", Python's warnings too."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(log_format == "json")
    # Neither format has them, and each line, one for each call, would look for them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("grpc._cython.cygrpc").addFilter(_WordsOfGrpc(time.monotonic))
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it logs each processor feature that it tries


class _WordsOfGrpc(logging.Filter):
    """Removes callers' data from gRPC's reports, and limits the reports so that a flood cannot fill the disk.

    Leaves out disconnected clients, because the log line of the call reports them.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        super().__init__()
        self._throttle: Throttle[None] = Throttle(monotonic_s)

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the text of a record; return True if the record should be written."""
        raised = record.exc_info[0] if record.exc_info else None
        name = "" if raised is None else raised.__name__
        held_back = None if name == "ExecuteBatchError" else self._throttle.held_back(name, None)
        if held_back is None:
            return False
        # gRPC's own message may contain a complete binary header.
        record.msg = "gRPC reports %s, and %d more of its kind that were not told"
        record.args = (name or "something", held_back)
        return True


def log_unhandled(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log the exception of a task that nothing awaited; asyncio's own handler would show its message.

    For `loop.set_exception_handler`.
    """
    error = context.get("exception")
    what = describe(error) if isinstance(error, BaseException) else "no exception"
    # The message is asyncio's own sentence; the task in the context would show the exception.
    log.error("The event loop reports: %s: %s", context["message"], what)


def _without_messages(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record whose arguments hold types in place of exceptions, and no text that another formatter left."""
    values = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    if record.exc_text is None and not any(isinstance(value, BaseException) for value in values):
        return record
    plain = copy.copy(record)
    plain.exc_text = None
    if isinstance(record.args, Mapping):
        plain.args = {key: _plain(value) for key, value in record.args.items()}
    elif record.args:
        plain.args = tuple(_plain(value) for value in record.args)
    return plain


def _plain(value: object) -> object:
    return type(value).__name__ if isinstance(value, BaseException) and not isinstance(value, FrError) else value
