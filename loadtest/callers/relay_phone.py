"""A telephone behind ConversationRelay: the platform listens and speaks, the server sees text."""

from collections import deque
from dataclasses import dataclass

from agent.audio.formats import FRAME_MS
from agent.clock import Clock
from agent.errors import WireError
from loadtest.callers.phone import Phone, Spoken
from loadtest.callers.relay_speech import RelaySpeaker
from loadtest.callers.twilio_relay import (
    MAX_BAD_IN_A_ROW,
    EndSession,
    PlayFile,
    RelayMessage,
    RelayOptions,
    SayText,
    SendDigits,
    SwitchLanguage,
    TwilioRelayFarEnd,
)
from loadtest.callers.utterance import Utterance
from loadtest.callers.wire import Wire

PARTIAL_MS = 250.0
"""Partial prompts come each 200-300 ms (sheet 8)."""
FINAL_AFTER_MS = 350.0
"""From the end of speech (the last partial) to the final prompt (sheet 2.1)."""
CLOSE_AFTER_END_TICKS = 4
"""`end` closes the socket within about 90 ms (sheet 6.1)."""
DTMF_TICKS = 10
_FILE_TEXT = "x" * 14
"""An audio file is taken to last a second."""


@dataclass(frozen=True, slots=True)
class TextHeard:
    """One piece of the server's text, and when it came."""

    at_ms: float
    text: str


class RelayPhone(Phone):
    """Speaks by prompts, hears by time: the ear is fed while the platform is speaking."""

    stops_by_itself = True

    def __init__(self, wire: Wire, clock: Clock, far_end: TwilioRelayFarEnd, options: RelayOptions) -> None:
        super().__init__(wire, clock, far_end.call_id)
        self._closing = (1000, "Closing websocket session")
        self.received: list[TextHeard] = []
        """The server's text, piece by piece."""
        self.played: list[str] = []
        """What the caller heard, sentence by sentence, the last one maybe cut."""
        self.handoff: str | None = None
        self.language = options.language
        self._far_end = far_end
        self._options = options
        self._speaker = RelaySpeaker()
        self._saying: Spoken | None = None
        self._said_ms = 0.0
        self._next_partial_ms = 0.0
        self._unheard = False
        """The words are spoken over speech that may not be interrupted, and are not reported."""
        self._keys: deque[str] = deque()
        self._ticks = 0
        self._next_key_tick = 0
        self._bad_in_a_row = 0
        self._close_at_tick: int | None = None
        if options.greeting:
            self._speaker.say(
                options.greeting, last=True, interruptible=options.greeting_interruptible in ("any", "speech")
            )

    def say(self, utterance: Utterance) -> Spoken:
        self._saying = Spoken(utterance)
        self._said_ms = 0.0
        self._next_partial_ms = PARTIAL_MS
        self._unheard = False
        return self._saying

    def press(self, digit: str) -> None:
        self._keys.append(digit)

    @property
    def keys_waiting(self) -> int:
        return len(self._keys)

    def answer_begun_ms(self, after_ms: float) -> float | None:
        """When the first text after `after_ms` came: the platform's own speech is not the server's time."""
        for piece in self.received:
            if piece.at_ms >= after_ms and piece.text.strip():
                return piece.at_ms
        return None

    def agent_done(self, now_ms: float) -> bool:
        return self._speaker.idle

    def agent_text(self) -> str:
        return "".join(piece.text for piece in self.received)

    def _opening(self) -> list[str]:
        return [self._far_end.setup()]

    def _farewell(self) -> list[str]:
        return []

    def _tick(self, now_ms: float) -> list[str]:
        self._ticks += 1
        messages: list[str] = []
        if self._close_at_tick is not None and self._ticks >= self._close_at_tick:
            self._end("agent", "end")
            return messages
        spell = self._speaker.tick()
        if spell.began:
            self._speaker_event(messages, "agentSpeaking", "on")
        if spell.audible:
            self.ear.hear_speech(now_ms, now_ms + FRAME_MS)
        self._report_played(messages, spell.played)
        if spell.finished:
            self._speaker_event(messages, "agentSpeaking", "off")
        self._press_key(messages)
        self._speak(messages, now_ms)
        return messages

    def _press_key(self, messages: list[str]) -> None:
        if not self._keys or self._ticks < self._next_key_tick:
            return
        digit = self._keys.popleft()
        self._next_key_tick = self._ticks + DTMF_TICKS
        if self._options.interruptible in ("any", "dtmf"):
            self._barge_in(messages)
        if self._options.dtmf:
            messages.append(self._far_end.dtmf(digit))

    def _speak(self, messages: list[str], now_ms: float) -> None:
        spoken = self._saying
        if spoken is None:
            return
        text = spoken.utterance.text
        if spoken.first_ms is None:
            spoken.first_ms = now_ms
            self._speaker_event(messages, "clientSpeaking", "on")
            self._begin_to_speak(messages)
        self._said_ms += FRAME_MS
        duration_ms = spoken.utterance.duration_ms
        if self._said_ms >= duration_ms + FINAL_AFTER_MS:
            self._speaker_event(messages, "clientSpeaking", "off")
            if not self._unheard:
                messages.append(self._far_end.prompt(text, language=self.language, last=True))
            spoken.last_ms = now_ms
            self._saying = None
        elif self._options.partial_prompts and self._said_ms >= self._next_partial_ms and not self._unheard:
            self._next_partial_ms += PARTIAL_MS
            words = _words_by(text, self._said_ms / duration_ms)
            if words and self._said_ms <= duration_ms + PARTIAL_MS:
                messages.append(self._far_end.prompt(words, language=self.language, last=False))

    def _begin_to_speak(self, messages: list[str]) -> None:
        if not self._speaker.speaking and self._speaker.idle:
            return
        if self._options.interruptible in ("any", "speech") and self._speaker.interruptible:
            self._barge_in(messages)
        else:
            self._unheard = self._options.report_during_speech not in ("any", "speech")

    def _barge_in(self, messages: list[str]) -> None:
        """Stop speaking and tell, in the order that was seen on the wire (sheet 7.1)."""
        interruption = self._speaker.interrupt()
        if interruption is None:
            return
        self._report_played(messages, [interruption.heard] if interruption.heard else [])
        messages.append(self._far_end.interrupt(interruption.heard, interruption.heard_ms))
        self._speaker_event(messages, "agentSpeaking", "off")

    def _report_played(self, messages: list[str], played: list[str]) -> None:
        self.played += played
        if self._options.tokens_played:
            messages += [self._far_end.info("tokensPlayed", text) for text in played]

    def _speaker_event(self, messages: list[str], name: str, value: str) -> None:
        if self._options.speaker_events:
            messages.append(self._far_end.info(name, value))

    def _read(self, text: str, now_ms: float) -> list[str]:
        try:
            message = self._far_end.read(text)
        except WireError as error:
            self._note_problem(str(error))
            self._bad_in_a_row += 1
            if self._bad_in_a_row >= MAX_BAD_IN_A_ROW:
                self._closing = (1007, "Too many malformed messages")
                self._end("agent", "closed with 1007: too many malformed messages")
            return [self._far_end.error(text)]
        self._bad_in_a_row = 0
        return self._obey(message, now_ms)

    def _obey(self, message: RelayMessage, now_ms: float) -> list[str]:
        messages: list[str] = []
        if isinstance(message, SayText):
            self.received.append(TextHeard(now_ms, message.token))
            default = self._options.interruptible in ("any", "speech")
            cut = self._speaker.say(
                message.token,
                last=message.last,
                interruptible=default if message.interruptible is None else message.interruptible,
                preemptible=self._options.preemptible if message.preemptible is None else message.preemptible,
            )
            self._report_played(messages, cut)
        elif isinstance(message, PlayFile):
            self._speaker.say(_FILE_TEXT, last=True)
        elif isinstance(message, SendDigits):
            # Digits are reported as played tokens (sheet 2.1).
            self._report_played(messages, [message.digits])
        elif isinstance(message, SwitchLanguage):
            self.language = message.listening or self.language
        else:
            assert isinstance(message, EndSession)
            self.handoff = message.handoff
            self._close_at_tick = self._ticks + CLOSE_AFTER_END_TICKS
        return messages


def _words_by(text: str, share: float) -> str:
    """The whole words that have been said by `share` of the utterance."""
    if share >= 1.0:
        return text
    return text[: round(len(text) * share)].rpartition(" ")[0]
