"""After a kill of `fr server init` at any point, running it again makes a complete server."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from fr_server.main import open_galleries
from fr_server.storage.opening import open_access
from fr_server.storage.seal import require_sealed
from support.besieged import KILLED, Made, cut_off, fr_server

# A file that is opened to be written, made, renamed or deleted within the folder.
WATCH = """
folder = sys.argv[-1]
def watch(event, arguments):
    if event in ("open", "os.rename", "os.mkdir", "os.remove") and str(arguments[0]).startswith(folder):
        step()
sys.addaudithook(watch)
"""


def test_it_can_be_run_again_wherever_it_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "srv"
    for steps in itertools.count(0, 8):
        ended = cut_off(WATCH, steps, "server", "init", "--name", "fr.example", str(folder))
        if ended.returncode != KILLED:
            break
        again = fr_server("init", "--name", "fr.example", str(folder))
        assert again.exit_code == 0, again.output
        server = Made(folder)
        config = server.config()
        assert require_sealed(server.path, config)
        with open_access(config, lambda: 0) as store:
            assert len(store.keys()) == 1
        assert not (folder / ".unfinished").exists()
        taken = fr_server("init", "--name", "fr.example", str(folder))
        assert (taken.exit_code, "TARGET_TAKEN" in taken.output) == (1, True)
        shutil.rmtree(folder)
    assert ended.returncode == 0, ended.stderr
    assert steps > 8


@pytest.mark.parametrize("kind", ["file", "folder", "link", "started"])
def test_what_is_no_half_made_server_is_left_alone(tmp_path: Path, kind: str) -> None:
    at = tmp_path / "srv"
    if kind == "file":
        at.write_text("something")
    elif kind == "folder":
        at.mkdir()
        (at / "file").write_text("something")
    elif kind == "link":
        (tmp_path / "empty").mkdir()
        at.symlink_to(tmp_path / "empty")
    else:
        assert fr_server("init", str(at)).exit_code == 0
        (at / ".unfinished").touch()
        with open_galleries(Made(at).config()):
            pass
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    ended = fr_server("init", str(at))
    assert (ended.exit_code, "TARGET_TAKEN" in ended.output) == (1, True)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    assert fr_server("init", str(tmp_path / "srv")).exit_code == 0
