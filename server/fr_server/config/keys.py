"""Describes each setting and its values."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from fr_trust.access.keys import MAX_LIFETIME_DAYS

from fr_core.detect.multiscale import DetectionMode
from fr_core.gallery.index.register import INDEX_NAMES
from fr_core.imaging import KNOWN_FORMATS
from fr_core.imaging.decode import MAX_PIXELS_CEILING
from fr_core.runtime.devices import Precision


@dataclass(frozen=True, slots=True)
class Key:
    """The meaning of one setting, and its values.

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


# By the ends of names; those that come first are part of none that come later.
_UNITS = {
    "_per_s": "calls in a second",
    "_per_day": "searches in a day",
    "_s": "seconds",
    "_ms": "milliseconds",
    "_days": "days",
    "_bytes": "bytes",
    "_mib": "MiB",
    "_px": "pixels",
    "_pixels": "pixels",
}


def number_of(key: str, whole: bool) -> str:
    """Return the words for the number that a key takes, such as "a number of seconds"."""
    number = "a whole number" if whole else "a number"
    unit = next((words for end, words in _UNITS.items() if key.endswith(end)), "")
    return f"{number} of {unit}" if unit else number


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
        "access.key_days": Key("Days that a new key is valid unless its maker says otherwise.", 1, MAX_LIFETIME_DAYS),
        "access.requests_per_s": Key("Calls, and items of streams, in a second in the long run, of a key.", 0.1, 1e6),
        "access.burst": Key("Calls, and items of streams, that a key may make at once.", 1, 1_000_000),
        "access.searches_per_day": Key(
            "Searches in a day (UTC) of a token, and of a key whose maker does not say; 0 for no limit.",
            0,
            1_000_000_000,
        ),
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
        "limits.streams_per_caller": Key(
            "Streams of one key or login at once, in each process; more are refused with OVERLOADED.", 1, 100_000
        ),
        "limits.metadata_bytes": Key("Bytes of the headers of a call.", 4096, 1_048_576),
        "limits.handshake_s": Key("Seconds that a connection may take to begin.", 0.1, 300),
        "limits.stall_s": Key(
            "Seconds that a client may leave an answer unread; then its stream or its connection ends.",
            1,
            3600,
        ),
        "limits.idle_s": Key("Seconds without a byte after which a connection is closed; 0 for never.", 0, 86_400),
        "limits.call_s": Key(
            "Seconds of a call without a stream, and before them of its request, whatever its client asks for.",
            1,
            86_400,
        ),
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
        "cases.least_retention_days": Key(
            "Days that a case is kept at least, so that none is deleted before it is examined; 0 for no limit.",
            0,
            36_500,
        ),
        "audit.checkpoint_folder": Key(
            "Folder, on another machine's disk, that signed checkpoints of the audit are written to; empty for none."
        ),
        "audit.checkpoint_every_s": Key("Seconds between two checkpoints; one more is written at the end.", 1, 86_400),
        "audit.keep_days": Key(
            "Days after which the server deletes records of the audit, the oldest first; 0 to keep all.", 0, 36_500
        ),
        "audit.archive_folder": Key(
            "Folder, on another disk, to which the server writes records before it deletes them; empty for no archive."
        ),
        "telemetry.metrics_host": Key("Address on which metrics are served; they are neither encrypted nor guarded."),
        "telemetry.metrics_port": Key("TCP port on which Prometheus scrapes metrics, over HTTP; 0 for none.", 0, 65535),
        "telemetry.tracing": Key("Receiver of traces, OTLP over gRPC, such as http://127.0.0.1:4317; empty for none."),
        "telemetry.log_format": Key("Lines of the log: for people, or one JSON object each.", choices=("text", "json")),
    }
)
