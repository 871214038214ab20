"""Every call with one answer works over HTTP as over gRPC: in JSON, in protobuf and as a form."""

import gzip
import json
import shutil
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2, server_pb2
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Role
from support.callers import METHODS, PROBE, Caller, Staffed
from support.faults import until
from support.servers import photo
from support.web import STREAMS, UNARY, Web, base64_of, form, over_grpc, web

DETECT = "RecognitionService/Detect"


def test_the_interface_offers_every_call_with_one_answer() -> None:
    assert len(UNARY) > 60
    assert len(STREAMS) > 10


@pytest.mark.parametrize("path", UNARY)
def test_an_empty_call_ends_as_over_grpc(site: Web, at: Staffed, everybody: str, path: str) -> None:
    expected = over_grpc(Caller(at.server.channel, everybody), path)
    requests: tuple[Any, ...] = ({}, b"")
    for request in requests:
        told = site.call(path.removeprefix("/fr_api.v1."), request)
        assert told.reason == expected[1], told.body
        assert "x-request-id" in told.headers
        if told.status != 200:
            assert told.json["code"] == expected[0]
            assert told.json["message"]


@pytest.mark.parametrize("path", STREAMS)
def test_streams_need_grpc(site: Web, path: str) -> None:
    told = site.call(path.removeprefix("/fr_api.v1."), {})
    assert (told.status, told.json["code"]) == (415, "unimplemented")
    assert "gRPC" in told.json["message"]


def test_a_photo_goes_as_base64_as_protobuf_and_as_a_file(site: Web, at: Staffed) -> None:
    at.gallery("staff", operational=False)
    picture = photo(10)
    as_json = {
        "galleryId": "staff",
        "probe": {"image": {"data": base64_of(picture)}},
        "topK": 2,
        "severalFaces": "SEVERAL_FACES_POLICY_LARGEST",
    }
    told = site.call("GalleryService/Search", as_json)
    assert told.status == 200, told.body
    assert told.headers["content-type"] == "application/json"
    message = json_format.ParseDict(as_json, gallery_pb2.SearchRequest())
    binary = site.call("GalleryService/Search", message.SerializeToString())
    assert binary.headers["content-type"] == "application/proto"
    expected = json_format.ParseDict(told.json, gallery_pb2.SearchResponse())
    assert gallery_pb2.SearchResponse.FromString(binary.body) == expected
    assert expected.results[0].candidates[0].subject_id == "staff 10"
    assert expected.notice
    body, kind = form(
        gallery_id="staff", probe__image__data=picture, top_k="2", severalFaces="SEVERAL_FACES_POLICY_LARGEST"
    )
    sent = site.ask("POST", "/fr_api.v1.GalleryService/Search", body, Content_Type=kind)
    assert sent.json == told.json


def test_forms_hold_maps_lists_times_and_messages(site: Web) -> None:
    body, kind = form(gallery_id="form", retention="3600s", keeps_photos="true", use="GALLERY_USE_TEST")
    made = site.ask("POST", "/fr_api.v1.GalleryService/CreateGallery", body, Content_Type=kind)
    assert made.status == 200, made.body
    assert made.json["gallery"]["retention"] == "3600s"
    body, kind = form(
        gallery_id="form", subject_id="1", face__image__data=photo(40), metadata__list="missing", metadata__other="7"
    )
    enrolled = site.ask("POST", "/fr_api.v1.GalleryService/Enrol", body, Content_Type=kind)
    assert enrolled.status == 200, enrolled.body
    shown = site.call("GalleryService/GetSubject", {"galleryId": "form", "subjectId": "1"})
    assert shown.json["subject"]["metadata"] == {"list": "missing", "other": "7"}
    for others, reason in (({}, "OK"), ({"filter__subject_ids__1": "2"}, "UNKNOWN_SUBJECT")):
        body, kind = form(gallery_id="form", probe__image__data=photo(40), filter__subject_ids__0="1", **others)
        found = site.ask("POST", "/fr_api.v1.GalleryService/Search", body, Content_Type=kind)
        assert found.reason == reason
    body, kind = form(gallery_id="form", nonsense=b"file")
    refused = site.ask("POST", "/fr_api.v1.GalleryService/Search", body, Content_Type=kind)
    assert (refused.status, refused.reason) == (400, "INVALID_FIELD")


def test_bodies_are_compressed_both_ways(site: Web) -> None:
    packed = gzip.compress(json.dumps({"image": {"data": base64_of(PROBE)}}).encode())
    headers = {"Content_Type": "application/json", "Content_Encoding": "gzip", "Accept_Encoding": "gzip"}
    told = site.ask("POST", f"/fr_api.v1.{DETECT}", packed, **headers)
    assert len(told.json["faces"]) == 1
    whole, short = (site.ask("GET", "/openapi.json", Accept_Encoding=coding) for coding in ("identity", "gzip"))
    assert gzip.decompress(short.body) == whole.body
    assert len(short.body) < len(whole.body) / 4


def test_only_calls_without_side_effects_take_get(site: Web) -> None:
    path = "/fr_api.v1.ServerService/GetServerInfo"
    as_json = site.ask("GET", f"{path}?connect=v1&encoding=json&message=%7B%7D")
    assert as_json.json["version"]
    binary = site.ask("GET", f"{path}?connect=v1&encoding=proto&base64=1&message=")
    assert server_pb2.GetServerInfoResponse.FromString(binary.body).version == as_json.json["version"]
    assert site.ask("GET", path).status == 400
    refused = site.ask("GET", "/fr_api.v1.AccessService/WhoAmI?encoding=json&message=%7B%7D")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")


def test_a_deadline_is_the_servers_too(site: Web) -> None:
    late = site.call(DETECT, {"image": {"data": base64_of(PROBE)}}, Connect_Timeout_Ms="0")
    assert (late.status, late.json["code"]) in ((504, "deadline_exceeded"), (429, "resource_exhausted"))
    for name, value in (
        ("Connect_Timeout_Ms", "soon"),
        ("Connect_Timeout_Ms", "12345678901"),
        ("Connect_Protocol_Version", "2"),
    ):
        refused = site.call(DETECT, {}, **{name: value})
        assert (refused.status, refused.reason) == (400, "INVALID_FIELD")
    assert (
        site.call(
            DETECT, {"image": {"data": base64_of(PROBE)}}, Connect_Timeout_Ms="60000", Connect_Protocol_Version="1"
        ).status
        == 200
    )


def test_few_large_answers_are_held_at_a_time() -> None:
    """Calls that answer with many photos wait for each other; the control, calls with short answers, does not."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    counting, go_on = threading.Lock(), threading.Event()

    class Slow(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            name = "short" if handler_call_details.method.endswith("/GetCase") else "large"

            def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
                with counting:
                    running[name] += 1
                    most[name] = max(most[name], running[name])
                go_on.wait(30)
                with counting:
                    running[name] -= 1
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    names = ("GetExamination", "SubmitFinding", "GetCase")
    with ThreadPoolExecutor(40) as workers, ThreadPoolExecutor(18) as callers:
        server = grpc.server(workers, [Slow()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with web(f"127.0.0.1:{port}") as site:
                calls = [callers.submit(site.call, f"ReviewService/{name}", {}) for name in names for _ in range(6)]
                until(lambda: running["short"] == 6 and running["large"] >= 2)
                go_on.set()
                assert [one.result(30).status for one in calls] == [200] * 18
        finally:
            server.stop(None).wait()
    assert most == {"short": 6, "large": 2}


def test_keys_roles_and_budgets_are_the_servers(site: Web, at: Staffed) -> None:
    before = site.key
    try:
        for key, status, reason in (
            (at.caller(Role.AUDITOR).token, 403, "NOT_PERMITTED"),
            ("0" * 16 + "." + "1" * 43, 401, "CREDENTIAL_INVALID"),
            ("", 401, "CREDENTIAL_MISSING"),
        ):
            site.key = key
            told = site.call(DETECT, {"image": {"data": base64_of(PROBE)}})
            assert (told.status, told.reason) == (status, reason)
            assert ("www-authenticate" in told.headers) == (status == 401)
        site.key = at.caller(Role.OPERATOR, budget=Budget(0.01, 1, None)).token
        assert site.call(DETECT, {"image": {"data": base64_of(PROBE)}}).status == 200
        late = site.call(DETECT, {"image": {"data": base64_of(PROBE)}})
        assert (late.status, late.reason) == (429, "RATE_LIMITED")
        assert int(late.headers["retry-after"]) >= 1
        assert [detail["type"] for detail in late.json["details"]] == ["google.rpc.ErrorInfo", "google.rpc.RetryInfo"]
    finally:
        site.key = before


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_calls_every_call(site: Web) -> None:
    """In one process, since each takes a while to start; curl writes a status for each."""
    words: list[str] = []
    for path in UNARY:
        words += ["--next"] if words else []
        words += ["-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", f"Authorization: Bearer {site.key}"]
        words += ["--json", "{}", f"http://{site.host}:{site.port}{path}"]
    done = subprocess.run(["curl", *words], capture_output=True, text=True, timeout=120, check=True)
    statuses = [int(one) for one in done.stdout.split()]
    assert len(statuses) == len(UNARY)
    assert {one // 100 for one in statuses} == {2, 4}


def test_the_json_mapping_holds_for_every_answer(site: Web) -> None:
    for path in UNARY:
        told = site.call(path.removeprefix("/fr_api.v1."), {})
        if told.status == 200:
            json_format.ParseDict(told.json, GetMessageClass(METHODS[path].output_type)())


def test_purposes_are_names(site: Web, at: Staffed) -> None:
    at.gallery("operational")
    request = {"galleryId": "operational", "probe": {"image": {"data": base64_of(photo(10))}}}
    assert site.call("GalleryService/Search", request).reason == "PURPOSE_REQUIRED"
    named = {**request, "purpose": common_pb2.Purpose.Name(common_pb2.PURPOSE_TESTING), "caseReference": "one"}
    assert site.call("GalleryService/Search", named).status == 200


def test_vectors_are_the_same_in_json(site: Web) -> None:
    request = {"image": {"data": base64_of(photo(10, 40))}}
    told = site.call("RecognitionService/Embed", request).json
    message = json_format.ParseDict(request, recognition_pb2.EmbedRequest())
    binary = site.call("RecognitionService/Embed", message.SerializeToString())
    assert len(told["faces"]) == 2
    assert len(told["faces"][0]["embedding"]["vector"]) == 64
    assert json_format.ParseDict(told, recognition_pb2.EmbedResponse()) == recognition_pb2.EmbedResponse.FromString(
        binary.body
    )
