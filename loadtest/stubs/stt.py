"""Stub recognition, entry point `parley.stt` `stub`."""

from agent.audio.formats import PCMU_8K, AudioFormat
from agent.clock import Clock, Timer
from agent.errors import ProviderUnavailable
from agent.providers import ListenRequest, ProviderContext, STTStream, Transcript, TranscriptListener
from loadtest.stubs import frames
from loadtest.stubs.client import StubConnection, address_of, connect
from loadtest.stubs.frames import Frame
from loadtest.stubs.recogniser import StubRecogniser
from loadtest.stubs.script import StubScript


class RemoteStream:
    """One call's connection to the stub process, as vendors have it."""

    def __init__(self, listener: TranscriptListener) -> None:
        self._listener = listener
        self.connection = StubConnection(self._heard, self._lost)

    def feed(self, audio: bytes) -> None:
        """See `agent.providers.STTStream`."""
        self.connection.write(frames.AUDIO, audio)

    def finalize(self) -> None:
        """See `agent.providers.STTStream`."""
        self.connection.write(frames.FINALIZE)

    async def close(self) -> None:
        """See `agent.providers.STTStream`."""
        self.connection.close()

    def _heard(self, frame: Frame) -> None:
        if not self.connection.closed:
            final = frame.kind == frames.FINAL
            self._listener.transcript(Transcript(frame.body.decode(), final, flushed=final))

    def _lost(self) -> None:
        self._listener.stt_failed(ProviderUnavailable("stub", "the connection was lost"))


class LocalStream:
    """The same inside this process."""

    def __init__(self, script: StubScript, clock: Clock, listener: TranscriptListener) -> None:
        self._recogniser = StubRecogniser(script)
        self._final_ms = script.final_ms
        self._clock = clock
        self._listener: TranscriptListener | None = listener
        self._timer: Timer | None = None

    def feed(self, audio: bytes) -> None:
        """See `agent.providers.STTStream`."""
        partial = self._recogniser.feed(audio)
        if partial is not None and self._listener is not None:
            self._listener.transcript(Transcript(partial, final=False))

    def finalize(self) -> None:
        """See `agent.providers.STTStream`. Never answered from within: no socket does that either."""
        text = self._recogniser.finalize()
        self._timer = self._clock.call_later(self._final_ms, lambda: self._final(text))

    async def close(self) -> None:
        """See `agent.providers.STTStream`."""
        self._listener = None
        if self._timer is not None:
            self._timer.cancel()

    def _final(self, text: str) -> None:
        if self._listener is not None:
            self._listener.transcript(Transcript(text, final=True, flushed=True))


class StubSTT:
    """Hears the script's sentence in whatever is voiced."""

    name = "stub"
    finalizes_pauses = False

    def __init__(self, context: ProviderContext) -> None:
        """Options: `inprocess`, `address`, and those of `StubScript`. Raises `ConfigError`."""
        self._script = StubScript.from_options(context.options)
        self._clock = context.clock
        self._address = None if context.options.get("inprocess") else address_of(context.options)

    async def warm(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing is shared."""

    def input_format(self, line: AudioFormat) -> AudioFormat:
        """Mu-law, as most vendors take it straight from the line."""
        return PCMU_8K

    async def open(self, request: ListenRequest, listener: TranscriptListener) -> STTStream:
        """See `agent.providers.STT`."""
        if self._address is None:
            return LocalStream(self._script, self._clock, listener)
        stream = RemoteStream(listener)
        await connect(self._address, stream.connection)
        return stream
