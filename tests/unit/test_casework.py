"""Who may give a finding, and what findings conclude: every sequence of up to three, and the rules one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.errors import InvalidField
from fr_trust.casework.codec import (
    finding_digest,
    finding_of,
    finding_said,
    listed_of,
    listed_said,
    search_digest,
    searched_of,
    searched_said,
)
from fr_trust.casework.rules import (
    conclusion_of,
    may_examine,
    require_finding,
    require_may_examine,
    require_reference,
    required_findings,
    sees_findings,
    state_of,
)
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Conclusion, Examination, Finding, FindingKind, Purpose, State
from fr_trust.errors import ExaminerNotIndependent, FindingLocked
from support.cases import EXAMINERS, SEARCHER, a_search, cannot_say, none_of_them, open_store, picks, some_candidates

# What examiners find: the one candidate, the other, none, or that it cannot be said.
A, B, NO, CANNOT = "A", "B", "no", "cannot"
FOUND = {A: lambda who: picks(who, 41), B: lambda who: picks(who, 42), NO: none_of_them, CANNOT: cannot_say}
CONCLUSIONS = {
    A: Conclusion(FindingKind.POTENTIAL_CANDIDATE, 41),
    B: Conclusion(FindingKind.POTENTIAL_CANDIDATE, 42),
    NO: Conclusion(FindingKind.NO_CANDIDATE),
    CANNOT: Conclusion(FindingKind.INCONCLUSIVE),
}
SALT = "00" * 16


def findings(*found: str) -> tuple[Finding, ...]:
    return tuple(FOUND[what](who) for what, who in zip(found, EXAMINERS, strict=False))


def an_examination(*found: str, operational: bool = True) -> Examination:
    searched = a_search(b"probe", operational=operational)
    return Examination("e" * 16, "c" * 16, searched, some_candidates(photos=False), findings(*found))


def test_a_search_without_candidates_is_concluded_without_findings() -> None:
    for operational in (True, False):
        assert state_of((), operational, 3) is State.AWAITING_FIRST
        assert conclusion_of((), operational, 3) is None
        assert required_findings(operational, 0) == 0
        assert state_of((), operational, 0) is State.CONCLUDED
        assert conclusion_of((), operational, 0) == CONCLUSIONS[NO]
        assert required_findings(operational, 1) == (2 if operational else 1)
    own = replace(an_examination(), candidates=())
    assert not may_examine(own, EXAMINERS[0])
    with pytest.raises(FindingLocked):
        require_may_examine(own, EXAMINERS[0])


@pytest.mark.parametrize("found", FOUND)
def test_one_finding(found: str) -> None:
    assert state_of(findings(found), True, 3) is State.AWAITING_SECOND
    assert conclusion_of(findings(found), True, 3) is None
    assert state_of(findings(found), False, 3) is State.CONCLUDED
    assert conclusion_of(findings(found), False, 3) == CONCLUSIONS[found]


@pytest.mark.parametrize(("first", "second"), list(product(FOUND, repeat=2)))
def test_two_findings(first: str, second: str) -> None:
    both = findings(first, second)
    if first == second:
        assert state_of(both, True, 3) is State.CONCLUDED
        assert conclusion_of(both, True, 3) == CONCLUSIONS[first]
    else:
        assert state_of(both, True, 3) is State.DISPUTED
        assert conclusion_of(both, True, 3) is None


@pytest.mark.parametrize(("first", "second", "third"), list(product(FOUND, repeat=3)))
def test_three_findings(first: str, second: str, third: str) -> None:
    three = findings(first, second, third)
    assert state_of(three, True, 3) is State.CONCLUDED
    table = {
        (A, B, A): A, (A, B, B): B, (A, NO, A): A, (A, NO, NO): NO, (A, CANNOT, A): A, (A, CANNOT, CANNOT): CANNOT,
        (B, A, A): A, (B, A, B): B, (B, NO, B): B, (B, NO, NO): NO, (B, CANNOT, B): B, (B, CANNOT, CANNOT): CANNOT,
        (NO, A, A): A, (NO, A, NO): NO, (NO, B, B): B, (NO, B, NO): NO, (NO, CANNOT, NO): NO,
        (NO, CANNOT, CANNOT): CANNOT, (CANNOT, A, A): A, (CANNOT, A, CANNOT): CANNOT, (CANNOT, B, B): B,
        (CANNOT, B, CANNOT): CANNOT, (CANNOT, NO, NO): NO, (CANNOT, NO, CANNOT): CANNOT,
    }  # fmt: skip
    if first != second:  # else there is no third
        assert conclusion_of(three, True, 3) == CONCLUSIONS[table.get((first, second, third), CANNOT)]


def test_whoever_searched_may_not_examine_an_operational_gallery() -> None:
    assert not may_examine(an_examination(), SEARCHER)
    with pytest.raises(ExaminerNotIndependent):
        require_may_examine(an_examination(), SEARCHER)
    assert may_examine(an_examination(operational=False), SEARCHER)


def test_nobody_examines_twice() -> None:
    first, second, third, _ = EXAMINERS
    assert not may_examine(an_examination(A), first)
    assert may_examine(an_examination(A), second)
    assert not may_examine(an_examination(A, NO), second)
    assert may_examine(an_examination(A, NO), third)
    with pytest.raises(ExaminerNotIndependent):
        require_may_examine(an_examination(A, NO), first)
    require_may_examine(an_examination(A, NO), third)


@pytest.mark.parametrize("found", [(A, A), (A, NO, A), (A, NO, CANNOT)])
def test_what_is_concluded_takes_nothing_more(found: tuple[str, ...]) -> None:
    assert not may_examine(an_examination(*found), EXAMINERS[3])
    with pytest.raises(FindingLocked):
        require_may_examine(an_examination(*found), EXAMINERS[3])
    with pytest.raises(FindingLocked):  # also for those who gave theirs
        require_may_examine(an_examination(*found), EXAMINERS[0])


def test_until_the_end_everybody_sees_the_own_finding_alone() -> None:
    disputed = an_examination(A, NO)
    for number, examiner in enumerate(EXAMINERS[:2]):
        assert sees_findings(disputed, examiner) == (disputed.findings[number],)
    assert sees_findings(disputed, EXAMINERS[2]) == ()
    assert sees_findings(disputed, SEARCHER) == ()
    concluded = an_examination(A, NO, NO)
    assert sees_findings(concluded, SEARCHER) == concluded.findings


@pytest.mark.parametrize(
    ("finding", "field"),
    [
        (picks("key:anna", template_id=44), "template_id"),
        (picks("key:anna", template_id=0), "template_id"),
        (picks("key:anna", rating=4), "rating"),
        *((picks("key:anna", rating=rating), "rating") for rating in (0, -1, -3)),  # no reason to pick it
        (picks("key:anna", notes="x" * 4_001), "notes"),
        (picks("key:anna", notes="\ud800"), "notes"),
        (replace(none_of_them("key:anna"), template_id=41), "template_id"),
        (replace(cannot_say("key:anna"), rating=1), "rating"),
        (replace(none_of_them("key:anna"), rating=-3), "rating"),
    ],
)
def test_a_finding_that_none_can_be(finding: Finding, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        require_finding(finding, an_examination())
    assert refused.value.metadata["field"] == field
    assert "41" not in refused.value.message


def test_findings_and_references_that_can_be_and_references_that_cannot() -> None:
    for finding in (none_of_them("key:anna"), cannot_say("key:anna")):
        require_finding(finding, an_examination())
    for rating in (1, 2, 3):
        require_finding(picks("key:anna", 43, rating, "x" * 4_000), an_examination())
    for reference in ("x", "AZ 17/2026 (Ä)", "x" * 128):
        require_reference(reference)
    for reference in ("", "x" * 129, " a", "a ", "a\nb", "a\0b", "\ud800"):
        with pytest.raises(InvalidField):
            require_reference(reference)


def test_values_come_back_from_json() -> None:
    own = an_examination(A, NO)
    assert searched_of(searched_said(own.searched)) == own.searched
    assert tuple(listed_of(listed_said(one)) for one in own.candidates) == own.candidates
    assert tuple(finding_of(finding_said(one)) for one in own.findings) == own.findings


def test_what_was_never_said_is_no_value() -> None:
    own = an_examination(A, NO)
    reading: tuple[tuple[Callable[[Any], object], dict[str, Any]], ...] = (
        (searched_of, searched_said(own.searched)),
        (listed_of, listed_said(own.candidates[0])),
        (finding_of, finding_said(own.findings[0])),
    )
    for read, said in reading:
        read(said)
        others: list[Any] = [{**said, "more": 1}, {**said, "photo": b""}, [], None]
        others += [{name: value for name, value in said.items() if name != one} for one in said]
        others += [{**said, name: None} for name in said]
        for other in others:
            with pytest.raises((ValueError, KeyError, TypeError)):
                read(other)


def test_a_digest_is_of_all_that_was_found() -> None:
    finding = replace(picks("key:anna"), salt=SALT, given_ms=5)
    others = [
        replace(finding, examiner="key:bert"), replace(finding, template_id=42), replace(finding, rating=1),
        replace(finding, notes=""), replace(finding, given_ms=6), replace(finding, salt="01" * 16),
        replace(finding, kind=FindingKind.NO_CANDIDATE),
    ]  # fmt: skip
    digests = {finding_digest("e" * 16, 1, one) for one in (finding, *others)}
    digests |= {finding_digest("f" * 16, 1, finding), finding_digest("e" * 16, 2, finding)}
    assert len(digests) == len(others) + 3
    with pytest.raises(ValueError, match="salt"):
        finding_digest("e" * 16, 1, replace(finding, salt=""))


def test_a_digest_is_of_all_that_was_searched() -> None:
    own = an_examination()
    told = ("e" * 16, "c" * 16, own.searched, own.candidates, SALT)
    others = [
        replace(own.searched, threshold=0.5), replace(own.searched, parameters={}), replace(own.searched, model="x"),
        replace(own.searched, probe_sha256="0" * 64), replace(own.searched, searched_by="key:anna"),
    ]  # fmt: skip
    digests = {search_digest(*told), search_digest(*told[:3], own.candidates[:2], SALT)}
    digests |= {search_digest("e" * 16, "c" * 16, one, own.candidates, SALT) for one in others}
    assert len(digests) == len(others) + 2
    with pytest.raises(ValueError, match="JSON"):
        search_digest("e" * 16, "c" * 16, replace(own.searched, threshold=float("nan")), (), SALT)


CALLERS = (*EXAMINERS, SEARCHER)


TRIES = st.lists(st.tuples(st.sampled_from(CALLERS), st.integers(0, 3)), max_size=10)


def _play(store: CaseStore, case_id: str, operational: bool, tries: list[tuple[str, int]]) -> None:
    searched = a_search(b"probe", operational=operational)
    own = store.add_examination(case_id, searched, some_candidates(2, photos=False), b"probe")
    accepted: list[Finding] = []
    for who, what in tries:
        finding = FOUND[(A, B, NO, CANNOT)[what]](who)
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
        lists = {one: store.awaiting(one, lambda _: True, size=1_000) for one in CALLERS}
        told = {one for one, found in lists.items() if own.examination_id in [each.examination_id for each in found]}
        assert waits == told
    state, conclusion = state_of(accepted, operational, 2), conclusion_of(accepted, operational, 2)
    assert (state is State.CONCLUDED) == (conclusion is not None)
    if conclusion is not None and conclusion.kind is not FindingKind.INCONCLUSIVE:
        votes = [one for one in accepted if (one.kind, one.template_id) == (conclusion.kind, conclusion.template_id)]
        assert len(votes) >= (2 if operational else 1)


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
