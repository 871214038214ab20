"""The names that `fr_client` offers: all that a caller needs to annotate the arguments of the clients."""

from __future__ import annotations

import ast
import inspect
from typing import Any, get_args

import pytest

import fr_client
from fr_client import requests, words
from fr_client.sync import evaluation, galleries, recognition, subjects


def test_every_kind_of_argument_of_a_client_can_be_imported() -> None:
    imported = {
        alias.name
        for module in (evaluation, galleries, recognition, subjects)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom) and node.module in (requests.__name__, words.__name__)
        for alias in node.names
        if not alias.name.isupper() and alias.name[0].isupper()
    }
    assert len(imported) > 10
    assert imported <= set(fr_client.__all__)


def test_every_name_is_there() -> None:
    assert all(hasattr(fr_client, name) for name in fr_client.__all__)


@pytest.mark.parametrize(
    ("literal", "table"),
    [
        (words.SeveralFaces, words.POLICIES),
        (words.Fusion, words.FUSIONS),
        (words.Use, words.USES),
        (words.ReadingPurpose, words.PURPOSES),
        (words.ReportFile, words.REPORT_FILES),
        (words.TrainingFile, words.TRAINING_FILES),
        (words.ExportFormat, words.EXPORT_FORMATS),
        (words.Finding, words.FINDINGS),
        (words.Role, words.ROLES),
    ],
)
def test_each_value_of_the_api_has_its_word(literal: Any, table: dict[str, int]) -> None:
    assert list(get_args(literal)) == list(table)


def test_names_are_the_words_of_values() -> None:
    assert {words.ROLES[word] for word in words.ROLE_NAMES.values()} == set(words.ROLE_NAMES)
    assert {words.USES[word] for word in words.USE_NAMES.values()} == set(words.USE_NAMES)
