"""InsightFace Server as `fr bench serve` calls it, against a server that answers as its documentation says."""

import email
import email.policy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_bench.bench_cli import bench
from fr_bench.speed.child import BenchFailed
from fr_bench.speed.generator import Closed
from fr_bench.speed.rest_peer import RestOrder, opened_rest_peer, read_key

KEY = "a key"
FACE, EMPTY, BROKEN = b"a face\r\n--, or its bytes\x00", b"nobody", b"no photo"


@dataclass
class Answering:
    url: str
    crowd: threading.Barrier | None = None  # calls wait at it for each other


@contextmanager
def answering() -> Iterator[Answering]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.tell(200, {"status": "ready", "version": "0.2.0", "auth_enabled": True})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != f"Bearer {KEY}":
                return self.tell(401, {"error": {"code": "unauthorized", "message": "m", "details": {}}})
            said = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body
            (part,) = email.message_from_bytes(said, policy=email.policy.HTTP).iter_parts()
            assert part.get_param("name", header="content-disposition") == "image"
            assert part.get_filename()
            photo = part.get_payload(decode=True)
            if state.crowd is not None:
                state.crowd.wait(20)
            if photo == FACE:
                box = {"pixels": {"x": 10, "y": 20, "width": 30, "height": 40}, "normalized": {}}
                return self.tell(200, {"faces": [{"bbox": box, "embedding": [0.6, 0.8]}], "processing_ms": 1.0})
            code = "face_not_found" if photo == EMPTY else "invalid_image"
            return self.tell(422, {"error": {"code": code, "message": "m", "details": {}}})

        def tell(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps({**content, "request_id": "r"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state = Answering(f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def test_photos_are_sent_as_forms_so_many_at_once() -> None:
    with answering() as server:
        order = RestOrder(server.url, KEY, 7)
        with opened_rest_peer(order, "buffalo_s", (FACE, EMPTY), Closed((0, 1, 0, 0), 4, 20.0)) as peer:
            assert peer is not None
            assert (peer.name, peer.pid) == ("peer (REST, 4 at once)", 7)
            assert peer.faces[0].boxes.tolist() == [[10, 20, 40, 60]]
            assert peer.faces[0].embeddings is not None
            assert np.allclose(peer.faces[0].embeddings, [[0.6, 0.8]])
            assert (peer.faces[1].boxes.shape, peer.faces[1].embeddings) == ((0, 4), None)
            server.crowd = threading.Barrier(4)  # none is answered before all four are there
            done = peer.run(0)
            assert (done.photos, done.faces) == (4, 3)
    assert KEY not in repr(order)


def test_a_refusal_is_no_measurement() -> None:
    with answering() as server:
        for key, photo, told in (("", FACE, r"401 \(unauthorized\)"), (KEY, BROKEN, r"422 \(invalid_image\)")):
            order = RestOrder(server.url, key)
            with (
                pytest.raises(BenchFailed, match=told),
                opened_rest_peer(order, "buffalo_s", (photo,), Closed((0,), 1, 20.0)),
            ):
                pass
        load = Closed((0,), 1, 20.0)
        with opened_rest_peer(RestOrder(server.url, KEY), "buffalo_s", (FACE,), load) as peer:
            assert peer is not None
            server.crowd = threading.Barrier(2)
            server.crowd.abort()  # the server drops the connection
            with pytest.raises(BenchFailed, match=r"Remote|Reset"):
                peer.run(0)
    for url, told in (("ftp://h", "--peer-url takes"), ("http://127.0.0.1:9", "No InsightFace Server answers")):
        with (
            pytest.raises(BenchFailed, match=told),
            opened_rest_peer(RestOrder(url), "buffalo_s", (FACE,), Closed((0,), 1, 20.0)),
        ):
            pass


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert read_key(file) == KEY
    for content in ("", "two\nlines", "clé"):
        file.write_text(content)
        with pytest.raises(BenchFailed, match="one line"):
            read_key(file)
    with pytest.raises(BenchFailed, match="No such file"):
        read_key(tmp_path / "none")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--peer-key", "file"), "--peer-url"),
        (("--peer-pid", "7"), "--peer-url"),
        (("--server-pid", "7"), "--server"),
        (("--secured", "--server", "h:1"), "--secured"),
        (("--peer-url", "stand-in", "--method", "detect"), "--method embed"),
        (("--peer-url", "stand-in", "--mode", "open", "--rate", "5"), "closed"),
    ],
)
def test_options_of_a_peer_that_make_no_sense_are_refused(arguments: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(bench, ["serve", *arguments], env={"COLUMNS": "200"})
    assert (done.exit_code, told in done.output) == (2, True), done.output
