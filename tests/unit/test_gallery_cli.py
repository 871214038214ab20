"""`fr gallery backup`, `restore`, `verify` and `key`: what they print, where, and with which exit status."""

import json
import stat
from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fr_client.cli.main import build
from fr_core.errors import StoreFailed, WrongKey
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage import log_copier
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.keys import load_key, new_key_file
from fr_core.types import Embedding, ModelId
from fr_training.store.training_store import TrainingStore
from fr_trust.access.budget import UNLIMITED
from fr_trust.access.keys import NewKey
from fr_trust.access.principal import Role, Scope
from fr_trust.access.store import AccessStore
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Purpose
from support.training_stores import DAY_MS, Clock, add_course, begin, small_course

MODEL = ModelId("null", "1", "0" * 64)
SIZE = 8
COUNTS = {"galleries": 1, "subjects": 3, "templates": 5, "photos": 2}
COURSE = small_course()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with `data` in it and `data.key` beside that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    key = new_key_file(tmp_path / "data.key")
    with Galleries.open(tmp_path / "data", key=key, index="numpy") as galleries:
        galleries.create("g", "", MODEL, SIZE, keeps_photos=True)
        for seed in range(5):
            vector = np.random.default_rng(seed).standard_normal(SIZE)
            embedding = Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)
            photo = b"photo" if seed < 2 else None
            galleries.enrol("g", Enrolment(f"s{seed % 3}", NewTemplate(embedding, photo=photo)))
    return tmp_path


@pytest.fixture
def code(home: Path) -> str:
    """The code of a trainee who has begun a course, which is kept in `data/training` under `data.key`."""
    with open_training(home, "data.key") as store:
        add_course(store, COURSE)
        _, enrolled = store.create_cohort(COURSE.course_id, "Monday", 1, DAY_MS)
        begin(store, COURSE, enrolled)
    return enrolled[0].code


def open_training(home: Path, key: str, folder: str = "data/training") -> TrainingStore:
    return TrainingStore.open(home / folder, load_key(f"file:{home / key}"), Clock())


def is_under(home: Path, key: str, code: str, folder: str = "data/training") -> bool:
    """Return True if the whole course opens with a key; if not, the key must be refused as another course's."""
    try:
        with open_training(home, key, folder) as store:
            trainee = store.trainee_of_code(code)
            assert store.course(COURSE.course_id) == COURSE
            assert store.cohort(trainee.cohort_id).display_name == "Monday"
            assert len(store.sessions_of(trainee.trainee_id)) == 1
            assert store.picture(COURSE.course_id, 0)
            return True
    except WrongKey:
        return False


def fr(*words: str) -> Result:
    return CliRunner().invoke(build(), ["gallery", *words])


def failed(result: Result, reason: str) -> bool:
    return result.exit_code == 1 and result.stderr.startswith(f"{reason}: ") and "Traceback" not in result.stderr


def test_as_json(home: Path) -> None:
    made = json.loads(fr("backup", "out", "--keys", "keys", "--json").stdout)
    assert made == {"backup": "out", "keys": "keys", **COUNTS}
    key = ("--key", "file:data.key")
    back = json.loads(fr("restore", "out", "--keys", "keys", "--data", "new", *key, "--json").stdout)
    assert back.pop("created").endswith("+00:00")
    held = {"data": "new", **COUNTS, "audit_records": 1}
    assert back == {**held, "erased_since": 0}
    assert json.loads(fr("verify", "--data", "new", *key, "--json").stdout) == held


def test_folder_and_key_are_found_as_the_server_finds_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "fr.toml").write_text('[gallery]\nfolder = "elsewhere"\n')
    (home / "data").rename(home / "elsewhere")
    monkeypatch.setenv("FR_KEY", load_key("file:data.key").secret.hex())
    assert fr("verify", "--config", "fr.toml", "--key", "env:FR_KEY").exit_code == 0
    assert failed(fr("verify", "--key", "env:FR_KEY"), "NO_STORE")
    assert failed(fr("verify", "--config", "fr.toml"), "KEY_UNAVAILABLE")
    assert not (home / "elsewhere.key").exists()
    assert failed(fr("verify", "--config", "none.toml"), "CONFIG_INVALID")
    (home / "fr.toml").write_text('[gallery]\nfolder = "elsewhere"\nkey = "file:data.key"\n')
    assert fr("verify", "--config", "fr.toml").exit_code == 0
    assert failed(fr("verify", "--config", "fr.toml", "--key", "env:NOT_SET"), "KEY_UNAVAILABLE")


@pytest.mark.parametrize(
    ("sql", "words", "metadata"),
    [
        ("UPDATE templates SET sealed = zeroblob(60) WHERE template_id = 3", "", {"check": "template"}),
        (
            "UPDATE audit SET mac = zeroblob(16) WHERE seq = 3",
            "Record 3 of the audit",
            {"check": "audit", "seq": "3", "why": "edited"},
        ),
    ],
)
def test_damage_ends_verify_with_the_reason(home: Path, sql: str, words: str, metadata: dict[str, str]) -> None:
    with closing(apsw.Connection(str(home / "data" / DATABASE_NAME))) as connection:
        connection.execute(sql).fetchall()
    told = fr("verify", "--json")
    assert failed(told, "STORE_CORRUPT")
    assert words in told.stderr
    error = json.loads(told.stdout)["error"]
    assert (error["reason"], error["metadata"]) == ("STORE_CORRUPT", metadata)
    assert failed(fr("verify"), "STORE_CORRUPT")
    made = fr("backup", "out", "--keys", "keys")
    if metadata["check"] == "template":
        assert failed(made, "STORE_CORRUPT")
        assert not (home / "out").exists()
    else:  # of the audit, which no backup holds
        assert made.exit_code == 0
        assert "The audit is not in the backup, and was not checked: `fr gallery verify`" in made.stdout


def test_what_would_be_overwritten_is_refused(home: Path) -> None:
    assert fr("backup", "out", "--keys", "keys").exit_code == 0
    assert failed(fr("backup", "out", "--keys", "keys"), "TARGET_TAKEN")
    assert failed(fr("restore", "out", "--keys", "keys"), "TARGET_TAKEN")
    assert failed(fr("restore", "keys", "--keys", "out", "--data", "new", "--key", "file:data.key"), "BACKUP_UNUSABLE")
    assert fr("backup", "out").exit_code == 2  # without --keys


def test_a_backup_does_not_make_the_folder_that_it_goes_to(home: Path) -> None:
    """It may be one where a disk is to be mounted."""
    for words, field in ((("disk/out", "--keys", "keys"), "backup"), (("out", "--keys", "disk/keys"), "keys")):
        refused = fr("backup", *words, "--json")
        assert failed(refused, "INVALID_FIELD")
        assert "make it, or mount its disk" in refused.stderr
        assert json.loads(refused.stdout)["error"]["metadata"] == {"field": field}
    assert sorted(path.name for path in home.iterdir()) == ["data", "data.key"]


def test_a_new_key_is_a_file_of_its_owner(home: Path) -> None:
    made = fr("key", "create", "k", "--json")
    assert json.loads(made.stdout) == {"file": "k", "key_id": load_key("file:k").key_id}
    assert stat.S_IMODE((home / "k").stat().st_mode) == 0o600
    text = (home / "k").read_text()
    again = fr("key", "create", "k")
    assert failed(again, "KEY_UNAVAILABLE")
    assert (home / "k").read_text() == text
    assert text.strip() not in made.stdout + again.stdout + again.stderr


def test_a_rotated_folder_opens_with_the_new_key_alone(home: Path) -> None:
    assert fr("backup", "out", "--keys", "keys").exit_code == 0
    new_key_file(home / "k")
    rotated = fr("key", "rotate", "--new", "file:k")
    assert (rotated.exit_code, rotated.stderr) == (0, "")
    assert load_key("file:k").key_id in rotated.stdout
    assert "Put the new key in the place of the old one" in rotated.stdout
    wrong = fr("verify")
    assert failed(wrong, "WRONG_KEY")
    assert all(load_key(f"file:{name}").key_id in wrong.stderr for name in ("k", "data.key"))
    assert not any((home / name).read_text().strip() in wrong.stderr for name in ("k", "data.key"))
    assert fr("verify", "--key", "file:k").exit_code == 0
    assert fr("backup", "out-2", "--keys", "keys", "--key", "file:k").exit_code == 0
    back = fr("restore", "out", "--keys", "keys", "--data", "new", "--key", "file:k")
    assert (back.exit_code, "1 gallery, 3 subjects, 5 templates, 2 photos" in back.stdout) == (0, True)
    assert not any((home / "data" / name).exists() for name in ("training", "cases", "access"))


def test_a_rotation_beside_who_reads_says_what_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_copier, "_SCRUB_S", 0.0)
    for name in "kl":
        new_key_file(home / name)
    with closing(apsw.Connection(str(home / "data" / DATABASE_NAME))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM galleries").fetchall()
        rotated = fr("key", "rotate", "--new", "file:k")
        assert (rotated.exit_code, "At its next start, the server" in rotated.stdout) == (0, True)
        told = fr("key", "rotate", "--new", "file:l", "--key", "file:k", "--json")
        assert (told.exit_code, json.loads(told.stdout)["scrubbed"]) == (0, False)
    back = fr("key", "rotate", "--new", "file:k", "--key", "file:l", "--json")
    assert json.loads(back.stdout)["scrubbed"]
    assert fr("verify", "--key", "file:k").exit_code == 0


def test_rotation_is_refused_where_it_cannot_be(home: Path) -> None:
    new_key_file(home / "k")
    assert failed(fr("key", "rotate", "--new", "file:none"), "KEY_UNAVAILABLE")
    assert failed(fr("key", "rotate", "--new", "file:k", "--key", "file:k"), "WRONG_KEY")
    assert failed(fr("key", "rotate", "--new", "file:k", "--key", "file:k", "--data", "none"), "NO_STORE")
    assert not (home / "none").exists()
    with Galleries.open(home / "data", key=load_key("file:data.key"), index="numpy"):
        assert failed(fr("key", "rotate", "--new", "file:k"), "STORE_IN_USE")
        assert fr("verify").exit_code == 0  # reads beside a process that has it open
    assert fr("verify").exit_code == 0


def test_a_rotation_while_the_courses_are_in_use_changes_nothing(home: Path, code: str) -> None:
    new_key_file(home / "k")
    with open_training(home, "data.key"):
        assert failed(fr("key", "rotate", "--new", "file:k"), "STORE_IN_USE")
    assert is_under(home, "data.key", code)
    assert fr("verify").exit_code == 0
    (home / "data" / "training").rename(home / "courses")
    (home / "fr.toml").write_text('[training]\nfolder = "courses"\n')
    assert fr("key", "rotate", "--new", "file:k", "--config", "fr.toml").exit_code == 0
    assert is_under(home, "k", code, "courses")
    assert not (home / "data" / "training").exists()


def test_courses_under_a_key_of_their_own_are_not_taken_for_rotated(home: Path, code: str) -> None:
    for name in "kl":
        new_key_file(home / name)
    with open_training(home, "data.key") as store:
        store.put_under(load_key("file:l"))
    assert failed(fr("key", "rotate", "--new", "file:k"), "WRONG_KEY")
    assert is_under(home, "l", code)
    assert fr("verify").exit_code == 0  # the galleries were left as they are


@pytest.fixture
def kept(home: Path) -> Path:
    """The same with a case in `data/cases` and an API key in `data/access`."""
    key = load_key("file:data.key")
    with CaseStore.open(home / "data" / "cases", key, Clock()) as cases:
        cases.open_case("Case 7", Purpose.TRAINING, "key:k")
    with AccessStore.open(home / "data" / "access", key, Clock()) as access:
        everything = Scope(("*",))
        access.create(NewKey("a key", frozenset({Role.ADMIN}), everything, everything, UNLIMITED, None))
    return home


def require_records_under(home: Path, key: str) -> None:
    """The audits of cases and of API keys open with a key, and have a record each."""
    for store, folder in ((CaseStore, "cases"), (AccessStore, "access")):
        own = store.open(home / "data" / folder, load_key(f"file:{home / key}"), Clock())
        with own as opened, opened.auditing() as audit:
            found = verify(audit)
        assert isinstance(found, Verified)
        assert found.records == 1


@pytest.mark.parametrize(
    ("last", "change"), [(GalleryStore, "rotate"), (CaseStore, "put_under"), (AccessStore, "put_under")]
)
def test_a_rotation_that_was_cut_off_between_stores_is_made_again(
    kept: Path, code: str, monkeypatch: pytest.MonkeyPatch, last: type, change: str
) -> None:
    def cut_off(*_: object) -> None:
        raise StoreFailed("The disk is gone.")

    new_key_file(kept / "k")
    with monkeypatch.context() as patch:
        patch.setattr(last, change, cut_off)
        assert failed(fr("key", "rotate", "--new", "file:k"), "STORE_FAILED")
    assert is_under(kept, "k", code)  # the courses come first
    assert fr("verify").exit_code == 0  # the galleries come last
    again = fr("key", "rotate", "--new", "file:k")
    assert (again.exit_code, again.stderr) == (0, "")
    assert is_under(kept, "k", code)
    require_records_under(kept, "k")
    assert failed(fr("verify"), "WRONG_KEY")
    assert fr("verify", "--key", "file:k").exit_code == 0
