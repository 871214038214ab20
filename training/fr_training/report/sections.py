"""Writes the sections by the kind of exercise, each figure with its meaning in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_evaluation.words import Section, Table, counted, section
from fr_training.grading.blocks import BlockFigures, KindFigures
from fr_training.grading.evidence import EvidenceFigures
from fr_training.grading.kinds import ListFigures, PickFigures, TriadFigures, TriageFigures
from fr_training.grading.pairs import FeltDifficulty, PairFigures, ProbabilityFigures
from fr_training.grading.rates import ErrorFigures, MachineFigures, Roc
from fr_training.grading.values import Counts, Maybe, Undefined
from fr_training.report.cells import HEADER, Row, text
from fr_training.report.evidence import evidence_section
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_response import Ability
from fr_training.statistics.signal_detection import Sensitivity

_CUT = (
    'It says "same" where its likelihood ratio is above 1, as a rule at a lower similarity than the threshold of a '
    "search, which is set so that hardly any of many strangers reach it."
)


def of_kinds(found: KindFigures) -> list[Section]:
    """Of pairs, triads, lists and triage, as far as there are any."""
    return [
        *([] if found.pairs is None else pair_sections(found.pairs)),
        *([] if found.triads is None else [triad_section(found.triads)]),
        *([] if found.lists is None else [list_section(found.lists)]),
        *([] if found.triage is None else [triage_section(found.triage)]),
    ]


def pair_sections(pairs: PairFigures) -> list[Section]:
    """Of pairs: errors, ratings as evidence, and the machine beside them."""
    rows = [
        *error_rows(pairs.errors),
        (
            "area under the ROC curve",
            text(_area(pairs.roc)),
            "How often a pair of one person gets a higher rating than a pair of two; .5 is guessing, 1 is perfect.",
        ),
        *_probability_rows(pairs.probabilities),
        ("median time, right answers", text(pairs.times.right), "Half of the right answers came faster."),
        ("median time, wrong answers", text(pairs.times.wrong), "Likewise of the wrong ones."),
    ]
    about = (
        f"{counted(pairs.trials, 'rated pair')}: {pairs.same:,} of one person and {pairs.different:,} of two. Pairs "
        "with advice and of blocks where different people are rare have their own section."
    )
    return [
        section("Pairs", about, Table(HEADER, rows), _felt(pairs.felt)),
        *([evidence_section(pairs.evidence, pairs.errors)] if isinstance(pairs.evidence, EvidenceFigures) else []),
        _machine(pairs.machine, pairs),
    ]


def error_rows(errors: ErrorFigures) -> list[Row]:
    """Both error rates, sensitivity and bias."""
    found = errors.sensitivity
    return [
        ("right answers", text(errors.right), "Of all pairs; alone it hides which way the errors go."),
        (
            'false "same"',
            text(errors.false_same.of_all),
            "Pairs of two people that were called the same: a wrong person under suspicion.",
        ),
        ("misses", text(errors.misses.of_all), "Pairs of one person that were called different: a person not found."),
        ('false "same", of those decided', text(errors.false_same.of_decided), "The same without the undecided pairs."),
        ("misses, of those decided", text(errors.misses.of_decided), "Likewise."),
        (
            "decided, of two people",
            text(errors.false_same.coverage),
            "The share of pairs that were not left undecided.",
        ),
        ("decided, of one person", text(errors.misses.coverage), "Likewise."),
        (
            "d'",
            text(found.dprime if isinstance(found, Sensitivity) else found),
            "How well one person is told from two, whichever way the answers lean; 0 is guessing, 2 and more is good.",
        ),
        (
            "criterion c",
            text(found.criterion if isinstance(found, Sensitivity) else found),
            'Below 0 is too ready to say "same", above 0 too slow; the undecided count as not called the same.',
        ),
    ]


def triad_section(triads: TriadFigures) -> Section:
    """Of triads."""
    ability = triads.ability
    rows = [
        ("odd one out found", text(triads.right), "Guessing finds a third."),
        (
            "ability",
            text(of_ability(ability)),
            "On the scale of the items' difficulty; 0 is the middle. Triads tell it without which way answers lean.",
        ),
        (
            "the machine",
            text(triads.machine),
            "Share of the same triads that the machine has right, each counted once.",
        ),
        ("median time, right answers", text(triads.times.right), "Half of the right answers came faster."),
        ("median time, wrong answers", text(triads.times.wrong), "Likewise of the wrong ones."),
    ]
    return section("Triads", f"{counted(triads.trials, 'triad')}.", Table(HEADER, rows))


def of_ability(found: Maybe[Ability]) -> Maybe[Estimate]:
    """An ability as an estimate, to be written."""
    if isinstance(found, Undefined):
        return found
    return Estimate(found.theta, found.sd, found.low, found.high, found.confidence)


def list_section(lists: ListFigures) -> Section:
    """Of candidate lists."""
    picks = lists.picks
    rows = [
        ("right picks (TPIR)", text(picks.right), "Lists that held the person, and the person was picked."),
        ("foils", text(picks.foils), "Lists that held the person, and somebody else was picked: worse than a miss."),
        ("missed", text(picks.missed), 'Lists that held the person, answered "none".'),
        ("false alarms (FPIR)", text(picks.false_alarms), "Lists without the person from which somebody was picked."),
        ("inconclusive", text(picks.inconclusive), "Lists that were left without a decision."),
        ("wrong, of all", text(picks.wrong.of_all), "Wrong decisions of all lists."),
        ("wrong, of those decided", text(picks.wrong.of_decided), "Wrong decisions where there was a decision."),
        (
            "machine ranks the person first",
            text(lists.machine_first),
            "Of the lists that held the person, each counted once.",
        ),
        ("median time, right decisions", text(lists.times.right), "Half of the right decisions came faster."),
        ("median time, wrong decisions", text(lists.times.wrong), "Likewise of the wrong ones."),
    ]
    by_length = Table(
        ("candidates", "right picks", "foils", "false alarms"), list(map(_of_length, lists.by_length)), "By length"
    )
    unscored = f" {counted(lists.unscored, 'more is', 'more are')} of unknown truth." if lists.unscored else ""
    about = f"{counted(picks.present, 'list')} held the person searched for, {picks.absent:,} did not.{unscored}"
    return section("Candidate lists", about, Table(HEADER, rows), by_length)


def _of_length(picks: PickFigures) -> tuple[str, ...]:
    return f"{picks.candidates:,}", text(picks.right), text(picks.foils), text(picks.false_alarms)


def triage_section(triage: TriageFigures) -> Section:
    """Of triage."""
    rows = [
        ("right answers", text(triage.right), "Of all photos."),
        ("let through", text(triage.let_through), "Photos to be rejected that were called usable or of limited use."),
        ("thrown away", text(triage.thrown_away), "Usable photos that were rejected."),
        ("median time, right answers", text(triage.times.right), "Half of the right answers came faster."),
        ("median time, wrong answers", text(triage.times.wrong), "Likewise of the wrong ones."),
    ]
    confusion = [(one.truth, f"{one.usable:,}", f"{one.limited:,}", f"{one.reject:,}") for one in triage.confusion]
    faults = [(one.degraded, text(one.judged), text(one.named)) for one in triage.degradations]
    return section(
        "Triage",
        f"{counted(triage.trials, 'photo')}.",
        Table(HEADER, rows),
        Table(("photos that are", "called usable", "called limited", "called reject"), confusion, "What was answered"),
        Table(("fault", "judged rightly", "fault named"), faults, "By what was done to the photo"),
    )


def block_section(blocks: Sequence[BlockFigures]) -> Section:
    """Every block in a row, with both error rates of its pairs."""
    header = ("block", "exercise", "answered", "right", 'false "same"', "misses", "d'", "c")
    return section("Blocks", "", Table(header, [_block(one) for one in blocks]))


def _block(block: BlockFigures) -> tuple[str, ...]:
    pairs = block.figures.pairs
    named = f"{block.title} ({block.test}-test)" if block.test else block.title
    answered = f"{block.counts.answered:,} of {block.counts.shown:,}"
    if pairs is None:
        return named, block.exercise.replace("_", " "), answered, text(_right(block.figures)), "", "", "", ""
    errors, found = pairs.errors, pairs.errors.sensitivity
    return (
        named,
        block.exercise.replace("_", " "),
        answered,
        text(errors.right),
        text(errors.false_same.of_all),
        text(errors.misses.of_all),
        text(found.dprime) if isinstance(found, Sensitivity) else "not known",
        text(found.criterion) if isinstance(found, Sensitivity) else "not known",
    )


def _right(found: KindFigures) -> object:
    for one in (found.triads, found.triage):
        if one is not None:
            return one.right
    return None if found.lists is None else found.lists.picks.right


def count_rows(counts: Counts) -> list[Row]:
    """The rows that count the trials."""
    return [
        ("shown", f"{counts.shown:,}", "All trials."),
        ("answered", f"{counts.answered:,}", "Trials that the figures are made of."),
        ("without an answer", f"{counts.unanswered:,}", "In no figure; most when the time of a block was over."),
        ("known", f"{counts.known_to_me:,}", "In no figure, as somebody shown is known to the trainee."),
        ("of unknown truth", f"{counts.unscored:,}", "Answered, but the right answer is unknown."),
        ("with a pause", f"{counts.paused:,}", "Answered; their time is in no figure."),
    ]


def _felt(felt: Sequence[FeltDifficulty]) -> Table:
    rows = [(str(one.level), f"{one.trials:,}", text(one.right), text(one.mean_b)) for one in felt if one.trials]
    return Table(
        ("found so hard, 1 to 5", "pairs", "right", "difficulty by the machine, SD"), rows, "Difficulty as it was felt"
    )


def _probability_rows(found: Maybe[ProbabilityFigures]) -> Iterable[Row]:
    if isinstance(found, Undefined):
        return
    stated = counted(found.trials, "stated probability", "stated probabilities")
    yield (
        "Brier score",
        text(found.brier, 3),
        f"Mean squared distance of {stated} from the truth; always saying .5 gives .25.",
    )
    yield "log-loss", text(found.log_loss, 3), "In nats; being sure and wrong costs most. Always saying .5 gives .693."
    yield (
        "calibration error",
        text(found.calibration_error, 3),
        "How far stated probabilities are from the shares that turned out so; 0 is perfect, but of so few trials "
        f"somebody whose probabilities are all right has {found.calibration_error_by_chance:.3f} on average.",
    )


def _machine(found: MachineFigures, pairs: PairFigures) -> Section:
    rows = [
        ("right answers", text(found.right), "Of the same pairs, each counted once."),
        ('false "same"', text(found.false_same), "Pairs of two people that the machine calls the same."),
        ("misses", text(found.misses), "Pairs of one person that it calls different."),
        ("area under the ROC curve", text(_area(found.roc)), "Of its similarities; .5 is guessing."),
        ("Cllr", text(found.cllr, 3), "What its likelihood ratios cost, in bits: 0 is perfect, 1 is no evidence."),
        ("agreement", text(found.agrees), "Answers that are the machine's word too; both may be wrong."),
        (
            "both together",
            text(pairs.with_machine),
            f"Area of the average of ratings and similarities. {_gain(pairs.with_machine_gain)}",
        ),
    ]
    easy = isinstance(found.roc, Roc) and found.roc.area.value == 1.0
    ranks = "It ranks every pair of one person above every pair of two."
    about = f"{ranks if easy else 'The pairs were chosen to be hard for it.'} {_CUT}"
    return section("The machine on the same pairs", about, Table(HEADER, rows))


def _gain(found: Maybe[Estimate]) -> str:
    """The cell that says whether both together beat the better of both."""
    if isinstance(found, Undefined):
        return "Whether that beats the better of both cannot be said."
    told = f"({text(found)})"
    if found.low > 0.0:
        return f"It beats the better of both {told}."
    if found.high < 0.0:
        return f"It is worse than the better of both {told}."
    return f"It is not shown to differ from the better of both {told}."


def _area(found: Maybe[Roc]) -> object:
    return found.area if isinstance(found, Roc) else found
