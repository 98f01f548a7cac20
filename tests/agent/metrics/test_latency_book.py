"""What the book makes of turns: whose time it was, by which labels, and what other processes add."""

import itertools
from typing import Any

import pytest

from agent.latency import Stage
from agent.lines import CallInfo
from agent.metrics.latency_book import BoundedLabels, LatencyBook, merge, split
from agent.metrics.quality import STALE_MS
from agent.records import CallRecord, TurnRecord

PAGE = {
    "l1_capture_ms": 10.0, "l2_processing_ms": 5.0, "l8_rendering_ms": 40.0, "l9_output_ms": 20.0,
    "rtt_ms": 60.0, "jitter_ms": 4.0, "lost": 1.0, "received": 99.0,
}  # fmt: skip


class HandClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time_ms = 1_000.0

    def now_ms(self) -> float:
        return self.time_ms


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def book(clock: HandClock) -> LatencyBook:
    return LatencyBook(["en", "es"], clock)  # type: ignore[arg-type]  # only reads the time


def record(transport: str = "twilio-media", language: str = "en") -> CallRecord:
    return CallRecord("c1", CallInfo(transport, "CA1"), 0.0, language)


def turn(language: str = "en", **stages: float) -> TurnRecord:
    return TurnRecord(0, 0.0, language, stages={Stage(name): value for name, value in stages.items()})


def windows(book: LatencyBook, *names: str) -> dict[str, Any]:
    """By name; without `names` all."""
    summary: dict[str, Any] = book.summary(names) if names else book.summary()
    found: dict[str, Any] = summary["windows"]
    return found


def by(book: LatencyBook, stage: Stage, dimension: str, window: str = "start") -> dict[str, int]:
    groups = windows(book)[window]["stages"][stage.value]["by"][dimension]
    return {name: figures["count"] for name, figures in groups.items()}


def test_turns_are_kept_apart_by_transport_language_provider_and_cache(book: LatencyBook) -> None:
    first = turn("es", llm_first_token=80.0, stt_final=20.0, response=600.0)
    first.providers = {"stt": "deepgram", "llm": "openai"}
    first.cache = "miss"
    book.turn_ended(record("twilio-relay"), first)
    second = turn("tlh", llm_first_token=90.0)
    second.providers = {"llm": "embedded"}
    book.turn_ended(record("telnyx-media"), second)
    assert by(book, Stage.LLM_FIRST_TOKEN, "provider") == {"openai": 1, "embedded": 1}
    assert by(book, Stage.LLM_FIRST_TOKEN, "transport") == {"twilio-relay": 1, "telnyx-media": 1}
    assert by(book, Stage.LLM_FIRST_TOKEN, "language") == {"es": 1, "other": 1}
    assert by(book, Stage.LLM_FIRST_TOKEN, "cache") == {"miss": 1, "none": 1}
    assert by(book, Stage.STT_FINAL, "provider") == {"deepgram": 1}
    assert by(book, Stage.RESPONSE, "provider") == {"none": 1}


def test_windows_forget_and_since_start_does_not(book: LatencyBook, clock: HandClock) -> None:
    book.turn_ended(record(), turn(response=600.0))
    clock.time_ms += 120_000
    found = windows(book)
    assert [bool(found[name]["stages"]) for name in ("1m", "5m", "1h", "start")] == [
        False, True, True, True,
    ]  # fmt: skip
    assert set(windows(book, "5m")) == {"5m"}


def test_a_barge_in_is_counted_once_when_it_happens(book: LatencyBook) -> None:
    book.barge_in(record(), 90.0)
    book.record_stage(record(), Stage.INTERRUPTION_DETECTION, 89.0)
    # The turn's own copy of it, for people to look at.
    book.turn_ended(record(), turn(barge_in=90.0, response=500.0))
    assert by(book, Stage.BARGE_IN, "transport") == {"twilio-media": 1}
    assert by(book, Stage.INTERRUPTION_DETECTION, "transport") == {"twilio-media": 1}


def test_gaps_are_natural_between_200_and_500_ms(book: LatencyBook) -> None:
    for response_ms in (199.0, 200.0, 500.0, 501.0, 2_000.0):
        book.turn_ended(record(), turn(response=response_ms))
    book.turn_ended(record(), turn())  # the greeting
    assert {gap: count for (_, gap), count in book.gaps.items()} == {"short": 1, "natural": 2, "long": 2}


# --- whose time ----------------------------------------------------------------------------------------


def test_a_turn_is_split_into_our_part_and_the_providers(book: LatencyBook) -> None:
    ended = turn(response=900.0, endpointing=300.0, stt_final=100.0, llm_first_sentence=350.0,
                 tts_first_audio=140.0, added=10.0)  # fmt: skip
    book.turn_ended(record(), ended)
    assert (ended.stages[Stage.OUR_PART], ended.stages[Stage.PROVIDER_PART]) == (310.0, 590.0)
    # On the telephone nobody knows more: nothing is guessed.
    assert not {Stage.UPLINK, Stage.CARRIER_PART, Stage.CLIENT_PART, Stage.CAPTURE} & ended.stages.keys()
    assert ended.stages[Stage.END_TO_END] == 900.0


def test_work_behind_the_endpointing_wait_cost_the_caller_nothing() -> None:
    # The model began before the endpoint: the stages together are longer than the wait was.
    found = split(
        {Stage.RESPONSE: 400.0, Stage.ENDPOINTING: 300.0, Stage.LLM_FIRST_SENTENCE: 350.0, Stage.ADDED: 0.0},
        {},
    )
    assert (found[Stage.OUR_PART], found[Stage.PROVIDER_PART]) == (300.0, 100.0)


def test_what_the_client_tells_is_part_of_its_next_turns(book: LatencyBook, clock: HandClock) -> None:
    call, ended = record("webrtc"), turn(response=500.0, added=5.0)
    book.record_client(call, 3, PAGE)
    clock.time_ms += STALE_MS - 1
    book.turn_ended(call, ended)
    stages = ended.stages
    assert (stages[Stage.CAPTURE], stages[Stage.RENDERING]) == (10.0, 40.0)
    assert (stages[Stage.UPLINK], stages[Stage.DOWNLINK]) == (30.0, 30.0)
    assert (stages[Stage.CARRIER_PART], stages[Stage.CLIENT_PART]) == (60.0, 75.0)
    assert stages[Stage.END_TO_END] == 500.0 + 60.0 + 75.0
    parts = (Stage.OUR_PART, Stage.PROVIDER_PART, Stage.CARRIER_PART, Stage.CLIENT_PART)
    assert sum(stages[part] for part in parts) == stages[Stage.END_TO_END]


def test_an_old_report_says_nothing_about_a_new_turn(book: LatencyBook, clock: HandClock) -> None:
    call, ended = record("webrtc"), turn(response=500.0)
    book.record_client(call, None, PAGE)
    clock.time_ms += STALE_MS
    book.turn_ended(call, ended)
    assert Stage.CAPTURE not in ended.stages
    assert ended.stages[Stage.END_TO_END] == 500.0


# --- labels and processes ------------------------------------------------------------------------------


def test_a_label_takes_so_many_values_and_no_more() -> None:
    label = BoundedLabels(["known"], limit=3)
    assert [label(name) for name in ("a", "known", "b", "c", "a", "known")] == [
        "a", "known", "b", "other", "a", "known",
    ]  # fmt: skip


def test_a_platform_that_invents_names_cannot_fill_the_memory(book: LatencyBook) -> None:
    for number in range(5_000):
        book.turn_ended(record(f"transport-{number}"), turn(response=1.0))
    assert sum(1 for _ in book.series()) < 150


def test_processes_are_merged(book: LatencyBook, clock: HandClock) -> None:
    other = LatencyBook(["en"], clock)  # type: ignore[arg-type]  # only reads the time
    for target, value in itertools.product((book, other), (100.0, 200.0)):
        target.turn_ended(record(), turn(response=value))
    merged: Any = merge([book.encoded(), other.encoded()])
    assert merged["stages"]["response"]["all"]["count"] == 4
    with pytest.raises(ValueError, match="no series"):
        merge([{"stages": {}}])
