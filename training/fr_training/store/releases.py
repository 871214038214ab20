"""Keeps what trainers have released: the items whose right answers the trainees of a cohort may see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.protocol import Database, Statements
from fr_core.storage.writer import Writer
from fr_training.store.codec import dump, reading
from fr_training.store.cohorts import Cohorts
from fr_training.store.schema import SCHEMA
from fr_training.store.transaction import Transaction
from fr_training.store.values import Release

# The space of an item on the disk, about.
_ITEM_BYTES = 100
_INSERT = "INSERT INTO releases (cohort_no, sealed) VALUES (?, ?) RETURNING release_no"
_SET = "UPDATE releases SET sealed = ? WHERE release_no = ?"
_OF_COHORT = "SELECT release_no, sealed FROM releases WHERE cohort_no = ? ORDER BY release_no"


@dataclass(eq=False)
class Releases:
    """Releases, as a room of `TrainingStore`; none is ever changed or taken back."""

    _database: Database
    _writer: Writer[Transaction]
    _cohorts: Cohorts
    _clock_ms: Callable[[], int]

    def add(self, cohort_id: str, items: Iterable[tuple[str, str]], counts: Mapping[str, int]) -> Release:
        """Release items to a cohort, and return those of them that are new; raises `UnknownCohort`.

        The audit gets a record also where all were released before, with `counts` as in `Transaction.record`.
        """
        by = current_attribution()
        wanted = frozenset(items)

        def insert(tx: Transaction) -> Release:
            cohort_no, cohort, _ = self._cohorts.found(tx, cohort_id)
            known = chain.from_iterable(one.items for one in self._of_number(tx, cohort_no))
            made = Release(self._clock_ms(), wanted.difference(known))
            tx.record(by, "training.release", course=cohort.course_id, cohort=cohort_id, counts=counts)
            if made.items:
                tx.require_room(_ITEM_BYTES * (10 + len(made.items)))
                number = tx.number(_INSERT, cohort_no, b"")
                data = dump([made.released_ms, sorted(made.items)])
                key = self._cohorts.key(tx, cohort_no)
                tx.write(_SET, key.seal(data, SCHEMA.bound("releases", number, cohort_no)), number)
            return made

        return self._writer.run(insert)

    def of_cohort(self, cohort_id: str) -> tuple[Release, ...]:
        """The releases to a cohort, the first one first; raises `UnknownCohort`."""
        with self._database.reading() as now:
            return self._of_number(now, self._cohorts.number(now, cohort_id))

    def _of_number(self, now: Statements, cohort_no: int) -> tuple[Release, ...]:
        key, found = self._cohorts.key(now, cohort_no), []
        for number, sealed in now.rows(_OF_COHORT, cohort_no):
            data = key.open(sealed, SCHEMA.bound("releases", number, cohort_no), "release")
            with reading("release"):
                released_ms, items = json.loads(data)
                found.append(Release(int(released_ms), frozenset((form, item_id) for form, item_id in items)))
        return tuple(found)
