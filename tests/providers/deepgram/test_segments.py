"""From results to transcripts: one answer for each finalize, whatever Deepgram answers."""

from agent.providers import Transcript
from providers.deepgram.segments import Segments
from providers.deepgram.wire import Results, Word


def heard(
    text: str, start_s: float, end_s: float, *, final: bool = False, from_finalize: bool = False
) -> Results:
    """Words spread evenly over the stretch."""
    parts = text.split()
    step = (end_s - start_s) / max(len(parts), 1)
    words = tuple(Word(part, start_s + at * step, 0.9) for at, part in enumerate(parts))
    return Results(text, start_s, end_s, final, from_finalize, 0.9 if parts else 0.0, words, None)


def shown(transcripts: list[Transcript]) -> list[tuple[str, bool, bool]]:
    return [(one.text, one.final, one.flushed) for one in transcripts]


def test_partials_replace_each_other_and_are_not_repeated() -> None:
    segments = Segments()
    assert shown(segments.results(heard("what", 0, 1))) == [("what", False, False)]
    assert segments.results(heard("what", 0, 2)) == []
    assert shown(segments.results(heard("what are", 0, 3))) == [("what are", False, False)]


def test_finals_that_nobody_asked_for_are_pieces_of_the_turn() -> None:
    segments = Segments()
    assert shown(segments.results(heard("a long story", 0, 5, final=True))) == [("a long story", True, False)]
    assert segments.results(heard("", 5, 6, final=True)) == []


def test_the_answer_to_a_finalize_is_flushed_even_when_empty() -> None:
    segments = Segments()
    segments.finalized(2.0)
    answer = segments.results(heard("", 0, 2, final=True, from_finalize=True))
    assert shown(answer) == [("", True, True)]
    assert segments.pending == 0


def test_a_final_on_its_way_does_not_answer_a_finalize() -> None:
    segments = Segments()
    segments.finalized(6.0)
    assert shown(segments.results(heard("a long", 0, 5, final=True))) == [("a long", True, False)]
    assert segments.pending == 1
    answer = segments.results(heard("story", 5, 6, final=True, from_finalize=True))
    assert shown(answer) == [("story", True, True)]


def test_one_result_that_covers_two_finalizes_answers_both() -> None:
    segments = Segments()
    segments.finalized(1.0)
    segments.finalized(2.0)
    answer = segments.results(heard("hello", 0, 2, final=True, from_finalize=True))
    assert shown(answer) == [("hello", True, True), ("", True, True)]


def test_a_finalize_for_later_audio_waits() -> None:
    segments = Segments()
    segments.finalized(1.0)
    segments.finalized(5.0)
    assert len(segments.results(heard("hello", 0, 1, final=True, from_finalize=True))) == 1
    assert segments.pending == 1


def test_an_expired_finalize_is_answered_with_the_partial_which_is_not_given_again() -> None:
    segments = Segments()
    segments.results(heard("what are your", 0, 3))
    segments.finalized(3.5)
    answer = segments.expired()
    assert answer is not None
    assert shown([answer]) == [("what are your", True, True)]
    assert segments.expired() is None
    # What Deepgram says late about that audio was used already; what was said after it is news.
    assert segments.results(heard("what are your hours", 0, 3.5, final=True, from_finalize=True)) == []
    assert segments.late == 1
    late = segments.results(heard("what are your hours and where", 0, 6, final=True))
    assert shown(late) == [("and where", True, False)]
    assert shown(segments.results(heard("goodbye", 6, 7))) == [("goodbye", False, False)]
