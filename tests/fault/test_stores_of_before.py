"""A data folder of an earlier version opens as it was, and a kill anywhere in its upgrade loses nothing.

`tests/corpus/data_folder.tar.xz` was made before there was one storage layer, with galleries, photos, a calibration, an
erasure, a course with sessions, a case with a finding, two keys, one of them revoked, and the audit of each store. For
the kills each of its stores is put back to the version before it had an audit.

Run as a script, this file upgrades a store for each line that it reads, in a process that it kills.
"""

import itertools
import json
import os
import shutil
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_core.errors import StoreCorrupt
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.audit.verify import require_unbroken
from fr_core.storage.connection import SqliteHeader
from fr_core.storage.database import Database
from fr_core.storage.migrations import unlocked, write_store_row
from fr_core.storage.protocol import Connection
from fr_core.storage.schema import Schema
from fr_core.storage.vault import Vault
from fr_training.store.schema import SCHEMA as TRAINING
from fr_trust.access.schema import SCHEMA as ACCESS
from fr_trust.casework.store import CaseStore
from fr_trust.casework.store_schema import SCHEMA as CASES
from fr_trust.errors import CaseExists
from support import access as accessing
from support import cases as casefiles
from support import training_stores as trainingstore
from support.audits import Clock
from support.commands import have_children, script
from support.counts import count
from support.full_disk import WatchedDisk
from support.ledger import KEY, embedding
from support.old_galleries import fill

FOLDER = Path(__file__).parent.parent / "corpus" / "data_folder.tar.xz"
SIZE = 8
COURSE = trainingstore.small_course()
SCHEMAS = {"": GALLERIES, "training": TRAINING, "cases": CASES, "access": ACCESS}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with tarfile.open(FOLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    for path in (tmp_path / "data").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (tmp_path / "data").chmod(0o700)
    (tmp_path / "data.key").chmod(0o600)
    return tmp_path


def version(path: Path) -> object:
    with closing(apsw.Connection(str(path))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return connection.pragma("user_version")


def require_whole(home: Path) -> None:
    ended = CliRunner().invoke(build(), ["server", "verify", "--data", str(home / "data")])
    assert ended.exit_code == 0, ended.output


def test_it_verifies_before_and_after_a_change_of_each_store(home: Path) -> None:
    require_whole(home)
    # Before courses had releases and closed sittings, and galleries a log of their changes.
    older_by = {"training": 2, "": 1}
    for folder, schema in SCHEMAS.items():
        assert version(home / "data" / folder / schema.database_name) == schema.version - older_by.get(folder, 0)
    with Galleries.open(home / "data", key=KEY, index="numpy") as galleries:
        assert (galleries.get("g").subject_count, galleries.get("g").template_count) == (6, 10)
        for seed in (0, 1, 2, 4, 11):
            best = galleries.search("g", embedding(seed, SIZE), 1, 0.99).identification.candidates[0]
            assert best.subject_id == f"s{seed % 7}"
        first = galleries.subject("g", "s0").templates[0]
        assert galleries.template("g", first.template_id).photo == b"photo 0"
        assert galleries.calibration("g") == "a text"
        assert galleries.enrol("g", Enrolment("new", NewTemplate(embedding(500, SIZE)))).template_id == 14
        galleries.erase_subject("g", "new")
    with trainingstore.open_store(home / "data" / "training") as training:
        (cohort,) = training.cohorts()
        for trainee in training.trainees(cohort.cohort_id):
            (session,) = training.sessions_of(trainee.trainee_id)
            assert session.trials
            training.change(session.session_id, lambda _, one: (trainingstore.shown(COURSE, one), None)).result()
    with CaseStore.open(home / "data" / "cases", KEY, Clock()) as cases:
        (case,) = cases.cases()
        (examination,) = cases.examinations_of(case.case_id)
        assert examination.findings[0].notes == "a note"
        assert cases.examination(examination.examination_id).probe == casefiles.noise(1)
        cases.close_case(case.case_id)
    with accessing.open_store(home / "data" / "access") as access:
        revoked, valid = access.keys()
        assert (revoked.revoked_ms is None, valid.revoked_ms) == (False, None)
        assert access.check((home / "token").read_text(), None) == valid
    require_whole(home)
    for folder, schema in SCHEMAS.items():
        assert version(home / "data" / folder / schema.database_name) == schema.version


STRIDE = count("UPGRADE_STRIDE")  # how many steps are passed over between two kills; 1 = every one of them


def held_of_galleries(folder: Path) -> object:
    with Galleries.open(folder, key=KEY, index="numpy") as galleries:
        found = []
        for gallery in galleries.list().items:
            subjects = galleries.subjects(gallery.gallery_id).items
            templates = [one.template_id for subject in subjects for one in subject.templates]
            photos = [galleries.template(gallery.gallery_id, one).photo for one in templates]
            found.append((gallery, subjects, photos, galleries.calibration(gallery.gallery_id)))
        with galleries.auditing() as audit:
            return found, require_unbroken(audit)


def held_of_training(folder: Path) -> object:
    with trainingstore.open_store(folder) as store, store.auditing() as audit:
        trainees = [one for cohort in store.cohorts() for one in store.trainees(cohort.cohort_id)]
        sessions = [store.sessions_of(one.trainee_id) for one in trainees]
        assert any(sessions)
        return store.courses(), trainees, sessions, require_unbroken(audit)


def held_of_cases(folder: Path) -> object:
    with CaseStore.open(folder, KEY, Clock()) as store, store.auditing() as audit:
        (case,) = store.cases()
        with pytest.raises(CaseExists):
            store.open_case(case.reference, case.purpose, case.opened_by)
        whole = [store.examination(one.examination_id) for one in store.examinations_of(case.case_id)]
        return case, whole, require_unbroken(audit)


def held_of_access(folder: Path) -> object:
    with accessing.open_store(folder) as store, store.auditing() as audit:
        token = (folder.parent.parent / "token").read_text()
        return store.keys(), store.check(token, None), require_unbroken(audit)


@dataclass(frozen=True)
class Older:
    """A kind of store: its folder, its schema, the earlier version, and what reads all that it holds."""

    folder: str
    schema: Schema
    version: int
    held: Callable[[Path], object]


OLDER = {
    "galleries": Older("", GALLERIES, GALLERIES.first_audited - 1, held_of_galleries),
    "first-galleries": Older("", GALLERIES, 1, held_of_galleries),
    "training": Older("training", TRAINING, TRAINING.first_audited - 1, held_of_training),
    "cases": Older("cases", CASES, CASES.first_audited - 1, held_of_cases),
    "access": Older("access", ACCESS, ACCESS.first_audited - 1, held_of_access),
}


def put_back(database: Path, schema: Schema, to: int) -> None:
    """Make a store one of the version before it had an audit; its log keeps the change."""
    with closing(apsw.Connection(str(database))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # The releases of the training store came after its audit, and its closed sittings are not there yet.
        connection.execute("BEGIN IMMEDIATE; DROP TABLE audit; DROP TABLE audit_head; DROP TABLE IF EXISTS releases")
        if schema.signs_store:
            write_store_row(connection, unlocked(connection, SqliteHeader(connection), schema, KEY), to)
        connection.execute(f"PRAGMA user_version = {to}; COMMIT")


def torn(schema: Schema, older: int) -> Schema:
    """Return a schema whose first due migration is committed before the others are taken: the control."""
    first = schema.migrations[older]

    def take(connection: Connection, vault: Vault) -> None:
        assert not isinstance(first, str)
        first(connection, vault)
        connection.execute("COMMIT; BEGIN IMMEDIATE")

    return replace(schema, migrations=(*schema.migrations[:older], take, *schema.migrations[older + 1 :]))


Upgrade = Callable[[str, Path, int, str], int]


@pytest.fixture(scope="module")
def upgrade() -> Iterator[Upgrade]:
    """Start this file as a script; yields what upgrades a store and returns how the process of that ended."""
    with script(__file__, OPENBLAS_NUM_THREADS="1") as process:

        def upgrade(kind: str, folder: Path, steps: int, how: str) -> int:
            process.tell(json.dumps((kind, str(folder), steps, how)))
            return int(json.loads(process.line())[1])

        yield upgrade


def older_home(home: Path, kind: str) -> Path:
    older = OLDER[kind]
    data = home / "data"
    if older.version == 1 and older.schema is GALLERIES:
        for path in data.glob(f"{GALLERIES.database_name}*"):
            path.unlink()
        fill(data)
    else:
        put_back(data / older.folder / older.schema.database_name, older.schema, older.version)
    return data


@pytest.mark.parametrize("kind", OLDER)
def test_an_upgrade_killed_anywhere_loses_nothing(kind: str, home: Path, tmp_path: Path, upgrade: Upgrade) -> None:
    older, data = OLDER[kind], older_home(home, kind)
    kept = tmp_path / "kept"
    shutil.copytree(data, kept)
    folder = data / older.folder
    expected = older.held(folder)
    versions = []
    for steps in itertools.count(0, STRIDE):
        shutil.rmtree(data)
        shutil.copytree(kept, data)
        ended = upgrade(kind, folder, steps, "whole")
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        versions.append(version(folder / older.schema.database_name))
        assert older.held(folder) == expected
    require_whole(home)
    both = {older.version, older.schema.version}
    assert (set(versions) == both) if STRIDE == 1 else (older.version in versions and both >= set(versions))
    print(f"figure: kills of an upgrade of {kind} = {len(versions)}")  # noqa: T201 - see tools/chaos.py


@pytest.mark.parametrize("kind", OLDER)
def test_control_one_that_commits_in_the_midst_does(kind: str, home: Path, upgrade: Upgrade) -> None:
    older, data = OLDER[kind], older_home(home, kind)
    assert upgrade(kind, data / older.folder, 0, "torn") == -signal.SIGKILL
    with pytest.raises(StoreCorrupt):
        older.held(data / older.folder)


class Steps(WatchedDisk):
    """Kills the process after so many steps: statements, and what SQLite writes, cuts, deletes or syncs."""

    def __init__(self, left: int) -> None:
        self.left = left
        super().__init__(default=True)
        apsw.connection_hooks.append(self.watch)

    def watch(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self.statement

    def statement(self, *_: object) -> bool:
        self.step("statement", "", 0)
        return True

    def step(self, kind: str, path: str, size: int) -> None:
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def open_and_die(line: str, _: int) -> None:
    kind, folder, steps, how = json.loads(line)
    older = OLDER[kind]
    schema = older.schema
    if how == "torn":  # the process dies at the first step after that commit

        def die(connection: Connection, vault: Vault) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        schema = torn(schema, older.version)
        schema = replace(schema, migrations=(*schema.migrations[:-1], die))
    else:
        Steps(steps)
    Database(Path(folder), schema, KEY, 0).close()


if __name__ == "__main__":
    have_children(open_and_die)
