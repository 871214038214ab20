"""Answers the calls on cohorts and their trainees."""

import asyncio
from collections.abc import AsyncIterator

from fr_api.v1 import training_pb2 as pb
from fr_api.v1 import training_pb2_grpc
from fr_core.errors import ShuttingDown, message
from fr_core.gallery.checks import require_display_name
from fr_core.sharing import Places
from fr_server.authz.callers import cohorts_seen, current_sharer
from fr_server.rpc.convert import cohorts
from fr_server.rpc.convert.gallery import page_size
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.paging import last_moment, moment_token
from fr_server.rpc.services.training.resources import TrainingResources
from fr_training.sessions.results import not_started, progress
from fr_training.store.values import Changes

# Between two looks at whether a cohort has changed; a look costs a query.
_LOOK_S = 0.5
# Who watches does so for hours: reports, exports and courses are streams too, and need room beside them.
_MOST_WATCHING = 16


class CohortCalls(training_pb2_grpc.TrainingServiceServicer):
    """Makes, shows and deletes cohorts; see `TrainingResources` for what it works with."""

    def __init__(self, resources: TrainingResources) -> None:
        self._resources = resources
        self._watches = Places(_MOST_WATCHING, message("error.sharing.watches"))

    async def CreateCohort(self, request: pb.CreateCohortRequest, context: Context) -> pb.CreateCohortResponse:
        count = cohorts.sent_trainees(request.trainees)
        require_display_name(request.display_name)
        resources = self._resources
        course = await resources.work.storage(resources.store.course, request.course_id)
        retention_ms = cohorts.sent_retention_ms(request, course.plan)
        cohort, enrolled = await resources.work.storage(
            resources.store.create_cohort, course.course_id, request.display_name, count, retention_ms
        )
        return pb.CreateCohortResponse(
            cohort=cohorts.cohort_message(cohort), enrolled=map(cohorts.enrolled_message, enrolled)
        )

    async def AddTrainees(self, request: pb.AddTraineesRequest, context: Context) -> pb.AddTraineesResponse:
        count = cohorts.sent_trainees(request.trainees)
        enrolled = await self._resources.work.storage(self._resources.store.add_trainees, request.cohort_id, count)
        return pb.AddTraineesResponse(enrolled=map(cohorts.enrolled_message, enrolled))

    async def JoinFromPlatform(
        self, request: pb.JoinFromPlatformRequest, context: Context
    ) -> pb.JoinFromPlatformResponse:
        who = cohorts.sent_person(request)
        enrolled = await self._resources.work.storage(self._resources.store.join, request.cohort_id, *who)
        return pb.JoinFromPlatformResponse(enrolled=cohorts.enrolled_message(enrolled))

    async def GetCohort(self, request: pb.GetCohortRequest, context: Context) -> pb.GetCohortResponse:
        found, told = await self._resources.work.storage(self._changed, request.cohort_id, -1)
        releases = await self._resources.work.storage(self._resources.store.releases, request.cohort_id)
        return pb.GetCohortResponse(
            cohort=cohorts.cohort_message(found.cohort),
            progress=told,
            releases=[cohorts.release_message(found.course, one) for one in releases],
        )

    async def ListCohorts(self, request: pb.ListCohortsRequest, context: Context) -> pb.ListCohortsResponse:
        course_id, size = request.course_id or None, page_size(request)
        call = f"cohorts {request.course_id}"
        before = last_moment(call, request.page_token)
        shown, more = await self._resources.work.storage(cohorts_seen, self._resources.store, course_id, before, size)
        return pb.ListCohortsResponse(
            cohorts=map(cohorts.cohort_message, shown),
            next_page_token=moment_token(call, shown[-1].created_ms, shown[-1].cohort_id) if more else "",
        )

    async def WatchCohort(
        self, request: pb.WatchCohortRequest, context: Context
    ) -> AsyncIterator[pb.WatchCohortResponse]:
        """Send how far each trainee is, at once and whenever that changes; new trainees have begun no sitting.

        A trainee who was deleted is in no later message. A message without a trainee is not sent, not even the first of
        a cohort without any.
        """
        with self._watches.held(current_sharer()):
            async for progress in self._changes(request.cohort_id):
                yield pb.WatchCohortResponse(progress=progress)
        raise ShuttingDown(message("error.rpc.server_shutting_down_watch"))

    async def _changes(self, cohort_id: str) -> AsyncIterator[list[pb.SittingProgress]]:
        """Yield what has changed, at first everything, until the server drains."""
        resources, mark = self._resources, -1
        while not resources.work.draining.is_set():
            if await resources.work.storage(resources.store.cohort_version, cohort_id) != mark:
                found, told = await resources.work.storage(self._changed, cohort_id, mark)
                mark = found.mark
                if told:
                    yield told
            await asyncio.sleep(_LOOK_S)

    async def SetSittingClosed(
        self, request: pb.SetSittingClosedRequest, context: Context
    ) -> pb.SetSittingClosedResponse:
        set_closed = self._resources.store.set_closed
        cohort = await self._resources.work.storage(set_closed, request.cohort_id, request.sitting, request.closed)
        return pb.SetSittingClosedResponse(cohort=cohorts.cohort_message(cohort))

    async def ExtendTime(self, request: pb.ExtendTimeRequest, context: Context) -> pb.ExtendTimeResponse:
        more_ms, extend = cohorts.sent_more_ms(request), self._resources.store.extend
        given = await self._resources.work.storage(extend, request.cohort_id, request.trainee_id, more_ms)
        return pb.ExtendTimeResponse(trainee_ids=given)

    async def DeleteCohort(self, request: pb.DeleteCohortRequest, context: Context) -> pb.DeleteCohortResponse:
        await self._resources.work.storage(self._resources.store.delete_cohort, request.cohort_id)
        return pb.DeleteCohortResponse()

    async def DeleteTrainee(self, request: pb.DeleteTraineeRequest, context: Context) -> pb.DeleteTraineeResponse:
        await self._resources.work.storage(self._resources.store.delete_trainee, request.trainee_id)
        return pb.DeleteTraineeResponse()

    def _changed(self, cohort_id: str, mark: int) -> tuple[Changes, list[pb.SittingProgress]]:
        """Return what has changed since a mark: each sitting of trainees who are new, then what others have done."""
        found = self._resources.store.changes_since(cohort_id, mark)
        course = found.course
        now = {(one.trainee_id, one.sitting): progress(course, one) for one in found.sessions}
        of_new = {
            (trainee.trainee_id, sitting.name): now.get((trainee.trainee_id, sitting.name))
            or not_started(course, sitting.name, trainee.group)
            for trainee in found.trainees
            for sitting in course.plan.sittings
        }
        return found, [cohorts.progress_message(*whose, how_far) for whose, how_far in (of_new | now).items()]
