"""docs/configuration.md: every key of the server's configuration with its meaning, default and range."""

import json

from docs_pages import filled
from fr_server.config import KEYS, Config, Key, leaves


def page() -> str:
    """Return the page."""
    lines: list[str] = []
    section = ""
    for key, value in leaves(Config()):
        head, name = key.split(".")
        if head != section:
            section = head
            lines.append(f"\n## `[{head}]`\n\n| key | default | allowed | meaning |\n|---|---|---|---|\n")
        shown = json.dumps(list(value) if isinstance(value, tuple) else value)
        lines.append(f"| `{name}` | `{shown}` | {_allowed(KEYS[key])} | {KEYS[key].meaning} |\n")
    return filled("configuration", keys="".join(lines))


def _allowed(key: Key) -> str:
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.low is not None and key.high is not None:
        return f"{key.low:,.10g} to {key.high:,.10g}"
    return ""
