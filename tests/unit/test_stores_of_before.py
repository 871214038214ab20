"""A data folder of before there was one storage layer, with its logs, opens, verifies and goes on as it was.

`tests/corpus/data_folder.tar.xz` was made by the version before, with galleries, photos, a calibration, an erasure, a
course with sessions, a case with a finding, two keys, one of them revoked, and the audit of each store.
"""

from __future__ import annotations

import tarfile
from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.types import Embedding, ModelId
from fr_training.store.schema import SCHEMA as TRAINING
from fr_trust.access.schema import SCHEMA as ACCESS
from fr_trust.casework.store import CaseStore
from fr_trust.casework.store_schema import SCHEMA as CASES
from support import access as accessing
from support import cases as casefiles
from support import training_stores as trainingstore
from support.audits import Clock

FOLDER = Path(__file__).parent.parent / "corpus" / "data_folder.tar.xz"
KEY = KeyEncryptionKey(bytes(range(32)))
MODEL = ModelId("null", "1", "0" * 64)
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


def embedding(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(8)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


def version(path: Path) -> object:
    with closing(apsw.Connection(str(path))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return connection.pragma("user_version")


def require_whole(home: Path) -> None:
    ended = CliRunner().invoke(build(), ["server", "verify", "--data", str(home / "data")])
    assert ended.exit_code == 0, ended.output


def test_it_verifies_before_and_after_a_change_of_each_store(home: Path) -> None:
    require_whole(home)
    for folder, schema in SCHEMAS.items():  # no migration: the format is the same
        assert version(home / "data" / folder / schema.database_name) == schema.version
    with Galleries.open(home / "data", key=KEY, index="numpy") as galleries:
        assert (galleries.get("g").subject_count, galleries.get("g").template_count) == (6, 10)
        for seed in (0, 1, 2, 4, 11):
            best = galleries.search("g", embedding(seed), 1, 0.99).identification.candidates[0]
            assert best.subject_id == f"s{seed % 7}"
        first = galleries.subject("g", "s0").templates[0]
        assert galleries.template("g", first.template_id).photo == b"photo 0"
        assert galleries.calibration("g") == "a text"
        assert galleries.enrol("g", Enrolment("new", NewTemplate(embedding(500)))).template_id == 14
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
