"""The thread that keeps galleries in order goes on, whatever one piece of its work does."""

from __future__ import annotations

import logging
import threading

import pytest

from fr_core.errors import StoreFailed
from fr_core.gallery.search import upkeep
from fr_core.gallery.search.memory import Memories
from fr_core.gallery.search.upkeep import Keeper


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), MemoryError("Jane Roe")])
def test_a_purge_that_fails_is_logged_and_tried_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    monkeypatch.setattr(upkeep, "_PURGE_EVERY_S", 0.0)
    tried, again = [], threading.Event()

    def purge() -> None:
        tried.append(1)
        if len(tried) > 3:
            again.set()
        raise error

    keeper = Keeper(Memories("numpy"), purge, lambda: None)
    keeper.start()
    assert again.wait(10)
    keeper.close()
    keeper.close()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told[0] in (
        "what has expired could not be purged: STORE_FAILED",
        "what has expired could not be purged: MemoryError",
    )
    assert "Jane Roe" not in caplog.text


def test_a_keeper_that_was_never_started_can_be_closed() -> None:
    Keeper(Memories("numpy"), lambda: None, lambda: None).close()
