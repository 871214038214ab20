"""Three servers on one database answer any history of changes as a plain model does, whichever of them is asked."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from fr_core.errors import UnknownGallery
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import SubjectFilter
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import (
    Deleted,
    Enrolled,
    Enrolment,
    Erased,
    GalleryInfo,
    NewTemplate,
    SubjectUpdate,
    UpdatedSubject,
)
from fr_core.gallery.versions import version_token
from support.counts import count
from support.ledger import GALLERY, KEY, MODEL, SIZE, embedding
from support.postgres import Cluster
from support.stores import outside

SERVERS = 3
UNITS = ("north", "south")
SERVER = st.integers(0, SERVERS - 1)
SUBJECT = st.sampled_from([f"s{number}" for number in range(6)])
CHANCE = st.randoms(use_true_random=False)


@dataclass
class Model:
    """The gallery as it must be: the seeds of each subject's templates, by their ids."""

    version: int
    token: str
    people: dict[str, dict[int, int]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def best(self, probe: int, unit: str | None) -> dict[str, tuple[int, float]]:
        """Return the best template of each subject, and its similarity."""
        found = {}
        for name, own in self.people.items():
            if own and unit in (None, self.units.get(name)):
                scored = {key: float(embedding(seed).vector @ embedding(probe).vector) for key, seed in own.items()}
                key = max(scored, key=lambda key: scored[key])
                found[name] = key, scored[key]
        return found


class Servers(RuleBasedStateMachine):
    """The servers, and what they must answer."""

    def __init__(self, postgres: Cluster) -> None:
        super().__init__()
        self.database = postgres.database(follow_interval_s=0.05)
        self.servers = [self._opened() for _ in range(SERVERS)]
        self.model: Model | None = None
        self.seed = 0

    def teardown(self) -> None:
        for one in self.servers:
            one.close()

    @precondition(lambda self: self.model is None)
    @rule(at=SERVER)
    def create(self, at: int) -> None:
        info = self.servers[at].create(GALLERY, "", MODEL, SIZE)
        self.model = Model(0, "")
        self._changed(info)

    @precondition(lambda self: self.model is not None)
    @rule(at=SERVER, name=SUBJECT)
    def enrol(self, at: int, name: str) -> None:
        assert self.model is not None
        enrolled = self.servers[at].enrol(GALLERY, self._enrolment(name))
        assert enrolled.subject_created == (name not in self.model.people)
        self.model.people.setdefault(name, {})[enrolled.template_id] = self.seed
        self._changed(enrolled)

    @precondition(lambda self: self.model is not None)
    @rule(at=SERVER, names=st.lists(SUBJECT, min_size=1, max_size=5))
    def enrol_many(self, at: int, names: list[str]) -> None:
        assert self.model is not None
        first = self.seed + 1
        outcomes = self.servers[at].enrol_many(GALLERY, [self._enrolment(name) for name in names])
        for seed, outcome in enumerate(outcomes, first):
            assert isinstance(outcome, Enrolled)
            self.model.people.setdefault(outcome.subject_id, {})[outcome.template_id] = seed
        assert isinstance(outcomes[0], Enrolled)
        self._changed(outcomes[0])

    @precondition(lambda self: self.model is not None and self.model.people)
    @rule(at=SERVER, how=st.sampled_from(["template", "subject", "erase", "update"]), chance=CHANCE)
    def change(self, at: int, how: str, chance: random.Random) -> None:
        assert self.model is not None
        galleries, people = self.servers[at], self.model.people
        name = chance.choice(sorted(people))
        done: Deleted | Erased | UpdatedSubject
        if how == "update":
            unit = self.model.units[name] = chance.choice(UNITS)
            done = galleries.update_subject(GALLERY, name, SubjectUpdate(metadata={"unit": unit}))
        elif how == "template" and people[name]:
            template_id = chance.choice(sorted(people[name]))
            done = galleries.delete_template(GALLERY, template_id)
            del people[name][template_id]
        else:
            done = (galleries.erase_subject if how == "erase" else galleries.delete_subject)(GALLERY, name)
            assert done.templates == len(people.pop(name))
            self.model.units.pop(name, None)
        self._changed(done)

    @precondition(lambda self: self.model is not None)
    @rule(at=SERVER)
    def delete(self, at: int) -> None:
        assert self.model is not None
        self._changed(self.servers[at].delete(GALLERY))
        self.model = None

    @rule(at=SERVER)
    def restart(self, at: int) -> None:
        self.servers[at].close()
        self.servers[at] = self._opened()

    @rule()
    def forget_the_log(self) -> None:
        outside(self.database, SCHEMA, "DELETE FROM changes WHERE seq < (SELECT max(seq) FROM changes)")

    @rule(at=SERVER, probe=st.integers(1, 30), unit=st.sampled_from([None, *UNITS]))
    def search(self, at: int, probe: int, unit: str | None) -> None:
        galleries, model = self.servers[at], self.model
        if model is None:
            with pytest.raises(UnknownGallery):
                galleries.search(GALLERY, embedding(probe), 10, -1.0)
            return
        galleries.require_version(GALLERY, model.token)
        unit = unit if unit in model.units.values() else None  # a key that nobody has is refused
        among = SubjectFilter({"unit": unit}) if unit else None
        found = galleries.search(GALLERY, embedding(probe), 10, -1.0, among=among).identification
        assert found.gallery_version == model.version
        best = model.best(probe, unit)
        assert {one.subject_id: one.template_id for one in found.candidates} == {
            name: template_id for name, (template_id, _) in best.items()
        }
        np.testing.assert_allclose(
            [one.similarity for one in found.candidates], sorted((s for _, s in best.values()), reverse=True), atol=1e-6
        )

    def _opened(self) -> Galleries:
        return Galleries.open(self.database, key=KEY, index="numpy")

    def _enrolment(self, name: str) -> Enrolment:
        self.seed += 1
        return Enrolment(name, NewTemplate(embedding(self.seed), f"{self.seed:064x}"))

    def _changed(self, done: GalleryInfo | Enrolled | Deleted | Erased | UpdatedSubject) -> None:
        assert self.model is not None
        version = done.version if isinstance(done, GalleryInfo) else done.gallery_version
        assert version == self.model.version + 1
        self.model.version, self.model.token = version, version_token(done.gallery_no, version)


def test_any_history_of_several_servers_is_as_the_model_says(postgres: Cluster) -> None:
    # Examples are histories of 40 steps at most, each on a database and three servers of its own: a second or two each.
    # Opening the servers takes so long that looking for a shorter history that fails would take minutes.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    limits = settings(max_examples=count("HISTORIES_OF_REPLICAS"), stateful_step_count=40, phases=phases, deadline=None)
    run_state_machine_as_test(partial(Servers, postgres), settings=limits)  # type: ignore[arg-type] # makes one
