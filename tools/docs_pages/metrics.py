"""docs/metrics.md: every metric with its labels and buckets, from the server's own list."""

from collections.abc import Iterable

from docs_pages import filled
from fr_core.runtime.observe import MODELS, STAGES
from fr_server.telemetry.int8_metrics import INT8_DOUBTED
from fr_server.telemetry.listener import CANCELLED, CHORES, OK
from fr_server.telemetry.metrics import SPECS, UNKNOWN, Spec
from fr_server.telemetry.milvus_metrics import MILVUS_SPECS
from fr_server.telemetry.shared import BUDGETS
from fr_server.telemetry.shared_metrics import SHARED_SPECS
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal
from fr_server.telemetry.trust_metrics import ACCESS_REASONS, CHAINS, DECODER_ENDS, OTHER


def page() -> str:
    """Return the page."""
    histograms = [spec for spec in SPECS if spec.buckets]
    words: dict[str, Iterable[str]] = {
        "stages": STAGES,
        "models": MODELS,
        "handshakes": HandshakeFailure,
        "refusals": Refusal,
        "partings": Parting,
        "decoder_ends": DECODER_ENDS,
        "access_reasons": ACCESS_REASONS,
        "chains": CHAINS,
        "chores": CHORES,
        "budgets": BUDGETS,
    }
    return filled(
        "metrics",
        metrics="".join(_row(spec) for spec in SPECS),
        shared_metrics="".join(_row(spec) for spec in SHARED_SPECS),
        milvus_metrics="".join(_row(spec) for spec in MILVUS_SPECS),
        int8_metric=_row(INT8_DOUBTED),
        buckets="".join(_bounds(spec) for spec in histograms),
        unknown=UNKNOWN,
        other=OTHER,
        ok=OK,
        cancelled=CANCELLED,
        **{name: ", ".join(f"`{word}`" for word in found) for name, found in words.items()},
    )


def _row(spec: Spec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    return f"| `{spec.name}` | {spec.kind} | {labels} | {spec.meaning} |\n"


def _bounds(spec: Spec) -> str:
    return f"| `{spec.name}` | {', '.join(f'{bound:g}' for bound in spec.buckets)} |\n"
