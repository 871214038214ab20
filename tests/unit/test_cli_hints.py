"""What `fr` says to type where the server refuses: commands and options that there are, and only where they help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fr_api.v1 import error_reason_pb2
from fr_client.cli.main import build
from fr_client.cli.state import REMEDIES, remedy_of
from support.cli import fr_at
from support.scripted import Script, serving_trust

Commands = dict[str, tuple[str, ...]]


def tree(command: Any, name: str, parent: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield name, tuple(option for parameter in command.params for option in parameter.opts)
    for child in (*getattr(command, "commands", {}), *getattr(command, "late", {})):
        yield from tree(command.get_command(context, child), f"{name} {child}", context)


@cache
def commands() -> Commands:
    """The commands of the client, each with its options."""
    return dict(tree(get_command(build()), "fr", None))


@pytest.mark.parametrize("reason", REMEDIES)
def test_what_a_hint_names_is_there(reason: str) -> None:
    hint = REMEDIES[reason]
    assert f"ERROR_REASON_{reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no dict
    quoted = re.findall(r"`([^`]+)`", hint.sentence)
    for words in quoted:
        name = re.match(r"[a-z ]+[a-z]", words)
        assert name is not None
        assert set(re.findall(r"--[a-z-]+", words)) <= set(commands()[name[0]])
    outside = re.findall(r"--[a-z-]+", re.sub(r"`[^`]+`", "", hint.sentence))
    assert set(outside) == set(hint.options)
    assert quoted or any(set(hint.options) <= set(options) for options in commands().values())


@pytest.mark.parametrize(
    ("reason", "having", "lacking"),
    [
        (
            "PURPOSE_REQUIRED",
            ("fr search", "fr gallery duplicates", "fr gallery cluster", "fr subject show", "fr enrol"),
            ("fr subject delete", "fr train run"),
        ),
        ("SEVERAL_FACES", ("fr search", "fr compare", "fr enrol", "fr case search"), ("fr detect", "fr train run")),
    ],
)
def test_a_hint_is_for_commands_that_have_its_options(
    reason: str, having: tuple[str, ...], lacking: tuple[str, ...]
) -> None:
    assert all(remedy_of(reason, commands()[name]) for name in having)
    assert not any(remedy_of(reason, commands()[name]) for name in lacking)
    assert remedy_of("NO_FACE", commands()["fr search"]) == ""


def test_the_line_of_an_error_ends_with_what_to_type(tmp_path: Path) -> None:
    script = Script()
    script.refusals["RotateKey"] = ["UNKNOWN_KEY"]
    script.refusals["CloseCase"] = ["UNKNOWN_CASE"]
    script.refusals["WhoAmI"] = ["CREDENTIAL_MISSING"]
    script.refusals["SearchInCase"] = ["SEVERAL_FACES", "PURPOSE_REQUIRED"]
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"a photo")
    with serving_trust(script) as target:
        assert fr_at(target, "key", "rotate", "k")[::2] == (
            1,
            "UNKNOWN_KEY: Not now. `fr key list` lists them, for an admin; `fr whoami` names yours. (request id-1)\n",
        )
        assert fr_at(target, "whoami")[::2] == (
            1,
            "CREDENTIAL_MISSING: Not now. `fr --connection FILE` takes the key from a connection file. "
            "(request id-1)\n",
        )
        assert fr_at(target, "case", "close", "2026-014")[::2] == (
            1,
            "UNKNOWN_CASE: Not now. `fr case list` lists them. CASE is the id of a case, not its reference. "
            "(request id-1)\n",
        )
        words = ("case", "search", "c", "g", photo)
        assert fr_at(target, *words)[::2] == (
            1,
            "SEVERAL_FACES: Not now. The option is --several-faces largest. (request id-1)\n",
        )
        # A case has its purpose: the command has no such option.
        assert fr_at(target, *words)[::2] == (1, "PURPOSE_REQUIRED: Not now. (request id-1)\n")
