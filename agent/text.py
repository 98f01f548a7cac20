"""A call over a text line: the platform hears and speaks, we answer."""

from collections.abc import Callable

from agent import wording
from agent.call import Call
from agent.caller_turn import ready
from agent.events import CallListener
from agent.latency import TurnMarks
from agent.lines import TextLine
from agent.mouth import TextMouth
from agent.services import CallServices
from agent.turns.machine import State


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
        self.mouth = TextMouth(line, services.clock, self.call)
        self._line = line
        self._partial = ""
        self.call.begin(line, self.mouth, self, greeting_spoken=greeted)
        if greeted:
            self.mouth.greeted(wording.greeting(services.agent, self.call.language))
            self.mouth.end()

    def replace_line(self, line: TextLine) -> None:
        """The socket was replaced; the conversation goes on, the greeting does not come again."""
        self._line = line
        self.call.replace_line(line)
        began_in = wording.closest_language(self.call.services.agent, line.info.language)
        if self.call.language != (began_in or self.call.services.agent.language):
            line.switch_language(self.call.language)
        self.mouth.replace_line(line)
        self.call.quiet()

    # --- for the transport -------------------------------------------------------------------------

    def prompt(self, text: str, *, final: bool, language: str | None = None) -> None:
        """See `agent.lines.TextCall`."""
        now_ms = self.call.clock.now_ms()
        if language and wording.closest_language(self.call.services.agent, language) is None:
            self.call.bad_message("unknown_language")
        if not final:
            self._partial = text
            self.call.partial(text)
            if self.call.state is State.IDLE and text.strip():
                self.call.voice()
            return
        self._partial = ""
        self._complete(text, now_ms)

    def interrupted(self, heard: str, heard_ms: float) -> None:
        """See `agent.lines.TextCall`."""
        if self.call.state in (State.SPEAKING, State.REPLYING):
            self.mouth.ledger.interrupted(heard, self.call.clock.now_ms())
            self.call.interrupted()

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
        if speaking and self.call.state is State.IDLE:
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
        """See `agent.lines.LineCall` and `agent.call.Hearing`."""
        if language == self.call.language:
            self._line.switch_language(language)
        else:
            self.call.switch_language(language)

    def long_turn(self) -> None:
        """See `agent.call.Hearing`."""
        partial, self._partial = self._partial, ""
        self._complete(partial, self.call.clock.now_ms())

    def forget(self) -> None:
        """See `agent.call.Hearing`."""
        self._partial = ""

    async def close(self) -> None:
        """See `agent.call.Hearing`. The platform hears; there is nothing to close."""

    def _complete(self, text: str, now_ms: float) -> None:
        if text.strip():
            self.call.complete(ready(text, TurnMarks(endpoint_ms=now_ms)))
        else:
            self.call.quiet()
