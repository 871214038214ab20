"""Texts, files and requests from other people are read within limits that nothing evades; what interceptors refuse."""

import asyncio
import csv
import json
import math
import os
import time
import tomllib
import tracemalloc
import unicodedata
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf import duration_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import given
from hypothesis.strategies import binary

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.errors import FrError, InvalidField, InvalidFilter, InvalidPage, InvalidThreshold, InvalidTopK
from fr_core.gallery.query import MAX_FILTER_SUBJECTS
from fr_core.gallery.values import KEEP
from fr_core.id_forms import MAX_COMPOSED, composed, forms_of
from fr_files.reading import (
    MAX_DEPTH,
    MAX_KEY_PARTS,
    MAX_LINE,
    MAX_MARKS,
    MAX_WORD,
    TextRefused,
    bounded_lines,
    open_regular,
    open_rows,
    read_json,
    read_toml,
    read_whole,
)
from fr_locales.messages import message
from fr_locales.rendering import render
from fr_server.rpc.convert.calibration import criterion
from fr_server.rpc.convert.gallery import page_size, retention, similar_threshold, subject_filter, top_k
from fr_server.rpc.convert.gallery_updates import subject_update
from fr_server.rpc.interceptors import streams
from fr_server.rpc.interceptors.boundary import lasting
from fr_server.rpc.interceptors.sizes import MOST_BYTES, MOST_FIELDS, fields_left, request_of
from fr_server.rpc.interceptors.streams import Streams
from fr_server.rpc.interceptors.wrapping import Context
from fr_trust.errors import CredentialInvalid
from support.callers import METHODS

MOST = 100_000
DOTTED = ".".join("k" * (MAX_KEY_PARTS + 1)) + " = 1"

# Ways to write what the bounds are not about, after which a dotted key that is too long must still be seen.
BEFORE = (
    's = "a.b.c.d.e.f.g.h.i # [[[["',
    "s = 'a.b.c.d.e.f.g.h.i'",
    's = """a.b.c.d.e.f.g.h.i\n"quoted" ""twice"" \\""" \\\\"""',
    's = """ends with one"""" # and a comment',
    's = """ends with two"""""',
    "s = '''a.b.c.d.e.f.g.h.i\n'one' ''two'''''",
    "s = ''''one'''",
    's = "\\"" # "',
    's = "\\\\"',
    '# \'\'\' """ "',
    '"a.b.c.d.e.f.g.h.i" = 1',
    "'a.b.c.d.e.f.g.h.i' = 1",
    '"" = 1',
    "'' = 1",
    's = ["""a""", \'b\', "c"]',
    's = {a = "}", b = 1}',
    "d = 1979-05-27T07:32:00.5-07:00",
)


@pytest.mark.parametrize("before", BEFORE)
def test_no_dotted_key_hides_behind_a_string_or_a_comment(before: str) -> None:
    assert read_toml(before, MOST) == tomllib.loads(before)
    tomllib.loads(f"{before}\n{DOTTED}")
    with pytest.raises(TextRefused, match=f"a key has more than {MAX_KEY_PARTS} parts"):
        read_toml(f"{before}\n{DOTTED}", MOST)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (DOTTED, "a key has more than"),
        (DOTTED.replace(".", " . "), "a key has more than"),
        (DOTTED.replace("k", '"k"'), "a key has more than"),
        (f"[{DOTTED[:-4]}]", "a key has more than"),
        (f"[[{DOTTED[:-4]}]]", "a key has more than"),
        (f"a = {{{DOTTED}}}", "a key has more than"),
        ("a = " + "[" * (MAX_DEPTH + 1), "nested deeper"),
        ("a = " + "{b = " * (MAX_DEPTH + 1), "nested deeper"),
        ("a = 0x" + "f" * MAX_WORD, "more than 200 characters"),
        ("a" * (MAX_WORD + 1) + " = 1", "more than 200 characters"),
        ("a = [" + "1, " * MAX_MARKS + "]", "more than 10,000 keys and values"),
        ("[a]\n" * MAX_MARKS + "b = 1", "more than 10,000 keys and values"),
        ("#" * (MOST + 1), "it has more than 100,000 bytes"),
        ("é" * (MOST // 2 + 1), "it has more than 100,000 bytes"),
        ("a = ", "Invalid value"),
        ("'" + "a" * 50_000 + "' = 1\n" + "'" + "a" * 49_000 + "' = ", "Invalid value|more than"),
    ],
)
def test_toml_beyond_the_bounds_is_refused(text: str, says: str) -> None:
    with pytest.raises(TextRefused, match=says) as refused:
        read_toml(text, MOST)
    assert len(str(refused.value)) <= 200


def test_toml_of_the_repository_is_read_as_python_reads_it() -> None:
    folders = Path(__file__).resolve().parents[2].glob("[a-z]*")  # not what other tests write beside them
    found = [path for folder in folders for path in folder.rglob("*.toml")]
    assert len(found) > 20
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert read_toml(text, MOST) == tomllib.loads(text), path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a":' * (MAX_DEPTH + 1), "nested deeper"),
        (b'["\\"", "]", ' + b"[" * MAX_DEPTH, "nested deeper"),
        (b" " * (MOST + 1), "it has more than 100,000 bytes"),
        (b"[1,1,1,1]", "more than 3 values"),
        (b'"' * MOST, "more than 2,001 strings"),
    ],
)
def test_json_is_bounded_before_it_is_parsed(text: bytes, says: str) -> None:
    with pytest.raises(TextRefused, match=says):
        read_json(text, MOST, most_values=3 if "values" in says else 1_000)
    for within in (b'{"a":[1,2]}', b'["[[[[[[[,,,,,,,{{{{"]'):
        assert read_json(within, MOST, most_values=3) == json.loads(within)


def test_json_that_is_none_is_told_as_python_tells_it() -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(b"{", MOST)
    with pytest.raises(UnicodeDecodeError):
        read_json(b"\xff", MOST)
    with pytest.raises(ValueError, match="hook"):
        read_json(b"[NaN]", MOST, parse_constant=lambda name: (_ for _ in ()).throw(ValueError("hook")))


def test_only_regular_files_are_read_and_no_more_of_them_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"12345")
    link.symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(odd)
    with open_regular(link) as opened:
        assert opened.read() == b"12345"
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(link, follow=False)
    assert read_whole(file, 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_whole(file, 4)
    monkeypatch.delattr(os, "O_NONBLOCK")  # as on systems with fewer flags
    monkeypatch.delattr(os, "O_CLOEXEC")
    assert read_whole(file, 5) == b"12345"
    file.write_text("a,b\r\n1,2\r\n", encoding="utf-8-sig")
    with open_rows(file) as rows:
        assert list(rows) == [["a", "b"], ["1", "2"]]
    file.write_text("a\n" + "b" * (MAX_LINE + 1))
    with file.open() as lines, pytest.raises(csv.Error, match="a line has more than"):
        list(bounded_lines(lines))


def test_an_id_has_one_form() -> None:
    nfc, nfd = unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "Zoë")
    assert composed(nfd) == composed(nfc) == nfc != nfd
    assert (forms_of(nfd), forms_of(nfc), forms_of("Ann")) == ((nfd, nfc), (nfc, nfd), ("Ann",))
    for endless in ("a" + "\u0323\u0301" * MAX_COMPOSED, "a" + "\u0301\u0323" * 16):
        assert (composed(endless), forms_of(endless)) == (endless, (endless,))


def test_every_call_of_the_api_has_a_length_and_those_with_photos_that_of_any_message() -> None:
    sizes = {method.removeprefix("/fr_api.v1."): request_of(method).most_bytes for method in METHODS}
    with_photos = {
        "GalleryService": "Enrol Search StreamEnrol StreamEnrolEmbeddings StreamSearch",
        "RecognitionService": "BatchEmbed Compare Detect Embed StreamEmbed",
        "ReviewService": "SearchInCase",
        "TrainingService": "SubmitProbe",
        "VideoService": "AnalyzeVideo SearchTracks",
    }
    expected = {f"{service}/{method}" for service, methods in with_photos.items() for method in methods.split()}
    assert {method for method, size in sizes.items() if size is None} == expected
    assert sizes["TrainingService/LockNotes"] == MOST_BYTES
    assert sizes["TrainingService/SubmitDecision"] == MOST_BYTES
    assert all(size is None or MOST_BYTES <= size <= 8 * 2**20 for size in sizes.values())


def counted(message: Message) -> int:
    """The fields of a message and of those in it, by protobuf's own reading."""
    number = 0
    for field, value in message.ListFields():
        values = [value[key] for key in value] if isinstance(value, Mapping) else value
        many = list(values) if field.is_repeated else [value]
        within = field.message_type is not None and field.message_type.GetOptions().map_entry
        number += len(many) + (2 * len(many) if within else 0)
        number += sum(counted(one) for one in many if isinstance(one, Message))
    return number


def test_fields_are_counted_as_protobuf_reads_them() -> None:
    subject = gallery_pb2.EmbeddingSubject(subject_id="s", display_name="S", metadata={"a": "b", "c": "d"})
    enrol = gallery_pb2.EnrolEmbeddingsRequest(gallery_id="g", vectors=bytes(999), subjects=[subject] * 40)
    request = gallery_pb2.StreamEnrolEmbeddingsRequest(item_id="i", enrol=enrol)
    data = request.SerializeToString()
    assert fields_left(data, request.DESCRIPTOR, 1000) == 1000 - counted(request) == 1000 - 4 - 40 * 9
    assert fields_left(data, request.DESCRIPTOR, counted(request)) == 0
    assert fields_left(data, request.DESCRIPTOR, counted(request) - 1) < 0


@given(binary(max_size=300))
def test_what_cannot_be_read_is_gone_through_all_the_same(data: bytes) -> None:
    assert fields_left(data, gallery_pb2.StreamEnrolEmbeddingsRequest.DESCRIPTOR, 10_000) >= -1


def test_odd_fields_and_tags_are_counted_and_requests_of_many_empty_messages_not_read() -> None:
    detect = request_of("/fr_api.v1.RecognitionService/Detect")
    photo = recognition_pb2.DetectRequest(image=common_pb2.Image(data=bytes(99))).SerializeToString()
    assert detect.takes(photo + b"\xf8\x01\x01" * 90)  # number 31, a varint
    assert not detect.takes(photo + b"\xf8\x01\x01" * 100)
    assert not detect.takes(photo + b"\xf8\x81\x80\x80\x00\x01")
    assert not detect.takes(photo + b"\x0a\x00" * MOST_FIELDS)
    enrol = request_of("/fr_api.v1.GalleryService/StreamEnrolEmbeddings")
    metadata = {str(number): "x" for number in range(16)}
    full = [gallery_pb2.EmbeddingSubject(subject_id=str(n), display_name="x", metadata=metadata) for n in range(1000)]
    for subjects, vectors, taken in (
        ([gallery_pb2.EmbeddingSubject()] * 60_001, b"", False),
        (full, bytes(1000 * 2048), True),
    ):
        rows = gallery_pb2.EnrolEmbeddingsRequest(subjects=subjects, vectors=vectors)
        assert enrol.takes(gallery_pb2.StreamEnrolEmbeddingsRequest(enrol=rows).SerializeToString()) is taken
    search = request_of("/fr_api.v1.GalleryService/Search")
    for number, taken in ((MAX_FILTER_SUBJECTS, True), (120_001, False)):
        sent = gallery_pb2.SearchRequest(filter=gallery_pb2.SubjectFilter(subject_ids=[""] * number))
        assert search.takes(sent.SerializeToString()) is taken


@pytest.mark.parametrize("method", ["Search", "StreamEnrolEmbeddings", "SearchInCase", "Enrol", "Detect"])
def test_what_is_too_much_is_told_soon(method: str) -> None:
    service = {"SearchInCase": "Review", "Detect": "Recognition"}.get(method, "Gallery")
    of = request_of(f"/fr_api.v1.{service}Service/{method}")
    for bad in (b"\xfa\x01\x00", b"\xf8\x01" + b"\xff" * 9 + b"\x01", b"\x0a\x00"):
        data = bad * (2**20)
        began = time.thread_time()
        assert not of.takes(data)
        assert time.thread_time() - began < 0.2


def test_a_look_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.01)
    looks = iter((OSError("secret"), CredentialInvalid("The credential is not valid.")))

    async def look() -> None:
        raise next(looks)

    async def tell(error: FrError) -> None:
        raise AssertionError("the block itself was told")

    async def wait() -> None:
        async with Streams().one(look, tell):
            await asyncio.sleep(5)

    with pytest.raises(CredentialInvalid):
        asyncio.run(wait())
    assert "could not be checked: OSError" in caplog.text
    assert "secret" not in caplog.text


class OfGrpc:
    """As gRPC's, which would end the process once the call is over."""

    def __init__(self) -> None:
        self.over = False
        self.aborted: list[grpc.StatusCode] = []

    def _require_call(self) -> None:
        assert not self.over, "the process has ended"

    def peer(self) -> str:
        self._require_call()
        return "unix:/somewhere"

    async def read(self) -> Any:
        self._require_call()
        return b"a request"

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        self._require_call()
        self.aborted.append(code)

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-request-id", "1"),)


def test_a_context_is_that_of_grpc_until_its_call_is_over_and_harmless_then() -> None:
    async def scenario() -> None:
        grpcs = OfGrpc()

        async def call() -> Context:
            context = lasting(cast("Context", grpcs))
            assert (context.peer(), await context.read()) == ("unix:/somewhere", b"a request")
            await context.abort(grpc.StatusCode.CANCELLED, "")
            return context

        context = await asyncio.create_task(call())
        grpcs.over = True
        assert (context.peer(), await context.read()) == ("unix:/somewhere", grpc.aio.EOF)
        with pytest.raises(grpc.aio.UsageError):
            await context.abort(grpc.StatusCode.INTERNAL, "")
        assert context.trailing_metadata() == (("x-request-id", "1"),)
        assert grpcs.aborted == [grpc.StatusCode.CANCELLED]
        with pytest.raises(AssertionError, match="has ended"):  # the control
            grpcs.peer()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(1, -1), (-1, 1), (1, 2**31 - 1), (0, 10**9), (0, -(2**31)), (2**63 - 1, 0)]
)
def test_a_duration_that_is_none_is_no_retention(seconds: int, nanos: int) -> None:
    sent = duration_pb2.Duration(seconds=seconds, nanos=nanos)
    with pytest.raises(InvalidField) as refused:
        retention(gallery_pb2.CreateGalleryRequest(retention=sent))
    assert refused.value.metadata == {"field": "retention"}


@pytest.mark.parametrize("expected", [timedelta(0, 1, 999_999), timedelta(0, -1, -5), timedelta(0, 0, 7), timedelta(9)])
def test_a_duration_is_read(expected: timedelta) -> None:
    sent = duration_pb2.Duration()
    sent.FromTimedelta(expected)
    assert retention(gallery_pb2.CreateGalleryRequest(retention=sent)) == expected


def test_too_many_subjects_of_a_filter_are_refused_before_they_are_copied() -> None:
    ids = [""] * 1_000_000
    request = gallery_pb2.SearchRequest(filter=gallery_pb2.SubjectFilter(subject_ids=ids))
    render(message("list.separator"))  # a process parses the catalogue for its first sentence
    tracemalloc.start()
    try:
        with pytest.raises(InvalidFilter, match=str(MAX_FILTER_SUBJECTS)):
            subject_filter(request)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_metadata_that_the_mask_does_not_name_are_not_looked_at() -> None:
    request = gallery_pb2.UpdateSubjectRequest(
        metadata={str(number): "" for number in range(33)}, update_mask=FieldMask(paths=["display_name"])
    )
    assert subject_update(request).metadata is KEEP
    request.update_mask.paths.append("metadata")
    with pytest.raises(InvalidField) as refused:
        subject_update(request)
    assert refused.value.metadata == {"field": "metadata", "limit": "32"}


@pytest.mark.parametrize(
    ("read", "request_", "refusal", "metadata"),
    [
        (top_k, gallery_pb2.SearchRequest(top_k=0), InvalidTopK, ("top_k", "1000")),
        (top_k, gallery_pb2.SearchRequest(top_k=1001), InvalidTopK, ("top_k", "1000")),
        (page_size, gallery_pb2.ListGalleriesRequest(page_size=0), InvalidPage, ("page_size", "1000")),
        (criterion, gallery_pb2.SearchRequest(threshold=math.nan), InvalidThreshold, ("threshold",)),
        (similar_threshold, gallery_pb2.EnrolRequest(similar_threshold=1.5), InvalidThreshold, ("similar_threshold",)),
    ],
)
def test_a_number_out_of_range_is_refused_by_the_name_of_its_field(
    read: Callable[[Message], object], request_: Message, refusal: type[FrError], metadata: tuple[str, ...]
) -> None:
    with pytest.raises(refusal) as refused:
        read(request_)
    assert refused.value.metadata == dict(zip(("field", "limit"), metadata, strict=False))
