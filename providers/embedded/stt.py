"""Embedded recognition: pocketsphinx with a language model made from the agent file, in a process of its own.

It hears what the agent file expects, and things like it, which is what makes it right on telephone audio.
Only an English acoustic model ships: words of other languages are heard as the nearest English sounds.
"""

import asyncio
import itertools
import logging
import sys

import orjson

from agent.agentfile.expected import caller_phrases
from agent.audio.formats import AudioFormat, linear
from agent.errors import ProviderTimeout, ProviderUnavailable
from agent.providers import ListenRequest, ProviderContext, STTStream, Transcript, TranscriptListener
from providers.embedded.messages import AUDIO, CLOSE, FINALIZE, HEAD_BYTES, OPEN, pack, unpack_head

logger = logging.getLogger(__name__)

BATCH_MS = 100
"""Audio sent at once: five frames, so that the event loop spends about a microsecond on each."""
MAX_BACKLOG_BYTES = 4 * 1024 * 1024
"""What may wait for a recogniser that is behind; beyond it audio is dropped and counted."""
WARM_S = 20.0
TELEPHONE_HZ = 8_000
"""Rate of the line that is made ready before the first call."""


class EmbeddedSTT:
    """`agent.providers.STT` on pocketsphinx. Options: none."""

    name = "embedded"
    finalizes_pauses = False

    def __init__(self, context: ProviderContext) -> None:
        agent = context.agent
        self._phrases = {language: caller_phrases(agent, language) for language in agent.languages}
        self._language = agent.language
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._streams: dict[int, _Stream] = {}
        self._warm: asyncio.Future[None] | None = None

    def input_format(self, line: AudioFormat) -> AudioFormat:
        """PCM16 at 8 or 16 kHz."""
        return linear(16_000 if line.rate_hz >= 16_000 else 8_000)

    async def warm(self) -> None:
        """Start the process, load the model, compile the grammar."""
        await self._started()

    async def open(self, request: ListenRequest, listener: TranscriptListener) -> STTStream:
        """See `agent.providers.STT`."""
        await self._started()
        number = next(self._numbers)
        stream = _Stream(self, number, request.audio, listener)
        self._streams[number] = stream
        language = request.languages[0] if request.languages else self._language
        phrases = request.phrases or self._phrases.get(language, ())
        self.send(pack(OPEN, number, _opening(request.audio.rate_hz, language, phrases)))
        return stream

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(1.0):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader
            self._reader = None

    def send(self, message: bytes) -> bool:
        """Queue a message for the process. False if it was dropped."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            return False
        if process.stdin.transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            return False
        process.stdin.write(message)
        return True

    def forget(self, number: int) -> None:
        """A stream was closed."""
        if self._streams.pop(number, None) is not None:
            self.send(pack(CLOSE, number))

    async def _started(self) -> None:
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "providers.embedded.recogniser",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            self._warm = asyncio.get_running_loop().create_future()
            self._reader = asyncio.create_task(self._read(self._process), name="embedded recogniser")
            phrases = self._phrases[self._language]
            self.send(pack(OPEN, 0, _opening(TELEPHONE_HZ, self._language, phrases)))
            try:
                async with asyncio.timeout(WARM_S):
                    await self._warm
            except TimeoutError:
                raise ProviderTimeout(self.name, "the recogniser did not start in time") from None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while True:
                head = await process.stdout.readexactly(HEAD_BYTES)
                kind, number, size = unpack_head(head)
                body = orjson.loads(await process.stdout.readexactly(size))
                if kind == OPEN:
                    if self._warm is not None and not self._warm.done():
                        self._warm.set_result(None)
                elif (stream := self._streams.get(number)) is None:
                    continue
                elif kind == CLOSE:
                    del self._streams[number]
                    stream.failed(ProviderUnavailable(self.name, body["error"]))
                else:
                    stream.recognised(kind, body["text"], body.get("confidence"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the process has ended: told below to whoever still waits for it
        code = await process.wait()
        error = ProviderUnavailable(self.name, f"the recogniser ended with status {code}")
        if self._warm is not None and not self._warm.done():
            self._warm.set_exception(error)
        streams, self._streams = self._streams, {}
        if self._process is process:
            self._process = None
            logger.error("%s", error)
            for stream in streams.values():
                stream.failed(error)


def _opening(rate_hz: int, language: str, phrases: tuple[str, ...]) -> bytes:
    primary = language.split("-", maxsplit=1)[0].casefold()
    return orjson.dumps({"rate_hz": rate_hz, "language": primary, "phrases": phrases})


class _Stream:
    """One call's recognition."""

    def __init__(
        self, stt: EmbeddedSTT, number: int, audio: AudioFormat, listener: TranscriptListener
    ) -> None:
        self._stt = stt
        self._number = number
        self._listener: TranscriptListener | None = listener
        self._batch = bytearray()
        self._batch_bytes = int(audio.bytes_per_ms * BATCH_MS)
        self.dropped = 0

    def feed(self, audio: bytes) -> None:
        self._batch += audio
        if len(self._batch) >= self._batch_bytes:
            self._flush()

    def finalize(self) -> None:
        self._flush()
        if not self._stt.send(pack(FINALIZE, self._number)) and self._listener is not None:
            self._listener.transcript(Transcript("", final=True, flushed=True))

    async def close(self) -> None:
        self._listener = None
        self._stt.forget(self._number)

    def recognised(self, kind: int, text: str, confidence: float | None) -> None:
        """The process answered."""
        if self._listener is None:
            return
        if kind == FINALIZE:
            self._listener.transcript(Transcript(text, final=True, flushed=True, confidence=confidence))
        elif kind == AUDIO:
            self._listener.transcript(Transcript(text, final=False))

    def failed(self, error: ProviderUnavailable) -> None:
        """The process died."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stt_failed(error)

    def _flush(self) -> None:
        if self._batch and not self._stt.send(pack(AUDIO, self._number, bytes(self._batch))):
            self.dropped += 1
        self._batch.clear()
