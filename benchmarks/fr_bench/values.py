"""Values of an evaluation: measures with their counts and bars, by set, and its conditions."""

from dataclasses import dataclass

from fr_core.packs.manifest import Pack
from fr_core.runtime.devices import ActiveDevice
from fr_core.scoring.intervals import Rate
from fr_core.types import ModelId


@dataclass(frozen=True, slots=True)
class Bar:
    """The value that a measure must reach: value >= limit where it is `at_least`, else value <= limit."""

    limit: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Return whether `value` reaches the bar; a value exactly at it does."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a set."""

    key: str  # stable, for programs
    label: str  # for people
    value: float  # held against the bar: a share in [0, 1], a number of photos, or a similarity
    rate: Rate | None = None  # has the counts behind a share
    bar: Bar | None = None
    threshold: float | None = None  # similarity at which it was measured; None where it depends on none, or on several

    @property
    def met(self) -> bool | None:
        """Return whether the bar is reached; None without a bar."""
        return None if self.bar is None else self.bar.met(self.value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The measures of a set or a part of it, in the order to show them, and notes on single files and on conditions."""

    name: str
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetReport:
    """The outcomes of a set, one for each part, the files that were opened, and the wall time."""

    name: str
    terms: str
    outcomes: tuple[Outcome, ...]
    photos: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of an evaluation, without names of people or hosts; `cpus` are those that this process may use."""

    cpus: int
    processor: str
    architecture: str
    system: str
    python: str


@dataclass(frozen=True, slots=True)
class Report:
    """A whole evaluation, its sets in their order; `workers` are photos analysed at a time, with one thread each."""

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
