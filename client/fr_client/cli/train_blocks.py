"""Which block of a sitting is under way, and what a trainee is told when its time ran out."""

from __future__ import annotations

from collections.abc import Callable

from fr_api.v1 import training_pb2
from fr_client.cli.train_desk import Countdown
from fr_client.cli.train_labels import counted


class Blocks:
    """Follows a session from block to block.

    Args:
        session: as it was when the trainee came.
        resumed: whether it was begun before.
        countdown: of the block.
        say: shows a line.
    """

    def __init__(
        self, session: training_pb2.Session, resumed: bool, countdown: Countdown, say: Callable[[str], None]
    ) -> None:
        self._blocks = list(session.sitting.blocks)
        self._session = session
        self._looks_back = resumed
        self._countdown = countdown
        self._say = say
        self._present = ""  # id of the block whose trials are shown
        self._unanswered = 0  # of its trials
        self._late = False

    def shown(self, trial: training_pb2.Trial) -> None:
        """A trial is shown."""
        self._present, self._unanswered = trial.block_id, trial.of - trial.number + 1

    def answered(self) -> None:
        """The trial is answered to its end."""
        self._unanswered -= 1

    def late(self) -> None:
        """The server has taken no answer any more, as the time of the block is over."""
        self._late = True

    def next_is(self, found: training_pb2.NextTrialResponse) -> None:
        """Say where the time of a block ran out, once it is known what is next."""
        if self._looks_back:
            self._look_back(found)
            self._looks_back = False
        kind = found.WhichOneof("next")
        following = found.trial.block_id if kind == "trial" else found.block.block.block_id
        if not self._present or following == self._present:
            return
        # A sitting may also be over because it was ended at another machine.
        ran_out = kind != "over" or self._late or self._countdown.is_over
        if self._unanswered > 0 and ran_out:
            self._tell([one for one in self._blocks if one.block_id == self._present], self._unanswered)
        self._present, self._unanswered, self._late = "", 0, False

    def _look_back(self, found: training_pb2.NextTrialResponse) -> None:
        """Say what stayed without an answer before the trainee came back, of the blocks before the present one."""
        blocks = self._blocks
        if sum(one.trials for one in blocks) != self._session.trials:
            return  # a form has fewer items than the plan has trials: nobody here knows which
        kind, here = found.WhichOneof("next"), 0
        if kind == "over":
            before = blocks
        elif kind == "block":
            before = blocks[: found.block.number - 1]
        else:
            ids = [one.block_id for one in blocks]
            before, here = blocks[: ids.index(found.trial.block_id)], found.trial.number - 1
        missing = sum(one.trials for one in before) + here - self._session.answered
        if missing > 0:
            self._tell([one for one in before if one.HasField("limit")], missing)

    def _tell(self, ended: list[training_pb2.Block], unanswered: int) -> None:
        stay = f"{counted(unanswered, 'trial')} {'stays' if unanswered == 1 else 'stay'} without an answer."
        if len(ended) == 1:
            number = self._blocks.index(ended[0]) + 1
            self._say(f"The time of block {number} ({ended[0].title}) ran out; {stay}")
        elif ended:
            self._say(f"The time of an earlier block ran out; {stay}")
