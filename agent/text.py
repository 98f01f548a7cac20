"""A call over a text line: the platform hears and speaks, we answer."""

from collections.abc import Callable

from agent.call import Call, CallerTurn, CallServices
from agent.latency import TurnMarks
from agent.lines import TextLine
from agent.mouth import TextMouth
from agent.turns.machine import State


class TextConversation:
    """One text call. Implements `agent.lines.TextCall` for the transport."""

    def __init__(
        self,
        line: TextLine,
        services: CallServices,
        on_ended: Callable[[Call], None],
        *,
        greeted: bool = False,
    ) -> None:
        agent = services.agent
        self.call = Call(line.info, services, on_ended)
        self.mouth = TextMouth(line, services.clock, self.call)
        self._line = line
        self._partial = ""
        self.call.on_language = self._switch
        self.call.on_long_turn = self._long_turn
        self.call.begin(line, self.mouth, greeting_spoken=greeted)
        if greeted:
            greeting = agent.greeting.get(self.call.language) or agent.greeting[agent.language]
            self.call.platform_says(greeting)
            self.mouth.greeted(greeting)
            self.mouth.end()

    def replace_line(self, line: TextLine) -> None:
        """The socket was replaced; the conversation goes on, the greeting does not come again."""
        self._line = line
        self.call.replace_line(line)
        self.mouth.replace_line(line)
        self.call.quiet()

    def _switch(self, language: str) -> None:
        self._line.switch_language(language)

    # --- for the transport -------------------------------------------------------------------------

    def prompt(self, text: str, *, final: bool, language: str | None = None) -> None:
        """See `agent.lines.TextCall`."""
        now_ms = self.call.clock.now_ms()
        if language and not self._known(language):
            self.call.bad_message("unknown_language")
        if not final:
            self._partial = text
            if self.call.state is State.IDLE and text.strip():
                self.call.voice()
            return
        self._partial = ""
        self._complete(text, TurnMarks(endpoint_ms=now_ms))

    def interrupted(self, heard: str, heard_ms: float) -> None:
        """See `agent.lines.TextCall`."""
        if self.call.state in (State.SPEAKING, State.REPLYING):
            self.call.interrupted(self.mouth.ledger.interrupted(heard, self.call.clock.now_ms()))

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

    def bad_message(self, kind: str) -> None:
        """See `agent.lines.LineCall`."""
        self.call.bad_message(kind)

    async def hung_up(self, cause: str) -> None:
        """See `agent.lines.LineCall`."""
        await self.call.hung_up(cause)

    async def lost(self) -> None:
        """See `agent.lines.LineCall`."""
        await self.call.lost()

    # -----------------------------------------------------------------------------------------------

    def _known(self, language: str) -> bool:
        primary = language.split("-", maxsplit=1)[0].casefold()
        return any(name.split("-")[0].casefold() == primary for name in self.call.services.agent.languages)

    def _complete(self, text: str, marks: TurnMarks) -> None:
        async def collected() -> str:
            return text

        if text.strip():
            self.call.complete(CallerTurn(marks, collected))
        else:
            self.call.quiet()

    def _long_turn(self) -> None:
        partial, self._partial = self._partial, ""
        self._complete(partial, TurnMarks(endpoint_ms=self.call.clock.now_ms()))


def start_text(
    line: TextLine, services: CallServices, on_ended: Callable[[Call], None], *, greeted: bool = False
) -> TextConversation:
    """Begin a call on a text line."""
    return TextConversation(line, services, on_ended, greeted=greeted)
