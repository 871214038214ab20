"""A change of the key, an `init` or a renewal that is killed anywhere can be run again, and nothing is lost."""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_core.errors import FileTampered, TlsUnusable, WrongKey
from fr_core.storage.keys import load_key, new_key_file
from fr_core.storage.marks import mark_of
from fr_server.clock import wall_ms
from fr_server.config import load_config
from fr_server.gateway.tls import check_tls, tls_files
from fr_server.main import open_galleries
from fr_server.storage.opening import open_access, open_stores
from fr_server.storage.seal import exchanging, require_sealed, seal_of
from support.counts import at_night, count
from support.secured import KILLED, Made, cut_off, done, fill, fr_server, made, put_back

STRIDE = count("ROTATION_STRIDE")  # how many steps are passed over between two kills; 1 = every one of them
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
    done("seal", "--config", str(server.path))
    return server


@pytest.fixture
def server(sound: Made, tmp_path: Path) -> Iterator[Made]:
    with put_back(sound, tmp_path / "kept") as server:
        yield server


def words(server: Made) -> list[str]:
    return ["gallery", "key", "rotate", "--config", str(server.path), "--new", f"file:{server.folder / 'new.key'}"]


def content(server: Made, key: str) -> tuple[int, int, int, int]:
    config = load_config(server.path, [f"gallery.key=file:{server.folder / key}"])
    with closing(open_stores(config, wall_ms)) as stores, open_galleries(config) as galleries:
        templates, cases = galleries.get("staff").template_count, len(stores.cases.cases())
        return templates, len(stores.training.courses()), cases, len(stores.access.keys())


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


# A file that is opened to be written, made, renamed or deleted within the folder.
WATCH_INIT = """
folder = sys.argv[-1]
def watch(event, arguments):
    if event in ("open", "os.rename", "os.mkdir", "os.remove") and str(arguments[0]).startswith(folder):
        step()
sys.addaudithook(watch)
"""


def test_it_can_be_run_again_wherever_it_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "srv"
    for steps in itertools.count(0, count("CUT_OFF_STRIDE")):
        ended = cut_off(WATCH_INIT, steps, "server", "init", "--name", "fr.example", str(folder))
        if ended.returncode != KILLED:
            break
        done("init", "--name", "fr.example", str(folder))
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


# Stops at the first file of a name that is opened, until its standard input ends.
HELD = """
import sys
from fr_client.cli.main import build
name, *words = sys.argv[1:]
held = []
def watch(event, arguments):
    if event == "open" and name in str(arguments[0]) and not held:
        held.append(name)
        print("held", flush=True)
        sys.stdin.read()
sys.addaudithook(watch)
build()(words)
"""


@pytest.mark.parametrize("name", ["admin.toml", at_night("ca.key")])
def test_a_second_init_of_a_folder_leaves_it_to_the_first(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "srv"
    words = (sys.executable, "-c", HELD, name, "server", "init", str(folder))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        while first.stdout.readline() not in ("held\n", ""):
            pass
        before = sorted(folder.rglob("*"))
        second = fr_server("init", str(folder))
        assert (second.exit_code, "TARGET_TAKEN" in second.output) == (1, True)
        assert sorted(folder.rglob("*")) == before
        first.communicate()
    assert first.returncode == 0
    assert require_sealed(folder / "server.toml", Made(folder).config())


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
        done("init", str(at))
        (at / ".unfinished").touch()
        with open_galleries(Made(at).config()):
            pass
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    ended = fr_server("init", str(at))
    assert (ended.exit_code, "TARGET_TAKEN" in ended.output) == (1, True)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    done("init", str(tmp_path / "srv"))


RENAMES = 6  # two files are kept, the seal, the key, the certificate, the seal
BETWEEN = 4  # renames before which the key is exchanged, and the certificate is not
# What Python tells of before the system is asked for it.
WATCH_RENEWAL = """
sys.addaudithook(lambda event, arguments: step() if event == "os.rename" else None)
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    done("init", str(tmp_path / "srv"), "--name", "fr.example")
    return tmp_path / "srv" / "server.toml"


def cut_off_at(path: Path, renames: int) -> int:
    return cut_off(WATCH_RENEWAL, renames, "server", "renew", "--config", str(path)).returncode


def files_of(folder: Path, suffix: str = "") -> list[bytes]:
    return [(folder / f"{name}{suffix}").read_bytes() for name in ("server.key", "server.pem")]


def whole(path: Path) -> None:
    config = load_config(path)
    assert require_sealed(path, config)
    files = tls_files(config.tls)
    assert files is not None
    check_tls(files, wall_ms())


@pytest.mark.parametrize("renames", [0, BETWEEN, *map(at_night, (1, 2, 3, 5))])
def test_it_is_no_tampering_and_can_be_run_again(configuration: Path, renames: int) -> None:
    before = files_of(configuration.parent)
    assert cut_off_at(configuration, renames) == KILLED
    assert require_sealed(configuration, load_config(configuration))
    if renames == BETWEEN:
        with pytest.raises(TlsUnusable):
            whole(configuration)
    else:
        whole(configuration)
    exchanged = files_of(configuration.parent)
    done("renew", "--config", str(configuration))
    whole(configuration)
    assert files_of(configuration.parent, ".before") == (before if renames <= BETWEEN else exchanged)
    assert "becomes" not in seal_of(load_config(configuration)).read_text()


def test_all_of_it_is_so_many_renames(configuration: Path) -> None:
    before = files_of(configuration.parent)
    assert cut_off_at(configuration, RENAMES) == 0
    whole(configuration)
    assert files_of(configuration.parent, ".before") == before


@pytest.mark.parametrize("name", ["server.key", at_night("server.toml"), at_night("server.pem")])
def test_what_somebody_changes_after_the_cut_is_tampering(configuration: Path, name: str) -> None:
    assert cut_off_at(configuration, BETWEEN) == KILLED
    with (configuration.parent / name).open("a") as file:
        file.write("\n")
    with pytest.raises(FileTampered) as refused:
        require_sealed(configuration, load_config(configuration))
    assert refused.value.metadata["file"] == str(configuration.parent / name)
    before = files_of(configuration.parent)
    ended = fr_server("renew", "--config", str(configuration))
    assert (ended.exit_code, ended.stderr.partition(":")[0], files_of(configuration.parent)) == (
        1,
        "FILE_TAMPERED",
        before,
    )


def test_what_somebody_changes_while_it_runs_is_not_sealed(configuration: Path) -> None:
    config, new = load_config(configuration), configuration.with_name("new.pem")
    new.write_bytes(b"the new one")
    with exchanging(configuration, config, {configuration.with_name("server.pem"): new}):
        new.write_bytes(b"another")
        new.rename(configuration.with_name("server.pem"))
        with configuration.open("a") as file:
            file.write("\n")
    with pytest.raises(FileTampered, match=r"server\.pem was changed"):
        require_sealed(configuration, config)
    configuration.with_name("server.pem").write_bytes(b"the new one")
    with pytest.raises(FileTampered, match=r"server\.toml was changed"):
        require_sealed(configuration, config)
    configuration.write_text(configuration.read_text()[:-1])
    assert require_sealed(configuration, config)


def test_the_files_before_are_not_taken_for_sealed_once_it_has_ended(configuration: Path) -> None:
    done("renew", "--config", str(configuration))
    for name in ("server.key", "server.pem"):
        (configuration.parent / f"{name}.before").replace(configuration.parent / name)
    with pytest.raises(FileTampered):
        require_sealed(configuration, load_config(configuration))


@pytest.mark.parametrize("renames", [BETWEEN, at_night(BETWEEN + 1), at_night(RENAMES)])
def test_links_are_exchanged_themselves(configuration: Path, renames: int) -> None:
    apart = configuration.parent / "apart"
    apart.mkdir()
    for name in ("server.key", "server.pem"):
        (configuration.parent / name).rename(apart / name)
        (configuration.parent / name).symlink_to(apart / name)
    done("seal", "--config", str(configuration))
    before = files_of(apart)
    cut_off_at(configuration, renames)
    assert require_sealed(configuration, load_config(configuration))
    done("renew", "--config", str(configuration))
    whole(configuration)
    assert files_of(apart) == before
    (apart / "server.key").unlink()
    whole(configuration)
