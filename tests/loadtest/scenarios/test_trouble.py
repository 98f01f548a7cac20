import math

import pytest

from loadtest.scenarios.result import EventResult
from loadtest.scenarios.schema import Action, Event
from loadtest.scenarios.trouble import LEAST_WATCH_S, recoveries, scaled, story
from tests.loadtest.scenarios.runs import point

GOOD, QUIET, BAD, GONE = (0, 2, 10), (0, 0, 10), (1, 0, 10), (0, 0, 3)


def events_after(*points: tuple[int, int, int], wrong: frozenset[int] = frozenset()) -> list[EventResult]:
    """Two events, at 2.5 and 8.5 s. Points are errors, answers and calls of each second; `wrong` are those in
    which the answers are something else than they should be."""
    events = [EventResult(2.5, "kill_providers"), EventResult(8.5, "restart_server")]
    recoveries(
        events,
        [
            point(float(at), errors=errors, answers=answers, calls=calls)
            | ({"right": 0, "wrong": answers} if at in wrong else {})
            for at, (errors, answers, calls) in enumerate(points)
        ],
    )
    return events


def recovery(*points: tuple[int, int, int], wrong: frozenset[int] = frozenset()) -> list[float]:
    return [event.recovery_s for event in events_after(*points, wrong=wrong)]


def test_recovery_is_the_first_answer_after_the_last_error_before_the_next_trouble() -> None:
    before = [GOOD, GOOD, BAD]
    first = [GOOD, BAD, BAD, QUIET, GOOD, GOOD]
    second = [GONE, GONE, GOOD, GOOD]
    assert recovery(*before, *first, *second) == [7 - 2.5, 11 - 8.5]


def test_trouble_that_nobody_felt_took_no_time() -> None:
    assert recovery(*[GOOD] * 14) == [0.0, 0.0]


def test_without_an_answer_there_was_no_recovery() -> None:
    assert math.isinf(recovery(*[GOOD] * 9, BAD, QUIET, QUIET)[1])


def test_an_apology_or_an_old_reply_that_goes_on_is_no_recovery() -> None:
    assert recovery(*[GOOD] * 14, wrong=frozenset({10, 11})) == [0.0, 12 - 8.5]
    assert math.isinf(recovery(*[GOOD] * 12, wrong=frozenset(range(9, 12)))[1])


def test_where_nobody_asked_nothing_is_known() -> None:
    event = events_after(*[GOOD] * 9, QUIET, QUIET)[1]
    assert math.isnan(event.recovery_s)
    assert story(event).endswith("nobody asked within 2 s, so recovery is not known")


def test_an_event_at_the_very_end_is_not_known() -> None:
    event = events_after(*[GOOD] * 8)[1]
    assert math.isnan(event.recovery_s)
    assert story(event) == "the run ended with it"


def test_the_story_says_what_callers_met_until_the_next_event() -> None:
    first, second = events_after(*[GOOD] * 4, BAD, BAD, *[GOOD] * 3, GONE, GOOD, GOOD, wrong=frozenset({11}))
    assert story(first) == (
        "2 errors, 8 answers; p95 up to 590 ms; 10 calls at the fewest; well again after 4 s"
    )
    second.detail = "ready after 1.2 s"
    assert story(second) == (
        "ready after 1.2 s; 0 errors, 4 answers, 2 of them not what they should be; p95 up to 590 ms; "
        "3 calls at the fewest; not well again within the 2 s until the next event"
    )


def events(*at_s: float, do: Action = Action.KILL_SERVER) -> list[Event]:
    return [Event(at_s=each, do=do) for each in at_s]


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_events_of_a_longer_run_are_farther_apart(scale: float) -> None:
    found, seconds = scaled(events(5, 9, 60), 100, scale)
    assert [each.at_s for each in found] == [5 * scale, 9 * scale, 60 * scale]
    assert seconds == 100 * scale


def test_a_shorter_run_leaves_room_to_see_recoveries_and_lasts_as_long_as_they_need() -> None:
    least_s = LEAST_WATCH_S[Action.KILL_SERVER]
    found, seconds = scaled(events(10, 50), 100, 0.1)
    assert [each.at_s for each in found] == [1.0, 1.0 + least_s]
    assert seconds == 1.0 + 2 * least_s


def test_events_that_a_scenario_has_close_together_stay_so() -> None:
    found, seconds = scaled(events(1, 2), 30, 0.5)
    assert [each.at_s for each in found] == [0.5, 1.5]
    assert seconds == 1.5 + 28 * 0.5


def test_without_events_a_run_is_as_long_as_its_steps() -> None:
    assert scaled([], 60, 0.5) == ([], 30)
