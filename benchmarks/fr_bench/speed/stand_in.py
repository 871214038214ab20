"""Stands in for InsightFace Server where that cannot be had: its REST before InsightFace's own pipeline.

The answer has its fields but for the quality of the face, which the stand-in does not compute, and it names the model
only. As in the server's defaults, the detector sees a photo at 96 and at 512 pixels, four photos are in work at once,
every face is embedded, and the largest one is in the answer.
"""

from __future__ import annotations

import io
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from fr_bench.speed.child import Child, answer_requests
from fr_bench.speed.peer import SERVER_SIZES, face_analysis, model_files
from fr_core.packs.manifest import Pack

EMBEDDINGS, HEALTH = "/v1/embeddings", "/v1/health"

# The answer to a photo in which it finds no face: status 422, as for a photo that it cannot read.
NO_FACE = "face_not_found"

# inference.max_concurrency of its server/config/server.toml, "auto" on a processor.
_AT_ONCE = 4


@contextmanager
def stand_in(pack: Pack) -> Iterator[tuple[str, int]]:
    """Run the server in a process of its own, on a free port; yield its address and pid. Raises as `model_files`."""
    with Child("the stand-in", run_stand_in, pack.name, model_files(pack)) as child:
        yield f"http://127.0.0.1:{child.ask('port')}", child.pid


def run_stand_in(connection: Connection, name: str, files: tuple[Path, ...]) -> None:
    """The process of the server."""
    with face_analysis(name, files, SERVER_SIZES) as app:
        server = _Server(("127.0.0.1", 0), _Handler)
        server.app, server.model, server.slots = app, name, threading.Semaphore(_AT_ONCE)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answer_requests(connection, lambda _: server.server_port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    app: Any
    model: str
    slots: threading.Semaphore


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    server: _Server

    def do_GET(self) -> None:
        if self.path == HEALTH:
            return self._answer(HTTPStatus.OK, {"status": "ready", "auth_enabled": False})
        return self._refuse(HTTPStatus.NOT_FOUND, "not_found")

    def do_POST(self) -> None:
        begun = time.perf_counter()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != EMBEDDINGS:
            return self._refuse(HTTPStatus.NOT_FOUND, "not_found")
        photo = _image_of(self.headers["Content-Type"] or "", body)
        try:
            pixels = _decoded(photo)
        except (OSError, ValueError):
            return self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_image")
        with self.server.slots:
            faces = self.server.app.get(pixels)
        if not faces:
            return self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, NO_FACE)
        found = max(faces, key=lambda face: float(np.prod(face.bbox[2:] - face.bbox[:2])))
        told = {"faces": [_told(found, pixels.shape[1], pixels.shape[0])], "model": {"model_id": self.server.model}}
        return self._answer(HTTPStatus.OK, {**told, "processing_ms": (time.perf_counter() - begun) * 1e3})

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        self._answer(status, {"error": {"code": code, "message": status.phrase, "details": {}}})

    def _answer(self, status: HTTPStatus, told: dict[str, Any]) -> None:
        body = json.dumps({**told, "request_id": str(uuid.uuid4())}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _image_of(content_type: str, body: bytes) -> bytes:
    """The field `image` of a form; empty where it has none."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    parts = body.split(b"--" + found[1].encode()) if found else []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="image"' in head:
            return content.removesuffix(b"\r\n")
    return b""


def _decoded(photo: bytes) -> Any:
    """Pixels u8[H, W, 3], BGR, upright; raises `OSError` or `ValueError`. The server decodes with Pillow too."""
    with PIL.Image.open(io.BytesIO(photo)) as image:
        upright = PIL.ImageOps.exif_transpose(image).convert("RGB")
    return cv2.cvtColor(np.asarray(upright), cv2.COLOR_RGB2BGR)


def _told(face: Any, width: int, height: int) -> dict[str, Any]:
    left, top, right, bottom = (round(float(value)) for value in np.clip(face.bbox, 0, [width, height] * 2))
    shape = {
        "left": left / width,
        "top": top / height,
        "width": (right - left) / width,
        "height": (bottom - top) / height,
    }
    return {
        "bbox": {"pixels": {"x": left, "y": top, "width": right - left, "height": bottom - top}, "normalized": shape},
        "landmarks": [[round(float(x), 3), round(float(y), 3)] for x, y in face.kps],
        "detection_score": float(face.det_score),
        "embedding": [round(float(value), 8) for value in face.normed_embedding],
    }
