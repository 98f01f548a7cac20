"""One Realtime session, without socket or clock: a client's events in, the server's events out. Pure.

What takes time, a response, is given out as an iterator of events that the socket paces (`Session.playing`).
Sheet: `protocols/providers/openai.md`, 7.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any

from loadtest.simulators.realtime_config import EventMistake, SessionConfig
from loadtest.simulators.realtime_reply import (
    Event,
    Item,
    Response,
    Spoken,
    call_events,
    created,
    done,
    spoken_events,
)
from loadtest.simulators.realtime_turns import SpeechStarted, TurnListener

MAX_ITEMS = 1_000
"""Items of one conversation: beyond it the oldest are forgotten, as by the vendor's truncation."""
MAX_BUFFER_MS = 3_600_000.0
"""Audio before a commit: no longer than a session."""

Script = Callable[[int], Spoken]
"""From the number of the response in its session to what is said."""
Heard = Callable[[int], str]
"""From the number of the caller's turn to its transcript: nothing is really recognised."""


class Session:
    """The conversation on one socket."""

    def __init__(self, model: str, script: Script, heard: Heard) -> None:
        self.config = SessionConfig(model)
        self.playing: Iterator[Event] | None = None
        """The response under way: to be taken event by event, each paced."""
        self._script = script
        self._heard = heard
        self._items: dict[str, Item] = {}
        self._response: Response | None = None
        self._listener = TurnListener(self.config.input_format)
        self._buffered_ms = 0.0
        self._events = self._responses = self._turns = self._made = 0
        self._has_spoken = False
        self._user_item = ""

    def start(self, session_id: str, expires_at: int) -> Event:
        """The first event."""
        shown = self.config.shown() | {
            "object": "realtime.session",
            "id": session_id,
            "expires_at": expires_at,
        }
        return self.numbered({"type": "session.created", "session": shown})

    def receive(self, event: Any) -> list[Event]:
        """A client's event. A mistake is answered, not raised."""
        document: Event = event if isinstance(event, dict) else {}
        handler = self._HANDLERS.get(str(document.get("type")), Session._unknown)
        try:
            found = handler(self, document)
        except EventMistake as mistake:
            found = [error(mistake, document.get("event_id"))]
        return [self.numbered(answer) for answer in found]

    def next_event(self) -> Event | None:
        """The next event of the response under way; None when it is over."""
        if self.playing is None:
            return None
        event = next(self.playing, None)
        if event is None:
            self.playing = None
            return None
        if event["type"] == "response.output_audio.delta":
            self._has_spoken = True
        if event["type"] == "response.done":
            self.playing = self._response = None
        return self.numbered(event)

    def fail(self, code: str) -> list[Event]:
        """End the response under way as failed."""
        details = {"type": "failed", "error": {"type": "server_error", "code": code}}
        return [self.numbered(event) for event in self._end("failed", details)]

    def numbered(self, event: Event) -> Event:
        """With an `event_id` of its own."""
        self._events += 1
        return {**event, "event_id": f"event_{self._events}"}

    # --- what clients ask for ---------------------------------------------------------------------------

    def _update(self, event: Event) -> list[Event]:
        before = self.config.input_format
        self.config.update(event.get("session"), has_spoken=self._has_spoken)
        if self.config.input_format != before:
            self._listener = TurnListener(self.config.input_format)
        return [{"type": "session.updated", "session": self.config.shown()}]

    def _append(self, event: Event) -> list[Event]:
        try:
            audio = base64.b64decode(event["audio"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise EventMistake("invalid_value", "Expected base64-encoded audio bytes.", "audio") from None
        self._buffered_ms = min(
            self._buffered_ms + self.config.input_format.duration_ms(len(audio)), MAX_BUFFER_MS
        )
        detection = self.config.turn_detection
        if detection is None:
            return []
        found: list[Event] = []
        for change in self._listener.feed(audio, self.config.silence_ms):
            if isinstance(change, SpeechStarted):
                found += self._speech_started(change.at_ms, interrupts=detection["interrupt_response"])
            else:
                stopped = {
                    "type": "input_audio_buffer.speech_stopped",
                    "audio_end_ms": int(change.at_ms),
                    "item_id": self._user_item,
                }
                found += [stopped, *self._committed()]
                if detection["create_response"] and self._response is None:
                    found += self._respond()
        return found

    def _speech_started(self, at_ms: float, *, interrupts: bool) -> list[Event]:
        self._user_item = self._new_id("item")
        padding_ms = float((self.config.turn_detection or {}).get("prefix_padding_ms", 0))
        started = {
            "type": "input_audio_buffer.speech_started",
            "audio_start_ms": int(max(0.0, at_ms - padding_ms)),
            "item_id": self._user_item,
        }
        if interrupts and self._response is not None:
            return [started, *self._end("cancelled", {"type": "cancelled", "reason": "turn_detected"})]
        return [started]

    def _commit(self, _: Event) -> list[Event]:
        # The vendor wants 100 ms at least.
        if self._buffered_ms < 100:
            raise EventMistake(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {self._buffered_ms:.2f}ms of audio.",
            )
        self._user_item = self._new_id("item")
        return self._committed()

    def _committed(self) -> list[Event]:
        self._turns += 1
        self._buffered_ms = 0.0
        item = Item(
            self._user_item,
            {
                "id": self._user_item,
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_audio", "transcript": None}],
            },
        )
        previous = self._last_id()
        found: list[Event] = [
            {"type": "input_audio_buffer.committed", "previous_item_id": previous, "item_id": item.id},
            *self._add(item),
        ]
        if self.config.transcribes:
            place = {"item_id": item.id, "content_index": 0}
            text = self._heard(self._turns - 1)
            prefix = "conversation.item.input_audio_transcription"
            found += [
                {"type": f"{prefix}.delta", **place, "delta": text},
                {"type": f"{prefix}.completed", **place, "transcript": text, "usage": {"type": "tokens"}},
            ]
        return found

    def _clear(self, _: Event) -> list[Event]:
        self._buffered_ms = 0.0
        return [{"type": "input_audio_buffer.cleared"}]

    def _create_item(self, event: Event) -> list[Event]:
        document = event.get("item")
        kinds = ("message", "function_call", "function_call_output")
        if not isinstance(document, dict) or document.get("type") not in kinds:
            raise EventMistake("invalid_value", f"Expected one of {', '.join(kinds)}.", "item.type")
        if document["type"] == "function_call_output":
            calls = {item.document.get("call_id") for item in self._items.values()}
            if document.get("call_id") not in calls:
                raise EventMistake(
                    "invalid_tool_call_id",
                    f"Tool call ID {document.get('call_id')!r} not found.",
                    "item.call_id",
                )
        item_id = str(document.get("id") or self._new_id("item"))
        return self._add(Item(item_id, {**document, "id": item_id, "status": "completed"}))

    def _retrieve(self, event: Event) -> list[Event]:
        return [{"type": "conversation.item.retrieved", "item": self._item(event, "retrieve").document}]

    def _delete(self, event: Event) -> list[Event]:
        item = self._item(event, "delete")
        del self._items[item.id]
        return [{"type": "conversation.item.deleted", "item_id": item.id}]

    def _truncate(self, event: Event) -> list[Event]:
        """With the three mistakes of openai.md 7.6."""
        item = self._item(event, "truncate")
        end_ms = event.get("audio_end_ms")
        if not item.generated or not end_ms:
            raise EventMistake(
                "unsupported_content_type", "Only model output audio messages can be truncated"
            )
        if not isinstance(end_ms, int) or end_ms < 0:
            raise EventMistake("invalid_value", "Expected milliseconds.", "audio_end_ms")
        if end_ms > item.audio_ms:
            raise EventMistake(
                None, f"Audio content of {item.audio_ms:.0f}ms is already shorter than {end_ms}ms"
            )
        item.audio_ms = float(end_ms)
        item.document = {**item.document, "content": [{"type": "output_audio", "transcript": None}]}
        return [
            {
                "type": "conversation.item.truncated",
                "item_id": item.id,
                "content_index": 0,
                "audio_end_ms": end_ms,
            }
        ]

    def _create_response(self, _: Event) -> list[Event]:
        if self._response is not None:
            raise EventMistake(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._response.id}.",
            )
        return self._respond()

    def _cancel(self, event: Event) -> list[Event]:
        wanted = event.get("response_id")
        if self._response is None or (wanted is not None and wanted != self._response.id):
            raise EventMistake("response_cancel_not_active", "Cancellation failed: no active response found")
        return self._end("cancelled", {"type": "cancelled", "reason": "client_cancelled"})

    def _unknown(self, event: Event) -> list[Event]:
        raise EventMistake("invalid_value", f"Invalid value: {event.get('type')!r}.", "type")

    _HANDLERS: dict[str, Callable[["Session", Event], list[Event]]] = {  # noqa: RUF012  # never changed
        "session.update": _update,
        "input_audio_buffer.append": _append,
        "input_audio_buffer.commit": _commit,
        "input_audio_buffer.clear": _clear,
        "conversation.item.create": _create_item,
        "conversation.item.retrieve": _retrieve,
        "conversation.item.delete": _delete,
        "conversation.item.truncate": _truncate,
        "response.create": _create_response,
        "response.cancel": _cancel,
    }

    # --- responses --------------------------------------------------------------------------------------

    def _respond(self) -> list[Event]:
        self._response = Response(self._new_id("resp"))
        self.playing = self._events_of(self._response, self._script(self._responses))
        self._responses += 1
        return [created(self._response)]

    def _events_of(self, response: Response, spoken: Spoken) -> Iterator[Event]:
        config = self.config
        audio = None if config.text_only else config.output_format
        for text in spoken.texts:
            item = self._generated(response, type="message", role="assistant", content=[])
            item.generated = False
            yield from self._in_conversation(
                item,
                spoken_events(response, item, text, len(response.items) - 1, audio, config.speed),
            )
        for call in spoken.calls:
            item = self._generated(
                response, type="function_call", name=call.name, call_id=self._new_id("call"), arguments=""
            )
            yield from self._in_conversation(item, call_events(response, item, call, len(response.items) - 1))
        yield done(response)

    def _generated(self, response: Response, **fields: Any) -> Item:
        item_id = self._new_id("item")
        item = Item(item_id, {"id": item_id, "object": "realtime.item", "status": "in_progress", **fields})
        response.items.append(item)
        return item

    def _in_conversation(self, item: Item, events: Iterator[Event]) -> Iterator[Event]:
        """The item is in the conversation from its first event, and done with its last."""
        first = next(events)
        added, finished = self._add(item)
        yield from (first, added)
        yield from events
        yield {**finished, "item": item.document}

    def _end(self, status: str, details: Event) -> list[Event]:
        response, self._response, self.playing = self._response, None, None
        if response is None:
            return []
        for item in response.items:
            if item.document["status"] == "in_progress":
                item.document = {**item.document, "status": "incomplete"}
        return [done(response, status, details)]

    # --- items ------------------------------------------------------------------------------------------

    def _add(self, item: Item) -> list[Event]:
        previous = self._last_id()
        self._items[item.id] = item
        if len(self._items) > MAX_ITEMS:
            del self._items[next(iter(self._items))]
        return [
            {"type": f"conversation.item.{what}", "previous_item_id": previous, "item": item.document}
            for what in ("added", "done")
        ]

    def _item(self, event: Event, what: str) -> Item:
        item = self._items.get(str(event.get("item_id")))
        if item is None:
            raise EventMistake(
                f"item_{what}_invalid_item_id",
                f"Error: the item with id {event.get('item_id')!r} does not exist.",
                "item_id",
            )
        return item

    def _last_id(self) -> str | None:
        return next(reversed(self._items), None)

    def _new_id(self, kind: str) -> str:
        self._made += 1
        return f"{kind}_{self._made}"


def error(mistake: EventMistake, event_id: object = None) -> Event:
    """The `error` event."""
    inner = {"type": mistake.kind, "code": mistake.code, "message": mistake.message, "param": mistake.param}
    return {"type": "error", "error": {**inner, "event_id": event_id}}
