"""A server that searches in Milvus: its settings, and how calls end while Milvus is away."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client import Client, EmbeddingBatch, EmbeddingSubject
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import ConfigInvalid
from fr_core.storage.opening import open_shared
from fr_core.types import F32
from fr_server.config.indexes import milvus_of
from fr_server.config.loading import config_from
from support.faults import until
from support.milvus import free_port, milvus_server
from support.postgres import Cluster
from support.servers import Running, refusal_of, running

MODEL = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
SIZE = 64
PEOPLE = 400


def embeddings() -> F32:
    drawn = np.random.default_rng(0).standard_normal((PEOPLE, SIZE)).astype(np.float32)
    units: F32 = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return units


def enrolled(server: Running) -> Client:
    client = Client(server.address)
    client.create_gallery("g")
    subjects = [EmbeddingSubject(f"s{n}") for n in range(PEOPLE)]
    ((_, answer),) = client.enrol_embeddings("g", MODEL, [EmbeddingBatch(embeddings().tobytes(), subjects)])
    assert isinstance(answer, gallery_pb2.EnrolEmbeddingsResponse)
    assert not answer.refusals
    return client


def first(client: Client, number: int) -> str:
    probe = common_pb2.Embedding(vector=embeddings()[number].tolist(), model=MODEL)
    return str(client.search("g", probe).results[0].candidates[0].subject_id)


def milvus(uri: str, **others: Any) -> dict[str, Any]:
    return {"gallery": {"index": "milvus"}, "milvus": {"uri": uri, "search_timeout_s": 1.0, **others}}


def test_a_search_is_unavailable_and_enrolment_goes_on_while_milvus_is_away(
    start_server: Callable[..., Running], tmp_path: Path
) -> None:
    with running(tmp_path / "data") as before:
        enrolled(before)
    server = start_server(tmp_path / "data", **milvus(f"http://127.0.0.1:{free_port()}"))
    client = Client(server.address)
    probe = recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=embeddings()[7].tolist(), model=MODEL))
    refused = refusal_of(lambda: server.gallery.Search(gallery_pb2.SearchRequest(gallery_id="g", probe=probe)))
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.info.reason == "INDEX_UNAVAILABLE"
    assert refused.retry is not None
    client.create_gallery("new")
    (answer,) = client.enrol_embeddings(
        "new", MODEL, [EmbeddingBatch(embeddings()[:1].tobytes(), [EmbeddingSubject("a")])]
    )
    assert isinstance(answer[1], gallery_pb2.EnrolEmbeddingsResponse)
    assert not answer[1].refusals
    client.delete_gallery("new")
    assert client.get_gallery("g").template_count == PEOPLE


def test_a_server_searches_in_milvus(start_server: Callable[..., Running]) -> None:
    with milvus_server() as milvus_of_tests:
        client = enrolled(start_server(**milvus(milvus_of_tests.uri, search_timeout_s=60.0)))
        for number in range(5):
            assert first(client, number) == f"s{number}"


def test_servers_on_one_database_search_in_one_milvus(
    start_server: Callable[..., Running], tmp_path: Path, postgres: Cluster
) -> None:
    database = postgres.database()
    with milvus_server() as milvus_of_tests:
        clients = []
        for name in ("rome", "oslo"):
            sections = milvus(milvus_of_tests.uri, search_timeout_s=60.0)
            sections |= {"server": {"name": name}, "storage": {"url": database.url}}
            clients.append(start_server(tmp_path / "data", **sections))
        with closing(open_shared(database, Path())[0]) as leases:
            until(lambda: leases.holders().get("index") in ("rome", "oslo"), 60.0)
        enrolled(clients[0])
        for server in clients:
            for number in range(5):
                assert first(Client(server.address), number) == f"s{number}"
        Client(clients[1].address).erase_subject("g", "s3")
        assert all(first(Client(server.address), 3) != "s3" for server in clients)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"uri": ""}, "milvus.uri"),
        ({"uri": "milvus.db"}, "milvus.uri"),
        ({"uri": "https://[::1"}, "milvus.uri"),
        ({"uri": "https://milvus.example.org:99999"}, "milvus.uri"),
        ({"uri": "https://milvus.example.org:0"}, "milvus.uri"),
        ({"uri": "https://root:secret@milvus.example.org"}, "milvus.uri"),
        ({"uri": "http://milvus.example.org:19530"}, "milvus.uri"),
        ({"token": "root:secret"}, "milvus.token"),
        ({"ca": "/nowhere.pem"}, "milvus.ca"),
        ({"collection_prefix": "a-b"}, "milvus.collection_prefix"),
    ],
)
def test_settings_that_are_unsafe_or_wrong_are_refused(wrong: dict[str, str], key: str) -> None:
    config = config_from(milvus("https://milvus.example.org:19530") | {"milvus": {"uri": "https://a:1", **wrong}})
    with pytest.raises(ConfigInvalid) as refused:
        milvus_of(config)
    assert refused.value.metadata["key"] == key
    assert "secret" not in str(refused.value)


def test_settings_reach_the_index(tmp_path: Path) -> None:
    token, ca = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("root:secret\n")
    token.chmod(0o600)
    ca.touch()
    found = milvus_of(config_from(milvus("https://a:1", token=f"file:{token}", ca=str(ca), index="HNSW")))
    assert found is not None
    assert (found.token, found.ca, found.kind) == ("root:secret", str(ca), "HNSW")
    assert "secret" not in repr(found)
    assert milvus_of(config_from({})) is None


def test_no_client_of_milvus_is_loaded_without_the_setting() -> None:
    asked = "import sys, fr_server.main; print(*sorted({'pymilvus', 'pandas'} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ""
