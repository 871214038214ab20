"""Answers and terms: an answer leaves only while nothing of it can have been erased elsewhere without this server."""

import asyncio
import math
import threading

import pytest

from fr_core.errors import ReplicaBehind
from fr_core.storage.terms import Answering, Term, answering, made_in
from fr_server.rpc.interceptors.streams import Streams


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


def test_a_message_that_waited_for_its_reader_leaves_if_the_term_has_gone_on() -> None:
    present = [Term(3, 130.0)]

    async def present_term() -> Term:
        return present[0]

    def late() -> Answering:
        answer = Answering(lambda: 120.0)
        answer.made_in(Term(3, 115.0))
        return answer

    asyncio.run(Streams(present_term=present_term).require_term(late()))
    present[0] = Term(4, 130.0)
    for streams in (Streams(present_term=present_term), Streams()):
        with pytest.raises(ReplicaBehind):
            asyncio.run(streams.require_term(late()))
