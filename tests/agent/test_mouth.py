"""How text gets to the caller's ear, over both kinds of line."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from agent.agentfile.schema import Limits, Voice
from agent.audio.formats import PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.chains import TTSChain
from agent.errors import ProviderUnavailable
from agent.latency import CallCounters, TurnMarks
from agent.mouth import AHEAD_MS, MAX_UTTERANCE_CHARS, MediaMouth
from agent.providers import SpeechChunk, SpeechRequest
from agent.records import TurnRecord
from agent.text_mouth import GATHER_MS, TextMouth
from agent.ticker import Ticker
from tests.agent.fakes import FakeLine
from tests.virtual import virtual_clock, virtually

MS_PER_CHAR = 60


class Voicebox:
    """Speech synthesis that takes 60 ms of audio for each character, in chunks of half a second."""

    name = "voicebox"

    def __init__(self, audio: AudioFormat = PCMU_8K) -> None:
        self.audio = audio
        self.first_ms = 80.0
        self.chunk_ms = 0.0
        self.fails_on = ""
        self.asked: list[SpeechRequest] = []
        self.running = 0

    async def warm(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        self.asked.append(request)
        self.running += 1
        try:
            await asyncio.sleep(self.first_ms / 1000)
            left = len(request.text) * MS_PER_CHAR
            while left > 0:
                if self.fails_on and self.fails_on in request.text:
                    raise ProviderUnavailable(self.name, "no")
                size = int(self.audio.bytes_per_ms * min(left, 500))
                yield SpeechChunk(b"\x31" * size, self.audio)
                left -= 500
                await asyncio.sleep(self.chunk_ms / 1000)
        finally:
            self.running -= 1


class Ear(FakeLine):
    """A line that remembers what was sent."""

    def __init__(self, audio: AudioFormat = PCMU_8K) -> None:
        super().__init__("1")
        self.outbound = audio
        self.audio = b""
        self.texts: list[tuple[str, bool]] = []
        self.languages: list[str | None] = []
        self.clears = 0

    def send(self, audio: bytes) -> None:
        self.audio += audio

    def clear(self) -> None:
        self.clears += 1

    def say(self, text: str, *, last: bool, language: str | None = None) -> None:
        self.texts.append((text, last))
        self.languages.append(language)


class Scene:
    """A mouth of each kind and the call that listens to them."""

    def __init__(self, voicebox: Voicebox | None = None) -> None:
        self.clock = virtual_clock()
        self.ticker = Ticker(self.clock)
        self.counters = CallCounters()
        self.voicebox = voicebox or Voicebox()
        self.line = Ear()
        self.sounds: list[int] = []
        self.ends: list[tuple[int, float]] = []
        self.marks = TurnMarks()
        self.record = TurnRecord(1, 0.0, "en-US")
        self.began_ms = self.clock.now_ms()
        voices = {"en-US": Voice(name="amy", speed=1.1)}
        chain = TTSChain([self.voicebox], Limits())
        self.mouth = MediaMouth(self.line, chain, voices, self.ticker, self.clock, self.counters, self)
        self.text_mouth = TextMouth(self.line, self.clock, self)

    def sound(self, generation: int) -> None:
        self.sounds.append(generation)

    def heard_out(self, generation: int) -> None:
        self.ends.append((generation, self.clock.now_ms() - self.began_ms))

    def begin(self, mouth: MediaMouth | TextMouth, generation: int = 1) -> None:
        mouth.begin(generation, "en-US", self.marks, self.record)

    async def wait(self, duration_ms: float) -> None:
        await self.clock.sleep(duration_ms)


@contextmanager
def staged(voicebox: Voicebox | None = None) -> Iterator[Scene]:
    scene = Scene(voicebox)
    yield scene
    scene.mouth.close()
    scene.text_mouth.close()
    scene.ticker.close()
    assert scene.voicebox.running == 0


# --- media lines ---------------------------------------------------------------------------------------


@virtually
async def test_the_first_sentence_sounds_while_the_second_is_still_being_generated() -> None:
    with staged() as scene:
        scene.begin(scene.mouth)
        speaking = asyncio.create_task(scene.mouth.speak())
        scene.mouth.write("We are open. ")
        await scene.wait(100)
        assert scene.sounds == [1]
        assert len(scene.line.audio) == 200 * 8
        # First audio is with the socket in the call that brought it.
        assert scene.marks.tts_first_audio_ms == scene.marks.first_audio_out_ms
        scene.mouth.write("Until six.")
        scene.mouth.end()
        await speaking
        assert [request.text for request in scene.voicebox.asked] == ["We are open.", "Until six."]
        assert scene.record.providers == {"tts": "voicebox"}
        request = scene.voicebox.asked[0]
        assert (request.voice, request.speed, request.language) == ("amy", 1.1, "en-US")
        await scene.wait(5_000)
        assert len(scene.line.audio) == 22 * MS_PER_CHAR * 8
        ((generation, after_ms),) = scene.ends
        assert generation == 1
        assert after_ms == pytest.approx(80 + 22 * MS_PER_CHAR, abs=25)
        assert scene.counters.underruns == 0


@virtually
async def test_a_piece_says_where_in_the_utterance_it_stands_as_far_as_that_is_known() -> None:
    with staged() as scene:
        scene.begin(scene.mouth)
        speaking = asyncio.create_task(scene.mouth.speak())
        scene.mouth.write("One. ")
        await scene.wait(50)
        scene.mouth.write("Two. Three. Four. ")
        scene.mouth.end()
        await speaking
        scene.begin(scene.mouth, 2)
        scene.mouth.write("Alone.")
        scene.mouth.end()
        await scene.mouth.speak()
        scene.begin(scene.mouth, 3)
        scene.mouth.write("Five. Six. ")
        speaking = asyncio.create_task(scene.mouth.speak())
        await scene.wait(50)
        scene.mouth.end()
        await speaking
        assert [(request.text, request.position) for request in scene.voicebox.asked] == [
            ("One.", "more"), ("Two.", "middle"), ("Three.", "middle"), ("Four.", "last"),
            ("Alone.", "only"),
            ("Five.", "first"), ("Six.", "last"),
        ]  # fmt: skip
        assert len({request.context for request in scene.voicebox.asked}) == 3
        await scene.wait(5_000)


@virtually
async def test_speech_in_another_format_is_converted() -> None:
    with staged(Voicebox(linear(24_000))) as scene:
        scene.begin(scene.mouth)
        scene.mouth.write("We are open.")
        scene.mouth.end()
        await scene.mouth.speak()
        await scene.wait(5_000)
        assert len(scene.line.audio) / 8 == pytest.approx(12 * MS_PER_CHAR, abs=20)


@virtually
async def test_synthesis_stays_a_bounded_time_ahead_of_the_ear() -> None:
    with staged() as scene:
        scene.begin(scene.mouth)
        speaking = asyncio.create_task(scene.mouth.speak())
        scene.mouth.write("This sentence takes about three seconds, I think. " * 20)
        scene.mouth.end()
        await scene.wait(1_000)
        assert len(scene.voicebox.asked) <= 4
        scene.mouth.cancel()
        speaking.cancel()
        await asyncio.wait({speaking})
        assert scene.voicebox.running == 0
        ahead_ms = len(scene.voicebox.asked) * 50 * MS_PER_CHAR
        assert ahead_ms <= AHEAD_MS + 2 * 50 * MS_PER_CHAR


@virtually
async def test_a_cancelled_utterance_tells_what_was_heard_and_is_silent() -> None:
    with staged() as scene:
        scene.begin(scene.mouth)
        speaking = asyncio.create_task(scene.mouth.speak())
        scene.mouth.write("We are open. Until six. ")
        await scene.wait(80 + 300)
        heard = scene.mouth.cancel()
        speaking.cancel()
        await asyncio.wait({speaking})
        sent = len(scene.line.audio)
        assert (heard.text, heard.complete) == ("We are", False)
        assert scene.line.clears == 1
        scene.mouth.write("More. ")
        scene.mouth.end()
        await scene.wait(3_000)
        assert len(scene.line.audio) == sent
        assert scene.ends == []
        assert len(scene.voicebox.asked) <= 2


@virtually
async def test_a_barge_in_while_synthesis_is_slow_does_not_claim_the_whole_sentence() -> None:
    with staged() as scene:
        scene.voicebox.chunk_ms = 2_000.0
        scene.begin(scene.mouth)
        speaking = asyncio.create_task(scene.mouth.speak())
        scene.mouth.write("We are open from Monday to Friday, and closed on all other days. ")
        await scene.wait(1_500)
        heard = scene.mouth.cancel()
        speaking.cancel()
        await asyncio.wait({speaking})
        assert heard.text in ("We are", "We are open")


@virtually
async def test_a_paused_utterance_goes_on_and_ends() -> None:
    with staged() as scene:
        scene.begin(scene.mouth)
        scene.mouth.write("We are open until six.")
        scene.mouth.end()
        await scene.mouth.speak()
        await scene.wait(300)
        scene.mouth.pause()
        sent = len(scene.line.audio)
        await scene.wait(2_000)
        assert len(scene.line.audio) == sent
        assert scene.ends == []
        scene.mouth.resume()
        await scene.wait(3_000)
        assert [generation for generation, _ in scene.ends] == [1]
        assert scene.mouth.heard().complete


@virtually
async def test_when_synthesis_fails_what_was_spoken_before_is_heard_out() -> None:
    with staged() as scene:
        scene.voicebox.fails_on = "Until"
        scene.begin(scene.mouth)
        scene.mouth.write("We are open. Until six. And so on.")
        scene.mouth.end()
        with pytest.raises(ProviderUnavailable):
            await scene.mouth.speak()
        scene.mouth.end()
        await scene.wait(3_000)
        assert len(scene.ends) == 1
        heard = scene.mouth.heard()
        assert (heard.text, heard.complete) == ("We are open.", False)


@virtually
async def test_a_babbling_model_is_cut_off() -> None:
    with staged() as scene:
        scene.begin(scene.mouth)
        for _ in range(100):
            scene.mouth.write("word " * 100)
        assert sum(len(text) for _, text in scene.mouth._pieces) <= MAX_UTTERANCE_CHARS + 500
        scene.mouth.cancel()
        await scene.wait(0)


@virtually
async def test_a_language_switch_speaks_what_was_written_before_in_the_old_one() -> None:
    with staged() as scene:
        scene.begin(scene.mouth)
        scene.mouth.write("One moment")
        scene.mouth.switch_language("es-ES")
        scene.mouth.write("Buenos días.")
        scene.mouth.end()
        await scene.mouth.speak()
        spoken = [(request.language, request.text) for request in scene.voicebox.asked]
        assert spoken == [("en-US", "One moment"), ("es-ES", "Buenos días.")]
        assert scene.voicebox.asked[1].voice is None
        await scene.wait(5_000)


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K])
@virtually
async def test_another_line_hears_the_rest(audio: AudioFormat) -> None:
    with staged() as scene:
        scene.voicebox.chunk_ms = 400.0
        scene.begin(scene.mouth)
        scene.mouth.write("We are open from Monday to Friday until six.")
        scene.mouth.end()
        speaking = asyncio.create_task(scene.mouth.speak())
        await scene.wait(1_000)
        scene.mouth.hold()
        await scene.wait(500)
        other = Ear(audio)
        scene.mouth.replace_line(other)
        await speaking
        await scene.wait(5_000)
        whole_ms = 44 * MS_PER_CHAR
        assert len(other.audio) / 8 == pytest.approx(whole_ms - 1_000 + 80 + 300, abs=60)
        assert set(other.audio) == {0x31} if audio == PCMU_8K else 0x31 not in other.audio
        assert len(scene.ends) == 1


# --- text lines ----------------------------------------------------------------------------------------


@virtually
async def test_the_first_text_goes_out_at_once_and_its_clause_when_that_is_whole() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("We ")
        assert scene.sounds == [1]
        for token in ("are ", "", "open", ", from "):
            mouth.write(token)
        assert scene.line.texts == [("We ", False), ("are open, from ", False)]
        assert not mouth.waiting


@virtually
async def test_what_follows_the_first_clause_goes_out_together_and_closes_the_utterance() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        for token in ("Yes. ", "We ", "are open. ", "From "):
            mouth.write(token)
        waits = [mouth.waiting]
        await scene.wait(GATHER_MS - 1)
        assert scene.line.texts == [("Yes. ", False)]
        await scene.wait(2)
        assert scene.line.texts[1:] == [("We are open. From ", False)]
        assert [*waits, mouth.waiting] == [True, False]
        mouth.write("eight ")
        mouth.write("to six.")
        mouth.end()
        mouth.end()
        assert scene.line.texts[2:] == [("eight to six.", True)]
        await scene.wait(10_000)
        assert len(scene.line.texts) == 3
        assert len(scene.ends) == 1


@virtually
async def test_an_utterance_of_one_text_is_closed_by_an_empty_one() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("We are open.")
        mouth.end()
        assert scene.line.texts == [("We are open.", False), ("", True)]


@virtually
async def test_text_that_has_not_gone_out_yet_is_kept_with_what_was_not_heard() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("Yes. ")
        mouth.write("We are ")
        mouth.pause()
        mouth.write("open.")
        await scene.wait(1_000)
        assert scene.line.texts == [("Yes. ", False)]
        mouth.resume()
        mouth.end()
        assert scene.line.texts[1:] == [("Yes. We are open.", False), ("", True)]


@pytest.mark.parametrize("over", ["cancel", "begin", "close"])
@virtually
async def test_gathered_text_of_a_reply_that_is_over_never_goes_out(over: str) -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("Yes. ")
        mouth.write("We are open.")
        if over == "begin":
            scene.begin(mouth, 2)
        else:
            getattr(mouth, over)()
        await scene.wait(GATHER_MS + 1)
        assert scene.line.texts == [("Yes. ", False)]


@virtually
async def test_an_answer_behind_a_filler_is_not_held_back() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        assert mouth.fill("One moment.")
        mouth.write("We ")
        assert scene.line.texts == [("One moment. ", False), ("We ", False)]


@virtually
async def test_text_before_a_change_of_language_is_said_in_the_old_one() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        for token in ("Yes. ", "In German: "):
            mouth.write(token)
        mouth.switch_language("de-DE")
        mouth.write("Guten Tag.")
        mouth.end()
        assert scene.line.languages == ["en-US", "en-US", "de-DE"]


@virtually
async def test_a_silent_platform_is_given_the_time_to_speak() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("x" * 140)
        mouth.end()
        await scene.wait(60_000)
        ((generation, after_ms),) = scene.ends
        assert generation == 1
        assert after_ms == pytest.approx(10_000 + mouth.END_SLACK_MS, abs=1)


@virtually
async def test_a_platform_that_reports_ends_the_utterance_when_it_was_played() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("We are open.")
        mouth.end()
        mouth.spoke()
        assert scene.ends == []
        mouth.ledger.played("We are open.")
        mouth.spoke()
        assert len(scene.ends) == 1
        await scene.wait(60_000)
        assert len(scene.ends) == 1


@virtually
async def test_a_cancelled_utterance_never_ends_later() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("We are open. We close at six. ")
        mouth.end()
        await scene.wait(400 + 13 / 14 * 1_000)
        assert mouth.cancel().text == "We are open."
        mouth.write("More")
        await scene.wait(60_000)
        assert scene.ends == []
        assert ("More", False) not in scene.line.texts


@virtually
async def test_an_utterance_without_text_is_over_at_once() -> None:
    with staged() as scene:
        scene.begin(scene.text_mouth)
        scene.text_mouth.end()
        await scene.wait(1)
        assert len(scene.ends) == 1
        assert scene.line.texts == []


@virtually
async def test_what_a_lost_text_line_had_not_spoken_is_said_on_the_next_one() -> None:
    with staged() as scene:
        mouth = scene.text_mouth
        scene.begin(mouth)
        mouth.write("We are open. We close ")
        await scene.wait(400 + 13 / 14 * 1_000)
        mouth.hold()
        mouth.write("at six.")
        mouth.end()
        await scene.wait(10_000)
        assert scene.ends == []
        other = Ear()
        mouth.replace_line(other)
        assert "".join(text for text, _ in other.texts) == "We close at six."
        assert other.texts[-1] == ("", True)
        await scene.wait(10_000)
        assert len(scene.ends) == 1
        assert mouth.heard().text == "We are open. We close at six."
