"""Values of an evaluation: measures with their counts and bars, by set, and its conditions."""

from __future__ import annotations

from dataclasses import dataclass

from fr_core.packs.manifest import Pack
from fr_core.runtime.devices import ActiveDevice
from fr_core.scoring.intervals import Rate
from fr_core.types import ModelId


@dataclass(frozen=True, slots=True)
class Bar:
    """The value that a measure must reach.

    Attributes:
        limit: in the measure's unit.
        at_least: True where value >= limit is asked for, False where value <= limit is.
    """

    limit: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Return whether `value` reaches the bar; a value exactly at it does."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a set.

    Attributes:
        key: stable, for programs.
        label: for people.
        value: the figure that a bar is held against: a share in [0, 1], a number of photos, or a similarity.
        rate: the counts and the interval behind it; None for a figure that is no share.
        bar: what is asked for; None where nothing is.
        threshold: similarity at which the figure was measured; None where it depends on none, or on several.
    """

    key: str
    label: str
    value: float
    rate: Rate | None = None
    bar: Bar | None = None
    threshold: float | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the bar is reached; None without a bar."""
        return None if self.bar is None else self.bar.met(self.value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The measures of one set.

    Attributes:
        name: of the set or a part of it.
        measures: in the order to show them.
        notes: sentences on single files and on conditions, for people.
    """

    name: str
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetReport:
    """The outcomes of a set, and how long they took.

    Attributes:
        name: of the set.
        terms: on which its photos may be used.
        outcomes: one for each part of the set.
        photos: files that were opened.
        seconds: wall time, from the first photo to the last figure.
    """

    name: str
    terms: str
    outcomes: tuple[Outcome, ...]
    photos: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of an evaluation, without names of people or hosts.

    Attributes:
        cpus: processors that this process may use.
        processor: what the system calls their model; "unknown" where it does not tell.
        architecture: such as "x86_64".
        system: such as "Linux".
        python: version.
    """

    cpus: int
    processor: str
    architecture: str
    system: str
    python: str


@dataclass(frozen=True, slots=True)
class Report:
    """A whole evaluation.

    Attributes:
        pack: the models.
        model: the id that the embeddings carry.
        device: what ran them.
        detection: thorough or fast.
        machine: what it ran on.
        workers: photos analysed at the same time, with one thread each.
        code_version: of FR Core.
        sets: in the order of evaluation.
    """

    pack: Pack
    model: ModelId
    device: ActiveDevice
    detection: str
    machine: Machine
    workers: int
    code_version: str
    sets: tuple[SetReport, ...]

    @property
    def missed(self) -> tuple[tuple[str, Measure], ...]:
        """Every (part of a set, measure) whose bar is not reached."""
        return tuple(
            (outcome.name, measure)
            for part in self.sets
            for outcome in part.outcomes
            for measure in outcome.measures
            if measure.met is False
        )
