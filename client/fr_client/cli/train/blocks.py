"""Follows the blocks of a sitting, and tells the trainee when the time of one runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fr_api.v1 import training_pb2
from fr_client.cli.train.dialog import Countdown
from fr_client.cli.train.labels import counted


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
