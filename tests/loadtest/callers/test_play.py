"""The platform's play buffer: real time, marks behind audio, clear."""

from loadtest.callers.play import FRAME_BYTES, MAX_QUEUED_BYTES, SILENT_FRAME, PlayBuffer
from tests.loadtest.fakes import tone


def test_audio_is_played_20_ms_at_a_time_in_order_whatever_the_size_of_its_pieces() -> None:
    buffer = PlayBuffer()
    audio = bytes(range(256)) * 5
    for start, end in ((0, 2), (2, 700), (700, 1280)):
        buffer.queue(audio[start:end])
    played = b"".join(buffer.play().audio for _ in range(4))
    assert played == audio
    assert buffer.play().audio == SILENT_FRAME


def test_a_short_tail_is_filled_up_with_silence_and_says_how_much_was_audio() -> None:
    buffer = PlayBuffer()
    buffer.queue(tone(25))
    assert buffer.play().queued_bytes == FRAME_BYTES
    tail = buffer.play()
    assert tail.queued_bytes == 80
    assert tail.audio == tone(25)[FRAME_BYTES:] + bytes(FRAME_BYTES - 80)
    assert buffer.play().queued_bytes == 0


def test_a_mark_comes_back_when_the_audio_before_it_has_been_played_to_its_end() -> None:
    buffer = PlayBuffer()
    buffer.queue(tone(40))
    assert buffer.mark("after 40") == ()
    buffer.queue(tone(20))
    assert buffer.mark("after 60") == ()
    assert [buffer.play().marks for _ in range(4)] == [(), (), ("after 40",), ("after 60",)]


def test_a_mark_behind_the_frame_being_played_waits_for_the_end_of_that_frame() -> None:
    buffer = PlayBuffer()
    buffer.queue(tone(20))
    buffer.play()
    assert buffer.mark("late") == ()
    assert buffer.play().marks == ("late",)


def test_a_mark_behind_nothing_comes_back_at_once() -> None:
    buffer = PlayBuffer()
    assert buffer.mark("empty") == ("empty",)
    buffer.queue(tone(20))
    buffer.play()
    buffer.play()
    assert buffer.mark("played out") == ("played out",)


def test_clear_empties_the_queue_and_returns_all_pending_marks_once() -> None:
    buffer = PlayBuffer()
    buffer.queue(tone(1000))
    buffer.mark("a")
    buffer.queue(tone(1000))
    buffer.mark("b")
    buffer.play()
    assert buffer.queued_ms == 1980.0
    assert buffer.clear() == ("a", "b")
    assert buffer.queued_ms == 0.0
    assert buffer.play().audio == SILENT_FRAME
    assert buffer.clear() == ()


def test_audio_queued_after_a_clear_is_played_from_its_beginning() -> None:
    buffer = PlayBuffer()
    buffer.queue(tone(100))
    buffer.clear()
    buffer.queue(tone(20, amplitude=500))
    buffer.mark("new")
    assert buffer.play().audio == tone(20, amplitude=500)
    assert buffer.play().marks == ("new",)


def test_a_server_that_sends_hours_of_audio_is_cut_off_and_counted() -> None:
    buffer = PlayBuffer()
    buffer.queue(bytes(MAX_QUEUED_BYTES))
    buffer.queue(bytes(320))
    assert buffer.overflowed_bytes == 320
    assert buffer.queued_ms == 600_000.0
