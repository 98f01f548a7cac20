"""Order, waits and losses, on times that the test makes up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.webrtc.jitter import MAX_WAIT_MS, MIN_WAIT_MS, START_WAIT_MS, Arrived, JitterBuffer, Missing


def numbers(items: list[Arrived | Missing]) -> list[tuple[str, int]]:
    return [(type(item).__name__[0], item.sequence & 0xFFFF) for item in items]


def push(buffer: JitterBuffer, sequence: int, now_ms: float) -> list[tuple[str, int]]:
    return numbers(buffer.push(sequence, sequence * 960, b"%d" % sequence, now_ms))


def test_packets_in_order_pass_at_once() -> None:
    buffer = JitterBuffer()
    assert [push(buffer, 100 + n, 20.0 * n) for n in range(3)] == [[("A", 100)], [("A", 101)], [("A", 102)]]
    assert not buffer.waiting


def test_swapped_packets_are_put_right() -> None:
    buffer = JitterBuffer()
    push(buffer, 1, 0)
    assert push(buffer, 3, 40) == []
    assert push(buffer, 2, 41) == [("A", 2), ("A", 3)]
    assert (buffer.reordered, buffer.lost) == (1, 0)


def test_a_gap_is_waited_out_and_then_given_up_with_what_follows_it() -> None:
    buffer = JitterBuffer()
    push(buffer, 1, 0)
    push(buffer, 3, 40)
    assert buffer.poll(40 + START_WAIT_MS - 1) == []
    assert buffer.poll(40 + START_WAIT_MS) == [Missing(2, b"3"), Arrived(3, 3 * 960, b"3")]
    assert buffer.lost == 1


def test_only_the_packet_before_one_that_came_can_be_repaired() -> None:
    buffer = JitterBuffer()
    push(buffer, 1, 0)
    push(buffer, 4, 40)
    missing = [item for item in buffer.poll(200) if isinstance(item, Missing)]
    assert [item.following for item in missing] == [None, b"4"]


def test_late_and_doubled_packets_are_dropped_and_counted() -> None:
    buffer = JitterBuffer()
    push(buffer, 1, 0)
    push(buffer, 3, 40)
    push(buffer, 3, 41)
    buffer.poll(200)
    assert push(buffer, 2, 201) == []
    assert push(buffer, 3, 202) == []
    assert (buffer.duplicates, buffer.late) == (1, 2)


def test_a_second_gap_gets_a_wait_of_its_own() -> None:
    buffer = JitterBuffer()
    push(buffer, 1, 0)
    push(buffer, 3, 10)
    push(buffer, 5, 30)
    assert numbers(buffer.poll(50)) == [("M", 2), ("A", 3)]
    assert buffer.poll(69) == []
    assert numbers(buffer.poll(70)) == [("M", 4), ("A", 5)]


def test_numbers_wrap() -> None:
    buffer = JitterBuffer()
    assert [push(buffer, n & 0xFFFF, 0.0) for n in range(65_534, 65_538)] == [
        [("A", 65_534)], [("A", 65_535)], [("A", 0)], [("A", 1)],
    ]  # fmt: skip


@pytest.mark.parametrize("jump", [60, -60, 30_000])
def test_a_jump_is_a_new_start(jump: int) -> None:
    buffer = JitterBuffer()
    push(buffer, 1000, 0)
    push(buffer, 1002, 20)
    assert push(buffer, 1002 + jump, 40) == [("A", 1002), ("A", 1002 + jump)]
    assert push(buffer, 1003 + jump, 60) == [("A", 1003 + jump)]
    assert (buffer.lost, buffer.resyncs) == (0, 1)


def test_the_wait_follows_the_networks_jitter_within_bounds() -> None:
    buffer = JitterBuffer()
    waits = []
    for jitter_ms in (0.5, 10, 80):
        buffer.adapt(jitter_ms)
        waits.append(buffer.wait_ms)
    assert waits == [MIN_WAIT_MS, 30, MAX_WAIT_MS]


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 30)), max_size=80))
def test_whatever_comes_leaves_in_order_and_once(packets: list[tuple[int, float]]) -> None:
    buffer = JitterBuffer()
    now_ms, out = 0.0, []
    for sequence, later_ms in packets:
        now_ms += later_ms
        out += buffer.push(sequence, 0, b"x", now_ms) + buffer.poll(now_ms)
    out += buffer.poll(now_ms + 1000)
    order = [item.sequence for item in out]
    assert order == sorted(set(order))
    assert not buffer.waiting
