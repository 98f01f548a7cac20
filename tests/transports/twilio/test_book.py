"""What is remembered of calls."""

from transports.twilio.book import MAX_RECONNECTS, CallBook


def test_a_call_that_was_connected_does_not_ring_again() -> None:
    book = CallBook()
    assert not book.is_replay("CA1", ringing=True)
    book.connected("CA1")
    assert book.is_replay("CA1", ringing=True)
    assert not book.is_replay("CA1", ringing=False)
    assert not book.is_replay("CA2", ringing=True)


def test_a_call_that_is_over_asks_nothing() -> None:
    book = CallBook()
    book.ended("CA1")
    assert book.is_replay("CA1", ringing=True)
    assert book.is_replay("CA1", ringing=False)


def test_reconnects_are_counted_and_retries_are_not() -> None:
    book = CallBook()
    assert book.may_reconnect("CA1", "try-1")
    assert book.may_reconnect("CA1", "try-1")
    assert book.may_reconnect("CA1", "try-2")
    assert MAX_RECONNECTS == 2
    assert not book.may_reconnect("CA1", "try-3")
    assert not book.may_reconnect("CA1", "try-3")
    assert book.may_reconnect("CA2", "")
    assert book.may_reconnect("CA2", "")
    assert not book.may_reconnect("CA2", "")


def test_handoffs() -> None:
    book = CallBook()
    assert book.handoff("CA1") is None
    book.hand_off("CA1", "+15005550009")
    assert book.handoff("CA1") == "+15005550009"
    book.hand_off("CA1", None)
    assert book.handoff("CA1") is None


def test_the_longest_unused_is_forgotten() -> None:
    book = CallBook(max_calls=2)
    book.connected("CA1")
    book.connected("CA2")
    book.connected("CA1")
    book.connected("CA3")
    assert book.is_replay("CA1", ringing=True)
    assert not book.is_replay("CA2", ringing=True)
