"""`fr server verify` and `audit export` check each store in a copy; a server logs a store that it makes anew."""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fr_client.cli.main import build
from fr_core.errors import StoreCorrupt, StoreExposed
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.values import Entry
from fr_core.storage.audit.verify import Broken, Verified, Why
from fr_core.storage.keys import KeyEncryptionKey, key_beside
from fr_core.types import Embedding, ModelId
from fr_server.clock import wall_ms
from fr_server.config import Config, load_config
from fr_server.main import open_galleries
from fr_server.storage.audits import CHAINS
from fr_server.storage.opening import open_stores
from fr_trust.audit.export import verify_export
from fr_trust.casework.values import Purpose
from support import cases as casefiles
from support import training_stores as trainingstore
from support.access import Clocks, new_key
from support.access import open_store as open_access
from support.audits import START_MS, checkpoint_of

KEY = KeyEncryptionKey(bytes(range(32)))
MODEL = ModelId("null", "1", "0" * 64)
FILES = {
    "galleries": "galleries.db",
    "training": "training/training.sqlite",
    "cases": "cases/cases.sqlite",
    "access": "access/access.sqlite",
}
OPENING: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {
    "galleries": lambda data: closing(GalleryStore(data, KEY)),
    "training": lambda data: trainingstore.open_store(data / "training"),
    "cases": lambda data: casefiles.open_store(data / "cases"),
    "access": lambda data: open_access(data / "access"),
}
SECRETS = ("Erika Mustermann", "a note")


def enrolment(seed: int) -> Enrolment:
    vector = np.random.default_rng(seed).standard_normal(8)
    embedding = Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)
    return Enrolment(f"s{seed}", NewTemplate(embedding, photo=b"photo"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, its key beside it, and something in every table of every store."""
    home = tmp_path_factory.mktemp("sound")
    with Galleries.open(home / "data", key=KEY, index="numpy") as galleries:
        galleries.create("g", "", MODEL, 8, keeps_photos=True)
        for seed in range(3):
            galleries.enrol("g", enrolment(seed))
    course = trainingstore.small_course()
    with trainingstore.open_store(home / "data/training") as training:
        trainingstore.add_course(training, course)
        # Long over by any clock: a check for damage looks at it all the same.
        _, enrolled = training.create_cohort(course.course_id, SECRETS[0], 2, 1)
        training.set_probe_key(course.course_id, "a" * 64, None)
        for session in trainingstore.begin(training, course, enrolled):
            for _ in range(2):
                training.change(session.session_id, lambda _, one: (trainingstore.shown(course, one), None)).result()
    with casefiles.open_store(home / "data/cases") as cases:
        probe = casefiles.noise(1)
        case = cases.open_case(SECRETS[0], Purpose.TESTING, "local", START_MS + 1)
        own = cases.add_examination(case.case_id, casefiles.a_search(probe), casefiles.some_candidates(), probe)
        cases.give_finding(own.examination_id, casefiles.picks("key:anna", notes=SECRETS[1]))
    with open_access(home / "data/access") as access:
        access.create(new_key())
        access.record([Entry("local", "gallery.search", "OK")] * 5).result(5)
    (home / "data.key").write_text(f"{KEY.secret.hex()}\n")
    (home / "data.key").chmod(0o600)
    assert key_beside(home / "data", new=False) == KEY
    return home


@pytest.fixture
def home(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def fr(*words: object) -> Result:
    return CliRunner().invoke(build(), ["server", *map(str, words)])


def verified(home: Path, *more: object) -> Result:
    return fr("verify", "--data", home / "data", *more)


def faults(home: Path, *more: object) -> dict[str, list[tuple[str, int | None]]]:
    """The findings in each store that is damaged."""
    ended = verified(home, "--json", *more)
    told: dict[str, Any] = json.loads(ended.stdout)
    found = {
        one["chain"]: [(fault["finding"], fault["seq"]) for fault in one["faults"]]
        for one in told["stores"]
        if not one["whole"]
    }
    assert (ended.exit_code == 0) is told["whole"] is (not found and not told["missing"])
    return found


def spoil(home: Path, chain: str, sql: str) -> None:
    with closing(apsw.Connection(str(home / "data" / FILES[chain]))) as database:
        database.execute(sql)
        assert database.changes() == 1, "the statement hits nothing"


def tree(home: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path.relative_to(home)): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def checkpoints(home: Path) -> dict[str, Checkpoint]:
    with ExitStack() as opened:
        return {
            chain: checkpoint_of(opened.enter_context(opening(home / "data"))) for chain, opening in OPENING.items()
        }


def keep(folder: Path, marks: dict[str, Checkpoint]) -> Path:
    folder.mkdir()
    for chain, one in marks.items():
        (folder / f"{chain}-{one.seq:012}.json").write_bytes(one.to_json())
    return folder


def test_whole_stores_are_told_one_by_one_and_not_changed(home: Path, temporary: Path, tmp_path: Path) -> None:
    before = tree(home)
    ended = verified(home)
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:4]] == list(CHAINS)
    assert lines[3] == "access: intact, with 6 audit records."
    assert "You gave no checkpoints" in lines[4]
    assert "not there" not in ended.output
    assert tree(home) == before
    assert list(temporary.iterdir()) == []
    ended = verified(home, "--checkpoints", keep(tmp_path / "kept", checkpoints(home)))
    assert (ended.exit_code, ended.stdout.count("it agrees with 1 checkpoint.")) == (0, 4)
    folders = [path for path in home.rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o500)
    try:
        assert verified(home).exit_code == 0
    finally:
        for folder in folders:
            folder.chmod(0o700)


DAMAGES = {
    "galleries": (
        "UPDATE templates SET sealed = zeroblob(length(sealed)) "
        "WHERE template_id = (SELECT max(template_id) FROM templates)",
        "DELETE FROM photos WHERE template_id = (SELECT max(template_id) FROM photos)",
        "DELETE FROM subjects WHERE subject_no = (SELECT max(subject_no) FROM subjects)",
    ),
    "training": (
        "DELETE FROM pictures WHERE number = 3",
        "UPDATE pictures SET sealed = zeroblob(length(sealed)) WHERE number = 3",
        "UPDATE courses SET gallery = zeroblob(length(gallery))",
        "UPDATE identities SET sealed = zeroblob(length(sealed)) "
        "WHERE identity_mac = (SELECT max(identity_mac) FROM identities)",
        "UPDATE probe_keys SET sealed = zeroblob(length(sealed)) "
        "WHERE photo_mac = (SELECT max(photo_mac) FROM probe_keys)",
        "UPDATE cohorts SET sealed = zeroblob(length(sealed))",
        "UPDATE trainees SET number = 7 WHERE number = 1",
        "UPDATE sessions SET sealed = zeroblob(length(sealed)) WHERE session_no = 2",
        "UPDATE trials SET sealed = zeroblob(length(sealed)) WHERE session_no = 1 AND ordinal = 1",
        "DELETE FROM trials WHERE session_no = 1 AND ordinal = 1",
        "DELETE FROM courses",
    ),
    "cases": (
        "DELETE FROM findings",
        "UPDATE findings SET sealed = zeroblob(length(sealed))",
        "DELETE FROM photos WHERE number = 1",
        "UPDATE photos SET sealed = zeroblob(length(sealed)) WHERE number = 1",
        "UPDATE examinations SET sealed = zeroblob(length(sealed))",
        "DELETE FROM examinations",
        "DELETE FROM cases",
    ),
    "access": ("DELETE FROM keys", "UPDATE keys SET sealed = zeroblob(length(sealed))", "UPDATE head SET version = 9"),
}


@pytest.mark.parametrize(("chain", "sql"), [(chain, sql) for chain, found in DAMAGES.items() for sql in found])
def test_a_row_that_was_damaged_is_found_in_its_store(home: Path, chain: str, sql: str) -> None:
    spoil(home, chain, f"PRAGMA foreign_keys = OFF; {sql}")
    before = tree(home)
    assert faults(home) == {chain: [("STORE_CORRUPT", None)]}
    ended = verified(home)
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{chain}: STORE_CORRUPT: ")
    assert str(home / "data" / FILES[chain]) in line
    assert not any(secret in ended.output for secret in SECRETS)
    assert tree(home) == before


@pytest.mark.parametrize("chain", CHAINS)
def test_a_record_that_was_changed_is_named_and_the_rows_are_looked_at_all_the_same(home: Path, chain: str) -> None:
    spoil(home, chain, "UPDATE audit SET body = CAST(replace(body, 'OK', 'KO') AS BLOB) WHERE seq = 2")
    assert faults(home) == {chain: [("edited", 2)]}
    assert f"{chain}: record 2 was changed." in verified(home).stderr
    spoil(home, "cases", "DELETE FROM findings")
    found = faults(home)
    assert found["cases"] == [*([("edited", 2)] if chain == "cases" else []), ("STORE_CORRUPT", None)]


@pytest.mark.parametrize(("chain", "damage"), [*zip(CHAINS, ["garbage", "empty", "cut", "garbage"], strict=True)])
def test_a_file_that_is_no_database_is_told_and_the_others_are_checked(home: Path, chain: str, damage: str) -> None:
    path = home / "data" / FILES[chain]
    for log in path.parent.glob(f"{path.name}-*"):
        log.unlink()
    whole = path.read_bytes()
    path.write_bytes({"garbage": b"\xff" * 8_192, "empty": b"", "cut": whole[: len(whole) // 2]}[damage])
    found = faults(home)
    assert list(found) == [chain]
    assert {finding for finding, _ in found[chain]} <= {"STORE_CORRUPT", "missing", "truncated", "head_altered"}


def test_an_older_store_is_found_against_checkpoints_and_only_so(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "before")
    with open_access(home / "data/access", Clocks()) as access:
        access.create(new_key())
    kept = keep(tmp_path / "kept", checkpoints(home))
    assert faults(tmp_path / "before") == {}
    assert faults(tmp_path / "before", "--checkpoints", kept) == {"access": [("truncated", 7)]}


def test_a_store_that_is_gone_is_told_where_there_are_checkpoints_of_it(home: Path, tmp_path: Path) -> None:
    kept = keep(tmp_path / "kept", checkpoints(home))
    shutil.rmtree(home / "data/cases")
    assert verified(home).exit_code == 0  # there may never have been one
    ended = verified(home, "--checkpoints", kept)
    assert (ended.exit_code, ended.stderr) == (1, "cases: has checkpoints, but no store.\n")
    assert json.loads(verified(home, "--checkpoints", kept, "--json").stdout)["missing"] == ["cases"]


def test_a_store_of_which_nothing_is_left_is_named(home: Path) -> None:
    shutil.rmtree(home / "data/cases")
    shutil.rmtree(home / "data/access")
    ended = verified(home)
    assert (ended.exit_code, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [line.partition(",")[0] for line in lines[:2]] == ["galleries: intact", "training: intact"]
    assert lines[2:4] == [
        f"{chain}: missing ({home / 'data' / FILES[chain]})." for chain in ("cases", "access")
    ]  # fmt: skip
    assert lines[4].startswith("A server makes all four stores when it starts.")
    told = json.loads(verified(home, "--json").stdout)
    assert (told["whole"], told["not_there"], told["missing"]) == (True, ["cases", "access"], [])
    assert [one["chain"] for one in told["stores"]] == ["galleries", "training"]


def left_alone(path: Path) -> None:
    for gone in (path, *path.parent.glob(f"{path.name}-*")):
        gone.unlink()


def with_its_log(path: Path) -> None:
    left_alone(path)
    path.with_name(f"{path.name}-wal").write_bytes(b"x")
    for lock in path.parent.glob("*.lock"):
        lock.unlink()


def dangling(path: Path) -> None:
    left_alone(path)
    path.symlink_to(path.with_name("elsewhere"))


def a_folder(path: Path) -> None:
    left_alone(path)
    path.mkdir()


REMAINS: dict[Callable[[Path], None], str] = {
    left_alone: ".lock exists: someone",
    with_its_log: "-wal exists: someone",
    dangling: "leads to no file",
    a_folder: "leads to no file",
}


@pytest.mark.parametrize(("chain", "taking"), [*zip(CHAINS, REMAINS, strict=True), ("cases", left_alone)])
def test_a_store_of_which_something_is_left_is_at_fault(home: Path, chain: str, taking: Callable[[Path], None]) -> None:
    path = home / "data" / FILES[chain]
    taking(path)
    before = tree(home)
    assert faults(home) == {chain: [("NO_STORE", None)]}
    ended = verified(home)
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{chain}: NO_STORE: It is missing")
    assert line.endswith(f"({path})")
    assert REMAINS[taking] in line
    assert ended.stdout.count("intact, with") == 3
    assert tree(home) == before


def test_a_folder_that_is_a_link_to_a_disk_that_is_gone(home: Path) -> None:
    shutil.rmtree(home / "data/cases")
    (home / "data/cases").symlink_to(home / "unmounted")
    assert faults(home) == {"cases": [("NO_STORE", None)]}
    assert f"{home / 'data/cases'} leads to no file" in verified(home).stderr


@pytest.mark.parametrize("also", [(), ("cases",), ("training", "cases")], ids=str)
def test_galleries_are_missed_where_cases_or_courses_are_there(home: Path, also: tuple[str, ...]) -> None:
    """An admin key is made before a server has started, and lies there alone then."""
    for name in ("galleries.db", "galleries.db-wal", "galleries.db-shm", "galleries.lock"):
        (home / "data" / name).unlink(missing_ok=True)
    for chain in also:
        shutil.rmtree(home / "data" / chain)
    wanted = {} if "training" in also else {"galleries": [("NO_STORE", None)]}
    assert faults(home) == wanted
    if not wanted:
        told = json.loads(verified(home, "--json").stdout)
        assert told["not_there"] == ["galleries", "training", "cases"]


def test_a_store_that_is_not_there_has_no_audit_to_export(home: Path, tmp_path: Path) -> None:
    left_alone(home / "data/cases/cases.sqlite")
    ended = fr("audit", "export", "--data", home / "data", "--chain", "cases", "--out", tmp_path / "out")
    assert (ended.exit_code, ended.stderr.startswith("NO_STORE: The chain cases has no store.")) == (1, True)


def test_another_key_is_told_of_every_store(home: Path, tmp_path: Path) -> None:
    (home / "data.key").write_text(f"{bytes(32).hex()}\n")
    assert faults(home) == {chain: [("WRONG_KEY", None)] for chain in CHAINS}
    empty = tmp_path / "empty"
    empty.mkdir()
    assert verified(tmp_path).stderr.startswith("NO_STORE")
    assert verified(home, "--checkpoints", empty).stderr.startswith("CHECKPOINT_MISSING")
    assert verified(home, "--checkpoints", tmp_path / "nowhere").stderr.startswith("FILE_UNREADABLE")
    (empty / "cases-3.json").write_text("{}")
    assert verified(home, "--checkpoints", empty).stderr.startswith("CHECKPOINT_MISSING")


@pytest.mark.parametrize("chain", CHAINS)
def test_a_store_that_a_server_has_open_is_not_copied(home: Path, chain: str) -> None:
    with OPENING[chain](home / "data"):
        assert faults(home) == {chain: [("STORE_IN_USE", None)]}
    assert faults(home) == {}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_is_exported_and_can_be_checked_elsewhere(home: Path, tmp_path: Path, chain: str) -> None:
    before, out = tree(home), tmp_path / "out.jsonl"
    ended = fr("audit", "export", "--data", home / "data", "--chain", chain, "--out", out)
    assert (ended.exit_code, out.stat().st_mode & 0o777) == (0, 0o600), ended.output
    assert tree(home) == before
    (last,) = (one for name, one in checkpoints(home).items() if name == chain)
    lines = out.read_bytes().splitlines()
    assert json.loads(lines[0])["chain_id"] == last.chain_id
    assert len(lines) == 2 + last.seq
    assert fr("audit", "export", "--data", home / "data", "--chain", chain, "--out", out).exit_code == 1
    assert out.read_bytes().splitlines() == lines


def test_of_a_damaged_chain_what_is_before_is_exported(home: Path, tmp_path: Path) -> None:
    with open_access(home / "data/access") as access, access.auditing() as audit:
        public_key = audit.public_key()
    whole, rest, out = tmp_path / "whole.jsonl", tmp_path / "rest.jsonl", tmp_path / "out.jsonl"
    words = ("audit", "export", "--data", home / "data", "--chain", "access", "--out")
    assert fr(*words, whole).exit_code == 0
    assert isinstance(verify_export(whole.read_bytes().splitlines(), public_key), Verified)
    spoil(home, "access", "UPDATE audit SET body = CAST(replace(body, 'OK', 'KO') AS BLOB) WHERE seq = 5")
    ended = fr(*words, out)
    assert (ended.exit_code, ended.stderr.partition(":")[0]) == (1, "STORE_CORRUPT")
    assert "ends after record 4" in ended.stderr
    assert out.read_bytes().splitlines() == whole.read_bytes().splitlines()[:5]
    assert verify_export(out.read_bytes().splitlines(), public_key) == Broken(5, Why.TRUNCATED)
    assert fr(*words, rest, "--after", 5).exit_code == 1
    assert not rest.exists()
    spoil(home, "access", "UPDATE audit_head SET at_ms = at_ms + 1")
    ended = fr(*words, rest)
    assert (ended.exit_code, ended.stderr.partition(":")[0], rest.exists()) == (1, "STORE_CORRUPT", False)


STORES = {
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
    open_stores(config, wall_ms).close()
    return Path(config.gallery.folder)


def all_stores(config: Config) -> Any:
    return open_stores(config, wall_ms)


def warnings(
    config: Config, caplog: pytest.LogCaptureFixture, opening: Callable[[Config], Any] = all_stores
) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        opening(config).close()
    return [record.getMessage() for record in caplog.records if record.name == "fr_server.storage"]


@pytest.mark.parametrize("opening", [all_stores, open_galleries])
def test_control_silent(config: Config, caplog: pytest.LogCaptureFixture, opening: Callable[[Config], Any]) -> None:
    Path(config.gallery.folder).mkdir()
    for _ in range(2):
        assert warnings(config, caplog, opening) == []


@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize("name", STORES)
def test_remade_stores(config: Config, data: Path, caplog: pytest.LogCaptureFixture, name: str, emptied: bool) -> None:
    """An empty folder may be that of a disk that is not mounted."""
    path = data / STORES[name]
    if emptied:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
    else:
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
        assert path.with_suffix(".lock").exists()
    (told,) = warnings(config, caplog)
    assert told.startswith(f"The {name} was not at {path}, though its folder was there: a new, empty one was made.")
    assert warnings(config, caplog) == []


def test_remade_galleries(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    open_galleries(config).close()
    for left in Path(config.gallery.folder).glob("galleries.db*"):
        left.unlink()
    assert [len(warnings(config, caplog, open_galleries)) for _ in range(2)] == [1, 0]


def test_no_remains_no_warning(config: Config, data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The runbook has damaged stores taken away whole; a configuration may put two stores into one folder."""
    shutil.rmtree(data / "cases")
    assert warnings(config, caplog) == []
    shared = load_config(
        None, (), {"gallery.folder": str(data), "cases.folder": str(data), "training.folder": str(data / "access")}, {}
    )
    assert warnings(shared, caplog) == []
    assert (data / "cases.sqlite").exists()
    assert (data / "access/training.sqlite").exists()


def test_stores_that_cannot_be_made(config: Config, data: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = data / "cases/cases.sqlite"
    path.unlink()
    (data / "cases/cases.sqlite-wal").write_bytes(b"x")
    with pytest.raises(StoreCorrupt):
        warnings(config, caplog)
    path.symlink_to(data / "nowhere")
    with pytest.raises(StoreExposed):
        warnings(config, caplog)
    assert caplog.records == []
