"""The caller's latest audio."""

from hypothesis import given
from hypothesis import strategies as st

from agent.audio.formats import PCMU_8K, linear
from agent.backlog import Backlog


def test_what_is_older_than_asked_for_is_forgotten() -> None:
    backlog = Backlog(PCMU_8K)
    for number in range(100):
        backlog.append(bytes([number]) * 160, 200.0)
    assert backlog.ms == 200.0
    assert [payload[0] for payload in backlog.last(1_000.0)] == list(range(90, 100))


def test_the_last_of_it_is_given_in_order_and_kept() -> None:
    backlog = Backlog(linear(8_000))
    for number in range(10):
        backlog.append(bytes([number]) * 320, 1_000.0)
    for _ in range(2):
        assert [payload[0] for payload in backlog.last(50.0)] == [7, 8, 9]
    assert backlog.last(0.0) == []
    assert backlog.last(-5.0) == []


def test_a_payload_longer_than_what_is_kept_is_kept_whole() -> None:
    backlog = Backlog(PCMU_8K)
    backlog.append(bytes(16_000), 1_000.0)
    assert backlog.ms == 2_000.0
    backlog.append(bytes(160), 1_000.0)
    assert backlog.ms == 2_020.0
    backlog.append(bytes(8_000), 1_000.0)
    assert backlog.ms == 1_000.0


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 100)), max_size=60))
def test_at_least_what_was_asked_for_and_at_most_one_payload_more(payloads: list[tuple[int, int]]) -> None:
    backlog = Backlog(PCMU_8K)
    everything = 0
    for size, keep_ms in payloads:
        backlog.append(bytes(size), keep_ms)
        everything += size
        kept = sum(len(payload) for payload in backlog.last(1e9))
        assert backlog.ms == kept / 8
        assert kept <= keep_ms * 8 + 500
        everything = min(everything, kept) if kept < keep_ms * 8 else kept
        assert kept >= min(everything, keep_ms * 8)
