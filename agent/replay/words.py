"""How the things that reach a call are written on a tape, and read from it."""

import base64
from typing import Any

from agent.audio.formats import AudioFormat, Encoding
from agent.errors import (
    LineError,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from agent.lines import CallInfo, Direction
from agent.providers import (
    ChatRequest,
    LanguageSwitch,
    LLMEvent,
    SpeechChunk,
    TextDelta,
    ToolCall,
    Transcript,
    WordTime,
)

_ERRORS: dict[str, type[ProviderError]] = {
    kind.__name__: kind for kind in (ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable)
}


def text_of(audio: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(audio).decode("ascii")


def bytes_of(text: str) -> bytes:
    """Raises `ValueError` for what is no base64."""
    return base64.b64decode(text, validate=True)


def write_format(audio: AudioFormat) -> list[Any]:
    """Encoding and rate."""
    return [audio.encoding.value, audio.rate_hz]


def read_format(content: list[Any]) -> AudioFormat:
    """Raises `ValueError` for an unknown encoding."""
    return AudioFormat(Encoding(content[0]), int(content[1]))


def write_info(info: CallInfo) -> dict[str, Any]:
    """Without numbers and parameters: no decision hangs on them, and a tape should not tell who called."""
    return {
        "transport": info.transport,
        "platform_call_id": info.platform_call_id,
        "direction": info.direction.value,
        "language": info.language,
    }


def read_info(content: dict[str, Any]) -> CallInfo:
    """The reverse of `write_info`."""
    return CallInfo(
        content["transport"],
        content["platform_call_id"],
        direction=Direction(content["direction"]),
        language=content["language"],
    )


def write_error(error: Exception) -> dict[str, str]:
    """A provider's or a line's failure."""
    if isinstance(error, ProviderError):
        return {"type": type(error).__name__, "provider": error.provider, "detail": error.detail}
    return {"type": type(error).__name__, "provider": "", "detail": str(error)}


def read_error(content: dict[str, str]) -> Exception:
    """The reverse; what is no provider's error is a line's."""
    kind = _ERRORS.get(content["type"])
    if kind is None:
        return LineError(content["detail"])
    return kind(content["provider"], content["detail"])


def write_event(event: LLMEvent) -> dict[str, Any]:
    """One event of a language model."""
    match event:
        case TextDelta():
            return {"text": event.text}
        case LanguageSwitch():
            return {"language": event.language}
        case ToolCall():
            return {"tool": event.name, "id": event.id, "arguments": event.arguments}


def read_event(content: dict[str, Any]) -> LLMEvent:
    """The reverse of `write_event`."""
    if "tool" in content:
        return ToolCall(content["id"], content["tool"], content["arguments"])
    if "language" in content:
        return LanguageSwitch(content["language"])
    return TextDelta(content["text"])


def write_chunk(chunk: SpeechChunk) -> dict[str, Any]:
    """Some synthesised speech."""
    words = [[word.offset, word.at_ms] for word in chunk.words]
    return {"audio": text_of(chunk.audio), "format": write_format(chunk.format), "words": words}


def read_chunk(content: dict[str, Any]) -> SpeechChunk:
    """The reverse of `write_chunk`."""
    words = tuple(WordTime(offset, at_ms) for offset, at_ms in content["words"])
    return SpeechChunk(bytes_of(content["audio"]), read_format(content["format"]), words)


def write_transcript(transcript: Transcript) -> dict[str, Any]:
    """What a recogniser understood."""
    return {
        "text": transcript.text,
        "final": transcript.final,
        "flushed": transcript.flushed,
        "confidence": transcript.confidence,
        "language": transcript.language,
    }


def read_transcript(content: dict[str, Any]) -> Transcript:
    """The reverse of `write_transcript`."""
    return Transcript(
        content["text"], content["final"], content["flushed"], content["confidence"], content["language"]
    )


def write_request(request: ChatRequest) -> dict[str, Any]:
    """What a model is asked, without system message and tools: the agent file on the tape has them."""
    messages = [[message.role.value, message.content] for message in request.messages[1:]]
    return {"messages": messages, "language": request.language}
