"""Both clients and the command name the cause where TLS, or its absence, prevents a connection."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from fr_client import Client, Connection, FrApiError, TlsCredentials, tls_credentials
from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE
from fr_client.handshake import Endpoint, tls_failure
from fr_client.requests import EmbedItem
from fr_server.gateway.authority import Issued, make_server_certificate, write_revocations
from fr_server.gateway.gateway import Gateway
from fr_server.gateway.tls import ClientCertificates
from support.gateways import DAY_MS, House, Papers, house, now_ms
from support.scripted import Kind, asked

FR = (sys.executable, "-c", "from fr_command import main; main()")


@dataclass(frozen=True)
class Estate:
    """Certificates of two authorities: ours, and somebody else's."""

    ours: Papers
    theirs: Papers
    server: Issued
    client: Issued
    revoked: Issued
    ended: Issued
    stranger: Issued
    revocations: Path

    @property
    def ca(self) -> Path:
        return self.ours.authority.certificate


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    folder = tmp_path_factory.mktemp("estate")
    ours, theirs = Papers(folder / "ours", now_ms() - 800 * DAY_MS), Papers(folder / "theirs")
    revoked = ours.client("revoked")
    write_revocations(ours.authority, folder / "revoked.pem", [revoked.certificate], now_ms())
    return Estate(
        ours,
        theirs,
        ours.server(),
        ours.client("client"),
        revoked,
        ours.client("ended", now_ms() - 500 * DAY_MS),
        theirs.client("stranger"),
        folder / "revoked.pem",
    )


@contextmanager
def encrypting(estate: Estate, folder: Path, *, clients: bool = False) -> Iterator[House]:
    tls = estate.ours.tls(estate.server)
    if clients:
        tls = estate.ours.tls(estate.server, ClientCertificates.REQUIRED, revoked=estate.revocations)
    with house(folder / "d", tls) as at:
        yield at


def shown(estate: Estate, certificate: Issued) -> TlsCredentials:
    return tls_credentials(estate.ca, certificate.certificate, certificate.key)


LOOKS = 8
WITHOUT_CAUSE = (UNREACHABLE, CONNECTION_LOST, TIMED_OUT)


def failed(
    address: str, credentials: grpc.ChannelCredentials | TlsCredentials | None, *, cause: bool = True
) -> FrApiError:
    """The error that both clients raise, for every kind of call; `cause` unless a look at the handshake finds none.

    A look has 4 s. On a busy machine it may end before it has found the cause, and then another is taken.
    """
    calls: list[Callable[[Any], Any]] = [
        lambda client: client.server_info(),
        lambda client: client.embed_many([EmbedItem(b"photo", "1")]),
        lambda client: client.report("r"),
    ]
    kinds: list[Kind] = ["sync", "async"]
    found = []
    for kind, call in product(kinds, calls):
        for _ in range(LOOKS if cause else 1):
            with pytest.raises(FrApiError) as caught:
                asked(kind, address, call, credentials=credentials, timeout_s=10.0)
            if caught.value.reason not in WITHOUT_CAUSE and "is not accepted" not in caught.value.message:
                break
        found.append(caught.value)
    assert len({(one.code, one.reason, one.message) for one in found}) == 1, found
    assert found[0].code is grpc.StatusCode.UNAVAILABLE
    return found[0]


def test_a_server_of_another_authority_is_not_to_be_gone_on_with(estate: Estate, tmp_path: Path) -> None:
    with encrypting(estate, tmp_path) as at:
        other = estate.theirs.authority.certificate
        for given, named in (
            (other, f"in {other}"),
            (other.read_bytes(), "that was given"),
            (None, "that this system"),
        ):
            error = failed(at.address, tls_credentials(given))
            assert error.reason == "SERVER_NOT_TRUSTED"
            assert error.message.startswith(f"A server answers at {at.address}, but its certificate is not from ")
            assert named in error.message
            assert "Do not continue" in error.message


def test_a_certificate_of_other_names(estate: Estate) -> None:
    made = Issued(estate.ours.folder / "named.pem", estate.ours.folder / "named.key")
    make_server_certificate(estate.ours.authority, made, ["faces.example.org"], [], now_ms())
    with showing(made.key.read_bytes(), made.certificate.read_bytes()) as address:
        error = failed(address, tls_credentials(estate.ca))
    assert (error.reason, "is for other names" in error.message) == ("SERVER_NAME_MISMATCH", True)


@contextmanager
def showing(key: bytes, certificate: bytes) -> Iterator[str]:
    """The address of a server that shows any certificate; a gateway opens with a good one alone.

    It listens on 127.0.0.1 alone: for "localhost:0", gRPC takes a port that is free on ::1, and another server may have
    it on 127.0.0.1.
    """
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait()


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signed(authority: Issued, key: ec.EllipticCurvePrivateKey, name: str, days: tuple[int, int]) -> tuple[bytes, bytes]:
    """A key and a certificate with an authority's name, signed with any key, whose time is so many days from now."""
    own, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.load_pem_x509_certificate(authority.certificate.read_bytes()).subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days[0]))
        .not_valid_after(now + timedelta(days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(key, SHA256())
    )
    return pem_of(own), made.public_bytes(Encoding.PEM)


CURRENT, ENDED, EARLY = (-1, 100), (-100, -1), (1, 100)


@pytest.mark.parametrize("name", ["localhost", "evil.example"])
@pytest.mark.parametrize("days", [CURRENT, ENDED])
@pytest.mark.parametrize("lasting", ["authority", "ended authority"])
def test_a_forged_certificate_is_not_trusted(tmp_path: Path, lasting: str, days: tuple[int, int], name: str) -> None:
    papers = Papers(tmp_path / "ours", now_ms() - (4000 if lasting == "ended authority" else 0) * DAY_MS)
    forger = ec.generate_private_key(ec.SECP256R1())
    with showing(*signed(papers.authority, forger, name, days)) as address:
        error = failed(address, tls_credentials(papers.authority.certificate))
    assert (error.reason, "is not from the authority in" in error.message) == ("SERVER_NOT_TRUSTED", True)
    assert "a name in its certificate" not in error.message


@pytest.mark.parametrize(
    ("begun", "days", "reason", "said"),
    [
        (-4000, CURRENT, "SERVER_CERTIFICATE_EXPIRED", "is from an authority that has ended"),
        (-4000, ENDED, "SERVER_CERTIFICATE_EXPIRED", "is from an authority that has ended"),
        (-800, ENDED, "SERVER_CERTIFICATE_EXPIRED", "its certificate has ended"),
        (10, CURRENT, "SERVER_CERTIFICATE_NOT_YET_VALID", "is from an authority that is not valid yet"),
        (-800, EARLY, "SERVER_CERTIFICATE_NOT_YET_VALID", "its certificate is not valid yet"),
    ],
)
def test_certificates_out_of_time(tmp_path: Path, begun: int, days: tuple[int, int], reason: str, said: str) -> None:
    papers = Papers(tmp_path / "ours", now_ms() + begun * DAY_MS)
    key = load_pem_private_key(papers.authority.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with showing(*signed(papers.authority, key, "localhost", days)) as address:
        error = failed(address, tls_credentials(papers.authority.certificate))
    assert (error.reason, said in error.message) == (reason, True), error.message
    assert ("`fr server renew` makes none" in error.message) == ("authority that has ended" in said)


def test_whose_certificate_is_of_other_names_must_be_found_out(estate: Estate, tmp_path: Path) -> None:
    made = Issued(tmp_path / "other.pem", tmp_path / "other.key")
    make_server_certificate(estate.ours.authority, made, ["faces.example.org"], [], now_ms())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)

    def serve() -> None:
        with suppress(OSError):  # the client refuses the certificate, or it was closed
            context.wrap_socket(listening.accept()[0], server_side=True)
        with suppress(OSError):
            listening.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        found = tls_failure(Endpoint(f"localhost:{listening.getsockname()[1]}", tls_credentials(estate.ca)))
    assert found is not None
    assert (found.reason, "is not accepted" in found.message) == ("SERVER_NOT_TRUSTED", True)


@pytest.mark.parametrize("who", ["revoked", "ended", "stranger"])
def test_a_client_certificate_that_is_refused(estate: Estate, tmp_path: Path, who: str) -> None:
    with encrypting(estate, tmp_path, clients=True) as at:
        error = failed(at.address, shown(estate, getattr(estate, who)))
        assert error.reason == "CLIENT_CERTIFICATE_REFUSED"
        assert "refused this client's certificate" in error.message


def test_a_list_of_revoked_certificates_that_has_lapsed(estate: Estate, tmp_path: Path) -> None:
    lapsed, begun_ms = tmp_path / "lapsed.pem", now_ms() - 40 * DAY_MS
    write_revocations(estate.ours.authority, lapsed, [estate.revoked.certificate], begun_ms)
    server = estate.ours.server(f"server-{tmp_path.name}", begun_ms)
    tls = estate.ours.tls(server, ClientCertificates.REQUIRED, revoked=lapsed)
    (tmp_path / "d").mkdir(mode=0o700)
    # As one that still runs.
    gateway = Gateway("127.0.0.1", 0, False, tmp_path / "d" / "grpc", tls, now_ms=lambda: begun_ms)
    gateway.start()
    try:
        error = failed(f"127.0.0.1:{gateway.port}", shown(estate, estate.client))
    finally:
        gateway.stop(0.0)
    assert error.reason == "CLIENT_CERTIFICATE_REFUSED"
    assert "list of revoked certificates has expired" in error.message


def test_a_client_certificate_that_is_missing(estate: Estate, tmp_path: Path) -> None:
    with encrypting(estate, tmp_path, clients=True) as at:
        error = failed(at.address, tls_credentials(estate.ca))
        assert error.reason == "CLIENT_CERTIFICATE_MISSING"
        assert "`tls_credentials`" in error.message
        # Control: with a good one the server answers, and nothing is wrong.
        with Client(at.address, credentials=shown(estate, estate.client), timeout_s=10.0) as client:
            with pytest.raises(FrApiError) as answered:
                client.server_info()
            assert answered.value.code is grpc.StatusCode.UNKNOWN
        assert tls_failure(Endpoint(at.address, shown(estate, estate.client))) is None


def test_a_certificate_and_a_key_of_another(estate: Estate, tmp_path: Path) -> None:
    with encrypting(estate, tmp_path, clients=True) as at:
        mixed = tls_credentials(estate.ca, estate.client.certificate, estate.revoked.key)
        assert failed(at.address, mixed).reason == "CLIENT_CERTIFICATE_UNUSABLE"


@contextmanager
def greeting(words: bytes) -> Iterator[str]:
    """The address of something that says so much to everybody who comes, and closes."""

    def greet() -> None:
        with suppress(OSError):  # it was closed
            while True:
                one, _ = listening.accept()
                with one:
                    one.sendall(words)
                    one.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=greet, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_one_side_alone_speaks_tls(estate: Estate, tmp_path: Path) -> None:
    with encrypting(estate, tmp_path) as at:
        error = failed(at.address, None)
        assert (error.reason, "`Client.from_connection`" in error.message) == ("TLS_REQUIRED", True)
        # Credentials of gRPC keep to themselves what they are made of: nothing is guessed.
        assert failed(at.address, estate.theirs.credentials(), cause=False).reason == "UNREACHABLE"
    with house(tmp_path / "plain") as at:
        for credentials in (tls_credentials(estate.ca), estate.ours.credentials()):
            assert failed(at.address, credentials).reason == "TLS_NOT_OFFERED"
    with greeting(b"SSH-2.0-OpenSSH_9.2\r\n") as address:
        assert failed(address, tls_credentials(estate.ca)).reason == "TLS_NOT_OFFERED"


def test_where_nothing_answers_nothing_is_said_of_tls(estate: Estate) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for credentials in (None, tls_credentials(estate.ca)):
            assert failed(address, credentials, cause=False).reason == "UNREACHABLE"
    for elsewhere in ("unix:/nowhere", "ipv4:127.0.0.1:1,127.0.0.2:1", "no-such-name.invalid:1"):
        assert tls_failure(Endpoint(elsewhere, tls_credentials(estate.ca))) is None


@contextmanager
def silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """The address of something that takes connections and says nothing, and those that it has taken."""
    taken: list[socket.socket] = []

    def take() -> None:
        with suppress(OSError):  # it was closed
            while True:
                taken.append(listening.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=take, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", taken
        listening.shutdown(socket.SHUT_RDWR)
    for one in taken:
        one.close()


def test_a_look_takes_about_as_long_as_the_call_and_calls_that_fail_together_look_once(estate: Estate) -> None:
    with silent() as (address, taken), ThreadPoolExecutor(20) as pool:
        endpoint = Endpoint(address, tls_credentials(estate.ca))
        began = time.monotonic()
        assert set(pool.map(lambda _: tls_failure(endpoint, 0.3), range(20))) == {None}
        assert time.monotonic() - began < 20 * 0.3
        assert len(taken) == 2, "one handshake, and one greeting without TLS"


def test_a_call_does_not_wait_for_a_look_that_takes_longer_than_it_had(estate: Estate) -> None:
    with silent() as (address, taken), ThreadPoolExecutor(1) as pool:
        endpoint = Endpoint(address, tls_credentials(estate.ca))
        long = pool.submit(tls_failure, endpoint, 3.0)
        while not taken:
            time.sleep(0.01)
        assert tls_failure(endpoint, 0.2) is None
        assert not long.done()
        assert long.result() is None


@contextmanager
def dead() -> Iterator[int]:
    """A port of 127.0.0.1 that lets packets fall: nobody takes the connections that wait there already."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for one in (first, second):
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listening.getsockname())
        yield listening.getsockname()[1]


def resolving(monkeypatch: pytest.MonkeyPatch, ports: list[int], takes_s: float = 0.0) -> None:
    """Have the system's resolver say so of each name; the first address is of a kind that this system lacks."""
    nowhere = (12345, socket.SOCK_STREAM, 6, "", ("nowhere", 1))

    def answer(*_: Any, **__: Any) -> list[Any]:
        time.sleep(takes_s)
        return [nowhere, *((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_look_waits_for_no_resolver_longer_than_the_call(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    resolving(monkeypatch, [1], takes_s=5.0)
    for credentials in (tls_credentials(estate.ca), None):
        began = time.monotonic()
        assert tls_failure(Endpoint("faces.example:443", credentials), 0.3) is None
        assert time.monotonic() - began < 5.0
    look_ups = [one for one in set(threading.enumerate()) - before if one.name == "fr-look-up"]
    assert [one.daemon for one in look_ups] == [True, True], "none of them holds up the end of the program"


def test_all_addresses_share_one_time(estate: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tls_credentials(estate.theirs.authority.certificate)
    with dead() as nobody, encrypting(estate, tmp_path) as at:
        resolving(monkeypatch, [nobody] * 20)
        began = time.monotonic()
        assert tls_failure(Endpoint("faces.example:443", theirs), 0.5) is None
        assert time.monotonic() - began < 20 * 0.5
        resolving(monkeypatch, [nobody, nobody, int(at.address.rpartition(":")[2])])
        found = tls_failure(Endpoint("faces.example:443", theirs), 3.0)
    assert found is not None
    assert found.reason == "SERVER_NOT_TRUSTED", "the last of the addresses has its part of the time too"


@pytest.mark.parametrize("address", ["a..b:1", ".localhost:1", f"{'x' * 64}:1", f"localhost:{'9' * 5000}"])
def test_an_address_that_is_none_is_told_in_the_words_of_the_call(estate: Estate, address: str) -> None:
    assert tls_failure(Endpoint(address, tls_credentials(estate.ca))) is None
    assert tls_failure(Endpoint(address)) is None


def fr(*words: str) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run((*FR, *words), capture_output=True, text=True, timeout=60, env=environment, check=False)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("command", ["info", "health"])
def test_the_command_says_it_once_and_grpc_is_silent(estate: Estate, tmp_path: Path, command: str) -> None:
    certificate = ("--certificate", str(estate.revoked.certificate), "--certificate-key", str(estate.revoked.key))
    with encrypting(estate, tmp_path, clients=True) as at:
        to = ("--server", at.address, "--ca")
        code, out, error = fr(*to, str(estate.ca), *certificate, command)
        assert (code, out, error.count("\n")) == (1, "", 1)
        assert "refused this client's certificate" in error
        code, out, error = fr(*to, str(estate.theirs.authority.certificate), command, "--json")
        assert (code, error.count("\n")) == (1, 1)
        assert json.loads(out)["error"]["reason"] == "SERVER_NOT_TRUSTED"
        assert "its certificate is not from the authority in" in error
        file = tmp_path / "desk.toml"
        file.write_text(Connection(at.address, ca=estate.theirs.root().decode()).text())
        code, _, error = fr("--connection", str(file), command)
        assert (code, f"its certificate is not from the authority in {file}." in error) == (1, True)


def test_the_command_that_is_installed_begins_where_grpc_is_not_imported_yet() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "client/pyproject.toml").read_text())["project"]
    assert project["scripts"]["fr"] == "fr_command:main"
    looks = "import sys, fr_command; assert not {'grpc', 'fr_client'} & set(sys.modules)"
    subprocess.run((sys.executable, "-c", looks), check=True, timeout=60)
