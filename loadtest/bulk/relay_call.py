"""One bulk caller over ConversationRelay: prompts at a fixed rhythm, without socket or clock."""

import math

import orjson

from loadtest.bulk.figures import Answered, Figures
from loadtest.bulk.frames import client_frame
from loadtest.bulk.playback import DEAD_AIR_MS
from loadtest.bulk.script import Script
from loadtest.callers.identity import twilio_identity
from loadtest.callers.twilio_relay import TwilioRelayFarEnd
from loadtest.callers.utterance import CHARS_PER_S

PATH = "/twilio/relay"
STAYS = Script()
"""One who asks and asks."""
NAME = "twilio-relay"
_PROMPT = "What are your opening hours?"
_LANGUAGE = "en-US"


class RelayCall:
    """One caller. The platform speaks what comes at 14 characters a second, and is interrupted by the next
    prompt if it has not finished."""

    def __init__(
        self,
        figures: Figures,
        reply: str = "",
        script: Script = STAYS,
        begun_ms: float | None = None,
        until_ms: float = math.inf,
    ) -> None:
        """`reply` is what every answer has to begin with, if that is known.

        Of `script` the caller keeps `hang_up_after`, `keys_every` and `keys`; from `until_ms` on nothing more
        is asked.
        """
        far_end = TwilioRelayFarEnd(twilio_identity(), {})
        self.call_id = far_end.call_id
        self.opening = client_frame(far_end.setup().encode())
        self.figures = figures
        self.over = False
        """The caller wants to hang up."""
        self._far_end = far_end
        self._prompt = client_frame(far_end.prompt(_PROMPT, language=_LANGUAGE, last=True).encode())
        self._reply = reply
        self._script = script
        self._turn = 0
        self._until_ms = until_ms
        self._greeting_from_ms = begun_ms
        self._asked_ms: float | None = None
        self._keyed = False
        """The present turn is one of keys."""
        self._answered = False
        self._text = ""
        self._spoken_from_ms = 0.0

    def ask(self, now_ms: float) -> bytes:
        """The caller's next turn: what is to be sent."""
        if self._asked_ms is not None:
            self.figures.unanswered += 1
            self.figures.waited(now_ms - self._asked_ms, DEAD_AIR_MS)
        if self._answered:
            self._check_beginning()
        self.figures.turns += 1
        every, leaves_after = self._script.keys_every, self._script.hang_up_after
        self._keyed = bool(every) and self._turn % every == every - 1
        self._turn += 1
        self.over = self._turn == leaves_after or now_ms >= self._until_ms
        data = self._interrupt(now_ms) + (self._keys() if self._keyed else self._prompt)
        self._asked_ms, self._text, self._answered = now_ms, "", False
        self._greeting_from_ms = None
        return data

    @property
    def waits_since_ms(self) -> float | None:
        """Since when the caller has waited for an answer, in ms; None if it does not."""
        return self._asked_ms

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
        if self._greeting_from_ms is not None:
            self.figures.greetings += 1
            self.figures.greeting_ms.append(now_ms - self._greeting_from_ms)
            self._greeting_from_ms = None
        if self._asked_ms is not None:
            took_ms = now_ms - self._asked_ms
            if self._keyed:
                self.figures.keys_to_voice_ms.append(took_ms)
            else:
                self.figures.voice_to_voice_ms.append(took_ms)
                self.figures.answered.append(Answered(self.call_id, self._asked_ms, took_ms))
            self.figures.waited(now_ms - self._asked_ms, DEAD_AIR_MS)
            self._asked_ms = None
            self._answered = True
        if not self._text:
            self._spoken_from_ms = now_ms
        self._text += token

    def _check_beginning(self) -> None:
        """Text is whole or it is not: a reply that begins with other words has lost its first one."""
        if not self._reply:
            self.figures.right_answers += 1
            return
        size = min(len(self._text), len(self._reply))
        self.figures.first_words += 1
        if self._text[:size] == self._reply[:size]:
            self.figures.right_answers += 1
            return
        self.figures.wrong_answers += 1
        missing = self._reply.find(self._text[:size])
        if missing > 0:
            self.figures.first_word_lost_ms.append(missing * 1000 / CHARS_PER_S)
        else:
            self.figures.first_words_unknown += 1

    def _keys(self) -> bytes:
        return b"".join(client_frame(self._far_end.dtmf(digit).encode()) for digit in self._script.keys)

    def _interrupt(self, now_ms: float) -> bytes:
        heard_ms = now_ms - self._spoken_from_ms
        heard = int(heard_ms * CHARS_PER_S / 1000)
        if not self._text or heard >= len(self._text):
            return b""
        self.figures.barge_ins += 1
        return client_frame(self._far_end.interrupt(self._text[:heard], heard_ms).encode())
