"""Makes a private certificate authority, and certificates for a server and its clients.

Keys are ECDSA P-256 (FIPS 186-5), which every TLS 1.3 client can do (RFC 8446, section 9.1).
"""

import ipaddress
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fr_core.errors import InvalidField, StoreFailed, TargetTaken, message
from fr_core.storage.durable import cause, name_whole, sync, write_new
from fr_server.gateway.pem import (
    moment,
    read_certificates,
    read_key,
    read_revocations,
    require_current,
    require_fits,
    require_private,
    unusable,
)

AUTHORITY_DAYS = 3650
# The longest time that clients of other kinds, such as Apple's, accept (CA/Browser Forum ballot SC31: 398 days).
CERTIFICATE_DAYS = 397
REVOCATIONS_DAYS = 30
# Clocks of other machines may be behind.
_BACKDATED = timedelta(hours=1)
_MAX_NAME = 64  # ub-common-name of RFC 5280
# In the order of RFC 5280, 4.2.1.3: digitalSignature is the first, keyCertSign and cRLSign are the sixth and seventh.
_SIGNS_DATA = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
_SIGNS_CERTIFICATES = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate (mode 0644) and its key (mode 0600, not encrypted), in PEM files."""

    certificate: Path
    key: Path


def make_authority(into: Issued, common_name: str, now_ms: int) -> None:
    """Make an authority that is valid for ten years. It signs certificates, but no other authorities.

    Raises:
        TargetTaken: one of the files already exists; nothing was written.
        StoreFailed: the files cannot be written; nothing remains of them.
        InvalidField: the name is not of 1 to 64 characters.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name)
    builder = (
        _builder(subject, subject, key.public_key(), now_ms, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
    )
    _write(into, key, builder.sign(key, hashes.SHA256()))


def make_server_certificate(
    authority: Issued, into: Issued, dns_names: Sequence[str], addresses: Sequence[str], now_ms: int, first: str = ""
) -> None:
    """Make a server certificate, valid for 397 days or until its authority expires; `first` is the name to list first.

    It needs a DNS name, which may begin with `*.`, or an IP address for clients. `first` may be "" for the first name.

    Raises:
        TlsUnusable: the authority cannot sign: as `check_tls`, or it is not an authority.
        InvalidField: there is no name and no address, or one is invalid.
        TargetTaken, StoreFailed: as `make_authority`.
    """
    try:
        names: list[x509.GeneralName] = [x509.DNSName(_dns_name(name)) for name in dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    except ValueError as error:
        raise InvalidField(message("error.server.name_address_server_invalid"), field="server_names") from error
    if not names:
        raise InvalidField(message("error.server.server_certificate_needs_name"), field="server_names")
    names.sort(key=lambda name: str(name.value) != first)
    alternative = x509.SubjectAlternativeName(names)
    _issue(authority, into, _name("FR Core server"), ExtendedKeyUsageOID.SERVER_AUTH, now_ms, alternative)


def make_client_certificate(authority: Issued, into: Issued, common_name: str, now_ms: int) -> None:
    """Make a client certificate, valid for 397 days or until its authority expires.

    `common_name` has 1 to 64 characters. Only the server reads it (TLS 1.3 encrypts certificates). Raises as
    `make_server_certificate`.
    """
    _issue(authority, into, _name(common_name), ExtendedKeyUsageOID.CLIENT_AUTH, now_ms, None)


def write_revocations(
    authority: Issued, path: Path, revoked: Sequence[Path], now_ms: int, *, renew: bool = False
) -> None:
    """Write an authority's list of revoked certificates, valid for 30 days; replaces an earlier list.

    `revoked` are files of all revoked certificates, including those on earlier lists; with `renew` it keeps the entries
    of the list at `path`, even if that list has expired. Raises `TlsUnusable` if the authority cannot sign, did not
    sign a certificate or the list to renew, or the list is unreadable, and `StoreFailed` if the list cannot be written;
    the earlier one stays.
    """
    certificate, key = _signer(authority, now_ms)
    now = moment(now_ms)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(now - _BACKDATED)
        .next_update(now + timedelta(days=REVOCATIONS_DAYS))
        # RFC 5280, section 5.2.3: numbers grow; so does the time.
        .add_extension(x509.CRLNumber(now_ms), critical=False)
        .add_extension(_key_identifier(certificate), critical=False)
    )
    before = read_revocations(path, [certificate]) if renew else []
    entries = {one.serial_number: one for listed in before for one in listed}
    for file in revoked:
        one = read_certificates(file)[0]
        if one.issuer != certificate.subject:
            raise unusable(file, message("error.server.holds_certificate_authority_not"))
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(now).build()
        entries.setdefault(one.serial_number, entry)
    for entry in entries.values():
        builder = builder.add_revoked_certificate(entry)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        write_new(partial, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), 0o644)
        name_whole(partial, path)
    except OSError as error:
        raise StoreFailed(message("error.server.list_revoked_certificates_cannot"), errno=cause(error)) from error


def _issue(
    authority: Issued,
    into: Issued,
    subject: x509.Name,
    purpose: x509.ObjectIdentifier,
    now_ms: int,
    names: x509.SubjectAlternativeName | None,
) -> None:
    signer, signing_key = _signer(authority, now_ms)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(subject, signer.subject, key.public_key(), now_ms, CERTIFICATE_DAYS, signer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS_DATA, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_key_identifier(signer), critical=False)
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    _write(into, key, builder.sign(signing_key, hashes.SHA256()))


def _signer(authority: Issued, now_ms: int) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = read_certificates(authority.certificate)[0]
    require_current(authority.certificate, certificate, now_ms)
    require_private(authority.key)
    require_fits(authority.key, certificate)
    key = read_key(authority.key)
    limits = next((one.value for one in certificate.extensions if isinstance(one.value, x509.BasicConstraints)), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or limits is None or not limits.ca:
        raise unusable(authority.certificate, message("error.server.does_not_belong_authority"))
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now_ms: int,
    days: int,
    signer: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    begins, ends = moment(now_ms) - _BACKDATED, moment(now_ms) + timedelta(days=days)
    if signer is not None:
        begins, ends = max(begins, signer.not_valid_before_utc), min(ends, signer.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_identifier(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _name(common_name: str) -> x509.Name:
    if not 0 < len(common_name) <= _MAX_NAME or not common_name.isprintable():
        raise InvalidField(message("error.server.certificate_name", most=_MAX_NAME), field="common_name")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _dns_name(name: str) -> str:
    labels = name.removeprefix("*.").split(".")
    if not all(label and len(label) <= 63 and label.isascii() for label in labels) or len(name) > 253:
        raise ValueError("no DNS name")
    if not all(letter.isalnum() or letter in "-_" for label in labels for letter in label):
        raise ValueError("no DNS name")
    return name


def _write(into: Issued, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    """Write both files, or neither."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if into.key == into.certificate:
        raise TargetTaken(message("error.server.certificate_key_need_separate"))
    try:
        with ExitStack() as undoing:
            for path, content, mode in (
                (into.key, pem, 0o600),
                (into.certificate, certificate.public_bytes(Encoding.PEM), 0o644),
            ):
                write_new(path, content, mode)
                undoing.callback(path.unlink, missing_ok=True)
                sync(path.parent)
            undoing.pop_all()
    except FileExistsError as error:
        raise TargetTaken(message("error.server.file_already_exists_path")) from error
    except OSError as error:
        raise StoreFailed(message("error.server.certificate_key_cannot_written"), errno=cause(error)) from error
