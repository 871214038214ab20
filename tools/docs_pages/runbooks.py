"""Writes docs/runbooks/README.md, with the alerts of Prometheus and their runbooks."""

from pathlib import Path

import yaml

from docs_pages import filled

ALERTS = Path(__file__).resolve().parents[2] / "docs/monitoring/alerts.yaml"


def page() -> str:
    """Return the page."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    rows = [
        f"| [{rule['alert']}]({rule['annotations']['runbook_url'].removeprefix('docs/runbooks/')}) | "
        f"{rule['labels']['severity']} | {rule['annotations']['summary']} |\n"
        for group in groups
        for rule in group["rules"]
    ]
    return filled("runbooks", alerts="".join(rows))
