"""Puts TrainingService together: courses, cohorts, sessions and results share their resources."""

from fr_server.rpc.services.training.cohorts import CohortCalls
from fr_server.rpc.services.training.courses import CourseCalls
from fr_server.rpc.services.training.resources import TrainingResources
from fr_server.rpc.services.training.results import ResultCalls
from fr_server.rpc.services.training.review import ReviewCalls
from fr_server.rpc.services.training.sessions import SessionCalls


class TrainingService(CourseCalls, CohortCalls, SessionCalls, ReviewCalls, ResultCalls):
    """All calls of the service; each comes from one of its bases, which hold only the resources."""

    def __init__(self, resources: TrainingResources) -> None:
        CourseCalls.__init__(self, resources)
        CohortCalls.__init__(self, resources)
        SessionCalls.__init__(self, resources)
        ReviewCalls.__init__(self, resources)
        ResultCalls.__init__(self, resources)
