"""The log: text as ever, JSON one object a line, and in neither the message of an exception."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from fr_core.errors import UnknownSubject
from fr_server.telemetry.logs import FIELDS, JsonFormatter, TextFormatter, defects, log_unhandled

formats = pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])


def logged(formatter: logging.Formatter, tell: Callable[[logging.Logger], None]) -> str:
    """Return what a logger of a library writes."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.Formatter().format(record)  # leaves its text, message and all, in the record
            lines.append(formatter.format(record))

    logger = logging.Logger("library")
    logger.addHandler(Lines())
    tell(logger)
    (line,) = lines
    return line


def record(line: str) -> dict[str, Any]:
    assert "\n" not in line
    told = json.loads(line)
    assert isinstance(told, dict)
    return told


def raises() -> None:
    try:
        raise KeyError("Jane Roe")
    except KeyError as error:
        raise ExceptionGroup("Jane Roe", [ValueError("Jane Roe")]) from error


def test_text_is_what_it_was() -> None:
    line = logged(TextFormatter(), lambda logger: logger.warning("%d of %s", 3, "them"))
    time, level, rest = line[:23], *line[24:].split(" ", 1)
    datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f")
    assert (level, rest) == ("WARNING", "library: 3 of them")


def test_json_is_one_object_with_its_fields() -> None:
    fields = {"method": "S/M", "outcome": "OK", "request_id": "r", "took_ms": 3.1}
    line = logged(JsonFormatter(), lambda logger: logger.info("a\n%s \ud800", "b", extra={FIELDS: fields}))
    assert line.isascii()
    told = record(line)
    time = datetime.fromisoformat(told.pop("time"))
    assert time.utcoffset() is not None
    assert abs(time.timestamp() - datetime.now().timestamp()) < 60
    assert told == {"level": "INFO", "logger": "library", "message": "a\nb \ud800", **fields}


@formats
def test_exception_is_logged_with_types_and_places_only(formatter: logging.Formatter) -> None:
    def tell(logger: logging.Logger) -> None:
        try:
            raises()
        except ExceptionGroup:
            logger.exception("It failed")

    line = logged(formatter, tell)
    assert "Jane" not in line
    for told in ("It failed", "ExceptionGroup", "KeyError", "ValueError", "test_telemetry_logs.py:", "in raises"):
        assert told in line
    if isinstance(formatter, JsonFormatter):
        assert [defect["type"] for defect in record(line)["exceptions"]] == ["ExceptionGroup", "ValueError", "KeyError"]


@formats
def test_exception_as_an_argument_is_its_type(formatter: logging.Formatter) -> None:
    assert "failed: KeyError" in logged(formatter, lambda logger: logger.error("failed: %s", KeyError("Jane Roe")))
    named = logged(formatter, lambda logger: logger.error("failed: %(e)s", {"e": KeyError("Jane Roe")}))
    assert "failed: KeyError" in named
    own = logged(formatter, lambda logger: logger.error("failed: %s", UnknownSubject("There is none.")))
    assert "There is none." in own


def test_an_endless_recursion_is_told_by_its_two_ends() -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    (defect,) = defects(caught.value)
    assert len(defect.places) == 41
    assert "in test_an_endless" in defect.places[0]
    assert re.fullmatch("[0-9]{3,} more", defect.places[20])
    assert all(place.endswith("in deeper") for place in defect.places[21:])


def test_circle_of_exceptions_ends() -> None:
    a, b = KeyError(), ValueError()
    a.__cause__, b.__cause__ = b, a
    assert [defect.type for defect in defects(a)] == ["KeyError", "ValueError"]


def test_exception_that_nobody_awaited_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_unhandled)
        future = loop.create_future()
        future.set_exception(KeyError("Jane Roe"))
        del future  # it tells when it goes
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert "KeyError" in caplog.text
    assert "Jane" not in caplog.text


def test_configured_log_is_json_on_stderr_for_libraries_and_warnings_too() -> None:
    code = """
import logging, warnings
from fr_server.telemetry.logs import configure_logging
configure_logging("json")
logging.getLogger("a.library").info("one")
logging.getLogger("a.library").debug("not told")
warnings.warn("two")
grpc = logging.getLogger("grpc._cython.cygrpc")
for raised in (type("ExecuteBatchError", (Exception,), {}), OSError):  # the first: a caller has hung up
    try:
        raise raised
    except Exception:
        grpc.exception("Invalid encoding on b'Bearer s3cret'")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    first, second, third = map(record, done.stderr.splitlines())
    assert (first["logger"], first["level"], first["message"]) == ("a.library", "INFO", "one")
    assert (second["logger"], second["level"]) == ("py.warnings", "WARNING")
    assert (third["logger"], third["level"]) == ("grpc._cython.cygrpc", "ERROR")
    assert third["message"] == "gRPC reports OSError, and 0 more of its kind that were not told"
    assert "OSError" in json.dumps(third["exceptions"])
    assert "s3cret" not in done.stderr
    assert done.stdout == ""
