"""A key that sends malformed calls cannot fill the disk with records; every answer that it gets is recorded."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.storage.audit.values import Record
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.keys import key_beside
from fr_server.authz.record import PACE_S, UNRECORDED
from fr_server.clock import wall_ms
from fr_server.telemetry.throttle import MOST_PER_GROUP, MOST_PER_WINDOW
from fr_trust.access.store import AccessStore
from support.callers import PROBE, Caller, staffed
from support.counts import count
from support.secured import figure
from support.servers import ended

CALLS = count("REFUSED_CALLS")
AT_ONCE = 50
SEARCHES = 20
FACE = recognition_pb2.Probe(image=common_pb2.Image(data=PROBE))
WANTED: dict[str, Any] = {"gallery_id": "wanted", "probe": FACE}
WHY: dict[str, Any] = {"purpose": common_pb2.PURPOSE_MISSING_PERSON, "case_reference": "2026-014"}


def malformed(caller: Caller) -> Sequence[Callable[[], Any]]:
    search, detect = caller.gallery.Search.future, caller.recognition.Detect.future
    return (
        lambda: detect(recognition_pb2.DetectRequest(image=common_pb2.Image(data=b"no photo"))),
        lambda: detect(recognition_pb2.DetectRequest()),
        lambda: search(gallery_pb2.SearchRequest(**WANTED)),  # without a purpose
        lambda: search(gallery_pb2.SearchRequest(**{**WANTED, "gallery_id": "not there"}, **WHY)),
        lambda: search(gallery_pb2.SearchRequest(**{**WANTED, "gallery_id": "unknown"}, **WHY)),
        lambda: search(gallery_pb2.SearchRequest(**WANTED, **WHY, threshold=7.0)),
    )


def flood(caller: Caller, calls: int) -> Counter[str]:
    """Make so many calls, some in parallel, and some searches between them; return how each refused one ended."""
    reasons: Counter[str] = Counter()
    kinds = itertools.cycle(malformed(caller))
    for number in range(0, calls, AT_ONCE):
        running = [next(kinds)() for _ in range(min(AT_ONCE, calls - number))]
        if number % (calls // SEARCHES) < AT_ONCE:
            caller.gallery.Search(gallery_pb2.SearchRequest(**WANTED, **WHY))
        for call in running:
            error = call.exception()
            assert isinstance(error, grpc.RpcError)
            reasons[ended(error).info.reason] += 1
    return reasons


def records_of(folder: Path, actor: str) -> list[Record]:
    with (
        AccessStore.open(folder / "access", key_beside(folder, new=False), wall_ms) as store,
        store.auditing() as audit,
    ):
        assert isinstance(verify(audit), Verified)
        return [kept.record for kept in audit.every() if kept.record.actor == actor]


def test_malformed_calls_of_a_key_cost_few_records_and_none_is_uncounted(tmp_path: Path) -> None:
    with staffed(tmp_path) as at:
        at.gallery("wanted", people=2)
        begun = time.monotonic()
        reasons = flood(at.operator, CALLS)
        windows = int((time.monotonic() - begun) / PACE_S) + 2
    records = records_of(tmp_path, at.operator.principal_id)
    searched = [one for one in records if one.action == "gallery.search" and one.outcome == "OK"]
    assert len(searched) == sum(number % (CALLS // SEARCHES) < AT_ONCE for number in range(0, CALLS, AT_ONCE))

    refused = [one for one in records if one.outcome != "OK"]
    counted: Counter[str] = Counter()
    for one in refused:
        counted[one.outcome] += 1 + one.counts.get(UNRECORDED, 0)
    assert counted == reasons
    assert reasons.total() == CALLS
    assert len(reasons) > MOST_PER_GROUP / MOST_PER_WINDOW  # so that the limit of all kinds of a key is reached
    # Of each window what the key may have recorded, and at its end one of each kind with how many were left out.
    assert len(refused) <= windows * (MOST_PER_GROUP + len(reasons))
    figure("records of malformed calls", f"{len(refused)} of {CALLS} calls, {len(reasons)} reasons")


def test_malformed_items_of_a_stream_are_counted_as_well(tmp_path: Path) -> None:
    items = 200
    with staffed(tmp_path) as at:
        at.gallery("wanted", people=2)
        search = gallery_pb2.SearchRequest(**WANTED)  # without a purpose
        sent = (gallery_pb2.StreamSearchRequest(item_id=str(number), search=search) for number in range(items))
        answers = list(at.operator.gallery.StreamSearch(sent))
        assert len(answers) == items
    refused = [one for one in records_of(tmp_path, at.operator.principal_id) if one.outcome == "PURPOSE_REQUIRED"]
    assert len(refused) <= 2 * (MOST_PER_WINDOW + 1)
    assert sum(1 + one.counts.get(UNRECORDED, 0) for one in refused) == items
