"""What the core asks of speech-to-text, language-model and text-to-speech services.

Providers implement these protocols and are found by entry point (`parley.stt`, `parley.llm`,
`parley.tts`): a callable that takes a `ProviderContext` and returns the provider. One provider object
serves all calls of a process; what belongs to one call lives in the stream that it opens.

All failures are raised (or reported) as `agent.errors.ProviderError`s, never as the library's own.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from agent.agentfile.schema import AgentFile
from agent.audio.formats import AudioFormat
from agent.clock import Clock


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a provider is built from."""

    agent: AgentFile
    clock: Clock
    options: Mapping[str, Any] = field(default_factory=dict)
    """The provider's own entries in the agent file, such as `model` and `base_url`."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """The process environment."""


class Provider(Protocol):
    """What every provider has."""

    @property
    def name(self) -> str:
        """Its name in chains, metrics and logs."""

    async def warm(self) -> None:
        """Load models or open connections before the first call. Raises `ProviderError`."""

    async def close(self) -> None:
        """Free everything. Idempotent."""


# --- speech to text ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transcript:
    """A piece of what the caller said.

    Partials are cumulative within a segment: each replaces the one before. A `final` transcript closes its
    segment; the next one starts a new segment.
    """

    text: str
    final: bool
    flushed: bool = False
    """Answers `STTStream.finalize`: nothing more will come of the audio fed before that."""
    confidence: float | None = None
    """0 to 1 where the service gives one."""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """How a call wants to be listened to."""

    audio: AudioFormat
    """What will be fed: as answered by `STT.input_format`."""
    languages: tuple[str, ...]
    """BCP 47 tags, the likeliest first."""
    phrases: tuple[str, ...] = ()
    """What callers are likely to say: recognition hints, or the grammar itself."""


class TranscriptListener(Protocol):
    """Where an STT stream reports. Called on the event loop, synchronously; must not block."""

    def transcript(self, transcript: Transcript) -> None:
        """Words, or the empty final that answers a `finalize` of silence."""

    def stt_failed(self, error: Exception) -> None:
        """The stream is dead (an `agent.errors.ProviderError`). Called at most once."""


class STTStream(Protocol):
    """One call's recognition."""

    def feed(self, audio: bytes) -> None:
        """Audio in the requested format, any length. Synchronous, bounded, never raises."""

    def finalize(self) -> None:
        """The caller has stopped: report now what was fed. Answered by exactly one `flushed` final."""

    async def close(self) -> None:
        """Stop and free. Nothing is reported afterwards. Idempotent."""


class STT(Provider, Protocol):
    """Speech to text."""

    @property
    def finalizes_pauses(self) -> bool:
        """`finalize` may be asked in each pause of the caller: it costs a message and spoils nothing.

        Then most turns have their last words by the time they are over. False for a recogniser that
        understands a sentence better in one piece.
        """

    def input_format(self, line: AudioFormat) -> AudioFormat:
        """What this service wants to be fed for a line of that format (the same, where it can take it)."""

    async def open(self, request: ListenRequest, listener: TranscriptListener) -> STTStream:
        """Start recognising. Raises `ProviderError`."""


# --- language model ------------------------------------------------------------------------------------


class Role(StrEnum):
    """Who a message is from."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool run. `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation, in the order that chat APIs demand."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """For `Role.TOOL`: which call this answers."""
    interrupted: bool = False
    """For `Role.ASSISTANT`: cut off by the caller; `content` holds only what was heard."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it. `parameters` is a JSON schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One reply wanted."""

    conversation_id: str
    messages: tuple[Message, ...]
    """System message first, the caller's turn (or tool results) last."""
    language: str
    """BCP 47 tag that the reply should be in."""
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text to speak, as generated; pieces are joined as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class LanguageSwitch:
    """The reply, and what follows, is in another of the agent's languages."""

    language: str


LLMEvent = TextDelta | ToolCall | LanguageSwitch


class LLM(Provider, Protocol):
    """A language model, or anything that answers like one."""

    def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        """Generate. An async generator: closing it cancels the request. Raises `ProviderError`.

        Tool calls come whole, after the text that precedes them.
        """


# --- text to speech ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """One sentence to speak."""

    text: str
    language: str
    audio: AudioFormat
    """The line's format. A service that cannot make it gives PCM16 at its own rate."""
    voice: str | None = None
    """The service's own voice name; None for its default in that language."""
    speed: float = 1.0
    context: str = ""
    """Same for all sentences of one reply: services that keep prosody across sentences key on it."""
    position: Literal["only", "first", "middle", "last", "more"] = "more"
    """Place within the context; `more` where it is not known yet whether another sentence follows."""


@dataclass(frozen=True, slots=True)
class WordTime:
    """When a word starts: `offset` is its index in the request's text, `at_ms` from the audio's start."""

    offset: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """Some of a sentence's audio, with the starts of the words known by now (in order, none twice)."""

    audio: bytes
    format: AudioFormat
    words: tuple[WordTime, ...] = ()


class TTS(Provider, Protocol):
    """Text to speech."""

    def speak(self, request: SpeechRequest) -> AsyncIterator[SpeechChunk]:
        """Synthesise. An async generator: closing it cancels. Raises `ProviderError`.

        The format is the same for all chunks of a request. Chunks hold whole samples.
        """
