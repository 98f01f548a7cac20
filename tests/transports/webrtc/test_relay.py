"""A call's events follow its browser."""

from agent.events import CallEvent, StateChanged
from transports.webrtc.relay import Relay


def test_events_go_to_the_session_that_carries_the_call_and_the_one_before_lets_go() -> None:
    relay = Relay("c1")
    first: list[CallEvent] = []
    second: list[CallEvent] = []
    gone: list[str] = []

    def first_goes() -> None:
        gone.append("first")

    def second_goes() -> None:
        gone.append("second")

    relay.tell(StateChanged("idle"))
    relay.taken_by(first.append, first_goes)
    relay.tell(StateChanged("hearing"))
    relay.taken_by(second.append, second_goes)
    relay.tell(StateChanged("speaking"))
    assert (first, second) == ([StateChanged("hearing")], [StateChanged("speaking")])
    assert gone == ["first"]


def test_a_session_that_ended_is_forgotten_unless_it_was_replaced_before() -> None:
    relay = Relay("c1")
    told: list[CallEvent] = []

    def old() -> None:
        pass

    def new() -> None:
        raise AssertionError("it has ended: there is nobody to let go")

    relay.taken_by(lambda _: None, old)
    relay.taken_by(told.append, new)
    relay.left_by(old)
    relay.tell(StateChanged("idle"))
    relay.left_by(new)
    relay.tell(StateChanged("ended"))
    relay.taken_by(lambda _: None, old)
    assert told == [StateChanged("idle")]
