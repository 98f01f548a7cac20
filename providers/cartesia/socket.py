"""Cartesia's shared socket: many sentences at a time, told apart by their contexts.

A context is the service's word for one stream of text and its audio. Most carry one sentence and end with
`done`. One that is kept open for the reply's next sentence carries several, told apart by `flush_done`, and
is ended by us when no next one comes soon.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import Clock, Timer
from agent.errors import ProviderError, ProviderUnavailable, WireError
from providers.cartesia.utterance import ConnectionGone, ContextGone, Utterance
from providers.cartesia.wire import (
    Chunk,
    Done,
    Failure,
    FlushDone,
    Message,
    Speech,
    Words,
    cancellation,
    generation,
    parse,
)
from providers.connections import VendorSocket

logger = logging.getLogger(__name__)

LINGER_MS = 300.0
"""How long a context is kept open for the reply's next sentence. The service drops it 1 s after its last
audio (sheet 2), and counts it against the plan's limit until then."""
SUSPECT_MS = 2_000.0
"""A sentence given up after this long, without a single message on the whole socket, puts the socket under
suspicion: new sentences go to another one."""
DRAIN_MS = 30_000.0
"""How long a socket that is replaced is kept for the sentences that it still carries."""


@dataclass(slots=True)
class _Context:
    """One context. `utterance` is the sentence that it carries now; None while it waits for the next."""

    id: str
    speech: Speech
    utterance: Utterance | None
    more: bool
    """Not ended by us yet."""
    reused: bool = False
    """It carried a sentence before this one."""
    audio_ms: float = 0.0
    """Of the sentences before."""
    linger: Timer | None = None


class CartesiaSocket:
    """One open socket and the contexts on it."""

    def __init__(
        self,
        provider: str,
        socket: VendorSocket,
        clock: Clock,
        counts: Counter[str],
        refused: Callable[[int, str], ProviderError],
        on_lost: Callable[["CartesiaSocket"], None],
    ) -> None:
        """`counts` gets messages that could not be read by kind, and `late`, those of no context of ours.
        `refused` makes the error for a status; `on_lost` is called once when the socket takes no more."""
        self._provider = provider
        self._socket = socket
        self._clock = clock
        self._counts = counts
        self._refused = refused
        self._on_lost: Callable[[CartesiaSocket], None] | None = on_lost
        self._contexts: dict[str, _Context] = {}
        self._waiting: dict[str, _Context] = {}  # kept open, by the reply they belong to
        self._heard_ms = clock.now_ms()
        self._drained = asyncio.Event()
        self._drained.set()
        self._closed = False
        socket.listen(self)

    @property
    def usable(self) -> bool:
        """It takes new sentences."""
        return self._socket.is_open and self._on_lost is not None and not self._closed

    @property
    def dropped_sends(self) -> int:
        """Messages that the socket did not take."""
        return self._socket.dropped_sends

    # --- sentences ---------------------------------------------------------------------------------

    def say(
        self, fresh_id: str, speech: Speech, text: str, *, reply: str = "", more: bool = False
    ) -> "Saying":
        """Send a sentence. Raises `ConnectionGone`, `ProviderUnavailable`.

        `reply` names what the sentence belongs to; a context kept open for it is gone on with. With `more` it
        is kept open behind this sentence, for the next. Close the result.
        """
        context = self._waiting.pop(reply, None) if reply else None
        if context is not None and context.speech != speech:
            self._end(context)
            context = None
        if context is None:
            context = self._contexts[fresh_id] = _Context(fresh_id, speech, None, more)
        else:
            context.reused = True
        if context.linger is not None:
            context.linger.cancel()
        context.more = more
        context.utterance = Utterance(self._provider, text, speech.audio, context.audio_ms)
        self._drained.clear()
        sent = self._socket.send_json(generation(context.id, speech, f"{text} " if more else text, more=more))
        if sent and more:
            sent = self._socket.send_json(generation(context.id, speech, "", more=True, flush=True))
        if not sent:
            self._forget(context)
            if self._socket.is_open:
                raise ProviderUnavailable(self._provider, "it does not read what we send")
            raise ConnectionGone(self._provider, "the connection was lost")
        return Saying(self, context, context.utterance, reply, self._clock.now_ms())

    def finished(self, saying: "Saying") -> None:
        """The sentence is complete or given up: its context is kept, ended or cancelled."""
        context = saying.context
        if context.utterance is not saying.utterance:
            return
        if not saying.utterance.over:
            self._socket.send_json(cancellation(context.id))
            self._forget(context)
            self._suspect(saying)
        elif context.id in self._contexts and context.more:
            context.audio_ms += context.speech.audio.duration_ms(saying.utterance.audio_bytes)
            context.utterance = None
            if (other := self._waiting.pop(saying.reply, None)) is not None:
                self._end(other)  # two of the reply's sentences were said at once
            self._waiting[saying.reply] = context
            context.linger = self._clock.call_later(LINGER_MS, lambda: self._expire(saying.reply, context))
        else:
            self._forget(context)

    def _expire(self, reply: str, context: _Context) -> None:
        if self._waiting.get(reply) is context:
            del self._waiting[reply]
            self._end(context)

    def _end(self, context: _Context) -> None:
        """Tell the service that no more text comes; its `done` is for nobody."""
        self._socket.send_json(generation(context.id, context.speech, "", more=False))
        self._forget(context)

    def _forget(self, context: _Context) -> None:
        self._contexts.pop(context.id, None)
        context.utterance = None
        if context.linger is not None:
            context.linger.cancel()
        if not self._contexts:
            self._drained.set()

    def _suspect(self, saying: "Saying") -> None:
        now_ms = self._clock.now_ms()
        if now_ms - saying.sent_ms >= SUSPECT_MS and self._heard_ms < saying.sent_ms:
            logger.warning("%s: an open socket that says nothing: it gets no new sentences", self._provider)
            self._lost()

    # --- the socket's side -------------------------------------------------------------------------

    def message(self, data: bytes, *, text: bool) -> None:
        """One message from Cartesia. Called from within the parser."""
        try:
            name, message = parse(data)
        except WireError as error:
            self._counts[error.kind] += 1
            logger.log(
                logging.WARNING if self._counts[error.kind] == 1 else logging.DEBUG,
                "a message from %s cannot be read: %s", self._provider, error,
            )  # fmt: skip
            return
        self._heard_ms = self._clock.now_ms()
        if message is None:
            return
        context = self._contexts.get(name)
        if context is None and isinstance(message, Failure) and not name:
            context = self._only_one()
            logger.warning("%s: an error of no context: %s", self._provider, message.detail)
        if context is None or context.utterance is None:
            # Behind a cancel, the end of a context that nobody waits for, or a stranger.
            self._counts["late"] += not isinstance(message, Done | FlushDone)
            return
        self._hear(context, context.utterance, message)

    def _hear(self, context: _Context, utterance: Utterance, message: Message) -> None:
        match message:
            case Chunk(audio):
                if audio and not utterance.add_audio(audio):
                    self._socket.send_json(cancellation(context.id))
                    self._forget(context)
            case Words(words):
                utterance.add_words(words)
            case FlushDone():
                # One follows each submission; before any audio it is that of the text before (sheet 2).
                if context.more and utterance.audio_bytes:
                    utterance.end()
            case Done():
                context.more = False
                utterance.end()
            case Failure(status, detail):
                context.more = False
                error = self._refused(status, detail) if status else None
                if context.reused and not utterance.audio_bytes:
                    error = ContextGone(self._provider, detail)
                utterance.fail(error or ProviderUnavailable(self._provider, detail))

    def _only_one(self) -> _Context | None:
        return next(iter(self._contexts.values())) if len(self._contexts) == 1 else None

    def closed(self, code: int | None, reason: str) -> None:
        """The socket is gone, and with it every sentence on it."""
        said = "the connection was lost" if code is None else f"closed with {code}"
        self.give_up(ConnectionGone(self._provider, f"{said} {reason}".rstrip()))
        self._lost()

    def give_up(self, why: ProviderError) -> None:
        """Fail all sentences on this socket."""
        for context in list(self._contexts.values()):
            if context.utterance is not None:
                context.utterance.fail(why)
            self._forget(context)
        self._waiting.clear()

    def _lost(self) -> None:
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None and not self._closed:
            on_lost(self)

    async def close(self) -> None:
        """Shut it once its sentences are done, or `DRAIN_MS` later. May be cancelled: then it is cut."""
        self._closed = True
        try:
            async with asyncio.timeout(DRAIN_MS / 1000):
                await self._drained.wait()
            await self._socket.shut()
        except (TimeoutError, asyncio.CancelledError) as error:
            self._socket.abort()
            if isinstance(error, asyncio.CancelledError):
                raise


class Saying:
    """A sentence that was sent, as its reader holds it."""

    __slots__ = ("_socket", "context", "reply", "sent_ms", "utterance")

    def __init__(
        self, socket: CartesiaSocket, context: _Context, utterance: Utterance, reply: str, sent_ms: float
    ) -> None:
        self._socket = socket
        self.context = context
        self.utterance = utterance
        self.reply = reply
        self.sent_ms = sent_ms

    def close(self) -> None:
        """Cancels what has not come yet. Idempotent."""
        self._socket.finished(self)
