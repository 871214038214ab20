"""Answers and terms: an answer leaves only while nothing of it can have been erased elsewhere without this server."""

import math
import threading

from fr_core.errors import ReplicaBehind
from fr_core.storage.terms import Answering, Term, answering, made_in


def over(answer: Answering) -> bool:
    try:
        answer.require()
    except ReplicaBehind:
        return True
    return False


def test_an_answer_ends_with_the_term_as_it_was_known_when_the_answer_was_made() -> None:
    now_s = [100.0]
    answer = Answering(lambda: now_s[0])
    assert not over(answer)  # nothing was searched
    answer.made_in(Term(3, 115.0))
    now_s[0] = 114.9
    assert not over(answer)
    now_s[0] = 115.0
    assert over(answer)


def test_a_stream_goes_on_with_its_term_and_ends_with_another() -> None:
    now_s = [100.0]
    answer = Answering(lambda: now_s[0])
    answer.made_in(Term(3, 115.0))
    answer.made_in(Term(3, 118.0))
    answer.made_in(Term(3, 116.0))  # of a thread that was slower
    now_s[0] = 117.0
    assert not over(answer)
    answer.made_in(Term(4, 140.0))
    assert over(answer)
    answer.made_in(Term(4, 150.0))
    assert over(answer)


def test_an_answer_of_galleries_in_one_process_never_ends() -> None:
    answer = Answering()
    answer.made_in(Term(0, math.inf))
    assert not over(answer)


def test_what_is_searched_outside_of_an_answer_is_for_none() -> None:
    answer = Answering(lambda: 0.0)
    with answering(answer):
        made_in(None)
        assert answer.term is None
        made_in(Term(1, 1.0))
        other = threading.Thread(target=made_in, args=(Term(2, 1.0),))
        other.start()
        other.join()
    made_in(Term(3, 1.0))
    assert answer.term == Term(1, 1.0)
