"""The state machine of examinations under whatever anybody tries: property test over the store itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fr_trust.casework.rules import conclusion_of, may_examine, state_of
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Finding, FindingKind, Purpose, State
from fr_trust.errors import ExaminerNotIndependent, FindingLocked
from support.cases import EXAMINERS, SEARCHER, a_search, cannot_say, none_of_them, open_store, picks, some_candidates

CALLERS = (*EXAMINERS, SEARCHER)


def _found(what: int, who: str) -> Finding:
    return (picks(who, 41), picks(who, 42), none_of_them(who), cannot_say(who))[what]


TRIES = st.lists(st.tuples(st.sampled_from(CALLERS), st.integers(0, 3)), max_size=10)


def _play(store: CaseStore, case_id: str, operational: bool, tries: list[tuple[str, int]]) -> None:
    searched = a_search(b"probe", operational=operational)
    own = store.add_examination(case_id, searched, some_candidates(2, photos=False), b"probe")
    accepted: list[Finding] = []
    for who, what in tries:
        finding = _found(what, who)
        mine = [one for one in accepted if one.examiner == who]
        before = state_of(accepted, operational, 2)
        try:
            after = store.give_finding(own.examination_id, finding)
        except FindingLocked:
            assert before is State.CONCLUDED
            assert not mine
        except ExaminerNotIndependent:
            assert mine != [finding]
            assert mine or (operational and who == SEARCHER)
        else:
            if not mine:
                assert before is not State.CONCLUDED
                accepted.append(finding)
            else:
                assert mine == [finding]
            assert len(after.findings) == len(accepted)
        kept = store.examination(own.examination_id)
        assert all(one.says_the_same(other) for one, other in zip(kept.findings, accepted, strict=True))
        assert len({one.examiner for one in kept.findings}) == len(kept.findings) <= (3 if operational else 1)
        assert [one.given_ms for one in kept.findings] == sorted(one.given_ms for one in kept.findings)
        waits = {one for one in CALLERS if may_examine(kept, one)}
        told = {one for one in CALLERS if any(found == own.examination_id for found in _awaiting(store, one))}
        assert waits == told
    state, conclusion = state_of(accepted, operational, 2), conclusion_of(accepted, operational, 2)
    assert (state is State.CONCLUDED) == (conclusion is not None)
    if conclusion is not None and conclusion.kind is not FindingKind.INCONCLUSIVE:
        votes = [one for one in accepted if (one.kind, one.template_id) == (conclusion.kind, conclusion.template_id)]
        assert len(votes) >= (2 if operational else 1)


def _awaiting(store: CaseStore, principal_id: str) -> list[str]:
    return [one.examination_id for one in store.awaiting(principal_id, lambda _: True, size=1_000)]


def test_whatever_is_tried_the_rules_hold() -> None:
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "cases") as store:

        @settings(max_examples=12, derandomize=True)
        @given(operational=st.booleans(), tries=TRIES)
        def play(operational: bool, tries: list[tuple[str, int]]) -> None:
            case = store.open_case("reference", Purpose.TESTING, SEARCHER)
            try:
                _play(store, case.case_id, operational, tries)
            finally:
                store.delete_case(case.case_id)

        play()
