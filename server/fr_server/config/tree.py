"""The tree of settings, with their defaults; `keys` says what each means."""

from __future__ import annotations

from dataclasses import dataclass, field

from fr_core.imaging import ImageLimits
from fr_core.quality.assess import QualityLimits


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The address of the server and the work that it accepts; `server` in the file."""

    host: str = "127.0.0.1"
    port: int = 50061
    reflection: bool = True
    max_in_flight: int = 64
    stream_window: int = 8
    drain_s: float = 20.0
    frontends: int = 0


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The encryption of connections, and the clients that may connect; `tls` in the file."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    client_certificates: str = "off"
    revoked: str = ""


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """The callers, and the number of calls that each may make; `access` in the file."""

    mode: str = "auto"
    folder: str = ""
    key_days: int = 365
    requests_per_s: float = 50.0
    burst: int = 200
    searches_per_day: int = 0
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_jwks: str = ""
    oidc_algorithms: tuple[str, ...] = ("RS256", "ES256")
    oidc_roles_claim: str = "roles"
    oidc_galleries_claim: str = "galleries"
    oidc_courses_claim: str = "courses"
    oidc_leeway_s: int = 30


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Limits for connections and calls; `limits` in the file."""

    connections: int = 1024
    connections_per_address: int = 256
    streams_per_connection: int = 1024
    streams_per_caller: int = 24
    metadata_bytes: int = 16_384
    handshake_s: float = 5.0
    stall_s: float = 30.0
    idle_s: float = 0.0
    call_s: float = 300.0


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Says where to write checkpoints and archives of the audit, and how long to keep it; `audit` in the file."""

    checkpoint_folder: str = ""
    checkpoint_every_s: float = 3600.0
    keep_days: int = 0
    archive_folder: str = ""


@dataclass(frozen=True, slots=True)
class CasesConfig:
    """The folder of cases, and the time for which they are kept at least; `cases` in the file."""

    folder: str = ""
    least_retention_days: int = 30


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The models, and the devices that run them; `model` in the file."""

    pack: str = "buffalo_s"
    device: str = "auto"
    precision: str = "f32"
    detection: str = "thorough"
    flip: bool = False
    threads: int = 0
    lanes: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class BatchingConfig:
    """The way in which faces of several calls share a run of a model; `batching` in the file."""

    detector_sizes: str = "auto"
    embedder_sizes: str = "auto"
    max_queued: int = 1024


@dataclass(frozen=True, slots=True)
class IsolationConfig:
    """The process that decodes photos, and its limits; `isolation` in the file."""

    decoding: str = "none"
    workers: int = 0
    memory_mib: int = 1024
    time_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class GalleryConfig:
    """The folder of galleries, and the way they are searched; `gallery` in the file."""

    folder: str = ""
    index: str = "auto"
    key: str = ""
    reserve_mib: int = 64


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """The folder of reports; `evaluation` in the file."""

    folder: str = ""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The folder of courses and of trainees' answers; `training` in the file."""

    folder: str = ""


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """Logs, metrics and traces; `telemetry` in the file."""

    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    tracing: str = ""
    log_format: str = "text"


@dataclass(frozen=True, slots=True)
class Config:
    """The whole tree."""

    server: NetworkConfig = field(default_factory=NetworkConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    images: ImageLimits = field(default_factory=ImageLimits)
    isolation: IsolationConfig = field(default_factory=IsolationConfig)
    quality: QualityLimits = field(default_factory=QualityLimits)
    gallery: GalleryConfig = field(default_factory=GalleryConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    cases: CasesConfig = field(default_factory=CasesConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
