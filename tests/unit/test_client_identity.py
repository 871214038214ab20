"""Identity of callers: tokens on every kind of call, TLS on both sides, connection files, options of `fr`."""

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fr_api.v1 import server_pb2
from fr_client import (
    Client,
    Connection,
    FrApiError,
    TlsCredentials,
    read_connection,
    tls_credentials,
)
from fr_client.channel import channel_options
from fr_client.cli.state import Settings
from fr_client.identity import Identity, is_loopback, open_aio_channel, open_channel
from fr_server.gateway.authority import Issued, make_authority, make_client_certificate, make_server_certificate
from support.cli import fr, reason_of
from support.scripted import Kind, asked, both

TOKEN = "abcdefghijklmnop." + "s" * 43
OTHER = "ponmlkjihgfedcba." + "t" * 43
INFO = "/fr_api.v1.ServerService/GetServerInfo"


@dataclass
class Listener(grpc.GenericRpcHandler):
    """Notes what each call says of its caller; answers each kind of call, and GetServerInfo."""

    told: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def service(self, details: Any) -> Any:
        values = tuple(str(value) for key, value in details.invocation_metadata if key == "authorization")
        self.told.append((details.method, values))
        return {
            "/t/uu": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
            "/t/us": grpc.unary_stream_rpc_method_handler(lambda request, context: iter([request])),
            "/t/su": grpc.stream_unary_rpc_method_handler(lambda requests, context: b"".join(requests)),
            "/t/ss": grpc.stream_stream_rpc_method_handler(lambda requests, context: requests),
            INFO: grpc.unary_unary_rpc_method_handler(
                lambda request, context: server_pb2.GetServerInfoResponse(version="1").SerializeToString()
            ),
        }.get(details.method)

    @property
    def tokens(self) -> list[tuple[str, ...]]:
        return [values for _, values in self.told]


@contextmanager
def listening(listener: Listener, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((listener,))
    served = health.HealthServicer()
    served.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(served, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@dataclass(frozen=True)
class Papers:
    ca: Path
    server: Issued
    client: Issued

    def on_server(self, *, clients: bool = False) -> grpc.ServerCredentials:
        pair = (self.server.key.read_bytes(), self.server.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], self.ca.read_bytes() if clients else None, clients)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    authority, server, client = (Issued(folder / f"{one}.pem", folder / f"{one}.key") for one in "asc")
    now_ms = time.time_ns() // 1_000_000
    make_authority(authority, "Test authority", now_ms)
    make_server_certificate(authority, server, ["localhost"], ["127.0.0.1"], now_ms)
    make_client_certificate(authority, client, "room 4", now_ms)
    return Papers(authority.certificate, server, client)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("token", [TOKEN, ""])
def test_every_kind_of_call_says_once_who_calls(papers: Papers, encrypted: bool, token: str) -> None:
    listener = Listener()
    with listening(listener, papers.on_server() if encrypted else None) as target:
        tls = tls_credentials(papers.ca) if encrypted else None
        with open_channel(target, Identity(token, tls), channel_options(target)) as channel:
            one: Any = channel.unary_unary("/t/uu")
            several: Any = channel.unary_stream("/t/us")
            joined: Any = channel.stream_unary("/t/su")
            echoed: Any = channel.stream_stream("/t/ss")
            assert [one(b"a"), *several(b"b"), joined(iter([b"c"])), *echoed(iter([b"d"]))] == [b"a", b"b", b"c", b"d"]
    assert [method for method, _ in listener.told] == ["/t/uu", "/t/us", "/t/su", "/t/ss"]
    assert listener.tokens == [(f"Bearer {token}",) if token else ()] * 4


@both
def test_both_clients_say_who_calls(kind: Kind, papers: Papers) -> None:
    listener = Listener()
    with listening(listener) as plain, listening(listener, papers.on_server()) as tls:
        for target, credentials in ((plain, None), (tls, tls_credentials(papers.ca))):
            more = {"token": TOKEN, "credentials": credentials, "timeout_s": 10.0}
            assert asked(kind, target, lambda client: client.server_info(), **more).version == "1"
    assert listener.told == [(INFO, (f"Bearer {TOKEN}",))] * 2


LOOPBACK = (
    *("localhost:50061", "127.0.0.1:1", "[::1]:1", "unix:/run/fr.sock", "unix-abstract:fr"),
    *("ipv4:127.0.0.1:1", "ipv6:[::1]:1", "dns:///localhost:1", "ipv4:127.0.0.1:1,127.0.0.2:2"),
)
ELSEWHERE = (
    *("192.168.1.10:50061", "fr.example:50061", "127.evil.example:50061", "localhost.evil.example:50061"),
    *("[2001:db8::1]:1", "0.0.0.0:1", "ipv4:127.0.0.1:1,198.51.100.7:1", "dns://127.0.0.1/evil.example:1"),
    *("xds:localhost:1", "", "ipv4:", "ipv4:127.0.0.1:1,", "localhost:1,localhost:2", "ipv6:[::1]:1,[2001:db8::1]:1"),
)


@pytest.mark.parametrize(("target", "here"), [*((one, True) for one in LOOPBACK), *((one, False) for one in ELSEWHERE)])
def test_a_token_leaves_this_machine_only_under_tls(papers: Papers, target: str, here: bool) -> None:
    assert is_loopback(target) is here
    assert (("grpc.enable_http_proxy", 0) in channel_options(target)) is here

    async def open_aio(token: str, tls: TlsCredentials | None = None) -> None:
        await open_aio_channel(target, Identity(token, tls), None).close()

    def open_sync(token: str, tls: TlsCredentials | None = None) -> None:
        open_channel(target, Identity(token, tls), None).close()

    if here:
        open_sync(TOKEN)
        asyncio.run(open_aio(TOKEN))
        return
    for refused in (open_sync, lambda token: asyncio.run(open_aio(token)), lambda token: Client(target, token=token)):
        with pytest.raises(ValueError, match="only over TLS") as caught:
            refused(TOKEN)
        assert TOKEN not in str(caught.value)
    if target:
        open_sync("")
        open_sync(TOKEN, tls_credentials(papers.ca))
        asyncio.run(open_aio(TOKEN, tls_credentials(papers.ca)))


@pytest.mark.parametrize("token", ["a b", "a\nb", "k.s\r", "k\u00e9y.s", "\N{ZERO WIDTH SPACE}", "k.s\x7f"])
def test_a_token_that_is_none_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match=r"ID\.SECRET") as caught:
        Identity(token)
    assert token not in str(caught.value)


def test_no_text_shows_a_secret() -> None:
    shown = f"{Identity(TOKEN)!r} {Connection('h:1', TOKEN)!r} {Settings('h:1', 1.0, token=TOKEN)!r}"
    assert TOKEN not in shown


@pytest.mark.parametrize("server", ["192.168.1.10:50061", "[::1]:1", 'dns:///a"b\\c', "unix:/tmp/\N{SNOWMAN}\t\x7f"])
@pytest.mark.parametrize("key", [TOKEN, ""])
def test_a_connection_file_is_read_as_it_was_written(papers: Papers, tmp_path: Path, server: str, key: str) -> None:
    file = tmp_path / "c.toml"
    file.touch(0o600)
    for ca in (papers.ca.read_text(), ""):
        file.write_text(Connection(server, key, ca).text(), encoding="utf-8")
        found = read_connection(file)
        assert (found.server, found.key, found.ca.strip()) == (server, key, ca.strip())
    with pytest.raises(ValueError, match="not certificates"):  # an authority cannot end its text
        Connection(server, key, "'''\nserver = 'evil:1'").text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TOKEN.encode(), "not TOML"),
        (b"\xff", "not TOML"),
        (b"server = 1", "nothing else"),
        (f'token = "{TOKEN}"'.encode(), "nothing else"),
        (b'key = "k"', "nothing else"),
        (b'server = "h:1"\nport = 1', "nothing else"),
        (b'server = "h:1"\nkey = 1', "strings"),
        (b'server = "h:1"\nca = ["x"]', "strings"),
        (b'server = "h:1"\nkey_file = 1', "strings"),
        (b'server = "h:1"\nca = ""\nca_file = "x"', "leave one out"),
    ],
)
def test_what_is_no_connection_file_is_told_without_repeating_it(tmp_path: Path, text: bytes, words: str) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_connection(file)
    assert TOKEN not in str(caught.value)
    for path, said in ((file, "Usage:"), (tmp_path / "none.toml", "No such file")):
        code, _, error = fr("--connection", path, "info")
        assert (code, said in error, TOKEN in error) == (2, True, False)


@both
def test_a_client_is_made_of_a_connection_file(kind: Kind, papers: Papers, tmp_path: Path) -> None:
    listener, file = Listener(), tmp_path / "desk.toml"
    key, ca = tmp_path / "desk.key", tmp_path / "ca.pem"
    key.touch(0o600)
    key.write_text(f"{TOKEN}\n")
    ca.write_bytes(papers.ca.read_bytes())
    with listening(listener, papers.on_server()) as target:
        file.touch(0o600)
        for text in (
            Connection(target, TOKEN, papers.ca.read_text()).text(),
            f'server = "{target}"\nkey_file = "desk.key"\nca_file = "ca.pem"\n',
        ):
            file.write_text(text)
            assert asked(kind, file, lambda client: client.server_info(), timeout_s=10.0).version == "1"
        file.write_text(f'server = "{target}"\nca_file = "other.pem"\n')
        (tmp_path / "other.pem").write_bytes(papers.client.certificate.read_bytes())
        with pytest.raises(FrApiError) as caught:
            asked(kind, file, lambda client: client.server_info(), timeout_s=10.0)
    assert listener.tokens == [(f"Bearer {TOKEN}",)] * 2
    assert caught.value.reason == "SERVER_NOT_TRUSTED"
    assert f"the authority in {file}" in caught.value.message


@pytest.mark.parametrize("name", ["c.toml", "c.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    file, beside = tmp_path / "c.toml", tmp_path / "c.key"
    file.write_text('server = "localhost:1"\n' + ('key_file = "c.key"' if name == "c.key" else f'key = "{TOKEN}"'))
    beside.write_text(TOKEN)
    for one in (file, beside):
        one.chmod(0o600)
    assert read_connection(file).key == TOKEN
    exposed = tmp_path / name
    exposed.chmod(mode)
    for read in (read_connection, Client.from_connection):
        with pytest.raises(PermissionError) as caught:
            read(file)
        assert f"(mode {mode:04o}); run `chmod 600 {exposed}`" in str(caught.value)
    code, _, error = fr("--connection", file, "info")
    assert (code, "chmod 600" in error, TOKEN in error) == (2, True, False)
    file.write_text('server = "localhost:1"\n')
    assert read_connection(file).key == ""  # without a key, everybody may read it


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand out a file of root")
def test_root_hands_out_a_key_to_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'server = "localhost:1"\nkey = "{TOKEN}"')
    file.chmod(0o440)
    with pytest.raises(PermissionError):
        read_connection(file)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert read_connection(file).key == TOKEN
    for mode in (0o444, 0o460):
        file.chmod(mode)
        with pytest.raises(PermissionError):
            read_connection(file)


def test_what_lies_beside_is_a_text_that_can_be_read(tmp_path: Path) -> None:
    file, beside = tmp_path / "c.toml", tmp_path / "ca.pem"
    file.write_text('server = "localhost:1"\nca_file = "ca.pem"\n')
    with pytest.raises(FileNotFoundError, match=r"ca\.pem"):
        read_connection(file)
    beside.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not a text, so it holds no ca"):
        read_connection(file)
    beside.unlink()
    assert f"{beside} cannot be read: No such file" in fr("--connection", file, "info")[2]


@pytest.mark.parametrize("name", ["key", "ca"])
def test_an_empty_file_beside_is_no_missing_key_and_no_missing_encryption(tmp_path: Path, name: str) -> None:
    file, beside = tmp_path / "c.toml", tmp_path / "beside"
    file.write_text(f'server = "localhost:1"\n{name}_file = "beside"\n')
    beside.touch(0o600)
    beside.write_text("\n")
    with pytest.raises(ValueError, match=f"is empty; leave `{name}_file` out of .* for no {name}"):
        read_connection(file)
    beside.unlink()
    beside.mkdir(0o755)
    with pytest.raises(OSError, match="not a regular file"):
        read_connection(file)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def plain(listener: Listener) -> Iterator[str]:
    with listening(listener) as target:
        yield target


@pytest.fixture
def encrypted(listener: Listener, papers: Papers) -> Iterator[str]:
    with listening(listener, papers.on_server()) as target:
        yield target


def key_file(tmp_path: Path, token: str = TOKEN) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{token}\n")
    return file


def connection(tmp_path: Path, server: str, token: str = TOKEN, ca: str = "") -> Path:
    file = tmp_path / "c.toml"
    file.touch(0o600)
    file.write_text(Connection(server, token, ca).text())
    return file


def test_a_key_comes_from_a_file_or_the_environment(plain: str, listener: Listener, tmp_path: Path) -> None:
    file = key_file(tmp_path)
    for words, environ in (
        (("--key-file", file), {}),
        ((), {"FR_KEY_FILE": str(file)}),
        ((), {"FR_KEY": TOKEN}),
        (("--key-file", file), {"FR_KEY": OTHER}),
        ((), {"FR_KEY": ""}),
    ):
        assert fr("--server", plain, *words, "info", **environ)[0] == 0
    assert listener.tokens == [(f"Bearer {TOKEN}",)] * 4 + [()]


def test_a_connection_file_goes_before_the_environment(plain: str, listener: Listener, tmp_path: Path) -> None:
    """Else the key that is meant for one server would be shown to another."""
    others = {"FR_SERVER": "localhost:1", "FR_KEY": OTHER, "FR_KEY_FILE": str(key_file(tmp_path, OTHER))}
    file = connection(tmp_path, plain)
    assert fr("--connection", file, "info", **others, FR_CA=str(tmp_path / "none.pem"))[0] == 0
    assert listener.tokens == [(f"Bearer {TOKEN}",)]
    # What stands beside it on the command line goes before it.
    mine = key_file(tmp_path, OTHER)
    assert fr("--connection", connection(tmp_path, "localhost:1"), "-s", plain, "--key-file", mine, "info")[0] == 0
    assert listener.tokens[1:] == [(f"Bearer {OTHER}",)]
    assert fr("--connection", connection(tmp_path, "nowhere"), "info")[0] == 2  # its address has no port


def test_an_authority_makes_it_tls(encrypted: str, listener: Listener, papers: Papers, tmp_path: Path) -> None:
    assert fr("--server", encrypted, "--ca", papers.ca, "--key-file", key_file(tmp_path), "info")[0] == 0
    assert fr("--server", encrypted, "info", FR_CA=str(papers.ca), FR_KEY=TOKEN)[0] == 0
    assert listener.tokens == [(f"Bearer {TOKEN}",)] * 2
    assert fr("--server", encrypted, "--timeout", "2", "--tls", "info")[0] == 1  # none of the system's authorities
    assert fr("--server", encrypted, "--timeout", "2", "info")[0] == 1
    assert len(listener.told) == 2


def test_a_client_certificate_is_shown(papers: Papers) -> None:
    with listening(Listener(), papers.on_server(clients=True)) as target:
        words = ("--server", target, "--timeout", "5", "--ca", papers.ca)
        own = ("--certificate", papers.client.certificate, "--certificate-key", papers.client.key)
        assert fr(*words, *own, "info")[0] == 0
        assert fr(*words, *own, "health")[:2] == (0, "SERVING\n")
        assert fr(*words, "info")[0] == 1
        assert reason_of(fr(*words, *own[:2], "info")) == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--key-file", "{none}"), "FILE_UNREADABLE: "),
        (("--ca", "{none}"), "FILE_UNREADABLE: "),
        (("--ca", "{key}"), "INVALID_FIELD: "),
        (("--key-file", "{ca}"), "INVALID_FIELD: "),
        (("--key-file", "{empty}"), "is empty, so it holds no key."),
        (("--key-file", "{connection}"), "A connection file is for `Client.from_connection`, or `fr --connection`."),
    ],
)
def test_an_unusable_file_is_one_sentence(papers: Papers, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    files = {"none": tmp_path / "none", "key": key_file(tmp_path), "ca": papers.ca}
    files["connection"] = connection(tmp_path, "localhost:1")
    files["empty"] = tmp_path / "empty"
    files["empty"].touch()
    code, _, error = fr("--server", "localhost:1", *(word.format(**files) for word in words), "info")
    assert (code, said in error, len(error.splitlines()), TOKEN in error) == (1, True, 1, False)


def test_a_key_is_not_sent_to_another_machine_in_the_clear(tmp_path: Path) -> None:
    for words in (
        ("--server", "192.0.2.1:1", "--key-file", key_file(tmp_path)),
        ("--connection", connection(tmp_path, "127.evil.example:1")),
    ):
        code, _, error = fr("--timeout", "2", *words, "info")
        assert (code, "only over TLS" in error, TOKEN in error) == (1, True, False)


def test_health_needs_no_key_and_sends_none(encrypted: str, listener: Listener, papers: Papers, tmp_path: Path) -> None:
    file = connection(tmp_path, encrypted, ca=papers.ca.read_text())
    assert fr("--connection", file, "health") == (0, "SERVING\n", "")
    assert listener.tokens in ([], [()])
    absent = fr("--server", "localhost:1", "--timeout", "2", "health")
    assert (absent[:2], reason_of(absent)) == ((1, ""), "UNREACHABLE")
    assert absent[2].endswith("`fr --server HOST:PORT`, or FR_SERVER, names another address.\n")
    clear = fr("--server", encrypted, "health")
    assert (reason_of(clear), "`fr --connection FILE`" in clear[2]) == ("TLS_REQUIRED", True)
    assert reason_of(fr("--server", "localhost:1", "--ca", tmp_path / "none.pem", "health")) == "FILE_UNREADABLE"
