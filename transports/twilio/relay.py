"""ConversationRelay: Twilio hears and speaks, text goes both ways (protocol sheet 2.1, 2.2, 6, 7)."""

import logging

from aiohttp import WSCloseCode

from agent.clock import Timer
from agent.errors import WireError
from agent.lines import CallInfo, TextCall
from transports.twilio import relay_codec as codec
from transports.twilio.session import SessionParts, TwilioSession, direction, gone
from transports.twilio.twiml import GREETED, OWN_PARAMETERS, TICKET, check_target, relay_language

logger = logging.getLogger(__name__)

TRANSPORT = "twilio-relay"
MAX_TOKEN_CHARS = 1_000
"""Longest text in one message. Twilio names no limit; `<Say>` takes 4,096 characters (sheet 8)."""
END_GRACE_MS = 1_500.0
"""After `end` Twilio closes the socket itself within 90 ms (sheet 6.1). Were we faster, it might take that
for a crash and ask the action webhook to save a call that is over."""
HANG_UP = "hang_up"
TRANSFER = "transfer"
"""Reasons in `handoffData`, for the action webhook."""


class RelayLine:
    """The transport's end of a ConversationRelay call. Implements `agent.lines.TextLine`."""

    __slots__ = ("_grace", "_info", "_language", "_reports_played", "_send", "_session", "ended")

    def __init__(self, session: "RelaySession", info: CallInfo, *, reports_played: bool) -> None:
        self._session = session
        self._send = session.socket.send_text
        self._info = info
        self._reports_played = reports_played
        self._language = relay_language(session.parts.language)
        self._grace: Timer | None = None
        self.ended = ""
        """Why we have sent `end`: `hang_up`, `transfer`, or empty if we have not."""

    @property
    def info(self) -> CallInfo:
        """See `agent.lines.Line`."""
        return self._info

    @property
    def reports_played(self) -> bool:
        """See `agent.lines.TextLine`."""
        return self._reports_played

    def saw_tokens_played(self) -> None:
        """Twilio does report what was played."""
        self._reports_played = True

    def say(self, text: str, *, last: bool, language: str | None = None) -> None:
        """See `agent.lines.TextLine`."""
        if self.ended:
            return
        tag = None if language is None else relay_language(language)
        if tag == self._language:
            # The session speaks it already.
            tag = None
        while len(text) > MAX_TOKEN_CHARS:
            self._send(codec.text(text[:MAX_TOKEN_CHARS], last=False, language=tag))
            text = text[MAX_TOKEN_CHARS:]
        self._send(codec.text(text, last=last, language=tag))

    def switch_language(self, language: str) -> None:
        """See `agent.lines.TextLine`."""
        tag = relay_language(language)
        if not self.ended and tag != self._language and self._send(codec.switch_language(tag, tag)):
            self._language = tag

    def send_digits(self, digits: str) -> None:
        """See `agent.lines.Line`. A to D are not on Twilio's keypad: such digits are counted and dropped."""
        if not digits or not set(digits) <= codec.SEND_DIGITS:
            self._session.bad("unsupported_digits", "ConversationRelay sends 0-9 w # * only")
        elif not self.ended:
            self._send(codec.send_digits(digits))

    async def hang_up(self) -> None:
        """See `agent.lines.Line`. The action webhook answers `<Hangup/>`."""
        if not self.ended and not self._end(HANG_UP, {"reason": HANG_UP}):
            actions = self._session.parts.actions
            if actions is not None:
                # The socket is lost, the caller may still be there.
                await actions.hang_up(self._info.platform_call_id)

    async def transfer(self, target: str) -> None:
        """See `agent.lines.Line`. The action webhook answers `<Dial>`."""
        check_target(target)
        if self.ended or not self._end(TRANSFER, {"reason": TRANSFER, "target": target}):
            raise gone(f"transfer call {self._info.platform_call_id}")

    def close(self) -> None:
        """See `agent.lines.Line`."""
        if not self.ended:
            self._session.close()
        elif self._grace is None:
            self._grace = self._session.parts.clock.call_later(END_GRACE_MS, self._session.close)

    def _end(self, reason: str, handoff: dict[str, str]) -> bool:
        if not self._send(codec.end(handoff)):
            return False
        self.ended = reason
        return True


class RelaySession(TwilioSession):
    """One ConversationRelay socket."""

    TRANSPORT = TRANSPORT
    __slots__ = ("_call", "_line")

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        self._line: RelayLine | None = None
        self._call: TextCall | None = None

    @property
    def listener(self) -> TextCall | None:
        return self._call

    def receive(self, data: bytes) -> None:
        event = codec.decode(data)
        call, line = self._call, self._line
        if isinstance(event, codec.Setup):
            self._setup(event)
        elif isinstance(event, codec.PlatformError):
            # It names code 64107 and repeats our frame, which may hold what was said: not for the log.
            self.bad("platform_error", event.description.partition("{")[0][:120])
        elif isinstance(event, codec.Notice):
            logger.debug("relay notice %.60r", event.name)
        elif call is None or line is None:
            raise WireError("before_start", f"{type(event).__name__} before setup")
        else:
            self._event(event, call, line)

    def _event(self, event: codec.RelayEvent, call: TextCall, line: RelayLine) -> None:
        match event:
            case codec.Prompt():
                call.prompt(event.text, final=event.last, language=event.language)
            case codec.Interrupt():
                call.interrupted(event.heard, event.heard_ms)
            case codec.TokensPlayed():
                line.saw_tokens_played()
                call.played(event.text)
            case codec.AgentSpeaking():
                call.agent_speaking(event.speaking)
            case codec.CallerSpeaking():
                call.caller_speaking(event.speaking)
            case codec.Dtmf():
                call.dtmf(event.digit)

    async def report_end(self, code: int | None) -> None:
        """See `Session`."""
        if code is None:
            return
        call, line = self._call, self._line
        assert call is not None
        assert line is not None
        if line.ended == TRANSFER:
            await call.hung_up("transferred")
        elif line.ended:
            await call.hung_up("agent_hung_up")
        elif code == WSCloseCode.OK:
            # "Closing websocket session": the caller hung up (sheet 6.1).
            await call.hung_up("caller_hung_up")
        else:
            logger.info("%s %s: socket lost (%d), waiting for another", TRANSPORT, self.call_id, code)
            await call.lost()

    def _setup(self, setup: codec.Setup) -> None:
        if self._call is not None:
            raise WireError("second_start", "a second setup on one socket")
        slot = self.enter(setup.parameters.get(TICKET), setup.call_sid)
        if slot is None:
            return
        greeted = setup.parameters.get(GREETED)
        parts = self.parts
        # The parameter is there if our own TwiML, with its `events`, brought the call here.
        reports = parts.tokens_played and greeted is not None
        line = RelayLine(self, _info(setup), reports_played=reports)
        self._line = line
        with self.answering(slot):
            self._call = parts.host.answer_text(line, slot, greeted=greeted == "true")
        self.started(setup.call_sid)


def _info(setup: codec.Setup) -> CallInfo:
    return CallInfo(
        transport=TRANSPORT,
        platform_call_id=setup.call_sid,
        caller=setup.caller,
        called=setup.called,
        direction=direction(setup.direction),
        parameters={name: value for name, value in setup.parameters.items() if name not in OWN_PARAMETERS},
    )
