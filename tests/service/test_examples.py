"""The examples enrol and search over TLS with a key, and say the reason of a refusal; that in C# is only parsed."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import google.rpc
import pytest
import tree_sitter_c_sharp
import tree_sitter_go
import tree_sitter_java
from google.protobuf.descriptor import Descriptor
from tree_sitter import Language, Parser

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client import Client, Connection
from fr_trust.access.principal import Role
from support.commands import BIN, REPOSITORY, blocks, page
from support.secured import Made, fill, made, started_secured
from support.servers import photo, running

EXAMPLES = REPOSITORY / "examples"
GO, JAVA = Path("/usr/share/gocode/src/google.golang.org/grpc"), Path("/usr/share/java/grpc-netty.jar")


@dataclass(frozen=True)
class Desk:
    """A server with a gallery, and what its operator needs: a connection file, a key, and a wrong one of each."""

    at: Made
    folder: Path
    address: str

    def runs(self, language: str, line: str, **environment: str) -> None:
        """Run the line of the guide that starts an example: twice, with a wrong key or none, and for no gallery."""
        self._lay(line)
        for again in (False, True):
            told = self.told(language, line, environment)
            assert told[0] == 0, told
            assert ("already enrolled\n" in told[1]) == again, told
            assert re.search(r"^ *1  s1  1\.0000  lead$", told[1], re.MULTILINE), told
            assert "examiner" in told[1]
        self._names_no_key(language, line, environment)
        assert self.told(language, line.partition(" staff ")[0], environment)[2].startswith("Usage: ")
        known = environment | {"OTHER": str(self.folder / "other.key")}
        for changed, reason in (
            (line.replace("desk.toml", "other.toml"), "CREDENTIAL_INVALID"),
            (line.replace(" staff ", " none "), "UNKNOWN_GALLERY"),
        ):
            told = self.told(language, changed, known if reason == "CREDENTIAL_INVALID" else environment)
            assert told[0] == 1, told
            assert told[2].startswith(f"{reason}: "), told
            assert told[2].count("\n") == 1, told

    def _names_no_key(self, language: str, line: str, environment: Mapping[str, str]) -> None:
        """Give the connection file as that of the key: nothing of it may be repeated."""
        secret = (self.folder / "key").read_text().partition(".")[2]
        known = {**environment, "OTHER": str(self.folder / "desk.toml")}
        told = self.told(language, line.replace("desk.toml", "wrong.toml"), known)
        assert told[0] == 1, told
        assert re.match(r".*\bkey\b.*\n\Z", told[2]), told
        assert secret not in told[1] + told[2]
        assert "BEGIN" not in told[2]

    def _lay(self, line: str) -> None:
        """Lay photos of one face: a gallery takes each photo once."""
        width = 400 + sum(map(ord, line))
        (self.folder / "enrolled.jpg").write_bytes(photo(9, width=width))
        (self.folder / "probe.jpg").write_bytes(photo(9, width=width + 50))

    def told(
        self, language: str, line: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, str, str]:
        for name in ("desk.toml", "other.toml", "wrong.toml", "open.toml", "none.toml", "enrolled.jpg", "probe.jpg"):
            line = line.replace(f" {name}", f" {self.folder / name}")
        (export,) = (block for block in BLOCKS if block.startswith("export FR_SERVER="))
        words = export.replace("faces.example.org:50061", self.address)
        line = f"{words}export FR_KEY_FILE=${{OTHER:-$FR_KEY_FILE}}; cd {self.folder / language}; {line}"
        return ended(line, self.folder, environment)


BLOCKS = blocks(page("docs/other-languages.md"), "sh")


def ended(line: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    known = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    done = subprocess.run(
        ["bash", "-euc", line], cwd=folder, env=known, capture_output=True, text=True, timeout=900, check=False
    )
    return done.returncode, done.stdout, done.stderr


def steps(language: str) -> tuple[list[str], str]:
    """The lines of the guide that build an example, and the one that runs it."""
    (block,) = (block for block in BLOCKS if block.startswith(f"cd examples/{language}\n"))
    _, *building, running = block.splitlines()
    return building, running


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    at = made(folder / "faces")
    fill(at)
    key = at.key(Role.OPERATOR)
    other = f"{key[:-8]}aaaaaaaa"
    (folder / "ca.pem").write_bytes(at.ca)
    (folder / "proto").symlink_to(REPOSITORY / "proto")
    with started_secured(folder, at) as started:
        address = started.address.replace("0.0.0.0", "localhost")  # which the certificate names
        text = Connection(address, key, at.ca.decode()).text()
        for name, content in {
            "desk.toml": text,
            "other.toml": text.replace(key, other),
            "wrong.toml": f'server = "{address}"\nkey_file = "desk.toml"\nca_file = "ca.pem"\n',
            "open.toml": text,
            "key": key,
            "other.key": other,
        }.items():
            (folder / name).touch(0o600)
            (folder / name).write_text(content)
        (folder / "open.toml").chmod(0o644)
        yield Desk(at, folder, address)


def copied(desk: Desk, language: str) -> Path:
    """Copy an example to where the .proto files lie as in the repository."""
    target = desk.folder / "examples" / language
    return Path(shutil.copytree(EXAMPLES / language, target, ignore=shutil.ignore_patterns("node_modules", "gen")))


def build(folder: Path, *lines: str, **environment: str) -> None:
    for line in lines:
        told = ended(line, folder, environment)
        assert told[0] == 0, (line, *told)


def test_python(desk: Desk) -> None:
    copied(desk, "python")
    others, last = steps("python")
    for line in (*others, last):
        desk.runs("examples/python", line, PYTHONWARNINGS="error")
        for name, words in {"none.toml": "No such file", "open.toml": "chmod 600"}.items():
            told = desk.told("examples/python", line.replace("desk.toml", name))
            assert (told[0], told[1], told[2].count("\n")) == (1, "", 1)
            assert words in told[2]


@pytest.mark.network
@pytest.mark.skipif(shutil.which("npm") is None, reason="Node.js is not installed")
def test_node(desk: Desk) -> None:
    building, running = steps("node")
    build(copied(desk, "node"), *building)
    desk.runs("examples/node", running)


@pytest.mark.nightly
@pytest.mark.skipif(
    shutil.which("go") is None or not GO.is_dir(),
    reason="apt-get install golang-go golang-google-grpc-dev protoc-gen-go protoc-gen-go-grpc",
)
def test_go(desk: Desk) -> None:
    building, running = steps("go")
    # Without a module proxy, the path of the folder names the module, and the libraries are Debian's packages.
    paths = {"GOPATH": f"{desk.folder}:/usr/share/gocode", "GOCACHE": str(desk.folder / "cache")}
    home = desk.folder / "src" / "fr-core.example" / "search"
    home.parent.mkdir(parents=True)
    (home.parents[2] / "src" / "proto").symlink_to(REPOSITORY / "proto")
    copied(desk, "go").rename(home)
    build(home, *building, GO111MODULE="off", **paths)
    desk.runs("src/fr-core.example/search", running)


@pytest.mark.nightly
@pytest.mark.skipif(
    shutil.which("javac") is None or not JAVA.exists(),
    reason="apt-get install default-jdk-headless libgrpc-java protobuf-compiler protobuf-compiler-grpc-java-plugin",
)
def test_java(desk: Desk, tmp_path: Path) -> None:
    """It runs without TLS and key: gRPC for Java as Debian has it offers no TLS."""
    building, starting = steps("java")
    plugins = desk.folder / "plugins"
    plugins.mkdir()
    (plugins / "protoc-gen-grpc-java").symlink_to("/usr/bin/grpc_java_plugin")
    # With Maven, these classes come as com.google.api.grpc:proto-google-common-protos.
    known = Path(next(iter(google.rpc.__path__))).parents[1]
    common = f"protoc -I{known} --java_out=gen {known}/google/rpc/status.proto {known}/google/rpc/error_details.proto"
    paths = {"PATH": f"{plugins}:{BIN}:{os.environ['PATH']}", "CLASSPATH": "/usr/share/java/*"}
    folder = copied(desk, "java")
    build(folder, building[0], common, *building[1:], **paths)
    for name in ("enrolled.jpg", "probe.jpg"):
        (folder / name).write_bytes(photo(9, width=400 if name == "probe.jpg" else 500))
    with running(tmp_path / "data") as server, Client(server.address) as client:
        client.create_gallery("staff")
        paths["FR_SERVER"] = server.address
        for again in (False, True):
            code, out, error = ended(f"cd {folder}; {starting}", folder, paths)
            assert code == 0, error
            assert ("already enrolled\n" in out) == again
            assert re.search(r"^ *1  s1  1\.0000  lead$", out, re.MULTILINE), out
            assert "examiner" in out
        code, _, error = ended(f"cd {folder}; {starting.replace(' staff ', ' none ')}", folder, paths)
        assert (code, error.splitlines()[-1].startswith("UNKNOWN_GALLERY: ")) == (1, True), error


GRAMMARS = {
    "go/search.go": tree_sitter_go,
    "java/Search.java": tree_sitter_java,
    "csharp/Search.cs": tree_sitter_c_sharp,
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_examples_of_compiled_languages_have_no_error_of_syntax(name: str) -> None:
    parser = Parser(Language(GRAMMARS[name].language()))
    source = (EXAMPLES / name).read_bytes()
    assert not parser.parse(source).root_node.has_error
    assert parser.parse(source.replace(b"{", b"", 1)).root_node.has_error


def test_the_example_in_csharp_names_what_the_api_has() -> None:
    """No test compiles it: the .NET SDK comes from no registry that the tests may use."""
    source = (EXAMPLES / "csharp/Search.cs").read_text("utf-8")
    messages: dict[str, Descriptor] = {}
    for file in (common_pb2, recognition_pb2, gallery_pb2):
        messages |= file.DESCRIPTOR.message_types_by_name
    named = re.findall(r"new (\w+)\s*\{([^{}]*(?:\([^{}]*\)[^{}]*)*)\}", source)
    fields = 0
    for message, body in named:
        if message in messages:
            known = {field.camelcase_name.lower() for field in messages[message].fields}
            used = [name.lower() for name in re.findall(r"(?:^|,)\s*(\w+) =", body)]
            assert set(used) <= known, message
            fields += len(used)
    assert fields == 9
    service = gallery_pb2.DESCRIPTOR.services_by_name["GalleryService"]
    calls = re.findall(r"client\.(\w+)Async\(", source)
    assert calls == ["Enrol", "Search"]
    assert set(calls) <= set(service.methods_by_name)
    candidate = {field.camelcase_name.lower() for field in messages["Candidate"].fields}
    assert {name.lower() for name in re.findall(r"\bone\.(\w+)", source)} <= candidate
