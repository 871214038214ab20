"""Damage of the store that is found while the server runs: what its callers and its log are told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import grpc
import pytest

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from support.servers import Running, ended, photo, running


def enrolment(blue: int) -> gallery_pb2.EnrolRequest:
    face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(blue)))
    return gallery_pb2.EnrolRequest(gallery_id="g", subject_id="Jane", face=face)


def spoil(folder: Path) -> None:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.execute("UPDATE subjects SET display_name = 'Joan'").fetchall()


def require_told(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    subject = gallery_pb2.GetSubjectRequest(gallery_id="g", subject_id="Jane")
    for call in (lambda: server.gallery.GetSubject(subject), lambda: server.gallery.Enrol(enrolment(2))):
        caplog.clear()
        with pytest.raises(grpc.RpcError) as caught:
            call()
        told = ended(caught.value)
        assert (told.code, told.info.reason) == (grpc.StatusCode.DATA_LOSS, "STORE_CORRUPT")
        assert dict(told.info.metadata) == {"check": "subjects"}
        (line,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
        assert "`fr server verify`" in line
        assert "Jane" not in caplog.text + str(caught.value.details())


def test_damage_is_answered_as_such_and_the_log_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path) as server:
        server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="g"))
        server.gallery.Enrol(enrolment(1))
        spoil(tmp_path)
        require_told(server, caplog)
        (answer,) = server.gallery.StreamEnrol(iter([gallery_pb2.StreamEnrolRequest(item_id="1", enrol=enrolment(3))]))
        assert answer.refusal.reason == error_reason_pb2.ERROR_REASON_STORE_CORRUPT
        assert server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="g")).gallery.template_count == 1
