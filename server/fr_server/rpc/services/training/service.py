"""TrainingService: courses, cohorts, sessions and results, at one desk."""

from __future__ import annotations

from fr_server.rpc.services.training.cohorts import CohortCalls
from fr_server.rpc.services.training.courses import CourseCalls
from fr_server.rpc.services.training.desk import Desk
from fr_server.rpc.services.training.results import ResultCalls
from fr_server.rpc.services.training.sessions import SessionCalls


class TrainingService(CourseCalls, CohortCalls, SessionCalls, ResultCalls):
    """All calls of the service; each comes from one of its bases, which hold nothing but the desk."""

    def __init__(self, desk: Desk) -> None:
        CourseCalls.__init__(self, desk)
        CohortCalls.__init__(self, desk)
        SessionCalls.__init__(self, desk)
        ResultCalls.__init__(self, desk)
