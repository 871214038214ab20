"""Runs changes of the galleries on the thread that writes, and shows them to searches once they are durable."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from fr_core.gallery.changes import Change, foresee
from fr_core.gallery.effects import Effect, of_each_gallery
from fr_core.gallery.search.memories import Applied, Memories
from fr_core.gallery.store.change_log import append
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.transaction import GalleryTransaction, Numbers
from fr_core.gallery.store.values import LoggedChange
from fr_core.storage import writer
from fr_core.storage.audit.attribution import Attribution, current_attribution
from fr_core.storage.protocol import Database

R = TypeVar("R")


class _Group(GalleryTransaction):
    def __init__(self, database: Database, numbers: Numbers, memories: Memories) -> None:
        super().__init__(database, numbers)
        self.effects: list[Effect] = []
        self._applied = Applied(0, 0)
        self.when_kept(lambda: memories.apply(self.effects, self._applied))

    def finish(self) -> None:
        """Write what was held back, and the log of changes if other servers follow it."""
        if self.end is not None and self.effects:
            self._applied = Applied(self.end.seq, append(self, self.end, _logged(self.effects)))
        super().finish()

    def foresee(self, jobs: Sequence[object]) -> None:
        """See the jobs of a group before the first runs."""
        foresee(self, [job.change for job in jobs if isinstance(job, _Job)])

    def _memory(self) -> Callable[[], None]:
        effects, put_back_rest = len(self.effects), super()._memory()

        def put_back() -> None:
            del self.effects[effects:]
            put_back_rest()

        return put_back


def _logged(effects: Sequence[Effect]) -> Iterator[LoggedChange]:
    for gallery_no, own in of_each_gallery(effects).items():
        added = [vector.template_id for effect in own for vector in effect.added]
        removed = tuple(sorted(template_id for effect in own for template_id in effect.removed))
        yield LoggedChange(gallery_no, own[0].since, own[-1].version, min(added, default=None), removed)


@dataclass(frozen=True, slots=True)
class _Job(Generic[R]):
    change: Change[R]
    by: Attribution

    def __call__(self, group: _Group) -> R:
        done = self.change.run(group)
        group.record(self.by, done.records)
        group.effects.extend(done.effects)
        return done.result


class Writer:
    """Runs changes in groups, see `fr_core.storage.writer`.

    A change has returned only after it is durable and the memory shows it. Its audit record is kept with it, or not at
    all.

    Args:
        memories: show what was written; if the thread dies, they refuse every search.
        broken: ends with an `InternalError` if the thread dies, after which nothing can be written or searched.
    """

    def __init__(self, store: GalleryStore, memories: Memories, broken: Future[None]) -> None:
        broken.add_done_callback(lambda _: memories.abandon())
        self._writer: writer.Writer[_Group] = writer.Writer(
            store.database, broken, lambda database: _Group(database, store.numbers, memories)
        )

    @property
    def waiting(self) -> int:
        """About how many changes wait to be taken up."""
        return self._writer.waiting

    def run(self, change: Change[R]) -> R:
        """Run a change and wait until it is durable and shown; the audit puts it down to `current_attribution`.

        Raises `ShuttingDown`: the writer is closed; `StoreFailed`: nothing of the change was kept; `FrError`: the
        change's own refusals.
        """
        return self._writer.run(_Job(change, current_attribution()))

    def close(self) -> None:
        """Finish what waits, take nothing new, and end the thread; harmless when done twice."""
        self._writer.close()
