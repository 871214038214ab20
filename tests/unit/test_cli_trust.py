"""The commands `fr key`, `audit`, `case`, `review` and `evidence`: what they ask, print and write, and how they end."""

import hashlib
import json
import shutil
import ssl
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from fr_api.v1 import access_pb2, audit_pb2, common_pb2, gallery_pb2, review_pb2
from fr_client.cli.admin import audit as audit_commands
from fr_client.cli.case import cases as labels
from fr_client.connection import read_connection
from fr_core.storage.audit.checkpoints import parse_checkpoint
from fr_core.storage.audit.values import canonical
from fr_core.storage.audit.verify import Broken, Why
from fr_core.storage.audit.verify import verify as verify_chain
from fr_files.audit_findings import FINDINGS
from fr_server.commands.evidence import sentences
from fr_server.gateway.authority import Issued, make_authority
from fr_server.rpc.interceptors.sizes import request_of
from fr_trust.audit.export import export, oldest_segment
from fr_trust.evidence.verify import Verified
from support.audits import Audited
from support.cases import OTHER_SIGNER, REFERENCE, SIGNER, Filed, filed
from support.cli import Said, fr, fr_at, reason_of
from support.scripted import Script, serving_trust

NOTICE = "Leads for a human examiner, never an identity."
NOW = Timestamp(seconds=1_790_000_000)
TOKEN = "abcdefghijklmnop." + "s" * 43
KEY = access_pb2.ApiKey(
    key_id="abcdefghijklmnop",
    label="room 4",
    roles=[access_pb2.ROLE_OPERATOR, access_pb2.ROLE_EXAMINER],
    galleries=["staff-*"],
    budget=access_pb2.Budget(requests_per_s=50, burst=200),
    create_time=NOW,
    expire_time=NOW,
)


class Served(Script):
    """A script with a server."""

    target = ""

    def fr(self, *words: object, columns: str = "250") -> Said:
        return fr_at(self.target, *words, columns=columns)


@pytest.fixture
def script() -> Iterator[Served]:
    script = Served()
    script.answers["CreateKey"] = [access_pb2.CreateKeyResponse(key=KEY, token=TOKEN)]
    script.answers["RotateKey"] = [access_pb2.RotateKeyResponse(key=KEY, token=TOKEN)]
    with serving_trust(script) as script.target:
        yield script


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    folder = tmp_path_factory.mktemp("authority")
    made = Issued(folder / "ca.pem", folder / "ca.key")
    make_authority(made, "Test authority", 1_790_000_000_000)
    return made


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_told_once_and_in_one_line(script: Served) -> None:
    words = ("key", "create", "--role", "operator", "--role", "examiner", "--gallery", "staff-*", "--course", "*")
    more = ("--days", "2", "--label", "room 4", "--requests-per-s", "50", "--burst", "200", "--searches-per-day", "0")
    code, out, error = script.fr(*words, *more, columns="40")
    assert code == 0, error
    assert (out.splitlines()[-1], (out + error).count(TOKEN)) == (TOKEN, 1)
    request = access_pb2.CreateKeyRequest(
        label="room 4",
        roles=KEY.roles,
        galleries=["staff-*"],
        courses=["*"],
        budget=access_pb2.Budget(requests_per_s=50, burst=200, searches_per_day=0),
        lifetime=Duration(seconds=2 * 86_400),
    )
    assert script.asked == [("CreateKey", request)]
    code, out, _ = script.fr(*words, "--json")
    assert (json.loads(out)["token"], out.count(TOKEN)) == (TOKEN, 1)


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (("create", "--role", "operator"), "--connection-file"),
        (("create", "--role", "operator", "--json"), "--out"),
        (("rotate", KEY.key_id), "--out"),
    ],
)
def test_a_key_goes_to_a_file_alone(script: Served, tmp_path: Path, call: tuple[str, ...], option: str) -> None:
    file = tmp_path / "made"
    code, out, error = script.fr("key", *call, option, file)
    assert (code, TOKEN in out + error, mode_of(file)) == (0, False, 0o600)
    if option == "--out":
        assert file.read_text() == f"{TOKEN}\n"
    else:
        made = read_connection(file)
        assert (made.server, made.key, made.ca) == (script.target, TOKEN, "")
    asked = len(script.asked)
    assert reason_of(script.fr("key", *call, option, file)) == "FILE_EXISTS"
    assert len(script.asked) == asked


def test_a_key_whose_file_cannot_be_written_is_revoked(script: Served, tmp_path: Path) -> None:
    file = tmp_path / "made"

    class Racing(Script):  # somebody takes the name while the key is made
        def _note(self, name: str, asked: Any, context: Any) -> None:
            super()._note(name, asked, context)
            if name == "CreateKey":
                file.write_text("mine")

    racing = Racing()
    racing.answers["CreateKey"] = [access_pb2.CreateKeyResponse(key=KEY, token=TOKEN)]
    with serving_trust(racing) as where:
        code, out, error = fr_at(where, "key", "create", "--role", "admin", "--out", file)
    assert (code, error.partition(":")[0], file.read_text()) == (1, "FILE_EXISTS", "mine")
    assert [name for name, _ in racing.asked] == ["CreateKey", "RevokeKey"]
    assert racing.calls("RevokeKey")[0].key_id == KEY.key_id
    assert TOKEN not in out + error
    beyond = tmp_path / "no" / "such"
    assert reason_of(script.fr("key", "create", "--role", "admin", "--out", beyond)) == "FILE_UNWRITABLE"
    assert script.asked == []


def test_a_connection_file_needs_the_authority_of_a_call_over_tls(tmp_path: Path) -> None:
    words = ("key", "create", "--role", "admin", "--connection-file", tmp_path / "x.toml")
    code, _, error = fr("--server", "localhost:1", "--tls", *words)
    assert (code, error.partition(":")[0], "fr --ca FILE" in error) == (1, "MISSING_FIELD", True)
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_bound_to_the_first_certificate(script: Served, authority: Issued, tmp_path: Path) -> None:
    pem = authority.certificate.read_text()
    file = tmp_path / "client.pem"
    file.write_bytes(b"subject=CN = \xc3\xa9\r\n" + pem.replace("\n", "\r\n").encode() + b"\n" + pem.encode())
    words = ("key", "create", "--role", "operator", "--certificate")
    assert script.fr(*words, file)[0] == 0
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()
    assert script.calls("CreateKey")[0].certificate_sha256 == digest
    for wrong, reason in ((authority.key, "INVALID_FIELD"), (tmp_path / "none.pem", "FILE_UNREADABLE")):
        assert reason_of(script.fr(*words, wrong)) == reason
    assert len(script.calls("CreateKey")) == 1


def verdicts(*ones: tuple[str, str, int, int]) -> list[Any]:
    made = [
        audit_pb2.ChainVerdict(chain=chain, intact=not finding, finding=finding, seq=seq, checkpoints=checkpoints)
        for chain, finding, seq, checkpoints in ones
    ]
    return [audit_pb2.VerifyAuditResponse(verdicts=made)]


def test_a_check_ends_with_status_1_unless_every_chain_is_unchanged(script: Served) -> None:
    script.answers["VerifyAudit"] = verdicts(("galleries", "", 0, 0), ("cases", "", 0, 0))
    code, out, error = script.fr("audit", "verify")
    assert (code, error, out.count("as it was written"), "No checkpoint was given" in out) == (0, "", 2, True)
    script.answers["VerifyAudit"] = verdicts(("cases", "edited", 7, 0), ("access", "new", 3, 0))
    faults = ["Chain cases: record 7 was changed.", "Chain access: record 3 is not as it was written."]
    code, _, error = script.fr("audit", "verify")
    assert (code, error.splitlines()) == (1, faults)
    code, out, _ = script.fr("audit", "verify", "--chain", "cases", "--json")
    assert (code, json.loads(out)["faults"][0]) == (1, faults[0])
    assert [one.chain for one in script.calls("VerifyAudit")] == ["", "", "cases"]
    (answer,) = verdicts(("cases", "", 0, 3), ("access", "", 0, 2))
    answer.verdicts[0].pruned, answer.verdicts[0].unchecked = 1_400, 2
    script.answers["VerifyAudit"] = [answer]
    code, out, error = script.fr("audit", "verify")
    assert (code, error, out.count("as it was written, from record 1,401 on")) == (0, "", 1)
    assert "2 checkpoints belong to pruned records: check them with `fr audit file verify` and the archive." in out


def test_each_fault_of_a_chain_has_a_sentence() -> None:
    assert set(FINDINGS) == {why.value for why in Why}


def checkpoint(audited: Audited) -> str:
    return audited.table.checkpoint().to_json().decode()


def offering(script: Script, **chains: Audited) -> None:
    script.answers["GetCheckpoints"] = [
        audit_pb2.GetCheckpointsResponse(
            checkpoints=[audit_pb2.Checkpoint(chain=chain, json=checkpoint(one)) for chain, one in chains.items()],
            public_keys={chain: one.table.public_pem() for chain, one in chains.items()},
        )
    ]


def test_checkpoints_are_saved_and_given_back(script: Served, tmp_path: Path) -> None:
    cases, access = Audited(secret=1).created().fill(3), Audited(secret=2).created().fill(2)
    folder = tmp_path / "kept"
    offering(script, cases=cases, access=access)
    first = checkpoint(cases)
    code, out, error = script.fr("audit", "checkpoint", "--out", folder)
    assert code == 0, error
    names = ["access-000000000002.json", "access.pem", "cases-000000000003.json", "cases.pem"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all(name in out for name in names)
    assert (folder / "cases.pem").read_text() == cases.table.public_pem()
    assert (mode_of(folder), mode_of(folder / "cases.pem")) == (0o700, 0o600)
    cases.clock.ms += 60_000
    offering(script, cases=cases.fill(1), access=access)  # of access the same record, at a later time
    script.answers["VerifyAudit"] = verdicts(("cases", "", 0, 2), ("access", "", 0, 2))
    code, out, _ = script.fr("audit", "checkpoint", "--out", folder, "--json")
    assert (code, json.loads(out)["files"]) == (0, ["cases-000000000004.json"])
    assert json.loads((folder / "cases-000000000003.json").read_text()) == json.loads(first)
    given = script.calls("VerifyAudit").pop().checkpoints  # those that were kept, and those that it has just given
    assert [(one.chain, json.loads(one.json)["seq"]) for one in given] == [
        ("access", 2), ("cases", 3), ("cases", 4), ("access", 2)
    ]  # fmt: skip
    script.answers["VerifyAudit"] = verdicts(("cases", "", 0, 2), ("access", "", 0, 1))
    assert script.fr("audit", "verify", "--checkpoints", folder)[0] == 0
    given = script.calls("VerifyAudit")[1].checkpoints
    assert [one.chain for one in given] == ["access", "cases", "cases"]
    assert given[1].json == first
    script.answers["VerifyAudit"] = verdicts(("cases", "", 0, 2))
    assert script.fr("audit", "verify", "--chain", "cases", "--checkpoints", folder)[0] == 0
    assert [one.chain for one in script.calls("VerifyAudit")[2].checkpoints] == ["cases", "cases"]


class Auditing(Script):
    """A server that really checks: its chains, against the checkpoints that it is sent."""

    def __init__(self, **chains: Audited) -> None:
        super().__init__()
        self.chains = chains

    def _note(self, name: str, asked: Any, context: Any) -> None:
        super()._note(name, asked, context)
        if name == "VerifyAudit":
            told = [self._verdict(chain, asked) for chain in self.chains if asked.chain in ("", chain)]
            self.answers[name] = [audit_pb2.VerifyAuditResponse(verdicts=told)]

    def _verdict(self, chain: str, asked: Any) -> audit_pb2.ChainVerdict:
        kept = [parse_checkpoint(one.json.encode()) for one in asked.checkpoints if one.chain == chain]
        found = verify_chain(self.chains[chain].table, kept)
        finding, seq = (found.why.value, found.seq) if isinstance(found, Broken) else ("", 0)
        told: audit_pb2.ChainVerdict = verdicts((chain, finding, seq, len(kept)))[0].verdicts[0]
        return told


def kept_of(folder: Path, **numbers: int) -> dict[str, Audited]:
    """Chains, with a checkpoint of each of so many of their records in a folder."""
    chains = {chain: Audited(secret=secret).created() for secret, chain in enumerate(numbers, 1)}
    folder.mkdir()
    for chain, one in chains.items():
        for seq in range(1, numbers[chain] + 1):
            one.fill(1, seq)
            (folder / f"{chain}-{seq:012}.json").write_text(checkpoint(one))
    return chains


def given(script: Script) -> list[tuple[str, list[tuple[str, int]]]]:
    """The chain of each check that was asked for, with what it was given."""
    return [
        (asked.chain, [(one.chain, json.loads(one.json)["seq"]) for one in asked.checkpoints])
        for asked in script.calls("VerifyAudit")
    ]


def test_many_checkpoints_are_sent_in_several_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_commands, "_SENT", 3)
    folder = tmp_path / "kept"
    script = Auditing(**kept_of(folder, access=2, cases=8, galleries=1, training=0))
    with serving_trust(script) as where:
        code, out, error = fr_at(where, "audit", "verify", "--checkpoints", folder, "--json")
        assert (code, error) == (0, "")
        told = {one["chain"]: (one["checkpoints"], one["intact"]) for one in json.loads(out)["verdicts"]}
        assert told == {"access": (2, True), "cases": (8, True), "galleries": (1, True), "training": (0, True)}
        cases = [("cases", seq) for seq in range(1, 9)]
        assert given(script) == [
            ("", [("access", 1), ("access", 2), cases[0]]),
            ("cases", cases[1:4]),
            ("cases", cases[4:7]),
            ("cases", cases[7:]),
            ("galleries", [("galleries", 1)]),
        ]
        script.asked.clear()
        assert fr_at(where, "audit", "verify", "--chain", "cases", "--checkpoints", folder)[0] == 0
        assert given(script) == [("cases", cases[:3]), ("cases", cases[3:6]), ("cases", cases[6:])]


def test_a_checkpoint_that_disagrees_is_found_in_any_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_commands, "_SENT", 3)
    chains = kept_of(tmp_path / "kept", access=2, cases=8, galleries=4)
    path = tmp_path / "kept" / "cases-000000000005.json"
    said = json.loads(path.read_text())
    path.write_text(canonical(said | {"hash": "0" * 64}).decode())
    script = Auditing(**chains)
    words = ("audit", "verify", "--checkpoints", tmp_path / "kept")
    with serving_trust(script) as where:
        code, _, error = fr_at(where, *words)
        assert (code, error) == (1, "Chain cases: the signature of the checkpoint for record 5 is invalid.\n")
        assert [chain for chain, _ in given(script)] == ["", "cases", "cases", "galleries", "galleries"]
        del script.chains["cases"], script.chains["galleries"]
        code, _, error = fr_at(where, *words)
    gone = "Chain {}: the server has no such chain any more.\n"
    assert (code, error) == (1, gone.format("cases") + gone.format("galleries"))


def test_a_server_takes_as_many_checkpoints_as_are_sent_in_a_request() -> None:
    text = checkpoint(Audited().created().fill(1)).replace('"seq":1', f'"seq":{10**12}')
    one = audit_pb2.Checkpoint(chain="galleries", json=text)
    request = audit_pb2.VerifyAuditRequest(chain="galleries", checkpoints=[one] * audit_commands._SENT)
    assert request_of("/fr_api.v1.AuditService/VerifyAudit").takes(request.SerializeToString())


def test_a_server_that_looks_at_no_checkpoint_has_proved_nothing(script: Served, tmp_path: Path) -> None:
    offering(script, cases=Audited().created().fill(3))
    assert script.fr("audit", "checkpoint", "--out", tmp_path)[0] == 0
    words = ("audit", "verify", "--checkpoints", tmp_path)
    script.answers["VerifyAudit"] = verdicts(("cases", "", 0, 0))
    code, _, error = script.fr(*words)
    assert (code, error) == (1, "Chain cases: the server checked only 0 of 1 checkpoints.\n")
    script.answers["VerifyAudit"] = verdicts(("galleries", "", 0, 0))
    code, _, error = script.fr(*words)
    assert (code, error) == (1, "Chain cases: the server has no such chain any more.\n")


def test_a_rewritten_history_is_not_saved_over_the_one_before(script: Served, tmp_path: Path) -> None:
    offering(script, cases=Audited(secret=1).created().fill(3, seed=0))
    assert script.fr("audit", "checkpoint", "--out", tmp_path)[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    anew = Audited(secret=1).created().fill(3, seed=1)
    offering(script, cases=anew, access=Audited().created())
    told = script.fr("audit", "checkpoint", "--out", tmp_path)
    assert (reason_of(told), "Chain cases" in told[2]) == ("CHECKPOINT_DISAGREES", True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "cases.pem").unlink()
    code, _, error = script.fr("audit", "checkpoint", "--out", tmp_path)
    assert (code, "holds another history than" in error) == (1, True)


@pytest.mark.parametrize("name", ["cases-3.json", "cases-000000000003.json"])
def test_a_contradicted_checkpoint_gets_no_other_beside_it(script: Served, tmp_path: Path, name: str) -> None:
    cases = Audited().created().fill(3)
    (tmp_path / name).write_text(checkpoint(cases))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    put_back = Audited().created().fill(2)
    for verdict, told in (
        (("cases", "truncated", 3, 1), "the records from 3 on are missing from the end."),
        (("cases", "rewritten", 3, 1), "the chain was rewritten."),
        (("cases", "", 0, 1), "the server checked only 1 of 2 checkpoints."),
    ):
        offering(script, cases=put_back)
        script.answers["VerifyAudit"] = verdicts(verdict)
        said = script.fr("audit", "checkpoint", "--out", tmp_path)
        assert (reason_of(said), told in said[2]) == ("CHECKPOINT_DISAGREES", True)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    offering(script, cases=cases)  # a checkpoint of either name is not saved twice
    script.answers["VerifyAudit"] = verdicts(("cases", "", 0, 2))
    assert script.fr("audit", "checkpoint", "--out", tmp_path)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "cases.pem"]


@pytest.mark.parametrize(
    ("chain", "text"),
    [
        ("../../etc/cases", '{"seq":1,"hash":"%s"}' % ("a" * 64)),
        ("cases", "{}"),
        ("cases", '{"seq":"../1","hash":"%s"}' % ("a" * 64)),
        ("cases", '{"seq":true,"hash":"%s"}' % ("a" * 64)),
        ("cases", '{"seq":1,"hash":7}'),
        ("cases", "[" * 100_000),
    ],
)
def test_a_wrong_checkpoint_is_not_saved(script: Served, tmp_path: Path, chain: str, text: str) -> None:
    wrong = audit_pb2.Checkpoint(chain=chain, json=text)
    script.answers["GetCheckpoints"] = [audit_pb2.GetCheckpointsResponse(checkpoints=[wrong])]
    folder = tmp_path / "kept"
    assert reason_of(script.fr("audit", "checkpoint", "--out", folder)) == "CHECKPOINT_UNREADABLE"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({}, "CHECKPOINT_MISSING"),
        ({"notes.json": "{}"}, "CHECKPOINT_UNREADABLE"),
        ({"cases-1.json": '{"seq":2,"hash":"%s"}' % ("a" * 64)}, "CHECKPOINT_UNREADABLE"),
        ({"cases-1.json": "\N{SNOWMAN}"}, "CHECKPOINT_UNREADABLE"),
        (None, "FILE_UNREADABLE"),
    ],
)
def test_a_folder_without_checkpoints_is_told(
    script: Served, tmp_path: Path, names: dict[str, str] | None, reason: str
) -> None:
    folder = tmp_path / "kept"
    if names is not None:
        folder.mkdir()
        for name, text in names.items():
            (folder / name).write_text(text, encoding="utf-8")
    assert reason_of(script.fr("audit", "verify", "--checkpoints", folder)) == reason
    assert script.asked == []


@pytest.fixture
def chain(tmp_path: Path) -> Audited:
    """A chain of five records, of which the first three are exported and kept; and another one beside it."""
    own, other = Audited(secret=1).created().fill(3), Audited(secret=2).created().fill(1)
    kept = tmp_path / "kept"
    kept.mkdir()
    for name, one in (("cases-3", own), ("access-1", other)):
        (kept / f"{name}.json").write_text(checkpoint(one))
        (kept / f"{name.partition('-')[0]}.pem").write_text(one.table.public_pem())
    own.fill(2, seed=5)
    (tmp_path / "all.jsonl").write_bytes(b"".join(export(own.table)))
    return own


def test_archived_records_and_an_export_are_checked_as_one(chain: Audited, tmp_path: Path) -> None:
    kept, archive = tmp_path / "kept", []
    for upto in (2, 4):
        due = oldest_segment(chain.table, chain.clock.ms + 1, lambda record, upto=upto: record.seq > upto)  # type: ignore[misc]
        assert due is not None
        archive.append(tmp_path / f"cases-{due.after + 1:012}.jsonl")
        archive[-1].write_bytes(due.data)
        assert chain.prune(due.upto)
    left = tmp_path / "left.jsonl"
    left.write_bytes(b"".join(export(chain.table)))
    code, out, error = fr("audit", "file", "verify", *archive, left, "--checkpoints", kept)
    assert (code, error) == (0, "")
    assert "Chain cases is unchanged: records 1 to 7 (7 in total)." in out
    assert "agrees with 1 checkpoint, up to record 3" in out
    code, out, _ = fr("audit", "file", "verify", left, "--checkpoints", kept)
    assert (code, "begins after record 4" in out, "agrees with" in out) == (0, True, False)
    assert "Not checked: 1 checkpoint of earlier records. To check them, name the archive files first." in out
    for files, words in (((archive[0], left), "record 3 was removed."), ((archive[1], archive[0], left), "place")):
        code, _, error = fr("audit", "file", "verify", *files, "--checkpoints", kept)
        assert (code, words in error) == (1, True)


def test_a_changed_export_is_told_with_the_place(chain: Audited, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    head, *lines = file.read_bytes().splitlines(keepends=True)
    for seq, line, words in (
        (2, b"", "record 2 was removed."),
        (4, lines[3].replace(b'"seq":4', b'"seq":4,"x":1'), "record 4 was changed."),
        (6, b"", "the records from 6 on are missing from the end."),
        (2, b"x" * 200_000 + b"\n", "is not a valid record."),
    ):
        assert line != lines[seq - 1]
        file.write_bytes(b"".join([head, *lines[: seq - 1], line, *lines[seq:]]))
        code, out, error = fr("audit", "file", "verify", file, "--checkpoints", tmp_path / "kept", "--json")
        assert (code, json.loads(out)["intact"], json.loads(out)["seq"]) == (1, False, seq)
        assert (error.startswith("Chain cases: "), error.endswith(f"{words}\n")) == (True, True)


def test_a_check_needs_a_key_and_readable_files(chain: Audited, tmp_path: Path) -> None:
    file, kept = tmp_path / "all.jsonl", tmp_path / "kept"
    assert fr("audit", "file", "verify", file)[0] == 2
    for words in ((tmp_path / "none", "--checkpoints", kept), (file, "--checkpoints", tmp_path / "none")):
        assert reason_of(fr("audit", "file", "verify", *words)) == "FILE_UNREADABLE"
    assert reason_of(fr("audit", "file", "verify", file, "--public-key", file)) == "INVALID_FIELD"
    code, _, error = fr("audit", "file", "verify", file, "--public-key", kept / "access.pem")
    assert (code, "signed by a different key" in error) == (1, True)
    other = tmp_path / "other.jsonl"
    for content in (b"", b"[]\n", b"\xff\n", b"[" * 100_000):
        other.write_bytes(content)
        code, _, error = fr("audit", "file", "verify", other, "--checkpoints", kept)
        assert (code, "is not an audit export" in error) == (1, True)
    other.write_bytes(b"".join(export(Audited(secret=1).created().fill(5, seed=9).table)))
    code, out, error = fr("audit", "file", "verify", other, "--checkpoints", kept)
    assert (code, out, "holds no checkpoint for this export" in error) == (1, "", True)
    (kept / "cases-3.json").write_text("{}")
    code, out, error = fr("audit", "file", "verify", file, "--checkpoints", kept, "--json")
    assert (code, json.loads(out)["error"]["reason"]) == (1, "CHECKPOINT_MISSING")
    assert "cases-3.json is not a checkpoint" in error


SUMMARY = review_pb2.ExaminationSummary(
    examination_id="e1",
    case_id="c1",
    gallery_id="wanted",
    create_time=NOW,
    state=review_pb2.EXAMINATION_STATE_CONCLUDED,
    candidate_count=3,
    conclusion=review_pb2.FINDING_KIND_POTENTIAL_CANDIDATE,
    concluded_template_id=41,
)


def test_a_search_in_a_case_has_its_notice_and_examination(script: Served, tmp_path: Path) -> None:
    photo = tmp_path / "probe.jpg"
    photo.write_bytes(b"a photo")
    words = ("case", "search", "c1", "wanted", photo)
    kept = review_pb2.ExaminationSummary(examination_id="e2", state=review_pb2.EXAMINATION_STATE_CONCLUDED)
    for candidates, examination, said in (
        ([gallery_pb2.Candidate(rank=1, subject_id="s1", similarity=0.5)], SUMMARY, "examination e1"),
        ([], kept, "There is no candidate to examine; the case keeps the search as e2."),
    ):
        found = gallery_pb2.SearchResponse(results=[gallery_pb2.SearchResult(candidates=candidates)], notice=NOTICE)
        script.answers["SearchInCase"] = [review_pb2.SearchInCaseResponse(found=found, examination=examination)]
        code, out, _ = script.fr(*words)
        assert (code, said in out, NOTICE in out) == (0, True, True)
        told = json.loads(script.fr(*words, "--json")[1])
        assert (told["examination"]["examination_id"], told["found"]["notice"]) == (examination.examination_id, NOTICE)
    assert reason_of(script.fr("case", "search", "c1", "wanted", tmp_path / "none.jpg")) == "FILE_UNREADABLE"


JPEG, PNG = b"\xff\xd8\xff photo", b"\x89PNG photo"
NOTES = "ears\n\x1b[31mlips"
WAITING = review_pb2.Examination(
    summary=review_pb2.ExaminationSummary(
        examination_id="e1", case_id="c1", gallery_id="wanted", state=review_pb2.EXAMINATION_STATE_AWAITING_FINDING
    ),
    probe=common_pb2.Image(data=JPEG),
    probe_sha256="ab" * 32,
    candidates=[
        review_pb2.ExaminedCandidate(template_id=43, photo=common_pb2.Image(data=PNG)),
        review_pb2.ExaminedCandidate(template_id=41),
    ],
    required_findings=2,
    notice=NOTICE,
)
CONCLUDED = review_pb2.Examination(
    summary=SUMMARY,
    probe=common_pb2.Image(data=JPEG),
    candidates=[review_pb2.ExaminedCandidate(rank=1, template_id=41, subject_id="s1", similarity=0.75)],
    findings=[
        review_pb2.Finding(
            examiner="key:anna", kind=SUMMARY.conclusion, template_id=41, rating=2, notes=NOTES, create_time=NOW
        ),
        review_pb2.Finding(examiner="key:bert", kind=review_pb2.FINDING_KIND_INCONCLUSIVE, create_time=NOW),
    ],
    notice=NOTICE,
)


def test_an_examination_is_shown_in_the_order_that_the_server_gives_it(script: Served) -> None:
    assert script.fr("review", "list")[1] == "No examination waits for your finding.\n"
    script.answers["ListAwaiting"] = [review_pb2.ListAwaitingResponse(examinations=[SUMMARY])]
    code, out, _ = script.fr("review", "list")
    assert (code, "e1" in out, "wanted" in out) == (0, True, True)
    script.answers["GetExamination"] = [review_pb2.GetExaminationResponse(examination=WAITING)]
    code, out, _ = script.fr("review", "show", "e1")
    assert (code, "awaits a finding" in out, NOTICE in out) == (0, True, True)
    assert not any(word in out for word in ("Rank", "Similarity", "Subject"))
    assert out.index("43 ") < out.index("41 ")
    script.answers["GetExamination"] = [review_pb2.GetExaminationResponse(examination=CONCLUDED)]
    code, out, _ = script.fr("review", "show", "e1")
    assert (code, "\x1b" in out, "match" in out) == (0, False, False)
    anna = "key:anna, 2026-09-21T14:13:20Z: potential candidate: template 41, rated +2."
    for words in ("0.7500", "s1", anna, "  ears\n", "key:bert, 2026-09-21T14:13:20Z: inconclusive."):
        assert words in out


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_photos_are_written_for_their_owner(script: Served, tmp_path: Path, as_json: tuple[str, ...]) -> None:
    script.answers["GetExamination"] = [review_pb2.GetExaminationResponse(examination=WAITING)]
    folder = tmp_path / "photos"
    code, out, error = script.fr("review", "show", "e1", "--out", folder, *as_json)
    assert code == 0, error
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"probe.jpg": JPEG, "candidate-43.png": PNG}
    assert [mode_of(path) for path in (folder, *folder.iterdir())] == [0o700, 0o600, 0o600]
    if as_json:
        told = json.loads(out)
        assert (told["files"], told["notice"]) == ({"probe": "probe.jpg", "43": "candidate-43.png"}, NOTICE)
        assert not any("photo" in one or "probe" in one for one in (told, *told["candidates"]))
    assert reason_of(script.fr("review", "show", "e1", "--out", folder)) == "FILE_EXISTS"


def test_every_state_and_finding_has_words_and_none_is_a_match() -> None:
    words = [labels.state_text(one) for one in review_pb2.ExaminationState.values() if one]
    words += [labels.finding_text(one) for one in review_pb2.FindingKind.values() if one]
    words += [labels.purpose_text(one) for one in common_pb2.Purpose.values() if one]
    assert labels.NEWER not in words
    assert len(set(words)) == len(words)
    assert not any("match" in one or "ident" in one for one in words)


def test_an_export_or_a_bundle_is_whole_or_not_there(script: Served, tmp_path: Path) -> None:
    script.answers["ExportAudit"] = [audit_pb2.ExportAuditResponse(data=one) for one in (b"one\n", b"two\n")]
    script.refusals["ExportAudit"] = ["STORE_CORRUPT"]
    file = tmp_path / "cases.jsonl"
    words: tuple[object, ...] = ("audit", "export", "--chain", "cases", "--out", file, "--after", "4")
    assert (reason_of(script.fr(*words)), list(tmp_path.iterdir())) == ("STORE_CORRUPT", [])
    code, out, _ = script.fr(*words)
    assert (code, "8 bytes" in out, file.read_bytes(), mode_of(file)) == (0, True, b"one\ntwo\n", 0o600)
    assert script.calls("ExportAudit")[-1] == audit_pb2.ExportAuditRequest(chain="cases", after_seq=4)
    file.unlink()
    script.answers["ExportEvidence"] = [review_pb2.ExportEvidenceResponse(data=one) for one in (b"PK", b"34")]
    file = tmp_path / "case.zip"
    words = ("evidence", "export", "c1", "--out", file)
    script.refusals["ExportEvidence"] = ["REVIEW_UNFINISHED"]
    refused = script.fr(*words, "--json")
    assert (reason_of(refused), list(tmp_path.iterdir())) == ("REVIEW_UNFINISHED", [])
    assert json.loads(refused[1])["error"]["reason"] == "REVIEW_UNFINISHED"
    code, out, _ = script.fr(*words, "--include-unfinished")
    assert (code, file.read_bytes(), mode_of(file)) == (0, b"PK34", 0o600)
    sha256 = hashlib.sha256(b"PK34").hexdigest()
    assert out.endswith(f"\nsha256 {sha256}\n")
    told = json.loads(script.fr(*words[:-1], tmp_path / "again.zip", "--json")[1])
    assert told == {"file": str(tmp_path / "again.zip"), "size_bytes": 4, "sha256": sha256}
    assert [one.include_unfinished for one in script.calls("ExportEvidence")] == [False, True, False]
    assert (reason_of(script.fr(*words)), len(script.calls("ExportEvidence"))) == ("FILE_EXISTS", 3)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Filed:
    return filed(tmp_path_factory.mktemp("filed") / "cases")


@pytest.fixture
def bundle(case: Filed, tmp_path: Path) -> Path:
    (tmp_path / "signer.pem").write_text(SIGNER.public_key)
    (tmp_path / "other.pem").write_text(OTHER_SIGNER.public_key)
    (tmp_path / "chain.pem").write_text(case.audit.public_key)
    file = tmp_path / "case.zip"
    file.write_bytes(case.bundle())
    return file


def test_a_bundle_is_checked_and_told_what_was_not(case: Filed, bundle: Path) -> None:
    code, out, error = fr("evidence", "verify", bundle)
    assert (code, error, out.count("To check the signer, give")) == (0, "", 2)  # of the bundle, and of its audit
    for words in ("The bundle is intact", REFERENCE, "1 examination had no conclusion", "measured nothing again"):
        assert words in out
    assert "report.html, matches its documents" in out
    signer, chain = bundle.parent / "signer.pem", bundle.parent / "chain.pem"
    code, out, _ = fr("evidence", "verify", bundle, "--public-key", signer, "--audit-key", chain)
    assert (code, out.count("he given key signed"), "To check the signer" in out) == (0, 2, False)
    assert "does not prove that a candidate is the person in the probe" in out
    told = json.loads(fr("evidence", "verify", bundle, "--json")[1])
    assert (told["by_expected_key"], told["audit"]["by_expected_key"], told["examinations"]) == (False, False, 2)
    assert told["page_compared"]
    bundle.write_bytes(case.bundle(audit=False))
    code, out, _ = fr("evidence", "verify", bundle)
    assert (code, "It contains no audit" in out) == (0, True)


def test_what_a_bundle_withholds_is_told_as_the_word_of_its_signer(case: Filed, bundle: Path) -> None:
    """A signer who leaves out a search, with its records as hashes, makes a bundle that agrees with itself."""
    left_out = case.exhibits[0].examination.examination_id.encode()
    lines, hidden = [], 0
    for line in case.audit.lines.splitlines():
        record = json.loads(line)
        if left_out in line:
            body = line.partition(b',"record":')[2][:-1]
            line = canonical({"body_sha256": hashlib.sha256(body).hexdigest(), "hash": record["hash"]})
            hidden += 1
        lines.append(line + b"\n")
    audit = replace(
        case.audit,
        lines=b"".join(lines),
        records=case.audit.records - hidden,
        withheld=case.audit.withheld + hidden,
        searches=1,
    )
    bundle.write_bytes(replace(case, exhibits=case.exhibits[1:], audit=audit).bundle())
    signer, chain = bundle.parent / "signer.pem", bundle.parent / "chain.pem"
    code, out, error = fr("evidence", "verify", bundle, "--public-key", signer, "--audit-key", chain)
    assert (code, error, hidden, case.audit.withheld) == (0, "", 4, 1)
    assert "It contains only the hash of 5 more records" in out
    assert "they belong to other cases. The bundle cannot prove that" in out
    assert "no other search" not in out


def test_a_changed_bundle_or_one_of_another_signer_is_refused(case: Filed, bundle: Path) -> None:
    folder = bundle.parent
    (folder / "none.txt").write_text("no key")
    for option, name, words in (
        ("--public-key", "other.pem", ("signed by another key", "check that key first")),
        ("--audit-key", "other.pem", ("EVIDENCE_UNUSABLE: audit_public.pem: ", "check that key first")),
        ("--public-key", "none.txt", ("INVALID_FIELD: ",)),
        ("--public-key", "none.pem", ("FILE_UNREADABLE: ",)),
    ):
        code, _, error = fr("evidence", "verify", bundle, option, folder / name)
        assert (code, [word in error for word in words]) == (1, [True] * len(words))
    probe = case.exhibits[0].examination.probe
    bundle.write_bytes(bundle.read_bytes().replace(probe, probe[:-1] + b"x", 1))
    code, out, error = fr("evidence", "verify", bundle, "--json")
    assert (code, error.startswith("EVIDENCE_UNUSABLE: examinations/01/probe.jpg: ")) == (1, True)
    assert json.loads(out)["error"]["metadata"]["file"] == "examinations/01/probe.jpg"


def test_what_is_no_bundle_is_told_from_one_that_was_changed(bundle: Path) -> None:
    missing, folder = bundle.parent / "none.zip", bundle.parent / "unpacked"
    code, out, error = fr("evidence", "verify", missing, "--json")
    assert (code, error) == (1, f"FILE_UNREADABLE: {missing} cannot be read: No such file or directory.\n")
    assert json.loads(out)["error"]["reason"] == "FILE_UNREADABLE"
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(folder)
    code, _, error = fr("evidence", "verify", folder)
    assert (code, error.startswith(f"FILE_UNREADABLE: {folder} is a folder. Give the original ZIP file")) == (1, True)
    anew = Path(shutil.make_archive(str(bundle.parent / "anew"), "zip", folder))
    code, _, error = fr("evidence", "verify", anew)
    assert (code, error.startswith("EVIDENCE_UNUSABLE: (archive): The archive was packed anew, or")) == (1, True)
    other = "The file is not an evidence bundle. Name the ZIP file that `fr evidence export` wrote."
    for data in (b"", b"a text", b"\x89PNG\r\n" + bytes(1000)):
        anew.write_bytes(data)
        assert fr("evidence", "verify", anew) == (1, "", f"EVIDENCE_UNUSABLE: {other}\n")
    whole = bundle.read_bytes()
    for data in (b"x" + whole[1:], whole[: len(whole) // 2]):  # a bundle that was changed or cut
        anew.write_bytes(data)
        code, _, error = fr("evidence", "verify", anew)
        assert (code, other in error) == (1, False)


def test_a_bundle_can_do_no_harm_to_a_terminal() -> None:
    hostile = Verified("c", "\x1b[31m", "p", 10**30, "k", "1", 1, 1, (), "0" * 16, False, False, None)
    told = list(sentences(hostile))
    assert all(one.isprintable() for one in told)
    assert any("an invalid time" in one for one in told)
