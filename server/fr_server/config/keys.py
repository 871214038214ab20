"""Describes each setting and its values."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from fr_core.detect.multiscale import DetectionMode
from fr_core.gallery.index.register import INDEX_NAMES
from fr_core.imaging import KNOWN_FORMATS
from fr_core.imaging.decode import MAX_PIXELS_CEILING
from fr_core.runtime.devices import Precision
from fr_trust.access.keys import MAX_LIFETIME_DAYS


@dataclass(frozen=True, slots=True)
class Key:
    """The meaning of one setting, and its values.

    Attributes:
        low: smallest number, or None.
        high: largest number, or None.
        choices: the words allowed, or empty for any.
    """

    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


# Keyed by the end of a setting's name; the first match counts.
_UNITS = {
    "_per_s": "calls per second",
    "_per_day": "searches per day",
    "_s": "seconds",
    "_ms": "milliseconds",
    "_days": "days",
    "_bytes": "bytes",
    "_mib": "MiB",
    "_px": "pixels",
    "_pixels": "pixels",
}


def number_of(key: str, whole: bool) -> str:
    """Return a description of the number that a key takes, such as "a number of seconds"."""
    number = "a whole number" if whole else "a number"
    unit = next((words for end, words in _UNITS.items() if key.endswith(end)), "")
    return f"{number} of {unit}" if unit else number


# One entry for each leaf of the tree, which a test checks; `make docs` generates docs/configuration.md from it.
KEYS: Mapping[str, Key] = types.MappingProxyType(
    {
        "server.host": Key(
            "Address to listen on; 0.0.0.0 for every interface. An address beyond this machine needs `tls`."
        ),
        "server.port": Key("TCP port to listen on; 0 for any free port.", 0, 65535),
        "server.reflection": Key(
            "Let clients such as grpcurl list the services and messages. Not allowed if calls need a key."
        ),
        "server.max_in_flight": Key(
            "Maximum number of calls in progress; at most three quarters may be streams. The server refuses more with "
            "OVERLOADED.",
            1,
            100_000,
        ),
        "server.stream_window": Key(
            "Maximum number of items of one stream in progress. Further items wait in the network.", 1, 1024
        ),
        "server.drain_s": Key("Seconds that running calls have to finish after SIGTERM.", 0, 3600),
        "server.frontends": Key(
            "Number of processes that answer calls and process photos, besides the one that runs the models; 0 for "
            "none.",
            0,
            64,
        ),
        "tls.certificate": Key("PEM file with the server's certificate and its chain; empty for no encryption."),
        "tls.key": Key("PEM file with the server's private key. Only its owner may be able to read it."),
        "tls.client_ca": Key("PEM file with the authorities that issue client certificates."),
        "tls.client_certificates": Key(
            "Require client certificates or not. They identify the calling machine; API keys identify the caller.",
            choices=("off", "optional", "required"),
        ),
        "tls.revoked": Key("PEM file with the list of revoked client certificates (CRL); empty for none."),
        "access.mode": Key(
            "keys: every call needs a key or a token; open: no key, only on this machine; auto: keys as soon as one "
            "exists.",
            choices=("auto", "open", "keys"),
        ),
        "access.folder": Key("Folder for the API keys and their audit; empty for `access` in the gallery folder."),
        "access.key_days": Key("Default lifetime of a new key, in days.", 1, MAX_LIFETIME_DAYS),
        "access.requests_per_s": Key("Long-run limit on calls and stream items per second for each key.", 0.1, 1e6),
        "access.burst": Key("Calls and stream items that a key may send at once.", 1, 1_000_000),
        "access.searches_per_day": Key(
            "Daily limit (UTC) on searches for each token, and for each new key without its own limit; 0 for no limit.",
            0,
            1_000_000_000,
        ),
        "access.oidc_issuer": Key(
            "Issuer (`iss`) of tokens that the server accepts in addition to API keys; empty for none."
        ),
        "access.oidc_audience": Key("Required audience (`aud`) of tokens."),
        "access.oidc_jwks": Key("Public keys of the issuer: a JWKS file, or its https address."),
        "access.oidc_algorithms": Key(
            "Accepted signature algorithms for tokens.", choices=("RS256", "PS256", "ES256", "ES384", "EdDSA")
        ),
        "access.oidc_roles_claim": Key("Token claim that lists the roles."),
        "access.oidc_galleries_claim": Key("Token claim that lists the galleries."),
        "access.oidc_courses_claim": Key("Token claim that lists the courses."),
        "access.oidc_leeway_s": Key("Allowed difference from the issuer's clock, in seconds.", 0, 300),
        "limits.connections": Key("Maximum number of connections. The server closes more.", 1, 100_000),
        "limits.connections_per_address": Key("Maximum number of connections from one address.", 1, 100_000),
        "limits.streams_per_connection": Key(
            "Maximum number of calls on one connection. More calls wait in the client.", 1, 100_000
        ),
        "limits.streams_per_caller": Key(
            "Maximum number of streams of one key or login in each process. The server refuses more with OVERLOADED.",
            1,
            100_000,
        ),
        "limits.metadata_bytes": Key("Maximum size of a call's headers, in bytes.", 4096, 1_048_576),
        "limits.handshake_s": Key("Time limit for setting up a connection, in seconds.", 0.1, 300),
        "limits.stall_s": Key(
            "Seconds that a client may leave an answer unread. After that, the server ends its stream or its "
            "connection.",
            1,
            3600,
        ),
        "limits.idle_s": Key(
            "Seconds without traffic after which the server closes a connection; 0 for never.", 0, 86_400
        ),
        "limits.call_s": Key(
            "Time limit for a call without streams, and separately for receiving its request, in seconds. A client's "
            "longer deadline does not extend it.",
            1,
            86_400,
        ),
        "model.pack": Key("Model pack. `fr models list` shows the available packs."),
        "model.device": Key(
            "auto, cpu, openvino, cuda, cuda:N, tensorrt, tensorrt:N, or several such as cuda:0,1. auto lets the "
            "server choose."
        ),
        "model.precision": Key(
            "Number format of the models' computations: bf16 with OpenVINO if the processor supports it, fp16 on a "
            "GPU.",
            choices=get_args(Precision),
        ),
        "model.detection": Key(
            "thorough, or fast, which is quicker on large photos but misses small faces beside large ones.",
            choices=get_args(DetectionMode),
        ),
        "model.flip": Key(
            "Fuse each embedding with that of the mirrored face. This doubles the work and changes the model id."
        ),
        "model.threads": Key("Threads for one inference on a processor; 0 for one thread.", 0, 1024),
        "model.lanes": Key("Parallel inferences on a processor; 0 for as many as fill its cores.", 0, 1024),
        "model.workers": Key(
            "Maximum number of photos in progress, separately for calls and for streams; 0 to let the server choose.",
            0,
            1024,
        ),
        "batching.detector_sizes": Key(
            "Allowed numbers of tiles in one run of the detector, such as 1,2,4, or auto. The list must include 1."
        ),
        "batching.embedder_sizes": Key(
            "Allowed numbers of faces in one run of the embedder, such as 1,2,4, or auto. The list must include 1."
        ),
        "batching.max_queued": Key(
            "Maximum queue length, separately for tiles and faces, and for calls and streams.", 1, 1_000_000
        ),
        "images.max_bytes": Key("Maximum size of an encoded photo, in bytes.", 1024, 256 * 1024 * 1024),
        "images.max_pixels": Key("Maximum number of pixels in a photo.", 1024, MAX_PIXELS_CEILING),
        "images.formats": Key("Accepted photo formats.", choices=tuple(sorted(KNOWN_FORMATS))),
        "images.max_faces": Key(
            "Maximum number of faces in a photo. The server refuses a photo with more.", 1, 100_000
        ),
        "isolation.decoding": Key(
            "process: decode photos in processes that can do nothing else (Linux only); none: decode in the server's "
            "process.",
            choices=("none", "process"),
        ),
        "isolation.workers": Key(
            "Decoding processes for each process that answers calls; 0 for one per core in total.", 0, 1024
        ),
        "isolation.memory_mib": Key("Memory limit for one photo in a decoding process, in MiB.", 64, 65_536),
        "isolation.time_ms": Key("Time limit for one photo in a decoding process, in milliseconds.", 100, 600_000),
        "quality.min_inter_eye_px": Key(
            "A face is TOO_SMALL below this distance between the eyes, in pixels.", 0, 10_000
        ),
        "quality.min_sharpness": Key("A face is BLURRED below this variance of the Laplacian.", 0, 1e9),
        "quality.min_brightness": Key("A face is TOO_DARK below this mean luma.", 0, 1),
        "quality.max_brightness": Key("A face is TOO_BRIGHT above this mean luma.", 0, 1),
        "quality.max_yaw": Key("A face is NOT_FRONTAL if it turns further than this, in degrees.", 0, 180),
        "quality.max_pitch": Key("A face is NOT_FRONTAL if it nods further than this, in degrees.", 0, 90),
        "quality.max_roll": Key("A face is TILTED if it tilts further than this, in degrees.", 0, 180),
        "quality.min_detector_score": Key("A face is a DOUBTFUL_FACE below this confidence of the detector.", 0, 1),
        "quality.max_outside": Key("A face is CUT_OFF if a larger share of its box lies outside the photo.", 0, 1),
        "gallery.folder": Key("Gallery folder; empty for $FR_HOME/data or the platform's data folder."),
        "gallery.index": Key(
            "Search index. auto: on the GPU if FAISS finds one; otherwise exact for small galleries and compact for "
            "large ones.",
            choices=INDEX_NAMES,
        ),
        "gallery.key": Key(
            "Source of the key that encrypts templates: file:PATH, env:NAME or command:CMD ARGS; empty for a file "
            "beside the folder."
        ),
        "gallery.reserve_mib": Key("Disk space that enrolments leave free, in MiB.", 0, 1_000_000),
        "evaluation.folder": Key("Folder for reports; empty for `reports` in the gallery folder."),
        "training.folder": Key("Folder for courses and answers; empty for `training` in the gallery folder."),
        "cases.folder": Key("Folder for cases; empty for `cases` in the gallery folder."),
        "cases.least_retention_days": Key(
            "Minimum retention of a case in days, so that no case is deleted before its examination; 0 for no limit.",
            0,
            36_500,
        ),
        "audit.checkpoint_folder": Key(
            "Folder for signed checkpoints of the audit, on another machine's disk; empty for none."
        ),
        "audit.checkpoint_every_s": Key(
            "Seconds between two checkpoints. The server writes one more when it stops.", 1, 86_400
        ),
        "audit.keep_days": Key(
            "Age in days at which the server deletes audit records, the oldest first; 0 to keep all.", 0, 36_500
        ),
        "audit.archive_folder": Key(
            "Folder, on another disk, where the server writes audit records before it deletes them; empty for no "
            "archive."
        ),
        "telemetry.metrics_host": Key(
            "Address for serving metrics. They are neither encrypted nor protected by a key."
        ),
        "telemetry.metrics_port": Key(
            "TCP port from which Prometheus scrapes metrics over HTTP; 0 for none.", 0, 65535
        ),
        "telemetry.tracing": Key(
            "Address that receives traces, as OTLP over gRPC, such as http://127.0.0.1:4317; empty for none."
        ),
        "telemetry.log_format": Key(
            "Format of log lines: text for people, or one JSON object per line.", choices=("text", "json")
        ),
    }
)
