"""Figures of a turn out of its marks, and a platform's stream time as ours."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.latency import AudioClock, CallCounters, Stage, TurnMarks


def test_stages_are_told_from_the_marks_of_a_turn() -> None:
    marks = TurnMarks(
        last_voiced_ms=1_000, endpoint_ms=1_300, transcript_ms=1_320, llm_asked_ms=1_321,
        llm_first_token_ms=1_400, llm_first_sentence_ms=1_450, tts_asked_ms=1_451, tts_first_audio_ms=1_500,
        first_audio_out_ms=1_502,
    )  # fmt: skip
    assert marks.stages() == {
        Stage.ENDPOINTING: 300, Stage.STT_FINAL: 20, Stage.LLM_FIRST_TOKEN: 79, Stage.LLM_FIRST_SENTENCE: 129,
        Stage.TTS_FIRST_AUDIO: 49, Stage.RESPONSE: 502, Stage.ADDED: 4,
    }  # fmt: skip


def test_nothing_is_guessed() -> None:
    assert TurnMarks().stages() == {}
    assert TurnMarks(last_voiced_ms=1.0, first_audio_out_ms=2.0).stages() == {
        Stage.RESPONSE: 1.0,
        Stage.ADDED: 1.0,
    }


def test_on_a_text_line_the_response_begins_with_the_prompt() -> None:
    marks = TurnMarks(
        endpoint_ms=99, transcript_ms=100, llm_asked_ms=101, llm_first_token_ms=110, first_audio_out_ms=112
    )
    # Nobody listened to a voice here, and the first token is what the rest waited for.
    assert marks.stages() == {Stage.LLM_FIRST_TOKEN: 9, Stage.RESPONSE: 13, Stage.ADDED: 4}


def test_waits_that_overlap_do_not_make_the_added_latency_negative() -> None:
    marks = TurnMarks(
        last_voiced_ms=0, endpoint_ms=100, transcript_ms=200, llm_asked_ms=0, llm_first_sentence_ms=200,
        first_audio_out_ms=210,
    )  # fmt: skip
    assert marks.stages()[Stage.ADDED] == 0.0


def test_counters_add_up_by_name() -> None:
    total = CallCounters(turns=1, underruns=2)
    total.add(CallCounters(turns=3, echoes=1))
    assert total == CallCounters(turns=4, underruns=2, echoes=1)


# --- stream time ---------------------------------------------------------------------------------------


def test_jitter_of_the_network_or_of_our_loop_does_not_move_the_audio() -> None:
    clock, rolls = AudioClock(), random.Random(1)
    errors = []
    for number in range(3_000):
        captured_ms = 50_000.0 + number * 20
        at_ms = clock.arrived(number * 20, captured_ms + 30 + rolls.expovariate(1 / 15))
        errors.append(at_ms - (captured_ms + 30))
    assert max(errors[50:]) < 5.0
    assert min(errors) >= 0.0


def test_a_lagging_server_shows_in_its_own_figures() -> None:
    clock = AudioClock()
    assert clock.arrived(0, 1_000) == 1_000
    # The loop stood still for half a second: the frames were there long before they were read.
    for number in range(1, 25):
        assert clock.arrived(number * 20, 1_500) == pytest.approx(1_000 + number * 20, abs=0.1)


@pytest.mark.parametrize("ppm", [-100.0, 100.0])
def test_clocks_that_drift_apart_are_followed(ppm: float) -> None:
    clock = AudioClock()
    for number in range(90_000):  # half an hour
        now_ms = number * 20 * (1 + ppm * 1e-6) + (number % 7)
        at_ms = clock.arrived(number * 20, now_ms)
    assert now_ms - at_ms < 8.0


def test_a_stream_that_begins_anew_is_followed_at_once() -> None:
    clock = AudioClock()
    for number in range(1_000):
        clock.arrived(number * 20, 5_000 + number * 20)
    assert clock.arrived(0, 30_000) == 30_000
    assert clock.arrived(20, 30_025) == pytest.approx(30_020, abs=0.1)


def test_one_stray_timestamp_does_not_spoil_the_rest_of_the_call() -> None:
    clock = AudioClock()
    clock.arrived(1_000, 5_000)
    assert clock.arrived(9e12, 5_020) == 5_020
    assert clock.arrived(1_040, 5_040) == 5_040
    assert clock.arrived(1_060, 5_070) == pytest.approx(5_060, abs=0.1)


def test_frames_that_overtake_each_other_are_no_new_stream() -> None:
    clock = AudioClock()
    clock.arrived(0, 1_000)
    clock.arrived(60, 1_060)
    assert clock.arrived(20, 1_065) == pytest.approx(1_020, abs=0.1)


def test_even_arrival_has_no_jitter_and_uneven_has_its_mean_deviation() -> None:
    even, uneven = AudioClock(), AudioClock()
    for number in range(2_000):
        even.arrived(number * 20, 1_000 + number * 20)
        # Every other frame 10 ms late: each interval is off by 10 ms.
        uneven.arrived(number * 20, 1_000 + number * 20 + (number % 2) * 10)
    assert even.jitter_ms == pytest.approx(0.0, abs=1e-6)
    assert uneven.jitter_ms == pytest.approx(10.0, rel=0.01)


def test_a_stream_that_begins_anew_is_no_jitter() -> None:
    clock = AudioClock()
    for number in range(100):
        clock.arrived(number * 20, 1_000 + number * 20)
    clock.arrived(0, 90_000)
    clock.arrived(20, 90_020)
    assert clock.jitter_ms == pytest.approx(0.0, abs=1e-6)


def test_jitter_of_the_turn_is_a_figure_of_its_own() -> None:
    assert TurnMarks(jitter_ms=4.0).stages() == {Stage.ARRIVAL_JITTER: 4.0}


@given(st.lists(st.tuples(st.floats(-2_000, 2_000), st.floats(0, 500)), max_size=50))
def test_audio_never_arrives_in_the_future(steps: list[tuple[float, float]]) -> None:
    clock, stream_ms, now_ms = AudioClock(), 0.0, 1e6
    for stream_step, now_step in steps:
        stream_ms += stream_step
        now_ms += now_step
        assert clock.arrived(stream_ms, now_ms) <= now_ms + 1e-6
