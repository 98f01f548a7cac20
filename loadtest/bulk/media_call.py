"""One bulk caller on a media stream: a state machine of its script, without socket or clock.

    GREETED -> THINKING -> SPEAKING -> WAITING -> LISTENING -> THINKING ...
                  |                      ^            |
                  +------ keys ----------+            +-> INTERRUPTING -> WAITING
                                         |            +-> COUGHING -> LISTENING

`tick` is called every 20 ms and gives what is to be sent; `received` takes the server's messages. Time comes
in as an argument.
"""

import random
from binascii import Error as Base64Error
from binascii import a2b_base64
from enum import Enum, auto

import orjson

from agent.audio.formats import FRAME_MS
from loadtest.bulk.dialect import FIRST_SEQUENCE, Stream
from loadtest.bulk.figures import Answered, Figures
from loadtest.bulk.first_word import PROBE_MS, Expected, lost_ms
from loadtest.bulk.playback import DEAD_AIR_MS, Playback
from loadtest.bulk.script import Script, lasts_ms
from loadtest.bulk.speech import CallerSpeech, Said

DONE_MS = 400.0
"""Silence after which the agent has finished (`loadtest.callers.ear.GAP_MS`)."""
RESUME_MS = 5_000.0
"""An agent that a cough has stopped must go on within this: its own bound is 0.7 s by default, 5 s at most
(`agent.agentfile.schema.Turns.false_interruption_ms`)."""
_COUGH_STOPS_MS = 1_000.0
"""A `clear` this soon after the beginning of a cough is its doing."""


class Doing(Enum):
    """What the caller is doing."""

    GREETED = auto()
    """Hears the greeting."""
    THINKING = auto()
    SPEAKING = auto()
    INTERRUPTING = auto()
    """Speaks over the agent."""
    COUGHING = auto()
    WAITING = auto()
    """For the first sound of the answer."""
    LISTENING = auto()


class MediaCall:
    """One caller."""

    codec_delay_ms: float = 0.0
    """By how much the codec delays what is heard: no part of what the server can know."""
    still_speaking_ms = 0.0
    """How long after the end of what came the agent may still be in the middle of it."""

    def __init__(
        self, stream: Stream, speech: CallerSpeech, script: Script, figures: Figures, seed: int
    ) -> None:
        self.call_id = stream.call_id
        self.doing = Doing.GREETED
        self.figures = figures
        self.over = False
        """The caller wants to hang up."""
        self._stream = stream
        self._speech = speech
        self._script = script
        self._chance = random.Random(seed)
        self._sequence = FIRST_SEQUENCE
        self._chunk = 0
        self._turn = seed
        """Callers begin at different sentences, and interrupt in different turns."""
        self._hang_up_turn = seed + script.hang_up_after
        self._lasts_ms = lasts_ms(script.hang_up_after_ms, self._chance)
        self._saying: Said | None = None
        self._said = 0
        self._begun_ms: float | None = None
        self._since_ms = 0.0
        self._next_ms = 0.0
        self._voiced_end_ms = 0.0
        self._voiced_sent_ms = 0.0
        """When the frame with that last audible sample was due. The server counts in audio time: a frame that
        we send late is none the later to it."""
        self._old_until_ms = 0.0
        """Until when a reply plays that had not ended when the caller had: what continues it is no answer."""
        self._keyed = False
        self._interrupt = self._cough = False
        self._clear_wanted_ms: float | None = None
        self._cleared = False
        self._coughed_ms = float("-inf")
        self._cough_ended_ms: float | None = None
        """Set while an agent that a cough has stopped has not gone on."""
        self._playback = Playback()
        self._beginning: bytearray | None = bytearray()
        """The first sounds of a greeting or reply, until there is enough of them to compare."""

    # --- sending -----------------------------------------------------------------------------------

    def tick(self, now_ms: float) -> bytes:
        """20 ms passed: the frames to send, media first."""
        if self._begun_ms is None:
            self._begun_ms = now_ms
        elif now_ms - self._begun_ms >= self._lasts_ms:
            self.over = True
        payload = self._payload(now_ms)
        self._chunk += 1
        data = self._stream.media(self._sequence, self._chunk, self._chunk * FRAME_MS, payload)
        self._sequence += 1
        self.figures.frames_sent += 1
        if self._playback.marks:
            for name in self._playback.reached(now_ms):
                data += self._mark(name)
        if self._keyed and self.doing is Doing.THINKING:
            data += self._press(now_ms)
        return data

    @property
    def waits_since_ms(self) -> float | None:
        """Since when the caller has waited for the greeting or an answer, in ms; None if it does not."""
        if self.doing is Doing.GREETED and not self._playback.heard_any:
            return self._begun_ms
        return self._since_ms if self.doing is Doing.WAITING else None

    def hang_up(self) -> bytes:
        """The last message."""
        return self._stream.stop(self._sequence)

    def _payload(self, now_ms: float) -> bytes:
        saying = self._saying
        if saying is None:
            self._decide(now_ms)
            saying = self._saying
            if saying is None:
                return self._speech.noise[self._chunk % len(self._speech.noise)]
        payload = saying.frames[self._said]
        if self._said == saying.last_voiced and self.doing is not Doing.COUGHING:
            self._voiced_end_ms = now_ms + saying.last_voiced_offset_ms - FRAME_MS
            self._voiced_sent_ms = min(now_ms, self._due_ms(now_ms))
        self._said += 1
        if self._said == len(saying.frames):
            self._saying = None
            self._spoken(now_ms)
        return payload

    def _due_ms(self, now_ms: float) -> float:
        """Of the present frame, counted from the first one."""
        return now_ms if self._begun_ms is None else self._begun_ms + self._chunk * FRAME_MS

    def _decide(self, now_ms: float) -> None:
        """Not speaking: is it time to do something?"""
        doing = self.doing
        if doing is Doing.THINKING:
            if now_ms >= self._next_ms and not self._keyed:
                self._begin_turn()
        elif doing is Doing.WAITING:
            if now_ms - self._since_ms > self._script.answer_within_ms:
                self.figures.unanswered += 1
                self.figures.waited(now_ms - self._since_ms, DEAD_AIR_MS)
                self._think(now_ms)
        elif doing is Doing.LISTENING:
            self._listen(now_ms)
        elif doing is Doing.GREETED and not self._playback.heard_any:
            self._await_greeting(now_ms)
        if self.doing in (Doing.LISTENING, Doing.GREETED) and self._agent_done(now_ms):
            self._think(now_ms)

    def _await_greeting(self, now_ms: float) -> None:
        """Somebody who is not greeted speaks first, in the end; to wait for ever would look like no error."""
        if self._begun_ms is not None and now_ms - self._begun_ms > self._script.answer_within_ms:
            self.figures.not_greeted += 1
            self.figures.waited(now_ms - self._begun_ms, DEAD_AIR_MS)
            self._think(now_ms)

    def _begin_turn(self) -> None:
        every = self._script.keys_every
        if every and self._turn % every == every - 1:
            # Sent behind this frame of the line's noise.
            self._keyed = True
        else:
            self._say(self._speech.sentences[self._turn % len(self._speech.sentences)], Doing.SPEAKING)

    def _press(self, now_ms: float) -> bytes:
        """All keys of the script at once, as fast fingers and platforms have them."""
        data = b""
        for digit in self._script.keys:
            data += self._stream.key(self._sequence, digit)
            self._sequence += 1
        self._voiced_end_ms = now_ms
        self._asked(now_ms)
        return data

    def _listen(self, now_ms: float) -> None:
        """The agent speaks: cut in, or cough, if this is such a turn."""
        if now_ms - self._since_ms < self._script.barge_after_ms:
            return
        if self._playback.until_ms + self.still_speaking_ms <= now_ms:
            return
        if self._interrupt:
            self.figures.barge_ins += 1
            self._clear_wanted_ms = now_ms
            self._cleared = False
            self._say(self._speech.interruption, Doing.INTERRUPTING)
        elif self._cough and self._speech.cough is not None:
            self._cough = False
            self._coughed_ms = now_ms
            self.figures.coughs += 1
            self._say(self._speech.cough, Doing.COUGHING)

    def _agent_done(self, now_ms: float) -> bool:
        if self._cough_ended_ms is not None:
            if now_ms - self._cough_ended_ms < RESUME_MS:
                return False
            self._cough_ended_ms = None
            self.figures.not_resumed += 1
        return self._playback.heard_any and now_ms - self._playback.until_ms > DONE_MS

    def _say(self, what: Said, doing: Doing) -> None:
        self._saying, self._said, self.doing = what, 0, doing

    def _spoken(self, now_ms: float) -> None:
        """The last frame of the sentence goes out now."""
        if self.doing is Doing.COUGHING:
            if self._cough_ended_ms is not None:
                self._cough_ended_ms = now_ms
            self.doing = Doing.LISTENING
            return
        self._asked(now_ms)

    def _asked(self, now_ms: float) -> None:
        """A turn was taken: now wait for the answer."""
        self._check_beginning()
        self.figures.turns += 1
        if self._clear_wanted_ms is not None:
            self.figures.missed_barge_ins += 1
            self._clear_wanted_ms = None
        self._turn += 1
        script = self._script
        self._interrupt = bool(script.barge_every) and self._turn % script.barge_every == 0
        self._cough = bool(script.cough_every) and self._turn % script.cough_every == 1 % script.cough_every
        self._since_ms = now_ms
        self._old_until_ms = self._playback.until_ms + self.still_speaking_ms
        self._playback.pause()
        self._beginning = None
        self.doing = Doing.WAITING
        if script.hang_up_after and self._turn >= self._hang_up_turn:
            self.over = True

    def _think(self, now_ms: float) -> None:
        if self.doing is Doing.GREETED and self._playback.heard_any:
            self.figures.greetings += 1
        self._check_beginning()
        self._keyed = False
        self.doing = Doing.THINKING
        self._next_ms = now_ms + self._chance.uniform(*self._script.think_ms)

    # --- receiving ---------------------------------------------------------------------------------

    def received(self, text: bytes, now_ms: float) -> bytes:
        """A message from the server: what is sent back at once, maybe nothing."""
        try:
            message = orjson.loads(text)
            event = message["event"]
            if event == "media":
                self._media(a2b_base64(message["media"]["payload"], strict_mode=True), now_ms)
                return b""
            if event == "mark":
                self._playback.mark(message["mark"]["name"])
                return b""
        except (orjson.JSONDecodeError, KeyError, TypeError, Base64Error):
            event = ""
        if event == "clear":
            return self._clear(now_ms)
        self.figures.bad_messages += 1
        return b""

    def _media(self, audio: bytes, now_ms: float) -> None:
        line = self._speech.hears
        first = self.doing is Doing.GREETED and not self._playback.heard_any
        duration_ms = line.audio.duration_ms(len(audio))
        plays_ms = self._playback.arrived(duration_ms, now_ms, self.figures)
        if first and self._begun_ms is not None:
            self.figures.greeting_ms.append(plays_ms - self._begun_ms)
        if self._cough_ended_ms is not None:
            self.figures.resume_ms.append(max(plays_ms - self._cough_ended_ms, 0.0))
            self._cough_ended_ms = None
        if self.doing is Doing.WAITING and now_ms < self._old_until_ms:
            self.figures.carried_on += 1
            self._old_until_ms = self._playback.until_ms + self.still_speaking_ms
        elif self.doing is Doing.WAITING:
            self._await_answer(audio, plays_ms)
        elif self.doing is Doing.INTERRUPTING and self._cleared:
            self.figures.stale += 1
            self.figures.stale_ms += duration_ms
        elif self.doing in (Doing.SPEAKING, Doing.THINKING):
            self.figures.early += 1
        if self._beginning is not None:
            self._beginning += audio
            if line.audio.duration_ms(len(self._beginning)) >= PROBE_MS:
                self._check_beginning()

    def _await_answer(self, audio: bytes, plays_ms: float) -> None:
        audible_ms = self._speech.hears.first_audible_ms(audio)
        if audible_ms is None:
            return
        took_ms = plays_ms + audible_ms - self._voiced_end_ms
        if self._keyed:
            self.figures.keys_to_voice_ms.append(took_ms)
        else:
            sent_ms = self._voiced_sent_ms
            self.figures.voice_to_voice_ms.append(took_ms)
            heard_ms = plays_ms + max(audible_ms - self.codec_delay_ms, 0.0)
            self.figures.answered.append(Answered(self.call_id, sent_ms, heard_ms - sent_ms))
        self.figures.waited(took_ms, DEAD_AIR_MS)
        self._keyed = False
        self._beginning = bytearray()
        self.doing = Doing.LISTENING
        self._since_ms = plays_ms

    def _check_beginning(self) -> None:
        """Enough was heard, or no more will come: was the first word whole?"""
        heard, self._beginning = self._beginning, None
        expected: tuple[Expected, ...] = (
            self._speech.greetings if self.doing is Doing.GREETED else self._speech.replies
        )
        if not heard:
            return
        answer = self.doing is not Doing.GREETED
        if not expected:
            self.figures.right_answers += answer
            return
        lost = lost_ms(bytes(heard), self._speech.hears, expected)
        self.figures.first_words += 1
        if lost is None:
            self.figures.first_words_unknown += 1
        elif lost:
            self.figures.first_word_lost_ms.append(lost)
        if answer and lost == 0:
            self.figures.right_answers += 1
        elif answer:
            self.figures.wrong_answers += 1

    def _clear(self, now_ms: float) -> bytes:
        if self._clear_wanted_ms is not None:
            self.figures.barge_in_ms.append(now_ms - self._clear_wanted_ms)
            self._clear_wanted_ms = None
            self._cleared = True
        elif now_ms - self._coughed_ms < _COUGH_STOPS_MS:
            self.figures.cough_stops += 1
            self._cough_ended_ms = now_ms
        # What was stopped is not a whole beginning, and what comes now does not continue it.
        self._beginning = None
        self._old_until_ms = min(self._old_until_ms, now_ms)
        return b"".join(self._mark(name) for name in self._playback.clear(now_ms))

    def _mark(self, name: str) -> bytes:
        data = self._stream.mark(self._sequence, name)
        self._sequence += 1
        return data
