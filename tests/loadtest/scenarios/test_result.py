import math

from loadtest.scenarios.result import EventResult, recoveries
from tests.loadtest.scenarios.runs import point


def recovery(*points: tuple[int, int, int]) -> list[float]:
    """Recoveries of two events, at 2.5 and 8.5 s. Points are errors, answers and calls of each second."""
    events = [EventResult(2.5, "kill_providers"), EventResult(8.5, "restart_server")]
    recoveries(
        events,
        [
            point(float(at), errors=errors, answers=answers, calls=calls)
            for at, (errors, answers, calls) in enumerate(points)
        ],
    )
    return [event.recovery_s for event in events]


GOOD, QUIET, BAD, GONE = (0, 2, 10), (0, 0, 10), (1, 0, 10), (0, 0, 3)


def test_recovery_is_the_first_answer_after_the_last_error_before_the_next_trouble() -> None:
    before = [GOOD, GOOD, BAD]
    first = [GOOD, BAD, BAD, QUIET, GOOD, GOOD]
    second = [GONE, GONE, GOOD, GOOD]
    assert recovery(*before, *first, *second) == [7 - 2.5, 11 - 8.5]


def test_trouble_that_nobody_felt_took_no_time() -> None:
    assert recovery(*[GOOD] * 14) == [0.0, 0.0]


def test_without_an_answer_there_was_no_recovery() -> None:
    found = recovery(*[GOOD] * 9, BAD, QUIET, QUIET)
    assert math.isinf(found[1])


def test_an_event_at_the_very_end_is_not_known() -> None:
    assert math.isnan(recovery(*[GOOD] * 8)[1])
