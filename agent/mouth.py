"""How a reply gets to a caller's ear: text in, speech out (`agent.text_mouth`: text out).

A mouth serves one call and speaks one utterance at a time. `write` and `end` are plain calls, made while the
model generates; `speak` is the reply's second coroutine, which synthesises sentence by sentence and stays a
bounded few seconds ahead of what is heard.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from agent.agentfile.schema import Voice
from agent.audio.codec import Decoder, make_decoder
from agent.audio.convert import Converter, make_converter
from agent.audio.formats import Encoding
from agent.budgets import NONE, Deadlines
from agent.chains import TTSChain, sounds
from agent.clock import Clock
from agent.errors import ProviderError
from agent.latency import CallCounters, Stage, TurnMarks
from agent.ledger import Heard
from agent.lines import MediaLine
from agent.playout import Beat, Playout
from agent.providers import SpeechChunk, SpeechRequest
from agent.race import Race
from agent.records import TurnRecord
from agent.sentences import SentenceSplitter
from agent.turns.echo import EchoGuard

AHEAD_MS = 5_000.0
"""Speech synthesised ahead of what is heard: covers a slow provider's next sentence, and is all that a
barge-in can waste."""
MAX_UTTERANCE_CHARS = 8_000
"""Text of one utterance beyond this is dropped: about ten minutes of speech that nobody asked for."""
_COMPANDED = (Encoding.PCMU, Encoding.PCMA)
Position = Literal["only", "first", "middle", "last", "more"]
"""See `agent.providers.SpeechRequest.position`."""


class MouthListener(Protocol):
    """What a mouth tells its call."""

    def sound(self, generation: int) -> None:
        """The first audio (or text) of the utterance was handed to the line."""

    def heard_out(self, generation: int) -> None:
        """The utterance was ended and has been heard to its end."""


class Mouth(Protocol):
    """What a call and its reply ask of a mouth."""

    @property
    def generation(self) -> int:
        """The current utterance; another number once that was cancelled."""

    @property
    def synthesises(self) -> bool:
        """There is work in `speak`; without it, text is on its way when it is written."""

    def begin(self, generation: int, language: str, marks: TurnMarks, record: TurnRecord) -> None:
        """A new utterance; anything of an earlier one that still comes is dropped."""

    def write(self, text: str) -> None:
        """Text to speak, as generated."""

    def fill(self, text: str) -> bool:
        """Say a whole sentence that is no part of the reply, since that is late.

        False, and not said, if there is something else to say already, or if the caller is speaking.
        """

    def switch_language(self, language: str) -> None:
        """What is written from now on is in `language`."""

    def end(self) -> None:
        """The text is complete."""

    async def speak(self) -> None:
        """Carry the text to the line until it is all handed over. Raises `ProviderError`."""

    @property
    def waiting(self) -> bool:
        """Something of the utterance waits to be handed to the line."""

    def pause(self) -> None:
        """Silence now; keep what was not heard."""

    def resume(self) -> None:
        """Go on where the caller stopped hearing."""

    def hold(self) -> None:
        """The line is gone: keep what was not heard for the one that takes its place."""

    def cancel(self) -> Heard:
        """Drop the utterance. Returns what was heard of it."""

    def heard(self) -> Heard:
        """What has been heard of the utterance so far."""

    def close(self) -> None:
        """The call is over."""


class MediaMouth:
    """Speaks over a media line: speech synthesis into the playout."""

    synthesises = True

    def __init__(
        self,
        line: MediaLine,
        tts: TTSChain,
        voices: dict[str, Voice],
        ticker: Beat,
        clock: Clock,
        counters: CallCounters,
        listener: MouthListener,
        deadlines: Deadlines | None = None,
    ) -> None:
        """`deadlines`: the call's budgets, if it has any."""
        self._line = line
        self._tts = tts
        self._voices = voices
        self._clock = clock
        self._listener = listener
        self._deadlines = deadlines
        self._playout = Playout(line, ticker, counters, self._sent, self._drained)
        self._splitter = SentenceSplitter()
        self._pieces: list[tuple[str, str]] = []  # language and text
        self._wake = asyncio.Event()
        self._ended = True
        self._failed = False
        self._held = False  # the line is gone
        self._resumes = False  # ... and what waits goes on when there is another
        self._chars = 0
        self._asked = 0  # pieces of this utterance that went to synthesis
        self._filler = ""  # what was said, since the reply was late, until that sounds
        self._slow: list[str] = []  # providers that were too slow: one utterance has one voice
        self._language = ""
        self._marks = TurnMarks()
        self._record = TurnRecord(0, 0.0, "")
        self._sounded = True
        self._reference: Decoder = make_decoder(line.outbound)
        self.echo = (
            EchoGuard(line.outbound.rate_hz) if line.outbound.rate_hz == line.inbound.rate_hz else None
        )
        """Knows what was played. None where the line's directions differ in rate: then words alone decide."""

    @property
    def generation(self) -> int:
        """The current utterance."""
        return self._playout.generation

    def begin(self, generation: int, language: str, marks: TurnMarks, record: TurnRecord) -> None:
        self._playout.begin(generation)
        self._splitter = SentenceSplitter()
        self._pieces.clear()
        self._wake.clear()
        self._ended = self._sounded = self._failed = False
        self._chars = self._asked = 0
        self._filler = ""
        self._slow = []
        self._language = language
        self._marks = marks
        self._record = record
        if self._held:
            self._resumes = True
            self._playout.pause(self._clock.now_ms())

    def switch_language(self, language: str) -> None:
        rest = self._splitter.flush()
        if rest:
            self._add([rest])
        self._splitter = SentenceSplitter()
        self._language = language

    def write(self, text: str) -> None:
        if self._ended or self._chars > MAX_UTTERANCE_CHARS:
            return
        self._chars += len(text)
        pieces = self._splitter.feed(text)
        if pieces:
            self._add(pieces)

    def fill(self, text: str) -> bool:
        if self._ended or self._playout.paused or self._marks.llm_first_sentence_ms is not None:
            return False
        self._filler = text
        self._pieces.append((self._language, text))
        self._wake.set()
        return True

    def end(self) -> None:
        if self._ended:
            return
        rest = self._splitter.flush()
        if rest:
            self._add([rest])
        self._ended = True
        self._wake.set()

    async def speak(self) -> None:
        generation = self.generation
        while True:
            while not self._pieces and not self._ended:
                self._wake.clear()
                await self._wake.wait()
            if not self._pieces:
                break
            try:
                await self._synthesise(generation, *self._pieces.pop(0))
            except ProviderError:
                # What was spoken before is still heard to its end.
                self._failed = self._ended = True
                self._pieces.clear()
                self._playout.finish(generation, self._clock.now_ms())
                raise
            await self._room()
        self._playout.finish(generation, self._clock.now_ms())

    @property
    def waiting(self) -> bool:
        return self._playout.waiting

    def pause(self) -> None:
        now_ms = self._clock.now_ms()
        self._resumes = False
        self._playout.pause(now_ms)
        if self.echo is not None:
            self.echo.cleared(now_ms)

    def resume(self) -> None:
        if self._held:
            self._resumes = True
        else:
            self._playout.resume(self._clock.now_ms())

    def cancel(self) -> Heard:
        now_ms = self._clock.now_ms()
        heard = self._playout.cancel(now_ms)
        self._ended = True
        self._pieces.clear()
        if self.echo is not None:
            self.echo.cleared(now_ms)
        return heard

    def heard(self) -> Heard:
        heard = self._playout.ledger.heard(self._clock.now_ms())
        if heard.complete and (self._failed or self._pieces):
            return Heard(heard.text, heard.ms, complete=False)
        return heard

    def hold(self) -> None:
        if not self._held:
            resumes = not self._playout.paused
            self.pause()
            self._held, self._resumes = True, resumes

    def mute_ms(self, now_ms: float) -> float | None:
        """See `Playout.mute_ms`."""
        return self._playout.mute_ms(now_ms)

    def nudge(self) -> None:
        """See `Playout.nudge`."""
        self._playout.nudge(self._clock.now_ms())

    def marked(self, name: str) -> float | None:
        """A mark came back from the line. Answers a `clear`: how long that took, ms; else None."""
        now_ms = self._clock.now_ms()
        self._playout.ledger.mark_returned(name, now_ms)
        return self._playout.flush.returned(name, now_ms)

    def replace_line(self, line: MediaLine) -> None:
        """Go on over another socket of the same call."""
        self._line = line
        self._reference = make_decoder(line.outbound)
        self._playout.replace_line(line, self._clock.now_ms())
        if self._held:
            self._held = False
            if self._resumes:
                self.resume()

    def close(self) -> None:
        self._playout.close()

    def _add(self, pieces: list[str]) -> None:
        if self._marks.llm_first_sentence_ms is None:
            self._marks.llm_first_sentence_ms = self._clock.now_ms()
        self._pieces.extend((self._language, piece) for piece in pieces)
        self._wake.set()

    async def _synthesise(self, generation: int, language: str, text: str) -> None:
        voice = self._voices.get(language) or Voice()
        target = self._line.outbound
        request = SpeechRequest(
            text, language, target, voice.name, voice.speed, f"{id(self)}.{generation}", self._position()
        )
        converter: Converter | None = None
        self._playout.text(generation, text)
        chunks = self._speech(request)
        try:
            async for chunk in chunks:
                now_ms = self._clock.now_ms()
                if self._marks.tts_first_audio_ms is None:
                    self._marks.tts_first_audio_ms = now_ms
                    self._in_time()
                if self._filler not in ("", text):
                    self._filler = ""
                    self._playout.rest()
                audio = chunk.audio
                if self._line.outbound != target:
                    # Another socket in another format, in the middle of a sentence.
                    target, converter = self._line.outbound, None
                if chunk.format != target:
                    converter = converter or make_converter(chunk.format, target)
                    audio = converter.convert(audio)
                self._playout.write(generation, audio, now_ms, chunk.words)
            if converter is not None:
                self._playout.write(generation, converter.flush(), self._clock.now_ms())
        finally:
            self._in_time()
            await chunks.aclose()
        self._playout.sentence_ended(generation)

    def _speech(self, request: SpeechRequest) -> AsyncGenerator[SpeechChunk, None]:
        """Synthesis of a piece. An utterance's first one is timed, and may be overtaken."""
        if self._marks.tts_asked_ms is not None:
            return self._tts.speak(request, self._served, list(self._slow))
        now_ms = self._marks.tts_asked_ms = self._clock.now_ms()
        deadlines, blown = self._deadlines, self._record.blown
        if deadlines is None or deadlines.action(Stage.TTS_FIRST_AUDIO) == NONE:
            if deadlines is not None:
                deadlines.begin(Stage.TTS_FIRST_AUDIO, now_ms, blown, lambda _: False)
            return self._tts.speak(request, self._served)
        race: Race[SpeechChunk] = Race(sounds)
        tried: list[str] = []

        def served(name: str) -> None:
            if race.open:
                self._slow = [each for each in tried if each != name]
                self._served(name)

        def next_provider(_: str) -> bool:
            if race.open:
                race.join(self._tts.speak(request, served, tried))
            return race.open

        race.join(self._tts.speak(request, served, tried))
        deadlines.begin(Stage.TTS_FIRST_AUDIO, now_ms, blown, next_provider)
        return race.items()

    def _in_time(self) -> None:
        if self._deadlines is not None:
            self._deadlines.end(Stage.TTS_FIRST_AUDIO)

    def _position(self) -> Position:
        """Of the piece that goes to synthesis now, as far as what is written by now tells."""
        first, self._asked = self._asked == 0, self._asked + 1
        if self._pieces:
            return "first" if first else "middle"
        if self._ended:
            return "only" if first else "last"
        return "more"

    async def _room(self) -> None:
        """Wait while enough is ahead of the caller's ear. The turn's ceiling bounds it."""
        while (ahead_ms := self._playout.ahead_ms(self._clock.now_ms())) > AHEAD_MS:
            await self._clock.sleep(ahead_ms - AHEAD_MS + 20.0)

    def _served(self, name: str) -> None:
        self._record.providers["tts"] = name

    def _sent(self, audio: bytes, plays_at_ms: float) -> None:
        if not self._sounded:
            self._sounded = True
            self._marks.first_audio_out_ms = self._clock.now_ms()
            self._listener.sound(self.generation)
        if self.echo is not None:
            if self._line.outbound.encoding in _COMPANDED:
                self.echo.played(audio, plays_at_ms, self._reference)
            else:
                self.echo.played(self._reference.decode(audio), plays_at_ms)

    def _drained(self) -> None:
        self._listener.heard_out(self.generation)
