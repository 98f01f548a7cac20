"""The Cartesia provider: one shared socket for all calls of a process, replaced before it grows old."""

import asyncio
import itertools
import secrets
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from agent.errors import ProviderRejected, ProviderUnavailable
from agent.providers import ProviderContext, SpeechChunk, SpeechRequest
from providers.cartesia.options import Options
from providers.cartesia.socket import CartesiaSocket, Saying
from providers.cartesia.utterance import ConnectionGone, ContextGone
from providers.cartesia.wire import PATH, Speech, language_code, output_format
from providers.connections import ConnectStats, Dialer, websocket_base
from providers.warm import Warm

BASE = "CARTESIA_BASE_URL"
DEFAULT_BASE = "wss://api.cartesia.ai"
MAX_AGE_MS = 30 * 60_000.0
"""A socket is replaced this long after it was opened (our choice: the sheet gives no limit)."""
MAX_IDLE_MS = 50_000.0
"""... and this long after it was last used. The service closes idle sockets after 5 minutes, and one report
says after 60 s (sheet 2): below both. A replacement costs one handshake a minute while nobody calls."""
ATTEMPTS = 2
"""A sentence of which nothing was heard is said again once, on another socket or context."""


@dataclass(slots=True)
class FirstAudioStats:
    """From a sentence sent to its first audio, connecting not included."""

    count: int = 0
    total_ms: float = 0.0
    last_ms: float = 0.0
    slowest_ms: float = 0.0

    def add(self, took_ms: float) -> None:
        """One more sentence was heard."""
        self.count += 1
        self.total_ms += took_ms
        self.last_ms = took_ms
        self.slowest_ms = max(self.slowest_ms, took_ms)


class Cartesia:
    """`agent.providers.TTS` on Cartesia's Sonic.

    Options: `model`, `voice` (an id, or a table of ids by language), `version`, `continuations`, `base_url`
    (or `CARTESIA_BASE_URL`) and `api_key_name` (the variable that holds the key: `CARTESIA_API_KEY`). With a
    `base_url` there need not be a key.
    """

    name = "cartesia"

    def __init__(self, context: ProviderContext) -> None:
        """Raises `ConfigError` for options that there are not."""
        self._options = Options.read(context.options)
        base = context.options.get("base_url") or context.secrets.get(BASE)
        self._url = websocket_base(str(base or DEFAULT_BASE)) + PATH
        self._key = context.secrets.get(self._options.key_name)
        self._needs_key = not base
        self._clock = context.clock
        self.connections = ConnectStats()
        self.first_audio = FirstAudioStats()
        self.counts: Counter[str] = Counter()
        """Messages that could not be read by kind; `late`: those of sentences that nobody waits for; `again`:
        sentences said a second time."""
        self._dialer = Dialer(self.name, self._options.key_name, context.clock, self.connections, self._key)
        self._sockets: weakref.WeakSet[CartesiaSocket] = weakref.WeakSet()
        self._closing: set[asyncio.Task[None]] = set()
        self._warm: Warm[CartesiaSocket] = Warm(
            self._dial, context.clock, self.connections, max_age_ms=MAX_AGE_MS, max_idle_ms=MAX_IDLE_MS
        )
        self._ids = (f"{secrets.token_hex(4)}-{number}" for number in itertools.count(1))

    async def warm(self) -> None:
        """Open the socket."""
        self._check_key()
        await self._warm.share()

    async def close(self) -> None:
        """Fail what is being said and close the sockets. Idempotent."""
        for socket in self._sockets:
            socket.give_up(ProviderUnavailable(self.name, "it is being closed"))
        await self._warm.close()
        await asyncio.gather(*self._closing)

    async def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        """See `agent.providers.TTS`."""
        self._check_key()
        speech = self._speech(request)
        for attempt in range(1, ATTEMPTS + 1):
            saying = await self._say(request, speech)
            heard = False
            try:
                async for chunk in saying.utterance.chunks():
                    if not heard and chunk.audio:
                        heard = True
                        self.first_audio.add(self._clock.now_ms() - saying.sent_ms)
                    yield chunk
                if not heard:
                    raise ProviderUnavailable(self.name, "a sentence ended without audio")
                return
            except (ConnectionGone, ContextGone):
                if heard or attempt == ATTEMPTS:
                    raise
                self.counts["again"] += 1
            finally:
                saying.close()

    async def _say(self, request: SpeechRequest, speech: Speech) -> Saying:
        socket = await self._warm.share()
        # The last sentence ends the context that an earlier one kept open.
        alone = not self._options.continuations or request.position == "only"
        reply = "" if alone else request.context
        more = bool(reply) and request.position != "last"
        return socket.say(next(self._ids), speech, request.text, reply=reply, more=more)

    def _speech(self, request: SpeechRequest) -> Speech:
        language = language_code(request.language)
        if language is None:
            raise ProviderRejected(self.name, f"it does not speak {request.language}")
        voice = self._options.voice_for(request.language, request.voice)
        audio = output_format(request.audio)
        return Speech(self._options.model, language, voice, audio, request.speed)

    def _check_key(self) -> None:
        if self._needs_key and not self._key:
            raise ProviderRejected(self.name, f"no API key: set {self._options.key_name}")

    async def _dial(self) -> CartesiaSocket:
        headers = {"Cartesia-Version": self._options.version}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        socket = CartesiaSocket(
            self.name,
            await self._dialer.open_socket(self._url, headers),
            self._clock,
            self.counts,
            self._dialer.refused,
            self._lost,
        )
        self._sockets.add(socket)
        return socket

    def _lost(self, socket: CartesiaSocket) -> None:
        """It takes no more sentences: another is opened, and this one closed when its own are done."""
        self.connections.lost += 1
        self.connections.dropped_sends += socket.dropped_sends
        self._warm.lost(socket)
        task = asyncio.create_task(socket.close(), name="close a speech connection")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
