"""One bulk caller over ConversationRelay: prompts at a fixed rhythm, without socket or clock."""

import orjson

from loadtest.bulk.figures import Figures
from loadtest.bulk.frames import client_frame
from loadtest.callers.identity import twilio_identity
from loadtest.callers.twilio_relay import TwilioRelayFarEnd
from loadtest.callers.utterance import CHARS_PER_S

PATH = "/twilio/relay"
NAME = "twilio-relay"
_PROMPT = "What are your opening hours?"
_LANGUAGE = "en-US"


class RelayCall:
    """One caller. The platform speaks what comes at 14 characters a second, and is interrupted by the next
    prompt if it has not finished."""

    def __init__(self, figures: Figures) -> None:
        far_end = TwilioRelayFarEnd(twilio_identity(), {})
        self.call_id = far_end.call_id
        self.opening = client_frame(far_end.setup().encode())
        self.figures = figures
        self._far_end = far_end
        self._prompt = client_frame(far_end.prompt(_PROMPT, language=_LANGUAGE, last=True).encode())
        self._asked_ms: float | None = None
        self._text = ""
        self._spoken_from_ms = 0.0

    def ask(self, now_ms: float) -> bytes:
        """The caller's next turn: what is to be sent."""
        if self._asked_ms is not None:
            self.figures.unanswered += 1
        self.figures.turns += 1
        data = self._interrupt(now_ms) + self._prompt
        self._asked_ms, self._text = now_ms, ""
        return data

    def received(self, text: bytes, now_ms: float) -> None:
        """A message from the server."""
        try:
            message = orjson.loads(text)
            kind, token = message["type"], str(message.get("token", ""))
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            self.figures.bad_messages += 1
            return
        if kind != "text" or not token:
            return
        if self._asked_ms is not None:
            self.figures.voice_to_voice_ms.append(now_ms - self._asked_ms)
            self._asked_ms = None
        if not self._text:
            self._spoken_from_ms = now_ms
        self._text += token

    def _interrupt(self, now_ms: float) -> bytes:
        heard_ms = now_ms - self._spoken_from_ms
        heard = int(heard_ms * CHARS_PER_S / 1000)
        if not self._text or heard >= len(self._text):
            return b""
        self.figures.barge_ins += 1
        return client_frame(self._far_end.interrupt(self._text[:heard], heard_ms).encode())
