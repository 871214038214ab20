"""Finding records: each filter finds what it says, page by page, and nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fr_core.errors import StoreCorrupt
from fr_core.storage.audit.values import Entry, Pseudonym
from fr_trust.audit.search import Filter, search
from support.audits import DAY_MS, START_MS, Audited, Clock, an_entry


@pytest.fixture(scope="module")
def audited() -> Audited:
    return Audited().created().fill(300)


def found(audited: Audited, wanted: Filter, limit: int) -> list[int]:
    after: int | None = 0
    seqs: list[int] = []
    while after is not None:
        page = search(audited.table, wanted, after, limit)
        assert len(page.records) <= limit
        seqs.extend(kept.record.seq for kept in page.records)
        after = page.after
    return seqs


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(actor="system"),
        Filter(actor="syste"),
        Filter(actor="key:0000000000000002"),
        Filter(action="gallery.search"),
        Filter(action="gallery.*"),
        Filter(action="gallery.e*"),
        Filter(action="gallery.e"),
        Filter(action="*"),
        Filter(outcome="NO_FACE"),
        Filter(gallery="staff"),
        Filter(gallery="index"),
        Filter(subject=(Pseudonym(f"{3:016x}"),)),
        Filter(case=(Pseudonym(f"{1:016x}"),)),
        Filter(request_id="request-17"),
        Filter(request_id="nothing"),
        Filter(actor='"'),
        Filter(since_ms=START_MS + 200_000),
        Filter(until_ms=START_MS + 200_000),
        Filter(since_ms=START_MS + 100_000, until_ms=START_MS + 400_000, outcome="OK"),
        Filter(since_ms=START_MS + DAY_MS),
        Filter(until_ms=START_MS),
        Filter(subject=(Pseudonym(f"{2:016x}"),), gallery="visitors", outcome="OK", action="gallery.*"),
    ],
)
@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_a_filter_finds_exactly_what_fits(audited: Audited, wanted: Filter, limit: int) -> None:
    every = [kept.record for kept in audited.table.every()]
    expected = [record.seq for record in every if wanted.fits(record)]
    assert found(audited, wanted, limit) == expected


def test_a_word_in_another_field_is_not_taken_for_it() -> None:
    audited = Audited().created()
    audited.append(
        Entry("system", "gallery.search", "OK", detail={"actor": "local", "gallery": "staff"}),
        Entry("local", "gallery.search", "OK", gallery="staff"),
    )
    assert found(audited, Filter(actor="local"), 10) == [2]
    assert found(audited, Filter(gallery="staff"), 1) == [2]


def test_a_span_of_time_holds_while_the_clock_is_set_back() -> None:
    audited = Audited(clock=Clock()).created()
    rng = random.Random(1)
    for step in (0, DAY_MS, -DAY_MS, 10, 2 * DAY_MS):
        audited.clock.ms += step
        audited.append(an_entry(rng))
    assert found(audited, Filter(since_ms=START_MS + 1), 2) == [2, 3, 4, 5]
    assert found(audited, Filter(until_ms=START_MS + DAY_MS + 1), 2) == [1, 2, 3, 4]
    assert found(audited, Filter(since_ms=START_MS + DAY_MS, until_ms=START_MS + DAY_MS + 1), 2) == [2, 3, 4]


def test_a_record_that_was_altered_is_not_returned() -> None:
    audited = Audited().created()
    rng = random.Random(2)
    audited.append(*(replace(an_entry(rng), actor="local") for _ in range(3)))
    audited.sql("UPDATE audit SET body = CAST(replace(body, 'local', 'loca') AS BLOB) WHERE seq = 2")
    assert found(audited, Filter(actor="system"), 2) == []
    with pytest.raises(StoreCorrupt):
        search(audited.table, Filter(actor="loca"), 0, 10)
    audited.sql("DELETE FROM audit WHERE seq = 2")
    with pytest.raises(StoreCorrupt):  # the next one's hash holds that of the record before
        search(audited.table, Filter(actor="local"), 0, 10)


def test_an_empty_chain_holds_nothing() -> None:
    audited = Audited().created()
    assert search(audited.table, Filter(since_ms=1), 0, 10).after is None
    assert found(audited, Filter(until_ms=1), 10) == []
