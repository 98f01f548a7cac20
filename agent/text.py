"""A call over a text line: the platform hears and speaks, we answer."""

from collections.abc import Callable

from agent import wording
from agent.call import Call
from agent.caller_turn import ready
from agent.events import CallListener
from agent.latency import TurnMarks
from agent.lines import TextLine
from agent.services import CallServices
from agent.text_mouth import TextMouth
from agent.turns.backchannel import is_backchannel
from agent.turns.expectation import Expect
from agent.turns.machine import State

NO_WORDS_MS = 2_000.0
"""After the platform has stopped the agent: how long words are waited for until the agent goes on (Twilio
sheet, 7.2: an interruption may come with no prompt after it)."""


class TextConversation:
    """One text call. Implements `agent.lines.TextCall` for the transport."""

    def __init__(
        self,
        line: TextLine,
        services: CallServices,
        on_ended: Callable[[Call], None],
        listener: CallListener | None = None,
        *,
        greeted: bool = False,
    ) -> None:
        self.call = Call(line.info, services, on_ended, listener)
        self.mouth = TextMouth(line, services.clock, self.call, services.coarse)
        self._line = line
        self._partial = ""
        self._tells = False  # this platform tells when the caller speaks, or what he has said so far
        self.call.begin(line, self.mouth, self, greeting_spoken=greeted)
        if greeted:
            self.mouth.greeted(wording.greeting(services.agent, self.call.language))
            self.mouth.end()

    def replace_line(self, line: TextLine) -> None:
        """The socket was replaced; the conversation goes on, the greeting does not come again."""
        self._line = line
        if not self.call.replace_line(line):
            return
        began_in = wording.closest_language(self.call.services.agent, line.info.language)
        if self.call.language != (began_in or self.call.services.agent.language):
            line.switch_language(self.call.language)
        self.mouth.replace_line(line)
        # What the caller was saying went the way of the old socket.
        self.forget()
        self.call.quiet()

    # --- for the transport -------------------------------------------------------------------------

    def prompt(self, text: str, *, final: bool, language: str | None = None) -> None:
        """See `agent.lines.TextCall`."""
        now_ms = self.call.clock.now_ms()
        if language and wording.closest_language(self.call.services.agent, language) is None:
            self.call.bad_message("unknown_language")
        if final:
            self.forget()
            self._complete(text, now_ms)
            return
        self._tells = True
        self._partial = text
        self.call.scope.cancel_timer("no words")
        self.call.partial(text)
        if self.call.state is State.IDLE and text.strip():
            self.call.voice()
        elif self.call.state is State.YIELDED and self._means_something(text):
            self.call.words()

    def interrupted(self, heard: str, heard_ms: float) -> None:
        """See `agent.lines.TextCall`.

        The platform has thrown away what it had not spoken. As on a media line, words decide what becomes of
        it: a cough or a "mhm" stops the agent as well.
        """
        now_ms = self.call.clock.now_ms()
        if self.call.state in (State.SPEAKING, State.REPLYING):
            self.mouth.ledger.interrupted(heard, now_ms)
            self.call.barge(None)
        elif self.call.state is State.IDLE and self.mouth.ledger.heard(now_ms).text:
            # The voice was behind our estimate of it.
            self.call.replies.cut_afterwards(self.mouth.ledger.interrupted(heard, now_ms).text)
            self.call.voice()
        self._await_words()

    def played(self, text: str) -> None:
        """See `agent.lines.TextCall`."""
        self.mouth.ledger.played(text)

    def agent_speaking(self, speaking: bool) -> None:
        """See `agent.lines.TextCall`."""
        self.mouth.ledger.speaking(speaking)
        if not speaking:
            self.mouth.spoke()

    def caller_speaking(self, speaking: bool) -> None:
        """See `agent.lines.TextCall`."""
        self._tells = True
        if not speaking:
            self._await_words()
            return
        self.call.scope.cancel_timer("no words")
        if self.call.state is State.IDLE:
            self.call.voice()

    def dtmf(self, digit: str) -> None:
        """See `agent.lines.LineCall`."""
        self.call.dtmf(digit)

    def typed(self, text: str) -> None:
        """See `agent.lines.LineCall`."""
        self.call.typed(text)

    def bad_message(self, kind: str) -> None:
        """See `agent.lines.LineCall`."""
        self.call.bad_message(kind)

    async def hung_up(self, cause: str) -> None:
        """See `agent.lines.LineCall`."""
        await self.call.hung_up(cause)

    async def lost(self) -> None:
        """See `agent.lines.LineCall`."""
        await self.call.lost()

    # --- for the call ------------------------------------------------------------------------------

    def switch_language(self, language: str) -> None:
        """See `agent.lines.LineCall` and `agent.hearing.Hearing`."""
        if language == self.call.language:
            self._line.switch_language(language)
        else:
            self.call.switch_language(language)

    def long_turn(self) -> None:
        """See `agent.hearing.Hearing`."""
        partial = self._partial
        self.forget()
        self._complete(partial, self.call.clock.now_ms())

    def ignore(self) -> None:
        """See `agent.hearing.Hearing`. What is no turn is for the platform to know."""

    def forget(self) -> None:
        """See `agent.hearing.Hearing`."""
        self._partial = ""
        self.call.scope.cancel_timer("no words")

    async def close(self) -> None:
        """See `agent.hearing.Hearing`. The platform hears; there is nothing to close."""

    def _complete(self, text: str, now_ms: float) -> None:
        agent_has_the_floor = self.call.state in (State.SPEAKING, State.YIELDED)
        if text.strip() and (not agent_has_the_floor or self._means_something(text)):
            self.call.complete(ready(text, TurnMarks(endpoint_ms=now_ms)))
        else:
            self.call.quiet()

    def _means_something(self, text: str) -> bool:
        """Said while the agent has the floor: more than a "mhm", unless that answers a question."""
        if not text.strip():
            return False
        if not is_backchannel(text, self.call.language):
            return True
        return self.call.replies.expectation.kind is Expect.YES_NO

    def _await_words(self) -> None:
        """A sound of the caller is over: words of it come soon, or never."""
        if self._tells and not self._partial and self.call.state in (State.HEARING, State.YIELDED):
            self.call.scope.after("no words", NO_WORDS_MS, self.call.quiet)
