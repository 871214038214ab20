"""The tree of settings: the default, the meaning and the values of each."""

import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar, get_args

from fr_core.detect.multiscale import DetectionMode
from fr_core.gallery.index.milvus_settings import FLAT, KINDS, MILVUS
from fr_core.gallery.index.register import INDEX_NAMES
from fr_core.imaging import KNOWN_FORMATS, ImageLimits
from fr_core.imaging.decode import MAX_PIXELS_CEILING
from fr_core.quality.assess import QualityLimits
from fr_core.runtime.devices import AUTO_PRECISION, Precision
from fr_trust.access.keys import MAX_LIFETIME_DAYS

T = TypeVar("T")

# A message holds two photos at most (Compare). Room for twice as much, so that a photo that is somewhat too large is
# refused by the server, with a reason, rather than by gRPC without one.
MESSAGE_PHOTOS = 4
MESSAGE_EXTRA_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Key:
    """The meaning of one setting, and its values."""

    meaning: str  # a sentence for docs/configuration.md and for `fr serve --print-config`
    low: float | None = None  # smallest number, or None
    high: float | None = None  # largest number, or None
    choices: tuple[str, ...] = ()  # the words allowed, or empty for any


def _set(
    default: T, meaning: str, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> T:
    return field(default=default, metadata={"key": Key(meaning, low, high, choices)})


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The address of the server and the work that it accepts; `server` in the file."""

    host: str = _set(
        "127.0.0.1", "Address to listen on; 0.0.0.0 for every interface. An address beyond this machine needs `tls`."
    )
    port: int = _set(50061, "TCP port to listen on; 0 for any free port.", 0, 65535)
    name: str = _set(
        "", "Name of this server among those that share a database (see postgresql.md); empty for its host and port."
    )
    reflection: bool = _set(
        True, "Let clients such as grpcurl list the services and messages. Not allowed if calls need a key."
    )
    max_in_flight: int = _set(
        64,
        "Maximum number of calls in progress; at most three quarters may be streams. The server refuses more "
        "with OVERLOADED.",
        1,
        100_000,
    )
    stream_window: int = _set(
        8, "Maximum number of items of one stream in progress. Further items wait in the network.", 1, 1024
    )
    drain_s: float = _set(20.0, "Seconds that running calls have to finish after SIGTERM.", 0, 3600)
    frontends: int = _set(
        0,
        "Number of processes that answer calls and process photos, besides the one that runs the models; 0 for none.",
        0,
        64,
    )


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The HTTP interface, a process of its own in front of the server; `web` in the file."""

    port: int = _set(0, "TCP port for HTTP: the console, and JSON for every call; 0 for none.", 0, 65535)
    host: str = _set(
        "127.0.0.1", "Address to listen on for HTTP. It speaks HTTPS with the certificate of `tls`, if there is one."
    )
    names: str = _set(
        "",
        "Comma-separated names by which a proxy on this machine calls it, such as faces.example.org; empty for none.",
    )
    origins: str = _set(
        "", "Comma-separated sites whose pages may call it, such as https://console.example.org; empty for none."
    )
    lti: str = _set(
        "", "TOML file of the learning platforms that may open courses with LTI 1.3 (see lti.md); empty for none."
    )


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The encryption of connections, and the clients that may connect; `tls` in the file."""

    certificate: str = _set("", "PEM file with the server's certificate and its chain; empty for no encryption.")
    key: str = _set("", "PEM file with the server's private key. Only its owner may be able to read it.")
    client_ca: str = _set("", "PEM file with the authorities that issue client certificates.")
    client_certificates: str = _set(
        "off",
        "Require client certificates or not. They identify the calling machine; API keys identify the caller.",
        choices=("off", "optional", "required"),
    )
    revoked: str = _set("", "PEM file with the list of revoked client certificates (CRL); empty for none.")


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """The callers, and the number of calls that each may make; `access` in the file."""

    mode: str = _set(
        "auto",
        "keys: every call needs a key or a token; open: no key, only on this machine; auto: keys if one existed at the "
        "start, an issuer is set, or other machines can call.",
        choices=("auto", "open", "keys"),
    )
    folder: str = _set("", "Folder for the API keys and their audit; empty for `access` in the gallery folder.")
    key_days: int = _set(365, "Default lifetime of a new key, in days.", 1, MAX_LIFETIME_DAYS)
    requests_per_s: float = _set(50.0, "Long-run limit on calls and items per second for each key.", 0.1, 1e6)
    burst: int = _set(200, "Calls and items of streams and batches that a key may send at once.", 1, 1_000_000)
    searches_per_day: int = _set(
        0,
        "Daily limit (UTC) on searches for each token, and for each new key without its own limit; 0 for no limit.",
        0,
        1_000_000_000,
    )
    oidc_issuer: str = _set(
        "", "Issuer (`iss`) of tokens that the server accepts in addition to API keys; empty for none."
    )
    oidc_audience: str = _set("", "Required audience (`aud`) of tokens.")
    oidc_jwks: str = _set("", "Public keys of the issuer: a JWKS file, or its https address.")
    oidc_algorithms: tuple[str, ...] = _set(
        ("RS256", "ES256"),
        "Accepted signature algorithms for tokens.",
        choices=("RS256", "PS256", "ES256", "ES384", "EdDSA"),
    )
    oidc_roles_claim: str = _set("roles", "Token claim that lists the roles.")
    oidc_galleries_claim: str = _set("galleries", "Token claim that lists the galleries.")
    oidc_courses_claim: str = _set("courses", "Token claim that lists the courses.")
    oidc_leeway_s: int = _set(30, "Allowed difference from the issuer's clock, in seconds.", 0, 300)


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Limits for connections and calls; `limits` in the file."""

    connections: int = _set(1024, "Maximum number of connections. The server closes more.", 1, 100_000)
    connections_per_address: int = _set(256, "Maximum number of connections from one address.", 1, 100_000)
    streams_per_connection: int = _set(
        1024, "Maximum number of calls on one connection. More calls wait in the client.", 1, 100_000
    )
    streams_per_caller: int = _set(
        24,
        "Maximum number of streams of one key or login in each process. The server refuses more with OVERLOADED.",
        1,
        100_000,
    )
    metadata_bytes: int = _set(16_384, "Maximum size of a call's headers, in bytes.", 4096, 1_048_576)
    handshake_s: float = _set(5.0, "Time limit for setting up a connection, in seconds.", 0.1, 300)
    stall_s: float = _set(
        30.0,
        "Seconds that a client may leave an answer unread. After that, the server ends its stream or its connection.",
        1,
        3600,
    )
    idle_s: float = _set(
        0.0, "Seconds without traffic after which the server closes a connection; 0 for never.", 0, 86_400
    )
    call_s: float = _set(
        300.0,
        "Time limit for a call without streams, and separately for receiving its request, in seconds. A "
        "client's longer deadline does not extend it.",
        1,
        86_400,
    )


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Says where to write checkpoints and archives of the audit, and how long to keep it; `audit` in the file."""

    checkpoint_folder: str = _set(
        "", "Folder for signed checkpoints of the audit, on another machine's disk; empty for none."
    )
    checkpoint_every_s: float = _set(
        3600.0, "Seconds between two checkpoints. The server writes one more when it stops.", 1, 86_400
    )
    keep_days: int = _set(
        0, "Age in days at which the server deletes audit records, the oldest first; 0 to keep all.", 0, 36_500
    )
    archive_folder: str = _set(
        "",
        "Folder, on another disk, where the server writes audit records before it deletes them; empty for no archive.",
    )


@dataclass(frozen=True, slots=True)
class CasesConfig:
    """The folder of cases, and the time for which they are kept at least; `cases` in the file."""

    folder: str = _set("", "Folder for cases; empty for `cases` in the gallery folder.")
    least_retention_days: int = _set(
        30,
        "Minimum retention of a case in days, so that no case is deleted before its examination; 0 for no limit.",
        0,
        36_500,
    )


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The models, and the devices that run them; `model` in the file."""

    pack: str = _set("buffalo_s", "Model pack. `fr models list` shows the available packs.")
    device: str = _set(
        "auto",
        "auto, cpu, openvino, cuda, cuda:N, tensorrt, tensorrt:N, or several such as cuda:0,1. auto lets the "
        "server choose.",
    )
    precision: str = _set(
        AUTO_PRECISION,
        "Number format of the models' computations: bf16 with OpenVINO if the processor supports it, fp16 on a GPU. "
        "auto takes these, and f32 elsewhere.",
        choices=(AUTO_PRECISION, *get_args(Precision)),
    )
    detection: str = _set(
        "thorough",
        "thorough, or fast, which is quicker on large photos but misses small faces beside large ones.",
        choices=get_args(DetectionMode),
    )
    flip: bool = _set(
        False, "Fuse each embedding with that of the mirrored face. This doubles the work and changes the model id."
    )
    nhwc: bool = _set(
        False,
        "Device cuda only: compute with a picture's channels last, which may be faster in fp16. Not measured yet.",
    )
    threads: int = _set(0, "Threads for one inference on a processor; 0 for one thread.", 0, 1024)
    lanes: int = _set(
        0,
        "Parallel inferences on a processor or on each GPU; 0 for as many as fill the cores, and 2 on a GPU.",
        0,
        1024,
    )
    workers: int = _set(
        0,
        "Maximum number of photos in progress, separately for calls and for streams; 0 to let the server choose.",
        0,
        1024,
    )


@dataclass(frozen=True, slots=True)
class BatchingConfig:
    """The way in which faces of several calls share a run of a model; `batching` in the file."""

    detector_sizes: str = _set(
        "auto", "Allowed numbers of tiles in one run of the detector, such as 1,2,4, or auto. The list must include 1."
    )
    embedder_sizes: str = _set(
        "auto", "Allowed numbers of faces in one run of the embedder, such as 1,2,4, or auto. The list must include 1."
    )
    max_queued: int = _set(
        1024, "Maximum queue length, separately for tiles and faces, and for calls and streams.", 1, 1_000_000
    )


@dataclass(frozen=True, slots=True)
class IsolationConfig:
    """The process that decodes photos, and its limits; `isolation` in the file."""

    decoding: str = _set(
        "none",
        "process: decode photos in processes that can do nothing else (Linux only); none: decode all except AVIF and "
        "HEIC in the server's process.",
        choices=("none", "process"),
    )
    workers: int = _set(
        0, "Decoding processes for each process that answers calls; 0 for one per core in total.", 0, 1024
    )
    memory_mib: int = _set(1024, "Memory limit for one photo in a decoding process, in MiB.", 64, 65_536)
    time_ms: int = _set(10_000, "Time limit for one photo in a decoding process, in milliseconds.", 100, 600_000)


@dataclass(frozen=True, slots=True)
class GalleryConfig:
    """The folder of galleries, and the way they are searched; `gallery` in the file."""

    folder: str = _set("", "Gallery folder; empty for $FR_HOME/data or the platform's data folder.")
    index: str = _set(
        "auto",
        "Search index. auto: on the GPU if FAISS finds one; otherwise exact for small galleries and compact "
        "for large ones. cuvs: on the GPU, searched by cuVS. int8: the same, after a first pass in int8. milvus: on "
        "the server of `milvus.uri`.",
        choices=(*INDEX_NAMES, MILVUS),
    )
    key: str = _set(
        "",
        "Source of the key that encrypts templates: file:PATH, env:NAME or command:CMD ARGS; empty for a "
        "file beside the folder.",
    )
    reserve_mib: int = _set(64, "Disk space that enrolments leave free, in MiB.", 0, 1_000_000)


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """The database of all stores, if it is not in folders; `storage` in the file."""

    url: str = _set(
        "",
        "Address of a PostgreSQL database for all stores, such as postgresql://fr@db.example.org/faces, without a "
        "password; empty for SQLite in the folders (see postgresql.md).",
    )
    password: str = _set("", "Source of the password of the database: file:PATH or env:NAME; empty for none.")
    connections: int = _set(8, "Maximum number of connections that read at once, for each store.", 1, 1000)
    connect_timeout_s: float = _set(10.0, "Seconds to wait for a connection.", 1, 600)
    statement_timeout_s: float = _set(60.0, "Seconds that one statement may take.", 1, 86_400)
    lock_timeout_s: float = _set(5.0, "Seconds to wait for another process that writes.", 0.1, 600)
    follow_interval_s: float = _set(
        0.2, "Seconds between checks for changes by other servers on the same database.", 0.01, 60
    )
    follow_timeout_s: float = _set(
        5.0, "Seconds that a search may wait for the changes of other servers, before it is refused.", 0.1, 600
    )


@dataclass(frozen=True, slots=True)
class MilvusConfig:
    """The Milvus server that searches, with `gallery.index = "milvus"`; `milvus` in the file."""

    uri: str = _set(
        "",
        "Address of the Milvus server, such as https://milvus.example.org:19530; http:// only on this machine (see "
        "milvus.md).",
    )
    token: str = _set("", "Source of the login, USER:PASSWORD or an API key: file:PATH or env:NAME; empty for none.")
    ca: str = _set(
        "", "PEM file with the authorities that may certify the Milvus server; empty for those of the system."
    )
    database: str = _set("", "Database in Milvus; empty for its default.")
    collection_prefix: str = _set("fr", "Beginning of the names of all collections: letters, digits and _.")
    index: str = _set(
        FLAT,
        "Index that Milvus builds. FLAT compares everything and loses nothing; the others are faster and lose mates, "
        "and the log says how many.",
        choices=tuple(KINDS),
    )
    search_timeout_s: float = _set(5.0, "Seconds that Milvus may take for a search.", 0.1, 600)
    write_timeout_s: float = _set(60.0, "Seconds that Milvus may take to write, to load or to flush.", 1, 3600)


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """The folder of reports; `evaluation` in the file."""

    folder: str = _set("", "Folder for reports; empty for `reports` in the gallery folder.")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The folder of courses and of trainees' answers; `training` in the file."""

    folder: str = _set("", "Folder for courses and answers; empty for `training` in the gallery folder.")


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """Limits for footage, and the folder where it lies until it is analyzed; `video` in the file."""

    folder: str = _set("", "Folder for footage that arrives; empty for `footage` in the gallery folder.")
    max_mib: int = _set(2048, "Maximum size of a video file, in MiB.", 1, 1_048_576)
    max_seconds: int = _set(7200, "Seconds of footage that the server reads of a file.", 1, 1_000_000)
    analysis_s: int = _set(14_400, "Seconds that the analysis of a file may take.", 1, 1_000_000)
    keep_hours: int = _set(24, "Hours after which the server deletes a video with its tracks.", 1, 8784)
    per_caller: int = _set(8, "Maximum number of videos of one key or login at a time.", 1, 10_000)
    watch: str = _set(
        "",
        "TOML file of the live streams that may be watched, each with its galleries and the decision that allows it "
        "(see watching.md); empty for none. Many countries prohibit such watching, or allow it only in individual "
        "cases.",
    )


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """Logs, metrics and traces; `telemetry` in the file."""

    metrics_host: str = _set(
        "127.0.0.1", "Address for serving metrics. They are neither encrypted nor protected by a key."
    )
    metrics_port: int = _set(0, "TCP port from which Prometheus scrapes metrics over HTTP; 0 for none.", 0, 65535)
    tracing: str = _set(
        "", "Address that receives traces, as OTLP over gRPC, such as http://127.0.0.1:4317; empty for none."
    )
    log_format: str = _set(
        "text", "Format of log lines: text for people, or one JSON object per line.", choices=("text", "json")
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole tree."""

    server: NetworkConfig = field(default_factory=NetworkConfig)
    web: WebConfig = field(default_factory=WebConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    images: ImageLimits = field(default_factory=ImageLimits)
    isolation: IsolationConfig = field(default_factory=IsolationConfig)
    quality: QualityLimits = field(default_factory=QualityLimits)
    gallery: GalleryConfig = field(default_factory=GalleryConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    milvus: MilvusConfig = field(default_factory=MilvusConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    cases: CasesConfig = field(default_factory=CasesConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)

    @property
    def max_message_bytes(self) -> int:
        """Return the size of the largest request, encoded."""
        return self.images.max_bytes * MESSAGE_PHOTOS + MESSAGE_EXTRA_BYTES


# Of the sections whose classes the core defines.
_ELSEWHERE: Mapping[str, Key] = {
    "images.max_bytes": Key("Maximum size of an encoded photo, in bytes.", 1024, 256 * 1024 * 1024),
    "images.max_pixels": Key("Maximum number of pixels in a photo.", 1024, MAX_PIXELS_CEILING),
    "images.formats": Key("Accepted photo formats.", choices=tuple(sorted(KNOWN_FORMATS))),
    "images.max_faces": Key("Maximum number of faces in a photo. The server refuses a photo with more.", 1, 100_000),
    "quality.min_inter_eye_px": Key("A face is TOO_SMALL below this distance between the eyes, in pixels.", 0, 10_000),
    "quality.min_sharpness": Key("A face is BLURRED below this variance of the Laplacian.", 0, 1e9),
    "quality.min_brightness": Key("A face is TOO_DARK below this mean luma.", 0, 1),
    "quality.max_brightness": Key("A face is TOO_BRIGHT above this mean luma.", 0, 1),
    "quality.max_yaw": Key("A face is NOT_FRONTAL if it turns further than this, in degrees.", 0, 180),
    "quality.max_pitch": Key("A face is NOT_FRONTAL if it nods further than this, in degrees.", 0, 90),
    "quality.max_roll": Key(
        "A face is TILTED if it tilts further than this, in degrees. A face upside down is not noticed: the detector "
        "takes it for an upright one. Only min_embedding_norm of a model pack can find it.",
        0,
        180,
    ),
    "quality.min_detector_score": Key("A face is a DOUBTFUL_FACE below this confidence of the detector.", 0, 1),
    "quality.max_outside": Key("A face is CUT_OFF if a larger share of its box lies outside the photo.", 0, 1),
}

KEYS: Mapping[str, Key] = types.MappingProxyType(
    {
        name: leaf.metadata.get("key") or _ELSEWHERE[name]
        for section in fields(Config)
        for leaf in fields(type(getattr(Config(), section.name)))
        for name in (f"{section.name}.{leaf.name}",)
    }
)
"""The dotted name of each setting, in the order of the tree -> its meaning and values."""
