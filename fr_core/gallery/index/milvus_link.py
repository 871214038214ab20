"""Calls Milvus: the one module that imports its client.

Searches ask for the consistency "Session": they wait until Milvus shows what this process wrote last, and so everything
that was written before it, by any process. A process calls `Collection.mark` after it has learnt that another has
written, so this is as strong as "Strong", which waits for Milvus' next clock tick, 200 ms by default.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from fr_core.errors import IndexUnavailable, for_one_caller, message
from fr_core.gallery.index.milvus_settings import KINDS, MilvusSettings
from fr_core.gallery.index.protocol import F64
from fr_core.types import F32, I64

T = TypeVar("T")

# Milvus gives at most so many entities in one answer (quotaAndLimits.limits.topK and maxQueryResultWindow).
MOST_ANSWERED = 16_384
# Ids that one expression names: some 100 KB of text.
IDS_TOGETHER = 8_192
# Bytes of vectors in one call; Milvus takes 64 MiB.
_WRITTEN_BYTES = 2**23
# For so long after a failure, calls fail at once, so that waiting callers do not wait for one another.
_QUIET_S = 1.0
_ID, _TAG, _VECTOR = "id", "tag", "vector"
_SESSION, _STRONG = "Session", "Strong"
_NO_ID = -1  # templates have ids above zero
_GREATEST = 2**63 - 1

_log = logging.getLogger(__name__)
# It logs each failure with the text of the call, which names ids; what callers need is in the error.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class MilvusLink:
    """A connection to a Milvus server, made when it is first needed; for several threads."""

    def __init__(self, settings: MilvusSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._client: Any = None
        self._failed: IndexUnavailable | None = None
        self._quiet_until = 0.0

    def call(self, work: Callable[[Any], T]) -> T:
        """Return what `work` returns for the client.

        Raises `IndexUnavailable`: Milvus does not answer, or refuses; metadata `late` where it was only too slow.
        """
        failed = self._failed
        if failed is not None and self._clock() < self._quiet_until:
            raise for_one_caller(failed)
        try:
            with _errors():
                found = work(self._connected())
        except IndexUnavailable as error:
            self._failed, self._quiet_until = error, self._clock() + _QUIET_S
            raise
        self._failed = None
        return found

    def collection(self, name: str) -> "Collection":
        """Return a collection by its name, which need not exist."""
        return Collection(self, name)

    def names(self, prefix: str) -> list[str]:
        """Return the names of all collections that begin with a prefix."""
        every = self.call(lambda client: client.list_collections(timeout=self.settings.search_timeout_s))
        return [name for name in every if name.startswith(prefix)]

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                given = self.settings
                tls = {"secure": True, "server_pem_path": given.ca} if given.ca else {}
                self._client = MilvusClient(
                    given.uri, token=given.token, db_name=given.database, timeout=given.search_timeout_s, **tls
                )
            return self._client


class Collection:
    """A collection of ids and turned vectors; every method raises `IndexUnavailable`."""

    def __init__(self, link: MilvusLink, name: str) -> None:
        self._link = link
        self.name = name
        given = link.settings
        self._build, self._search = KINDS[given.kind]
        self._short_s, self._long_s = given.search_timeout_s, given.write_timeout_s

    def open(self, size: int, wipe: bool) -> bool:
        """Make it ready to be searched, with vectors of `size` values; returns whether it is new, and so empty.

        `wipe`: drop what is there.
        """
        if self.exists():
            if not wipe:
                self._link.call(lambda client: client.load_collection(self.name, timeout=self._long_s))
                self.mark()
                return False
            self.drop()
        self._link.call(lambda client: self._create(client, size))
        self.mark()
        return True

    def exists(self) -> bool:
        """Return whether Milvus has it."""
        return bool(self._link.call(lambda client: client.has_collection(self.name, timeout=self._short_s)))

    def drop(self) -> None:
        """Drop it with everything in it."""
        self._link.call(lambda client: client.drop_collection(self.name, timeout=self._long_s))

    def count(self) -> int:
        """Return how many entities it holds."""
        rows = self._query("", ["count(*)"], limit=None)
        return int(rows[0]["count(*)"])

    def held(self, live: I64) -> tuple[I64, I64]:
        """Return every id that it holds, i64[n] ascending, and the tag of each.

        `live`: the ids that are expected, ascending, by which they are asked for.
        """
        ends = [*live[IDS_TOGETHER - 1 :: IDS_TOGETHER].tolist(), _GREATEST]
        found = [self._between(low, high) for low, high in zip([_NO_ID, *ends[:-1]], ends, strict=True)]
        ids, first = np.unique(np.concatenate([part[0] for part in found]), return_index=True)
        return ids, np.concatenate([part[1] for part in found])[first]

    def vectors(self, ids: I64) -> dict[int, F32]:
        """Return the vectors of some of its entities, f32[size] each; `IDS_TOGETHER` ids at most."""
        rows = self._query(_among(ids), [_ID, _VECTOR])
        return {int(row[_ID]): np.asarray(row[_VECTOR], dtype=np.float32) for row in rows}

    def write(self, ids: I64, tags: I64, vectors: F32, new: bool) -> None:
        """Write vectors f32[n, size] under ids i64[n], with tags i64[n]; `new`: it surely holds none of the ids."""
        together = max(1, _WRITTEN_BYTES // max(1, vectors.shape[1] * vectors.itemsize))
        for start in range(0, len(ids), together):
            some = slice(start, start + together)
            columns = zip(ids[some].tolist(), tags[some].tolist(), vectors[some], strict=True)
            rows = [{_ID: number, _TAG: tag, _VECTOR: vector} for number, tag, vector in columns]
            self._link.call(partial(self._write, rows, new))

    def delete(self, ids: I64) -> None:
        """Delete entities; ids that it does not hold are ignored."""
        for start in range(0, len(ids), IDS_TOGETHER):
            where = _among(ids[start : start + IDS_TOGETHER])
            self._link.call(partial(self._delete, where))

    def search(self, probes: F32, limit: int, among: I64 | None) -> list[tuple[I64, F64]]:
        """Return ids and scores, best first, of the best `limit` for each of probes f32[n, size].

        `among`: `IDS_TOGETHER` at most; None = all.
        """
        where = "" if among is None else _among(among)
        # A graph is searched with as many candidates as are wanted, at least.
        wide = {name: max(value, limit) if name == "ef" else value for name, value in self._search.items()}
        asked = {"metric_type": "IP", "params": wide}
        found = self._link.call(
            lambda client: client.search(
                self.name,
                data=list(probes),
                filter=where,
                limit=limit,
                search_params=asked,
                anns_field=_VECTOR,
                consistency_level=_SESSION,
                timeout=self._short_s,
            )
        )
        return [
            (
                np.array([hit[_ID] for hit in hits], dtype=np.int64),
                np.array([hit["distance"] for hit in hits], dtype=np.float64),
            )
            for hits in found
        ]

    def compact(self) -> int:
        """Flush it, and ask Milvus to write segments with deleted entities anew; returns the number of the job."""
        self._link.call(lambda client: client.flush(self.name, timeout=self._long_s))
        return int(self._link.call(lambda client: client.compact(self.name, timeout=self._short_s)))

    def is_compacted(self, job: int) -> bool:
        """Return whether Milvus says that a job of `compact` is done."""
        state = self._link.call(lambda client: client.get_compaction_state(job, timeout=self._short_s))
        return str(state) == "Completed"

    def mark(self) -> None:
        """Have later searches of this process see everything that any process has written; changes nothing."""
        self.delete(np.array([_NO_ID], dtype=np.int64))

    def _create(self, client: Any, size: int) -> None:
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(_ID, DataType.INT64, is_primary=True)
        schema.add_field(_TAG, DataType.INT64)
        schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=size)
        index = client.prepare_index_params()
        kind = self._link.settings.kind
        index.add_index(_VECTOR, index_type=kind, index_name=_VECTOR, metric_type="IP", params=self._build)
        client.create_collection(
            self.name, schema=schema, index_params=index, consistency_level=_STRONG, timeout=self._long_s
        )

    def _write(self, rows: list[dict[str, Any]], new: bool, client: Any) -> None:
        (client.insert if new else client.upsert)(self.name, rows, timeout=self._long_s)

    def _delete(self, where: str, client: Any) -> None:
        client.delete(self.name, filter=where, timeout=self._long_s)

    def _between(self, low: int, high: int) -> tuple[I64, I64]:
        """Return the ids in (low, high], in any order, and the tag of each."""
        rows = self._query(f"{_ID} > {low} and {_ID} <= {high}", [_ID, _TAG])
        if len(rows) < MOST_ANSWERED:
            found = np.array([(row[_ID], row[_TAG]) for row in rows], dtype=np.int64).reshape(-1, 2)
            return found[:, 0], found[:, 1]
        middle = (low + high) // 2
        parts = self._between(low, middle), self._between(middle, high)
        return np.concatenate([parts[0][0], parts[1][0]]), np.concatenate([parts[0][1], parts[1][1]])

    def _query(self, where: str, fields: list[str], limit: int | None = MOST_ANSWERED) -> list[dict[str, Any]]:
        most = {} if limit is None else {"limit": limit}
        return list(
            self._link.call(
                lambda client: client.query(
                    self.name,
                    filter=where,
                    output_fields=fields,
                    consistency_level=_SESSION,
                    timeout=self._long_s,
                    **most,
                )
            )
        )


def _among(ids: I64) -> str:
    return f"{_ID} in {ids.tolist()}"


@contextmanager
def _errors() -> Iterator[None]:
    """Turn the errors of Milvus' client into `IndexUnavailable`; their text may name ids, so that it is left out."""
    try:
        yield
    except grpc.RpcError as error:
        code = error.code().name
        late = {"late": "true"} if code == "DEADLINE_EXCEEDED" else {}
        raise IndexUnavailable(message("error.gallery.milvus_fails", code=code), **late) from None
    except MilvusException as error:
        code = f"{type(error).__name__} {getattr(error.code, 'name', error.code)}"
        raise IndexUnavailable(message("error.gallery.milvus_fails", code=code)) from None
