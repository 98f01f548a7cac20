"""What is remembered of turns, and the figures made of it."""

from collections.abc import Callable

from agent.clock import Timer
from agent.dashboard.turns import LATEST, POINT_S, TurnWatch, describe
from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import CallRecord, TurnRecord


class WallClock:
    """Only the wall time matters here."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def unix_s(self) -> float:
        return self.now_s

    def now_ms(self) -> float:
        raise NotImplementedError

    def call_later(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        raise NotImplementedError

    async def sleep(self, delay_ms: float) -> None:
        raise NotImplementedError


CALL = CallRecord("c1", CallInfo("twilio-media", "CA1"), 1_000_000.0, "en")


def turn(response_ms: float | None = 500.0, provider: str = "openai") -> TurnRecord:
    stages = {} if response_ms is None else {Stage.RESPONSE: response_ms, Stage.LLM_FIRST_TOKEN: 90.0}
    return TurnRecord(1, 0.0, "en", "when?", "Nine.", stages=stages, providers={"llm": provider})


def test_ten_seconds_make_a_point() -> None:
    clock = WallClock()
    watch = TurnWatch(clock)
    for response_ms in (300.0, 400.0, 500.0):
        watch.turn_ended(CALL, turn(response_ms))
    assert watch.points() == [[1_000_000, 3, 400.0, 500.0, 500.0]]
    clock.now_s += 2 * POINT_S
    watch.turn_ended(CALL, turn(900.0))
    assert watch.points() == [
        [1_000_000, 3, 400.0, 500.0, 500.0],
        [1_000_020, 1, 900.0, 900.0, 900.0],
    ]
    assert len(watch.points(1)) == 2  # the last whole one and the one that is being filled


def test_nothing_was_seen() -> None:
    watch = TurnWatch(WallClock())
    assert (watch.points(), watch.stages(Stage), watch.providers()) == ([], {}, {})


def test_what_the_agent_says_by_itself_is_no_response() -> None:
    watch = TurnWatch(WallClock())
    watch.turn_ended(CALL, turn(None))
    assert watch.points() == []
    assert not watch.latest
    assert watch.served == {("llm", "openai"): 1}


def test_figures_are_of_the_last_five_minutes() -> None:
    clock = WallClock()
    watch = TurnWatch(clock)
    watch.turn_ended(CALL, turn(9_000.0))
    clock.now_s += 301
    watch.turn_ended(CALL, turn(500.0))
    assert watch.stages([Stage.RESPONSE]) == {"response": [1, 500.0, 500.0, 500.0]}
    assert watch.providers() == {("llm", "openai"): [90.0, 90.0]}


def test_all_is_bounded() -> None:
    watch = TurnWatch(WallClock())
    for number in range(2_000):
        watch.turn_ended(CALL, turn(provider=f"p{number}"))
    assert len(watch.latest) == LATEST
    assert len(watch.served) <= 33


def test_a_turn_is_shown_without_words() -> None:
    watch = TurnWatch(WallClock())
    watch.turn_ended(CALL, turn())
    shown = describe(watch.latest[0])
    assert shown["stages"] == {"response": 500.0, "llm_first_token": 90.0}
    assert "when?" not in str(shown)


def test_blown_budgets_are_counted_for_five_minutes() -> None:
    clock = WallClock()
    watch = TurnWatch(clock)
    for wait_s, action in ((0, "filler"), (100, "none"), (100, "filler")):
        clock.now_s += wait_s
        watch.budget_blown(CALL, Stage.LLM_FIRST_TOKEN, action)
    assert watch.blown() == {"llm_first_token": {"filler": 2, "none": 1}}
    clock.now_s += 150
    assert watch.blown() == {"llm_first_token": {"none": 1, "filler": 1}}
