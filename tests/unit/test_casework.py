"""Casework: who may give a finding, what findings conclude, and the store of cases, searches and findings."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.errors import FrError, InvalidField, StorageLow, WrongKey
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.values import Record
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_trust.audit.search import Filter, search
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
from fr_trust.casework.store_schema import SCHEMA
from fr_trust.casework.values import Case, Conclusion, Examination, Finding, FindingKind, Purpose, State
from fr_trust.errors import CaseExists, ExaminerNotIndependent, FindingLocked, UnknownCase, UnknownExamination
from support.audits import DAY_MS, START_MS, Clock, pseudonyms_of
from support.cases import (
    EXAMINERS,
    SEARCHER,
    a_search,
    cannot_say,
    noise,
    none_of_them,
    open_store,
    picks,
    some_candidates,
)

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


@pytest.mark.parametrize("first", FOUND)
def test_one_and_two_findings(first: str) -> None:
    assert state_of(findings(first), True, 3) is State.AWAITING_SECOND
    assert conclusion_of(findings(first), True, 3) is None
    assert state_of(findings(first), False, 3) is State.CONCLUDED
    assert conclusion_of(findings(first), False, 3) == CONCLUSIONS[first]
    for second in FOUND:
        both, agree = findings(first, second), first == second
        assert state_of(both, True, 3) is (State.CONCLUDED if agree else State.DISPUTED)
        assert conclusion_of(both, True, 3) == (CONCLUSIONS[first] if agree else None)


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


def test_the_searcher_does_not_examine_and_nobody_twice() -> None:
    assert not may_examine(an_examination(), SEARCHER)
    with pytest.raises(ExaminerNotIndependent):
        require_may_examine(an_examination(), SEARCHER)
    assert may_examine(an_examination(operational=False), SEARCHER)
    first, second, third, _ = EXAMINERS
    tries = (((A,), first, False), ((A,), second, True), ((A, NO), second, False), ((A, NO), third, True))
    for found, examiner, may in tries:
        assert may_examine(an_examination(*found), examiner) == may
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


def test_values_alone_come_back_from_json() -> None:
    own = an_examination(A, NO)
    assert searched_of(searched_said(own.searched)) == own.searched
    assert tuple(listed_of(listed_said(one)) for one in own.candidates) == own.candidates
    assert tuple(finding_of(finding_said(one)) for one in own.findings) == own.findings
    reading: tuple[tuple[Callable[[Any], object], dict[str, Any]], ...] = (
        (searched_of, searched_said(own.searched)),
        (listed_of, listed_said(own.candidates[0])),
        (finding_of, finding_said(own.findings[0])),
    )
    for read, said in reading:
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


def test_whatever_is_tried_the_rules_hold(store: CaseStore) -> None:
    @settings(max_examples=12, derandomize=True)
    @given(st.booleans(), st.lists(st.tuples(st.sampled_from(CALLERS), st.integers(0, 3)), max_size=10))
    def play(operational: bool, tries: list[tuple[str, int]]) -> None:
        case = store.open_case("reference", Purpose.TESTING, SEARCHER)
        try:
            _play(store, case.case_id, operational, tries)
        finally:
            store.delete_case(case.case_id)

    play()


ANNA, BERT, CLEO, _ = EXAMINERS
PROBE = noise(1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(location: Location, clock: Clock) -> Iterator[CaseStore]:
    with open_store(location, clock) as opened:
        yield opened


def a_case(store: CaseStore, reference: str = "AZ 17/2026", expires_ms: int | None = None) -> Case:
    return store.open_case(reference, Purpose.INVESTIGATION, SEARCHER, expires_ms)


def searched(store: CaseStore, case: Case, at_ms: int = START_MS, **how: object) -> Examination:
    return store.add_examination(case.case_id, a_search(PROBE, at_ms=at_ms, **how), some_candidates(), PROBE)  # type: ignore[arg-type]


def told(store: CaseStore, action: str) -> list[Record]:
    with store.auditing() as audit:
        return [kept.record for kept in search(audit, Filter(action=action), 0, 100).records]


def test_a_case_comes_back(store: CaseStore, location: Location) -> None:
    case = a_case(store, "Müller ./. Schmidt", START_MS + DAY_MS)
    assert case == Case(
        case.case_id, "Müller ./. Schmidt", Purpose.INVESTIGATION, SEARCHER, START_MS, expires_ms=START_MS + DAY_MS
    )
    assert len(case.case_id) == 16
    assert store.case(case.case_id) == case
    store.close()
    with open_store(location) as again:
        assert again.case(case.case_id) == case


def test_a_store_of_shared_references_opens(location: Location) -> None:
    before = replace(SCHEMA, migrations=SCHEMA.migrations[:3])
    hidden: Callable[..., bytes] = lambda vault, opened_by, reference: vault.mac("reference", (reference,))  # noqa: E731
    with (
        patch.object(CaseStore, "SCHEMA", before),
        patch("fr_trust.casework.store_schema.open_mac", hidden),
        open_store(location) as old,
    ):
        first, closed = a_case(old), a_case(old, "closed")
        old.close_case(closed.case_id)
        examination = searched(old, first)
        with pytest.raises(CaseExists):
            old.open_case(first.reference, Purpose.VICTIM, "key:other")
    with open_store(location) as store:
        assert store.case(first.case_id) == replace(first, examinations=1, galleries=(examination.searched.gallery_id,))
        assert store.examination(examination.examination_id).probe == PROBE
        with pytest.raises(CaseExists):
            a_case(store)
        assert store.open_case(first.reference, Purpose.VICTIM, "key:other").case_id != first.case_id
        assert a_case(store, "closed").case_id != closed.case_id
        store.close_case(first.case_id)
        assert a_case(store).case_id != first.case_id


def test_cases_page_by_page(store: CaseStore, clock: Clock) -> None:
    made = []
    for number in range(7):
        clock.ms += number % 2  # some at the same moment
        made.append(a_case(store, f"case {number}"))
    wanted = sorted(made, key=lambda case: (case.opened_ms, case.case_id), reverse=True)
    pages, before = [], None
    while page := store.cases(before, 3):
        pages.append(page)
        before = (page[-1].opened_ms, page[-1].case_id)
    assert [case for page in pages for case in page] == wanted
    assert [len(page) for page in pages] == [3, 3, 1]


def test_a_deleted_case_leaves_nothing(store: CaseStore, location: Location) -> None:
    kept, gone = a_case(store, "kept"), a_case(store, "gone")
    own, other = searched(store, kept), searched(store, gone)
    store.give_finding(other.examination_id, picks(ANNA))
    assert store.delete_case(gone.case_id).examinations == 1
    for call in (store.case, store.close_case, store.delete_case, store.examinations_of):
        with pytest.raises(UnknownCase):
            call(gone.case_id)
    with pytest.raises(UnknownExamination):
        store.examination(other.examination_id)
    with pytest.raises(UnknownExamination):
        store.give_finding(other.examination_id, picks(BERT))
    assert [one.examination_id for one in store.awaiting(ANNA, lambda _: True)] == [own.examination_id]
    with store._database.reading() as now:
        for table, rows in {"cases": 1, "examinations": 1, "findings": 0, "photos": 3, "gone": 0}.items():
            assert now.rows(f"SELECT count(*) FROM {table}") == [(rows,)], table
    assert a_case(store, "gone").case_id != gone.case_id
    assert store.examination(own.examination_id).probe == PROBE


def test_what_has_expired_is_there_for_nobody(store: CaseStore, clock: Clock) -> None:
    case, kept = a_case(store, "soon over", START_MS + DAY_MS), a_case(store, "kept")
    own, other = searched(store, case), searched(store, kept)
    clock.ms += DAY_MS - 1
    assert store.case(case.case_id).examinations == 1
    assert store.purge() == 0
    clock.ms += 1
    with pytest.raises(UnknownCase):
        store.case(case.case_id)
    with pytest.raises(UnknownCase):
        searched(store, case)
    with pytest.raises(UnknownExamination):
        store.examination(own.examination_id)
    assert [one.case_id for one in store.cases()] == [kept.case_id]
    assert [one.examination_id for one in store.awaiting(ANNA, lambda _: True)] == [other.examination_id]
    assert store.purge() == 1
    assert store.purge() == 0
    (record,) = told(store, "case.purge")
    assert record.case == pseudonyms_of(store).case("soon over")
    assert record.actor == "system"


def test_an_examination_comes_back_with_its_photos(store: CaseStore) -> None:
    case = a_case(store)
    own = searched(store, case)
    wanted = some_candidates()
    kept = store.examination(own.examination_id)
    assert kept == replace(own, probe=PROBE, candidates=wanted)
    assert kept.searched == a_search(PROBE)
    assert [bool(one.photo) for one in kept.candidates] == [True, False, True]
    assert own.probe == b""
    assert not any(one.photo for one in own.candidates)
    assert store.examinations_of(case.case_id) == (own,)
    assert store.case(case.case_id).examinations == 1


def test_impossible_cases_and_examinations_are_refused(store: CaseStore) -> None:
    for reference, expires_ms in ((" x", None), ("x", START_MS)):
        with pytest.raises(InvalidField):
            a_case(store, reference, expires_ms)
    assert store.cases() == ()
    case = a_case(store)
    with pytest.raises(ValueError, match="1000"):
        store.add_examination(case.case_id, a_search(PROBE), some_candidates(1, photos=False) * 1_001, PROBE)
    with pytest.raises(ValueError, match="JSON"):
        store.add_examination(case.case_id, replace(a_search(PROBE), threshold=float("inf")), (), PROBE)
    for probe, photo in ((b"x", noise(1_001)), (PROBE, b"x")):
        listed = replace(some_candidates(1)[0], photo=photo)
        with pytest.raises(ValueError, match="sha256"):
            store.add_examination(case.case_id, a_search(PROBE), (listed,), probe)
    with pytest.raises(UnknownCase):
        store.add_examination("0" * 16, a_search(PROBE), (), PROBE)
    with pytest.raises(UnknownExamination):
        store.examination("0" * 16)
    with pytest.raises(UnknownCase):
        store.case("0" * 16)
    assert store.examinations_of(case.case_id) == ()
    assert told(store, "case.search") == []


def test_who_waits_for_whom(store: CaseStore) -> None:
    case = a_case(store)
    made = [searched(store, case, START_MS + at, gallery_id=f"g{at % 2}") for at in (3, 1, 2, 5, 4)]
    by_age = [one.examination_id for one in sorted(made, key=lambda one: one.searched.searched_ms)]

    def waiting(who: str, gallery: str = "", **page: object) -> list[str]:
        found = store.awaiting(who, lambda gallery_id: gallery in gallery_id, **page)  # type: ignore[arg-type]
        assert not any(one.probe or any(c.photo for c in one.candidates) for one in found)
        return [one.examination_id for one in found]

    assert waiting(ANNA) == by_age
    assert waiting(SEARCHER) == []
    assert waiting(ANNA, "g0") == [by_age[1], by_age[3]]
    first = waiting(ANNA, size=2)
    assert first == by_age[:2]
    assert waiting(ANNA, after=(START_MS + 2, first[-1])) == by_age[2:]
    store.give_finding(by_age[0], picks(ANNA))
    assert waiting(ANNA) == by_age[1:]
    assert waiting(BERT) == by_age
    store.give_finding(by_age[0], picks(BERT))
    assert waiting(CLEO) == by_age[1:]


def test_findings_come_in_order_and_are_locked(store: CaseStore, clock: Clock) -> None:
    own = searched(store, a_case(store))
    clock.ms += 10
    store.give_finding(own.examination_id, picks(ANNA))
    clock.ms -= 20  # somebody has set the clock
    after = store.give_finding(own.examination_id, picks(BERT))
    assert [one.examiner for one in after.findings] == [ANNA, BERT]
    assert [one.given_ms for one in after.findings] == [START_MS + 10] * 2
    assert store.examination(own.examination_id).findings == after.findings
    with pytest.raises(FindingLocked):
        store.give_finding(own.examination_id, picks(CLEO))


def test_the_audit_tells_of_every_change(store: CaseStore) -> None:
    with attributed(Attribution("key:op", ("operator",), "r-1", "testing", "another reference")):
        case = a_case(store)
        own = searched(store, case)
        given = [store.give_finding(own.examination_id, picks(who)) for who in (ANNA, BERT)][-1]
        store.close_case(case.case_id)
        store.delete_case(case.case_id)
    with store.auditing() as audit:
        records = [kept.record for kept in audit.every()]
        assert isinstance(verify(audit), Verified)
    names = pseudonyms_of(store)
    told = "case.open case.search case.finding case.finding case.close case.delete"
    assert " ".join(record.action for record in records) == told
    for record in records:
        assert (record.actor, record.roles, record.request_id) == ("key:op", ("operator",), "r-1")
        assert (record.purpose, record.case, record.outcome) == ("investigation", names.case("AZ 17/2026"), "OK")
        assert record.detail["case_id"] == case.case_id
    found, first, second = records[1:4]
    assert (found.gallery, found.gallery_version, found.threshold) == ("wanted", 17, "0.4375")
    assert found.model == "null@1:000000000000"
    assert found.counts == {"candidates": 3, "searched_templates": 1_234}
    assert found.subjects == tuple(names.subject("wanted", one.subject_id) for one in own.candidates)
    assert found.detail["digest"] == search_digest(
        own.examination_id, case.case_id, own.searched, own.candidates, own.salt
    )
    # Until the end it does not say what was found.
    assert (first.subjects, first.counts, first.detail["state"]) == ((), {"findings": 1}, "awaiting_second")
    assert "conclusion" not in first.detail
    assert (second.detail["state"], second.detail["conclusion"]) == ("concluded", "potential_candidate")
    assert second.subjects == (names.subject("wanted", own.candidates[0].subject_id),)
    for number, (record, finding) in enumerate(zip((first, second), given.findings, strict=True), 1):
        assert record.detail["digest"] == finding_digest(own.examination_id, number, finding)


def test_under_another_key(store: CaseStore, location: Location) -> None:
    own = searched(store, a_case(store))
    new = KeyEncryptionKey(bytes(32))
    store.put_under(new)
    store.give_finding(own.examination_id, picks(ANNA))
    a_case(store, "made under the new key")
    store.close()
    with pytest.raises(WrongKey):
        open_store(location)
    with open_store(location, key=new) as again:
        assert again.examination(own.examination_id).probe == PROBE
        assert len(again.cases()) == 2


def test_a_full_disk_takes_no_search_but_deletes(store: CaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    case = a_case(store)
    own = searched(store, case)
    monkeypatch.setattr(store._database, "spare_bytes", lambda: 100)
    for call in (
        lambda: searched(store, case),
        lambda: a_case(store, "another"),
        lambda: store.give_finding(own.examination_id, picks(ANNA)),
    ):
        with pytest.raises(StorageLow):
            call()
    store.close_case(case.case_id)
    store.delete_case(case.case_id)
    assert store.cases() == ()


def test_no_refusal_repeats_what_was_asked_for(store: CaseStore) -> None:
    case = a_case(store, "Erika Mustermann")
    own = searched(store, case)
    refusals: list[FrError] = []
    for call in (
        lambda: a_case(store, "Erika Mustermann"),
        lambda: store.case("Erika Mustermann"),
        lambda: store.examination("Erika Mustermann"),
        lambda: store.give_finding(own.examination_id, picks(ANNA, 9, notes="Erika Mustermann")),
        lambda: store.give_finding(own.examination_id, picks(SEARCHER, notes="Erika Mustermann")),
    ):
        with pytest.raises(FrError) as refused:
            call()
        refusals.append(refused.value)
    assert not any("Mustermann" in f"{one.message}{one.metadata}" for one in refusals)
