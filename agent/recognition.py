"""One call's recognition, from opening to closing: fed with audio, asked for words, replaced when it fails.

The caller's latest audio is kept all the time, so that a recogniser that opens late, is reopened in another
language, or takes over from one that died hears the utterance from its beginning, and no turn is lost.
"""

import asyncio
import logging
from collections.abc import Callable

from agent.audio.codec import make_decoder
from agent.audio.convert import Converter, make_converter
from agent.audio.formats import AudioFormat, linear
from agent.backlog import Backlog
from agent.chains import OpenedSTT, STTChain
from agent.clock import Clock
from agent.errors import ProviderError
from agent.latency import CallCounters
from agent.providers import Transcript
from agent.scope import CallScope
from agent.transcripts import Ask, TurnText

logger = logging.getLogger(__name__)

PAUSE_MS = 200.0
"""While nobody speaks, audio goes to recognition in pieces of this length: each is a socket write, and nobody
waits for them. The first voiced frame takes what is left along."""
SPEECH_MS = 100.0
"""The same while he speaks. At the end of the turn what is left goes out at once, so only partial transcripts
are later, by 50 ms on average; services ask for pieces of 20 to 250 ms."""
UTTERANCE_MS = 8_000.0
"""Caller's audio kept while he speaks: longer than recognisers let a segment grow without a final."""
PREROLL_MS = 1_000.0
"""Audio kept while nobody speaks: the beginning of a first word that voice detection came late for."""
FINAL_LAG_MS = 300.0
"""A final covers audio up to about this long before it (services take 200 to 400 ms): where replays begin."""
GAPS_MS = 500.0
"""Frames that a network lost or is late with: so much less than what passed may be kept of an utterance."""
LATE_FINAL_MS = 3_000.0
"""How long the answer to an expired `finalize` is waited for, only to be thrown away."""
SHORT_LIFE_MS = 2_000.0
"""Dead this soon without a word counts towards a pause: else two sick ones are opened in turn for ever."""
RETRY_MS = 3_000.0
"""First pause before all providers are tried again; doubled each time."""
MAX_RETRY_MS = 30_000.0
CLOSE_MS = 1_500.0
"""Bound on closing a stream: less than a call's teardown has."""


class _Stream:
    """What one opened stream reports to; deaf once another has taken its place."""

    __slots__ = ("_recognition", "_scope", "failure", "live")

    def __init__(self, recognition: "Recognition", scope: CallScope) -> None:
        self._recognition = recognition
        self._scope = scope
        self.live = True
        self.failure: Exception | None = None

    def transcript(self, transcript: Transcript) -> None:
        """See `agent.providers.TranscriptListener`."""
        if self.live:
            self._scope.run("transcript", lambda: self._recognition.transcript(transcript))

    def stt_failed(self, error: Exception) -> None:
        """See `agent.providers.TranscriptListener`."""
        if self.live:
            self.failure = error
            self._scope.run("recognition", lambda: self._recognition.failed(self, error))


class Recognition:
    """The words of one call's caller."""

    def __init__(
        self,
        chain: STTChain,
        clock: Clock,
        counters: CallCounters,
        scope: CallScope,
        on_words: Callable[[Transcript], None],
    ) -> None:
        """`on_words` is told of each transcript that has text, once `text` holds it."""
        self.text = TurnText()
        """The words of the caller's turn so far."""
        self.words_ms = 0.0
        """When the last of them came."""
        self.provider = ""
        """The recogniser in use."""
        self._chain = chain
        self._clock = clock
        self._counters = counters
        self._scope = scope
        self._on_words = on_words
        self._wanted: tuple[tuple[str, ...], tuple[str, ...]] = (), ()  # languages and phrases
        self._opened: OpenedSTT | None = None
        self._stream: _Stream | None = None
        self._opened_ms = 0.0
        self._to_stt: Converter | None = None
        self._takes_pcm = False
        self._opening: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._asked: list[Ask] = []
        self._pause: tuple[asyncio.Future[bool], Ask] | None = None  # asked in the present pause
        self._held: list[bytes] = []
        self._held_pcm: list[bytes] = []
        self._held_bytes = 0
        self._partial = ""  # words that only the present stream stands for
        self._aside = ""  # partial words of a stream that is gone, until a replay gives them again
        self._short_lives = 0
        self._retry_ms = RETRY_MS
        self._closed = self._speaking = False
        self._safe_ms = self._finalized_ms = clock.now_ms()  # audio before this needs no replay

    # --- the frame path ----------------------------------------------------------------------------

    def feed(self, payload: bytes, pcm: bytes, speaking: bool) -> None:
        """Audio from the caller as it came, and decoded. `speaking`: he may be in the middle of a turn."""
        self._held.append(payload)
        if self._takes_pcm:
            self._held_pcm.append(pcm)
        self._held_bytes += len(payload)
        began = speaking and not self._speaking
        self._speaking = speaking
        if began or self._held_bytes >= self._batch_bytes[speaking]:
            self._release()
        if began:
            # What was heard before the pre-roll is no part of this utterance.
            self._safe_ms = max(self._safe_ms, self._clock.now_ms() - self._backlog.ms)

    def _release(self) -> None:
        """Keep what was held back, and feed it."""
        if not self._held:
            return
        opened = self._opened
        audio = b"".join(self._held)
        keep_ms = UTTERANCE_MS if self._speaking or opened is None else PREROLL_MS
        self._backlog.append(audio, keep_ms)
        if self._takes_pcm:
            audio = b"".join(self._held_pcm)
        self._forget_held()
        if opened is not None:
            opened.stream.feed(audio if self._to_stt is None else self._to_stt.convert(audio))

    def _forget_held(self) -> None:
        self._held.clear()
        self._held_pcm.clear()
        self._held_bytes = 0

    # --- words -------------------------------------------------------------------------------------

    def transcript(self, transcript: Transcript) -> None:
        """Words from the present stream."""
        now_ms = self._clock.now_ms()
        while self._asked and (until_ms := self._asked[0].stale_until_ms) is not None:
            if now_ms < until_ms:
                # The late rest of a turn that was answered without it.
                if transcript.flushed:
                    del self._asked[0]
                return
            del self._asked[0]
        self.text.add(transcript)
        self._partial = "" if transcript.final else transcript.text.strip()
        if transcript.final:
            self._safe_ms = now_ms - FINAL_LAG_MS
        if transcript.text.strip():
            self._aside = ""
            self._short_lives = 0
            self._retry_ms = RETRY_MS
            self.words_ms = now_ms
            self._on_words(transcript)
        if transcript.flushed and self._asked and (answer := self._asked.pop(0).answer) is not None:
            answer()

    def ask(self, answer: Callable[[], None]) -> None:
        """Ask for the last word on what was fed; `answer` is called when it is there, if it ever is."""
        if self._opened is not None:
            self._asked.append(Ask(answer))
            self._finalized_ms = self._clock.now_ms()
            self._release()
            self._opened.stream.finalize()

    def paused(self) -> None:
        """The caller pauses, perhaps for good: where that spoils nothing, ask for his last word already."""
        if self._opened is not None and self._opened.finalizes_pauses and self._pause is None:
            self._pause = self._finalize(self._opened)

    def resumed(self) -> None:
        """He speaks again: that was not his last word."""
        if self._pause is not None:
            self._pause = None
            self._counters.finalizes_wasted += 1

    async def collect(self) -> str:
        """The words of the turn that has just ended, final where recognition is quick enough.

        Where recognition is being opened or replaced, it is waited for: its words are replayed. Cancelled,
        this leaves the words where they are: they belong to the turn that goes on.
        """
        limits = self._chain.limits
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limits.stt_final_ms / 1000) as bound:
                while True:
                    if self._opening is not None and not self._opening.done():
                        bound.reschedule(loop.time() + (limits.stt_open_ms + limits.stt_final_ms) / 1000)
                        await asyncio.wait({self._opening})
                        continue
                    if self._opened is None or await self._flushed(self._opened):
                        break
        except TimeoutError:
            logger.info("no final transcript from %s in time: using the partial", self.provider)
        self._restore()
        return self.text.text

    async def _flushed(self, opened: OpenedSTT) -> bool:
        """Finalize, where the pause that has become the end did not, and wait. False if the stream failed."""
        early, self._pause = self._pause, None
        flushed, ask = early or self._finalize(opened)
        whole = False
        try:
            whole = await flushed
        finally:
            ask.answer = None
            if early is not None:
                self._counters.count_early_finalize(used=whole)
        return whole

    def _finalize(self, opened: OpenedSTT) -> tuple[asyncio.Future[bool], Ask]:
        """The answer is False if the stream failed before it came."""
        flushed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def answered() -> None:
            if not flushed.done():
                flushed.set_result(self._opened is opened)

        ask = Ask(answered)
        self._asked.append(ask)
        self._finalized_ms = self._clock.now_ms()
        self._release()
        opened.stream.finalize()
        return flushed, ask

    def taken(self) -> None:
        """The collected words were made a turn: what still comes of that audio is dropped."""
        if self.text.text:
            until_ms = self._clock.now_ms() + LATE_FINAL_MS
            for ask in self._asked:
                if ask.answer is None:
                    ask.stale_until_ms = until_ms
        self.forget()

    def forget(self) -> None:
        """These words are no turn, or were made one."""
        self.text.clear()
        self._partial = self._aside = ""
        self.resumed()
        self._safe_ms = max(self._finalized_ms, self._safe_ms)

    def _restore(self) -> None:
        """Words that no replay has given again are better than none."""
        if self._aside:
            self.text.add(Transcript(self._aside, final=True))
            self._aside = ""
            self._safe_ms = self._clock.now_ms()

    # --- life --------------------------------------------------------------------------------------

    def listen_to(self, audio: AudioFormat) -> None:
        """The format of what will be fed. To be called before `listen`, and again when the line changes."""
        self._format = audio
        self._batch_bytes = audio.bytes_per_ms * PAUSE_MS, audio.bytes_per_ms * SPEECH_MS  # by `speaking`
        self._backlog = Backlog(audio)
        self._forget_held()

    def listen(self, languages: tuple[str, ...], phrases: tuple[str, ...]) -> None:
        """Open recognition, or reopen it in another language. What is said meanwhile is kept."""
        self._wanted = languages, phrases
        self.reopen(after=None)

    def reopen(self, after: str | None) -> None:
        """Open the next stream; the present one, if any, is closed beside that."""
        if self._closed:
            return
        self._scope.cancel_timer("recognition")
        self._retire()
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        self._opening = self._scope.spawn(self._open(after), name="open recognition")

    def hand_over(self) -> bool:
        """The answer takes too long: the next provider hears the utterance. False if there is none to ask."""
        if self._opened is None or len(self._chain.entries) < 2:
            return False
        logger.info("recognition %s is too slow: the next one takes over", self.provider)
        self.reopen(after=self.provider)
        return True

    def failed(self, stream: _Stream, error: Exception) -> None:
        """A stream died: the next provider hears what it missed."""
        if stream is not self._stream:
            return  # before it was open: `_open` will see
        self._counters.provider_failures += 1
        name = self.provider
        if isinstance(error, ProviderError):
            self._chain.failed(error, name)
        else:
            logger.error("recognition %s failed: %s", name, error)
        lived_ms = self._clock.now_ms() - self._opened_ms
        self._short_lives = self._short_lives + 1 if lived_ms < SHORT_LIFE_MS else 0
        if self._short_lives >= len(self._chain.entries):
            self._short_lives = 0
            self._retire()
            self._try_later()
        else:
            self.reopen(after=name)

    async def _open(self, after: str | None) -> None:
        stream = _Stream(self, self._scope)
        try:
            opened = await self._chain.open(self._format, *self._wanted, stream, after=after)
        except ProviderError:
            # Logged by the chain. The call goes on deaf to words for a while; keys still work.
            self._counters.provider_failures += 1
            self._try_later()
            return
        self._release()  # into the backlog, to be replayed
        same = opened.audio in (self._format, linear(self._format.rate_hz))
        self._to_stt = None if same else make_converter(self._format, opened.audio)
        self._takes_pcm = same and opened.audio.is_linear
        self.provider = opened.provider
        self._opened_ms = self._clock.now_ms()
        self._stream, self._opened = stream, opened
        if stream.failure is not None:
            self.failed(stream, stream.failure)
        else:
            self._replay(opened)

    def _replay(self, opened: OpenedSTT) -> None:
        """Feed what was said since the last words that are certain."""
        decoder = make_decoder(self._format)
        for payload in self._backlog.last(self._clock.now_ms() - self._safe_ms):
            if self._opened is not opened:
                return  # it failed, or its words made the call reopen it
            if self._to_stt is not None:
                opened.stream.feed(self._to_stt.convert(payload))
            else:
                opened.stream.feed(decoder.decode(payload) if opened.audio.is_linear else payload)

    def _retire(self) -> None:
        """Put the present stream aside, with the words that only it stands for."""
        opened, stream = self._opened, self._stream
        self._opened = self._stream = None
        self._release()  # into the backlog, for a replay
        if stream is not None:
            stream.live = False
        if self._partial:
            if self._clock.now_ms() - self._safe_ms > self._backlog.ms + GAPS_MS:
                # Longer than what can be replayed: these words are kept, and only what followed is replayed.
                self.text.add(Transcript(self._partial, final=True))
                self._safe_ms = self.words_ms - FINAL_LAG_MS
            else:
                self.text.add(Transcript("", final=False))
                self._aside = self._partial
            self._partial = ""
        asked, self._asked = self._asked, []
        for ask in asked:
            if ask.answer is not None:
                ask.answer()
        if opened is not None:
            task = asyncio.create_task(_close(opened), name="close recognition")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _try_later(self) -> None:
        self._restore()
        self._scope.after("recognition", self._retry_ms, lambda: self.reopen(after=None))
        self._retry_ms = min(self._retry_ms * 2, MAX_RETRY_MS)

    async def close(self) -> None:
        """Stop listening. Bounded by `CLOSE_MS`."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self.resumed()
        self._retire()
        await asyncio.gather(*self._retiring, return_exceptions=True)


async def _close(opened: OpenedSTT) -> None:
    try:
        async with asyncio.timeout(CLOSE_MS / 1000):
            await opened.stream.close()
    except (ProviderError, TimeoutError) as error:
        logger.warning("recognition %s did not close well: %r", opened.provider, error)
