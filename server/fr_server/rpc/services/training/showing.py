"""Trials with their pictures, as messages."""

from __future__ import annotations

from collections.abc import Sequence

from fr_api.v1 import training_pb2
from fr_server.rpc.convert.trials import trial_message
from fr_server.rpc.services.training.desk import Desk
from fr_training.sessions.shown import ShowTrial


async def with_pictures(desk: Desk, course_id: str, shown: ShowTrial) -> training_pb2.Trial:
    """The message of a trial; its pictures come from memory where they were shown before.

    Raises:
        StoreFailed, StoreCorrupt: a picture cannot be read.
    """
    remembered = [desk.store.remembered_picture(course_id, number) for number in shown.photos]
    pictures = [one for one in remembered if one is not None]
    if len(pictures) < len(shown.photos):
        pictures = await desk.work.storage(_read, desk, course_id, shown.photos)
    return trial_message(shown, pictures)


def _read(desk: Desk, course_id: str, numbers: Sequence[int]) -> list[bytes]:
    return [desk.store.picture(course_id, number) for number in numbers]
