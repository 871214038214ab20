"""Tracks: faces are followed, nobody is mixed with another, and frames of one second are one look."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from fr_core.errors import ModelMismatch
from fr_core.types import (
    Detection,
    EmbeddedFace,
    Embedding,
    Face,
    ModelId,
    Quality,
    QualityReason,
    frozen_array,
)
from fr_video.tracking import Appearance, OpenTrack, Tracker, appearance_of, look_of, mean_template
from fr_video.values import Box, Frame, Track
from support.engines import calibration

MODEL = ModelId("made-up", "1", "a" * 64)
LOOKS = Appearance(same=0.5, different=0.2, surely=0.7)
GOOD = Quality(0.9, (), 50.0, 100.0, 0.5, 0.0, 0.0, 0.0, 0.9, None)


def person(number: int, noise: float = 0.0, seed: int = 0) -> Embedding:
    """Return an embedding of a person; those of different people are at right angles."""
    vector = np.zeros(16)
    vector[number] = 1.0
    if noise:
        vector += noise * np.random.default_rng(seed).standard_normal(16)
    return Embedding(frozen_array((vector / np.linalg.norm(vector)).astype(np.float32)), MODEL)


def box(x: float, y: float = 100.0, side: float = 40.0) -> Box:
    return x, y, x + side, y + side


def face(where: Box, embedding: Embedding, quality: Quality = GOOD) -> EmbeddedFace:
    detection = Detection(frozen_array(np.array(where, np.float32)), frozen_array(np.zeros((5, 2), np.float32)), 0.9)
    return EmbeddedFace(Face(detection, quality), embedding)


def frame(number: int, time: Fraction) -> Frame:
    return Frame(number, int(time * 1000), time, 0, frozen_array(np.zeros((1, 1, 3), np.uint8)), f"{number:064x}")


def followed(
    faces: Sequence[Sequence[EmbeddedFace]], step: Fraction = Fraction(1, 5), appearance: Appearance | None = LOOKS
) -> tuple[Track, ...]:
    tracker = Tracker(appearance)
    for number, found in enumerate(faces):
        tracker.add(frame(number, number * step), found)
    return tracker.tracks()


def test_two_faces_that_cross_keep_their_tracks() -> None:
    steps = range(21)
    crossing = [
        [face(box(100 + 10 * n), person(1, 0.05, n)), face(box(300 - 10 * n), person(2, 0.05, n))] for n in steps
    ]
    first, second = followed([found if n % 2 else found[::-1] for n, found in enumerate(crossing)])
    assert len(first.sightings) == len(second.sightings) == 21
    ends = sorted((track.sightings[0].box[0], track.sightings[-1].box[0]) for track in (first, second))
    assert ends == [(100, 300), (300, 100)]


def test_another_person_in_the_same_place_gets_another_track() -> None:
    tracks = followed([[face(box(100), person(1))]] * 3 + [[face(box(100), person(2))]] * 3)
    assert [len(track.sightings) for track in tracks] == [3, 3]
    (by_boxes_alone,) = followed([[face(box(100), person(1))]] * 3 + [[face(box(100), person(2))]] * 3, appearance=None)
    assert len(by_boxes_alone.sightings) == 6  # the control


def test_a_face_that_jumps_is_followed_by_its_likeness_but_not_across_the_whole_picture() -> None:
    near = [[face(box(100), person(1))], [face(box(160), person(1))]]
    assert len(followed(near)) == 1
    assert len(followed(near, appearance=None)) == 2  # the control: the boxes do not overlap
    assert len(followed([[face(box(100), person(1))], [face(box(900), person(1))]])) == 2


def test_a_fast_face_goes_on_where_it_is_expected_after_it_was_covered() -> None:
    seen = [[face(box(100 + 60 * step), person(1))] for step in range(3)]
    covered: list[list[EmbeddedFace]] = [[]] * 3
    assert len(followed([*seen, *covered, [face(box(100 + 60 * 6 + 50), person(1))]])) == 1
    assert len(followed([*seen, *covered, [face(box(220 - 60 * 4 - 50), person(1))]])) == 2  # the control: as far away


@pytest.mark.parametrize(("gap", "tracks"), [(Fraction(2), 1), (Fraction(21, 10), 2)])
def test_a_face_that_was_away_for_more_than_two_seconds_gets_a_new_track(gap: Fraction, tracks: int) -> None:
    assert len(followed([[face(box(100), person(1))]] * 2, gap)) == tracks


def test_a_frame_gives_a_track_one_face_at_most() -> None:
    twins = [face(box(100), person(1)), face(box(135), person(1))]
    assert [len(track.sightings) for track in followed([twins, twins])] == [2, 2]
    assert [len(track.sightings) for track in followed([twins[:1], twins])] == [2, 1]


def test_a_face_that_the_detector_finds_twice_in_a_frame_has_one_track() -> None:
    worse = replace(GOOD, score=0.5)
    one, again = face(box(100), person(1, 0.05, 1)), face(box(105, side=48.0), person(1, 0.05, 2), worse)
    behind = face(box(105, side=48.0), person(2), worse)
    for first in ([one], [one, again], [again, one]):
        (track,) = followed([first, [again, one], [one]])
        assert [sighting.box for sighting in track.sightings] == [box(100)] * 3
        assert len(followed([first, [behind, one], [one]])) == 2  # the control: another person in the same place


def turned(degrees: float) -> Embedding:
    """Return an embedding that is so far from `person(1)`, towards `person(2)`."""
    vector = np.zeros(16, np.float32)
    vector[1:3] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return Embedding(frozen_array(vector), MODEL)


def test_a_face_that_was_half_covered_for_a_second_is_known_again() -> None:
    clear, covered = [face(box(100), person(1))], [face(box(100), turned(70.0), replace(GOOD, score=0.5))]
    back, other = [face(box(150), person(1))], [face(box(150), turned(-70.0))]
    assert len(followed([*[clear] * 3, *[covered] * 6, back])) == 1
    assert len(followed([*[clear] * 3, *[covered] * 6, other])) == 2  # the control


def test_a_face_between_two_people_does_not_lead_from_one_to_the_other() -> None:
    """A face that covers another by half is like both."""
    one, both, other = ([face(box(100), turned(degrees))] for degrees in (0.0, 45.0, 90.0))
    tracks = followed([*[one] * 5, both, *[other] * 5])
    assert [[sighting.number for sighting in track.sightings] for track in tracks] == [[*range(6)], [*range(6, 11)]]


DOUBTFUL = replace(GOOD, score=0.4, reasons=(QualityReason.DOUBTFUL_FACE,))


def test_a_doubtful_face_where_another_was_lost_counts_from_its_second_sighting_on() -> None:
    """A half covered face looks like no one; alone, or with a good look, it is not left out."""
    one, covered, good = face(box(100), person(1)), face(box(130), person(2), DOUBTFUL), face(box(130), person(2))
    numbers = [[sighting.number for sighting in track.sightings] for track in followed([[one], [covered], [one]])]
    assert numbers == [[0, 2]]
    for seen in ([[one], [covered], [covered], [one]], [[one], [good], [one]], [[one], [], [], [covered, one]]):
        assert len(followed(seen)) == 2
    for alone in ([[covered]], [[one], [face(box(400), person(2), DOUBTFUL)]]):
        assert len(followed(alone)) == len(alone)


def test_a_doubtful_face_that_was_seen_once_is_never_due() -> None:
    tracker = Tracker(LOOKS)
    for number, found in enumerate([face(box(100), person(1)), face(box(110), person(2), DOUBTFUL)]):
        tracker.add(frame(number, Fraction(number)), [found])
    assert [track.number for track in tracker.due(Fraction(10), 10)] == [1]
    assert tracker.due(Fraction(20), 10) == []


def test_a_track_that_proves_to_be_the_rest_of_a_lost_one_is_put_to_it() -> None:
    """A half covered face is unlike its track; the faces after it tell that it was the same."""
    one, covered = [face(box(100), person(1))], [face(box(100), turned(80.0), DOUBTFUL)]
    clearing, other = [face(box(100), turned(50.0))], [face(box(100), turned(110.0))]
    (whole,) = followed([one, one, covered, covered, clearing, clearing, one])
    assert [sighting.number for sighting in whole.sightings] == [*range(7)]
    assert len(followed([one, one, covered, covered, other, other])) == 2  # the control
    tracker = Tracker(LOOKS)
    for number, found in enumerate([one, one, covered, covered, clearing, clearing, one]):
        tracker.add(frame(number, Fraction(number, 5)), found)
    (given,) = tracker.due(Fraction(10), 10)
    assert (given.number, len(given.sightings)) == (1, 7)


def returning(last: Sequence[float], x: float = 100.0, step: float = 0.0) -> list[list[EmbeddedFace]]:
    """Return the faces of someone who is half covered for three frames, and then as unlike `person(1)` as `last`."""
    covered = [face(box(x + step * n), turned(80.0), DOUBTFUL) for n in range(3)]
    clear = [face(box(x + step * n), turned(degrees)) for n, degrees in enumerate(last, start=3)]
    return [[one] for one in (*covered, *clear)]


LOST: list[list[EmbeddedFace]] = [[face(box(100), person(1))]] * 2 + [[]] * 7  # until 1.6 seconds after its last face
SAME, ALIKE, OTHER = (50.0, 50.0, 0.0, 0.0), (50.0, 50.0, 50.0, 50.0), (110.0, 110.0, 110.0, 110.0)


def test_a_track_may_prove_to_be_the_rest_of_one_that_would_have_ended_by_then() -> None:
    (whole,) = followed([*LOST, *returning(SAME)])
    assert [sighting.number for sighting in whole.sightings] == [0, 1, *range(9, 16)]
    assert len(followed([*LOST, *returning(OTHER)])) == 2  # the control


def test_after_a_long_pause_only_a_track_that_surely_looks_the_same_is_the_rest() -> None:
    away: list[list[EmbeddedFace]] = [[]] * 5
    assert len(followed([*LOST, *returning(ALIKE)])) == 1
    assert len(followed([*LOST, *away, *returning(ALIKE)])) == 2  # after 2.8 seconds
    assert len(followed([*LOST, *away, *returning(SAME)])) == 1
    assert len(followed([*LOST, *away, *away, *away, *returning(SAME)])) == 2  # after 4.8 seconds


@pytest.mark.parametrize(
    ("last", "missed", "numbers"),
    [
        (SAME, 0, [[0, 1, *range(9, 16)]]),
        (OTHER, 0, [[0, 1], [*range(9, 16)]]),
        (SAME, 5, [[0, 1], [*range(14, 21)]]),  # began when the lost one had been returned
    ],
)
def test_of_a_stream_a_lost_track_waits_for_its_rest_but_not_for_long(
    last: Sequence[float], missed: int, numbers: list[list[int]]
) -> None:
    tracker = Tracker(LOOKS)
    given: list[tuple[Fraction, Track]] = []
    for number, found in enumerate([*LOST, *[[]] * missed, *returning(last), *[[]] * 12]):
        now = Fraction(number, 5)
        tracker.add(frame(number, now), found)
        given += [(now, track) for track in tracker.due(now, 10)]
    assert [[sighting.number for sighting in track.sightings] for _, track in given] == numbers
    assert all(now - track.sightings[-1].time <= 4 for now, track in given)
    assert tracker.due(Fraction(100), 10) == []


def test_of_a_stream_where_people_come_and_go_a_lost_track_waits_for_four_seconds_at_most() -> None:
    tracker = Tracker(LOOKS)
    others = [[face(box(100), person(who))] for who in (2, 3, 4, 5) for _ in range(5)]
    for number, found in enumerate([*LOST, *others]):
        tracker.add(frame(number, Fraction(number, 5)), found)
        if given := tracker.due(Fraction(number, 5), 10):
            break
    assert [sighting.number for track in given for sighting in track.sightings] == [0, 1]
    assert 2 < Fraction(number - 1, 5) <= Fraction(21, 5)


def test_of_a_stream_a_face_that_was_left_out_takes_no_later_track_with_it() -> None:
    """A doubtful face that was seen once has ended uncounted when someone who looks like it comes there."""
    tracker = Tracker(LOOKS)
    doubtful, later = [face(box(150), person(2), DOUBTFUL)], [face(box(150), person(2))]
    given = []
    for number, found in enumerate([[face(box(100), person(1))], doubtful, *[[]] * 13, *[later] * 4, *[[]] * 12]):
        tracker.add(frame(number, Fraction(number, 5)), found)
        given += tracker.due(Fraction(number, 5), 10)
    assert [[sighting.number for sighting in track.sightings] for track in given] == [[0], [*range(15, 19)]]


def test_of_a_face_that_was_given_no_look_is_kept() -> None:
    """A camera may see a face on a poster for a day."""
    seen = [look_of(frame(number, Fraction(number, 5)), face(box(100), person(1))) for number in range(300)]
    track = OpenTrack(seen[0])
    track.is_given = True
    for look in seen[1:]:
        track.add(look)
    assert (track.looks, track.counts) == ([], True)


def test_of_two_short_tracks_at_one_time_in_the_place_of_a_track_it_takes_one() -> None:
    """Only one of them can be its covered face: a track has one face of a frame."""
    between = [[face(box(92), person(2)), face(box(108), person(3))]] * 2
    back = [[face(box(100), person(1))]] * 2
    first, other = followed([*back, *between, *back])
    assert [sighting.number for sighting in first.sightings] == [0, 1, 2, 3, 4, 5]
    assert [sighting.number for sighting in other.sightings] == [2, 3]


def test_a_track_is_put_to_a_lost_one_only_if_both_velocities_lead_there() -> None:
    """Both begin or end in reach; it is where they were going, or came from, that tells them apart."""
    stood = [[face(box(100), person(1))]] * 6
    went = [[face(box(300 - 40 * n), person(1))] for n in range(6)]  # and ends at 100
    gone: list[list[EmbeddedFace]] = [[]] * 4
    assert len(followed([*stood, *gone, *returning(SAME, 160)])) == 1
    assert len(followed([*stood, *gone, *returning(SAME, 160, 40)])) == 2
    assert len(followed([*stood, *gone, *returning(SAME, 110)])) == 1
    assert len(followed([*went, *gone, *returning(SAME, 110)])) == 2


def test_a_face_that_looks_like_no_one_for_a_moment_belongs_to_the_track_in_whose_place_it_is() -> None:
    here = [[face(box(100), person(1))]] * 3
    there = [[face(box(130), person(2))]] * 2  # 10 of 40 pixels overlap
    strange = [[face(box(105), person(2))]]
    (whole,) = followed([*here, *strange * 2, *here])
    assert [sighting.number for sighting in whole.sightings] == [*range(8)]
    assert [len(track.sightings) for track in followed([*here, *strange * 6, *here])] == [12]
    assert len(followed([*here, *strange * 7, *here])) == 2  # for longer than a second
    assert len(followed([*here, *there, *here])) == 2  # beside it
    assert len(followed([*here, *strange * 2, [*here[0], face(box(105), person(2))], *here])) == 2  # with it
    assert len(followed([*here, *strange * 2, *here], appearance=None)) == 1  # by the place alone


def test_after_a_pause_the_place_alone_decides_no_more() -> None:
    """A face that is neither like the track nor unlike it goes on in its place, but not after more than a second."""
    one, doubtful = [face(box(100), person(1))], [face(box(100), turned(70.0))]
    assert len(followed([one, one, doubtful], Fraction(1))) == 1
    assert len(followed([one, one, doubtful], Fraction(6, 5))) == 2
    assert len(followed([one, one, one], Fraction(6, 5))) == 1


def test_a_face_that_was_seen_twice_is_expected_where_it_was_going() -> None:
    seen = [[face(box(100 + 20 * step), person(1))] for step in range(3)]
    gone: list[list[EmbeddedFace]] = [[]] * 5  # until 1.2 seconds after the last sighting
    assert len(followed([*seen, *gone, [face(box(260 + 80), person(1))]])) == 1
    assert len(followed([*seen, *gone, [face(box(260 + 160), person(1))]])) == 2


def test_more_frames_of_one_second_are_no_more_looks_and_change_no_template() -> None:
    best = person(1, 0.1, 99)
    worse = [face(box(100), person(1, 0.1, n), replace(GOOD, score=0.7)) for n in range(24)]
    (one,) = followed([[face(box(100), best)]])
    (many,) = followed([[face(box(100), best)], *([each] for each in worse)], Fraction(1, 25))
    assert len(many.sightings) == 25
    assert (one.independent_looks, many.independent_looks) == (1, 1)
    assert many.template.similarity(one.template) == pytest.approx(1.0, abs=1e-7)
    assert many.best_shots[0].embedding is best
    (longer,) = followed([[each] for each in worse], Fraction(1, 8))
    assert longer.independent_looks == 3


def test_the_template_is_the_mean_of_the_best_of_each_second_by_quality() -> None:
    qualities = [0.6, 0.9, 0.8]
    looks = [face(box(100), person(1, 0.1, n), replace(GOOD, score=q)) for n, q in enumerate(qualities)]
    (track,) = followed([[each] for each in looks], Fraction(1))
    total = sum(q * look.embedding.vector.astype(float) for q, look in zip(qualities, looks, strict=True))
    assert track.template.vector == pytest.approx(total / np.linalg.norm(total), abs=1e-6)
    assert np.linalg.norm(track.template.vector) == pytest.approx(1.0, abs=1e-6)
    assert [shot.quality.score for shot in track.best_shots] == [0.9, 0.8, 0.6]
    assert track.best is track.best_shots[0]


def test_faces_with_a_reason_against_them_count_only_where_there_is_no_other() -> None:
    blurred = replace(GOOD, score=0.4, reasons=(QualityReason.BLURRED,))
    looks = [[face(box(100), person(1, 0.2, n), blurred)] for n in range(3)]
    (track,) = followed(looks, Fraction(1))
    assert track.independent_looks == 3
    (track,) = followed([*looks, [face(box(100), person(1))]], Fraction(1))
    assert track.independent_looks == 1
    assert track.template.similarity(person(1)) == pytest.approx(1.0, abs=1e-7)


def test_of_equal_quality_the_more_frontal_is_the_better_shot() -> None:
    turned, frontal = replace(GOOD, yaw=30.0), replace(GOOD, yaw=5.0)
    looks = [[face(box(100), person(1), quality)] for quality in (turned, frontal, turned)]
    (track,) = followed(looks, Fraction(1))
    assert track.best.at.number == 1


def test_a_mean_of_embeddings_of_two_models_is_refused() -> None:
    other = Embedding(person(1).vector, replace(MODEL, version="2"))
    with pytest.raises(ModelMismatch):
        mean_template([(person(1), 1.0), (other, 1.0)])


def test_weights_of_zero_count_as_equal() -> None:
    assert mean_template([(person(1), 0.0), (person(2), 0.0)]).similarity(person(2)) == pytest.approx(0.5**0.5)


def test_a_calibration_tells_the_tracker_what_is_alike() -> None:
    made = appearance_of(calibration())
    assert made is not None
    assert -1 < made.different < made.same < 1
    assert appearance_of(None) is None
