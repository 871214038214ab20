"""The stores, as a server opens them: one that is made anew in place of another is told."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from fr_core.errors import StoreCorrupt, StoreExposed
from fr_core.storage.keys import key_beside
from fr_server.clock import wall_ms
from fr_server.config import Config, load_config
from fr_server.main import open_galleries
from fr_server.storage.opening import open_stores

FILES = {
    "access store": "access/access.sqlite",
    "case store": "cases/cases.sqlite",
    "training store": "training/training.sqlite",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    key_beside(tmp_path / "data", new=True)
    return load_config(None, (), {"gallery.folder": str(tmp_path / "data")}, {})


@pytest.fixture
def data(config: Config) -> Path:
    """The data folder of a server that has run."""
    open_stores(config, wall_ms).close()
    return Path(config.gallery.folder)


def warnings(config: Config, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a start warns of."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        open_stores(config, wall_ms).close()
    return [record.getMessage() for record in caplog.records]


def test_control_neither_a_first_start_nor_the_next_warns(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(config, caplog) == []
    assert warnings(config, caplog) == []


@pytest.mark.parametrize("name", FILES)
def test_a_new_store_where_one_was_is_logged(
    config: Config, data: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = data / FILES[name]
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    assert path.with_suffix(".lock").exists()
    (told,) = warnings(config, caplog)
    assert told.startswith(f"The {name} was not at {path}, though its folder was there: a new, empty one was made.")
    assert caplog.records[0].name == "fr_server.storage"
    assert warnings(config, caplog) == []


def test_new_galleries_where_some_were_are_logged(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            open_galleries(config).close()
        return [record.getMessage() for record in caplog.records if record.name == "fr_server.storage"]

    data = Path(config.gallery.folder)
    data.mkdir()
    assert told() == []
    assert told() == []
    for left in data.glob("galleries.db*"):
        left.unlink()
    assert len(told()) == 1
    assert told() == []


@pytest.mark.parametrize("name", FILES)
def test_an_empty_folder_may_be_that_of_a_disk_that_is_not_mounted(
    config: Config, data: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    folder = (data / FILES[name]).parent
    shutil.rmtree(folder)
    folder.mkdir()
    (told,) = warnings(config, caplog)
    assert told.startswith(f"The {name} was not at ")


def test_a_folder_without_remains_warns_of_nothing(
    config: Config, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is what the runbook says to do with a damaged store, the second a configuration that may be."""
    shutil.rmtree(data / "cases")
    assert warnings(config, caplog) == []
    shared = load_config(
        None, (), {"gallery.folder": str(data), "cases.folder": str(data), "training.folder": str(data / "access")}, {}
    )
    assert warnings(shared, caplog) == []
    assert (data / "cases.sqlite").exists()
    assert (data / "access/training.sqlite").exists()


def test_a_store_that_cannot_be_made_is_not_logged(
    config: Config, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = data / "cases/cases.sqlite"
    path.unlink()
    (data / "cases/cases.sqlite-wal").write_bytes(b"x")
    with pytest.raises(StoreCorrupt):
        warnings(config, caplog)
    path.symlink_to(data / "nowhere")
    with pytest.raises(StoreExposed):
        warnings(config, caplog)
    assert caplog.records == []
