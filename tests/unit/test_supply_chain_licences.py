"""Licences of what is installed: known ones pass, and nothing passes unread."""

from __future__ import annotations

from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from check_licences import EXCEPTIONS, allows, check, said


def distribution(folder: Path, *fields: str, name: str = "some-package") -> Distribution:
    path = folder / "some_package-1.0.dist-info"
    path.mkdir()
    (path / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *fields, ""]))
    return Distribution.at(path)


def test_everything_installed_has_a_licence_that_is_allowed() -> None:
    found = list(distributions())
    assert len(found) > 50
    assert check(found) == []


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        (["License-Expression: MIT"], True),
        (["License-Expression: GPL-3.0-only"], False),
        (["License-Expression: GPL-3.0-only", "License: MIT"], False),
        (["License: MIT"], True),
        (["License: Apache License 2.0"], True),
        (["License: Proprietary"], False),
        (["Classifier: License :: OSI Approved :: MIT License"], True),
        (["Classifier: License :: OSI Approved :: BSD License", "License: BSD-3-Clause"], True),
        (["Classifier: License :: OSI Approved :: BSD License"], False),
        (["Classifier: License :: OSI Approved :: GNU Affero General Public License v3", "License: MIT"], False),
        (["Classifier: License :: Other/Proprietary License"], False),
        (["License: A text", "        of several lines"], False),
        (["License: UNKNOWN"], False),
        ([], False),
    ],
)
def test_what_metadata_say_is_allowed_or_told(tmp_path: Path, fields: list[str], allowed: bool) -> None:
    wrong = check([distribution(tmp_path, *fields)])
    assert (wrong == []) is allowed
    assert all(sentence.startswith("some-package 1.0: ") for sentence in wrong)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT AND BSD-3-Clause", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only OR MIT AND LGPL-3.0-only", False),
        ("(GPL-3.0-only OR MIT) AND BSD-2-Clause", True),
        ("(GPL-3.0-only OR MIT", False),
        ("MIT)", False),
        ("MIT MIT", False),
        ("MIT AND", False),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("Apache-2.0+", False),
        ("", False),
    ],
)
def test_expressions(expression: str, allowed: bool) -> None:
    assert allows(expression) is allowed


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("insightface", ["License: GPL-3.0-only"]),
        ("insightface", ["Classifier: License :: Free for non-commercial use"]),
        ("apsw", ["License: GPL-3.0-only"]),
        ("scipy", ["License: Another text.", "        Copyleft."]),
    ],
)
def test_an_exception_ends_with_the_words_that_it_rests_on(tmp_path: Path, name: str, fields: list[str]) -> None:
    assert name in EXCEPTIONS
    assert check([distribution(tmp_path, *fields, name=name)]) != []


def test_exceptions_are_needed() -> None:
    for each in distributions():
        if each.metadata["Name"].lower() in EXCEPTIONS:
            assert not (said(each) and all(map(allows, said(each)))), f"{each.metadata['Name']} needs no exception"
    assert all(reason for _, reason in EXCEPTIONS.values())
