"""Releases, and the tests still ahead, decide which items a trainee may look at again."""

from dataclasses import replace

from fr_training.courses import Course
from fr_training.sessions.review import items_named, reviews
from fr_training.trials import Session
from support.sessions import OWN_GALLERY, random_trainee
from support.sessions import course as exercises
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


def test_an_item_that_another_form_has_too_stays_closed_while_that_is_ahead() -> None:
    # Two labs about one question show nobody, and may be the same.
    course = small_course()
    session = finished(course)
    (trial,) = session.trials
    aided = next(block for block in course.plan.blocks if block.block_id == "aided").forms[0]
    twin = replace(course.forms[aided].items[0], item_id=trial.item_id)
    forms = {**course.forms, aided: replace(course.forms[aided], items=(twin, *course.forms[aided].items[1:]))}
    twice = replace(course, forms=forms)
    assert opened(twice, session) == (0, 1)
    assert opened(twice, session, replace(finished(course, "day-2"), trials=())) == (1, 0)
    both = {(trial.form, trial.item_id), (aided, trial.item_id)}
    assert items_named(twice, (), (trial.item_id,)) == both
    pre = next(block for block in course.plan.blocks if trial.form in block.forms)
    assert items_named(twice, (pre.block_id,), ()) >= both


def test_an_own_probe_stays_closed_while_somebody_whom_it_found_is_ahead() -> None:
    made = exercises()
    session = random_trainee(made).run()
    everything = items_named(made, [block.block_id for block in made.plan.blocks], ())

    def probes(course: Course) -> int:
        return sum(one.block.block_id == "own" for one in reviews(course, 0, (session,), everything).open)

    follow = made.forms["follow"]
    met = replace(follow.items[0], photos=(OWN_GALLERY[0], *follow.items[0].photos[1:]))
    ahead = replace(made, forms={**made.forms, "follow": replace(follow, items=(met, *follow.items[1:]))})
    assert (probes(made), probes(ahead)) == (1, 0)
