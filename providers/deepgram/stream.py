"""One call's recognition on a Deepgram socket of its own."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable

from agent.audio.formats import AudioFormat
from agent.clock import Clock, Timer
from agent.errors import ProviderError, ProviderTimeout, ProviderUnavailable, WireError
from agent.providers import TranscriptListener
from providers.connections import VendorSocket
from providers.deepgram.segments import Segments
from providers.deepgram.wire import (
    CLOSE_STREAM,
    FINALIZE,
    KEEP_ALIVE,
    Failure,
    Results,
    close_problem,
    parse,
)

logger = logging.getLogger(__name__)

FINAL_MS = 500.0
"""Longest wait for the answer to `Finalize` (sheet 2, rule 5: "about 500 ms"; p99 is 326 ms, sheet 6)."""
KEEP_ALIVE_MS = 4_000.0
"""Between KeepAlives while no audio flows (sheet 2: every 3 to 5 s; the server gives up after 10 s)."""
STALL_MS = 3_000.0
"""A stream that was fed, but has said nothing at all for this long when a `Finalize` goes unanswered, is
dead: with interim results Deepgram speaks about once a second while it is fed."""
LAG_MS = 2_000.0
"""Results about audio that was sent so long ago come too late for any reply: p99 of the final ones is 326 ms
(sheet 6)."""
MAX_MARKS = 128
"""Messages of audio whose times are kept to tell that: 7 s of those that batches of 60 ms make."""
CLOSE_MS = 1_000.0
"""How long the server may take to answer `CloseStream` before the socket is shut."""
_HOLD_MS = 20
"""Silence sent at once on a socket that waits for its call: KeepAlive alone does not hold it (sheet 2)."""


class DeepgramStream:
    """A socket's recognition: kept warm until `attach` gives it to a call, fed and asked by that one."""

    def __init__(
        self,
        provider: str,
        socket: VendorSocket,
        audio: AudioFormat,
        batch_ms: int,
        clock: Clock,
        bad_messages: Counter[str],
        on_lost: Callable[["DeepgramStream"], None],
    ) -> None:
        self._provider = provider
        self._socket = socket
        self._clock = clock
        self._bad_messages = bad_messages
        self._on_lost = on_lost
        self._listener: TranscriptListener | None = None
        self._segments = Segments()
        self._batch = bytearray()
        self._batch_bytes = int(audio.bytes_per_ms * batch_ms)
        self._bytes_per_s = audio.bytes_per_ms * 1000
        self._sent_bytes = 0
        self._sent_any = True
        self._heard_ms = clock.now_ms()
        self._unheard_bytes = 0
        self._unread = 0  # messages in a row that could not be read
        self._marks: deque[tuple[float, float]] = deque(maxlen=MAX_MARKS)  # seconds of audio, when sent
        self._deadlines: list[Timer] = []
        self._gone = asyncio.Event()
        self._closing = self._dead = False
        socket.listen(self)
        self.feed(audio.silence(int(audio.bytes_per_ms * _HOLD_MS)))
        self._flush()
        self._keep_alive: Timer = clock.call_later(KEEP_ALIVE_MS, self._keep)

    # --- the call's side ---------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """It can be given to a call."""
        return self._socket.is_open and self._listener is None and not (self._closing or self._dead)

    def attach(self, listener: TranscriptListener) -> None:
        """It is this call's from here on."""
        self._listener = listener
        self._heard_ms = self._clock.now_ms()
        self._unheard_bytes = 0

    @property
    def dropped_sends(self) -> int:
        """Messages that the socket did not take."""
        return self._socket.dropped_sends

    def detach(self) -> None:
        """Nothing is reported from here on."""
        self._listener = None
        self._stop()

    def feed(self, audio: bytes) -> None:
        """Audio in the socket's format. What the socket does not take is dropped and counted there."""
        self._batch += audio
        if len(self._batch) >= self._batch_bytes:
            self._flush()

    def finalize(self) -> None:
        """Ask for the final on all audio so far. Exactly one `flushed` final follows, if the socket lives."""
        self._flush()
        self._segments.finalized(self._sent_bytes / self._bytes_per_s)
        self._socket.send_json(FINALIZE)
        self._sent_any = True
        self._deadlines.append(self._clock.call_later(FINAL_MS, self._overdue))

    async def close(self) -> None:
        """Say goodbye and shut the socket: within `CLOSE_MS` and the closing handshake. Idempotent."""
        self.detach()
        if self._closing:
            return
        self._closing = True
        self._flush()
        if self._socket.send_json(CLOSE_STREAM):
            try:
                async with asyncio.timeout(CLOSE_MS / 1000):
                    await self._gone.wait()
            except TimeoutError:
                logger.debug("%s did not answer CloseStream", self._provider)
        await self._socket.shut()

    # --- the socket's side -------------------------------------------------------------------------

    def message(self, data: bytes, *, text: bool) -> None:
        """One message from Deepgram. Called from within the parser."""
        try:
            event = parse(data)
        except WireError as error:
            self._bad_messages[error.kind] += 1
            self._unread += 1
            logger.log(
                logging.WARNING if self._bad_messages[error.kind] == 1 else logging.DEBUG,
                "a message from %s cannot be read: %s", self._provider, error,
            )  # fmt: skip
            return
        self._heard_ms = self._clock.now_ms()
        self._unheard_bytes = self._unread = 0
        if isinstance(event, Results):
            for transcript in self._segments.results(event):
                if self._listener is not None:
                    self._listener.transcript(transcript)
            while len(self._deadlines) > self._segments.pending:
                self._deadlines.pop(0).cancel()
            self._check_lag(event)
        elif isinstance(event, Failure):
            self._fail(ProviderUnavailable(self._provider, event.detail))
            self._socket.abort()

    def _check_lag(self, results: Results) -> None:
        """A service that is seconds behind the caller is as good as dead, however well it goes on."""
        while self._marks and self._marks[0][0] < results.end_s:
            self._marks.popleft()
        if self._marks and (lag_ms := self._heard_ms - self._marks[0][1]) > LAG_MS and not self._closing:
            self._give_up(f"its words come {lag_ms:.0f} ms after the audio")

    def closed(self, code: int | None, reason: str) -> None:
        """The socket is gone."""
        self._gone.set()
        self._fail(close_problem(self._provider, code, reason))

    def _fail(self, error: ProviderError) -> None:
        """Dead: whoever waits for a final gets the words that there are, then hears why.

        Where there are none, the failure alone is the answer: the next provider hears the audio again.
        """
        if self._dead:
            return
        self._dead = True
        listener = self._listener
        while (transcript := self._segments.expired()) is not None:
            if listener is not None and transcript.text:
                listener.transcript(transcript)
        self.detach()
        if not self._closing:
            self._on_lost(self)
        if listener is not None:
            listener.stt_failed(error)

    def _give_up(self, detail: str) -> None:
        self._fail(ProviderTimeout(self._provider, detail))
        self._socket.abort()

    def _overdue(self) -> None:
        self._deadlines.pop(0)
        silent_ms = self._clock.now_ms() - self._heard_ms
        if silent_ms >= STALL_MS and self._unheard_bytes >= STALL_MS / 2000 * self._bytes_per_s:
            self._give_up(f"an open socket, but not a word for {silent_ms:.0f} ms")
            return
        if self._unread:
            self._give_up("what it answers cannot be read")
            return
        transcript = self._segments.expired()
        if transcript is not None and self._listener is not None:
            self._listener.transcript(transcript)

    def _keep(self) -> None:
        if not self._sent_any:
            self._socket.send_json(KEEP_ALIVE)
        self._sent_any = False
        self._keep_alive = self._clock.call_later(KEEP_ALIVE_MS, self._keep)

    def _flush(self) -> None:
        # An empty binary message would end the stream (sheet 2).
        if self._batch:
            if self._socket.send_binary(bytes(self._batch)):
                self._sent_bytes += len(self._batch)
                self._marks.append((self._sent_bytes / self._bytes_per_s, self._clock.now_ms()))
                self._unheard_bytes += len(self._batch)
                self._sent_any = True
            self._batch.clear()

    def _stop(self) -> None:
        self._keep_alive.cancel()
        for deadline in self._deadlines:
            deadline.cancel()
        self._deadlines.clear()


class CallStream:
    """`agent.providers.STTStream`: one call's use of a `DeepgramStream`.

    Closing it returns at once. The goodbye, for which a vendor may take its time, goes on behind it.
    """

    __slots__ = ("_release", "_stream")

    def __init__(self, stream: DeepgramStream, release: Callable[[DeepgramStream], None]) -> None:
        self._stream = stream
        self._release: Callable[[DeepgramStream], None] | None = release

    def feed(self, audio: bytes) -> None:
        """See `agent.providers.STTStream`."""
        self._stream.feed(audio)

    def finalize(self) -> None:
        """See `agent.providers.STTStream`."""
        self._stream.finalize()

    async def close(self) -> None:
        """See `agent.providers.STTStream`."""
        self._stream.detach()
        release, self._release = self._release, None
        if release is not None:
            release(self._stream)
