"""Counters of a server that is restarted."""

from loadtest.bulk.account import COUNTERS
from loadtest.scenarios.totals import Totals


def metrics(started: float, underruns: float, unanswered: float = 0.0) -> str:
    return f"""# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
process_start_time_seconds {started}
# TYPE parley_underruns counter
parley_underruns_total{{transport="twilio-media"}} {underruns}
parley_underruns_total{{transport="telnyx-media"}} 1.0
parley_underruns_created{{transport="telnyx-media"}} 1.7e+09
parley_unanswered_total{{transport="twilio-media"}} {unanswered}
parley_turns_total{{transport="twilio-media"}} 99.0
"""


def test_counters_are_summed_over_transports_and_those_that_are_missing_are_0() -> None:
    totals = Totals()
    totals.saw(metrics(1.5, 4.0))
    assert totals.sums == dict.fromkeys(COUNTERS, 0.0) | {"underruns": 5.0}


def test_a_server_that_was_never_seen_has_none() -> None:
    totals = Totals()
    totals.saw("")
    totals.saw("<html>not found</html>")
    assert totals.sums == {}
    assert totals.processes == 0


def test_what_a_process_counted_stays_when_another_takes_its_place() -> None:
    totals = Totals()
    for exposition in (metrics(1.0, 2.0), metrics(1.0, 4.0, 1.0), metrics(9.0, 0.0), metrics(9.0, 9.0, 2.0)):
        totals.saw(exposition)
    assert totals.sums["underruns"] == 5.0 + 10.0
    assert totals.sums["unanswered"] == 3.0
    assert totals.processes == 2


def test_a_moment_without_an_answer_forgets_nothing() -> None:
    totals = Totals()
    totals.saw(metrics(1.0, 4.0))
    totals.saw("")
    assert totals.sums["underruns"] == 5.0
    totals.saw(metrics(2.0, 0.0))
    assert totals.sums["underruns"] == 6.0
