"""A renewal of the server's certificate that is killed at any point: no tampering, and it can be run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fr_core.errors import FileTampered, TlsUnusable
from fr_server.clock import wall_ms
from fr_server.config import load_config
from fr_server.gateway.tls import check_tls, tls_files
from fr_server.storage.seal import exchanging, require_sealed, seal_of
from support.besieged import KILLED, cut_off, fr_server

RENAMES = 6  # two files are kept, the seal, the key, the certificate, the seal
BETWEEN = 4  # renames before which the key is exchanged, and the certificate is not
# What Python tells of before the system is asked for it.
WATCH = """
sys.addaudithook(lambda event, arguments: step() if event == "os.rename" else None)
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The configuration of a server that was set up."""
    ended = fr_server("init", str(tmp_path / "srv"), "--name", "fr.example")
    assert ended.exit_code == 0, ended.output
    return tmp_path / "srv" / "server.toml"


def cut_off_at(path: Path, renames: int) -> int:
    """Renew in a process that is killed after so many renames, and return its exit status."""
    return cut_off(WATCH, renames, "server", "renew", "--config", str(path)).returncode


def content(folder: Path, suffix: str = "") -> list[bytes]:
    return [(folder / f"{name}{suffix}").read_bytes() for name in ("server.key", "server.pem")]


def whole(path: Path) -> None:
    """Require what a start does, of the seal and of the certificates."""
    config = load_config(path)
    assert require_sealed(path, config)
    files = tls_files(config.tls)
    assert files is not None
    check_tls(files, wall_ms())


@pytest.mark.parametrize("renames", range(RENAMES))
def test_it_is_no_tampering_and_can_be_run_again(made: Path, renames: int) -> None:
    before = content(made.parent)
    assert cut_off_at(made, renames) == KILLED
    assert require_sealed(made, load_config(made))
    if renames == BETWEEN:
        with pytest.raises(TlsUnusable):
            whole(made)
    else:
        whole(made)
    exchanged = content(made.parent)
    ended = fr_server("renew", "--config", str(made))
    assert ended.exit_code == 0, ended.output
    whole(made)
    assert content(made.parent, ".before") == (before if renames <= BETWEEN else exchanged)
    assert "becomes" not in seal_of(load_config(made)).read_text()


def test_all_of_it_is_so_many_renames(made: Path) -> None:
    before = content(made.parent)
    assert cut_off_at(made, RENAMES) == 0
    whole(made)
    assert content(made.parent, ".before") == before


@pytest.mark.parametrize("name", ["server.toml", "server.key", "server.pem"])
def test_what_somebody_changes_after_the_cut_is_tampering(made: Path, name: str) -> None:
    assert cut_off_at(made, BETWEEN) == KILLED
    with (made.parent / name).open("a") as file:
        file.write("\n")
    with pytest.raises(FileTampered) as refused:
        require_sealed(made, load_config(made))
    assert refused.value.metadata["file"] == str(made.parent / name)
    before = content(made.parent)
    ended = fr_server("renew", "--config", str(made))
    assert (ended.exit_code, ended.stderr.partition(":")[0], content(made.parent)) == (1, "FILE_TAMPERED", before)


def test_what_somebody_changes_while_it_runs_is_not_sealed(made: Path) -> None:
    config, new = load_config(made), made.with_name("new.pem")
    new.write_bytes(b"the new one")
    with exchanging(made, config, {made.with_name("server.pem"): new}):
        new.write_bytes(b"another")
        new.rename(made.with_name("server.pem"))
        with made.open("a") as file:
            file.write("\n")
    with pytest.raises(FileTampered, match=r"server\.pem was changed"):
        require_sealed(made, config)
    made.with_name("server.pem").write_bytes(b"the new one")
    with pytest.raises(FileTampered, match=r"server\.toml was changed"):
        require_sealed(made, config)
    made.write_text(made.read_text()[:-1])
    assert require_sealed(made, config)


def test_the_files_before_are_not_taken_for_sealed_once_it_has_ended(made: Path) -> None:
    assert fr_server("renew", "--config", str(made)).exit_code == 0
    for name in ("server.key", "server.pem"):
        (made.parent / f"{name}.before").replace(made.parent / name)
    with pytest.raises(FileTampered):
        require_sealed(made, load_config(made))


@pytest.mark.parametrize("renames", [BETWEEN, BETWEEN + 1, RENAMES])
def test_links_are_exchanged_themselves(made: Path, renames: int) -> None:
    apart = made.parent / "apart"
    apart.mkdir()
    for name in ("server.key", "server.pem"):
        (made.parent / name).rename(apart / name)
        (made.parent / name).symlink_to(apart / name)
    assert fr_server("seal", "--config", str(made)).exit_code == 0
    before = content(apart)
    cut_off_at(made, renames)
    assert require_sealed(made, load_config(made))
    assert fr_server("renew", "--config", str(made)).exit_code == 0
    whole(made)
    assert content(apart) == before
    (apart / "server.key").unlink()
    whole(made)
