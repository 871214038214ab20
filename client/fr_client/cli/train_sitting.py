"""A sitting, from its first block to its end: shows each trial, sends each answer, and outlives what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fr_api.v1 import training_pb2
from fr_client.cli.state import Unusable
from fr_client.cli.train_desk import HELP, Desk
from fr_client.cli.train_easel import Easel
from fr_client.cli.train_labels import counted, labels, shown_of, similarity_words
from fr_client.cli.train_questions import Decided, Given, Noted, Style, ask
from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError
from fr_client.training import Training

T = TypeVar("T")

# The same answer is sent again: the server takes it once, however often it comes.
AGAIN = frozenset({UNREACHABLE, CONNECTION_LOST, TIMED_OUT, "OVERLOADED", "SHUTTING_DOWN", "NOT_READY"})
DELAYS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
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


class SessionTime:
    """The time of a session on the server.

    Args:
        training: the client.
        session_id: of the session.
        sent: makes a call, again where the connection was lost.
    """

    def __init__(self, training: Training, session_id: str, sent: Sender) -> None:
        self._training = training
        self._session_id = session_id
        self._sent = sent

    def pause(self) -> None:
        """Stop it."""
        self._sent(lambda: self._training.pause_session(self._session_id))

    def resume(self) -> None:
        """Let it go on."""
        self._sent(lambda: self._training.resume_session(self._session_id))


class Sender:
    """Makes a call until it is answered: connections break in the midst of sittings.

    Args:
        say: shows a line.
        sleep: waits so many seconds.
        delays_s: the waits between the calls.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        sleep: Callable[[float], None],
        delays_s: tuple[float, ...] = DELAYS_S,
    ) -> None:
        self._say = say
        self._sleep = sleep
        self._delays_s = delays_s

    def __call__(self, call: Callable[[], T]) -> T:
        """Return the answer; raises `FrApiError` for a refusal, and where there was no answer in the end."""
        for number, delay_s in enumerate(self._delays_s):
            try:
                answer = call()
            except FrApiError as error:
                if error.reason not in AGAIN:
                    raise
                if not number:
                    self._say("The server does not answer. What you have typed is kept here, and is sent again.")
                self._sleep(delay_s if error.retry_after_s is None else max(delay_s, error.retry_after_s))
            else:
                if number:
                    self._say("The server answers again.")
                return answer
        return call()


class Sitting:
    """Leads a trainee through a sitting.

    Args:
        training: the client.
        session: that was started.
        desk: where the trainee sits.
        easel: shows the pictures.
        style: how the trainee is asked.
        sent: makes the calls.
    """

    def __init__(
        self,
        training: Training,
        session: training_pb2.Session,
        desk: Desk,
        easel: Easel,
        style: Style,
        sent: Sender,
    ) -> None:
        self._training = training
        self._id = session.session_id
        self._desk = desk
        self._easel = easel
        self._style = style
        self._sent = sent
        self._detours = 0
        self._trial_id = ""
        self._told: training_pb2.Trial | None = None
        self._own_probe: bytes | None = None

    def run(self) -> training_pb2.SessionOver:
        """Go on until the sitting is over.

        Raises:
            Left, EndedForGood, InputEnded: as `Desk.ask`.
            FrApiError: the server refuses for good, or does not answer any more.
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
            return self._sent(lambda: self._training.next_trial(self._id, begin))
        except FrApiError as error:
            if error.reason == "SESSION_PAUSED":
                self._desk.wait_paused()
            elif error.reason in GO_ON or (begin and error.reason in ASK_AGAIN):
                self._detour(error)
            else:
                raise
            return None

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
            return following

    def _show(self, trial: training_pb2.Trial) -> None:
        desk = self._desk
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
        training, session_id = self._training, self._id
        if isinstance(given, Decided):
            known = bool(self._desk.known_to_me)
            answer = self._sent(
                lambda: training.submit_decision(
                    session_id, trial, given.decision, difficulty=given.difficulty, known_to_me=known
                )
            )
            if answer.HasField("reveal"):
                self._reveal(trial, answer.reveal)
            return answer.trial if answer.HasField("trial") else None
        if isinstance(given, Noted):
            return self._sent(lambda: training.lock_notes(session_id, trial.trial_id, given.notes))
        self._desk.say("Searching ...")
        following = self._sent(lambda: training.submit_probe(session_id, trial.trial_id, given.photo))
        self._own_probe = given.photo
        return following

    def _reveal(self, trial: training_pb2.Trial, reveal: training_pb2.Reveal) -> None:
        desk, names = self._desk, labels(trial.pictures)
        desk.say(reveal.text)  # which counts photos and candidates as their labels do
        if words := similarity_words(reveal.similarities, names):
            desk.say(words)
        desk.known_to_me = None
        desk.ask("Enter goes on:", lambda line: None)

    def _after_refusal(self, trial: training_pb2.Trial, error: FrApiError) -> training_pb2.Trial | None:
        """Return the step to ask again, or None to ask what is next; raises an error that ends the sitting here."""
        probe = trial.step == training_pb2.TRIAL_STEP_SEND_PROBE
        if error.reason in ASK_AGAIN or (probe and error.reason in PHOTO):
            self._desk.say(error.message)
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
        self._desk.say(error.message)
