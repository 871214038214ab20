"""What a trainee may look at again follows from releases, and from what is still ahead."""

from dataclasses import replace

from fr_training.courses import Course
from fr_training.sessions.review import items_named, reviews
from fr_training.trials import Session
from support.training_stores import NOW_MS, answered, session_of, shown, small_course


def finished(course: Course, sitting: str = "day-1") -> Session:
    session = answered(shown(course, session_of(course, "T-1", sitting=sitting)), rating=3)
    return replace(session, finished_ms=NOW_MS)


def opened(course: Course, *sessions: Session) -> tuple[int, int]:
    everything = items_named(course, [block.block_id for block in course.plan.blocks], ())
    found = reviews(course, 0, sessions, everything)
    return len(found.open), found.closed


def test_an_answer_is_open_when_the_sitting_is_over() -> None:
    course = small_course()
    session = finished(course)
    assert opened(course, session) == (1, 0)
    assert opened(course, replace(session, finished_ms=None)) == (0, 1)
    assert reviews(course, 0, (session,), ()).closed == 1


def test_a_form_or_a_person_that_is_ahead_keeps_an_item_closed() -> None:
    course = small_course()
    session = finished(course)
    (trial,) = session.trials
    shown_item = next(one for one in course.forms[trial.form].items if one.item_id == trial.item_id)
    aided = next(block for block in course.plan.blocks if block.block_id == "aided").forms[0]
    met = replace(course.forms[aided].items[0], people=shown_item.people[:1])
    again = replace(course.forms[aided], items=(met, *course.forms[aided].items[1:]))
    with_person = replace(course, forms={**course.forms, aided: again})
    assert opened(with_person, session) == (0, 1)
    over = replace(session_of(course, "T-1", sitting="day-2", seed=2), finished_ms=NOW_MS)
    assert opened(with_person, session, over) == (1, 0)
    # A session that stopped in a block has that block and all later ones ahead.
    assert opened(with_person, session, replace(over, finished_ms=None, block=1)) == (0, 1)
    assert opened(with_person, session, replace(over, finished_ms=None, block=2)) == (1, 0)
