"""Messages of trials, to and from values: what is shown, and what is answered."""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_never

from google.protobuf.duration_pb2 import Duration

from fr_api.v1 import training_pb2 as pb
from fr_core.errors import InvalidField, MissingField, message
from fr_locales.rendering import render, spoken
from fr_server.rpc.convert.common import by_name, duration
from fr_server.rpc.convert.training import EXERCISES, SHOWN_AS, block_message, lesson_page, question_message
from fr_training import answers
from fr_training.courses import Course
from fr_training.errors import InvalidRating
from fr_training.exercises import exercise_of
from fr_training.grading.class_items import ClassItem
from fr_training.lessons import ENGLISH, in_language
from fr_training.prompts import Component, LessonPage, Reveal, Role, Step
from fr_training.sessions.views import Over, ShowBlock, ShowTrial
from fr_training.trials import Locked

STEPS = by_name(Step, pb.TrialStep, "TRIAL_STEP")
_ROLES = by_name(Role, pb.PictureRole, "PICTURE_ROLE")
_STEP_OF = {value: step for step, value in STEPS.items()}
_COMPARISONS = by_name(answers.Compared, pb.Comparison, "COMPARISON")
_COMPARED = {value: one for one, value in _COMPARISONS.items()}
_USABILITIES = by_name(answers.Usability, pb.Usability, "USABILITY")
_USABILITY = {value: one for one, value in _USABILITIES.items()}
_DEGRADATIONS = by_name(answers.Degraded, pb.Degradation, "DEGRADATION")
_DEGRADED = {value: one for one, value in _DEGRADATIONS.items()}

# --- what is shown ---------------------------------------------------------------------------------------------


def trial_message(shown: ShowTrial, pictures: Sequence[bytes], language: str = ENGLISH) -> pb.Trial:
    """Build the message of a trial, with the JPEG files of its prompt's pictures in their order.

    `language` is that of lessons; where they have no translation, they stay English.
    """
    prompt = shown.prompt
    advice = prompt.advice
    return pb.Trial(
        trial_id=shown.trial.trial_id,
        block_id=shown.block.block_id,
        number=shown.number,
        of=shown.of,
        exercise=SHOWN_AS[prompt.exercise],
        step=STEPS[prompt.step],
        pictures=[
            pb.Picture(picture_id=one.picture_id, data=data, role=_ROLES[one.role], at=duration_message(one.at_ms))
            for one, data in zip(prompt.pictures, pictures, strict=True)
        ],
        components=map(component_message, prompt.components),
        advice=None if advice is None else pb.Advice(same=advice.same, text=render(advice.text)),
        question=None if prompt.question is None else question_message(prompt.question),
        left=duration_message(shown.left_ms),
        draft=None if shown.trial.draft is None else _draft_message(shown.trial.draft),
        lesson=None if prompt.lesson is None else _lesson_message(prompt.lesson, language),
    )


def _lesson_message(page: LessonPage, language: str) -> pb.LessonPage:
    part, _ = in_language(page.part, (), language)
    made = lesson_page(part)
    made.question = part.question if page.option_ids else ""
    for option_id, index in zip(page.option_ids, part.order, strict=bool(page.option_ids)):
        made.options.add(option_id=option_id, text=part.options[index])
    return made


def component_message(one: Component) -> pb.Component:
    """Build the message of a component of faces."""
    return pb.Component(component_id=one.component_id, name=render(one.name), look_at=render(one.look_at))


def duration_message(ms: int | None) -> Duration | None:
    """Build the message of the time left in a block, or of a time within a track; None where there is none."""
    return None if ms is None else duration(timedelta(milliseconds=ms))


def _draft_message(draft: answers.Draft) -> pb.Draft:
    return pb.Draft(
        notes=draft.notes, observations=map(_observation_message, draft.observations), ratings=draft.ratings
    )


def _observation_message(one: answers.Observation) -> pb.Observation:
    return pb.Observation(
        component_id=one.component_id, comparison=_COMPARISONS[one.compared], similarity=one.similarity
    )


def block_to_begin(course: Course, shown: ShowBlock, language: str = ENGLISH) -> pb.BlockToBegin:
    """Build the message of a block that comes next; `language` as in `trial_message`."""
    enlarged = max((one.enlarged for one in course.forecasts if one.form in shown.block.forms), default=0.0)
    block = block_message(course.plan.block_in(shown.block, spoken()), language=language)
    return pb.BlockToBegin(block=block, number=shown.number, of=shown.of, enlarged=enlarged)


def over_message(over: Over) -> pb.SessionOver:
    """Build the message of the end."""
    return pb.SessionOver(answered=over.answered, trials=over.trials)


def reveal_message(reveal: Reveal, language: str = ENGLISH) -> pb.Reveal:
    """Build the message of what was right; `language` as in `trial_message`."""
    text = "" if reveal.text is None else render(reveal.text)
    made = pb.Reveal(correct=reveal.correct, text=text, similarities=reveal.similarities, picture_id=reveal.picture_id)
    if reveal.lesson is not None:
        told = reveal.lesson
        part, reasons = in_language(told.part, told.reasons, language)
        made.language = part.language
        for option_id, n in zip(told.option_ids, part.order, strict=True):
            made.options.add(option_id=option_id, text=part.options[n], reason=reasons[n], right=n == told.right)
    return made


def class_item_message(item: ClassItem, pictures: Sequence[bytes]) -> pb.GetClassItemResponse:
    """Build the message of an item for a class, with the JPEG files of its photos in their order."""
    probes = exercise_of(item.block.exercise).probes
    roles = [Role.PROBE] * probes + [Role.CANDIDATE if probes else Role.COMPARED] * (len(pictures) - probes)
    roles[1:] = [Role.SHOT] * len(item.times) or roles[1:]
    times = [None, *item.times] if item.times else [None] * len(pictures)
    return pb.GetClassItemResponse(
        block_title=item.block.title,
        exercise=EXERCISES[item.block.exercise],
        pictures=[
            pb.Picture(picture_id=str(place), data=data, role=_ROLES[role], at=duration_message(at))
            for place, (data, role, at) in enumerate(zip(pictures, roles, times, strict=True))
        ],
        answers=[pb.AnswerCount(label=render(one.label), people=one.people, right=one.right) for one in item.bars],
        people=item.people,
        right=item.right,
        machine="" if item.machine is None else render(item.machine),
        truth=render(item.truth),
        question=None if item.question is None else question_message(item.question),
    )


def given_answer(locked: Locked) -> pb.GivenAnswer:
    """Build the message of an answer that was locked."""
    answer = locked.answer
    made = pb.GivenAnswer(step=STEPS[locked.step], difficulty=answer.difficulty, known_to_me=answer.known_to_me)
    match answer.given:
        case answers.PairRating(rating, p_same):
            made.rating.CopyFrom(pb.PairRating(rating=rating, p_same=p_same))
        case answers.OddOneOut(picture_id):
            made.odd_picture_id = picture_id
        case answers.ListDecision() as decided:
            made.candidates.CopyFrom(_candidate_decision(decided))
        case answers.Triage(usability, reasons):
            made.quality.usability = _USABILITIES[usability]
            made.quality.reasons.extend(sorted(_DEGRADATIONS[reason] for reason in reasons))
        case answers.Notes(text):
            made.notes = text
        case answers.Observations(observations):
            made.observations.observations.extend(map(_observation_message, observations))
        case answers.Prediction(percent):
            made.prediction.percent = percent
        case answers.Conclusion(row):
            made.conclusion.CopyFrom(pb.Conclusion(row=row))  # 0, for none, is an answer
        case answers.FileHash(sha256):
            made.file_hash.sha256 = sha256
        case answers.Read():
            made.read = True
        case answers.OptionChosen(option_id):
            made.option_id = option_id
        case answers.ProbeSent():
            pass  # no part of the photo is kept
        case _:
            assert_never(answer.given)
    return made


def _candidate_decision(decided: answers.ListDecision) -> pb.CandidateDecision:
    made = pb.CandidateDecision(ratings=decided.ratings)
    if decided.picture_id is not None:
        made.picture_id = decided.picture_id
    elif decided.choice is answers.ListChoice.NONE:
        made.none = True
    else:
        made.inconclusive = True
    return made


# --- what is answered ------------------------------------------------------------------------------------------


def sent_notes(request: pb.LockNotesRequest) -> tuple[Step, answers.Answer]:
    """Return what was noted or observed, and its step; raises `MissingField` for neither, `InvalidField` for both."""
    if request.notes and request.observations:
        raise InvalidField(message("error.rpc.send_either_notes_observations"), field="notes")
    if request.observations:
        return Step.OBSERVE, answers.Answer(answers.Observations(tuple(map(_observation, request.observations))))
    if not request.notes:
        raise MissingField(message("error.rpc.neither_notes_nor_observations"), field="notes")
    return Step.NOTE, answers.Answer(answers.Notes(request.notes))


def sent_draft(draft: pb.Draft) -> answers.Draft:
    """Return a draft; raises `InvalidRating` for a comparison that does not exist."""
    return answers.Draft(draft.notes, tuple(map(_observation, draft.observations)), dict(draft.ratings))


def sent_decision(request: pb.SubmitDecisionRequest) -> tuple[Step, answers.Answer]:
    """Return the decision, and its step; raises `MissingField`, or `InvalidField` for unknown values."""
    if not request.step:
        raise MissingField(message("error.rpc.step_not_set"), field="step")
    if request.step not in _STEP_OF:
        raise InvalidField(message("error.rpc.step_value_call_does"), field="step")
    given = _given(request)
    difficulty = request.difficulty if request.HasField("difficulty") else None
    return _STEP_OF[request.step], answers.Answer(given, difficulty, request.known_to_me)


def _given(request: pb.SubmitDecisionRequest) -> answers.Given:
    which = request.WhichOneof("answer")
    if which == "rating":
        rating = request.rating
        return answers.PairRating(rating.rating, rating.p_same if rating.HasField("p_same") else None)
    if which == "odd_picture_id":
        return answers.OddOneOut(request.odd_picture_id)
    if which == "candidates":
        return _list_decision(request.candidates)
    if which == "quality":
        return _triage(request.quality)
    if which == "prediction":
        return answers.Prediction(request.prediction.percent)
    if which == "conclusion":
        return answers.Conclusion(request.conclusion.row)
    if which == "file_hash":
        return answers.FileHash(request.file_hash.sha256)
    if which == "option_id":
        return answers.OptionChosen(request.option_id)
    if which == "read" and request.read:
        return answers.Read()
    raise MissingField(message("error.rpc.no_answer"), field="answer")


def _list_decision(decision: pb.CandidateDecision) -> answers.ListDecision:
    which = decision.WhichOneof("decision")
    ratings = dict(decision.ratings)
    if which == "picture_id":
        return answers.ListDecision(answers.ListChoice.CANDIDATE, decision.picture_id, ratings)
    if which == "none" and decision.none:
        return answers.ListDecision(answers.ListChoice.NONE, None, ratings)
    if which == "inconclusive" and decision.inconclusive:
        return answers.ListDecision(answers.ListChoice.INCONCLUSIVE, None, ratings)
    raise MissingField(message("error.rpc.no_decision"), field="candidates.decision")


def _triage(decision: pb.QualityDecision) -> answers.Triage:
    if not decision.usability:
        raise MissingField(message("error.rpc.quality_usability_not_set"), field="quality.usability")
    if decision.usability not in _USABILITY:
        raise InvalidField(message("error.rpc.quality_usability_value_call"), field="quality.usability")
    if any(reason not in _DEGRADED for reason in decision.reasons):
        raise InvalidField(message("error.rpc.quality_reasons_holds_value"), field="quality.reasons")
    return answers.Triage(_USABILITY[decision.usability], frozenset(_DEGRADED[reason] for reason in decision.reasons))


def _observation(sent: pb.Observation) -> answers.Observation:
    if sent.comparison not in _COMPARED:
        raise InvalidRating(message("error.rpc.comparison_component_similar_different"), field="comparison")
    similarity = sent.similarity if sent.HasField("similarity") else None
    return answers.Observation(sent.component_id, _COMPARED[sent.comparison], similarity)
