"""Certificates that the product makes itself, and what it demands of those that it is given."""

import ipaddress
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from fr_core.errors import InvalidField, StoreFailed, TargetTaken, TlsUnusable
from fr_server.gateway.authority import (
    Issued,
    make_authority,
    make_client_certificate,
    make_server_certificate,
    write_revocations,
)
from fr_server.gateway.pem import expires_ms, revocations_expire_ms
from fr_server.gateway.tls import ClientCertificates, TlsFiles, check_tls
from support.gateways import DAY_MS, Papers

NOW_MS = 1_800_000_000_000


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path / "papers", NOW_MS)


@pytest.fixture
def files(papers: Papers) -> TlsFiles:
    return papers.tls(papers.server(at_ms=NOW_MS), ClientCertificates.REQUIRED)


def test_an_authority_is_one_and_issues_servers_of_names_and_addresses(papers: Papers, tmp_path: Path) -> None:
    made = x509.load_pem_x509_certificate(papers.root())
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)
    assert expires_ms(papers.authority.certificate) == NOW_MS + 3650 * DAY_MS
    client = papers.client("late", at_ms=NOW_MS + 3600 * DAY_MS)
    assert expires_ms(client.certificate) == expires_ms(papers.authority.certificate)
    into = Issued(tmp_path / "s.pem", tmp_path / "s.key")
    make_server_certificate(papers.authority, into, ["fr.example", "*.fr.example"], ["10.0.0.1", "::1"], NOW_MS)
    made = x509.load_pem_x509_certificate(into.certificate.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fr.example", "*.fr.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("::1")]
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(papers.root()))
    assert expires_ms(into.certificate) == NOW_MS + 397 * DAY_MS


@pytest.mark.parametrize("umask", [0, 0o077])
def test_keys_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    with ExitStack() as after:
        after.callback(os.umask, os.umask(umask))
        papers = Papers(tmp_path / "open", NOW_MS)
    assert stat.S_IMODE(papers.authority.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(papers.authority.certificate.stat().st_mode) == 0o644


@pytest.mark.parametrize("taken", ["c.pem", "c.key"])
def test_nothing_is_overwritten_and_nothing_is_left(papers: Papers, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(TargetTaken):
        make_client_certificate(papers.authority, Issued(tmp_path / "c.pem", tmp_path / "c.key"), "client", NOW_MS)
    assert (tmp_path / taken).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [taken]


def test_impossible_names_addresses_issuers_and_folders_are_refused(papers: Papers, tmp_path: Path) -> None:
    into, nowhere = Issued(tmp_path / "c.pem", tmp_path / "c.key"), tmp_path / "not there"
    with pytest.raises(StoreFailed) as refused:
        make_authority(Issued(nowhere / "c.pem", nowhere / "c.key"), "authority", NOW_MS)
    assert refused.value.metadata == {"errno": "ENOENT"}
    with pytest.raises(TlsUnusable, match="does not belong to an authority"):
        make_client_certificate(papers.client("client", at_ms=NOW_MS), into, "other", NOW_MS)
    for name in ("", "x" * 65, "a\nb"):
        with pytest.raises(InvalidField):
            make_client_certificate(papers.authority, into, name, NOW_MS)
    for names, addresses in (([], []), (["a b"], []), (["a..b"], []), (["ü.example"], []), ([], ["300.1.1.1"])):
        with pytest.raises(InvalidField):
            make_server_certificate(papers.authority, into, names, addresses, NOW_MS)
    assert not into.key.exists()


def _encrypted(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)  # a reader that opens it waits for a writer


@pytest.mark.parametrize(
    ("which", "damage", "says"),
    [
        ("certificate", lambda path: path.unlink(), "ENOENT"),
        ("certificate", lambda path: path.write_bytes(b"no PEM"), "no certificate"),
        ("certificate", lambda path: path.write_bytes(bytes(5 * 2**20)), "more than"),
        ("key", lambda path: path.unlink(), "ENOENT"),
        ("key", lambda path: path.chmod(0o640), "open to others"),
        ("key", lambda path: path.write_bytes(b"no PEM"), "no private key"),
        ("key", _encrypted, "no private key"),
        ("client_ca", lambda path: path.write_bytes(b"# none yet\n"), "no certificate"),
        ("client_ca", lambda path: path.unlink(), "ENOENT"),
        ("certificate", _pipe, "EINVAL"),
        ("client_ca", _pipe, "EINVAL"),
    ],
)
def test_unusable_files_are_named(files: TlsFiles, which: str, damage: Callable[[Path], object], says: str) -> None:
    path = getattr(files, which)
    damage(path)
    with pytest.raises(TlsUnusable, match=says) as refused:
        check_tls(files, NOW_MS)
    assert refused.value.metadata == {"file": str(path)}


def test_certificates_have_their_time(files: TlsFiles) -> None:
    ends = expires_ms(files.certificate)
    check_tls(files, ends)
    for at_ms, says in ((ends + 1000, "expired"), (NOW_MS - DAY_MS, "not valid yet")):
        with pytest.raises(TlsUnusable, match=says) as refused:
            check_tls(files, at_ms)
        assert refused.value.metadata == {"file": str(files.certificate)}


def test_another_key_does_not_fit_and_clients_need_an_authority(papers: Papers, files: TlsFiles) -> None:
    other = papers.server("other", at_ms=NOW_MS)
    with pytest.raises(TlsUnusable, match="not the certificate's"):
        check_tls(replace(files, key=other.key), NOW_MS)
    with pytest.raises(TlsUnusable):
        check_tls(replace(files, client_ca=None), NOW_MS)
    check_tls(replace(files, client_ca=None, client_certificates=ClientCertificates.OFF), NOW_MS)


def test_lists_of_revoked_certificates(papers: Papers, files: TlsFiles, tmp_path: Path) -> None:
    path = tmp_path / "revoked.pem"
    listed = replace(files, revoked=path)
    client = papers.client("client", at_ms=NOW_MS)
    write_revocations(papers.authority, path, [], NOW_MS)
    write_revocations(papers.authority, path, [client.certificate], NOW_MS)  # replaces
    check_tls(listed, NOW_MS)
    serial = x509.load_pem_x509_certificate(client.certificate.read_bytes()).serial_number
    read = x509.load_pem_x509_crl(path.read_bytes())
    assert read.get_revoked_certificate_by_serial_number(serial) is not None
    with pytest.raises(TlsUnusable, match="expired at"):
        check_tls(listed, NOW_MS + 31 * DAY_MS)
    stranger = Papers(tmp_path / "stranger", NOW_MS)  # of the same name, with another key
    with pytest.raises(TlsUnusable, match="no authority of clients"):
        check_tls(replace(listed, client_ca=stranger.authority.certificate), NOW_MS)
    path.write_bytes(papers.root())
    with pytest.raises(TlsUnusable, match="no list"):
        check_tls(listed, NOW_MS)


def test_only_a_list_of_its_own_is_renewed_with_all_that_it_names(
    papers: Papers, files: TlsFiles, tmp_path: Path
) -> None:
    path = tmp_path / "revoked.pem"
    first, second = (papers.client(name, at_ms=NOW_MS).certificate for name in ("first", "second"))
    write_revocations(papers.authority, path, [first], NOW_MS)
    assert revocations_expire_ms(path) == NOW_MS + 30 * DAY_MS
    lapsed_ms = NOW_MS + 40 * DAY_MS
    listed = replace(files, revoked=path)
    with pytest.raises(TlsUnusable, match=r"expired at .* UTC.*certificate revoke --renew"):
        check_tls(listed, lapsed_ms)
    write_revocations(papers.authority, path, [second, first], lapsed_ms, renew=True)
    check_tls(listed, lapsed_ms)
    assert revocations_expire_ms(path) == lapsed_ms + 30 * DAY_MS
    named = {one.serial_number: one.revocation_date_utc for one in x509.load_pem_x509_crl(path.read_bytes())}
    serials = [x509.load_pem_x509_certificate(one.read_bytes()).serial_number for one in (first, second)]
    assert list(named) == serials
    assert int(named[serials[0]].timestamp()) * 1000 == NOW_MS, "it is revoked since it was"
    write_revocations(papers.authority, path, [], lapsed_ms, renew=True)
    assert len(x509.load_pem_x509_crl(path.read_bytes())) == 2
    path.unlink()
    with pytest.raises(TlsUnusable, match="cannot be read"):
        write_revocations(papers.authority, path, [], NOW_MS, renew=True)
    stranger = Papers(tmp_path / "stranger", NOW_MS)
    write_revocations(stranger.authority, path, [], NOW_MS)
    before = path.read_bytes()
    with pytest.raises(TlsUnusable, match="no authority of clients"):
        write_revocations(papers.authority, path, [], NOW_MS, renew=True)
    assert path.read_bytes() == before


def test_a_running_server_does_not_know_how_certificates_are_issued() -> None:
    code = "import sys, fr_server.main; sys.exit('fr_server.gateway.authority' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
