"""Write the pages of docs/ that are generated from the source, or check that the committed ones are up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs_pages import access, api, commands, configuration, errors, metrics, packs

ROOT = Path(__file__).resolve().parent.parent

PAGES: Mapping[str, Callable[[], str]] = {
    "access.md": access.page,
    "api.md": api.page,
    "commands.md": commands.page,
    "configuration.md": configuration.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
    "model-packs.md": packs.page,
}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a page is stale")
    args = parser.parse_args()
    stale = []
    for name, page in PAGES.items():
        path = ROOT / "docs" / name
        text = page()
        if args.check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(name)
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        print("Stale, run `make docs`:", *stale, sep="\n  ")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
