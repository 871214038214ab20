"""Jobs that one process does for all: another one takes over when it ends, on one machine and on several."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fr_core.errors import StoreFailed
from fr_core.storage.duties import Duties
from fr_core.storage.location import Location
from fr_core.storage.opening import open_shared


def test_one_process_does_a_job_until_it_ends(location: Location, tmp_path: Path) -> None:
    done: list[str] = []

    def job(name: str) -> Callable[[], None]:
        return lambda: done.append(name)

    with (
        closing(open_shared(location, tmp_path, "a")[0]) as one,
        closing(open_shared(location, tmp_path, "b")[0]) as two,
        closing(Duties(one)) as first,
        closing(Duties(two)) as second,
    ):
        for _ in range(2):
            first.alone("purge", job("first"))()
            second.alone("purge", job("second"))()
        second.alone("prune", job("second"))()  # control: another job
        assert done == ["first", "first", "second"]
        first.close()
        first.alone("purge", job("first"))()
        second.alone("purge", job("second"))()
        assert done == ["first", "first", "second", "second"]


def test_a_job_tells_its_result_where_it_is_done(location: Location, tmp_path: Path) -> None:
    with (
        closing(open_shared(location, tmp_path, "a")[0]) as one,
        closing(open_shared(location, tmp_path, "b")[0]) as two,
        closing(Duties(one)) as first,
        closing(Duties(two)) as second,
    ):
        assert first.alone("purge", lambda: True)() is True
        assert second.alone("purge", lambda: True)() is None


def test_a_job_that_fails_keeps_its_lease_and_runs_again(location: Location, tmp_path: Path) -> None:
    def fails() -> None:
        raise StoreFailed("no")

    with closing(open_shared(location, tmp_path)[0]) as leases, closing(Duties(leases)) as duties:
        for _ in range(2):
            with pytest.raises(StoreFailed):
                duties.alone("purge", fails)()
        assert [*leases.holders()] == ["purge"]
