"""Sizes tell nothing of real faces: what is received of pairs, and of photos to triage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from fr_api.v1 import training_pb2
from fr_core.engine import Engine
from fr_datasets.links import Link, datasets_folder, write_link
from fr_training.answers import Usability
from fr_training.keys import PairKey, TriageKey
from fr_training.sessions.views import key_of
from support.courses import Chance, answer, enrol, next_trial, start, store_of
from support.leaks import LEAK, Listening, Row, bare, chance
from support.servers import Running, running

pytestmark = pytest.mark.models

PAIRS = """
format = 1
title = "Pairs of the London Set"
[[sittings]]
name = "all"
[[sittings.blocks]]
id = "pairs"
exercise = "verification"
same = 34
different = 34
"""
TRIAGE = """
format = 1
title = "Photos of the London Set"
[[sittings]]
name = "all"
[[sittings.blocks]]
id = "triage"
exercise = "triage"
usable = 51
limited = 17
reject = 34
"""


@pytest.fixture(scope="module")
def server(default_engine: Engine, testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the default pack, on which the London Set is linked."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patching:
        patching.setenv("FR_HOME", str(folder))
        write_link("london", Link(testdata / "london"), datasets_folder())
        with running(folder / "data", engine=lambda config: replace(default_engine, batchers=())) as server:
            yield server


def create(server: Running, plan: str) -> str:
    source = training_pb2.PlanSource(toml=plan)
    request = training_pb2.CreateCourseRequest(plan=source, datasets=["london"])
    return list(server.training.CreateCourse(request))[-1].course.course_id


def seen(server: Running, course_id: str, padded: bool = True) -> list[Row]:
    """Each item once: sizes of its messages and pictures."""
    store = store_of(server)
    course = store.course(course_id)
    listening = Listening(server.channel)
    session = start(listening.training, enrol(server.training, course_id).enrolled[0].code)
    how, rows = Chance(), []
    while (trial := next_trial(listening.training, session)) is not None:
        shown = listening.heard[-1].message
        answer(listening.training, session, trial, how)
        key = key_of(course, store.session(session).trials[-1])
        files = [picture.data for picture in trial.pictures]
        features = (len(shown), len(listening.heard[-1].message), *map(len, files))
        assert isinstance(key, PairKey | TriageKey)
        right = key.mated if isinstance(key, PairKey) else key.usability is Usability.USABLE
        rows.append(Row(0, features, int(right)))
        for data in files:
            assert (len(bare(data)) < len(data)) == padded
    return rows


@pytest.fixture(scope="module")
def pairs(server: Running) -> list[Row]:
    return seen(server, create(server, PAIRS))


def test_sizes_of_pairs_of_real_faces_tell_nothing(server: Running, pairs: list[Row]) -> None:
    assert len(pairs) == 68
    assert len({row.features[0] for row in pairs}) <= 2  # the number in the block has one digit or two
    assert len({row.features[2:4] for row in pairs}) == 1
    assert chance(pairs) >= LEAK or chance(seen(server, create(server, PAIRS))) >= LEAK  # bad luck is not there again


def test_sizes_of_photos_to_triage_tell_nothing_as_they_are(server: Running) -> None:
    rows = seen(server, create(server, TRIAGE))
    assert len(rows) == 102
    assert chance(rows) >= LEAK or chance(seen(server, create(server, TRIAGE))) >= LEAK  # likewise


@pytest.mark.nightly
def test_sizes_of_photos_that_are_not_padded_tell_which_are_spoilt(server: Running) -> None:
    with patch("fr_training.build.course.padded", lambda files: files):
        course_id = create(server, TRIAGE)
    rows = seen(server, course_id, padded=False)
    assert chance([replace(row, features=row.features[:1]) for row in rows]) < LEAK
