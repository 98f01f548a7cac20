"""What the caller has heard, from what was handed out and what the far end says about it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ledger import AudioLedger, TextLedger
from agent.providers import WordTime

FIRST, SECOND = "We open at nine.", "We close at five."


def spoken(*, ended: bool = True) -> AudioLedger:
    """Two sentences of two seconds each, all of it handed over at moment 10,000."""
    ledger = AudioLedger()
    ledger.begin()
    ledger.text(FIRST, 0.0)
    ledger.audio(2_000.0)
    ledger.text_ended()
    ledger.text(SECOND, 2_000.0)
    ledger.audio(2_000.0)
    if ended:
        ledger.text_ended()
    ledger.sent(4_000.0, 10_000.0)
    return ledger


# --- media lines ---------------------------------------------------------------------------------------


def test_nothing_sent_is_nothing_heard() -> None:
    ledger = AudioLedger()
    heard = ledger.heard(0.0)
    assert (heard.text, heard.ms, heard.complete) == ("", 0.0, False)


def test_what_was_sent_is_heard_only_as_it_plays() -> None:
    ledger = spoken()
    assert ledger.heard(10_000.0).text == ""
    assert ledger.heard(11_000.0).text == "We open"
    assert ledger.heard(12_900.0).text == f"{FIRST} We close"
    assert ledger.heard(13_900.0).complete is False
    whole = ledger.heard(14_000.0)
    assert (whole.text, whole.ms, whole.complete) == (f"{FIRST} {SECOND}", 4_000.0, True)
    assert ledger.heard(99_000.0) == whole


def test_audio_queues_behind_what_the_far_end_still_has() -> None:
    ledger = AudioLedger()
    ledger.begin()
    ledger.sent(200.0, 0.0)
    ledger.sent(200.0, 50.0)
    assert ledger.far_ms(100.0) == 300.0
    assert ledger.position_ms(100.0) == 100.0
    # Dry for 100 ms: what comes then begins at once, and the gap does not count as heard.
    assert ledger.far_ms(500.0) == -100.0
    ledger.sent(200.0, 500.0)
    assert ledger.position_ms(600.0) == 500.0


def test_a_new_utterance_waits_behind_the_audio_of_the_old_one() -> None:
    ledger = AudioLedger()
    ledger.begin()
    ledger.sent(1_000.0, 0.0)
    ledger.begin()
    ledger.text("Hi.", 0.0)
    ledger.audio(100.0)
    ledger.text_ended()
    ledger.sent(100.0, 500.0)
    assert ledger.heard(1_000.0).ms == 0.0
    assert ledger.heard(1_100.0).complete


def test_a_mark_corrects_the_estimate_in_both_directions() -> None:
    ledger = AudioLedger()
    ledger.begin()
    ledger.sent(1_000.0, 0.0)
    ledger.marked("half")
    ledger.sent(1_000.0, 0.0)
    ledger.mark_returned("half", 1_300.0)  # the far end began 300 ms late
    assert ledger.position_ms(1_300.0) == 1_000.0
    assert ledger.far_ms(1_300.0) == 1_000.0
    ledger.sent(500.0, 1_300.0)
    ledger.marked("end")
    ledger.mark_returned("end", 2_000.0)  # and was ahead of the estimate then
    assert ledger.far_ms(2_000.0) == 0.0
    assert ledger.position_ms(2_000.0) == 2_500.0


def test_a_later_mark_stands_for_those_before_it_and_unknown_ones_say_nothing() -> None:
    ledger = AudioLedger()
    ledger.begin()
    for name in ("a", "b"):
        ledger.sent(100.0, 0.0)
        ledger.marked(name)
    ledger.mark_returned("nonsense", 10.0)
    assert ledger.far_ms(10.0) == 190.0
    ledger.mark_returned("b", 150.0)
    ledger.mark_returned("a", 160.0)
    assert ledger.position_ms(160.0) == 200.0


def test_marks_that_come_back_because_of_a_clear_say_nothing() -> None:
    ledger = spoken()
    ledger.marked("end")
    assert ledger.stopped(11_000.0) == 1_000.0
    ledger.mark_returned("end", 11_001.0)
    assert ledger.heard(12_000.0).text == "We open"
    assert ledger.far_ms(11_000.0) == 0.0


def test_marks_of_an_earlier_utterance_say_nothing() -> None:
    ledger = spoken()
    ledger.marked("old")
    ledger.begin()
    ledger.text("Hi.", 0.0)
    ledger.audio(500.0)
    ledger.sent(500.0, 20_000.0)
    ledger.mark_returned("old", 20_001.0)
    assert ledger.far_ms(20_001.0) == 499.0


def test_after_a_stop_time_does_not_make_more_of_it_heard() -> None:
    ledger = spoken()
    ledger.stopped(11_000.0)
    assert ledger.heard(60_000.0).text == "We open"


def test_a_resumed_utterance_is_heard_from_where_it_goes_on() -> None:
    ledger = spoken()
    ledger.stopped(13_000.0)
    position_ms = ledger.resume_position_ms()
    assert position_ms == 2_700.0  # a word back, without word times
    ledger.resumed(position_ms)
    ledger.sent(4_000.0 - position_ms, 20_000.0)
    assert ledger.heard(20_000.0).ms == 2_700.0
    assert ledger.heard(21_300.0).complete


def test_without_word_times_a_resume_never_goes_back_into_an_earlier_sentence() -> None:
    ledger = spoken()
    ledger.stopped(12_100.0)
    assert ledger.resume_position_ms() == 2_000.0


def with_words() -> AudioLedger:
    ledger = AudioLedger()
    ledger.begin()
    ledger.text(FIRST, 0.0)
    ledger.audio(500.0, (WordTime(0, 50.0), WordTime(3, 300.0)))
    ledger.audio(1_500.0, (WordTime(8, 700.0), WordTime(11, 1_200.0)))
    ledger.text_ended()
    ledger.sent(2_000.0, 0.0)
    return ledger


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [(100.0, ""), (320.0, "We"), (1_100.0, "We open"), (1_300.0, "We open at"), (1_950.0, FIRST)],
)
def test_with_word_times_a_word_counts_once_the_next_one_has_begun(at_ms: float, text: str) -> None:
    assert with_words().heard(at_ms).text == text


def test_with_word_times_a_cut_word_is_said_again_from_its_beginning() -> None:
    ledger = with_words()
    ledger.stopped(1_000.0)
    assert ledger.resume_position_ms() == 700.0


def test_the_beginning_of_a_sentence_is_not_the_sentence() -> None:
    # Synthesis gave half a second so far, and it has all been played: a barge-in now must not put a whole
    # sentence into the history.
    text = "We are open on Mondays and on Tuesdays, but not on Fridays."
    ledger = AudioLedger()
    ledger.begin()
    ledger.text(text, 0.0)
    ledger.audio(500.0)
    ledger.sent(500.0, 0.0)
    heard = ledger.heard(1_000.0)
    assert (heard.text, heard.complete) == ("We are", False)
    ledger.text_ended()
    assert ledger.heard(1_000.0).text == text


def test_a_sentence_whose_synthesis_gave_no_sound_was_not_heard() -> None:
    ledger = AudioLedger()
    ledger.begin()
    for text, duration_ms in ((FIRST, 1_000.0), ("Lost.", 0.0), (SECOND, 1_000.0)):
        ledger.text(text, ledger._sent_ms)
        ledger.audio(duration_ms)
        ledger.text_ended()
        ledger.sent(duration_ms, 0.0)
    assert ledger.heard(9_000.0).text == f"{FIRST} {SECOND}"


SENTENCES = st.lists(
    st.tuples(
        st.sampled_from(["Yes.", "We open at 9.", "I can't.", "好的。", "a b c d"]), st.integers(0, 400)
    ),
    min_size=1,
    max_size=5,
)


@given(SENTENCES, st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=12), st.booleans())
def test_heard_is_a_growing_prefix_of_what_was_written(
    sentences: list[tuple[str, int]], steps: list[tuple[int, bool]], ended: bool
) -> None:
    ledger, now_ms = AudioLedger(), 0.0
    ledger.begin()
    written, heard_before, position_before = "", "", 0.0
    waiting = list(sentences)
    for wait_ms, send in steps:
        if send and waiting:
            text, frames = waiting.pop(0)
            ledger.text_ended()  # sentences are synthesised one after the other
            ledger.text(text, ledger._sent_ms)
            ledger.audio(frames * 20.0)
            if ended:
                ledger.text_ended()
            ledger.sent(frames * 20.0, now_ms)
            written += f" {text}" if frames else ""
        now_ms += wait_ms
        heard = ledger.heard(now_ms)
        assert words(written).startswith(words(heard.text))
        assert heard.text.startswith(heard_before)
        assert heard.ms >= position_before
        heard_before, position_before = heard.text, heard.ms


def words(text: str) -> str:
    return re.sub(r"\s", "", text)


# --- text lines ----------------------------------------------------------------------------------------


def said(text: str = "We open at 9. We close at 5.") -> TextLedger:
    ledger = TextLedger()
    ledger.begin()
    ledger.said(text, 0.0)
    return ledger


def test_a_silent_platform_is_estimated_by_speaking_rate() -> None:
    ledger = said()
    assert ledger.heard(400.0).text == ""
    assert ledger.heard(400.0 + 1_000.0).text == "We open at 9."
    assert ledger.remaining_ms(400.0 + 1_000.0) == pytest.approx(1_000.0)
    assert ledger.heard(400.0 + 2_000.0).complete
    assert ledger.remaining_ms(9_000.0) == 0.0


def test_text_that_comes_after_a_pause_is_not_heard_at_once() -> None:
    # A tool ran for six seconds between two pieces of one reply.
    ledger = said("Let me check. ")
    ledger.said("You are booked for Tuesday at nine.", 6_000.0)
    assert ledger.heard(6_100.0).text == "Let me check."
    assert ledger.remaining_ms(6_100.0) == pytest.approx(2_500.0)
    assert ledger.heard(6_400.0 + 2_500.0).complete


def test_tokens_that_come_faster_than_speech_queue_up() -> None:
    ledger = TextLedger()
    ledger.begin()
    for number, word in enumerate("We open at nine and close at five. ".split(" ")):
        ledger.said(f"{word} ", number * 10.0)
    assert ledger.heard(400.0 + 1_000.0).text == "We open at"
    assert ledger.heard(400.0 + 2_700.0).complete


def test_chinese_takes_its_time_and_is_cut_between_characters() -> None:
    ledger = said("我们星期一到星期五营业")
    assert ledger.remaining_ms(0.0) == pytest.approx(2_357, abs=1)
    assert ledger.heard(400.0 + 1_100.0).text == "我们星期一"


def test_reports_of_played_text_win_over_the_estimate() -> None:
    ledger = said()
    ledger.played("We open at")
    assert ledger.heard(60_000.0).text == "We open at"
    ledger.played(" nine. We close at five.")  # read out: no digits
    heard = ledger.heard(60_000.0)
    assert (heard.text, heard.complete) == ("We open at 9. We close at 5.", True)


@pytest.mark.parametrize(
    ("fragment", "heard"),
    [("We open", "We open"), ("we close", "We open at 9. We close"), ("at 5", "We open at 9. We close at 5")],
)
def test_an_interruption_keeps_what_the_platform_says_was_spoken(fragment: str, heard: str) -> None:
    assert said().interrupted(fragment, 1_500.0).text == heard


def test_of_several_places_the_one_nearest_to_the_estimate_is_meant() -> None:
    assert said().interrupted("We", 700.0).text == "We"
    assert said().interrupted("We", 400.0 + 1_200.0).text == "We open at 9. We"


def test_an_interruption_before_the_next_piece_keeps_the_sentences_spoken() -> None:
    assert said().interrupted("", 500.0).text == ""
    assert said().interrupted("", 400.0 + 1_400.0).text == "We open at 9."


def test_an_interruption_in_other_words_goes_by_the_best_knowledge() -> None:
    assert said().interrupted("something else", 400.0 + 1_000.0).text == "We open at 9."
    ledger = said()
    ledger.played("We open at 9.")
    assert ledger.interrupted("nine", 0.0).text == "We open at 9."


def test_a_fragment_that_was_reported_before_moves_nothing_back() -> None:
    ledger = said()
    ledger.played("We open at 9. We close")
    assert ledger.interrupted("We close", 500.0).text == "We open at 9. We close"
    assert ledger.heard(90_000.0).text == "We open at 9. We close"


def test_what_was_heard_stays_as_it_was_when_we_stopped() -> None:
    ledger = said()
    assert ledger.stop(400.0 + 1_000.0).text == "We open at 9."
    assert ledger.heard(60_000.0).text == "We open at 9."
    assert ledger.stop(60_000.0).text == "We open at 9."


def test_a_new_utterance_begins_with_nothing_heard() -> None:
    ledger = said()
    ledger.played("We open")
    ledger.begin()
    assert ledger.heard(9_000.0) == TextLedger().heard(0.0)
    ledger.said("Good morning.", 9_000.0)
    ledger.played("We close at 5.")  # the old one's last report, late
    assert ledger.heard(60_000.0).text == ""
    ledger.played("Good morning")
    assert ledger.heard(60_000.0).complete


def test_what_a_lost_line_had_not_spoken_is_said_again() -> None:
    ledger = said()
    assert ledger.cut(400.0 + 1_000.0) == "We close at 5."
    assert ledger.heard(60_000.0).text == "We open at 9."
    ledger.said("We close at 5.", 60_000.0)
    assert ledger.heard(60_100.0).text == "We open at 9."
    assert ledger.heard(63_000.0).text == "We open at 9. We close at 5."


def test_a_lost_line_that_reported_is_believed() -> None:
    ledger = said()
    ledger.played("We open")
    assert ledger.cut(60_000.0) == "at 9. We close at 5."
    ledger.said("at 9. We close at 5.", 60_000.0)
    ledger.played("at 9. We close at 5.")
    assert ledger.heard(60_000.0).complete


PIECES = st.lists(st.tuples(st.sampled_from(["We ", "can't ", "go. ", "9 ", "好"]), st.integers(0, 900)))


@given(PIECES)
def test_the_estimate_only_grows_and_ends_with_all_of_it(pieces: list[tuple[str, int]]) -> None:
    ledger, now_ms, before, text = TextLedger(), 0.0, "", ""
    ledger.begin()
    for piece, gap_ms in pieces:
        ledger.said(piece, now_ms)
        text += piece
        for _ in range(2):
            now_ms += gap_ms
            heard = ledger.heard(now_ms).text
            assert words(heard).startswith(words(before))
            assert words(text).startswith(words(heard))
            before = heard
    end_ms = now_ms + ledger.START_MS + ledger.remaining_ms(now_ms)
    assert ledger.heard(end_ms + 1.0).text == text.strip()
