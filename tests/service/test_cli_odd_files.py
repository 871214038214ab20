"""Every command that reads a file refuses at once, with a sentence, one that is not regular or is too long."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_client.requests import MAX_CALIBRATION_BYTES, MAX_PHOTO_BYTES, MAX_PLAN_BYTES
from fr_core.embed.null import NULL_MODEL
from support.servers import Running, photo

Said = Callable[[str], str]

SHA256 = NULL_MODEL.sha256[:12]
# FILE stands for the file in question.
COMMANDS = (
    "detect FILE",
    "compare PHOTO FILE",
    "search g FILE",
    "enrol g FILE",
    "case search c g FILE",
    "gallery calibrate g FILE",
    "gallery import g VECTORS.npy FILE --model null@1:" + SHA256,
    "gallery import g FILE.npy ROWS.csv --model null@1:" + SHA256,
    "gallery import g FILE.parquet --model null@1:" + SHA256,
    "train plan FILE.toml --dataset d",
    "train plan demo --exclude FILE --dataset d",
    "train probe-key c FILE --absent",
    "review submit e --finding inconclusive --notes-file FILE",
    "key create --role operator --certificate FILE",
    "--key-file FILE info",
    "--connection FILE info",
    "--ca FILE info",
    "audit verify-file FILE --public-key KEY",
    "audit verify-file EXPORT --public-key FILE",
    "evidence verify FILE",
    "evidence verify PHOTO --public-key FILE",
    "evaluate repeat FILE",
)
TOO_LONG = {
    "detect FILE": MAX_PHOTO_BYTES,
    "gallery calibrate g FILE": MAX_CALIBRATION_BYTES,
    "train plan FILE.toml --dataset d": MAX_PLAN_BYTES,
    "--key-file FILE info": 64 * 2**10,
    "--ca FILE info": 4 * 2**20,
}


@pytest.fixture
def said(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """A function that runs `fr` in a folder of files, and returns what it says on standard error."""
    monkeypatch.setenv("FR_SERVER", server.address)
    monkeypatch.chdir(tmp_path)
    Path("PHOTO").write_bytes(photo(1))
    Path("EXPORT").write_text('{"chain_id":"0"}\n')
    Path("KEY").write_text("none")
    np.save("VECTORS.npy", np.eye(4, dtype=np.float32))
    Path("ROWS.csv").write_text("subject_id\na\n")

    assert CliRunner().invoke(build(), ["gallery", "create", "g", "--use", "test"]).exit_code == 0

    def run(command: str) -> str:
        ended = CliRunner().invoke(build(), command.split())
        assert isinstance(ended.exception, SystemExit), ended.exc_info
        return " ".join(ended.stderr.split())

    return run


@contextmanager
def pipe(path: Path) -> Iterator[None]:
    """A pipe whose other end sends nothing, and closes when somebody waits for it."""
    os.mkfifo(path)
    other = threading.Thread(target=lambda: path.open("wb").close())
    other.start()
    try:
        yield
    finally:
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # for the thread, where nobody has come
        other.join()
        os.close(reader)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_refused(said: Said, command: str) -> None:
    name = next(word for word in command.split() if "FILE" in word)
    with pipe(Path(name)):
        assert "not a regular file" in said(command)


@pytest.mark.parametrize("command", ["detect FILE", "enrol g FILE", "--key-file FILE info", "evaluate repeat FILE"])
def test_a_device_without_an_end_is_refused(said: Said, command: str) -> None:
    Path("FILE").symlink_to("/dev/zero")
    assert "not a regular file" in said(command)


@pytest.mark.parametrize(("command", "most"), TOO_LONG.items())
def test_a_file_over_the_limit_is_refused(said: Said, command: str, most: int) -> None:
    with Path(next(word for word in command.split() if "FILE" in word)).open("wb") as file:
        file.truncate(most + 1)  # takes no room
    assert f"it has more than {most:,} bytes" in said(command)


def test_control_the_same_commands_read_regular_files(said: Said) -> None:
    with suppress(FileExistsError):
        Path("FILE").symlink_to("PHOTO")
    assert "not a regular file" not in said("compare PHOTO FILE --threshold 2")
