"""The agent's audio: sent in whole frames, ahead by the lead and no further, stopped at once, and resumed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.latency import CallCounters
from agent.lines import CallInfo
from agent.playout import KEEP_BEHIND_MS, MARK_PATIENCE_MS, Playout
from agent.providers import WordTime
from agent.ticker import Tick, Ticker

FRAME = 160


class Line:
    """Remembers what it was told, in order."""

    inbound = PCMU_8K

    def __init__(self, outbound: AudioFormat = PCMU_8K, lead_ms: float = 200.0) -> None:
        self.info = CallInfo("test", "1")
        self.outbound = outbound
        self.lead_ms = lead_ms
        self.sent: list[bytes] = []
        self.marks: list[str] = []
        self.clears = 0

    @property
    def audio(self) -> bytes:
        return b"".join(self.sent)

    def send(self, audio: bytes) -> None:
        self.sent.append(audio)

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def clear(self) -> None:
        self.clears += 1

    async def hang_up(self) -> None: ...

    async def transfer(self, target: str) -> None: ...

    def send_digits(self, digits: str) -> None: ...

    def close(self) -> None: ...


class Beat(Ticker):
    """A ticker that beats when told to."""

    def __init__(self) -> None:
        self.members: list[Tick] = []

    def add(self, tick: Tick) -> None:
        if tick not in self.members:
            self.members.append(tick)

    def remove(self, tick: Tick) -> None:
        if tick in self.members:
            self.members.remove(tick)


class Scene:
    """A playout with time in the test's hand."""

    def __init__(self, line: Line | None = None) -> None:
        self.line = line or Line()
        self.beat = Beat()
        self.counters = CallCounters()
        self.drained: list[float] = []
        self.heard_at: list[tuple[bytes, float]] = []
        self.now_ms = 1_000.0
        self.playout = Playout(
            self.line, self.beat, self.counters,
            lambda audio, at_ms: self.heard_at.append((audio, at_ms)),
            lambda: self.drained.append(self.now_ms),
        )  # fmt: skip
        self.playout.begin(1)

    def write(self, audio: bytes, generation: int = 1, words: tuple[WordTime, ...] = ()) -> None:
        self.playout.write(generation, audio, self.now_ms, words)

    def run(self, duration_ms: float) -> None:
        """Beat every 20 ms."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms += 20.0
            for tick in tuple(self.beat.members):
                tick(self.now_ms)

    def finish(self, generation: int = 1) -> None:
        self.playout.finish(generation, self.now_ms)


def audio(duration_ms: int) -> bytes:
    """Distinct bytes, so that a lost or doubled frame shows."""
    return b"".join((number % 2**16).to_bytes(2, "big") * (FRAME // 2) for number in range(duration_ms // 20))


def test_the_first_audio_leaves_in_the_call_that_brings_it() -> None:
    scene = Scene()
    scene.write(audio(20))
    assert scene.line.sent == [audio(20)]
    assert scene.heard_at == [(audio(20), 1_000.0)]


def test_sending_runs_ahead_by_the_lead_and_no_further() -> None:
    scene = Scene()
    scene.write(audio(3_000))
    assert len(scene.line.audio) == 10 * FRAME
    for _ in range(100):
        scene.run(20)
        assert 80.0 <= scene.playout.ledger.far_ms(scene.now_ms) <= 200.0
    assert scene.line.audio == audio(3_000)[: len(scene.line.audio)]


def test_under_way_whole_messages_are_sent_not_single_frames() -> None:
    scene = Scene()
    scene.write(audio(3_000))
    scene.finish()
    scene.run(3_100)
    assert [len(sent) // FRAME for sent in scene.line.sent] == [10, *[5] * 28]
    assert scene.counters.frames_out == 150
    assert scene.counters.underruns == 0


def test_a_late_beat_is_caught_up() -> None:
    scene = Scene()
    scene.write(audio(2_000))
    scene.now_ms += 150.0
    scene.run(20)
    assert scene.playout.ledger.far_ms(scene.now_ms) >= 180.0
    assert scene.counters.underruns == 0


def test_a_far_end_that_ran_dry_is_counted_once_and_refilled() -> None:
    scene = Scene()
    scene.write(audio(200))
    scene.run(500)
    scene.write(audio(400))
    scene.run(100)
    assert scene.counters.underruns == 1
    assert scene.heard_at[1][1] == 1_500.0


def test_a_reply_that_ends_late_without_more_audio_is_no_underrun() -> None:
    scene = Scene()
    scene.write(audio(200))
    scene.run(500)
    scene.finish()
    scene.run(100)
    assert scene.counters.underruns == 0
    assert scene.drained


def test_only_the_very_end_is_filled_up_with_silence() -> None:
    scene = Scene()
    scene.write(b"\x01" * 100)
    scene.playout.sentence_ended(1)
    assert scene.line.sent == []
    scene.write(b"\x02" * 100)
    assert scene.line.audio == b"\x01" * 100 + b"\x02" * 60
    scene.finish()
    assert scene.line.audio == b"\x01" * 100 + b"\x02" * 100 + b"\xff" * 120


@pytest.mark.parametrize("line_format", [PCMU_8K, PCMA_8K, G722_16K, linear(16_000)])
def test_each_format_is_sent_in_whole_frames(line_format: AudioFormat) -> None:
    scene = Scene(Line(line_format))
    scene.write(b"\x10" * (line_format.frame_bytes + 2))
    scene.finish()
    scene.run(100)
    assert len(scene.line.audio) == 2 * line_format.frame_bytes
    assert scene.drained == [1_040.0]


def test_a_line_without_lead_gets_one_frame_per_beat() -> None:
    scene = Scene(Line(lead_ms=0.0))
    scene.write(audio(400))
    scene.finish()
    for _ in range(10):
        scene.run(20)
        assert scene.playout.ledger.far_ms(scene.now_ms) <= 30.0
    assert len(scene.line.sent) == 11
    scene.run(400)
    assert scene.line.audio == audio(400)


@pytest.mark.parametrize("first_beat_ms", [1.0, 5.0, 9.0, 15.0, 19.0])
def test_an_uneven_beat_is_no_underrun_on_a_line_without_lead(first_beat_ms: float) -> None:
    scene = Scene(Line(lead_ms=0.0))
    scene.write(audio(2_000))
    scene.now_ms += first_beat_ms - 20.0
    for number in range(50):
        scene.now_ms += 3.0 if number % 2 else -3.0
        scene.run(20)
    assert scene.counters.underruns == 0
    assert len(scene.line.sent) >= 49


def stalled(stall_ms: float) -> Scene:
    """A line without lead whose beat stands still for a while, after 10 frames."""
    scene = Scene(Line(lead_ms=0.0))
    scene.write(audio(2_000))
    scene.run(180)
    assert len(scene.line.audio) == 10 * FRAME
    scene.now_ms += stall_ms
    return scene


@pytest.mark.parametrize(("stall_ms", "burst"), [(10, 1), (20, 2), (35, 2), (60, 4)])
def test_a_line_without_lead_catches_up_after_a_stall(stall_ms: int, burst: int) -> None:
    scene = stalled(stall_ms)
    scene.run(20)
    assert len(scene.line.audio) == (10 + burst) * FRAME
    scene.now_ms -= stall_ms % 20  # beats are on an absolute grid: the one after a late one comes early
    began_ms, before = scene.now_ms, len(scene.line.audio)
    scene.run(400)
    assert len(scene.line.audio) - before == 20 * FRAME
    # Each frame leaves when it would have left without the stall.
    assert len(scene.line.audio) // FRAME == (began_ms + 400 - 1_000) / 20 + 1
    assert scene.line.audio == audio(2_000)[: len(scene.line.audio)]


def test_many_small_delays_do_not_add_up_on_a_line_without_lead() -> None:
    scene = Scene(Line(lead_ms=0.0))
    scene.write(audio(4_000))
    for number in range(100):
        late_ms = 18.0 if number % 4 == 3 else 0.0
        scene.now_ms += late_ms
        scene.run(20)
        scene.now_ms -= late_ms
    assert len(scene.line.audio) == 101 * FRAME


def test_a_longer_stall_is_a_gap_and_no_burst_follows_it() -> None:
    scene = stalled(100)
    scene.run(20)
    assert len(scene.line.audio) == 11 * FRAME
    scene.run(200)
    assert len(scene.line.audio) == 21 * FRAME
    assert scene.counters.underruns == 1


def test_audio_that_came_late_is_not_hurried_on_a_line_without_lead() -> None:
    scene = Scene(Line(lead_ms=0.0))
    scene.write(audio(200))
    scene.run(250)
    scene.write(audio(400))
    assert len(scene.line.audio) == 11 * FRAME
    scene.run(100)
    assert len(scene.line.audio) == 16 * FRAME


# --- its end -------------------------------------------------------------------------------------------


def test_a_reply_is_over_when_it_was_heard_not_when_it_was_sent() -> None:
    scene = Scene()
    scene.write(audio(200))
    scene.finish()
    scene.run(180)
    assert (scene.drained, scene.playout.active) == ([], True)
    scene.run(20)
    assert (scene.drained, scene.playout.active) == ([1_200.0], False)
    assert scene.beat.members == []


def test_a_reply_without_audio_is_over_at_once() -> None:
    scene = Scene()
    scene.finish()
    scene.run(20)
    assert scene.drained == [1_020.0]


def test_where_the_far_end_answers_marks_the_last_one_is_waited_for() -> None:
    # A hang-up that goes by the estimate cuts the goodbye by the network's delay.
    scene = Scene()
    scene.playout.ledger._answers = True
    scene.write(audio(200))
    scene.finish()
    scene.run(300)
    assert not scene.drained
    scene.playout.ledger.mark_returned(scene.line.marks[-1], scene.now_ms)
    scene.run(20)
    assert scene.drained == [1_320.0]


def test_a_last_mark_that_never_comes_is_waited_for_only_so_long() -> None:
    scene = Scene()
    scene.playout.ledger._answers = True
    scene.write(audio(200))
    scene.finish()
    scene.run(1_000)
    assert scene.drained == [1_200.0 + MARK_PATIENCE_MS]


def test_each_sentence_has_a_mark_behind_its_audio() -> None:
    scene = Scene()
    scene.playout.text(1, "One.")
    scene.write(audio(100))
    scene.playout.sentence_ended(1)
    assert len(scene.line.marks) == 1
    scene.playout.text(1, "Two.")
    scene.write(audio(400))
    scene.playout.sentence_ended(1)
    assert len(scene.line.marks) == 1
    scene.run(300)
    assert len(scene.line.marks) == 2
    scene.finish()
    assert len(set(scene.line.marks)) == 3


# --- interruption --------------------------------------------------------------------------------------


def test_a_pause_clears_the_far_buffer_and_sends_nothing_more() -> None:
    scene = Scene()
    scene.write(audio(1_000))
    scene.run(100)
    sent = len(scene.line.sent)
    scene.playout.pause(scene.now_ms)
    assert scene.line.clears == 1
    scene.write(audio(1_000))
    scene.run(500)
    assert len(scene.line.sent) == sent
    assert scene.playout.paused


def test_a_mark_behind_each_clear_tells_when_the_far_end_has_carried_it_out() -> None:
    scene = Scene()
    scene.write(audio(1_000))
    scene.run(100)
    scene.playout.pause(scene.now_ms)
    first = scene.line.marks[-1]
    scene.playout.resume(scene.now_ms)
    scene.playout.cancel(scene.now_ms)
    assert scene.line.clears == 2
    assert scene.line.marks[-1] != first
    assert scene.playout.flush.returned(scene.line.marks[-1], scene.now_ms + 70.0) == 70.0


def test_a_line_without_a_far_buffer_has_nothing_to_flush() -> None:
    scene = Scene(Line(lead_ms=0.0))
    scene.write(audio(1_000))
    scene.run(100)
    scene.playout.pause(scene.now_ms)
    assert scene.line.clears == 1
    assert scene.line.marks == []


def test_a_resume_goes_on_at_the_word_that_was_cut() -> None:
    scene = Scene()
    scene.playout.text(1, "one two three")
    scene.write(audio(1_000), words=(WordTime(0, 0.0), WordTime(4, 290.0), WordTime(8, 700.0)))
    scene.run(500)
    scene.playout.pause(scene.now_ms)
    scene.run(2_000)
    before = len(scene.line.audio)
    scene.playout.resume(scene.now_ms)
    again = scene.line.audio[before:]
    assert again == audio(1_000)[14 * FRAME :][: len(again)]  # 280 ms, the frame that holds the word's start
    scene.run(1_000)
    assert scene.line.audio[before:] == audio(1_000)[14 * FRAME :]
    assert scene.counters.underruns == 0


def test_a_reply_finished_while_paused_is_heard_out_after_the_resume() -> None:
    scene = Scene()
    scene.write(audio(400))
    scene.run(100)
    scene.playout.pause(scene.now_ms)
    scene.finish()
    scene.run(2_000)
    assert not scene.drained
    scene.playout.resume(scene.now_ms)
    scene.run(600)
    assert len(scene.drained) == 1
    assert scene.line.marks


def test_pause_and_resume_twice_do_no_more_than_once() -> None:
    scene = Scene()
    scene.write(audio(400))
    scene.playout.resume(scene.now_ms)
    scene.playout.pause(scene.now_ms)
    scene.playout.pause(scene.now_ms)
    assert scene.line.clears == 1


def test_a_cancel_tells_what_was_heard_and_drops_the_rest() -> None:
    scene = Scene()
    scene.playout.text(1, "We open at nine.")
    scene.write(audio(1_000))
    scene.playout.sentence_ended(1)
    scene.run(500)
    heard = scene.playout.cancel(scene.now_ms)
    assert (heard.text, heard.ms) == ("We open", 500.0)
    assert scene.line.clears == 1
    assert not scene.playout.active
    sent = len(scene.line.sent)
    scene.write(audio(100))
    scene.finish()
    scene.run(500)
    assert len(scene.line.sent) == sent
    assert scene.counters.stale_chunks == 1
    assert scene.drained == []


def test_a_reply_that_was_heard_out_needs_no_clear() -> None:
    scene = Scene()
    scene.write(audio(100))
    scene.finish()
    scene.run(200)
    scene.playout.cancel(scene.now_ms)
    assert scene.line.clears == 0


def test_no_stale_syllable_follows_an_interruption() -> None:
    scene = Scene()
    scene.write(audio(1_000))
    scene.playout.cancel(scene.now_ms)
    scene.playout.begin(3)
    sent = len(scene.line.sent)
    scene.write(audio(200), generation=1)
    scene.playout.sentence_ended(1)
    scene.finish(1)
    scene.write(audio(200), generation=2)
    assert scene.line.sent[sent:] == []
    assert scene.counters.stale_chunks == 2
    scene.write(b"\x33" * FRAME, generation=3)
    assert scene.line.sent[sent:] == [b"\x33" * FRAME]


def test_audio_behind_the_end_of_a_reply_is_dropped_and_counted() -> None:
    scene = Scene()
    scene.finish()
    scene.write(audio(100))
    assert scene.line.sent == []
    assert scene.counters.stale_chunks == 1


# --- another line --------------------------------------------------------------------------------------


def test_another_line_of_the_call_hears_the_rest() -> None:
    scene = Scene()
    scene.playout.text(1, "We open at nine, and so on.")
    scene.write(audio(2_000))
    scene.run(1_000)
    line = Line()
    scene.playout.replace_line(line, scene.now_ms)
    scene.finish()
    scene.run(2_000)
    assert line.audio == audio(2_000)[-len(line.audio) :]
    assert len(line.audio) == 65 * FRAME  # a second and the word before
    assert len(scene.drained) == 1


def test_another_line_in_another_format_hears_the_same() -> None:
    scene = Scene(Line(linear(8_000)))
    tone = b"\x00\x20" * 8_000
    scene.write(tone)
    scene.finish()
    scene.run(400)
    line = Line(PCMA_8K)
    scene.playout.replace_line(line, scene.now_ms)
    scene.run(1_000)
    assert len(line.audio) == 30 * FRAME
    assert set(line.audio) == {0xB5}  # A-law of 0x2000
    assert len(scene.drained) == 1


def test_memory_of_a_long_reply_is_bounded() -> None:
    scene = Scene()
    for _ in range(120):
        scene.write(audio(1_000))
        scene.run(1_000)
        assert len(scene.playout._audio) <= (2 * KEEP_BEHIND_MS + 2_000) * 8
    scene.finish()
    scene.run(500)
    assert len(scene.line.audio) == 120_000 * 8


def test_a_resume_far_into_a_long_reply_finds_its_audio() -> None:
    scene = Scene()
    whole = audio(60_000)
    scene.playout.text(1, "All that there is to say.")
    scene.write(whole)
    scene.run(50_000)
    scene.playout.pause(scene.now_ms)
    before = len(scene.line.audio)
    scene.playout.resume(scene.now_ms)
    scene.run(11_000)
    assert scene.line.audio[before:] == whole[-(len(scene.line.audio) - before) :]
    assert len(scene.line.audio) - before == (10_000 + 300) * 8


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "run", "pause", "resume", "sentence"]), st.integers(1, 900)),
    max_size=25,
)


@given(STEPS, st.sampled_from([0.0, 100.0, 200.0]))
def test_whatever_happens_every_byte_arrives_and_the_reply_ends(
    steps: list[tuple[str, int]], lead_ms: float
) -> None:
    scene = Scene(Line(lead_ms=lead_ms))
    written = b""
    for step, size in steps:
        if step == "write":
            piece = bytes((len(written) + number) // FRAME % 251 for number in range(size * 8))
            written += piece
            scene.write(piece)
        elif step == "run":
            scene.run(size)
        elif step == "pause":
            scene.playout.pause(scene.now_ms)
        elif step == "resume":
            scene.playout.resume(scene.now_ms)
        else:
            scene.playout.sentence_ended(1)
        assert scene.playout.ledger.far_ms(scene.now_ms) <= max(lead_ms, 30.0)
        assert all(len(sent) % FRAME == 0 and len(sent) <= 10 * FRAME for sent in scene.line.sent)
    scene.playout.resume(scene.now_ms)
    scene.finish()
    scene.run(len(written) / 8 + 4_000)
    padded = written + b"\xff" * (-len(written) % FRAME)
    # Resumes send some of it twice; what is heard is whole and in order all the same.
    assert scene.line.audio.endswith(padded[-FRAME:])
    assert scene.playout.ledger.position_ms(scene.now_ms) == len(padded) / 8
    if scene.line.clears == 0:
        assert scene.line.audio == padded
    assert len(scene.drained) == 1
    assert scene.beat.members == []
