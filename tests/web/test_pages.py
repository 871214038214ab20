"""The probes of orchestrators, the page to try calls, and the OpenAPI document."""

import re
from pathlib import Path

from fr_api.v1 import gallery_pb2
from support.callers import METHODS
from support.faults import until
from support.lazy_module import LazyModule
from support.servers import running
from support.web import Web, web

validator = LazyModule("openapi_spec_validator")


def test_the_probes_ask_the_server(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server, web(server.address) as site:
        assert (site.ask("GET", "/livez").body, site.ask("GET", "/readyz").status) == (b"ok\n", 200)
        server.stop().result(30)
        until(lambda: site.ask("GET", "/readyz").status == 503)
        assert site.ask("GET", "/livez").status == 200
        told = site.call("ServerService/GetServerInfo", {})
        assert (told.status, told.reason) == (503, "UNREACHABLE")
        assert server.address not in told.body.decode()
        assert "retry-after" in told.headers


def test_the_interface_finds_a_server_that_starts_again(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        port = first.app.port
        with web(first.address) as site:
            assert site.call("ServerService/GetServerInfo", {}).status == 200
            first.stop().result(30)
            with running(tmp_path / "data", server={"port": port}):
                until(lambda: site.call("ServerService/GetServerInfo", {}).status == 200, 20)


def test_the_document_is_valid_and_has_every_call(site: Web) -> None:
    document = site.ask("GET", "/openapi.json").json
    validator.validate(document, cls=validator.OpenAPIV31SpecValidator)
    unary = {path for path, m in METHODS.items() if not m.client_streaming and not m.server_streaming}
    assert set(document["paths"]) == unary
    for path, operations in document["paths"].items():
        assert set(operations["post"]["requestBody"]["content"]) == {
            "application/json",
            "application/proto",
            "multipart/form-data",
        }
        assert ("get" in operations) == (path == "/fr_api.v1.ServerService/GetServerInfo")
        for operation in operations.values():
            assert "Connect-Timeout-Ms" in {one["name"] for one in operation["parameters"]}
    body = document["paths"]["/fr_api.v1.GalleryService/Search"]["post"]["requestBody"]["content"]
    parts = body["multipart/form-data"]["schema"]
    expected = {"gallery_id", "probe.image.data", "top_k", "filter.subject_ids.0", "probe.embedding.vector"}
    assert expected <= set(parts["properties"])
    assert set(parts["patternProperties"]) == {r"^filter\.metadata\."}
    search = document["components"]["schemas"]["SearchRequest"]["properties"]
    assert set(search) == {field.json_name for field in gallery_pb2.SearchRequest.DESCRIPTOR.fields}
    for schema in document["components"]["schemas"].values():
        assert schema["description"]
        assert all(field.get("description") for field in schema.get("properties", {}).values())


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(site: Web) -> None:
    page = site.ask("GET", "/try")
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    script, style = (site.ask("GET", name) for name in re.findall(r'(?:src|href)="(/try\.\w+)"', text))
    assert {script.status, style.status} == {200}
    for part in (text, script.body.decode(), style.body.decode()):
        assert not re.search(r"https?://|//\w|innerHTML|\son\w+=|<script>|style=", part.replace("// ", ""))
    # Each control has a name, and what changes is told to screen readers.
    controls = re.findall(r"<(?:input|select|textarea)[^>]*\bid=\"([^\"]+)\"", text)
    assert set(controls) == set(re.findall(r"<label for=\"([^\"]+)\"", text))
    assert 'role="status"' in text
    assert "never an identity" in text
