"""A program of somebody else that opens the stores of a running server, and closes them, takes nothing away.

SQLite's own shell is one. The last connection to a database copies its log and deletes it; that there are others, it
learns from their locks, and a process gives up all its locks on a file when it closes that file anywhere.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.servers import running

LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM sqlite_master").fetchall()
connection.close()
"""


def look_into(path: Path) -> None:
    subprocess.run([sys.executable, "-c", LOOK, str(path)], check=True, timeout=60)


def stores_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".db", ".sqlite"})


def has_log(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def test_the_log_of_a_store_stays(tmp_path: Path) -> None:
    with running(tmp_path / "data"):
        stores = stores_of(tmp_path)
        assert {path.name for path in stores} == {
            "access.sqlite",
            "cases.sqlite",
            "galleries.db",
            "training.sqlite",
        }
        for path in stores:
            look_into(path)
            assert has_log(path), path.name


def test_control_where_the_server_closes_the_file_the_log_is_deleted(tmp_path: Path) -> None:
    with running(tmp_path / "data"):
        (path,) = (path for path in stores_of(tmp_path) if path.name == "cases.sqlite")
        path.open("rb").close()
        look_into(path)
        assert not has_log(path)
