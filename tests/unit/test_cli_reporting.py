"""How commands without a server end where they cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from fr_core.errors import InvalidField
from fr_server.commands.reporting import CommandFailed, reporting


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("error", "reason", "message", "metadata"),
    [
        (InvalidField("It is none.", field="f"), "INVALID_FIELD", "It is none.", {"field": "f"}),
        (CommandFailed("CHECKPOINT_MISSING", "There is none."), "CHECKPOINT_MISSING", "There is none.", {}),
    ],
)
def test_an_error_is_a_sentence_and_where_asked_a_document(
    capsys: pytest.CaptureFixture[str],
    as_json: bool,
    error: Exception,
    reason: str,
    message: str,
    metadata: dict[str, str],
) -> None:
    with pytest.raises(typer.Exit) as ended, reporting(as_json):
        raise error
    assert ended.value.exit_code == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"{reason}: {message}")
    if not as_json:
        assert told.out == ""
        return
    document = json.loads(told.out)["error"]
    assert document["reason"] == reason
    assert document["message"].startswith(message)
    assert metadata.items() <= document["metadata"].items()


def test_what_cannot_be_read_and_what_cannot_be_written_are_two_things(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none" / "file"
    with pytest.raises(typer.Exit), reporting():
        missing.read_bytes()
    assert capsys.readouterr().err == f"FILE_UNREADABLE: {missing} cannot be read: No such file or directory.\n"
    with pytest.raises(typer.Exit), reporting(writes=True):
        missing.write_bytes(b"")
    assert capsys.readouterr().err == f"FILE_UNWRITABLE: {missing} cannot be written: No such file or directory.\n"
    with pytest.raises(typer.Exit), reporting(writes=True):
        raise OSError(28, "No space left on device")
    assert capsys.readouterr().err == "FILE_UNWRITABLE: A file cannot be written: No space left on device.\n"
