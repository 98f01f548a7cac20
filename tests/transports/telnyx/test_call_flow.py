"""The table of a Call Control call's life."""

import itertools

import pytest

from transports.telnyx.call_flow import MAX_RESTARTS, TABLE, CallFlow, Signal, State, Step


def flow(state: State) -> CallFlow:
    one = CallFlow("wss://x.test/telnyx/media")
    one.state = state
    return one


@pytest.mark.parametrize(("state", "signal"), list(itertools.product(State, Signal)))
def test_every_cell(state: State, signal: Signal) -> None:
    one = flow(state)
    expected_state, expected_step = TABLE.get((state, signal), (state, Step.NONE))
    assert one.handle(signal) is expected_step
    assert one.state is expected_state


def test_a_hangup_ends_every_state_and_the_end_is_final() -> None:
    for state in State:
        one = flow(state)
        assert one.handle(Signal.HANGUP) is (Step.NONE if state is State.OVER else Step.END)
        assert one.state is State.OVER
        assert {one.handle(signal) for signal in Signal} == {Step.NONE}


def test_every_state_but_the_end_has_a_way_out() -> None:
    for state in State:
        ways = [to for (before, _), (to, _) in TABLE.items() if before is state]
        assert (State.OVER in ways) == (state is not State.OVER)


def test_the_usual_life() -> None:
    one = CallFlow("wss://x.test/telnyx/media")
    assert one.handle(Signal.ANSWERED) is Step.STREAM
    assert one.handle(Signal.ANSWERED) is Step.NONE
    assert one.handle(Signal.SOCKET_UP) is Step.NONE
    assert one.state is State.ON_AIR
    assert one.restarts == 0
    assert one.handle(Signal.HANGUP) is Step.END


@pytest.mark.parametrize("socket_came", [True, False])
def test_the_stream_is_started_again_at_most_twice(socket_came: bool) -> None:
    one = CallFlow("wss://x.test/telnyx/media")
    one.handle(Signal.ANSWERED)
    for _ in range(MAX_RESTARTS):
        if socket_came:
            one.handle(Signal.SOCKET_UP)
        assert one.handle(Signal.STREAM_LOST) is Step.STREAM
    if socket_came:
        one.handle(Signal.SOCKET_UP)
    assert one.handle(Signal.STREAM_LOST) is Step.SPEAK
    assert one.handle(Signal.STREAM_LOST) is Step.NONE
    assert one.handle(Signal.SPOKEN) is Step.HANG_UP
    assert one.state is State.OVER
