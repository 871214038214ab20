"""The key of certificates, a file beside the store of training: private, made once, and left nowhere else."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from fr_core.errors import StoreCorrupt, StoreFailed
from fr_server.rpc.services.training import storage
from fr_server.rpc.services.training.storage import signing_key
from fr_training.exports.signing import new_signing_key

NAME = "certificates.pem"


@pytest.fixture(scope="module")
def pem() -> bytes:
    return new_signing_key()


@pytest.fixture(autouse=True)
def quick(pem: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One key for all, because to make one takes long."""
    monkeypatch.setattr(storage, "new_signing_key", lambda: pem)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = signing_key(tmp_path)
    assert names(tmp_path) == [NAME]
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    monkeypatch.setattr(storage, "new_signing_key", lambda: pytest.fail("made twice"))
    assert signing_key(tmp_path).did == made.did


@pytest.mark.parametrize("fails", ["fsync", "link"])
def test_a_disk_that_refuses_leaves_no_key_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, refuse)
        with pytest.raises(StoreFailed) as refusal:
            signing_key(tmp_path)
    assert refusal.value.metadata == {"errno": "ENOSPC"}
    assert names(tmp_path) == []
    assert signing_key(tmp_path).did
    assert names(tmp_path) == [NAME]


def test_where_two_make_it_both_have_that_of_the_quicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = new_signing_key()

    def slower() -> bytes:
        (tmp_path / NAME).write_bytes(other)
        return new_signing_key()

    monkeypatch.setattr(storage, "new_signing_key", slower)
    signing_key(tmp_path)
    assert (tmp_path / NAME).read_bytes() == other
    assert names(tmp_path) == [NAME]


def test_a_damaged_key_is_told(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no key")
    with pytest.raises(StoreCorrupt):
        signing_key(tmp_path)
