"""The Deepgram provider: options, one socket per call, and one kept warm for the next."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.agentfile.expected import caller_phrases
from agent.audio.formats import PCMU_8K, AudioFormat
from agent.errors import ProviderRejected
from agent.providers import ListenRequest, ProviderContext, TranscriptListener
from providers.connections import ConnectStats, Dialer, websocket_base
from providers.deepgram.options import Options
from providers.deepgram.stream import CallStream, DeepgramStream
from providers.deepgram.wire import input_format, listen_path
from providers.warm import Warm

BASE = "DEEPGRAM_BASE_URL"
DEFAULT_BASE = "wss://api.deepgram.com"
MAX_AGE_MS = 10 * 60_000.0
"""A socket waits for its call no longer than this (our choice: the sheet gives no limit)."""
MAX_KINDS = 4
"""Combinations of format and language for which a socket is kept: the last ones used."""


class Deepgram:
    """`agent.providers.STT` on Deepgram's live recognition.

    Options: `model`, `language`, `endpointing_ms`, `keyterms`, `phrase_keyterms`, `tags`, `batch_ms`,
    `spares`, `base_url` (or `DEEPGRAM_BASE_URL`), `api_key_name` (the variable that holds the key:
    `DEEPGRAM_API_KEY`), and Deepgram's switches `smart_format`, `punctuate`, `numerals`,
    `profanity_filter`, `filler_words` and `mip_opt_out`. With a `base_url` there need not be a key.
    """

    name = "deepgram"
    finalizes_pauses = True

    def __init__(self, context: ProviderContext) -> None:
        """Raises `ConfigError` for options that there are not."""
        base = context.options.get("base_url") or context.secrets.get(BASE)
        self._options = Options.read(context.options)
        self._base = websocket_base(str(base or DEFAULT_BASE))
        self._key = context.secrets.get(self._options.key_name)
        self._needs_key = not base
        self._clock = context.clock
        self._languages = tuple(context.agent.languages)
        self._phrases = caller_phrases(context.agent, context.agent.language)
        self.connections = ConnectStats()
        self.bad_messages: Counter[str] = Counter()
        """Messages that could not be read, by kind."""
        self._dialer = Dialer(self.name, self._options.key_name, context.clock, self.connections, self._key)
        self._warm: dict[str, Warm[DeepgramStream]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def input_format(self, line: AudioFormat) -> AudioFormat:
        """The line's own, but PCM16 for G.722."""
        return input_format(line)

    async def warm(self) -> None:
        """Open a socket for the commonest call: telephone audio, the agent's first language first."""
        self._check_key()
        if self._options.spares:
            path = listen_path(self._options, PCMU_8K, self._languages, self._phrases)
            await self._kept(PCMU_8K, path).share()

    async def open(self, request: ListenRequest, listener: TranscriptListener) -> CallStream:
        """See `agent.providers.STT`."""
        self._check_key()
        path = listen_path(self._options, request.audio, request.languages, request.phrases)
        if self._options.spares:
            stream = await self._kept(request.audio, path).take()
        else:
            stream = await self._dial(request.audio, path)()
        stream.attach(listener)
        return CallStream(stream, self._close_soon)

    async def close(self) -> None:
        """Close the sockets that wait, and wait for those that are being closed. Idempotent."""
        for warm in self._warm.values():
            await warm.close()
        self._warm.clear()
        if self._closing:
            await asyncio.gather(*self._closing)

    def _check_key(self) -> None:
        if self._needs_key and not self._key:
            raise ProviderRejected(self.name, f"no API key: set {self._options.key_name}")

    def _kept(self, audio: AudioFormat, path: str) -> Warm[DeepgramStream]:
        warm = self._warm.pop(path, None) or Warm(
            self._dial(audio, path),
            self._clock,
            self.connections,
            max_age_ms=MAX_AGE_MS,
            max_idle_ms=MAX_AGE_MS,
        )
        self._warm[path] = warm  # the last used is the last in order
        if len(self._warm) > MAX_KINDS:
            self._run(self._warm.pop(next(iter(self._warm))).close())
        return warm

    def _dial(self, audio: AudioFormat, path: str) -> Callable[[], Awaitable[DeepgramStream]]:
        headers = {"Authorization": f"Token {self._key}"} if self._key else {}

        async def dial() -> DeepgramStream:
            socket = await self._dialer.open_socket(self._base + path, headers)
            return DeepgramStream(
                self.name,
                socket,
                audio,
                self._options.batch_ms,
                self._clock,
                self.bad_messages,
                lambda stream: self._lost(path, stream),
            )

        return dial

    def _lost(self, path: str, stream: DeepgramStream) -> None:
        self.connections.lost += 1
        if (warm := self._warm.get(path)) is not None:
            warm.lost(stream)

    def _close_soon(self, stream: DeepgramStream) -> None:
        self.connections.dropped_sends += stream.dropped_sends
        self._run(stream.close())

    def _run(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing, name="close a recognition")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
