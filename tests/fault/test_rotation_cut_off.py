"""After a kill of a key rotation at any point, running it again loses nothing, reports no tampering, leaves one key."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_core.errors import FileTampered, WrongKey
from fr_core.storage.keys import load_key, new_key_file
from fr_core.storage.marks import mark_of
from fr_server.clock import wall_ms
from fr_server.config import load_config
from fr_server.main import open_galleries
from fr_server.storage.opening import open_stores
from fr_server.storage.seal import require_sealed
from support.besieged import KILLED, Made, cut_off, fill, fr_server, made, put_back
from support.counts import count

# How many steps are passed over between two kills; 1 = every one of them.
STRIDE = count("ROTATION_STRIDE")
# A call of the layer below SQLite that writes or syncs, or a rename.
WATCH = """
import apsw
class File(apsw.VFSFile):
    def xWrite(self, data, offset):
        step()
        super().xWrite(data, offset)
    def xSync(self, flags):
        step()
        super().xSync(flags)
    def xTruncate(self, size):
        step()
        super().xTruncate(size)
class Vfs(apsw.VFS):
    def __init__(self):
        super().__init__("counting", "unix", makedefault=True)
    def xOpen(self, name, flags):
        return File("unix", name, flags)
below = Vfs()
sys.addaudithook(lambda event, arguments: step() if event == "os.rename" else None)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A sealed server with data in each of its stores, which all have the mark of the seal."""
    server = made(tmp_path_factory.mktemp("rotation") / "srv")
    fill(server)
    new_key_file(server.folder / "new.key")
    ended = fr_server("seal", "--config", str(server.path))
    assert ended.exit_code == 0, ended.output
    return server


@pytest.fixture
def server(sound: Made, tmp_path: Path) -> Iterator[Made]:
    """The same, put back after each test."""
    with put_back(sound, tmp_path / "kept") as server:
        yield server


def words(server: Made) -> list[str]:
    return ["gallery", "key", "rotate", "--config", str(server.path), "--new", f"file:{server.folder / 'new.key'}"]


def content(server: Made, key: str) -> tuple[int, int, int, int]:
    """Open everything with a key: templates, courses, cases and API keys."""
    config = load_config(server.path, [f"gallery.key=file:{server.folder / key}"])
    stores = open_stores(config, wall_ms)
    try:
        with open_galleries(config) as galleries:
            templates = galleries.get("staff").template_count
        cases = len(stores.cases.cases())
        return templates, len(stores.training.courses()), cases, len(stores.access.keys())
    finally:
        stores.close()


def databases(server: Made) -> list[Path]:
    found = [path for path in server.folder.rglob("*") if path.name.endswith((".sqlite", ".db"))]
    assert len(found) == 4
    return found


def under(server: Made, key: str) -> int:
    """Number of stores under a key; each of them has a mark."""
    count, opened = 0, load_key(f"file:{server.folder / key}")
    for database in databases(server):
        try:
            assert mark_of(database, opened)
        except WrongKey:
            continue
        count += 1
    return count


def started_with(server: Made, key: str) -> str:
    """The reason why a start with this key refuses the seal, or ""."""
    try:
        assert require_sealed(server.path, load_config(server.path, [f"gallery.key=file:{server.folder / key}"]))
    except (WrongKey, FileTampered) as refused:
        return refused.reason
    return ""


def test_a_rotation_that_is_killed_anywhere_is_ended_by_another_run(server: Made, tmp_path: Path) -> None:
    shutil.copytree(server.folder, tmp_path / "whole")
    held = content(server, "data.key")
    assert held == (3, 1, 1, 1)
    steps, halves = 0, 0
    while (ended := cut_off(WATCH, steps, *words(server))).returncode == KILLED:
        shares = {key: under(server, key) for key in ("data.key", "new.key")}
        assert sum(shares.values()) == 4
        for key, stores in shares.items():
            told = started_with(server, key)
            # That of the other key is none: no store is under it yet, or any more.
            assert told == ("" if stores == 4 else "WRONG_KEY") or (told == "FILE_TAMPERED" and not stores)
        halves += all(shares.values())
        again = CliRunner().invoke(build(), words(server))
        assert again.exit_code == 0, again.output
        assert (under(server, "data.key"), under(server, "new.key")) == (0, 4)
        assert (started_with(server, "data.key"), started_with(server, "new.key")) == ("FILE_TAMPERED", "")
        assert content(server, "new.key") == held
        shutil.rmtree(server.folder)
        shutil.copytree(tmp_path / "whole", server.folder)
        steps += STRIDE
    assert ended.returncode == 0, ended.stderr
    assert halves, "no kill fell between two stores"
    assert content(server, "new.key") == held
    print(f"figure: steps of a rotation = {ended.stderr.split()[-1]}")  # noqa: T201 - see tools/chaos.py


@pytest.mark.parametrize("key", ["data.key", "new.key"])
def test_another_key_than_the_two_of_a_rotation_seals_nothing(server: Made, key: str) -> None:
    new_key_file(server.folder / "third.key")
    steps = 2  # the seal is under both keys; the first store is being written
    assert cut_off(WATCH, steps, *words(server)).returncode == KILLED
    assert started_with(server, "third.key") == "FILE_TAMPERED"
    with server.path.open("a") as file:
        file.write("\n")
    assert started_with(server, key) == "FILE_TAMPERED"
