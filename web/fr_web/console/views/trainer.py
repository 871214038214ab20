"""A trainer's course: its page, its deletion, and the people whom trainees' own photos show."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from starlette.responses import Response

from fr_api.v1 import access_pb2, training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.visit import ON_A_PAGE, Screen, Visit

TRAINS = frozenset({access_pb2.ROLE_TRAINER})


@dataclass(frozen=True, slots=True)
class Person:
    """A photo, and the name of the person whom it shows, or that it shows nobody of the course."""

    photo: bytes = b""
    identity: str = ""
    absent: bool = False


async def course_page(visit: Visit, error: FrApiError | None = None, **values: Any) -> Response:
    """Show a course, and what can be done with it; `values` are what somebody has typed."""
    found = await get_course(visit, visit.path["course"])
    request = training_pb2.ListCohortsRequest(course_id=found.course.course_id, page_size=ON_A_PAGE)
    cohorts = await visit.ask(request, training_pb2.ListCohortsResponse)
    told = {"course": found.course, "made_from": found.made_from, "cohorts": cohorts.cohorts}
    forecasts = {one.form: one for one in found.course.forecasts}
    return visit.page("trainer_course.html", error, **{"typed": {}, "forecasts": forecasts, **told, **values})


async def get_course(visit: Visit, course_id: str) -> training_pb2.GetCourseResponse:
    """Return a course, and what it was made from; raises `FrApiError`."""
    return await visit.ask(training_pb2.GetCourseRequest(course_id=course_id), training_pb2.GetCourseResponse)


async def read_course(visit: Visit, course_id: str) -> training_pb2.Course:
    """Return a course; raises `FrApiError`."""
    return (await get_course(visit, course_id)).course


async def delete_course(visit: Visit) -> Response:
    """Delete a course with all that its cohorts did."""
    visit.require_sure()
    request = training_pb2.DeleteCourseRequest(course_id=visit.path["course"])
    await visit.ask(request, training_pb2.DeleteCourseResponse)
    return visit.go("/courses")


async def set_probe(visit: Visit) -> Response:
    """Record which person a photo shows; the server hears the hash of its file alone."""
    form = visit.form(Person)
    request = training_pb2.SetProbeKeyRequest(course_id=visit.path["course"], identity=form.identity)
    request.image_sha256 = sha256(form.photo).hexdigest()
    if form.absent:
        request.absent = True
    try:
        if not form.photo:
            raise visit.invalid(message("console.search.no_photo"), "photo")
        if form.absent == bool(form.identity):
            raise visit.invalid(message("console.probe_key.one"), "identity")
        await visit.ask(request, training_pb2.SetProbeKeyResponse)
    except FrApiError as error:
        return await course_page(visit, error, typed={"identity": form.identity})
    return visit.go(
        f"/courses/{visit.path['course']}", message("console.probe_key.set", photo=request.image_sha256[:16])
    )


SCREENS = (
    Screen("/courses/{course}", course_page, roles=TRAINS),
    Screen("/courses/{course}/delete", delete_course, method="POST", roles=TRAINS),
    Screen("/courses/{course}/probe", set_probe, method="POST", roles=TRAINS, takes_file=True),
)
