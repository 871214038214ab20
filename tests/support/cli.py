"""Runs `fr` in this process, and returns its exit status and what it prints."""

from functools import cache
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fr_client.cli.main import build

Said = tuple[int, str, str]


@cache
def _command() -> Any:
    """Built once: that takes longer than a call."""
    return get_command(build())


def fr(*words: object, typed: str = "", columns: str = "250", **environ: str) -> Said:
    """Exit status, standard output and standard error."""
    with CliRunner(env={"COLUMNS": columns, **environ}).isolation(input=typed) as (out, error, _):
        with pytest.raises(SystemExit) as ended:
            _command().main(args=[*map(str, words)], prog_name="fr")
        return int(str(ended.value.code or 0)), out.getvalue().decode(), error.getvalue().decode()


def fr_at(target: str, *words: object, typed: str = "", columns: str = "250", **environ: str) -> Said:
    return fr("--server", target, *words, typed=typed, columns=columns, **environ)


def reason_of(said: Said) -> str:
    """The reason with which standard error begins; the command must have ended with status 1."""
    code, _, error = said
    assert code == 1, error
    return error.partition(":")[0]
