"""A server that is stopped between a search and its answer, while another server erases what the search has found.

Run as a script, this file is a server that stops itself (SIGSTOP) after each search. The control sends its answer
however long that took.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from fr_api.v1 import common_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.galleries import Galleries
from fr_core.storage import members
from fr_core.storage.location import Postgres
from fr_core.storage.terms import Answering
from fr_server.app import App
from fr_server.config import config_from
from fr_server.main import open_galleries, run
from fr_server.storage.peers import Peers
from support.counts import NIGHTLY, at_night
from support.faults import Started, started, until
from support.ledger import GALLERY, embedding
from support.postgres import Cluster
from support.servers import NULL_QUALITY, ended, null_engine

CALL_S = 120.0
# By day a server is taken for dead sooner, so that the erasure waits less for it.
LASTS_S = members.LASTS_S if NIGHTLY else 5.0


def _stop_after_searches() -> None:
    for name in ("search", "search_as"):
        searched = getattr(Galleries, name)

        def then_stop(*arguments: Any, searched: Any = searched) -> Any:
            found = searched(*arguments)
            os.kill(os.getpid(), signal.SIGSTOP)
            return found

        setattr(Galleries, name, then_stop)


def _serve(how: str, raw: str, ready_file: str) -> None:
    if how != "sound":
        _stop_after_searches()
    if how == "control":
        setattr(Answering, "is_over", False)  # noqa: B010 - mypy refuses to replace a method
    config = config_from(json.loads(raw))
    peers = Peers(config, lasts_s=LASTS_S)
    galleries = open_galleries(config, members=peers.members)
    app = App(config, null_engine(config), galleries, broken=galleries.broken, peers=peers)
    asyncio.run(run(app, Path(ready_file)))


@contextmanager
def server(folder: Path, database: Postgres, how: str) -> Iterator[tuple[Started, gallery_pb2_grpc.GalleryServiceStub]]:
    raw = {
        "server": {"port": 0, "name": how},
        "quality": NULL_QUALITY,
        "storage": {"url": database.url},
        "gallery": {"folder": str(folder / "data")},
    }
    with ExitStack() as opened:
        running = opened.enter_context(started(folder / how, __file__, how, json.dumps(raw)))
        channel = opened.enter_context(closing(grpc.insecure_channel(running.address)))
        yield running, gallery_pb2_grpc.GalleryServiceStub(channel)


def probe() -> recognition_pb2.Probe:
    model = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
    return recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=embedding(1, 64).vector.tolist(), model=model))


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def searched(stub: gallery_pb2_grpc.GalleryServiceStub, stream: bool) -> str:
    """Return the subject of the first candidate, or the reason of the refusal."""
    request = gallery_pb2.SearchRequest(gallery_id=GALLERY, probe=probe(), top_k=1, threshold=-1.0)
    try:
        if stream:
            item = gallery_pb2.StreamSearchRequest(item_id="1", search=request)
            (answer,) = stub.StreamSearch(iter([item]), timeout=CALL_S)
            results = answer.found.results
        else:
            results = stub.Search(request, timeout=CALL_S).results
    except grpc.RpcError as error:
        return str(ended(error).info.reason)
    return str(results[0].candidates[0].subject_id)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("how", "answer"), [("stops", "REPLICA_BEHIND"), at_night("control", "s1")])
def test_a_server_that_was_stopped_does_not_answer_with_what_was_erased_meanwhile(
    tmp_path: Path, postgres: Cluster, how: str, answer: str, stream: bool
) -> None:
    database = postgres.database()
    with (
        server(tmp_path, database, "sound") as (_, sound),
        server(tmp_path, database, how) as (other, stopping),
        ThreadPoolExecutor(1) as pool,
    ):
        sound.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id=GALLERY))
        sound.Enrol(gallery_pb2.EnrolRequest(gallery_id=GALLERY, subject_id="s1", face=probe()))
        answered = pool.submit(searched, stopping, stream)
        pid = other.process.pid
        try:
            until(lambda: is_stopped(pid), 60)
            erasing = gallery_pb2.EraseSubjectRequest(gallery_id=GALLERY, subject_id="s1")
            sound.EraseSubject(erasing, timeout=CALL_S)  # the server is taken for dead
        finally:
            os.kill(pid, signal.SIGCONT)
        assert answered.result(CALL_S) == answer


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], sys.argv[4])
