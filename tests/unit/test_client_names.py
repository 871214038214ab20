"""The names that `fr_client` offers: all that a caller needs to annotate what the clients take."""

from __future__ import annotations

import ast
import inspect

import fr_client
from fr_client import client, requests


def test_every_kind_of_value_that_a_client_takes_can_be_imported() -> None:
    (imported,) = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(client)))
        if isinstance(node, ast.ImportFrom) and node.module == requests.__name__
    ]
    assert {alias.name for alias in imported.names} <= set(fr_client.__all__)


def test_every_name_is_there() -> None:
    assert all(hasattr(fr_client, name) for name in fr_client.__all__)
