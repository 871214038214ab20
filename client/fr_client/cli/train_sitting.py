"""A sitting, from its first block to its end: shows each trial, sends each answer, and outlives what goes wrong."""

from __future__ import annotations

from fr_api.v1 import training_pb2
from fr_client.cli.state import Unusable
from fr_client.cli.train_blocks import Blocks
from fr_client.cli.train_calls import Sender
from fr_client.cli.train_desk import HELP, Desk
from fr_client.cli.train_easel import Easel
from fr_client.cli.train_labels import counted, labels, shown_of, similarity_words
from fr_client.cli.train_questions import Decided, Given, Noted, Style, ask
from fr_client.cli.train_refusals import trainee_words
from fr_client.errors import FrApiError
from fr_client.training import Training

# The trial is over, or elsewhere: what is next is asked anew.
GO_ON = frozenset({"BLOCK_EXPIRED", "DECISION_LOCKED", "WRONG_STEP", "UNKNOWN_TRIAL", "SESSION_FINISHED"})
# The answer cannot be taken, and the trainee is asked again.
ASK_AGAIN = frozenset({"INVALID_RATING", "INVALID_FIELD", "MISSING_FIELD"})
# Of a photo that was sent.
PHOTO = frozenset(
    {
        "UNDECODABLE",
        "UNSUPPORTED_FORMAT",
        "IMAGE_TOO_MANY_BYTES",
        "IMAGE_TOO_MANY_PIXELS",
        "SEVERAL_FRAMES",
        "NO_FACE",
        "SEVERAL_FACES",
        "TOO_SMALL",
        "LOW_QUALITY",
    }
)
# So often in a row the server may say that a trial is elsewhere; then it and this command disagree for good.
_MOST_DETOURS = 5


class Sitting:
    """Leads a trainee through a sitting.

    Args:
        code: of the trainee.
        session: that was started.
        desk: where the trainee sits.
        easel: shows the pictures.
        style: how the trainee is asked.
        sent: makes the calls.
        blocks: follow the session from block to block.
    """

    def __init__(
        self,
        code: str,
        session: training_pb2.Session,
        desk: Desk,
        easel: Easel,
        style: Style,
        sent: Sender,
        blocks: Blocks,
    ) -> None:
        self._code = code
        self._name = session.sitting.name
        self._id = session.session_id
        self._desk = desk
        self._easel = easel
        self._style = style
        self._sent = sent
        sent.rejoin = self._rejoin
        self._blocks = blocks
        self._detours = 0
        self._trial_id = ""
        self._told: training_pb2.Trial | None = None
        self._own_probe: bytes | None = None

    def run(self) -> training_pb2.SessionOver:
        """Go on until the sitting is over.

        Raises:
            Left, EndedForGood, InputEnded: as `Desk.ask`.
            FrApiError: the server refuses for good.
            Unusable: a picture cannot be shown.
        """
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
                self._do(found.trial)

    def _next(self, begin: str) -> training_pb2.NextTrialResponse | None:
        """Ask what is next; None where it must be asked again."""
        try:
            found = self._sent(lambda training: training.next_trial(self._id, begin))
        except FrApiError as error:
            if error.reason == "SESSION_PAUSED":
                self._desk.wait_paused()
            elif error.reason in GO_ON or (begin and error.reason in ASK_AGAIN):
                self._detour(error)
            else:
                raise
            return None
        self._blocks.next_is(found)
        return found

    def _rejoin(self, training: Training) -> None:
        """Come back after the connection was lost: the server then takes the time without it off the block."""
        training.start_session(self._code, self._name)
        self._told = None  # as long as was left when the trial was shown is left again
        self._desk.countdown.doubt()

    def _introduced(self, begins: training_pb2.BlockToBegin) -> str:
        """Show what a block is about, wait for Enter, and return its id."""
        block, desk = begins.block, self._desk
        desk.countdown.begin(None)
        desk.known_to_me = None
        desk.say("")
        desk.say(f"Block {begins.number} of {begins.of}: {block.title}")
        for line in block.instructions.splitlines():
            desk.say(line)
        limit = ""
        if block.HasField("limit"):
            minutes = block.limit.ToTimedelta().total_seconds() / 60
            limit = f", {minutes:g} min from when you begin"
        told = "Each answer is followed by what was right." if block.feedback else "What was right is not told here."
        desk.say(f"{counted(block.trials, 'trial')}{limit}. {told}")
        desk.say(HELP)
        desk.drop_typed_ahead()
        desk.ask("Enter begins:", lambda line: None)
        return block.block_id

    def _do(self, trial: training_pb2.Trial) -> None:
        """Go through the steps of a trial until it is done, or what is next must be asked."""
        current: training_pb2.Trial | None = trial
        while current is not None:
            current = self._step(current)

    def _step(self, trial: training_pb2.Trial) -> training_pb2.Trial | None:
        """Show a step, ask, and send the answer; return the step that follows, None where there is none."""
        self._show(trial)
        self._desk.drop_typed_ahead()
        given = ask(self._desk, trial, self._style)
        while True:
            try:
                following = self._send(trial, given)
            except FrApiError as error:
                if error.reason == "SESSION_PAUSED":
                    self._desk.wait_paused()  # and then the same again
                    continue
                return self._after_refusal(trial, error)
            self._detours = 0
            if following is None:
                self._blocks.answered()
            return following

    def _show(self, trial: training_pb2.Trial) -> None:
        desk = self._desk
        self._blocks.shown(trial)
        if trial is not self._told:  # else it is asked again, and its time has gone on since it was told
            self._told = trial
            desk.countdown.begin(trial.left.ToTimedelta().total_seconds() if trial.HasField("left") else None)
        if trial.trial_id != self._trial_id:
            self._trial_id, self._own_probe, desk.known_to_me = trial.trial_id, None, False
            desk.say("")
            desk.say(f"Trial {trial.number} of {trial.of}")
        try:
            self._easel.show(shown_of(trial.pictures, self._own_probe))
        except Unusable as error:
            if self._own_probe is None or error.reason != "UNDECODABLE":
                raise
            desk.say("The photo that you sent cannot be shown here; have it beside you.")
            self._own_probe = None
            self._easel.show(shown_of(trial.pictures, None))

    def _send(self, trial: training_pb2.Trial, given: Given) -> training_pb2.Trial | None:
        session_id = self._id
        if isinstance(given, Decided):
            known = bool(self._desk.known_to_me)
            answer = self._sent(
                lambda training: training.submit_decision(
                    session_id, trial, given.decision, difficulty=given.difficulty, known_to_me=known
                )
            )
            if answer.HasField("reveal"):
                self._reveal(trial, answer.reveal)
            return answer.trial if answer.HasField("trial") else None
        if isinstance(given, Noted):
            return self._sent(lambda training: training.lock_notes(session_id, trial.trial_id, given.notes))
        self._desk.say("Searching ...")
        following = self._sent(lambda training: training.submit_probe(session_id, trial.trial_id, given.photo))
        self._own_probe = given.photo
        return following

    def _reveal(self, trial: training_pb2.Trial, reveal: training_pb2.Reveal) -> None:
        desk, names = self._desk, labels(trial.pictures)
        desk.say(reveal.text)  # which counts photos and candidates as their labels do
        if words := similarity_words(reveal.similarities, names):
            desk.say(words)
        desk.known_to_me = None
        desk.drop_typed_ahead()
        desk.ask("Enter goes on:", lambda line: None)

    def _after_refusal(self, trial: training_pb2.Trial, error: FrApiError) -> training_pb2.Trial | None:
        """Return the step to ask again, or None to ask what is next; raises an error that ends the sitting here."""
        probe = trial.step == training_pb2.TRIAL_STEP_SEND_PROBE
        if error.reason in ASK_AGAIN or (probe and error.reason in PHOTO):
            self._desk.say(trainee_words(error))
            return trial
        if error.reason in GO_ON:
            self._detour(error)
            return None
        raise error

    def _detour(self, error: FrApiError) -> None:
        """Say why this is not answered; raises the error where that happens again and again."""
        self._detours += 1
        if self._detours > _MOST_DETOURS:
            raise error
        if error.reason == "BLOCK_EXPIRED":
            self._blocks.late()
        self._desk.say(trainee_words(error))
