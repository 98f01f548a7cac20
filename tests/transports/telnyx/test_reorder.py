"""Media messages out of order."""

import random

import pytest

from agent.errors import WireError
from transports.telnyx.media_codec import NO_CHUNK, Media
from transports.telnyx.reorder import WINDOW, Reorder


def run(chunks: list[int]) -> tuple[list[list[int]], int]:
    """What each push delivered, and how many were too late."""
    reorder, delivered, late = Reorder(), [], 0
    for chunk in chunks:
        try:
            delivered.append([media.chunk for media in reorder.push(Media(b"x", 0, chunk))])
        except WireError as error:
            late += error.kind == "late_media"
    return delivered, late


def test_in_order_nothing_waits() -> None:
    assert run([1, 2, 3, 4]) == ([[1], [2], [3], [4]], 0)


def test_two_that_changed_places_are_put_right() -> None:
    assert run([1, 3, 2, 4]) == ([[1], [], [2, 3], [4]], 0)


def test_a_gap_waits_for_a_few_messages_only() -> None:
    assert run([1, 3, 4, 5, 6]) == ([[1], [], [], [3, 4, 5], [6]], 0)


def test_too_late_and_twice_are_dropped() -> None:
    assert run([1, 3, 4, 5, 2, 5, 6]) == ([[1], [], [], [3, 4, 5], [6]], 2)
    assert run([1, 3, 3, 2])[1] == 1


def test_the_first_message_may_have_any_number() -> None:
    assert run([700, 701]) == ([[700], [701]], 0)


def test_a_counter_that_begins_anew_is_followed() -> None:
    assert run([700, 701, 1, 2]) == ([[700], [701], [1], [2]], 0)


def test_messages_without_a_number_pass() -> None:
    assert run([NO_CHUNK, NO_CHUNK]) == ([[NO_CHUNK], [NO_CHUNK]], 0)


def test_a_counter_that_does_not_count_by_one_stops_delaying() -> None:
    delivered, late = run(list(range(1, 400, 2)))
    assert late == 0
    assert delivered[-20:] == [[chunk] for chunk in range(361, 400, 2)]


@pytest.mark.parametrize("seed", range(5))
def test_any_shuffle_within_the_window_comes_out_in_order(seed: int) -> None:
    chance = random.Random(seed)
    chunks = [1, *sorted(range(2, 200), key=lambda chunk: chunk + chance.uniform(0, WINDOW - 1.01))]
    delivered, late = run(chunks)
    flat = [chunk for chunks in delivered for chunk in chunks]
    assert late == 0
    assert flat == sorted(flat)
    assert len(flat) >= 198
