"""The names of actions in docs/audit.md against what the code records: none is missing, and none is there too many."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from fr_core.storage.audit.table import PRUNE
from fr_server.authz.rules import action_of
from fr_server.authz.table import RULES
from fr_server.storage.audits import CHAINS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
# Where the records of each chain are made.
ROOMS = {
    "galleries": ("fr_core/gallery",),
    "cases": ("trust/fr_trust/casework",),
    "training": ("training/fr_training",),
    "access": ("trust/fr_trust/access", "server/fr_server/authz/access_audit.py"),
}
MADE_UP = "training/fr_training/build/custody.py"  # the custody of an exercise, which no chain records
ACTION = re.compile(r"(?:gallery|case|training|access)\.(?!sqlite)[a-z_]+")  # those are names of files


def words_of(place: Path) -> Iterator[str]:
    """Every text in the code that can be the name of an action."""
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and ACTION.fullmatch(node.value):
                yield node.value


def recorded() -> dict[str, set[str]]:
    found = {chain: {word for room in rooms for word in words_of(ROOT / room)} for chain, rooms in ROOMS.items()}
    found["access"] -= calls()
    found["training"] -= set(words_of(ROOT / MADE_UP))
    return found


def calls() -> set[str]:
    return {action_of(method) for method in RULES}


def documented() -> dict[str, set[str]]:
    (section,) = re.findall(r"\n## What the actions are called\n(.*?)\n## ", PAGE, re.DOTALL)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for chain, actions in re.findall(r"^\| `([a-z]+)` \| (.*?) \|", section, re.MULTILINE):
        names = re.findall(r"`([a-z._]+)`", actions)
        assert not found[chain] & set(names), "a name is there twice"
        found[chain] |= set(names)
    return dict(found)


def test_every_action_is_in_the_table_and_no_other() -> None:
    assert set(ROOMS) == set(CHAINS)
    assert documented() == recorded() | {"every": {PRUNE}}


def test_known_actions_are_among_those_that_are_read_from_the_code() -> None:
    found = recorded()
    assert {"gallery.enrol", "gallery.restore"} <= found["galleries"]
    assert {"case.finding", "case.purge"} <= found["cases"]
    assert {"training.lock", "training.finish_session"} <= found["training"]
    assert {"access.handshake", "access.forget_time"} <= found["access"]


def test_a_call_is_named_as_the_page_says() -> None:
    ((method, action),) = re.findall(r"`(\w+Service/\w+)` is `([a-z._]+)`", PAGE)
    assert action_of(f"/fr_api.v1.{method}") == action in calls()
