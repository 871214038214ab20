"""Changing galleries and subjects over the wire: the calls, both clients, the commands, and the way of a front-end."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import gallery_pb2
from fr_client import KEEP, AsyncClient, Client, Exported, FrApiError
from fr_client.cli.show import when
from fr_core.errors import GalleryExpired
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import GalleryUpdate, SubjectUpdate
from fr_server.workers.link_client import remote_galleries
from fr_server.workers.messages import GALLERY_METHODS, Wire
from support.servers import Fr, Running, ended, photo

END = datetime(2099, 1, 2, tzinfo=UTC)


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    """Of a server with one subject in a gallery that ends, deletes its templates, and keeps photos."""
    with Client(server.address, timeout_s=20) as made:
        made.create_gallery("g", display_name="A", expires=END, retention=timedelta(days=7), keeps_photos=True)
        made.enrol("g", "s", photo(1), display_name="Jane Roe", metadata={"list": "wanted"})
        yield made


# --- the calls ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("client")
def test_only_what_the_mask_names_is_changed_whatever_else_is_sent(server: Running) -> None:
    request = gallery_pb2.UpdateGalleryRequest(
        gallery_id="g", display_name="B", update_mask=FieldMask(paths=["display_name", "display_name"])
    )
    changed = server.gallery.UpdateGallery(request).gallery
    assert (changed.display_name, changed.expire_time.ToDatetime(UTC), changed.version) == ("B", END, 3)
    assert changed.retention.ToTimedelta() == timedelta(days=7)
    request = gallery_pb2.UpdateGalleryRequest(
        gallery_id="g", display_name="C", update_mask=FieldMask(paths=["expire_time", "retention"])
    )
    changed = server.gallery.UpdateGallery(request).gallery
    assert (changed.display_name, changed.keeps_photos, changed.version) == ("B", True, 4)
    assert not changed.HasField("expire_time")
    assert not changed.HasField("retention")
    assert server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="g")).gallery == changed


@pytest.mark.usefixtures("client")
def test_a_subject_is_changed_and_told_as_it_is_now(server: Running) -> None:
    request = gallery_pb2.UpdateSubjectRequest(
        gallery_id="g", subject_id="s", metadata={"list": "staff"}, update_mask=FieldMask(paths=["metadata"])
    )
    changed = server.gallery.UpdateSubject(request)
    assert (changed.subject.display_name, dict(changed.subject.metadata)) == ("Jane Roe", {"list": "staff"})
    assert len(changed.subject.templates) == 1
    search = gallery_pb2.SearchRequest(gallery_id="g", filter=gallery_pb2.SubjectFilter(metadata={"list": "staff"}))
    search.probe.image.data = photo(1)
    found = server.gallery.Search(search)
    assert found.gallery_version == changed.gallery_version
    assert dict(found.results[0].candidates[0].metadata) == {"list": "staff"}


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("mask", [[], ["model"], ["display_name", "Jane Roe"]])
def test_a_refusal_says_what_can_change_and_repeats_nothing(server: Running, mask: list[str]) -> None:
    request = gallery_pb2.UpdateGalleryRequest(gallery_id="g", update_mask=FieldMask(paths=mask))
    with pytest.raises(grpc.RpcError) as refused:
        server.gallery.UpdateGallery(request)
    told = ended(refused.value)
    assert (told.info.reason, dict(told.info.metadata)) == ("INVALID_FIELD", {"field": "update_mask"})
    assert "`display_name`, `expire_time` and `retention` can change." in told.status.message
    assert b"Jane" not in told.status.SerializeToString()


# --- both clients -------------------------------------------------------------------------------------------


def test_the_synchronous_client_keeps_what_is_not_given(client: Client, tmp_path: Path) -> None:
    changed = client.update_gallery("g", retention=timedelta(days=1))
    assert (changed.display_name, changed.expire_time.ToDatetime(UTC)) == ("A", END)
    assert changed.retention.ToTimedelta() == timedelta(days=1)
    changed = client.update_gallery("g", display_name="", expires=None, retention=None)
    assert (changed.display_name, changed.HasField("expire_time"), changed.HasField("retention")) == ("", False, False)
    assert client.update_gallery("g", expires=END).expire_time.ToDatetime(UTC) == END
    with pytest.raises(FrApiError, match="names no field") as refused:
        client.update_gallery("g", expires=KEEP)
    assert refused.value.reason == "INVALID_FIELD"
    with pytest.raises(ValueError, match="time zone"):
        client.update_gallery("g", expires=datetime(2099, 1, 1))

    assert dict(client.update_subject("g", "s", display_name="Mary").metadata) == {"list": "wanted"}
    subject = client.update_subject("g", "s", metadata={})
    assert (subject.display_name, dict(subject.metadata)) == ("Mary", {})
    assert client.get_subject("g", "s") == subject

    assert client.export_subject("g", "s", tmp_path / "s.zip") == Exported(templates=1, photos=1)
    with pytest.raises(FileExistsError):
        client.export_subject("g", "s", tmp_path / "s.zip")
    with pytest.raises(FrApiError):
        client.export_subject("g", "nobody", tmp_path / "n.zip")
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".zip", ".part")] == ["s.zip"]


def test_the_asynchronous_client_does_the_same(client: Client, tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncClient(client.target, timeout_s=20) as other:
            assert (await other.update_gallery("g", display_name="B")).display_name == "B"
            assert not (await other.update_gallery("g", expires=None)).HasField("expire_time")
            subject = await other.update_subject("g", "s", metadata={"a": "b"})
            assert (subject.display_name, dict(subject.metadata)) == ("Jane Roe", {"a": "b"})
            assert await other.export_subject("g", "s", tmp_path / "async.zip") == Exported(1, 1)
            with pytest.raises(FileExistsError):
                await other.export_subject("g", "s", tmp_path / "async.zip")

    asyncio.run(run())
    client.export_subject("g", "s", tmp_path / "sync.zip")
    assert contents(tmp_path / "async.zip") == contents(tmp_path / "sync.zip")


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as held:
        return {name: held.read(name) for name in held.namelist()}


def test_an_export_that_is_cancelled_leaves_nothing(client: Client, tmp_path: Path) -> None:
    client.enrol("g", "s", photo(2))

    async def run() -> None:
        async with AsyncClient(client.target, timeout_s=20) as other:
            asked = asyncio.Event()
            read = other.get_template

            async def slow(gallery_id: str, template_id: int, **more: Any) -> gallery_pb2.GetTemplateResponse:
                asked.set()
                await asyncio.sleep(0.05)
                return await read(gallery_id, template_id, **more)

            other.get_template = slow  # type: ignore[method-assign]
            export = asyncio.create_task(other.export_subject("g", "s", tmp_path / "s.zip"))
            await asked.wait()
            export.cancel()
            with pytest.raises(asyncio.CancelledError):
                await export
            await asyncio.sleep(0.3)

    asyncio.run(run())
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".zip", ".part")]


# --- the commands -------------------------------------------------------------------------------------------


def test_a_gallery_is_changed_by_its_command(fr: Fr, client: Client) -> None:
    code, out, error = fr("gallery", "update", "g", "--name", "B", "--retention-days", "1.5")
    assert code == 0, error
    assert ["B"] in [line.split()[1:] for line in out.splitlines() if line.startswith("Name")]
    assert "1.5 days" in out
    assert "2099-01-02T00:00:00Z" in out
    code, out, _ = fr("gallery", "update", "g", "--no-expiry", "--no-retention", "--json")
    assert code == 0
    assert {"expire_time", "retention"}.isdisjoint(json.loads(out))
    assert client.get_gallery("g").display_name == "B"
    assert fr("gallery", "update", "g", "--expires", "2098-01-01")[0] == 0
    assert client.get_gallery("g").expire_time.ToDatetime() == datetime(2098, 1, 1)
    before = client.get_gallery("g")
    for wrong in (
        (),
        ("--expires", "2099-01-01", "--no-expiry"),
        ("--retention-days", "1", "--no-retention"),
        ("--retention-days", "0"),
        ("--expires", "soon"),
    ):
        assert fr("gallery", "update", "g", *wrong)[0] == 2, wrong
    code, _, error = fr("gallery", "update", "g", "--expires", "2001-01-01")
    assert (code, error.partition(":")[0]) == (1, "INVALID_FIELD")
    assert fr("gallery", "update", "nowhere", "--name", "x")[0] == 1
    assert client.get_gallery("g") == before


def test_a_subject_is_changed_by_its_command(fr: Fr, client: Client) -> None:
    code, out, error = fr("subject", "update", "g", "s", "--metadata", "unit=maths", "--metadata", "note=a=b")
    assert code == 0, error
    assert "maths" in out
    subject = client.get_subject("g", "s")
    assert (subject.display_name, dict(subject.metadata)) == ("Jane Roe", {"unit": "maths", "note": "a=b"})
    code, out, _ = fr("subject", "update", "g", "s", "--name", "", "--no-metadata", "--json")
    assert code == 0
    assert (json.loads(out)["display_name"], json.loads(out)["metadata"]) == ("", {})
    before = client.get_subject("g", "s")
    for wrong in (
        (),
        ("--metadata", "unit"),
        ("--metadata", "a=1", "--metadata", "a=2"),
        ("--metadata", "a=1", "--no-metadata"),
    ):
        assert fr("subject", "update", "g", "s", *wrong)[0] == 2, wrong
    assert fr("subject", "update", "g", "nobody", "--name", "x")[0] == 1
    assert client.get_subject("g", "s") == before


def test_the_list_tells_ends_and_retentions_where_there_are_any(fr: Fr, client: Client) -> None:
    def listed() -> dict[str, list[str]]:
        """The words of each line, by the first of them."""
        return {line.split()[0]: line.split() for line in fr("gallery", "list")[1].splitlines() if line.strip()}

    client.create_gallery("plain")
    assert listed()["Gallery"][-2:] == ["Expires", "Retention"]
    assert listed()["g"][-3:] == ["2099-01-02T00:00:00Z", "7", "days"]
    assert listed()["plain"][-1] == when(client.get_gallery("plain").create_time)
    client.update_gallery("g", retention=None)
    assert listed()["Gallery"][-1] == "Expires"
    client.update_gallery("g", expires=None)
    assert listed()["Gallery"][-1] == "Created"


def test_an_archive_that_cannot_be_written_is_told_in_a_sentence(fr: Fr, client: Client, tmp_path: Path) -> None:
    assert client.target
    for target, reason in ((tmp_path / "no" / "s.zip", "FILE_UNWRITABLE"), (tmp_path, "FILE_EXISTS")):
        code, out, _ = fr("subject", "export", "g", "s", target, "--json")
        assert (code, json.loads(out)["error"]["reason"]) == (1, reason)


# --- front-ends ---------------------------------------------------------------------------------------------


class Piped:
    """Asks galleries as a front-end does: what is asked and answered travels between two ends of a wire."""

    def __init__(self, galleries: Galleries) -> None:
        self._galleries = galleries
        self._near, self._far = (Wire(end) for end in multiprocessing.Pipe())

    def gallery(self, method: str, *arguments: object) -> Any:
        assert method in GALLERY_METHODS
        self._near.send(arguments)
        self._far.send(getattr(self._galleries, method)(*self._far.receive()))
        return self._near.receive()

    def close(self) -> None:
        self._near.close()
        self._far.close()


@pytest.mark.usefixtures("client")
def test_a_front_end_changes_what_the_engine_holds(server: Running) -> None:
    galleries = server.app.galleries
    assert isinstance(galleries, Galleries)
    piped = Piped(galleries)
    remote = remote_galleries(piped)  # type: ignore[arg-type]
    try:
        changed = remote.update("g", GalleryUpdate(expires=None))
        assert changed == galleries.get("g")
        assert (changed.display_name, changed.expires, changed.retention) == ("A", None, timedelta(days=7))
        updated = remote.update_subject("g", "s", SubjectUpdate(metadata={"a": "b"}))
        assert updated.subject == galleries.subject("g", "s")
        assert (updated.subject.display_name, dict(updated.subject.metadata)) == ("Jane Roe", {"a": "b"})
    finally:
        piped.close()


def test_an_expired_gallery_is_opened_again_over_the_wire(client: Client) -> None:
    client.update_gallery("g", expires=datetime.now(UTC) + timedelta(seconds=2))
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    reason = ""
    while not reason and datetime.now(UTC) < deadline:
        try:
            client.search("g", photo(1))
        except FrApiError as error:
            reason = error.reason
    assert reason == GalleryExpired.reason
    client.update_gallery("g", expires=END)
    assert client.search("g", photo(1)).results[0].candidates[0].subject_id == "s"
