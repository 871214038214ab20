"""Clients of other makers call the HTTP interface: npm's @connectrpc/connect, and schemathesis with 10,000 calls."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2

from support.callers import FILES, Caller, Staffed
from support.counts import count
from support.secured import figure
from support.web import UNARY, Web, over_grpc

pytestmark = [pytest.mark.nightly, pytest.mark.slow]

FOLDER = Path(__file__).resolve().parent


def described() -> bytes:
    """All files of the API and of the details of errors, each after those that it imports."""
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for one in file.dependencies:
            add(one)
        found.setdefault(file.name, file)

    for file in (*FILES, error_details_pb2.DESCRIPTOR):
        add(file)
    made = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(made.file.add())
    return made.SerializeToString()


@pytest.mark.network
def test_the_client_of_connect_calls_every_call(
    site: Web, at: Staffed, everybody: str, modules: Path, tmp_path: Path
) -> None:
    script = shutil.copy(FOLDER / "connect.mjs", modules)
    (tmp_path / "api").write_bytes(described())
    command = ["node", script, f"http://{site.host}:{site.port}", everybody, str(tmp_path / "api")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 2 * len(UNARY)
    caller = Caller(at.server.channel, everybody)
    for binary, path, code, reason in told:
        expected = over_grpc(caller, path)
        assert (re.sub(r"(?<!^)([A-Z])", r"_\1", code).lower(), reason) == expected, (binary, path)
    figure("calls by @connectrpc/connect", len(told))


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_no_call_of_schemathesis_ends_with_a_defect(site: Web, everybody: str, tmp_path: Path) -> None:
    examples = -(-count("HTTP_CALLS") // len(UNARY))
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://{site.host}:{site.port}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {everybody}"]
    command += ["--header", "Connect-Timeout-Ms: 60000"]  # a short deadline may well end a call
    command += ["--max-examples", str(examples), "--seed", "1"]
    command += ["--checks", "not_a_server_error,response_schema_conformance", "--phases", "fuzzing", "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    figure("calls by schemathesis", re.findall(r"[\d,]+(?= generated)", done.stdout))
