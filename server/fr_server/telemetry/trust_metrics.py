"""Defines and counts the metrics of the gateway, of access and of the audit."""

from collections.abc import Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter

from fr_core.errors import FileTampered, KeyUnavailable, TlsUnusable
from fr_server.telemetry.spec import Spec, counter, gauge, specs_in
from fr_server.telemetry.trust import Chain, DecoderEnd, HandshakeFailure, Parting, Refusal, Trust
from fr_trust.access.refusals import Why
from fr_trust.errors import CredentialMissing, NotPermitted, QuotaExceeded, RateLimited

OTHER = "other"  # the label for unknown words. (`unknown` already means an API key that does not exist.)

CHAINS: tuple[Chain, ...] = get_args(Chain)
DECODER_ENDS: tuple[DecoderEnd, ...] = get_args(DecoderEnd)
ACCESS_REASONS = (
    *(error.reason for error in (CredentialMissing, NotPermitted, RateLimited, QuotaExceeded)),
    *(why.value for why in Why),
)
RELOAD_REASONS = tuple(error.reason for error in (FileTampered, KeyUnavailable, TlsUnusable))

HANDSHAKES_FAILED = Spec("fr_door_handshakes_failed_total", "counter", "Failed TLS handshakes, by cause.", ("why",))
DOOR_REFUSED = Spec(
    "fr_door_refused_total", "counter", "Connections closed before any byte reached the server.", ("why",)
)
DOOR_ENDED = Spec(
    "fr_door_ended_total", "counter", "Ended connections, by the side that ended them or by cause.", ("why",)
)
DOOR_CONNECTIONS = Spec("fr_door_connections", "gauge", "Open connections through the gateway.")
ACCESS_REFUSED = Spec(
    "fr_access_refused_total",
    "counter",
    "Calls refused because of the caller's credential, rights or rate. For invalid credentials, the reason says why.",
    ("reason",),
)
AUDIT_CHECKPOINT = Spec(
    "fr_audit_checkpoint_timestamp_seconds",
    "gauge",
    "Time of the last checkpoint of a chain, in seconds since 1970; 0 if there is none.",
    ("chain",),
    of_processes="max",
)
AUDIT_CONTRADICTED = Spec(
    "fr_audit_checkpoint_contradicted",
    "gauge",
    "1 if a chain contradicts its newest checkpoint in `audit.checkpoint_folder`, otherwise 0.",
    ("chain",),
    of_processes="max",
)
CERTIFICATE_EXPIRY = Spec(
    "fr_certificate_expiry_timestamp_seconds",
    "gauge",
    "Time at which the current certificate expires, in seconds since 1970; 0 without TLS.",
    of_processes="max",
)
CRL_EXPIRY = Spec(
    "fr_crl_expiry_timestamp_seconds",
    "gauge",
    "Time at which the current list of revoked certificates (CRL) expires, in seconds since 1970; 0 without one.",
    of_processes="livemostrecent",
)
RELOADS_REFUSED = Spec(
    "fr_reloads_refused_total",
    "counter",
    "Reloads at SIGHUP that did not change the certificates, by reason, for each process that reads them.",
    ("reason",),
)
API_KEY_EXPIRY = Spec(
    "fr_api_key_expiry_timestamp_seconds",
    "gauge",
    "Time at which the next valid API key expires, in seconds since 1970; 0 if none expires.",
    of_processes="livemostrecent",
)
DECODERS_REPLACED = Spec(
    "fr_decoders_replaced_total", "counter", "Photo-decoding processes that the server replaced early.", ("why",)
)

TRUST_SPECS = specs_in(globals())


class PrometheusTrust(Trust):
    """Counts events; every series exists from the start, at zero.

    A checkpoint's series begins with the first checkpoint, so that a server without checkpoints shows none as missing.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handshakes = _each(counter(HANDSHAKES_FAILED, registry), HandshakeFailure)
        self._refused = _each(counter(DOOR_REFUSED, registry), Refusal)
        self._ended = _each(counter(DOOR_ENDED, registry), Parting)
        self._access = _each(counter(ACCESS_REFUSED, registry), ACCESS_REASONS)
        self._decoders = _each(counter(DECODERS_REPLACED, registry), DECODER_ENDS)
        self._connections = gauge(DOOR_CONNECTIONS, registry)
        self._checkpoints = gauge(AUDIT_CHECKPOINT, registry)
        self._contradicted = gauge(AUDIT_CONTRADICTED, registry)
        self._expiry = gauge(CERTIFICATE_EXPIRY, registry)
        self._crl_expiry = gauge(CRL_EXPIRY, registry)
        self._key_expiry = gauge(API_KEY_EXPIRY, registry)
        self._reloads = _each(counter(RELOADS_REFUSED, registry), RELOAD_REASONS)

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        _known(self._handshakes, why).inc()

    def connection_refused(self, address: str, why: Refusal) -> None:
        _known(self._refused, why).inc()

    def connected(self, address: str) -> None:
        self._connections.inc()

    def disconnected(self, address: str, why: Parting) -> None:
        self._connections.dec()
        _known(self._ended, why).inc()

    def access_refused(self, reason: str) -> None:
        _known(self._access, reason).inc()

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        self._checkpoints.labels(chain if chain in CHAINS else OTHER).set(at_s)

    def checkpoint_agrees(self, chain: Chain, agrees: bool) -> None:
        self._contradicted.labels(chain if chain in CHAINS else OTHER).set(int(not agrees))

    def certificate_expires(self, at_s: float) -> None:
        self._expiry.set(at_s)

    def revocations_expire(self, at_s: float) -> None:
        self._crl_expiry.set(at_s)

    def reload_refused(self, reason: str) -> None:
        _known(self._reloads, reason).inc()

    def keys_expire(self, at_s: float) -> None:
        self._key_expiry.set(at_s)

    def decoder_replaced(self, why: DecoderEnd) -> None:
        _known(self._decoders, why).inc()


def _each(family: Counter, words: Iterable[str]) -> Mapping[str, Counter]:
    return {word: family.labels(word) for word in (*(str(word) for word in words), OTHER)}


def _known(series: Mapping[str, Counter], word: str) -> Counter:
    return series.get(word, series[OTHER])
