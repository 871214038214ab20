"""A server with `keep_days` archives and deletes older records, and the remaining ones verify."""

import io
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fr_api.v1 import audit_pb2, common_pb2, gallery_pb2, recognition_pb2, review_pb2
from fr_core.errors import ConfigInvalid
from fr_core.storage.audit.checkpoints import Checkpoint, parse_checkpoint, read_public_key
from fr_core.storage.audit.verify import Verified
from fr_core.storage.keys import key_beside
from fr_server.commands.integrity import look
from fr_server.config import config_from
from fr_server.storage.audits import CHAINS
from fr_server.storage.places import places_of
from fr_server.telemetry.trust import Chain
from fr_trust.audit.export import verify_export
from fr_trust.evidence.verify import verify_bundle
from support.audits import DAY_MS
from support.callers import PROBE, Staffed, staffed
from support.faults import until
from support.servers import running

FACE = recognition_pb2.Probe(image=common_pb2.Image(data=PROBE))


def work(at: Staffed, gallery_id: str) -> str:
    """Leave records in each chain but that of training; return the id of a case."""
    at.gallery(gallery_id, people=2)
    why: dict[str, Any] = {"purpose": common_pb2.PURPOSE_MISSING_PERSON, "case_reference": f"file {gallery_id}"}
    for _ in range(5):
        at.operator.gallery.Search(gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=FACE, **why))
    case_id = at.operator.opens(f"case {gallery_id}")
    at.operator.searches(case_id, gallery_id)
    return case_id


def pruned(at: Staffed, chain: str) -> int:
    (verdict,) = at.auditor.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(chain=chain)).verdicts
    assert verdict.intact
    return int(verdict.pruned)


def lines_of(at: Staffed, archive: Path, chain: str) -> list[bytes]:
    """The archived and the remaining records, read while nothing moves from one to the other."""
    while True:
        files = sorted(archive.glob(f"{chain}-*.jsonl"))
        parts = [path.read_bytes() for path in files]
        parts += [part.data for part in at.auditor.audit.ExportAudit(audit_pb2.ExportAuditRequest(chain=chain))]
        if sorted(archive.glob(f"{chain}-*.jsonl")) == files:
            return b"".join(parts).splitlines(keepends=True)


def test_what_is_older_is_archived_and_deleted_and_all_of_it_verifies(tmp_path: Path) -> None:
    data, archive = tmp_path / "data", tmp_path / "archive"
    archive.mkdir()
    audit, cases = {"keep_days": 30, "archive_folder": str(archive)}, {"least_retention_days": 0}
    with patch("fr_server.app._PURGE_S", 0.05), staffed(data, audit=audit, cases=cases) as at:
        gone = work(at, "first")
        at.admin.review.DeleteCase(review_pb2.DeleteCaseRequest(case_id=gone))
        kept = work(at, "second")
        early = at.auditor.audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest())
        at.operator.searches(kept, "first")
        by_chain: dict[Chain, list[Checkpoint]] = {
            chain: [parse_checkpoint(one.json.encode()) for one in early.checkpoints if one.chain == chain]
            for chain in CHAINS
        }
        seqs = {chain: marks[0].seq for chain, marks in by_chain.items()}
        assert [pruned(at, chain) for chain in CHAINS] == [0] * 4

        at.clock.ahead_ms += 40 * DAY_MS
        until(lambda: pruned(at, "galleries") > 0 and pruned(at, "access") > seqs["access"] and pruned(at, "cases") > 0)
        # Of the case that was deleted nothing is kept; of the other all is that its evidence needs.
        first = at.auditor.audit.SearchAudit(audit_pb2.SearchAuditRequest(chain="cases")).records[0]
        assert '"action":"case.open"' in first.json
        assert kept in first.json
        assert verify_bundle(io.BytesIO(at.operator.exports(kept, unfinished=True))).audit is not None
        until(lambda: pruned(at, "cases") == first.seq - 1)

        found = at.auditor.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(checkpoints=early.checkpoints)).verdicts
        unchecked = {one.chain: one.unchecked for one in found}
        assert all(one.intact for one in found)
        assert (unchecked["access"], unchecked["cases"], unchecked["training"]) == (1, 0, 0)
        for chain in CHAINS:
            key = read_public_key(early.public_keys[chain])
            whole = verify_export(lines_of(at, archive, chain), key, by_chain[chain], may_continue=True)
            assert isinstance(whole, Verified)
            assert (whole.after, whole.checkpoints, whole.unchecked) == (0, 2, 0)
    # Nor does a look at the stopped server's folder find anything, and it starts again.
    config, key_file = config_from({"gallery": {"folder": str(data)}}), key_beside(data, new=False)
    for place in places_of(config):
        looked = look(place, key_file, by_chain[place.chain])
        assert looked.faults == ()
        assert looked.unchecked == (1 if looked.pruned > seqs[place.chain] else 0)
    with running(data):
        pass


def test_an_archive_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    audit = {"keep_days": 30, "archive_folder": str(tmp_path / "not there")}
    with (
        pytest.raises(ConfigInvalid, match="for the archive of the audit does not exist: make it"),
        running(tmp_path / "data", audit=audit),
    ):
        pass


def test_control_without_a_limit_nothing_is_deleted(tmp_path: Path) -> None:
    with patch("fr_server.app._PURGE_S", 0.05), staffed(tmp_path) as at:
        work(at, "first")
        at.clock.ahead_ms += 40_000 * DAY_MS
        time.sleep(0.3)
        assert [pruned(at, chain) for chain in CHAINS] == [0] * 4
