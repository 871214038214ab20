"""Make a course and a cohort, and take every sitting of it as a trainee.

It needs a server on this machine, the data set people_folder, and a photo probe.jpg.
"""

import hashlib
from pathlib import Path

from fr_api.v1 import training_pb2 as msg
from fr_client import Client, Training
from fr_client.requests import Decision


def answered(training: Training, session_id: str, trial: msg.Trial) -> msg.Trial | None:
    """Answer the step that a trial waits for; return the trial at its next step, None where it is done."""
    if trial.step == msg.TRIAL_STEP_SEND_PROBE:
        return training.submit_probe(session_id, trial.trial_id, Path("probe.jpg"))
    if trial.step == msg.TRIAL_STEP_NOTE:
        return training.lock_notes(session_id, trial.trial_id, "Deep-set eyes; a mark on the left cheek.")
    if trial.step == msg.TRIAL_STEP_OBSERVE:
        similar = msg.COMPARISON_SIMILAR
        notes = [
            msg.Observation(component_id=one.component_id, comparison=similar, similarity=7) for one in trial.components
        ]
        return training.lock_notes(session_id, trial.trial_id, notes)
    decision: Decision
    if trial.step == msg.TRIAL_STEP_CHOOSE:
        decision = trial.pictures[0].picture_id  # of the odd one out
    elif trial.step == msg.TRIAL_STEP_DECIDE:
        decision = msg.CandidateDecision(none=True)
        for picture in trial.pictures:
            if picture.role == msg.PICTURE_ROLE_CANDIDATE:
                decision.ratings[picture.picture_id] = -1
    elif trial.step == msg.TRIAL_STEP_TRIAGE:
        decision = msg.QualityDecision(usability=msg.USABILITY_LIMITED, reasons=[msg.DEGRADATION_BLUR])
    elif trial.step == msg.TRIAL_STEP_PREDICT:
        decision = msg.Prediction(percent=10)
    elif trial.step in (msg.TRIAL_STEP_HASH, msg.TRIAL_STEP_DERIVE):
        decision = msg.FileHash(sha256=hashlib.sha256(trial.pictures[0].data).hexdigest())
    elif trial.step == msg.TRIAL_STEP_CONCLUDE:
        decision = msg.Conclusion(row=1)
    elif trial.step == msg.TRIAL_STEP_READ:
        decision = trial.lesson
    elif trial.step == msg.TRIAL_STEP_ANSWER:
        decision = trial.lesson.options[0]
    else:  # TRIAL_STEP_RATE, TRIAL_STEP_RATE_AGAIN
        decision = msg.PairRating(rating=-2, p_same=0.2)
    done = training.submit_decision(session_id, trial, decision, difficulty=3)
    if done.HasField("reveal"):
        print(done.reveal.text or f"similarities of {len(done.reveal.similarities)} candidates")
    return done.trial if done.HasField("trial") else None


with Client("localhost:50061") as client:
    training = client.training
    course = training.create_course("demo", ["people_folder"], on_progress=lambda now: print(now.done, "of", now.total))
    made = training.create_cohort(course.course_id, 2, display_name="Spring")
    code = made.enrolled[0].code

    joined = training.join(code)
    print(joined.notice)
    for state in joined.sittings:
        session = training.start_session(code, state.sitting.name, consent=True)
        begin = ""
        while (found := training.next_trial(session.session_id, begin)).WhichOneof("next") != "over":
            begin = found.block.block.block_id  # empty where a trial came
            trial: msg.Trial | None = found.trial if found.HasField("trial") else None
            while trial is not None:
                trial = answered(training, session.session_id, trial)
        print(found.over.answered, "of", found.over.trials, "trials answered")

    print(len(training.report(code=code)), "bytes of report")
    rows = training.export(made.cohort.cohort_id, "csv").decode().splitlines()
    print(len(rows) - 1, "rows, with the columns", rows[0])
    training.delete_course(course.course_id)
