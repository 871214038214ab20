"""Runs a sitting: shows each trial, sends each answer, survives failures, and reports blocks without time left."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from fr_api.v1 import training_pb2
from fr_client.cli.show import counted
from fr_client.cli.state import Unusable
from fr_client.cli.train.answers import Scale
from fr_client.cli.train.dialog import HELP, Countdown, Dialog, Sender
from fr_client.cli.train.labels import labels, shown_of, similarity_text
from fr_client.cli.train.lessons import figure_files, option_lines
from fr_client.cli.train.messages import trainee_text
from fr_client.cli.train.picture_file import PictureFile
from fr_client.cli.train.questions import Decided, Given, Noted, Style, ask
from fr_client.errors import FrApiError
from fr_client.sync.training import Training


@dataclass
class Blocks:
    """Follows a session from block to block; `resumed` says whether it began before."""

    session: training_pb2.Session
    resumed: bool
    countdown: Countdown
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._blocks = list(self.session.sitting.blocks)
        self._present = ""  # id of the present block
        self._unanswered = 0  # of its trials
        self._late = False

    def shown(self, trial: training_pb2.Trial) -> None:
        """Note that a trial is on the screen."""
        self._present, self._unanswered = trial.block_id, trial.of - trial.number + 1

    def answered(self) -> None:
        """Note that the trial has all its answers."""
        self._unanswered -= 1

    def late(self) -> None:
        """Note that the server refused an answer, since the time of the block is over."""
        self._late = True

    def next_is(self, found: training_pb2.NextTrialResponse) -> None:
        """If the time of a block ran out, say so, now that the next step is known."""
        if self.resumed:
            self._look_back(found)
            self.resumed = False
        kind = found.WhichOneof("next")
        following = found.trial.block_id if kind == "trial" else found.block.block.block_id
        if not self._present or following == self._present:
            return
        # A sitting may also be over because it ended at another machine.
        ran_out = kind != "over" or self._late or self.countdown.is_over
        if self._unanswered > 0 and ran_out:
            self._tell([one for one in self._blocks if one.block_id == self._present], self._unanswered)
        self._present, self._unanswered, self._late = "", 0, False

    def _look_back(self, found: training_pb2.NextTrialResponse) -> None:
        """Report the trials without an answer of the blocks before the present one, when the trainee comes back."""
        blocks = self._blocks
        if sum(one.trials for one in blocks) != self.session.trials:
            return  # a form has fewer items than the plan has trials, and the client does not know which
        kind, here = found.WhichOneof("next"), 0
        if kind == "over":
            before = blocks
        elif kind == "block":
            before = blocks[: found.block.number - 1]
        else:
            ids = [one.block_id for one in blocks]
            before, here = blocks[: ids.index(found.trial.block_id)], found.trial.number - 1
        missing = sum(one.trials for one in before) + here - self.session.answered
        if missing > 0:
            self._tell([one for one in before if one.HasField("limit")], missing)

    def _tell(self, ended: list[training_pb2.Block], unanswered: int) -> None:
        stay = f"{counted(unanswered, 'trial')} {'stays' if unanswered == 1 else 'stay'} without an answer."
        if len(ended) == 1:
            number = self._blocks.index(ended[0]) + 1
            self.say(f"The time of block {number} ({ended[0].title}) ran out; {stay}")
        elif ended:
            self.say(f"The time of an earlier block ran out; {stay}")


# The trial is over, or elsewhere: ask for the next step.
GO_ON = frozenset({"BLOCK_EXPIRED", "DECISION_LOCKED", "WRONG_STEP", "UNKNOWN_TRIAL", "SESSION_FINISHED"})
# The server cannot accept the answer: ask the trainee again.
ASK_AGAIN = frozenset({"INVALID_RATING", "INVALID_FIELD", "MISSING_FIELD"})
# About a photo of the trainee.
PHOTO = frozenset(
    {"UNDECODABLE", "UNSUPPORTED_FORMAT", "IMAGE_TOO_MANY_BYTES", "IMAGE_TOO_MANY_PIXELS", "SEVERAL_FRAMES"}
    | {"NO_FACE", "SEVERAL_FACES", "TOO_SMALL", "LOW_QUALITY"}
)
_PROGRAMS = (
    "Have three programs at hand before you begin: one for SHA-256, such as `sha256sum`; one that cuts out a crop by "
    "its pixels and saves it as PPM, such as ImageMagick or Pillow; and `fr audit file verify` (in a clone of FR Core, "
    "`pip install '.[verify]'`). The server's pages in a browser, if it has them, need none of these."
)
# The server may say this often in a row that a trial is elsewhere; then it and this command disagree for good.
_MOST_DETOURS = 5


@dataclass
class SessionRun:
    """Leads a trainee through a started session."""

    code: str
    session: training_pb2.Session
    dialog: Dialog
    picture_file: PictureFile
    style: Style
    sent: Sender
    blocks: Blocks

    def __post_init__(self) -> None:
        self._name = self.session.sitting.name
        self._id = self.session.session_id
        self.sent.rejoin = self._rejoin
        self._detours = 0
        self._trial_id = ""
        self._told: training_pb2.Trial | None = None
        self._own_probe: bytes | None = None

    def run(self) -> training_pb2.SessionOver:
        """Continue until the sitting is over; raises as `Dialog.ask`, and `Unusable` if a picture cannot be shown."""
        begin = ""
        while True:
            found = self._next(begin)
            begin = ""
            if found is None:
                continue
            kind = found.WhichOneof("next")
            if kind == "over":
                return found.over
            if kind == "block":
                begin = self._introduced(found.block)
            else:
                current: training_pb2.Trial | None = found.trial
                while current is not None:
                    current = self._step(current)

    def _next(self, begin: str) -> training_pb2.NextTrialResponse | None:
        try:
            found = self.sent(lambda training: training.next_trial(self._id, begin, self.style.language))
        except FrApiError as error:
            if error.reason == "SESSION_PAUSED":
                self.dialog.wait_paused()
            elif error.reason in GO_ON or (begin and error.reason in ASK_AGAIN):
                self._detour(error)
            else:
                raise
            return None
        self.blocks.next_is(found)
        return found

    def _rejoin(self, training: Training) -> None:
        """Come back after a lost connection: the server then subtracts the time without it."""
        training.start_session(self.code, self._name)
        self._told = None  # the time left is again that of the trial's first display
        self.dialog.countdown.doubt()

    def _introduced(self, begins: training_pb2.BlockToBegin) -> str:
        block, dialog = begins.block, self.dialog
        dialog.countdown.begin(None)
        dialog.known_to_me = None
        dialog.say("")
        dialog.say(f"Block {begins.number} of {begins.of}: {block.title}")
        for line in block.instructions.splitlines():
            dialog.say(line)
        if block.exercise == training_pb2.EXERCISE_EVIDENCE:
            dialog.say(_PROGRAMS)
        if self.style.scale is Scale.SEVEN:
            dialog.say("Your keys are 1 to 7: type 1 for -3, 4 for 0, and 7 for 3.")
        if begins.enlarged > 1.0:
            times = f"{begins.enlarged:.1f}"
            dialog.say(
                f"Some photos are small: pictures are enlarged up to {times} times, and show no more than the photos."
            )
        limit = ""
        if block.HasField("limit"):
            minutes = block.limit.ToTimedelta().total_seconds() / 60
            limit = f", {minutes:g} min from your start"
        told = "You see the right answer after each trial." if block.feedback else "You do not see the right answers."
        dialog.say(f"{counted(block.trials, 'trial')}{limit}. {told}")
        dialog.say(HELP)
        dialog.drop_typed_ahead()
        dialog.ask("Enter begins:", lambda line: None)
        return block.block_id

    def _step(self, trial: training_pb2.Trial) -> training_pb2.Trial | None:
        self._show(trial)
        self.dialog.drop_typed_ahead()
        self.dialog.save = partial(self._save, trial.trial_id)
        given = ask(self.dialog, trial, self.style)
        while True:
            try:
                following = self._send(trial, given)
            except FrApiError as error:
                if error.reason == "SESSION_PAUSED":
                    self.dialog.wait_paused()  # and then send the same again
                    continue
                return self._after_refusal(trial, error)
            self._detours = 0
            if following is None:
                self.blocks.answered()
            return following

    def _save(self, trial_id: str, draft: training_pb2.Draft) -> None:
        """Keep a draft, if the server takes it: the answer itself is sent until it arrives."""
        with suppress(FrApiError):
            self.sent.training.save_draft(self._id, trial_id, draft)

    def _show(self, trial: training_pb2.Trial) -> None:
        dialog = self.dialog
        self.blocks.shown(trial)
        if trial is not self._told:  # else it is a repeated question, whose time runs on
            self._told = trial
            dialog.countdown.begin(trial.left.ToTimedelta().total_seconds() if trial.HasField("left") else None)
        if trial.trial_id != self._trial_id:
            self._trial_id, self._own_probe, dialog.known_to_me = trial.trial_id, None, False
            dialog.say("")
            dialog.say(f"Trial {trial.number} of {trial.of}")
        self.picture_file.keep_evidence(trial)
        try:
            self.picture_file.show(shown_of(trial.pictures, self._own_probe))
        except Unusable as error:
            if self._own_probe is None or error.reason != "UNDECODABLE":
                raise
            dialog.say("Your photo cannot be shown here; keep it beside you.")
            self._own_probe = None
            self.picture_file.show(shown_of(trial.pictures, None))
        for name, data in figure_files(trial.lesson):
            self.picture_file.keep(name, data)

    def _send(self, trial: training_pb2.Trial, given: Given) -> training_pb2.Trial | None:
        session_id = self._id
        if isinstance(given, Decided):
            known = bool(self.dialog.known_to_me)
            answer = self.sent(
                lambda training: training.submit_decision(
                    session_id,
                    trial,
                    given.decision,
                    difficulty=given.difficulty,
                    known_to_me=known,
                    language=self.style.language,
                )
            )
            if answer.HasField("reveal"):
                self._reveal(trial, answer.reveal)
            return answer.trial if answer.HasField("trial") else None
        if isinstance(given, Noted):
            return self.sent(lambda training: training.lock_notes(session_id, trial.trial_id, given.notes))
        self.dialog.say("Searching ...")
        following = self.sent(lambda training: training.submit_probe(session_id, trial.trial_id, given.photo))
        self._own_probe = given.photo
        return following

    def _reveal(self, trial: training_pb2.Trial, reveal: training_pb2.Reveal) -> None:
        dialog, names = self.dialog, labels(trial.pictures)
        dialog.say(reveal.text)  # it numbers photos and candidates as their labels do
        if words := similarity_text(reveal.similarities, names):
            dialog.say(words)
        for line in option_lines(reveal.options):
            dialog.say(line)
        dialog.known_to_me = None
        dialog.drop_typed_ahead()
        dialog.ask("Enter continues:", lambda line: None)

    def _after_refusal(self, trial: training_pb2.Trial, error: FrApiError) -> training_pb2.Trial | None:
        """Return the step to ask again, or None to ask for the next; raises an error that ends the sitting here."""
        probe = trial.step == training_pb2.TRIAL_STEP_SEND_PROBE
        if error.reason in ASK_AGAIN or (probe and error.reason in PHOTO):
            self.dialog.say(trainee_text(error))
            return trial
        if error.reason in GO_ON:
            self._detour(error)
            return None
        raise error

    def _detour(self, error: FrApiError) -> None:
        self._detours += 1
        if self._detours > _MOST_DETOURS:
            raise error
        if error.reason == "BLOCK_EXPIRED":
            self.blocks.late()
        self.dialog.say(trainee_text(error))
