"""The server's configuration: one frozen tree, read from TOML, unknown keys refused, ranges checked, units in names."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fr_core.detect.multiscale import DetectionMode
from fr_core.errors import ConfigInvalid, ConfigUnknownKey
from fr_core.gallery.index.register import INDEX_NAMES
from fr_core.imaging import KNOWN_FORMATS, ImageLimits
from fr_core.imaging.decode import MAX_PIXELS_CEILING
from fr_core.quality.assess import QualityLimits
from fr_core.runtime.devices import Precision

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Where the server listens and how much it takes on; `server` in the file."""

    host: str = "127.0.0.1"
    port: int = 50061
    reflection: bool = True
    max_in_flight: int = 64
    stream_window: int = 8
    drain_s: float = 20.0
    frontends: int = 0


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """How connections are encrypted, and who may connect; `tls` in the file."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    client_certificates: str = "off"
    revoked: str = ""


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Who may call, and how often; `access` in the file."""

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
    """How much of connections and calls the server bears; `limits` in the file."""

    connections: int = 1024
    connections_per_address: int = 256
    streams_per_connection: int = 256
    metadata_bytes: int = 16_384
    handshake_s: float = 5.0
    stall_s: float = 30.0
    idle_s: float = 0.0
    call_s: float = 300.0


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Where the audit is vouched for; `audit` in the file."""

    checkpoint_folder: str = ""
    checkpoint_every_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class CasesConfig:
    """Where cases are kept; `cases` in the file."""

    folder: str = ""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which models run, and where; `model` in the file."""

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
    """How the faces of several calls share a run of a model; `batching` in the file."""

    detector_sizes: str = "auto"
    embedder_sizes: str = "auto"
    max_queued: int = 1024


@dataclass(frozen=True, slots=True)
class IsolationConfig:
    """Where photos are decoded, and what one may cost there; `isolation` in the file."""

    decoding: str = "none"
    workers: int = 0
    memory_mib: int = 1024
    time_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class GalleryConfig:
    """Where galleries are kept and how they are searched; `gallery` in the file."""

    folder: str = ""
    index: str = "auto"
    key: str = ""
    reserve_mib: int = 64


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """Where reports are kept; `evaluation` in the file."""

    folder: str = ""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Where courses, and the answers of trainees, are kept; `training` in the file."""

    folder: str = ""


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """What the server tells about its own work; `telemetry` in the file."""

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


@dataclass(frozen=True, slots=True)
class Key:
    """What one key means, and the values that it can have.

    Attributes:
        meaning: one sentence for people.
        low: smallest number, or None.
        high: largest number, or None.
        choices: the words allowed, or empty for any.
    """

    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


# One entry for each leaf of the tree (a test says so); docs/configuration.md is generated from it.
KEYS: Mapping[str, Key] = types.MappingProxyType(
    {
        "server.host": Key("Address to listen on; 0.0.0.0 for every interface. Beyond this machine only with `tls`."),
        "server.port": Key("TCP port to listen on; 0 for any free one.", 0, 65535),
        "server.reflection": Key(
            "Whether clients such as grpcurl may ask for the services and messages; never where calls need a key."
        ),
        "server.max_in_flight": Key(
            "Calls in work at once, of which streams are three quarters at most; more are refused with OVERLOADED.",
            1,
            100_000,
        ),
        "server.stream_window": Key("Items of one stream in work at once; further ones wait in the network.", 1, 1024),
        "server.drain_s": Key("Seconds that running calls may take to end after SIGTERM.", 0, 3600),
        "server.frontends": Key(
            "Processes that answer calls and work on photos, beside the one that runs the models; 0 for no others.",
            0,
            64,
        ),
        "tls.certificate": Key("File of the server's certificate and its chain, PEM; empty for no encryption."),
        "tls.key": Key("File of its private key, PEM, readable by its owner alone."),
        "tls.client_ca": Key("File of the authorities that client certificates are of, PEM."),
        "tls.client_certificates": Key(
            "Whether clients need a certificate; it says which machine calls, not who: keys do.",
            choices=("off", "optional", "required"),
        ),
        "tls.revoked": Key("File of revoked client certificates, a CRL in PEM; empty for none."),
        "access.mode": Key(
            "keys: every call needs a key or a token; open: none, on this machine alone; auto: keys once there are.",
            choices=("auto", "open", "keys"),
        ),
        "access.folder": Key(
            "Folder of the keys and of their audit; empty for `access` in the folder of the galleries."
        ),
        "access.key_days": Key("Days that a new key is valid unless its maker says otherwise.", 1, 1826),
        "access.requests_per_s": Key("Calls, and items of streams, in a second in the long run, of a key.", 0.1, 1e6),
        "access.burst": Key("Calls, and items of streams, that a key may make at once.", 1, 1_000_000),
        "access.searches_per_day": Key("Searches in a day (UTC) of a key; 0 for no limit.", 0, 1_000_000_000),
        "access.oidc_issuer": Key("Issuer (`iss`) of tokens that are accepted beside keys; empty for none."),
        "access.oidc_audience": Key("Audience (`aud`) that tokens must be for."),
        "access.oidc_jwks": Key("Keys of the issuer: a file with a JWKS, or its https address."),
        "access.oidc_algorithms": Key(
            "Signatures of tokens that are accepted.", choices=("RS256", "PS256", "ES256", "ES384", "EdDSA")
        ),
        "access.oidc_roles_claim": Key("Claim of a token that lists the roles."),
        "access.oidc_galleries_claim": Key("Claim of a token that lists the galleries."),
        "access.oidc_courses_claim": Key("Claim of a token that lists the courses."),
        "access.oidc_leeway_s": Key("Seconds that the issuer's clock may differ.", 0, 300),
        "limits.connections": Key("Connections at once; more are closed.", 1, 100_000),
        "limits.connections_per_address": Key("Connections of one address at once.", 1, 100_000),
        "limits.streams_per_connection": Key("Calls of one connection at once; more wait with the client.", 1, 100_000),
        "limits.metadata_bytes": Key("Bytes of the headers of a call.", 4096, 1_048_576),
        "limits.handshake_s": Key("Seconds that a connection may take to begin.", 0.1, 300),
        "limits.stall_s": Key("Seconds that a client may leave what is sent to it unread.", 1, 3600),
        "limits.idle_s": Key("Seconds without a byte after which a connection is closed; 0 for never.", 0, 86_400),
        "limits.call_s": Key("Seconds of a call without a stream, whatever its client asks for.", 1, 86_400),
        "model.pack": Key("Model pack; `fr models list` shows them."),
        "model.device": Key(
            "auto, cpu, openvino, cuda, cuda:N, tensorrt or tensorrt:N, or several such as cuda:0,1; only auto chooses."
        ),
        "model.precision": Key(
            "Numbers that the models compute with: bf16 with OpenVINO where the processor has it, fp16 on a GPU.",
            choices=get_args(Precision),
        ),
        "model.detection": Key(
            "thorough, or fast, which is quicker on large photos and misses their small faces beside large ones.",
            choices=get_args(DetectionMode),
        ),
        "model.flip": Key("Fuse each embedding with that of the mirrored face: a model id of its own, twice the work."),
        "model.threads": Key("Threads of one inference on a processor; 0 for one.", 0, 1024),
        "model.lanes": Key("Inferences at once on a processor; 0 for as many as fill its cores.", 0, 1024),
        "model.workers": Key("Photos in work at once, of calls and of streams each; 0 for what suits.", 0, 1024),
        "batching.detector_sizes": Key(
            "Allowed numbers of tiles in one run of the detector, such as 1,2,4, or auto; 1 is among them."
        ),
        "batching.embedder_sizes": Key(
            "Allowed numbers of faces in one run of the embedder, such as 1,2,4, or auto; 1 is among them."
        ),
        "batching.max_queued": Key("Tiles, and faces, that may wait, of calls and of streams each.", 1, 1_000_000),
        "images.max_bytes": Key("Bytes of an encoded photo.", 1024, 256 * 1024 * 1024),
        "images.max_pixels": Key("Pixels of a photo.", 1024, MAX_PIXELS_CEILING),
        "images.formats": Key("Formats of photos that are accepted.", choices=tuple(sorted(KNOWN_FORMATS))),
        "images.max_faces": Key("Faces of a photo; a photo with more is refused.", 1, 100_000),
        "isolation.decoding": Key(
            "process: photos are decoded in processes that can do nothing else (Linux); none: in the server's own.",
            choices=("none", "process"),
        ),
        "isolation.workers": Key(
            "Processes that decode, of each process that answers calls; 0 for one per core in all.", 0, 1024
        ),
        "isolation.memory_mib": Key("MiB that one photo may take in a process that decodes.", 64, 65_536),
        "isolation.time_ms": Key("Milliseconds that one photo may take in a process that decodes.", 100, 600_000),
        "quality.min_inter_eye_px": Key("Pixels between the eyes below which a face is TOO_SMALL.", 0, 10_000),
        "quality.min_sharpness": Key("Variance of the Laplacian below which a face is BLURRED.", 0, 1e9),
        "quality.min_brightness": Key("Mean luma below which a face is TOO_DARK.", 0, 1),
        "quality.max_brightness": Key("Mean luma above which a face is TOO_BRIGHT.", 0, 1),
        "quality.max_yaw": Key("Degrees of turn beyond which a face is NOT_FRONTAL.", 0, 180),
        "quality.max_pitch": Key("Degrees of nod beyond which a face is NOT_FRONTAL.", 0, 90),
        "quality.max_roll": Key("Degrees of tilt beyond which a face is TILTED.", 0, 180),
        "quality.min_detector_score": Key("Detector's confidence below which a face is a DOUBTFUL_FACE.", 0, 1),
        "quality.max_outside": Key("Share of the box outside the photo above which a face is CUT_OFF.", 0, 1),
        "gallery.folder": Key("Folder of the galleries; empty for $FR_HOME/data or the platform's data folder."),
        "gallery.index": Key(
            "How a gallery is searched; auto: on a GPU where FAISS has one, else exactly while small, then compact.",
            choices=INDEX_NAMES,
        ),
        "gallery.key": Key(
            "Source of the key that templates are encrypted under: file:PATH, env:NAME or command:CMD ARGS; empty for "
            "a file beside the folder."
        ),
        "gallery.reserve_mib": Key("MiB of the disk that enrolments leave free.", 0, 1_000_000),
        "evaluation.folder": Key("Folder of the reports; empty for `reports` in the folder of the galleries."),
        "training.folder": Key("Folder of courses and answers; empty for `training` in the folder of the galleries."),
        "cases.folder": Key("Folder of the cases; empty for `cases` in the folder of the galleries."),
        "audit.checkpoint_folder": Key(
            "Folder, on another machine's disk, that signed checkpoints of the audit are written to; empty for none."
        ),
        "audit.checkpoint_every_s": Key("Seconds between two checkpoints; one more is written at the end.", 1, 86_400),
        "telemetry.metrics_host": Key("Address on which metrics are served; they are neither encrypted nor guarded."),
        "telemetry.metrics_port": Key("TCP port on which Prometheus scrapes metrics, over HTTP; 0 for none.", 0, 65535),
        "telemetry.tracing": Key("Receiver of traces, OTLP over gRPC, such as http://127.0.0.1:4317; empty for none."),
        "telemetry.log_format": Key("Lines of the log: for people, or one JSON object each.", choices=("text", "json")),
    }
)


ENVIRONMENT_PREFIX = "FR__"
"""Of the variables that hold settings, such as FR__SERVER__PORT."""

# Written as "1,2,4"; TOML makes a number of a lone 1, and people write lists.
_LISTS_OF_NUMBERS = ("batching.detector_sizes", "batching.embedder_sizes")


def load_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    values: Mapping[str, object] = types.MappingProxyType({}),
    environ: Mapping[str, str] = types.MappingProxyType({}),
) -> Config:
    """Read a TOML file, then what the environment says, then `KEY=VALUE` overrides, then values by dotted key.

    Overrides have dotted keys and TOML values; a value that is no TOML is taken as a string, so that
    `model.device=cpu` needs no quotes. So it is with `FR__MODEL__DEVICE=cpu` of the environment.

    Raises:
        ConfigUnknownKey: a key that the tree does not have.
        ConfigInvalid: an unreadable file, a value of another type, or one out of range.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ConfigInvalid(f"The configuration {path} cannot be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigInvalid(f"The configuration {path} is not valid TOML: {error}.") from error
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            _apply_override(raw, f"{_key_of(name)}={text}")
    for override in overrides:
        _apply_override(raw, override)
    for key, value in values.items():
        _set(raw, key, value)
    return config_from(raw)


def config_from(raw: Mapping[str, Any]) -> Config:
    """Build the tree from nested mappings; what is absent has its default."""
    return _branch(Config, raw, "")


def leaves(config: Config) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each leaf, in the order of the tree."""
    for section in dataclasses.fields(config):
        branch = getattr(config, section.name)
        for leaf in dataclasses.fields(branch):
            yield f"{section.name}.{leaf.name}", getattr(branch, leaf.name)


def print_config(config: Config) -> str:
    """Return the tree as TOML with the meaning of each key as a comment; `load_config` reads it back."""
    lines: list[str] = []
    section = ""
    for key, value in leaves(config):
        head, name = key.split(".")
        if head != section:
            lines += ["", f"[{head}]"] if lines else [f"[{head}]"]
            section = head
        lines += [f"# {KEYS[key].meaning}", f"{name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def _key_of(name: str) -> str:
    """`server.port` of `FR__SERVER__PORT`."""
    section, separator, leaf = name.removeprefix(ENVIRONMENT_PREFIX).partition("__")
    if not separator:
        raise ConfigUnknownKey(f"The environment holds {name}; a setting is written FR__SECTION__KEY.", key=name)
    return f"{section.lower()}.{leaf.lower()}"


def _apply_override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigInvalid("A setting is written SECTION.KEY=VALUE, such as model.device=cpu.")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    _set(raw, key.strip(), value)


def _set(raw: dict[str, Any], key: str, value: object) -> None:
    section, dot, name = key.partition(".")
    if not (dot and section and name):
        raise ConfigInvalid("A setting is written SECTION.KEY=VALUE, such as model.device=cpu.")
    branch = raw.setdefault(section, {})
    if not isinstance(branch, dict):
        raise ConfigInvalid(f"`{section}` is a section, not a value.", key=section)
    branch[name] = value


def _branch(kind: type[T], raw: object, prefix: str) -> T:
    if not isinstance(raw, Mapping):
        raise ConfigInvalid(f"`{prefix.rstrip('.')}` is a section, not a value.", key=prefix.rstrip("."))
    hints = get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in raw.items():
        key = f"{prefix}{name}"
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean `{prefix}{near[0]}`?" if near else ""
            raise ConfigUnknownKey(f"The configuration has no key `{key}`.{hint}", key=key)
        hint_type = hints[name]
        if isinstance(hint_type, type) and dataclasses.is_dataclass(hint_type):
            values[name] = _branch(hint_type, value, f"{key}.")
        else:
            values[name] = _leaf(key, hint_type, value)
    return kind(**values)


def _leaf(key: str, kind: Any, value: object) -> Any:
    if key in _LISTS_OF_NUMBERS and isinstance(value, (int, list)) and not isinstance(value, bool):
        value = ",".join(map(str, value if isinstance(value, list) else [value]))
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not value or not all(isinstance(v, get_args(kind)[0]) for v in value):
            raise ConfigInvalid(f"`{key}` is a list of at least one string.", key=key)
        checked: Any = tuple(value)
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        checked = float(value)
    elif isinstance(value, str) and "\0" in value:
        raise ConfigInvalid(f"`{key}` holds a NUL character.", key=key)
    elif type(value) is kind:
        checked = value
    else:
        raise ConfigInvalid(f"`{key}` is a value of type {kind.__name__}, not {type(value).__name__}.", key=key)
    _check_range(key, KEYS[key], checked)
    return checked


def _check_range(key: str, rule: Key, value: object) -> None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = -math.inf if rule.low is None else rule.low
        high = math.inf if rule.high is None else rule.high
        if not low <= value <= high:
            raise ConfigInvalid(f"`{key}` is a number from {low:g} to {high:g}.", key=key)
    words = value if isinstance(value, tuple) else (value,)
    if rule.choices and any(word not in rule.choices for word in words):
        raise ConfigInvalid(f"`{key}` knows only: {', '.join(rule.choices)}.", key=key)


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and lists of strings are TOML's, for the values that the tree can hold.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
