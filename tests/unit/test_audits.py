"""Reading audits step by step: what a search finds, what a verification says, and exports that are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import GalleryUpdate
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.checkpoints import read_public_key
from fr_core.storage.audit.verify import Broken, Verified
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.types import ModelId
from fr_server.clock import wall_ms
from fr_server.storage import audits
from fr_server.storage.audits import CHAINS, LocalAudit, audit_of, audits_of
from fr_server.storage.calls import AuditCalls
from fr_trust.audit.export import verify_export
from fr_trust.casework.store import CaseStore

KEY = KeyEncryptionKey(bytes(range(32)))
MODEL = ModelId("null", "1", "0" * 64)
CHANGES = 8


@pytest.fixture
def galleries(tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as opened:
        with attributed(Attribution("key:k1")):
            opened.create("g", "", MODEL, 4)
        for number in range(CHANGES - 1):
            opened.update("g", GalleryUpdate(f"{number}"))
        yield opened


@pytest.fixture
def audit(galleries: Galleries) -> AuditCalls:
    return audit_of(galleries)


def exported(audit: AuditCalls, after: int) -> Iterator[bytes]:
    """All steps of an export."""
    part = audit.audit_export(after, False)
    yield part.data
    while part.after is not None:
        part = audit.audit_export(part.after, True)
        yield part.data


def lines_of(audit: AuditCalls, after: int = 0) -> list[bytes]:
    return b"".join(exported(audit, after)).splitlines(keepends=True)


def test_each_store_has_its_chain(galleries: Galleries, tmp_path: Path) -> None:
    with CaseStore.open(tmp_path / "cases", KEY, wall_ms) as cases:
        found = audits_of(galleries, galleries, cases, galleries)
    assert tuple(found) == CHAINS
    assert isinstance(found["galleries"], LocalAudit)
    assert audit_of(LocalAudit(galleries)) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [1, 3, 4, 7, 8, 9, 1_000])
@pytest.mark.parametrize("after", [0, 3, CHANGES])
def test_an_export_in_steps_is_whole(audit: AuditCalls, monkeypatch: pytest.MonkeyPatch, step: int, after: int) -> None:
    monkeypatch.setattr(audits, "_STEP", step)
    key = read_public_key(audit.audit_public_key())
    lines = lines_of(audit, after)
    assert len(lines) == 2 + CHANGES - after
    assert verify_export(lines, key) == Verified(audit.audit_checkpoint().chain_id, CHANGES - after, CHANGES, 1)


def test_what_is_recorded_while_it_is_exported_is_in_it(
    galleries: Galleries, audit: AuditCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audits, "_STEP", 3)
    parts = exported(audit, 0)
    begun = next(parts)
    galleries.update("g", GalleryUpdate("meanwhile"))
    lines = (begun + b"".join(parts)).splitlines()
    found = verify_export(lines, read_public_key(audit.audit_public_key()))
    assert found == Verified(audit.audit_checkpoint().chain_id, CHANGES + 1, CHANGES + 1, 1)
    assert isinstance(verify_export(lines[:-2] + lines[-1:], read_public_key(audit.audit_public_key())), Broken)
