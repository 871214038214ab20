"""The HTTP interface refuses what it cannot take, says why, and repeats nothing of it."""

import gzip
import json
import re
import socket
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import access_pb2, access_pb2_grpc
from fr_trust.access.principal import Role
from support.callers import PROBE, Staffed
from support.servers import running
from support.web import Web, base64_of, form, web, whole_answer

DETECT = "RecognitionService/Detect"
SECRET = "Erika Mustermann"  # what may be the name of a field is repeated
JSON = "application/json"


def post(site: Web, body: Any, kind: str = JSON, call: str = DETECT, **headers: str) -> Any:
    return site.ask("POST", f"/fr_api.v1.{call}", body, Content_Type=kind, **headers)


BODIES = {
    "empty": b"",
    "no JSON": b"{" + SECRET.encode(),
    "a list": b'["%s"]' % SECRET.encode(),
    "an unknown field": b'{"%s": 1}' % SECRET.encode(),
    "an unknown field below": b'{"image": {"%s": 1}}' % SECRET.encode(),
    "another type": b'{"image": "%s"}' % SECRET.encode(),
    "two of a name": b'{"image": {}, "image": {"data": "%s"}}' % SECRET.encode(),
    "no UTF-8": b'{"image": "\xff' + SECRET.encode() + b'"}',
    "half a character": b'{"galleryId": "\\ud800%s"}' % SECRET.encode(),
    "depth": b"[" * 100_000 + SECRET.encode(),
    "depth of a known field": b'{"image":' * 2_000 + b"}" * 2_000,
    "a long number": b'{"image": ' + b"9" * 10_000 + b"}",
    "long numbers": b'{"image": [' + b",".join([b"9" * 10_000] * 100) + b"]}",
    "nothing": b"null",
    "NaN": b'{"image": NaN}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("call", [DETECT, "GalleryService/GetGallery"])
def test_a_body_that_does_not_fit_is_refused_without_an_echo(site: Web, body: bytes, call: str) -> None:
    told = post(site, body, call=call)
    assert (told.status, told.reason) == (400, "INVALID_FIELD"), told.body
    assert SECRET.encode() not in told.body + str(told.headers).encode()
    assert "openapi.json" in told.json["message"] or "cannot" in told.json["message"]


WRONG = {
    "no JSON": (b'{"topK": 1,\n bad', "", ("not JSON", "line 2, column 2")),
    "empty": (b" ", "", ("empty", "{}")),
    "no UTF-8": (b"\xff", "", ("UTF-8",)),
    "two of a name": (b'{"topK": 1, "topK": 2}', "", ("two members",)),
    "a list": (b"[]", "", ("not a JSON object",)),
    "unknown": (b'{"gallery": 1}', "", ("no field gallery.", "Is galleryId meant?")),
    "unknown, long": (b'{"%s": 1}' % (b"a" * 65), "", ("names a field that",)),
    "unknown below": (b'{"probe": {"images": 1}}', "probe", ("no field images.", "field probe")),
    "number": (b'{"topK": "many"}', "topK", ("topK", "whole number")),
    "text": (b'{"galleryId": 1}', "galleryId", ("galleryId", "a text")),
    "bytes": (b'{"probe": {"image": {"data": "a"}}}', "probe.image.data", ("probe.image.data", "base64")),
    "message": (b'{"probe": {"image": "x"}}', "probe.image", ("probe.image", "a JSON object")),
    "enum": (b'{"severalFaces": "ALL"}', "severalFaces", ("SEVERAL_FACES_POLICY_LARGEST",)),
    "list": (b'{"filter": {"subjectIds": "a"}}', "filter.subjectIds", ("a list", "a text")),
    "entry": (b'{"probe": {"embedding": {"vector": [1, "x"]}}}', "probe.embedding.vector", ("a number",)),
    "two names": (b'{"topK": 1, "top_k": 2}', "topK", ("topK", "top_k", "only one")),
    "one of": (b'{"probe": {"image": {}, "embedding": {}}}', "probe.embedding", ("image", "embedding", "only one")),
}
WRONG_FORMS = {
    "unknown": (form(gallery="x"), "", ("no field gallery.", "Is galleryId meant?")),
    "number": (form(top_k="many"), "topK", ("topK", "whole number")),
    "two names": (form(top_k="1", topK="2"), "topK", ("topK", "top_k", "only one")),
    "no UTF-8": ((form(top_k="?")[0].replace(b"?", b"\xff"), form()[1]), "top_k", ("top_k", "UTF-8")),
    "a file for a text": (form(gallery_id=b"x"), "gallery_id", ("part gallery_id", "a file", "a text")),
    "a file for a message": (form(probe__image=b"x"), "probe.image", ("part probe.image", "probe.image.data")),
    "a file for nothing": (form(photo=b"x"), "", ("no field photo.", "probe.image.data")),
    "a file below a text": (form(gallery_id__data=b"x"), "galleryId", ("galleryId", "a text")),
    "a file in an entry": (
        form(filter__subject_ids__1234567=b"x"),
        "filter.subject_ids",
        ("part filter.subject_ids ",),
    ),
}


@pytest.mark.parametrize(("body", "field", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_refusal_says_what_is_wrong_where(site: Web, body: bytes, field: str, words: tuple[str, ...]) -> None:
    told = post(site, body, call="GalleryService/Search")
    assert (told.reason, told.info.metadata["field"]) == ("INVALID_FIELD", field)
    assert [one for one in words if one not in told.json["message"]] == [], told.json["message"]


@pytest.mark.parametrize(("sent", "field", "words"), WRONG_FORMS.values(), ids=WRONG_FORMS.keys())
def test_a_refusal_of_a_form_says_what_is_wrong_where(
    site: Web, sent: tuple[bytes, str], field: str, words: tuple[str, ...]
) -> None:
    told = post(site, *sent, "GalleryService/Search")
    assert (told.reason, told.info.metadata["field"]) == ("INVALID_FIELD", field)
    assert [one for one in words if one not in told.json["message"]] == [], told.json["message"]
    assert "JSON" not in told.json["message"].replace("JSON object", "")


def test_a_refusal_names_a_field_of_the_api(site: Web) -> None:
    told = site.call("GalleryService/Search", {"probe": {"embedding": {"vector": [f"SearchRequest.{SECRET}"]}}})
    assert told.info.metadata["field"] == "probe.embedding.vector"
    assert SECRET.encode() not in told.body


def test_a_body_in_protobuf_that_does_not_fit_is_refused_by_the_server(site: Web) -> None:
    told = post(site, b"\xff\xff\xff", "application/proto")
    assert (told.status, told.reason) == (400, "INVALID_FIELD")


FORMS = {
    "no boundary": (b"", "multipart/form-data"),
    "cut off": (form(a="b")[0][:-6], "multipart/form-data; boundary=a-boundary"),
    "no name": (b"--a-boundary\r\n\r\nx\r\n--a-boundary--", "multipart/form-data; boundary=a-boundary"),
    "no path": form(**{f"{SECRET} of": "x"}),
    "unknown": form(**{SECRET: "x"}),
    "a file for a text": form(gallery_id=b"file"),
    "a file below a text": form(gallery_id__data=b"file"),
    "a text below a file": form(image__data__more="x"),
    "twice": (form(a="x", b="y")[0].replace(b'"b"', b'"a"'), "multipart/form-data; boundary=a-boundary"),
    "a file in a text": form(**{"image.data.0": b"file"}),
    "no UTF-8": (form(gallery_id="?")[0].replace(b"?", b"\xff"), "multipart/form-data; boundary=a-boundary"),
    "many": form(**{f"a{i}": "x" for i in range(300)}),
}


@pytest.mark.parametrize(("body", "kind"), FORMS.values(), ids=FORMS.keys())
def test_a_form_that_does_not_fit_is_refused_without_an_echo(site: Web, body: bytes, kind: str) -> None:
    told = post(site, body, kind)
    assert (told.status, told.reason) == (400, "INVALID_FIELD"), told.body
    assert SECRET.encode() not in told.body


def test_compressed_bodies_are_bounded(site: Web) -> None:
    bomb = gzip.compress(b" " * 8_000_000)
    told = post(site, bomb, Content_Encoding="gzip")
    assert (told.status, told.reason) == (400, "IMAGE_TOO_MANY_BYTES")
    for damaged in (b"no gzip", gzip.compress(b"{}")[:-3], gzip.compress(b"{}") + b"more", zlib.compress(b"{}")):
        refused = post(site, damaged, Content_Encoding="gzip")
        assert (refused.status, refused.reason) == (400, "INVALID_FIELD")
    assert post(site, b"{}", Content_Encoding="br").json["code"] == "unimplemented"


def test_many_values_are_refused_before_they_are_read(site: Web) -> None:
    vector = b"[" + b"1," * 150_000 + b"1]"
    many, whole = (b'{"probe": {"embedding": {"vector": %s}}}' % one for one in (vector, vector.replace(b",", b" ")))
    for body, kind in ((many, JSON), form(probe__embedding__vector=vector.decode())):
        told = post(site, body, kind, "GalleryService/Search")
        assert (told.status, told.reason) == (400, "INVALID_FIELD")
        assert "values" in told.json["message"]
    assert "values" not in post(site, whole, call="GalleryService/Search").json["message"]


def test_other_paths_methods_and_types(site: Web) -> None:
    for absent in (
        site.call("RecognitionService/Nonsense", {}),
        site.call("Nonsense", {}),
        site.ask("GET", "/nonsense"),
        site.ask("PUT", "/a/b/c", b"{}"),
    ):
        assert (absent.status, absent.json["code"], absent.json["details"]) == (404, "unimplemented", [])
        assert "openapi.json" in absent.json["message"]
    put = site.ask("PUT", f"/fr_api.v1.{DETECT}", b"{}", Content_Type=JSON)
    assert (put.status, put.json["code"], put.headers["allow"]) == (405, "unimplemented", "POST")
    safe = "/fr_api.v1.ServerService/GetServerInfo"
    head = site.ask("HEAD", f"{safe}?encoding=json&message=%7B%7D")
    assert (head.status, head.body) == (200, b"")
    assert site.ask("HEAD", f"/fr_api.v1.{DETECT}").status == 405
    options = site.ask("OPTIONS", safe)
    assert (options.status, options.headers["allow"]) == (405, "POST, GET, HEAD")
    assert not any(name.startswith("access-control") for name in options.headers)
    for kind in ("", "text/plain", "application/json; charset=latin-1", "application/grpc", "application/connect+json"):
        told = post(site, b"{}", kind)
        assert told.status == 415
        assert "application/json" in told.headers["accept-post"]
    assert post(site, b"{}", "Application/JSON; charset=UTF-8").status == 400  # the photo is missing


def test_a_request_over_the_limit_is_refused_with_a_reason(at: Staffed, everybody: str) -> None:
    with web(at.server.address, everybody, max_message_bytes=20_000) as site:
        fits = {"image": {"data": base64_of(b"x" * 15_000)}}
        assert site.call(DETECT, fits).reason == "UNDECODABLE"
        longer = {"image": {"data": base64_of(b"x" * 25_000)}}
        for told in (
            site.call(DETECT, longer),
            post(site, b"x" * 400_000),
            site.call(DETECT, b"x" * 25_000),
            post(site, iter([b"x" * 200_000] * 3)),  # in chunks, without a length
        ):
            assert (told.status, told.reason) == (400, "IMAGE_TOO_MANY_BYTES")
            assert int(told.info.metadata["limit"]) > 0


def test_what_the_answers_of_the_server_are_is_not_cached_and_pages_are_confined(site: Web) -> None:
    for told in (site.call(DETECT, {}), site.ask("GET", "/"), site.ask("GET", "/livez"), site.ask("GET", "/nonsense")):
        assert told.headers["cache-control"] == "no-store"
        assert told.headers["x-content-type-options"] == "nosniff"
        policy = told.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in told.headers


def test_web_pages_of_others_are_refused(site: Web) -> None:
    picture = json.dumps({"image": {"data": base64_of(PROBE)}}).encode()
    own = f"http://{site.host}:{site.port}"
    assert post(site, picture, Origin=own).status == 200
    for origin in ("https://evil.example", "null", "http://[", f"{own}.evil.example"):
        told = post(site, picture, Origin=origin)
        assert (told.status, told.reason) == (403, "NOT_PERMITTED")
        assert "access-control-allow-origin" not in told.headers
    for host in ("evil.example", f"evil.example:{site.port}", "[::1", "", f"localhost.evil.example:{site.port}"):
        told = post(site, picture, Host=host or "-")
        assert (told.status, told.reason) == (403, "NOT_PERMITTED")
    for host in (f"localhost:{site.port}", "localhost", f"[::1]:{site.port}", "LOCALHOST"):
        assert post(site, picture, Host=host).status == 200


def test_sites_of_the_settings_may_call(at: Staffed, everybody: str) -> None:
    site_of = "https://console.example.org"
    with web(at.server.address, everybody, remote=True, origins=(site_of,), hosts=("faces.example.org",)) as site:
        asked = site.ask(
            "OPTIONS",
            f"/fr_api.v1.{DETECT}",
            Origin=site_of,
            Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="authorization",
        )
        assert asked.status == 204
        assert asked.headers["access-control-allow-origin"] == site_of
        assert "authorization" in asked.headers["access-control-allow-headers"]
        told = post(site, b"{}", Origin=site_of, Host="faces.example.org")
        assert told.reason == "MISSING_FIELD"
        assert told.headers["access-control-allow-origin"] == site_of
        assert "access-control-allow-credentials" not in told.headers
        assert post(site, b"{}", Origin="https://evil.example").status == 403
        site.key = ""
        unnamed = post(site, b"not even read")
        assert (unnamed.status, unnamed.reason) == (401, "CREDENTIAL_MISSING")
        assert "header Authorization: Bearer" in unnamed.json["message"]
        assert not re.search("metadata|`fr`|FR_KEY|--key", unnamed.json["message"])
        site.key = "short"
        assert post(site, b"not even read").reason == "CREDENTIAL_INVALID"
        site.key = at.caller(Role.AUDITOR).token
        assert post(site, json.dumps({"image": {"data": base64_of(PROBE)}}).encode()).reason == "NOT_PERMITTED"


def test_no_body_of_a_stranger_is_read(at: Staffed, everybody: str) -> None:
    """They get their answer before the body comes. The control, with a key, waits for it."""
    known = at.caller(Role.OPERATOR)
    with web(at.server.address, remote=True) as site, ExitStack() as stack:

        def sender(key: str) -> socket.socket:
            one = stack.enter_context(site.raw())
            head = f"POST /fr_api.v1.{DETECT} HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\nContent-Length: 9\r\n"
            one.sendall(f"{head}{f'Authorization: Bearer {key}' if key else 'A: b'}\r\n\r\n".encode())
            return one

        control = sender(known.token)
        for key, reason in (("", b"CREDENTIAL_MISSING"), ("0" * 16 + "." + "1" * 43, b"CREDENTIAL_INVALID")):
            assert reason in whole_answer(sender(key))
        control.sendall(b"no JSON..")
        assert b"INVALID_FIELD" in whole_answer(control)
        # A key that was good gives no right.
        access = access_pb2_grpc.AccessServiceStub(at.server.channel)
        access.RevokeKey(
            access_pb2.RevokeKeyRequest(key_id=known.token.partition(".")[0]),
            metadata=(("authorization", f"Bearer {everybody}"),),
        )
        site.key = known.token
        assert site.call(DETECT, {}).reason == "CREDENTIAL_INVALID"
        assert b"CREDENTIAL_INVALID" in whole_answer(sender(known.token))


def test_an_open_server_serves_only_its_own_machine(tmp_path: Path) -> None:
    picture = json.dumps({"image": {"data": base64_of(PROBE)}}).encode()
    with running(tmp_path / "data") as server, web(server.address) as site:
        assert post(site, picture).status == 200
        for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"):
            refused = post(site, picture, Authorization="Bearer 0123456789abcdef.any", **{header: "1.2.3.4"})
            assert (refused.status, refused.reason) == (403, "NOT_PERMITTED")
            assert post(site, picture, **{header: "1.2.3.4"}).status == 403
        with web(server.address, remote=True) as proxied:
            assert post(proxied, picture).reason == "NOT_PERMITTED"
