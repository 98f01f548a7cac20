"""Whose turn it is: each cell of the table, and the stories that it must tell."""

import pytest

from agent.turns.machine import TRANSITIONS, Action, Event, State, TurnMachine

TABLE = """
            idle             hearing            replying           speaking           yielded
voice       hearing/listen   .                  .                  .                  .
barge       hearing/listen   .                  yielded/pause      yielded/pause      .
words       hearing/listen   .                  hearing/cancel     hearing/cancel     hearing/cancel
quiet       .                idle/dismiss       idle/dismiss       .                  speaking/resume
quiet_early .                .                  .                  .                  replying/resume
endpoint    replying/reply   replying/reply     replying/replace   replying/replace   replying/replace
say         replying/speak   .                  .                  .                  .
sound       .                .                  speaking/none      .                  .
done        .                .                  idle/rest          idle/rest          idle/rest
end         ended/stop       ended/stop         ended/stop         ended/stop         ended/stop
"""
"""Written down a second time, by hand: a change has to be meant twice."""


def cells() -> dict[tuple[State, Event], str]:
    head, *rows = TABLE.strip().splitlines()
    found: dict[tuple[State, Event], str] = {}
    for row in rows:
        event, *entries = row.split()
        found |= {
            (State(state), Event(event)): entry for state, entry in zip(head.split(), entries, strict=True)
        }
    return found


CELLS = cells()


def test_the_table_has_each_event_in_each_state() -> None:
    assert set(CELLS) == {(state, event) for state in State if state is not State.ENDED for event in Event}
    assert set(TRANSITIONS) <= set(CELLS)


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_each_event_in_each_state(state: State, event: Event) -> None:
    machine = TurnMachine()
    machine.state = state
    action = machine.handle(event)
    entry = CELLS[state, event]
    expected = f"{state.value}/none" if entry == "." else entry
    assert f"{machine.state.value}/{action.value}" == expected


@pytest.mark.parametrize("event", Event)
def test_nothing_happens_after_the_end(event: Event) -> None:
    machine = TurnMachine()
    machine.handle(Event.END)
    assert machine.handle(event) is Action.NONE
    assert machine.state is State.ENDED


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_from_every_state_the_caller_can_be_answered_and_the_call_can_end(state: State) -> None:
    for event, reached in ((Event.ENDPOINT, State.REPLYING), (Event.END, State.ENDED)):
        machine = TurnMachine()
        machine.state = state
        assert machine.handle(event) is not Action.NONE
        assert machine.state is reached


def test_no_state_is_a_trap() -> None:
    for state in State:
        if state is not State.ENDED:
            ways = {step.state for (begin, event), step in TRANSITIONS.items() if begin is state}
            assert ways - {state, State.ENDED}, state


def story(*events: Event) -> tuple[list[Action], State]:
    machine = TurnMachine()
    return [machine.handle(event) for event in events], machine.state


def test_a_question_and_its_answer() -> None:
    actions, state = story(Event.VOICE, Event.WORDS, Event.ENDPOINT, Event.SOUND, Event.DONE)
    assert actions == [Action.LISTEN, Action.NONE, Action.REPLY, Action.NONE, Action.REST]
    assert state is State.IDLE


def test_a_cough_stops_the_agent_and_gives_it_back_the_floor() -> None:
    actions, state = story(Event.SAY, Event.SOUND, Event.BARGE, Event.QUIET)
    assert actions[2:] == [Action.PAUSE, Action.RESUME]
    assert state is State.SPEAKING


def test_words_after_a_barge_in_cancel_the_reply() -> None:
    actions, state = story(Event.SAY, Event.SOUND, Event.BARGE, Event.WORDS, Event.ENDPOINT)
    assert actions[2:] == [Action.PAUSE, Action.CANCEL, Action.REPLY]
    assert state is State.REPLYING


def test_a_caller_who_goes_on_before_the_reply_sounds_was_not_done() -> None:
    actions, _ = story(Event.VOICE, Event.ENDPOINT, Event.BARGE, Event.WORDS, Event.ENDPOINT)
    assert actions == [Action.LISTEN, Action.REPLY, Action.PAUSE, Action.CANCEL, Action.REPLY]


def test_the_agent_never_begins_over_the_caller() -> None:
    for state in (State.HEARING, State.YIELDED, State.REPLYING, State.SPEAKING):
        machine = TurnMachine()
        machine.state = state
        assert machine.handle(Event.SAY) is Action.NONE
