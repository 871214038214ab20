"""`fr train item` releases items to a cohort; `fr train review` shows trainees their own answers to them again."""

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.show import counted, print_answer, print_json
from fr_client.cli.state import AsJson, argument, connected
from fr_client.cli.train.answers import COMPARISONS, DEGRADATIONS, USABILITIES
from fr_client.cli.train.codes import ASK, Code, asked_code
from fr_client.cli.train.cohorts import CohortId, release_text
from fr_client.cli.train.labels import labels, shown_of, similarity_text
from fr_client.cli.train.lessons import option_lines, page_lines
from fr_client.cli.train.messages import in_trainees_words
from fr_client.cli.train.picture_file import Pictures, WithViewer, chosen_viewer, picture_file
from fr_client.cli.train.questions import question_lines
from fr_client.cli.train.run import Language, prompt, say
from fr_client.unpack import message_keys

item = typer.Typer(help="Release items to the trainees of a cohort, and show them to the class.", no_args_is_help=True)


@item.command("release")
def release_items(
    context: typer.Context,
    cohort_id: CohortId,
    blocks: Annotated[
        list[str] | None, typer.Option("--block", metavar="BLOCK", help="All items of a block; repeatable.")
    ] = None,
    items: Annotated[
        list[str] | None, typer.Option("--item", metavar="ITEM", help="One item of the cohort's report; repeatable.")
    ] = None,
    tests: Annotated[
        bool, typer.Option("--tests", help="Also items of tests; nobody can be tested with them afterwards.")
    ] = False,
    before_all_finished: Annotated[
        bool, typer.Option("--before-all-finished", help="Also items that some trainees have not done yet.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let trainees look at their own answers to items again, with the right ones.

    `fr train course show` lists the blocks. The audit records each release; nothing takes one back.
    """
    if not blocks and not items:
        raise typer.BadParameter("Give --block or --item.")
    with connected(context, as_json) as client:
        made = client.training.release_items(
            cohort_id, blocks or (), items or (), include_tests=tests, before_all_finished=before_all_finished
        )
        words = release_text(made) if made.items else "All of these items were released before."
        print_answer(as_json, made, f"{words} Trainees see them with `fr train review`.")


@item.command("show")
def show_item(
    context: typer.Context,
    cohort_id: CohortId,
    item_id: Annotated[str, argument("ITEM", "Id of a released item, as the cohort's report lists it.")],
    pictures: Pictures = None,
    viewer: WithViewer = None,
    as_json: AsJson = False,
) -> None:
    """Show a class a released item: photos, how the cohort answered, the machine, and last the right answer.

    `fr train report get COHORT --file deck` writes a page of all released items.
    """
    with connected(context, as_json) as client:
        found = client.training.class_item(cohort_id, item_id)
        if as_json:
            for one in found.pictures:
                one.data = b""
            print_json(message_keys(found))
            return
        with picture_file(pictures, chosen_viewer(viewer), say) as shows:
            say(found.block_title)
            shows.keep_evidence(found)
            shows.show(shown_of(found.pictures, None))
            for line in question_lines(found.question):
                say(line)
            answers = [f"{one.label:>24} {one.people:>4} {'#' * one.people}" for one in found.answers]
            truth = [found.truth, f"{found.right} of {found.people} were right."]
            parts = {"the answers": answers, "the machine": [found.machine], "the right answer": truth}
            for what, lines in parts.items():
                if lines == [""]:
                    continue
                if not _goes_on(f"Enter shows {what}, q leaves:"):
                    return
                for line in lines:
                    say(line)
            _goes_on("Enter ends:")


def review(
    context: typer.Context,
    code: Code = ASK,
    include_right: Annotated[bool, typer.Option("--all", help="Show right answers too, not only wrong ones.")] = False,
    pictures: Pictures = None,
    viewer: WithViewer = None,
    language: Language = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON, and show no trial.")] = False,
) -> None:
    """Look again at your own wrong answers that your trainer has released: first the photos, then the right answer."""
    with connected(context, as_json) as client, in_trainees_words():
        typed = asked_code(code)
        found = client.training.list_review(typed, include_right=include_right)
        if as_json:
            print_json(message_keys(found))
            return
        say(_summary(found, include_right))
        if not found.entries:
            return
        with picture_file(pictures, chosen_viewer(viewer), say) as shows:
            for number, entry in enumerate(found.entries, 1):
                say("")
                say(f"{number} of {len(found.entries)}: {entry.block_title}, trial {entry.number}")
                one = client.training.review(typed, entry.trial_id, language)
                shows.keep_evidence(one.trial)
                shows.show(shown_of(one.trial.pictures, None))
                for line in (*_asked_lines(one.trial), *answer_lines(one)):
                    say(line)
                if not _goes_on("Look again; Enter shows the right answer, q leaves:"):
                    return
                for line in (one.reveal.text, *option_lines(one.reveal.options)):
                    say(line)
                if words := similarity_text(one.reveal.similarities, labels(one.trial.pictures)):
                    say(words)
                if not _goes_on("Enter continues, q leaves:"):
                    return


def _asked_lines(trial: training_pb2.Trial) -> Iterable[str]:
    """Return the question of a trial: that of a lesson comes after its text."""
    if not trial.HasField("lesson"):
        return question_lines(trial.question)
    page = trial.lesson
    return (*page_lines(page), page.question, *option_lines(page.options))


def answer_lines(one: training_pb2.GetReviewResponse) -> Iterable[str]:
    """Return a line for each answer of a trainee, with the labels of pictures and the names of parts of the face."""
    names = labels(one.trial.pictures) | {part.component_id: part.name for part in one.trial.components}
    names |= {option.option_id: str(number) for number, option in enumerate(one.trial.lesson.options, start=1)}
    for answer in one.answers:
        if (words := _answer_text(answer, names)) is not None:
            yield f"You answered{'' if answer.step != _AGAIN else ' after the opinion'}: {words}."
        if answer.known_to_me:
            yield "You said that you know one of the people."


_AGAIN = training_pb2.TRIAL_STEP_RATE_AGAIN
_COMPARED = dict(zip(COMPARISONS.values(), ("similar", "different", "not visible"), strict=True))
_SURE = ("rather", "probably", "surely")
_USABLE = {"u": "usable", "l": "limited", "r": "reject"}
_USABILITY = {value: _USABLE[key] for key, value in USABILITIES.items()}
_REASONS = dict(DEGRADATIONS.values())


def _answer_text(answer: training_pb2.GivenAnswer, names: dict[str, str]) -> str | None:
    match answer.WhichOneof("answer"):
        case "rating":
            return _rating_text(answer.rating.rating)
        case "odd_picture_id":
            return f"the odd one is {names[answer.odd_picture_id]}"
        case "candidates":
            decided = answer.candidates
            rated = ", ".join(f"{names[one]} {decided.ratings[one]:+d}" for one in names if one in decided.ratings)
            which = "inconclusive" if decided.inconclusive else "none of them"
            if decided.picture_id:
                which = f"candidate {names[decided.picture_id]}"
            return f"{which} ({rated})"
        case "quality":
            reasons = ", ".join(_REASONS[reason] for reason in answer.quality.reasons)
            return _USABILITY[answer.quality.usability] + (f" ({reasons})" if reasons else "")
        case "notes":
            return answer.notes
        case "observations":
            seen = answer.observations.observations
            return "; ".join(f"{names.get(one.component_id, one.component_id)} {_seen(one)}" for one in seen)
        case "prediction":
            return f"{answer.prediction.percent:g} percent"
        case "conclusion":
            return f"number {answer.conclusion.row}" if answer.conclusion.row else "none of them"
        case "file_hash":
            return answer.file_hash.sha256
        case "option_id":
            return f"option {names[answer.option_id]}"
    return None  # a photo that the server did not keep, or a part that was read


def _rating_text(rating: int) -> str:
    if not rating:
        return "undecided (0)"
    return f"{_SURE[abs(rating) - 1]} {'one person' if rating > 0 else 'two people'} ({rating:+d})"


def _seen(one: training_pb2.Observation) -> str:
    degree = f" ({one.similarity} of 10)" if one.HasField("similarity") else ""
    return _COMPARED[one.comparison] + degree


def _summary(found: training_pb2.ListReviewResponse, include_right: bool) -> str:
    kind = "answer" if include_right else "wrong answer"
    closed = f" {counted(found.closed, 'other answer')} cannot be looked at yet." if found.closed else ""
    return f"{counted(len(found.entries), kind)} to look at again.{closed}"


def _goes_on(question: str) -> bool:
    """Ask, and return False for q and at the end of the input."""
    prompt(question)
    line = sys.stdin.readline()
    return bool(line) and line.strip().lower() != "q"
