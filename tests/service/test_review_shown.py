"""What an examiner is shown of the case of an examination, by the API and by `fr review show`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from fr_api.v1 import common_pb2
from fr_client.cli.main import build
from fr_trust.access.roles import Role
from support.callers import NONE, Caller, Staffed, staffed

REFERENCE = "2026-014"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("shown")) as made:
        made.gallery("wanted")
        made.gallery("practice", operational=False)
        yield made


def shown(at: Staffed, who: Caller, examination_id: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FR_KEY", who.token)
    ended = CliRunner().invoke(build(), ["--server", at.server.address, "review", "show", examination_id])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_an_examiner_sees_reference_and_purpose_and_nothing_else_of_it(
    at: Staffed, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = at.operator.opens(REFERENCE)
    examination_id = at.operator.searches(case_id, "wanted").examination.examination_id
    narrow = at.caller(Role.EXAMINER, galleries=("wanted",))
    for who in (at.examiner(1), narrow):
        seen = who.examination(examination_id)
        assert (seen.case_reference, seen.purpose) == (REFERENCE, common_pb2.PURPOSE_INVESTIGATION)
        assert not any(one.subject_id or one.rank or one.HasField("similarity") for one in seen.candidates)
        words = shown(at, who, examination_id, monkeypatch)
        assert REFERENCE in words
        assert "investigation" in words
    given = at.examiner(1).finds(examination_id, NONE)
    assert (given.case_reference, given.purpose) == (REFERENCE, common_pb2.PURPOSE_INVESTIGATION)
    # A case for which a gallery was searched that one may not act on is none that one may know of.
    at.operator.searches(case_id, "practice")
    seen = narrow.examination(examination_id)
    assert (seen.case_reference, seen.purpose) == ("", common_pb2.PURPOSE_UNSPECIFIED)
    words = shown(at, narrow, examination_id, monkeypatch)
    assert REFERENCE not in words
    assert "Purpose" not in words
    assert narrow.finds(examination_id, NONE).case_reference == ""
    assert at.examiner(2).examination(examination_id).case_reference == REFERENCE
