"""Keys told on the socket, by webhook, or both."""

from tests.transports.telnyx.fakes import ManualClock
from transports.telnyx.keys import HOLD_MS, REPEAT_MS, KeyBuffer


def buffer() -> tuple[ManualClock, KeyBuffer, list[str]]:
    clock = ManualClock()
    keys: list[str] = []
    return clock, KeyBuffer(clock, keys.append), keys


def test_keys_come_once_and_in_order() -> None:
    clock, keys, delivered = buffer()
    keys.from_socket("2", "2026-11-20T10:00:20.200000Z")
    keys.from_socket("1", "2026-11-20T10:00:20.100000Z")
    assert delivered == []
    clock.move(HOLD_MS)
    assert delivered == ["1", "2"]


def test_keys_without_a_time_keep_their_order() -> None:
    clock, keys, delivered = buffer()
    keys.from_socket("2", "")
    keys.from_socket("1", "2026-11-20T10:00:20.100000Z")
    clock.move(HOLD_MS)
    assert delivered == ["2", "1"]


def test_the_same_key_twice_is_two_keys() -> None:
    clock, keys, delivered = buffer()
    keys.from_socket("5", "a")
    keys.from_socket("5", "b")
    clock.move(HOLD_MS)
    assert delivered == ["5", "5"]


def test_the_socket_wins_over_the_webhook() -> None:
    clock, keys, delivered = buffer()
    keys.from_webhook("5", "t")
    keys.from_socket("5", "t")
    keys.from_webhook("5", "t")
    clock.move(HOLD_MS)
    assert delivered == ["5"]


def test_a_webhook_alone_is_enough() -> None:
    clock, keys, delivered = buffer()
    keys.from_webhook("5", "t")
    clock.move(HOLD_MS)
    keys.from_webhook("6", "u")
    clock.move(HOLD_MS)
    assert delivered == ["5", "6"]


def test_a_socket_that_tells_late_does_not_repeat() -> None:
    clock, keys, delivered = buffer()
    keys.from_webhook("5", "t")
    clock.move(HOLD_MS + 1000)
    keys.from_socket("5", "t")
    keys.from_socket("5", "u")
    clock.move(HOLD_MS)
    assert delivered == ["5", "5"]


def test_long_after_a_webhook_the_same_key_is_a_new_one() -> None:
    clock, keys, delivered = buffer()
    keys.from_webhook("5", "t")
    clock.move(HOLD_MS + REPEAT_MS + 1)
    keys.from_socket("5", "u")
    clock.move(HOLD_MS)
    assert delivered == ["5", "5"]


def test_a_flood_is_delivered_in_pieces() -> None:
    _, keys, delivered = buffer()
    for _ in range(1000):
        keys.from_socket("1", "")
    assert len(delivered) > 900


def test_flush_delivers_at_once_and_stops_the_timer() -> None:
    clock, keys, delivered = buffer()
    keys.from_socket("7", "")
    keys.flush()
    assert delivered == ["7"]
    clock.move(HOLD_MS)
    assert delivered == ["7"]
