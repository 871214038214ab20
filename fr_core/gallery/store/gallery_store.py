"""Opens the gallery store: the durable truth, held by one process in a folder, by any number in PostgreSQL.

Templates and photos are encrypted, everything else is authenticated; see `fr_core.storage.vault`. Deleted rows leave
nothing behind: `secure_delete` and `clean_pages` overwrite them with zeros in the database file, `scrub` empties the
write-ahead log, and temporary data stay in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fr_core.gallery.store.integrity import read_vectors, require_consistent
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.transaction import GalleryTransaction, Numbers
from fr_core.gallery.store.values import StoredVectors
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.clean_pages import DATABASE_HEADER
from fr_core.storage.database import now_ms
from fr_core.storage.dialect import LAST_NUMBERS
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location, Postgres
from fr_core.storage.migrations import rotate
from fr_core.storage.opening import open_database

DATABASE_NAME = SCHEMA.database_name
RESERVE_BYTES = 64 * 2**20

# The version of stores whose templates were not encrypted.
_PLAIN_VERSION = SCHEMA.first_keyed - 1


class GalleryStore:
    """The store of all galleries of a data folder, which it holds for itself until closed, or of a database.

    Every method, and every method of a snapshot or a transaction, raises `StoreFailed` where the disk refuses and
    `StoreCorrupt` where it finds damage. Snapshots may be taken by any thread at any time and wait for no transaction;
    only one thread at a time may hold a transaction.

    Args:
        location: the data folder, made where it is not there, or a PostgreSQL database.
        key: wraps the keys of the store; a new store is made under it, and so is one of version 1, which had none.
        reserve_bytes: what must stay free on the disk for deletions and searches to go on; 1/8 of the disk at most.
        vfs: SQLite's layer to the disk, by name; "" = its own.
        clock_ms: gives the audit its times, milliseconds since 1970, UTC.

    Attributes:
        server: the PostgreSQL server that holds it; other servers may then change it too. None = it lies in a folder.

    Raises:
        StoreInUse: the folder is open already.
        StoreNewer: a later version wrote it; nothing was changed.
        WrongKey: it is under another key; nothing was changed.
        StoreCorrupt: it is damaged, contradicts itself, or is not a store of FR Core; nothing was changed.
        StoreFailed: the disk refuses.
    """

    def __init__(
        self,
        location: Location,
        key: KeyEncryptionKey,
        *,
        reserve_bytes: int = RESERVE_BYTES,
        vfs: str = "",
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.server = location if isinstance(location, Postgres) else None
        self.database = open_database(location, SCHEMA, key, reserve_bytes, vfs, clock_ms=clock_ms)
        try:
            with self.database.reading() as now:
                self.numbers = Numbers(dict(now.rows(LAST_NUMBERS)))
        except BaseException:
            self.database.close()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Read within the block; raises `ShuttingDown` if the store is closed."""
        with self.database.reading_as(Snapshot) as snapshot:
            snapshot.row("SELECT 1 FROM galleries LIMIT 1")  # the snapshot is taken with the first read
            yield snapshot

    def transaction(self) -> AbstractContextManager[GalleryTransaction]:
        """Change within the block; durable when the block has ended, undone where an exception leaves it."""
        return self.database.transaction(lambda database: GalleryTransaction(database, self.numbers))

    def auditing(self) -> AbstractContextManager[AuditTable]:
        """Read the audit as of one moment, within the block; nothing can be appended."""
        return self.database.auditing()

    def vectors(self, rows: int) -> Iterator[StoredVectors]:
        """Yield every vector, at most `rows` at a time, each checked; those of a gallery by ascending ids.

        Authenticates every other row first, photos excepted.
        """
        with self.examining() as snapshot:
            yield from read_vectors(snapshot, snapshot.vault, rows)

    @contextmanager
    def examining(self) -> Iterator[Snapshot]:
        """Read the whole store within the block, which finds it sound if it raises nothing.

        Authenticates every row first, templates and photos excepted.
        """
        with self.snapshot() as snapshot:
            require_consistent(snapshot, snapshot.vault)
            yield snapshot
        self.database.log.copies_at_close = True  # the store is sound
        self.database.log.scrub(longest_s=0.0)  # rows that were erased before a process died

    def scrub(self) -> bool:
        """Leave nothing on the disk of what committed changes have deleted; see `Database.scrub`."""
        return self.database.log.scrub()

    def rotate(self, new_key: KeyEncryptionKey) -> bool:
        """Put the store under another key; until that is durable, the key before stays valid.

        The keys of the subjects are wrapped anew; what they encrypt stays.

        Returns:
            Whether the old wrapped keys are overwritten. Otherwise the store is under the new key all the same, and the
            next start overwrites them.

        Raises as `migrations.rotate`.
        """
        rotate(self.database, new_key)
        return self.scrub()

    def close(self) -> None:
        """Close; harmless when done twice."""
        self.database.close()


def is_under_key(folder: Path) -> bool:
    """Return whether a data folder holds a store whose templates are encrypted; a damaged one counts as such."""
    try:
        with (folder / DATABASE_NAME).open("rb") as file:
            header = file.read(DATABASE_HEADER)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # opening the store will tell what it is
    # https://www.sqlite.org/fileformat2.html: the user version, four bytes, the first of them the highest.
    return int.from_bytes(header[60:64], "big") != _PLAIN_VERSION
