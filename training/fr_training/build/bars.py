"""Measures in the finished pictures of a course what gives pairs away, and how alike the candidates of lists are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.pipeline import Pipeline
from fr_training.bank.clues import COLOURS, PIXELS
from fr_training.bank.forecast import FEWEST, areas_of
from fr_training.bank.labels import sex_of
from fr_training.bank.pool import Looks
from fr_training.build.course import BuiltCourse
from fr_training.build.people import NamedPeople
from fr_training.build.pictures import looks_of_picture
from fr_training.courses import Item
from fr_training.keys import ListKey, PairKey


@dataclass(frozen=True, slots=True)
class PairClues:
    """Areas under the ROC curve, in [0, 1], of whoever compares pixels or colours of pairs; .5 tells nothing.

    `form` is "" for the pairs of all forms together; `same` and `different` count them.
    """

    form: str
    same: int
    different: int
    pixels: float
    colours: float

    @property
    def few(self) -> bool:
        """True if chance alone moves the areas of so few pairs far."""
        return min(self.same, self.different) < FEWEST


@dataclass(frozen=True, slots=True)
class Foils:
    """Mean similarity, in [-1, 1], of the foils of a form to the probes, and of the two people of test pairs.

    The latter is of all pairs of two people if no form is an equated test, None without any. `one_sex` is the share of
    lists whose people have one sex, as far as it is known; None if it is of nobody.
    """

    form: str
    size: int
    similarity: float
    of_tests: float | None
    one_sex: float | None


def pair_clues(built: BuiltCourse, pipeline: Pipeline) -> list[PairClues]:
    """Compare the pictures of all pairs, as trainees see them: first all together, then form by form."""
    course = built.course
    forms = {
        name: [one for one in course.forms[name].items if isinstance(one.key, PairKey)] for name in course.plan.forms()
    }
    shown = {number for items in forms.values() for one in items for number in one.photos}
    looks = {
        number: looks_of_picture(pipeline.decode(built.pictures[number]).pixels, course.plan.mask) for number in shown
    }
    everything = {"": [one for items in forms.values() for one in items]}
    return [found for name, items in (everything | forms).items() if (found := _clues(name, items, looks))]


def _clues(name: str, items: Sequence[Item], looks: Mapping[int, Looks]) -> PairClues | None:
    found = areas_of(items, looks)
    same = sum(isinstance(one.key, PairKey) and one.key.mated for one in items)
    if not found:
        return None
    return PairClues(name, same, len(items) - same, max(found[PIXELS]), max(found[COLOURS]))


def foils(built: BuiltCourse, datasets: Sequence[NamedPeople]) -> list[Foils]:
    """Measure the lists of each form; `datasets` are those of which the course was made."""
    course = built.course
    labels = {f"{one.name}:{person.identity}": person.labels for one in datasets for person in one.people}
    sexes = {number: sex_of(labels.get(identity, {})) for identity, number in built.identities.items()}
    blocks = course.plan.forms()
    tests = {name for name, block in blocks.items() if block.equated}
    similar = {
        name: [one.key.similarity for one in form.items if isinstance(one.key, PairKey) and not one.key.mated]
        for name, form in course.forms.items()
    }
    of_tests = [value for name in tests for value in similar[name]] or [v for some in similar.values() for v in some]
    found = []
    for name, block in blocks.items():
        lists = [(one, one.key) for one in course.forms[name].items if isinstance(one.key, ListKey)]
        if not lists:
            continue
        values = [value for _, key in lists for n, value in enumerate(key.similarities) if n != key.mate]
        known = [sex for one, _ in lists if (sex := {sexes.get(person, "") for person in one.people} - {""})]
        found.append(
            Foils(
                form=name,
                size=block.size,
                similarity=float(np.mean(values)),
                of_tests=float(np.mean(of_tests)) if of_tests else None,
                one_sex=float(np.mean([len(sex) == 1 for sex in known])) if known else None,
            )
        )
    return found
