"""The folder that a server writes checkpoints to: what contradicts it is said, and nothing is put beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fr_core.errors import ConfigInvalid
from fr_core.storage.audit.table import AuditTable
from fr_server.config import Config
from fr_server.config.folders import checkpoint_folder, require_audit_folders
from fr_server.config.tree import AuditConfig
from fr_server.jobs.checkpoints import Checkpoints
from fr_server.storage.audits import LocalAudit
from fr_server.telemetry.trust import Chain, Trust
from support.audits import Audited


@dataclass
class Store:
    """Has the audit of a table."""

    audited: Audited

    @contextmanager
    def auditing(self) -> Iterator[AuditTable]:
        yield self.audited.table

    def prune_audit(self, after: int, upto: int, last: bool) -> bool:
        return self.audited.prune(upto, after)


@dataclass
class Heard(Trust):
    """Hears what was written, and whether chains agree."""

    agrees: list[bool] = field(default_factory=list)
    written: int = 0

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        self.written += 1

    def checkpoint_agrees(self, chain: Chain, agrees: bool) -> None:
        self.agrees.append(agrees)


def write(audited: Audited, folder: Path) -> Heard:
    heard = Heard()
    Checkpoints({"cases": LocalAudit(Store(audited))}, folder, heard).write()
    return heard


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem.partition("-")[2]) for path in folder.glob("*.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "kept"
    made.mkdir()
    return made


def older(tmp_path: Path) -> tuple[Audited, Audited]:
    """A chain of five records, and the database of it when it had three."""
    audited = Audited(str(tmp_path / "now")).created().fill(3)
    (tmp_path / "before").write_bytes((tmp_path / "now").read_bytes())
    return audited.fill(2), Audited(str(tmp_path / "before"), clock=audited.clock)


def test_a_chain_that_grows_gets_one_more_each_time(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    audited = Audited().created()
    for count, records in ((1, 3), (1, 0), (2, 9)):  # where nothing has come since, the one that is there holds
        heard = write(audited.fill(records), folder)
        assert (len(numbers(folder)), heard.agrees, heard.written) == (count, [True], 1)
    assert numbers(folder) == [3, 12]
    assert not caplog.records


@pytest.mark.parametrize("as_the_client_once_named_it", [False, True])
def test_a_chain_that_was_put_back_gets_none_until_it_is_right_again(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture, as_the_client_once_named_it: bool
) -> None:
    now, before = older(tmp_path)
    write(now, folder)
    if as_the_client_once_named_it:
        (folder / "cases-000000000005.json").rename(folder / "cases-5.json")
    for grown, why in ((0, "truncated, record 4"), (7, "rewritten, record 5")):
        caplog.clear()
        heard = write(before.fill(grown, seed=1), folder)
        assert (numbers(folder), heard.agrees, heard.written) == ([5], [False], 0)
        assert [one.levelno for one in caplog.records] == [logging.ERROR]
        assert why in caplog.text
        assert "to a new, empty folder" in caplog.text
    assert write(now.fill(1), folder).agrees == [True]
    assert numbers(folder) == [5, 6]
    (tmp_path / "new").mkdir()
    assert write(before, tmp_path / "new").agrees == [True]


def test_a_chain_of_another_store_gets_none(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(Audited().created().fill(3), folder)
    heard = write(Audited().created().fill(9), folder)
    assert (numbers(folder), heard.agrees, heard.written) == ([3], [False], 0)
    assert "other_key, record 3" in caplog.text


def test_a_checkpoint_that_was_changed_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    audited = Audited().created().fill(3)
    write(audited, folder)
    (path,) = folder.glob("*.json")
    whole = path.read_bytes()
    for changed, why in ((whole[:-1], "it is unreadable"), (whole.replace(b'"seq":3', b'"seq":2'), "forged")):
        caplog.clear()
        path.write_bytes(changed)
        heard = write(audited, folder)
        assert (heard.agrees, heard.written, why in caplog.text) == ([False], 0, True)
    path.unlink()
    (folder / "cases-000000000009.json").write_bytes(whole)
    assert write(audited, folder).agrees == [False]
    assert "its number differs from its name" in caplog.text


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda at: at.symlink_to(at)], ids=["pipe", "folder", "loop"])
def test_what_is_no_file_is_not_read(
    make: Callable[[Path], None], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(folder / "cases-000000000009.json")
    heard = write(Audited().created().fill(3), folder)
    assert (heard.agrees, heard.written) == ([False], 0)
    assert "it is unreadable" in caplog.text


def test_a_chain_that_was_altered_gets_none(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    audited = Audited().created().fill(3)
    write(audited, folder)
    audited.sql("UPDATE audit SET mac = zeroblob(16) WHERE seq = 3")
    assert write(audited, folder).written == 0
    assert "could not be written" in caplog.text


def test_a_folder_of_the_home_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = Config(audit=AuditConfig(checkpoint_folder="~/kept"))
    with pytest.raises(ConfigInvalid) as refused:
        require_audit_folders(config)
    assert refused.value.metadata["file"] == str(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    require_audit_folders(config)
    assert checkpoint_folder(config) == tmp_path / "kept"
