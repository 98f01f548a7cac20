"""What one response of the Realtime simulator looks like on the wire. Pure.

Sheet: `protocols/providers/openai.md`, 7.4 and 7.5.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.audio.formats import AudioFormat
from loadtest.simulators.openai_chunks import ScriptedCall
from loadtest.simulators.tones import Tones

CHUNK_MS = 200.0
"""Audio in one delta."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One response: texts, each an assistant item of its own, then function calls."""

    texts: tuple[str, ...] = ()
    calls: tuple[ScriptedCall, ...] = ()


@dataclass(slots=True)
class Item:
    """One item of the conversation, as far as the simulator has to know it."""

    id: str
    document: dict[str, Any]
    audio_ms: float = 0.0
    """Of an assistant's item: what has been sent."""
    generated: bool = False
    """By the model, as audio: only such can be truncated."""


@dataclass(slots=True)
class Response:
    """A response under way."""

    id: str
    items: list[Item] = field(default_factory=list)
    paced: bool = True


Event = dict[str, Any]


def spoken_events(
    response: Response, item: Item, text: str, index: int, audio: AudioFormat | None, speed: float
) -> Iterator[Event]:
    """One assistant item's events in order; audio None: text only. Counts the audio as it is given out."""
    place = {"response_id": response.id, "item_id": item.id, "output_index": index, "content_index": 0}
    part = {"type": "text", "text": ""} if audio is None else {"type": "audio", "transcript": ""}
    yield _added(response, item, index)
    yield {"type": "response.content_part.added", **place, "part": part}
    words = [word + " " for word in text.split()]
    if words:
        words[-1] = words[-1].rstrip()
    if audio is None:
        for word in words:
            yield {"type": "response.output_text.delta", **place, "delta": word}
        yield {"type": "response.output_text.done", **place, "text": text}
        part = {"type": "text", "text": text}
        content: Event = {"type": "output_text", "text": text}
    else:
        yield from _audio_events(item, words, audio, speed, place)
        yield {"type": "response.output_audio.done", **place}
        yield {"type": "response.output_audio_transcript.done", **place, "transcript": text}
        part = {"type": "audio", "transcript": text}
        content = {"type": "output_audio", "transcript": text}
    yield {"type": "response.content_part.done", **place, "part": part}
    item.document = {**item.document, "status": "completed", "content": [content]}
    yield _done(response, item, index)


def _audio_events(
    item: Item, words: list[str], audio: AudioFormat, speed: float, place: dict[str, Any]
) -> Iterator[Event]:
    """Words run ahead of their sound, as the model writes them."""
    sound = Tones(audio, speed).speak("".join(words))
    size = int(audio.bytes_per_ms * CHUNK_MS)
    chunks = [sound[at : at + size] for at in range(0, len(sound), size)]
    item.generated = True
    said = 0
    for number, chunk in enumerate(chunks, 1):
        until = -(-len(words) * number // len(chunks))
        for word in words[said:until]:
            yield {"type": "response.output_audio_transcript.delta", **place, "delta": word}
        said = until
        item.audio_ms += audio.duration_ms(len(chunk))
        delta = base64.b64encode(chunk).decode()
        yield {"type": "response.output_audio.delta", **place, "delta": delta}


def call_events(response: Response, item: Item, call: ScriptedCall, index: int) -> Iterator[Event]:
    """One function call's events in order."""
    place = {"response_id": response.id, "item_id": item.id, "output_index": index}
    call_id = item.document["call_id"]
    yield _added(response, item, index)
    size = max(1, -(-len(call.arguments) // max(1, call.pieces)))
    for at in range(0, len(call.arguments), size):
        delta = call.arguments[at : at + size]
        yield {"type": "response.function_call_arguments.delta", **place, "call_id": call_id, "delta": delta}
    yield {
        "type": "response.function_call_arguments.done",
        **place,
        "call_id": call_id,
        "name": call.name,
        "arguments": call.arguments,
    }
    item.document = {**item.document, "status": "completed", "arguments": call.arguments}
    yield _done(response, item, index)


def created(response: Response) -> Event:
    """The response begins."""
    return {"type": "response.created", "response": _shown(response, "in_progress", None)}


def done(response: Response, status: str = "completed", details: Event | None = None) -> Event:
    """The response is over, however it ended."""
    audio_tokens = int(sum(item.audio_ms for item in response.items) / 50)  # openai.md 7.4: 50 ms a token
    usage = {"total_tokens": 120 + audio_tokens, "input_tokens": 120, "output_tokens": audio_tokens}
    return {"type": "response.done", "response": {**_shown(response, status, details), "usage": usage}}


def _shown(response: Response, status: str, details: Event | None) -> Event:
    return {
        "object": "realtime.response",
        "id": response.id,
        "status": status,
        "status_details": details,
        "output": [item.document for item in response.items],
        "conversation_id": "conv_simulated",
        "usage": None,
        "metadata": None,
    }


def _added(response: Response, item: Item, index: int) -> Event:
    return {
        "type": "response.output_item.added",
        "response_id": response.id,
        "output_index": index,
        "item": item.document,
    }


def _done(response: Response, item: Item, index: int) -> Event:
    return {
        "type": "response.output_item.done",
        "response_id": response.id,
        "output_index": index,
        "item": item.document,
    }
